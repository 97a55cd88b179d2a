// SPDX-License-Identifier: MIT
//
// Un-permute: gathers the experts' outputs of each token and adds them up with their weights,
//     y[t] = base[t] + sum over j of weight[t, j] * x[slot[t, j]],   j ascending,
// in float32 and in this order, so that the same run gives the same bits. `base` is the shared expert's
// output.
//
// Rounding: once, to y's dtype. Aliasing: y may be base itself (same storage, view and stride), no other
// overlap.
#ifndef ISOMER_KERNELS_UNPERMUTE_H
#define ISOMER_KERNELS_UNPERMUTE_H

#include "isomer/op.h"

typedef struct iso_unpermute {
    iso_tensor x;      // [T, k, width] f32 or bf16, rows in sorted order (iso_permute), may be a view
    iso_tensor slot;   // [T, k] i32: sorted position of choice j of token t
    iso_tensor weight; // [T, k] f32
    iso_tensor base;   // [T, width] as x, optional, may be a view
    iso_tensor y;      // [T, width] as x, may be a view
} iso_unpermute;

#endif
