// SPDX-License-Identifier: MIT
//
// Quantisation of activations to FP8, one scale for each row and 128 channels: a = max(|x| max, 1e-4), scale
// = a / 448, q = x / scale rounded to E4M3. DeepSeek-V3 inference/kernel.py, act_quant; technical report,
// section 3.3.2.
//
// Rounding: scale to float32, q to nearest, ties to even, of a float32 quotient: where x / scale lies within
// rounding error of the middle between two E4M3 values, either is right. The last block may be shorter.
// Aliasing: none. A NaN in x gives NaN there and does not count for the maximum; an Inf makes its block's
// scale Inf.
#ifndef ISOMER_KERNELS_QUANTIZE_ACTIVATION_H
#define ISOMER_KERNELS_QUANTIZE_ACTIVATION_H

#include "isomer/op.h"

typedef struct iso_quantize_activation {
    iso_tensor x;     // [..., K] f32 or bf16, K a multiple of 4; may be a view
    iso_tensor q;     // [..., K] e4m3, leading dimensions as x
    iso_tensor scale; // [rows, ceil(K/128)] f32
} iso_quantize_activation;

#endif
