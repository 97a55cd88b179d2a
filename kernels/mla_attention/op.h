// SPDX-License-Identifier: MIT
//
// Multi-head latent attention over the paged cache, in the absorbed form (DeepSeek-V2, section 2.1;
// FlashMLA's contract): every head has one query over the cached latent and one over the shared rope key,
//     score = scale * (q_latent . latent + q_rope . rope_key),   y = sum softmax(score) * latent.
// A token at position p of its sequence sees cache positions 0 … p of that sequence, its own included:
// kv_write of the step comes first.
//
// Rounding: scores, softmax and sums in float32 at least, y rounded once to its dtype. A padding token
// (sequence -1) gives zeros. Cache rows that a token does not see may hold anything, NaN included. Aliasing:
// none. A token's result does not depend on the other tokens of the step.
#ifndef ISOMER_KERNELS_MLA_ATTENTION_H
#define ISOMER_KERNELS_MLA_ATTENTION_H

#include "isomer/op.h"

#define ISO_MLA_MAX_LATENT 512
#define ISO_MLA_MAX_ROPE   64
#define ISO_MLA_MAX_HEADS  128

typedef struct iso_mla_attention {
    iso_tensor q_latent; // [T, heads, c] f32 or bf16, may be a view; c even, at most 512; heads at most 128
    iso_tensor q_rope;   // [T, heads, r] as q_latent, may be a view; r even, at most 64
    iso_tensor cache;    // [pages, 64, c + r] as q_latent: the normed latent, then the rope key
    iso_tensor block_table; // [S, max_pages] i32; entries past a sequence's last position are never read
    iso_tensor positions;   // [T] i32, >= 0
    iso_tensor sequence;    // [T] i32: row of block_table, -1 for padding
    iso_tensor y;           // [T, heads, c] as q_latent, may be a view
    float scale;
} iso_mla_attention;

#endif
