// SPDX-License-Identifier: MIT
//
// How a test or a bench gets the inputs of an op: ref.c of each op describes them with these calls. The same
// numbers give the same inputs on every machine (counter-based generator).
#ifndef ISOMER_KERNELS_CASE_H
#define ISOMER_KERNELS_CASE_H

#include "isomer/op.h"

// ---- types ----

// How floats are drawn.
typedef enum iso_fill {
    ISO_FILL_NORMAL,   // about N(0, 1), one element in 64 an outlier of 8 to 32
    ISO_FILL_WEIGHT,   // about N(0, 1) / sqrt(width)
    ISO_FILL_POSITIVE, // 0.5 to 1.5
    ISO_FILL_SCALE,    // a block scale: a power of two times 1 to 2, around 2^-6
    ISO_FILL_INTEGER,  // -4 to 4: sums are exact in any order
} iso_fill;

// What a case tries beside its shapes. Fills follow it where it means something to them.
typedef enum iso_stress {
    ISO_STRESS_NORMAL,   // as the fills say
    ISO_STRESS_INTEGER,  // small integers, scales powers of two: sums are exact in any order
    ISO_STRESS_CANCEL,   // pairs of opposite large terms in every dot product, a small rest
    ISO_STRESS_DENORMAL, // every second element subnormal in its type, its partner large
    ISO_STRESS_SCALES,   // huge and tiny elements mixed within a row
    ISO_STRESS_TIES,     // few distinct values, and their neighbours in the type
    ISO_STRESS_ZEROS,    // every second element a zero of either sign
    ISO_STRESS_INFINITE, // one row of -infinity
    ISO_STRESS_COUNT
} iso_stress;

// Owns the tensors' host memory until iso_case_end. dtypes are the x, weight and y types asked for (a
// kernel's).
typedef struct iso_case_builder {
    const iso_allocator *allocator;
    uint64_t seed;
    uint64_t stream; // one more for each tensor
    iso_stress stress;
    uint32_t spread; // SCALES: magnitudes reach from 2^-spread to 2^spread
    bool blank;      // only shapes are wanted: content may stay zero
    uint32_t floats; // tensors that iso_case_float drew: with CANCEL, the second opposes the first
    iso_dtype dtypes[3];
    void *memory[32];
    uint32_t memory_count;
} iso_case_builder;

// Describes a shape in place: ISO_DIMS(rows, width).
#define ISO_DIMS(...) (const uint32_t[]){__VA_ARGS__}, (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / 4)

// ---- calls ----

// A contiguous float tensor of `dtype` with drawn content.
iso_status iso_case_float(iso_case_builder *builder, iso_tensor *out, iso_dtype dtype, iso_fill fill,
                          const uint32_t *dims, uint32_t rank) ISO_MUST_USE;
// Integers from 0 to limit - 1.
iso_status iso_case_index(iso_case_builder *builder, iso_tensor *out, uint32_t limit, const uint32_t *dims,
                          uint32_t rank) ISO_MUST_USE;
// A tensor without drawn content (zeroed): outputs, and inputs that ref.c fills itself through out->host.
iso_status iso_case_empty(iso_case_builder *builder, iso_tensor *out, iso_dtype dtype, const uint32_t *dims,
                          uint32_t rank) ISO_MUST_USE;
// The stress's short name, as it stands in the ids of cases.
const char *iso_stress_name(iso_stress stress);
// 64 random bits number `index` of the stream.
uint64_t iso_case_random(const iso_case_builder *builder, uint64_t index);
void iso_case_end(iso_case_builder *builder);

// Describes a contiguous tensor without memory.
iso_tensor iso_tensor_describe(iso_dtype dtype, const uint32_t *dims, uint32_t rank);

#endif
