// SPDX-License-Identifier: MIT
// Grouped linear layer on the tensor cores of sm_80, by the tiles of linear (kernels/linear/cuda_sm80.cu, where the
// design stands), with the same bits whichever is taken. The plan chooses by the rows that an expert has on average:
//
//     below 16     a group computes 16 features of one tile of the router's, which is at most 8 rows of one expert
//     16 and more  a group computes 64 features of a *run*: 8 neighbouring tiles of one expert (E4M3 weight: 4),
//                  counted from its first one, which are neighbouring rows; the last run of an expert may be shorter
//
//     tiles      0   1   2   3   4   5   6   7   8   9         a group for each, in both; of runs, those of tiles
//     expert     0   2   2   2   2   2   2   5   5   -1        0, 1, 5 and 7 work and the others end at once
//     runs of 4  [ ] [             ] [     ] [     ]
//
// A group finds out whether its tile is the first of a run by counting those of the same expert before it, 32 at a
// time: one load and one ballot where an expert has no more than 256 rows. A wide tile reads and widens a weight once
// for 32 or 64 rows, not for 8: that is worth its padding from two of the router's tiles on. Below that, more groups
// and less padding count. Groups of one expert run side by side: its matrix is read from memory once, and from the
// second level cache for each tile or run more.
#include "cuda_sm80.kh"
#include "cuda_matmul.kh"

// The parts of K depend on it and are not stated: 0. Scaled sums are of one block.
KERNEL_MATRIX(BF16, BF16, BF16, 0)
KERNEL_MATRIX(BF16, E4M3, BF16, 128)
KERNEL_MATRIX(E4M3, E4M3, BF16, 128)

#define RUN_TILES (MATMUL_WIDE_ROWS / 8u)

// How many tiles of its expert stand before tile `at`: a warp looks at 32 of its neighbours at once.
FUNC uint tiles_before(const i32 *tiles, uint at, i32 expert)
{
    uint before = 0u, found;
    do {
        uint back = before + (LOCAL_ID & 31u) + 1u;
        found = bits_set(warp_ballot(back <= at && AT(tiles, (at - back) * 4u) == expert));
        before += found;
    } while (found == 32u);
    return before;
}

// The rows of tile `at` and of those behind it, of `count`, that are of its run.
FUNC uint run_rows(const i32 *tiles, uint at, uint count, i32 expert)
{
    uint lane = LOCAL_ID & 31u;
    bool same = lane < RUN_TILES && at + lane < count && AT(tiles, (at + lane) * 4u) == expert;
    uint last = at + bits_set(warp_ballot(same)) - 1u;
    return TO_UINT(AT(tiles, last * 4u + 1u) + AT(tiles, last * 4u + 2u) - AT(tiles, at * 4u + 1u));
}

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
    VALUE(uint, group_rows)
KERNEL_SHARED
    SHARED(matmul_line, ring, MATMUL_LINES)
KERNEL_BODY
    bool wide = group_rows == MATMUL_WIDE_ROWS;
    uint first_feature = GROUP_ID_Y * (wide ? MATMUL_WIDE_FEATURES : MATMUL_NARROW_FEATURES);
    i32 expert = AT(tiles, GROUP_ID * 4u);
    if (expert < 0 || (wide && tiles_before(tiles, GROUP_ID, expert) % RUN_TILES != 0u))
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
    tile.rows = wide ? run_rows(tiles, GROUP_ID, count, expert) : TO_UINT(AT(tiles, GROUP_ID * 4u + 2u));
    tile.first_feature = first_feature;
    tile.features = features - first_feature;
    tile.y_first = tile.first_row * features + first_feature;
    tile.y_stride = features;
    tile.bias_kind = 0u;
    tile.rows_per_token = rows_per_token;
    if (wide)
        matmul_run<matmul_shape<MATMUL_WIDE_FEATURES, MATMUL_WIDE_ROWS, 4u, MATMUL_WIDE_ACROSS>>(tile, ring);
    else
        matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 8u, 1u, 1u>>(tile, ring);
KERNEL_END
