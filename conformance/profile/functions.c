// SPDX-License-Identifier: MIT
//
// The functions that kernels use, over the whole range that they use them in: exponential, square root, 1 /
// square root, sine and cosine of a phase. Dense: equally spaced, jittered, and at the places where their
// argument reduction turns over.
#include <math.h>

#include "conformance/profile/measure.h"

#define CHUNK  65536u
#define TWO_PI 6.283185307179586

// ---- of a float ----

typedef struct function {
    const char *name;
    uint32_t mode;
    float (*argument)(const measure_bench *bench, uint32_t index);
    double (*exact)(double x);
    size_t figure; // offset into the profile
    double cap;
} function;

static uint64_t draw(const measure_bench *bench, uint32_t index)
{
    return conform_random(bench->context->seed, bench->stream + 2, index);
}

// -87.3 to 88.7, and every fourth one beside a multiple of ln 2 / 2, where the reduction changes over, or
// tiny.
static float exp_argument(const measure_bench *bench, uint32_t index)
{
    uint64_t r = draw(bench, index);
    double jitter = (double)(r >> 40) * 0x1p-24;
    if (index % 8 == 3)
        return (float)((double)((int)(r & 511) - 252) * 0.34657359027997264 + (jitter - 0.5) * 1e-5);
    if (index % 8 == 7)
        return ldexpf(r & 1 ? -1.0f : 1.0f, -(int)(r >> 1 & 31)) * (float)(1 + jitter);
    double x = -87.2 + (88.6 + 87.2) * ((double)index + jitter) / (double)bench->samples;
    return (float)x;
}

// Every binade of the normal numbers.
static float root_argument(const measure_bench *bench, uint32_t index)
{
    uint64_t r = draw(bench, index);
    uint32_t exponent = 1 + index % 254, mantissa = (uint32_t)(r >> 32) & 0x7fffffu;
    if (index % 16 == 5)
        mantissa = index & 32 ? 0x7fffffu : 0;
    return conform_bits_float(exponent << 23 | mantissa);
}

static double exact_exp(double x)
{
    return exp(x);
}

static double exact_sqrt(double x)
{
    return sqrt(x);
}

static double exact_rsqrt(double x)
{
    return 1 / sqrt(x);
}

static const function float_functions[] = {
    {"exponential", CONFORM_FLOAT_EXP, exp_argument, exact_exp, offsetof(conform_device_profile, exp_error),
     CONFORM_CAP_EXP},
    {"square root", CONFORM_FLOAT_SQRT, root_argument, exact_sqrt,
     offsetof(conform_device_profile, sqrt_error), CONFORM_CAP_ROOT},
    {"1 / square root", CONFORM_FLOAT_RSQRT, root_argument, exact_rsqrt,
     offsetof(conform_device_profile, rsqrt_error), 2 * CONFORM_CAP_ROOT},
};

static iso_status judge_function(measure_bench *bench, const function *f, float *x, float *y,
                                 measure_worst *worst)
{
    for (uint32_t first = 0; first < bench->samples; first += CHUNK) {
        uint32_t count = bench->samples - first < CHUNK ? bench->samples - first : CHUNK;
        for (uint32_t i = 0; i < count; i++) {
            x[i] = f->argument(bench, first + i);
            if (f->mode == CONFORM_FLOAT_EXP)
                x[i] = fminf(fmaxf(x[i], -87.2f), 88.6f);
        }
        conform_map map = {.mode = f->mode, .count = count, .a = x, .y = y};
        ISO_TRY(conform_lab_float(&bench->lab, &map));
        for (uint32_t i = 0; i < count; i++) {
            double operands[2] = {(double)x[i], 0}, want = f->exact(operands[0]), got = (double)y[i];
            measure_keep(worst, fabs((got - want) / want), operands, got, want);
        }
    }
    return ISO_OK;
}

// ---- of a phase ----

static uint32_t phase(const measure_bench *bench, uint32_t index)
{
    uint64_t r = draw(bench, index);
    if (index % 8 == 1) // beside the eighths of a turn
        return (uint32_t)(r & 7) * 0x20000000u + (uint32_t)(r >> 8 & 63) - 32;
    if (index % 8 == 5) { // small, either way
        uint32_t small = 1u << (r >> 1) % 31;
        return r & 1 ? 0u - small : small;
    }
    return (uint32_t)((double)index / (double)bench->samples * 0x1p32) + (uint32_t)(r >> 40);
}

static iso_status judge_turn(measure_bench *bench, bool cosine, uint32_t *x, float *y, measure_worst *worst)
{
    for (uint32_t first = 0; first < bench->samples; first += CHUNK) {
        uint32_t count = bench->samples - first < CHUNK ? bench->samples - first : CHUNK;
        for (uint32_t i = 0; i < count; i++)
            x[i] = phase(bench, first + i);
        conform_map map = {.mode = cosine, .count = count, .a = x, .y = y};
        ISO_TRY(conform_lab_turn(&bench->lab, &map));
        for (uint32_t i = 0; i < count; i++) {
            double operands[2] = {(double)x[i], 0}, angle = operands[0] * (TWO_PI / 0x1p32);
            double want = cosine ? cos(angle) : sin(angle), got = (double)y[i];
            measure_keep(worst, fabs(got - want), operands, got, want);
        }
    }
    return ISO_OK;
}

static iso_status measure_turns(measure_bench *bench, uint32_t *x, float *y)
{
    // The bound of rope counts roundings to nearest; a chip that cuts off may err twice as far.
    double cap = bench->profile->biased ? 2 * CONFORM_CAP_TURN : CONFORM_CAP_TURN;
    for (int cosine = 0; cosine < 2; cosine++) {
        const char *name = cosine ? "cosine" : "sine";
        measure_worst worst = {0};
        if (judge_turn(bench, cosine, x, y, &worst) != ISO_OK)
            return measure_fail(bench, name);
        measure_raise(&bench->profile->turn_error, &worst);
        measure_judge(bench, name, &worst, cap, json_object());
    }
    return ISO_OK;
}

static iso_status measure_with(measure_bench *bench, float *x, float *y)
{
    for (size_t i = 0; i < sizeof float_functions / sizeof float_functions[0]; i++) {
        const function *f = &float_functions[i];
        measure_worst worst = {0};
        if (judge_function(bench, f, x, y, &worst) != ISO_OK)
            return measure_fail(bench, f->name);
        measure_raise((double *)(void *)((char *)bench->profile + f->figure), &worst);
        measure_judge(bench, f->name, &worst, f->cap, json_object());
    }
    return measure_turns(bench, (uint32_t *)(void *)x, y);
}

iso_status measure_functions(measure_bench *bench)
{
    float *memory;
    ISO_TRY(ISO_NEW(NULL, 2 * CHUNK, &memory));
    iso_status status = measure_with(bench, memory, memory + CHUNK);
    iso_free(NULL, memory);
    return status;
}
