// SPDX-License-Identifier: MIT
//
// The probe kernels (probes/): small texts in the kernel dialect, and the same on the host, that show how a
// device calculates and how it moves memory. A lab is an open device with the probes that were built on it so
// far.
//
// Knows devices and modules, no op and no verdict. Threads: a lab is used by one.
#ifndef ISOMER_CONFORMANCE_PROFILE_PROBE_H
#define ISOMER_CONFORMANCE_PROFILE_PROBE_H

#include "isomer/device.h"

// ---- types ----

typedef enum conform_probe {
#define CONFORM_PROBE(name, x, w, y, kinds) CONFORM_PROBE_##name##_##x##_##w##_##y,
#include "conformance/profile/probes/probes.def"
    CONFORM_PORTABLE_PROBE_COUNT, // those that every device with kernels can run
    CONFORM_BEFORE_TUNED = CONFORM_PORTABLE_PROBE_COUNT - 1,
#define CONFORM_TUNED_PROBE(name, target, least, x, w, y, kinds) CONFORM_PROBE_##name##_##x##_##w##_##y,
#include "conformance/profile/probes/probes.def"
    CONFORM_PROBE_COUNT
} conform_probe;

#define CONFORM_PROBE_FLOAT       CONFORM_PROBE_probe_float_F32_F32_F32
#define CONFORM_PROBE_WORD        CONFORM_PROBE_probe_word_F32_F32_F32
#define CONFORM_PROBE_TURN        CONFORM_PROBE_probe_turn_F32_F32_F32
#define CONFORM_PROBE_DECODE_F16  CONFORM_PROBE_probe_decode_F32_F16_F32
#define CONFORM_PROBE_DECODE_BF16 CONFORM_PROBE_probe_decode_F32_BF16_F32
#define CONFORM_PROBE_DECODE_E4M3 CONFORM_PROBE_probe_decode_F32_E4M3_F32
#define CONFORM_PROBE_ENCODE_BF16 CONFORM_PROBE_probe_encode_F32_F32_BF16
#define CONFORM_PROBE_ENCODE_E4M3 CONFORM_PROBE_probe_encode_F32_F32_E4M3
#define CONFORM_PROBE_DOT         CONFORM_PROBE_probe_dot_F32_F32_F32
#define CONFORM_PROBE_TREE        CONFORM_PROBE_probe_tree_F32_F32_F32
#define CONFORM_PROBE_STEP        CONFORM_PROBE_probe_step_F32_F32_F32
#define CONFORM_PROBE_GROUP       CONFORM_PROBE_probe_group_F32_F32_F32
#define CONFORM_PROBE_ARGS        CONFORM_PROBE_probe_args_F32_F32_F32
#define CONFORM_PROBE_MATRIX_BF16 CONFORM_PROBE_probe_matrix_BF16_BF16_F32
#define CONFORM_PROBE_MATRIX_E4M3 CONFORM_PROBE_probe_matrix_E4M3_E4M3_F32

#define CONFORM_GROUP       64u   // threads of a group, in every probe
#define CONFORM_BOARD_WORDS 4032u // shared memory of probe_group

