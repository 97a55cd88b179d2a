// SPDX-License-Identifier: MIT
// Grouped linear layer on the tensor cores of sm_80: a group computes 16 features of one tile of the router's (at
// most 8 rows of one expert), exactly as linear computes 16 features of at most 8 rows (kernels/linear/cuda_sm80.cu,
// where the design stands). The groups of one expert's tiles run side by side, so that its matrix is read from
// memory once and from the second level cache for the rest. Groups of unused tiles end at once.
#include "cuda_sm80.kh"
#include "cuda_matmul.kh"

// The parts of K depend on it and are not stated: 0. Scaled sums are of one block.
KERNEL_MATRIX(BF16, BF16, BF16, 0)
KERNEL_MATRIX(BF16, E4M3, BF16, 128)
KERNEL_MATRIX(E4M3, E4M3, BF16, 128)

KERNEL_BEGIN(grouped_linear, 128)
    IN(X_TYPE, x)
    IN(f32, x_scale)
    IN(W_TYPE, weight)
    IN(f32, weight_scale)
    IN(i32, row)
    IN(i32, tiles)
    OUT(Y_TYPE, y)
    VALUE(uint, width)
    VALUE(uint, features)
    VALUE(uint, x_offset)
    VALUE(uint, x_stride)
    VALUE(uint, rows_per_token)
KERNEL_SHARED
    SHARED(matmul_line, ring, MATMUL_LINES)
KERNEL_BODY
    uint first_feature = GROUP_ID_Y * MATMUL_NARROW_FEATURES;
    i32 expert = AT(tiles, GROUP_ID * 4u);
    if (expert < 0)
        return; // all threads of the group
    matmul_tile tile;
    tile.weight = (const byte *)weight + (u64)TO_UINT(expert) * features * (width * MATMUL_W_BYTES);
    uint scale_row = TO_UINT(expert) * ((features + 127u) >> 7) + (first_feature >> 7);
    tile.w_scale = weight_scale + scale_row * ((width + 127u) >> 7);
    tile.x = (const byte *)x + (u64)x_offset * MATMUL_X_BYTES;
    tile.x_scale = x_scale;
    tile.row = row;
    tile.y = y;
    tile.bias = nullptr;
    tile.x_pitch = (u64)x_stride * MATMUL_X_BYTES;
    tile.width = width;
    tile.first_row = TO_UINT(AT(tiles, GROUP_ID * 4u + 1u));
    tile.rows = TO_UINT(AT(tiles, GROUP_ID * 4u + 2u));
    tile.first_feature = first_feature;
    tile.features = features - first_feature;
    tile.y_first = tile.first_row * features + first_feature;
    tile.y_stride = features;
    tile.bias_kind = 0u;
    tile.rows_per_token = rows_per_token;
    matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 8u, 1u>>(tile, ring);
KERNEL_END
