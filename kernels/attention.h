// SPDX-License-Identifier: MIT
//
// What the attention ops share: the step inputs that say where a token's keys lie in the paged cache, the
// reference's softmax with its error, and test inputs. Knows neither MLA nor GQA.
#ifndef ISOMER_KERNELS_ATTENTION_H
#define ISOMER_KERNELS_ATTENTION_H

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/kernel.h"

// ---- types ----

// A step's tokens over a paged cache. Token t belongs to sequence[t] (-1: padding, it sees nothing) and sees
// the cache positions 0 … positions[t] of that sequence; position p lies in page block_table[sequence][p /
// 64], row p % 64.
typedef struct iso_paging {
    const iso_tensor
        *block_table;            // [S, max_pages] i32; entries past a sequence's last position are never read
    const iso_tensor *positions; // [T] i32, >= 0
    const iso_tensor *sequence;  // [T] i32
} iso_paging;

// Test inputs: `tokens` dealt over `sequences`; the first sequence ends at position keys - 1, each further
// one 7 positions earlier (at least at 0). The last `padding` tokens belong to none.
typedef struct iso_paging_case {
    uint32_t tokens;
    uint32_t sequences;
    uint32_t keys;
    uint32_t padding;
} iso_paging_case;

// A key of a softmax-weighted average.
typedef struct iso_average_key {
    uint32_t row; // of `values`
    double score;
    double error;  // of the score, absolute
    double weight; // set by iso_average_store: its part of the whole
} iso_average_key;

// A softmax-weighted average of rows, with its error bound (derivation in attention.c). The caller sets count
// and the keys, row by row of its output.
typedef struct iso_average {
    const iso_numerics *numerics;
    const iso_tensor *values;
    uint32_t count;
    iso_average_key *keys;
    struct iso_average_element *elements; // [width of values]
} iso_average;

// ---- calls: contract ----

iso_status iso_check_paging(const char *op, const iso_paging *paging, uint32_t tokens) ISO_MUST_USE;
// [pages, 64, …], contiguous.
iso_status iso_check_cache(const char *op, const char *operand, const iso_tensor *cache) ISO_MUST_USE;

// ---- calls: references ----

// Cache rows that token t sees; 0 for padding.
uint32_t iso_key_count(const iso_paging *paging, uint32_t token);
// Keys of all tokens together, for costs. How many a step has is known on the host only: where the tensors
// have no host memory (a plan), each token counts as its own only key.
uint64_t iso_all_keys(const iso_paging *paging);
// The cache row (page * 64 + offset) of key `position` of token t's sequence.
uint32_t iso_key_row(const iso_paging *paging, uint32_t token, uint32_t position);

// The most keys that a token has.
uint32_t iso_most_keys(const iso_paging *paging);

// Room for `most_keys`. Keeps `numerics` and `values`, which must outlive it.
iso_status iso_average_create(iso_average *average, const iso_numerics *numerics, const iso_tensor *values,
                              uint32_t most_keys) ISO_MUST_USE;
void iso_average_destroy(iso_average *average);
// The average of the keys and its bound, rounding to `dtype` included; zeros where there is no key.
void iso_average_store(iso_average *average, iso_dtype dtype, double *value, double *bound);

// ---- calls: test inputs ----

// Makes the three tensors, with pages in a shuffled order and entries past the end that name no page.
iso_status iso_case_paging(iso_case_builder *builder, const iso_paging_case *numbers, iso_tensor *block_table,
                           iso_tensor *positions, iso_tensor *sequence, uint32_t *out_pages) ISO_MUST_USE;
// Puts NaN into every cache row that no token may see.
void iso_case_poison_unseen(const iso_paging *paging, iso_tensor *cache);

#endif
