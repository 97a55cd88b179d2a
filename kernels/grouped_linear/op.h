// SPDX-License-Identifier: MIT
//
// Grouped linear layer: the routed experts' matrices, each applied to the rows that the router sent to it.
// Rows are sorted by expert (kernels/permute). Row s of y is weight[expert of s] * x[rows_per_token ? row[s]
// / rows_per_token : s]. DeepSeekMoE (Dai et al. 2024), section 3; FP8 as in kernels/linear.
//
// Rounding: y is rounded once, to its dtype; float32 accumulation at least. Aliasing: none. The bits of a row
// do not depend on the other rows. Rows of y that no tile covers are not written.
#ifndef ISOMER_KERNELS_GROUPED_LINEAR_H
#define ISOMER_KERNELS_GROUPED_LINEAR_H

#include "isomer/op.h"

typedef struct iso_grouped_linear {
    iso_tensor x;       // [tokens or tokens * k, K] f32, bf16, or e4m3 with an e4m3 weight; may be a view
    iso_tensor x_scale; // [rows of x, ceil(K/128)] f32, with e4m3 x only
    iso_tensor weight;  // [experts, N, K] f32, f16, bf16 or e4m3
    iso_tensor weight_scale; // [experts, ceil(N/128), ceil(K/128)] f32, with an e4m3 weight only
    iso_tensor row;          // [tokens, k] i32: sorted position -> token * k + choice
    iso_tensor tiles; // [tokens, k, 4] i32: expert, first sorted row, rows 1 … 8, 0; expert -1: unused, as
                      // all after it. An expert's are neighbours, as their rows are, and have 8 but the last
    iso_tensor y;     // [tokens, k, N] f32 or bf16, in sorted order
    uint32_t rows_per_token; // k: x has one row a token; 0: x has one row a sorted position
} iso_grouped_linear;

#endif
