// SPDX-License-Identifier: MIT
//
// The probe kernels on the host, compiled once for each CPU variant with the flags of the real CPU kernels,
// and in the same ways: the vector exponential, widening and storing of kernels/cpu_vector.h, sine and cosine
// in double as in rope. A group stands for the 64 threads of the portable texts beside this file, argument
// for argument.
#include <math.h>

#include "conformance/profile/probe.h"
#include "kernels/cpu_vector.h"

#define GROUP 64u

// What a group does: elements first … end - 1.
typedef struct span {
    uint32_t first, end;
} span;

static span group_span(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t first = group->id[0] * GROUP, count = args[0].u32;
    return (span){first, first + GROUP < count ? first + GROUP : count};
}

static uint32_t as_word(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

// ---- one operation an element ----

static float float_operation(uint32_t mode, float p, float q, float r)
{
    switch (mode) {
    case CONFORM_FLOAT_ADD:
        return p + q;
    case CONFORM_FLOAT_SUBTRACT:
        return p - q;
    case CONFORM_FLOAT_MULTIPLY:
        return p * q;
    case CONFORM_FLOAT_MULTIPLY_ADD:
        return p * q + r;
    case CONFORM_FLOAT_DIVIDE:
        return p / q;
    case CONFORM_FLOAT_SQRT:
        return sqrtf(p);
    case CONFORM_FLOAT_RSQRT:
        return 1.0f / sqrtf(p);
    case CONFORM_FLOAT_EXP:
        return iso_exp_vector(iso_splat(p))[0];
    case CONFORM_FLOAT_FLOOR:
        return floorf(p);
    case CONFORM_FLOAT_ABS:
        return fabsf(p);
    case CONFORM_FLOAT_MAX:
        return p > q ? p : q;
    case CONFORM_FLOAT_MIN:
        return p < q ? p : q;
    case CONFORM_FLOAT_TRUNCATE:
        return (float)(int32_t)p;
    case CONFORM_FLOAT_LESS:
        return p < q ? 1.0f : 0.0f;
    default:
        return p;
    }
}

static void run_float(const iso_native_group *group, const iso_native_arg *args)
{
    const float *a = args[1].pointer, *b = args[2].pointer, *c = args[3].pointer;
    float *y = args[4].pointer;
    span at = group_span(group, args);
    for (uint32_t i = at.first; i < at.end; i++)
        y[i] = float_operation(args[5].u32, a[i], b[i], c[i]);
}

static uint32_t word_operation(uint32_t mode, uint32_t p, uint32_t q)
{
    uint32_t divisor = q ? q : 1;
    switch (mode) {
    case CONFORM_WORD_MULTIPLY_HIGH:
        return (uint32_t)((uint64_t)p * q >> 32);
    case CONFORM_WORD_MULTIPLY:
        return p * q;
    case CONFORM_WORD_ADD:
        return p + q;
    case CONFORM_WORD_SUBTRACT:
        return p - q;
    case CONFORM_WORD_SHIFT_LEFT:
        return p << (q & 31u);
    case CONFORM_WORD_SHIFT_RIGHT:
        return p >> (q & 31u);
    case CONFORM_WORD_AND:
        return p & q;
    case CONFORM_WORD_OR:
        return p | q;
    case CONFORM_WORD_XOR:
        return p ^ q;
    case CONFORM_WORD_MIN:
        return p < q ? p : q;
    case CONFORM_WORD_MAX:
        return p > q ? p : q;
    case CONFORM_WORD_DIVIDE:
        return p / divisor;
    case CONFORM_WORD_REMAINDER:
        return p - p / divisor * divisor;
    case CONFORM_WORD_SIGNED_HALF:
        return (uint32_t)((int32_t)p / 2);
    case CONFORM_WORD_SIGNED_LESS:
        return (int32_t)p < (int32_t)q;
    case CONFORM_WORD_LESS:
        return p < q;
    case CONFORM_WORD_TO_FLOAT:
        return as_word((float)p);
    case CONFORM_WORD_SIGNED_TO_FLOAT:
        return as_word((float)(int32_t)p);
    default:
        return p;
    }
}

static void run_word(const iso_native_group *group, const iso_native_arg *args)
{
    const uint32_t *a = args[1].pointer, *b = args[2].pointer;
    uint32_t *y = args[3].pointer;
    span at = group_span(group, args);
    for (uint32_t i = at.first; i < at.end; i++)
        y[i] = word_operation(args[4].u32, a[i], b[i]);
}

static void run_turn(const iso_native_group *group, const iso_native_arg *args)
{
    const uint32_t *phase = args[1].pointer;
    float *y = args[2].pointer;
    span at = group_span(group, args);
    for (uint32_t i = at.first; i < at.end; i++) {
        double angle = (double)phase[i] * (6.283185307179586 / 0x1p32);
        y[i] = (float)(args[3].u32 ? cos(angle) : sin(angle));
    }
}

// ---- formats ----

static void decode(const iso_native_group *group, const iso_native_arg *args, iso_dtype dtype)
{
    span at = group_span(group, args);
    for (uint32_t i = at.first; i < at.end; i += ISO_LANES)
        iso_store_vector(args[2].pointer, ISO_DTYPE_F32, i, at.end,
                         iso_load_vector(args[1].pointer, dtype, i, at.end));
}

static void run_decode_f16(const iso_native_group *group, const iso_native_arg *args)
{
    decode(group, args, ISO_DTYPE_F16);
}

static void run_decode_bf16(const iso_native_group *group, const iso_native_arg *args)
{
    decode(group, args, ISO_DTYPE_BF16);
}

static void run_decode_e4m3(const iso_native_group *group, const iso_native_arg *args)
{
    decode(group, args, ISO_DTYPE_F8_E4M3);
}

static void run_encode_bf16(const iso_native_group *group, const iso_native_arg *args)
{
    span at = group_span(group, args);
    for (uint32_t i = 2 * at.first; i < 2 * at.end; i += ISO_LANES)
        iso_store_vector(args[2].pointer, ISO_DTYPE_BF16, i, 2 * at.end,
                         iso_load_vector(args[1].pointer, ISO_DTYPE_F32, i, 2 * at.end));
}

// quantize_activation keeps its own form to itself; the op suite judges that one.
static void run_encode_e4m3(const iso_native_group *group, const iso_native_arg *args)
{
    const float *x = args[1].pointer;
    uint8_t *y = args[2].pointer;
    span at = group_span(group, args);
    for (uint32_t i = 4 * at.first; i < 4 * at.end; i++)
        y[i] = iso_e4m3_from_f32(x[i]);
}

// ---- sums ----

static void run_dot(const iso_native_group *group, const iso_native_arg *args)
{
    const float *a = args[1].pointer, *b = args[2].pointer;
    float *y = args[3].pointer;
    uint32_t width = args[4].u32;
    span at = group_span(group, args);
    for (uint32_t row = at.first; row < at.end; row++) {
        float sum = 0;
        for (uint32_t k = 0; k < width; k++)
            sum += a[(size_t)row * width + k] * b[(size_t)row * width + k];
        y[row] = sum;
    }
}

static void run_tree(const iso_native_group *group, const iso_native_arg *args)
{
    float partial[GROUP];
    memcpy(partial, (const float *)args[1].pointer + (size_t)group->id[0] * GROUP, sizeof partial);
    for (uint32_t step = GROUP / 2; step > 0; step /= 2)
        for (uint32_t i = 0; i < step; i++)
            partial[i] += partial[i + step];
    if (group->id[0] < args[0].u32)
        ((float *)args[2].pointer)[group->id[0]] = partial[0];
}

// ---- for the device suite ----

static void run_step(const iso_native_group *group, const iso_native_arg *args)
{
    const uint32_t *x = args[1].pointer;
    uint32_t *y = args[2].pointer;
    span at = group_span(group, args);
    for (uint32_t i = at.first; i < at.end; i++) {
        uint32_t v = x[i];
        for (uint32_t r = 0; r < args[5].u32; r++)
            v = v * args[3].u32 + args[4].u32;
        y[i] = v;
    }
}

// The portable text fills 63 * 64 words of shared memory; here that is the thread's scratch.
static void run_group(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t *board = group->scratch, *y = args[1].pointer;
    uint32_t number = group->id[0] + args[2].u32 * (group->id[1] + args[3].u32 * group->id[2]);
    for (uint32_t i = 0; i < CONFORM_BOARD_WORDS; i++)
        board[i] = number * 65536u + i;
    for (uint32_t lane = 0; lane < GROUP && number < args[0].u32; lane++) {
        uint32_t v = 0;
        for (uint32_t i = lane; i < CONFORM_BOARD_WORDS; i += GROUP)
            v = v * 31u + board[CONFORM_BOARD_WORDS - 1 - i];
        y[(size_t)number * GROUP + lane] = v;
    }
}

static void run_args(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t *y = args[2].pointer;
    const uint32_t *x = args[6].pointer;
    if (group->id[0] != 0)
        return;
    for (uint32_t i = 0; i < ISO_MAX_KERNEL_ARGS; i++)
        y[i] = args[i].u32;
    y[2] = x[0];
    y[6] = x[1];
}

extern const iso_native_kernel ISO_JOIN(conform_probe_cpu_, ISO_CPU_VARIANT,
                                        , )[CONFORM_PORTABLE_PROBE_COUNT];
const iso_native_kernel ISO_JOIN(conform_probe_cpu_, ISO_CPU_VARIANT, , )[CONFORM_PORTABLE_PROBE_COUNT] = {
    [CONFORM_PROBE_probe_float_F32_F32_F32] = {run_float, 0},
    [CONFORM_PROBE_probe_word_F32_F32_F32] = {run_word, 0},
    [CONFORM_PROBE_probe_turn_F32_F32_F32] = {run_turn, 0},
    [CONFORM_PROBE_probe_decode_F32_F16_F32] = {run_decode_f16, 0},
    [CONFORM_PROBE_probe_decode_F32_BF16_F32] = {run_decode_bf16, 0},
    [CONFORM_PROBE_probe_decode_F32_E4M3_F32] = {run_decode_e4m3, 0},
    [CONFORM_PROBE_probe_encode_F32_F32_BF16] = {run_encode_bf16, 0},
    [CONFORM_PROBE_probe_encode_F32_F32_E4M3] = {run_encode_e4m3, 0},
    [CONFORM_PROBE_probe_dot_F32_F32_F32] = {run_dot, 0},
    [CONFORM_PROBE_probe_tree_F32_F32_F32] = {run_tree, 0},
    [CONFORM_PROBE_probe_step_F32_F32_F32] = {run_step, 0},
    [CONFORM_PROBE_probe_group_F32_F32_F32] = {run_group, 4 * CONFORM_BOARD_WORDS},
    [CONFORM_PROBE_probe_args_F32_F32_F32] = {run_args, 0},
};
