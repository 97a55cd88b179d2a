// SPDX-License-Identifier: MIT
//
// Linear layer: y = x * weight^T + bias, over each row of x; float32 accumulation at least.
// FP8: E4M3 weights have one scale per block of 128 features by 128 of K, E4M3 activations one per row and
// 128 of K; the sum over each 128 of K is multiplied by both and added. DeepSeek-V3 technical report,
// section 3.3.2, and README_WEIGHTS.md. Weights may be E4M3 with float activations (scales applied the same
// way).
//
// Rounding: y is rounded once, to its dtype. Aliasing: none. A NaN or Inf in a row of x gives NaN or Inf in
// that row of y alone. The bits of a row do not depend on the other rows.
#ifndef ISOMER_KERNELS_LINEAR_H
#define ISOMER_KERNELS_LINEAR_H

#include "isomer/op.h"

typedef struct iso_linear {
    iso_tensor x;            // [..., K] f32, bf16, or e4m3 with an e4m3 weight; may be a view
    iso_tensor x_scale;      // [rows of x, ceil(K/128)] f32, with e4m3 x only
    iso_tensor weight;       // [N, K] f32, f16, bf16 or e4m3
    iso_tensor weight_scale; // [ceil(N/128), ceil(K/128)] f32, with an e4m3 weight only
    iso_tensor bias;         // [N] f32, f16 or bf16; optional
    iso_tensor y;            // [..., N] f32 or bf16, leading dimensions as x; may be a view
} iso_linear;

#endif
