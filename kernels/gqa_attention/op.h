// SPDX-License-Identifier: MIT
//
// Grouped-query attention over the paged cache (Ainslie et al. 2023): query head h uses key and value head
// h / (heads / kv_heads); y = sum softmax(scale * q . k) * v. A token at position p of its sequence sees
// cache positions 0 … p of that sequence, its own included: kv_write of the step comes first.
//
// Rounding: scores, softmax and sums in float32 at least, y rounded once to its dtype. A padding token
// (sequence -1) gives zeros. Cache rows that a token does not see may hold anything, NaN included. Aliasing:
// none. A token's result does not depend on the other tokens of the step.
#ifndef ISOMER_KERNELS_GQA_ATTENTION_H
#define ISOMER_KERNELS_GQA_ATTENTION_H

#include "isomer/op.h"

#define ISO_GQA_MAX_DIM 256

typedef struct iso_gqa_attention {
    iso_tensor q;           // [T, heads, dim] f32 or bf16, may be a view; dim even, at most 256
    iso_tensor k_cache;     // [pages, 64, kv_heads, dim] as q; kv_heads divides heads
    iso_tensor v_cache;     // as k_cache
    iso_tensor block_table; // [S, max_pages] i32; entries past a sequence's last position are never read
    iso_tensor positions;   // [T] i32, >= 0
    iso_tensor sequence;    // [T] i32: row of block_table, -1 for padding
    iso_tensor y;           // [T, heads, dim] as q, may be a view
    float scale;
} iso_gqa_attention;

#endif
