// SPDX-License-Identifier: MIT
//
// RMSNorm: y = x * rsqrt(mean(x^2) + eps) * weight, over each row. Statistics in float32 at least.
// Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"; DeepSeek-V3 inference/model.py, class
// RMSNorm.
//
// Rounding: y is rounded once, to its dtype. Aliasing: y may be x itself (same storage, view and stride), no
// other overlap. A row with NaN or Inf gives NaN in that row.
#ifndef ISOMER_KERNELS_RMS_NORM_H
#define ISOMER_KERNELS_RMS_NORM_H

#include "isomer/op.h"

typedef struct iso_rms_norm {
    iso_tensor x;      // [..., width] f32 or bf16, may be a view
    iso_tensor weight; // [width] f32, f16 or bf16
    iso_tensor y;      // as x, may be a view
    float eps;         // > 0
} iso_rms_norm;

#endif
