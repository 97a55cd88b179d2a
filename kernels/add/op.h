// SPDX-License-Identifier: MIT
//
// Sum of two tensors, element by element: y = a + b. Residual connections.
//
// Rounding: the float32 sum is rounded once, to y's dtype. Aliasing: y may be a itself (same storage, view
// and stride), no other overlap.
#ifndef ISOMER_KERNELS_ADD_H
#define ISOMER_KERNELS_ADD_H

#include "isomer/op.h"

typedef struct iso_add {
    iso_tensor a; // [..., width] f32 or bf16, may be a view
    iso_tensor b; // as a
    iso_tensor y; // as a
} iso_add;

#endif
