// SPDX-License-Identifier: MIT
//
// Rotary position embedding (Su et al. 2021, RoFormer, section 3.4): pair i of a token's row is turned by the
// angle position * frequency[i], and cos and sin are multiplied by `scale`. YaRN and llama3 scaling are in
// the frequencies.
//
// A frequency is turns per position as a 64-bit binary fraction. phase = the upper 32 bits of
// position * frequency mod 2^64; angle = 2 pi phase / 2^32. This is exact at every position, without 64-bit
// floats. Rounding: once, to y's dtype. Aliasing: y may be x itself (same storage, view and stride), no other
// overlap.
#ifndef ISOMER_KERNELS_ROPE_H
#define ISOMER_KERNELS_ROPE_H

#include "isomer/op.h"

#define ISO_ROPE_MAX_WIDTH 256

typedef struct iso_rope {
    iso_tensor x;         // [T, heads, r] or [T, r] f32 or bf16, may be a view; r even, at most 256
    iso_tensor positions; // [T] i32, >= 0
    iso_tensor frequency; // [r / 2, 2] u32: high and low word of turns per position
    iso_tensor y;         // as x, may be a view
    float scale;          // of cos and sin; 1 for DeepSeek
    bool interleaved;     // pairs are elements (2i, 2i + 1), else (i, i + r / 2)
} iso_rope;

#endif
