// SPDX-License-Identifier: MIT
//
// Integer operations, which indices and exact functions are made of; and what the driver declares
// (iso_device_info) against what it does: groups, shared memory, arguments, their alignment, host-visible
// memory.
#include <stdio.h>
#include <string.h>

#include "conformance/profile/measure.h"

// ---- integers ----

static uint32_t nearest_float(double value)
{
    return conform_float_bits((float)value);
}

static uint32_t exact_word(uint32_t mode, uint32_t p, uint32_t q)
{
    uint32_t divisor = q ? q : 1;
    switch (mode) {
    case CONFORM_WORD_MULTIPLY_HIGH:
        return (uint32_t)(((unsigned __int128)p * q) >> 32);
    case CONFORM_WORD_MULTIPLY:
        return (uint32_t)((uint64_t)p * q);
    case CONFORM_WORD_ADD:
        return (uint32_t)((uint64_t)p + q);
    case CONFORM_WORD_SUBTRACT:
        return (uint32_t)((uint64_t)p - q);
    case CONFORM_WORD_SHIFT_LEFT:
        return (uint32_t)((uint64_t)p << q % 32);
    case CONFORM_WORD_SHIFT_RIGHT:
        return (uint32_t)((uint64_t)p >> q % 32);
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
        return p % divisor;
    case CONFORM_WORD_SIGNED_HALF:
        return (uint32_t)((int64_t)(int32_t)p / 2);
    case CONFORM_WORD_SIGNED_LESS:
        return (int64_t)(int32_t)p < (int64_t)(int32_t)q;
    case CONFORM_WORD_LESS:
        return p < q;
    case CONFORM_WORD_TO_FLOAT:
        return nearest_float(p);
    case CONFORM_WORD_SIGNED_TO_FLOAT:
        return nearest_float((int32_t)p);
    default:
        return p;
    }
}

static const char *const word_names[CONFORM_WORD_MODES] = {
    "copy",
    "mul_high",
    "*",
    "+",
    "-",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "min",
    "max",
    "/",
    "%",
    "int / 2",
    "int <",
    "<",
    "to float",
    "int to float",
    "bits as float and back",
};

// Small and large numbers, powers of two and their neighbours.
static uint32_t draw_word(const measure_bench *bench, uint32_t side, uint32_t index)
{
    uint64_t r = conform_random(bench->context->seed, bench->stream + 16 + side, index);
    uint32_t power = 1u << (r >> 32 & 31);
    switch (r >> 40 & 3) {
    case 0:
        return power + (uint32_t)(r & 3) - 1;
    case 1:
        return (uint32_t)r & 0xffffu;
    case 2:
        return ~(uint32_t)(r & 0xff);
    default:
        return (uint32_t)r;
    }
}

// Whole numbers beyond 2^24 are not exact as floats: a device may round them either way. Bits that are a
// NaN's or a subnormal's may change on their way through a float.
static bool word_right(uint32_t mode, uint32_t p, uint32_t got, uint32_t want)
{
    if (got == want)
        return true;
    if (mode == CONFORM_WORD_TO_FLOAT || mode == CONFORM_WORD_SIGNED_TO_FLOAT) {
        uint32_t magnitude = mode == CONFORM_WORD_SIGNED_TO_FLOAT && p >> 31 ? 0u - p : p;
        return magnitude > 1u << 24 && (got == want - 1 || got == want + 1);
    }
    uint32_t magnitude = p & 0x7fffffffu;
    return mode == CONFORM_WORD_BITS && ((magnitude > 0x7f800000u && (got & 0x7fffffffu) > 0x7f800000u) ||
                                         (magnitude < 0x00800000u && (got & 0x7fffffffu) == 0));
}

