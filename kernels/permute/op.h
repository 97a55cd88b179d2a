// SPDX-License-Identifier: MIT
//
// Permute: puts the (token, choice) pairs of a step in order of expert, stably, and cuts each expert's run
// into tiles of at most 8 rows for grouped_linear. Flat index = token * k + choice.
//     row[s]    = flat index at sorted position s        slot[flat] = sorted position, its inverse
//     tiles[i]  = {expert, first sorted position, rows, 0}, in order; rows is 8, or 1 … 8 in an expert's last
//     tile; the entries after the last are {-1, 0, 0, 0}
// Exact. Aliasing: none.
#ifndef ISOMER_KERNELS_PERMUTE_H
#define ISOMER_KERNELS_PERMUTE_H

#include "isomer/op.h"

#define ISO_PERMUTE_MAX_EXPERTS 512
#define ISO_PERMUTE_TILE_ROWS   8

typedef struct iso_permute {
    iso_tensor index;      // [T, k] i32, 0 … expert_count - 1
    iso_tensor row;        // [T, k] i32
    iso_tensor slot;       // [T, k] i32
    iso_tensor tiles;      // [T, k, 4] i32
    uint32_t expert_count; // at most 512
} iso_permute;

#endif
