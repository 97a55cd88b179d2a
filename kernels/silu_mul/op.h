// SPDX-License-Identifier: MIT
//
// Gate of an MLP: y = silu(gate) * up, silu(z) = z / (1 + e^-z). Shazeer 2020, "GLU Variants Improve
// Transformer" (SwiGLU); DeepSeek-V3 inference/model.py, class MLP.
//
// Rounding: float32 inside, y is rounded once, to its dtype. A gate of -1e30 gives 0, as it should: nothing
// overflows on the way. Aliasing: y may be gate or up itself (same storage, view and stride), no other
// overlap. A gate of -Inf gives NaN.
#ifndef ISOMER_KERNELS_SILU_MUL_H
#define ISOMER_KERNELS_SILU_MUL_H

#include "isomer/op.h"

typedef struct iso_silu_mul {
    iso_tensor gate; // [..., width] f32 or bf16, may be a view
    iso_tensor up;   // as gate
    iso_tensor y;    // as gate
} iso_silu_mul;

#endif
