// SPDX-License-Identifier: MIT
// Linear layer on tensor cores, from sm_80 on: y = x W^T + bias for BF16 x with a BF16 or an E4M3 weight, and for
// E4M3 x and weight by products of BF16. cuda_sm89.cu is the same text with products of E4M3. The code of a tile is
// dialect/cuda_matmul.kh, which grouped_linear shares.
//
// What decides. One row of decode reads every weight once and multiplies it once: memory is all that counts, and
// memory is busy only while every multiprocessor has some 20 to 30 KiB of loads under way. Prefill reads a weight
// once for many rows: there the tensor cores count, and how often a byte of shared memory is used. Both must give
// the same bits.
//
// The product turned round. mma.sync computes 16 x 8. Features are its 16 rows and rows of x its 8 columns (y^T = W
// x^T), so that up to 8 rows of decode fit one instruction, and x, not the weight, is what is padded with zeros.
//
// A group is 128 threads and computes one of three tiles, chosen by the number of rows of the call (cuda_sm80.c):
//
//     rows      tile (features x rows)   ring          its team                stages: BF16; BF16 x, E4M3 W; E4M3
//     1 … 8     16 x  8                  4, of a warp  one warp, 1/4 of K      4; 3; 4
//     9 … 16    16 x 16                  4, of a warp  one warp, 1/4 of K      3; 2; 3
//     17 …      64 x 64 (E4M3 W: 32)     1             four warps, all of K    3; 3; 4
//
// Narrow tiles: a warp has its own quarter of K, its own ring and its own pace; inside the loop warps do not wait
// for each other. With 16 features a group there are 132 groups for 2112 features, one for each multiprocessor
// of an H100, and 448 for 7168. A warp has 3 stages under way, the four of a group 24 KiB of weights.
// Wide tile: all warps share each stage. A warp multiplies 32 features by 32 rows, and reads 1 byte of shared memory
// for 8 multiply-adds of BF16; E4M3 with products of its own, 32 by 16. Where E4M3 is widened, 16 features by all 32
// rows: a weight is widened by one warp, which is worth that each reads all of x.
//
// One order of sums for every tile. K is cut into 4 parts of whole steps, the quarters above. Each part is one chain
// of products in ascending K (with scales: a chain for each 128 of K, multiplied by them and added), and the parts
// are added in order: ((p0 + p1) + p2) + p3. A wide tile goes through the parts one after the other and does the
// same additions.
//
// Everything along K is counted in bytes, which makes one layout of three formats. A *line* is 128 bytes of one row:
// 64 BF16 or 128 E4M3, which is a block that has one scale. A *step* takes one line of each feature and as much of K
// of each row of x: one line, or two where the weight is E4M3 and x BF16. A *slice* is 32 bytes of a line: K of one
// product of BF16 (16) or of E4M3 (32).
//
//     a stage of a ring                          a line in shared memory: 8 chunks of 16 bytes
//     +----------------------------------+       row 0:   0 1 2 3 4 5 6 7
//     | weight: one line a feature       |       row 1:   1 0 3 2 5 4 7 6      chunk c of row r lies in
//     +----------------------------------+       row 2:   2 3 0 1 6 7 4 5      column c ^ (r % 8)
//     | x: one line a row                |       …
//     +----------------------------------+       row 7:   7 6 5 4 3 2 1 0
//     | x: second line a row, if any     |
//     +----------------------------------+       x with an E4M3 weight: column c ^ 2 (r % 4)
//
// ldmatrix reads the same chunk of 8 rows at once: 8 columns, all 32 banks, no conflict. A copy writes whole lines:
// none either. With an E4M3 weight and BF16 x, x is read by 8 bytes a thread, two chunks of 4 rows at once: columns
// c and c + 1 of rows 0 … 3 are 8 different ones under c ^ 2 (r % 4).
//
// Who loads what. Thread i of a team copies chunk i % 8 of rows i / 8, i / 8 + threads / 8, … with cp.async, 16
// bytes past the registers: 8 neighbours fetch 128 bytes of one row. Rows that are not of the call, features past
// the last and K past the last are copied with a source size of 0: zeros are written and nothing is read. They add
// zeros, or are never stored: NaN in one row of x meets its own column of products only.
//
// The loop, in a ring of S stages: wait until at most S - 2 newer copies are under way, so that this step's has
// landed; one barrier of the team, after which all see it and all are done with the step before; start the copy of
// step + S - 1 into the stage of the step before; multiply. One barrier a step guards both ends of the ring.
//
// E4M3 without products of its own: a word of four E4M3 becomes two pairs of BF16 in registers, exactly, by four
// instructions a pair, the last a product with 2^120 (e4m3_to_bf16). Those four are neighbours in K where the
// instruction wants two pairs 8 apart; the order of K inside a product is free, so x is read in the same order
// instead, or widened the same way. NaN is not widened but remembered, for each row of the weight and of E4M3 x, by two
// instructions a word: one makes its whole feature, or its whole row of y, NaN, which is put in the place of the sums.
//
// Scales are fetched one step ahead into registers, both multiplied, and one fused multiply-add promotes the sum of
// 128 of K.
//
// The end. Sums go through shared memory, [part][row][feature] with 4 floats more a row (2 rows further is 8 banks
// further: no conflict), are added up, get the bias and leave as neighbouring features, rounded once.
//
// What limits it, by arithmetic (nothing here has run on a GPU): N = 2112, K = 7168, one row, BF16, 132
// multiprocessors: 30.3 MB of weights, 9 us at 3.35 TB/s. Each group streams 224 KiB of them, 25 bytes a nanosecond,
// with 24 KiB under way: enough for a latency of 0.9 us. Filling the rings at the start and adding up at the end are
// a microsecond or two that nothing overlaps, since there is one group a multiprocessor: that, not bandwidth, limits
// this shape; N = 7168 has 3.4 groups for each and overlaps them. 2112 features of 64 rows are 33 wide groups: a
// quarter of the chip, limited by what one multiprocessor can fetch. A large prefill is limited by the second level
// cache: a wide tile does 16 multiply-adds of BF16 for each byte that it fetches.
#include "cuda_sm80.kh"
#include "cuda_matmul.kh"

// The parts of K depend on it and are not stated: 0. Scaled sums are of one block.
KERNEL_MATRIX(BF16, BF16, BF16, 0)
KERNEL_MATRIX(BF16, E4M3, BF16, 128)
KERNEL_MATRIX(E4M3, E4M3, BF16, 128)

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
        matmul_run<matmul_shape<MATMUL_WIDE_FEATURES, MATMUL_WIDE_ROWS, 4u, MATMUL_WIDE_ACROSS>>(tile, ring);
    else if (group_rows == 16u)
        matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 16u, 1u, 1u>>(tile, ring);
    else
        matmul_run<matmul_shape<MATMUL_NARROW_FEATURES, 8u, 1u, 1u>>(tile, ring);
KERNEL_END