// Modes of probe_float and of probe_word, numbered as in their texts.
enum {
    CONFORM_FLOAT_COPY,
    CONFORM_FLOAT_ADD,
    CONFORM_FLOAT_SUBTRACT,
    CONFORM_FLOAT_MULTIPLY,
    CONFORM_FLOAT_MULTIPLY_ADD,
    CONFORM_FLOAT_DIVIDE,
    CONFORM_FLOAT_SQRT,
    CONFORM_FLOAT_RSQRT,
    CONFORM_FLOAT_EXP,
    CONFORM_FLOAT_FLOOR,
    CONFORM_FLOAT_ABS,
    CONFORM_FLOAT_MAX,
    CONFORM_FLOAT_MIN,
    CONFORM_FLOAT_TRUNCATE,
    CONFORM_FLOAT_LESS,
    CONFORM_FLOAT_MODES
};
enum {
    CONFORM_WORD_COPY,
    CONFORM_WORD_MULTIPLY_HIGH,
    CONFORM_WORD_MULTIPLY,
    CONFORM_WORD_ADD,
    CONFORM_WORD_SUBTRACT,
    CONFORM_WORD_SHIFT_LEFT,
    CONFORM_WORD_SHIFT_RIGHT,
    CONFORM_WORD_AND,
    CONFORM_WORD_OR,
    CONFORM_WORD_XOR,
    CONFORM_WORD_MIN,
    CONFORM_WORD_MAX,
    CONFORM_WORD_DIVIDE,
    CONFORM_WORD_REMAINDER,
    CONFORM_WORD_SIGNED_HALF,
    CONFORM_WORD_SIGNED_LESS,
    CONFORM_WORD_LESS,
    CONFORM_WORD_TO_FLOAT,
    CONFORM_WORD_SIGNED_TO_FLOAT,
    CONFORM_WORD_BITS,
    CONFORM_WORD_MODES
};

typedef struct conform_lab {
    iso_device *device;
    iso_module *modules[CONFORM_PROBE_COUNT]; // NULL until asked for
} conform_lab;

// One argument of a run: a number, or host memory that is copied to a buffer before (`in`) and back after
// (`out`).
typedef struct conform_operand {
    iso_arg_kind kind;
    const void *in; // NULL: the buffer begins as 0xa5 bytes
    void *out;      // NULL: not read
    size_t bytes;
    uint32_t u32;
    float f32;
} conform_operand;

// ---- calls ----

#define CONFORM_IN(pointer, n)      ((conform_operand){.kind = ISO_ARG_BUFFER, .in = (pointer), .bytes = (n)})
#define CONFORM_OUT(pointer, n)     ((conform_operand){.kind = ISO_ARG_BUFFER, .out = (pointer), .bytes = (n)})
#define CONFORM_WORD_VALUE(number)  ((conform_operand){.kind = ISO_ARG_U32, .u32 = (number)})
#define CONFORM_FLOAT_VALUE(number) ((conform_operand){.kind = ISO_ARG_F32, .f32 = (number)})

// Whether the device is one of those that the probe is for: all, for a portable one.
bool conform_probe_fits(const iso_device_info *info, conform_probe probe);
// How the probe is built for this device: the first of its code formats that the probe has, with its own
// name. ISO_UNSUPPORTED names the probe and the formats that there are.
iso_status conform_probe_source(const iso_device_info *info, conform_probe probe,
                                iso_module_source *out_source) ISO_MUST_USE;
const char *conform_probe_name(conform_probe probe);

void conform_lab_deinit(conform_lab *lab);
// The probe's module, built at the first call. The lab owns it.
iso_status conform_lab_module(conform_lab *lab, conform_probe probe, iso_module **out_module) ISO_MUST_USE;
// Runs the probe once over new buffers; `operands` are its arguments in order, groups[1] and [2] may be 0
// for 1.
iso_status conform_lab_run(conform_lab *lab, conform_probe probe, const uint32_t groups[3],
                           const conform_operand *operands) ISO_MUST_USE;
// y[i] = operation `mode` of a[i], b[i], c[i]; absent operands are NULL. Longer calls than a device takes at
// once are cut.
typedef struct conform_map {
    uint32_t mode, count;
    const void *a, *b, *c;
    void *y;
} conform_map;
iso_status conform_lab_float(conform_lab *lab, const conform_map *map) ISO_MUST_USE;
iso_status conform_lab_word(conform_lab *lab, const conform_map *map) ISO_MUST_USE;
iso_status conform_lab_turn(conform_lab *lab, const conform_map *map) ISO_MUST_USE;

// 64 random bits, the same on every machine.
uint64_t conform_random(uint64_t seed, uint64_t stream, uint64_t index);
// The bits of a float, and back.
uint32_t conform_float_bits(float value);
float conform_bits_float(uint32_t bits);

#endif
