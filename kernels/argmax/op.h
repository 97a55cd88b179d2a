// SPDX-License-Identifier: MIT
//
// Greedy pick: y = the index of the row's largest element, the lowest such index on ties. NaN is never
// chosen; a row of nothing but NaN gives 0. Exact. Aliasing: none.
#ifndef ISOMER_KERNELS_ARGMAX_H
#define ISOMER_KERNELS_ARGMAX_H

#include "isomer/op.h"

typedef struct iso_argmax {
    iso_tensor x; // [rows, width] f32, may be a view; width >= 1
    iso_tensor y; // [rows] i32
} iso_argmax;

#endif
