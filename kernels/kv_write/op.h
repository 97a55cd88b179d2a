// SPDX-License-Identifier: MIT
//
// Write to the paged KV cache: the row of token t is copied to cache row slots[t] (page * 64 + offset in the
// page); a negative slot writes nothing. Rows of the cache that no slot names keep what they hold.
//
// Rounding: none (bits are copied). Aliasing: none. Two tokens never have the same slot.
#ifndef ISOMER_KERNELS_KV_WRITE_H
#define ISOMER_KERNELS_KV_WRITE_H

#include "isomer/op.h"

typedef struct iso_kv_write {
    iso_tensor
        x; // [T, …, width] f32 or bf16: a token's row is all dimensions but the first; a view only at rank 2
    iso_tensor slots; // [T] i32, below pages * 64
    iso_tensor cache; // [pages, 64, …] as x, as many elements a token
} iso_kv_write;

#endif
