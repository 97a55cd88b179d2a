// SPDX-License-Identifier: MIT
//
// Gather: y[i] = table[index[i]], row by row. Embedding lookup, and selection of the rows that the head
// needs.
//
// Rounding: each element is rounded once, to y's dtype; none where y can hold it exactly. An index outside
// the table
// (-1 marks padding) gives a row of zeros. Aliasing: none.
#ifndef ISOMER_KERNELS_GATHER_H
#define ISOMER_KERNELS_GATHER_H

#include "isomer/op.h"

typedef struct iso_gather {
    iso_tensor table; // [entries, width] f32, f16 or bf16, may be a view
    iso_tensor index; // [rows] i32
    iso_tensor y;     // [rows, width] f32 or bf16, may be a view
} iso_gather;

#endif