static iso_status judge_words(measure_bench *bench, uint32_t *a, uint32_t *b, uint32_t *y)
{
    uint32_t wrong_modes = 0;
    for (uint32_t i = 0; i < bench->samples; i++) {
        a[i] = draw_word(bench, 0, i);
        b[i] = draw_word(bench, 1, i);
    }
    for (uint32_t mode = 0; mode < CONFORM_WORD_MODES; mode++) {
        uint32_t wrong = 0, first = 0;
        conform_map map = {.mode = mode, .count = bench->samples, .a = a, .b = b, .y = y};
        if (conform_lab_word(&bench->lab, &map) != ISO_OK)
            return measure_fail(bench, word_names[mode]);
        for (uint32_t i = bench->samples; i-- > 0;)
            if (!word_right(mode, a[i], y[i], exact_word(mode, a[i], b[i]))) {
                wrong++;
                first = i;
            }
        if (!wrong)
            continue;
        wrong_modes++;
        conform_result result = conform_result_make(
            CONFORM_FAIL, word_names[mode],
            "%u of %u are wrong; the first is of 0x%x and 0x%x: 0x%x instead of 0x%x", wrong, bench->samples,
            a[first], b[first], y[first], exact_word(mode, a[first], b[first]));
        measure_send(bench, &result);
    }
    if (!wrong_modes) {
        conform_result result =
            conform_result_make(CONFORM_PASS, "integer operations", "%d operations, %u samples each",
                                CONFORM_WORD_MODES, bench->samples);
        measure_send(bench, &result);
    }
    return ISO_OK;
}

iso_status measure_integers(measure_bench *bench)
{
    uint32_t *memory;
    ISO_TRY(ISO_NEW(NULL, 3 * (size_t)bench->samples, &memory));
    iso_status status =
        judge_words(bench, memory, memory + bench->samples, memory + 2 * (size_t)bench->samples);
    iso_free(NULL, memory);
    return status;
}

// ---- what the driver declares ----

static void send_fact(measure_bench *bench, bool right, const char *check, const char *text)
{
    conform_result result = conform_result_make(right ? CONFORM_PASS : CONFORM_FAIL, check, "%s", text);
    measure_send(bench, &result);
}

static bool power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static void check_numbers(measure_bench *bench, const iso_device_info *info)
{
    char text[160];
    snprintf(text, sizeof text, "%llu bytes in all, %llu in one piece",
             (unsigned long long)info->memory_bytes, (unsigned long long)info->max_allocation_bytes);
    send_fact(bench, info->memory_bytes > 0 && info->max_allocation_bytes > 0, "memory", text);
    snprintf(text, sizeof text, "offsets of arguments are multiples of %u", info->buffer_alignment_bytes);
    send_fact(bench, power_of_two(info->buffer_alignment_bytes), "alignment", text);
    snprintf(text, sizeof text, "%u threads; 0 is unknown, else a power of two up to 128",
             info->subgroup_size);
    send_fact(bench,
              info->subgroup_size == 0 || (power_of_two(info->subgroup_size) && info->subgroup_size <= 128),
              "subgroup width", text);
}

// What probe_group calculates, see its text.
static uint32_t board_sum(uint32_t group, uint32_t lane)
{
    uint32_t v = 0;
    for (uint32_t i = lane; i < CONFORM_BOARD_WORDS; i += CONFORM_GROUP)
        v = v * 31u + group * 65536u + CONFORM_BOARD_WORDS - 1 - i;
    return v;
}

// A three-dimensional launch whose groups use all of the shared memory that kernels may.
static iso_status check_groups(measure_bench *bench, const iso_device_info *info)
{
    enum { ACROSS = 5, DOWN = 3, DEEP = 2, GROUPS = ACROSS * DOWN * DEEP };
    static const char check[] = "groups and shared memory";
    uint32_t y[GROUPS * CONFORM_GROUP];
    char text[160];
    bool declared = info->max_group_size >= CONFORM_GROUP &&
                    (info->local_memory_bytes == 0 || info->local_memory_bytes >= 4 * CONFORM_BOARD_WORDS);
    const conform_operand operands[] = {CONFORM_WORD_VALUE(GROUPS), CONFORM_OUT(y, sizeof y),
                                        CONFORM_WORD_VALUE(ACROSS), CONFORM_WORD_VALUE(DOWN)};
    if (conform_lab_run(&bench->lab, CONFORM_PROBE_GROUP, (const uint32_t[3]){ACROSS, DOWN, DEEP},
                        operands) != ISO_OK) {
        if (declared)
            return measure_fail(bench, check);
        conform_result result =
            conform_result_make(CONFORM_UNSUPPORTED, check, "%s", iso_status_last()->text);
        measure_send(bench, &result);
        return ISO_OK;
    }
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < GROUPS * CONFORM_GROUP; i++)
        wrong += y[i] != board_sum(i / CONFORM_GROUP, i % CONFORM_GROUP);
    snprintf(text, sizeof text,
             "%u of %d threads are wrong; declared: groups of %u, %u bytes of shared memory", wrong,
             GROUPS * (int)CONFORM_GROUP, info->max_group_size, info->local_memory_bytes);
    send_fact(bench, wrong == 0, check, text);
    return ISO_OK;
}

