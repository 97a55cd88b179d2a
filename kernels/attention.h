// SPDX-License-Identifier: MIT
//
// What the attention ops share: the step inputs that say where a token's keys lie in the paged cache, the
// reference's softmax with its error, and test inputs. Knows neither MLA nor GQA.
#ifndef ISOMER_KERNELS_ATTENTION_H
#define ISOMER_KERNELS_ATTENTION_H

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

// A softmax-weighted average under construction, with its error bound (derivation in attention.c).
typedef struct iso_average {
    double *value; // [width], zeroed by the caller like all below
    double *bound; // [width]
    uint32_t width;
    double top;     // the largest score of all keys, set beforehand
    uint32_t count; // keys of the average, set beforehand
    double sum;     // of exp(score - top)
    double drift;   // of exp(score - top) times its relative error
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

// Adds a key with its score, the score's absolute error, and row `row` of `values`.
void iso_average_add(iso_average *average, double score, double error, const iso_tensor *values,
                     uint32_t row);
// Leaves the average in value and its bound, rounding to `dtype` included, in bound; zeros when no key was
// added.
void iso_average_finish(iso_average *average, iso_dtype dtype);

// ---- calls: test inputs ----

// Makes the three tensors, with pages in a shuffled order and entries past the end that name no page.
iso_status iso_case_paging(iso_case_builder *builder, const iso_paging_case *numbers, iso_tensor *block_table,
                           iso_tensor *positions, iso_tensor *sequence, uint32_t *out_pages) ISO_MUST_USE;
// Puts NaN into every cache row that no token may see.
void iso_case_poison_unseen(const iso_paging *paging, iso_tensor *cache);

#endif
