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

// Owns the tensors' host memory until iso_case_end. dtypes are the x, weight and y types asked for (a
// kernel's).
typedef struct iso_case_builder {
    const iso_allocator *allocator;
    uint64_t seed;
    uint64_t stream; // one more for each tensor
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
// 64 random bits number `index` of the stream.
uint64_t iso_case_random(const iso_case_builder *builder, uint64_t index);
void iso_case_end(iso_case_builder *builder);

// Describes a contiguous tensor without memory.
iso_tensor iso_tensor_describe(iso_dtype dtype, const uint32_t *dims, uint32_t rank);

#endif