// 24 arguments of 108 bytes, each with a value of its own.
static iso_status check_arguments(measure_bench *bench, const iso_device_info *info)
{
    static const char kinds[] = "uubfufbufufuuuuuufuuuuuf";
    uint32_t y[ISO_MAX_KERNEL_ARGS], x[2] = {0x51515151u, 0x62626262u}, wrong = 0;
    conform_operand operands[ISO_MAX_KERNEL_ARGS];
    char text[160];
    for (uint32_t i = 0; i < ISO_MAX_KERNEL_ARGS; i++)
        operands[i] =
            kinds[i] == 'f' ? CONFORM_FLOAT_VALUE(0.375f + (float)i) : CONFORM_WORD_VALUE(0x01010000u + i);
    operands[2] = CONFORM_OUT(y, sizeof y);
    operands[6] = CONFORM_IN(x, sizeof x);
    if (conform_lab_run(&bench->lab, CONFORM_PROBE_ARGS, (const uint32_t[3]){1, 1, 1}, operands) != ISO_OK)
        return measure_fail(bench, "arguments");
    for (uint32_t i = 0; i < ISO_MAX_KERNEL_ARGS; i++) {
        uint32_t want = kinds[i] == 'f' ? conform_float_bits(operands[i].f32) : operands[i].u32;
        wrong += y[i] != (i == 2 ? x[0] : i == 6 ? x[1] : want);
    }
    snprintf(text, sizeof text, "%u of %d arrive wrong; declared: %u bytes of arguments", wrong,
             ISO_MAX_KERNEL_ARGS, info->max_argument_bytes);
    send_fact(bench, wrong == 0 && info->max_argument_bytes >= 108, "arguments", text);
    return ISO_OK;
}

// Where the backend lends the memory itself, host and device see each other's writes.
static iso_status check_host_memory(measure_bench *bench, const iso_device_info *info)
{
    bool declared = info->features & ISO_FEATURE_HOST_VISIBLE;
    iso_buffer *buffer;
    uint32_t words[64], changed = 0x13572468u;
    for (uint32_t i = 0; i < 64; i++)
        words[i] = 0x9e3779b9u * (i + 1);
    if (iso_buffer_create(bench->lab.device, sizeof words, &buffer) != ISO_OK)
        return measure_fail(bench, "host memory");
    uint32_t *host = iso_buffer_memory(buffer)->host, got = changed;
    iso_status status = iso_buffer_write(buffer, 0, words, sizeof words);
    bool sees = status == ISO_OK && (!host || memcmp(host, words, sizeof words) == 0);
    if (status == ISO_OK && host) {
        host[17] = changed;
        status = iso_buffer_read(buffer, 17 * sizeof got, &got, sizeof got);
    }
    iso_buffer_release(buffer);
    if (status != ISO_OK)
        return measure_fail(bench, "host memory");
    send_fact(bench, (declared || !host) && sees && got == changed, "host memory",
              !host ? "no pointer is lent"
              : declared
                  ? "a pointer is lent, which must show what was written, and writes through it be seen"
                  : "a pointer is lent, but the device does not declare host-visible memory");
    return ISO_OK;
}

iso_status measure_facts(measure_bench *bench)
{
    const iso_device_info *info = iso_device_get_info(bench->lab.device);
    check_numbers(bench, info);
    ISO_TRY(check_groups(bench, info));
    ISO_TRY(check_arguments(bench, info));
    return check_host_memory(bench, info);
}
