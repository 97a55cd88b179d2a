// SPDX-License-Identifier: MIT
#include "cuda_sm80.kh"
#include "cuda_matmul.kh"

// The parts of K depend on it and are not stated: 0. Scaled sums are of one block.
KERNEL_MATRIX(BF16, BF16, BF16, 0)
KERNEL_MATRIX(BF16, E4M3, BF16, 128)
KERNEL_MATRIX(E4M3, E4M3, E4M3, 128)

KERNEL_BEGIN(linear, 128)
    IN(X_TYPE, x)
    IN(f32, x_scale)
    IN(W_TYPE, weight)
    IN(f32, weight_scale)
    IN(u32, bias)
    OUT(Y_TYPE, y)
    VALUE(uint, width)
    VALUE(uint, features)
    VALUE(uint, x_offset)
    VALUE(uint, x_stride)
    VALUE(uint, bias_kind)
    VALUE(uint, y_offset)
    VALUE(uint, y_stride)
    VALUE(uint, group_rows)
KERNEL_SHARED
    SHARED(matmul_line, ring, MATMUL_LINES)
KERNEL_BODY
    uint first_row = GROUP_ID * group_rows;
    uint first_feature = GROUP_ID_Y * (group_rows == MATMUL_WIDE_ROWS ? MATMUL_WIDE_FEATURES : MATMUL_NARROW_FEATURES);
    matmul_tile tile;
    tile.weight = (const byte *)weight;
    tile.w_scale = weight_scale + (first_feature >> 7) * ((width + 127u) >> 7);
    tile.x = (const byte *)x + (u64)x_offset * MATMUL_X_BYTES;
    tile.x_scale = x_scale;
    tile.row = nullptr;
    tile.y = y;
    tile.bias = bias;
    tile.x_pitch = (u64)x_stride * MATMUL_X_BYTES;
    tile.width = width;
    tile.first_row = first_row;
    tile.rows = count - first_row;
    tile.first_feature = first_feature;
    tile.features = features - first_feature;
    tile.y_first = y_offset + first_row * y_stride + first_feature;
    tile.y_stride = y_stride;
    tile.bias_kind = bias_kind;
    tile.rows_per_token = 0u;
    if (group_rows == MATMUL_WIDE_ROWS)
        matmul_run<matmul_shape<MATMUL_WIDE_FEATURES, MATMUL_WIDE_ROWS, 4u>>(tile, ring);
    else if (group_rows == 16u)
        matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 16u, 1u>>(tile, ring);
    else
        matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 8u, 1u>>(tile, ring);
KERNEL_END
