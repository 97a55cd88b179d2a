// SPDX-License-Identifier: MIT
//
// The matrix product that linear, grouped_linear and head_linear share on the host: one block of rows by
// features. Knows no op. One to four rows stream the weights once and widen them in registers; more rows
// widen a panel of weights and one of activations to float first, so that each weight is widened once per
// block.
//
// Every (row, feature) sums K in ascending order over 16 lanes that are folded in a fixed tree at the end,
// whatever the number of rows: the bits of a row do not depend on the others.
#ifndef ISOMER_KERNELS_CPU_MATMUL_H
#define ISOMER_KERNELS_CPU_MATMUL_H

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels/cpu_vector.h"

// ---- types ----

// Limits of a block. Few rows may have many features.
enum {
    ISO_MATMUL_ROWS = 32,
    ISO_MATMUL_FEATURES = 32,
    ISO_MATMUL_FEW_ROWS = 4,
    ISO_MATMUL_FEW_ROWS_FEATURES = 256,
};

typedef struct iso_matmul_block {
    const void *x; // row 0 of x
    iso_dtype x_dtype;
    uint32_t x_stride;
    const float *x_scale; // row 0 of [rows of x, ceil(width/128)]; only read for E4M3 x
    const int32_t
        *row_list; // which row of x is row r of the block: row_list[r] / row_divisor; NULL: first_row + r
    uint32_t row_divisor;
    uint32_t first_row;
    uint32_t row_count; // 1 … ISO_MATMUL_ROWS
    const void *weight; // row of the block's first feature
    iso_dtype weight_dtype;
    uint32_t width;            // of K: elements of a row of x and of weight
    const float *weight_scale; // row 0 of [.., ceil(width/128)]; only read for E4M3 weights
    uint32_t scale_feature;    // the first feature's row of weight_scale is scale_feature / 128
    uint32_t feature_count;
    const void *bias; // of the first feature; NULL: none
    iso_dtype bias_dtype;
    void *y; // first feature of the block's first row
    iso_dtype y_dtype;
    uint32_t y_stride;
} iso_matmul_block;

#define ISO_MATMUL_PANEL 16384 // floats

// Of one thread, undefined before and after a block.
typedef struct iso_matmul_scratch {
    float x[ISO_MATMUL_PANEL];
    float weight[ISO_MATMUL_PANEL / ISO_MATMUL_ROWS * 4];   // of the features of one register tile
    iso_vector sums[ISO_MATMUL_ROWS * ISO_MATMUL_FEATURES]; // [row][feature]
    iso_vector unread[8]; // what a register tile's rows beyond the last one go to
    float y[ISO_MATMUL_FEW_ROWS_FEATURES];
} iso_matmul_scratch;

// ---- calls ----

// Computes the block.
static inline void iso_matmul_run(const iso_matmul_block *block, iso_matmul_scratch *scratch);

// How many features a group should take, so that it has enough work to be worth a dispatch to a thread.
static inline uint32_t iso_matmul_group_features(uint32_t rows, uint32_t features, uint32_t width)
{
    if (rows > ISO_MATMUL_FEW_ROWS)
        return ISO_MATMUL_FEATURES;
    const uint32_t worth_while = 65536; // multiply-adds, some microseconds
    uint64_t wanted = worth_while / ((uint64_t)rows * width) / 16 * 16;
    if (wanted < 16)
        wanted = 16;
    if (wanted > ISO_MATMUL_FEW_ROWS_FEATURES)
        wanted = ISO_MATMUL_FEW_ROWS_FEATURES;
    return wanted < features ? (uint32_t)wanted : features;
}

// ---- implementation ----

// The compilers keep vectors wider than a register in memory. So the 16 lanes of a sum are computed as parts
// of one register each, one part after the other: lane i of the whole sums elements i, i + 16, i + 32, … on
// every machine.
#if defined(__AVX512F__)
#define ISO_PART_LANES 16
#define ISO_TILE_ROWS  4
#elif defined(__AVX2__)
#define ISO_PART_LANES 8
#define ISO_TILE_ROWS  2
#else
#define ISO_PART_LANES 4
#define ISO_TILE_ROWS  2
#endif
#define ISO_TILE_FEATURES 4
#define ISO_UNROLL        _Pragma("GCC unroll 8")

typedef float iso_part __attribute__((vector_size(ISO_PART_LANES * 4), aligned(4)));
typedef uint32_t iso_part_u32 __attribute__((vector_size(ISO_PART_LANES * 4), aligned(4)));
typedef uint16_t iso_part_u16 __attribute__((vector_size(ISO_PART_LANES * 2), aligned(2)));
typedef uint8_t iso_part_u8 __attribute__((vector_size(ISO_PART_LANES), aligned(1)));

#ifdef __F16C__
static inline iso_part iso_part_from_f16(iso_part_u16 bits)
{
#ifdef __AVX512F__
    return (iso_part)_mm512_cvtph_ps((__m256i)bits);
#else
    return (iso_part)_mm256_cvtph_ps((__m128i)bits);
#endif
}
// E4M3 moved to the places of F16 is the value / 256, subnormals included.
static inline iso_part iso_part_from_e4m3(iso_part_u8 bits)
{
    iso_part_u16 u = __builtin_convertvector(bits, iso_part_u16);
    iso_part_u16 magnitude = (u & 0x7f) << 7;
    iso_part_u16 nan = (iso_part_u16)(magnitude == 0x3f80) & 0x7e00;
    return iso_part_from_f16(magnitude | nan | (u & 0x80) << 8) * 256.0f;
}
#else
static inline iso_part iso_part_from_f16(iso_part_u16 bits)
{
    iso_part_u32 u = __builtin_convertvector(bits, iso_part_u32);
    iso_part_u32 magnitude = u & 0x7fffu;
    iso_part value = (iso_part)(magnitude << 13) * 0x1p112f;
    iso_part_u32 special = (iso_part_u32)(magnitude >= 0x7c00u) & 0x7f800000u;
    return (iso_part)((iso_part_u32)value | special | (u & 0x8000u) << 16);
}
// A subnormal m * 2^-9 is made as 2^-6 * (1 + m/8) - 2^-6: products with subnormal floats are slow.
static inline iso_part iso_part_from_e4m3(iso_part_u8 bits)
{
    iso_part_u32 u = __builtin_convertvector(bits, iso_part_u32);
    iso_part_u32 magnitude = u & 0x7fu;
    iso_part_u32 subnormal = (iso_part_u32)(magnitude < 8u),
                 nan = (iso_part_u32)(magnitude == 0x7fu) & 0x7fc00000u;
    iso_part_u32 shifted = (magnitude << 20) + 0x3c000000u + (subnormal & 0x800000u);
    iso_part value = (iso_part)shifted - (iso_part)(subnormal & 0x3c800000u);
    return (iso_part)((iso_part_u32)value | nan | (u & 0x80u) << 24);
}
#endif

// Bytes of an element, known to the compiler.
#define ISO_WIDTH_OF(dtype) ((dtype) == ISO_DTYPE_F32 ? 4u : (dtype) == ISO_DTYPE_F8_E4M3 ? 1u : 2u)

static inline iso_part iso_part_from_bf16(iso_part_u16 bits)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (iso_part)(_mm256_cvtepu16_epi32((__m128i)bits) << 16); // the compilers miss this instruction
#else
    return (iso_part)(__builtin_convertvector(bits, iso_part_u32) << 16);
#endif
}

// The ISO_PART_LANES elements at `at`.
static inline __attribute__((always_inline)) iso_part iso_part_load(const void *at, const iso_dtype dtype)
{
    switch (dtype) {
    case ISO_DTYPE_BF16:
        return iso_part_from_bf16(*(const iso_part_u16 *)at);
    case ISO_DTYPE_F16:
        return iso_part_from_f16(*(const iso_part_u16 *)at);
    case ISO_DTYPE_F8_E4M3:
        return iso_part_from_e4m3(*(const iso_part_u8 *)at);
    default:
        return *(const iso_part *)at;
    }
}

// The first `count` of them, then zeros.
static inline iso_part iso_part_load_some(const void *at, const iso_dtype dtype, uint32_t count)
{
    char elems[ISO_PART_LANES * 4] __attribute__((aligned(64))) = {0};
    if (count > 0)
        memcpy(elems, at, (count < ISO_PART_LANES ? count : ISO_PART_LANES) * ISO_WIDTH_OF(dtype));
    return iso_part_load(elems, dtype);
}

typedef struct iso_matmul_tile {
    const float *x[ISO_TILE_ROWS];
    const void *weight[ISO_TILE_FEATURES];
    float *sums[ISO_TILE_ROWS]; // [feature][16 lanes]
    // Of the first block of K in this part; the next block's follows. NULL: no scales.
    const float *x_scale[ISO_TILE_ROWS];
    const float *weight_scale[ISO_TILE_FEATURES];
    uint32_t depth; // elements of K
} iso_matmul_tile;

// As the end of K: the whole part lies before it.
#define ISO_INSIDE UINT32_MAX

// Adds the products of one part of a vector of K to the sums. x is padded with zeros to whole vectors.
static inline __attribute__((always_inline)) void
iso_matmul_step(const iso_matmul_tile *tile, const int rows, const iso_dtype dtype, uint32_t k,
                const uint32_t end, iso_part sums[ISO_TILE_ROWS][ISO_TILE_FEATURES])
{
    iso_part w[ISO_TILE_FEATURES];
    ISO_UNROLL
    for (int f = 0; f < ISO_TILE_FEATURES; f++) {
        const char *at = (const char *)tile->weight[f] + k * ISO_WIDTH_OF(dtype);
        w[f] = end == ISO_INSIDE ? iso_part_load(at, dtype)
                                 : iso_part_load_some(at, dtype, k < end ? end - k : 0);
    }
    ISO_UNROLL
    for (int r = 0; r < rows; r++) {
        iso_part x = *(const iso_part *)(tile->x[r] + k);
        ISO_UNROLL
        for (int f = 0; f < ISO_TILE_FEATURES; f++)
            sums[r][f] += x * w[f];
    }
}

// Elements first … end-1 of K, at most one block of scales where there are scales.
static inline __attribute__((always_inline)) void iso_matmul_span(const iso_matmul_tile *tile, const int rows,
                                                                  const iso_dtype dtype, const bool scaled,
                                                                  uint32_t first, uint32_t end)
{
    for (uint32_t lane = 0; lane < ISO_LANES; lane += ISO_PART_LANES) {
        iso_part sums[ISO_TILE_ROWS][ISO_TILE_FEATURES];
        ISO_UNROLL
        for (int r = 0; r < rows; r++)
            ISO_UNROLL
        for (int f = 0; f < ISO_TILE_FEATURES; f++)
            sums[r][f] = scaled ? (iso_part){0} : *(iso_part *)(tile->sums[r] + f * ISO_LANES + lane);
        uint32_t k = first;
        for (; k + ISO_LANES <= end; k += ISO_LANES)
            iso_matmul_step(tile, rows, dtype, k + lane, ISO_INSIDE, sums);
        if (k < end)
            iso_matmul_step(tile, rows, dtype, k + lane, end, sums);
        ISO_UNROLL
        for (int r = 0; r < rows; r++)
            ISO_UNROLL
        for (int f = 0; f < ISO_TILE_FEATURES; f++) {
            iso_part *at = (iso_part *)(tile->sums[r] + f * ISO_LANES + lane);
            if (!scaled) {
                *at = sums[r][f];
                continue;
            }
            float scale = tile->weight_scale[f][first / ISO_FP8_BLOCK];
            if (tile->x_scale[r])
                scale *= tile->x_scale[r][first / ISO_FP8_BLOCK];
            *at += sums[r][f] * scale;
        }
    }
}

static inline __attribute__((always_inline)) void
iso_matmul_tile_run(const iso_matmul_tile *tile, const int rows, const iso_dtype dtype, const bool scaled)
{
    if (!scaled) {
        iso_matmul_span(tile, rows, dtype, false, 0, tile->depth);
        return;
    }
    for (uint32_t k = 0; k < tile->depth; k += ISO_FP8_BLOCK)
        iso_matmul_span(tile, rows, dtype, true, k,
                        tile->depth - k < ISO_FP8_BLOCK ? tile->depth : k + ISO_FP8_BLOCK);
}

static inline __attribute__((always_inline)) void
iso_matmul_tile_as(const iso_matmul_tile *tile, const int rows, iso_dtype dtype, bool scaled)
{
    switch (dtype) {
    case ISO_DTYPE_BF16:
        iso_matmul_tile_run(tile, rows, ISO_DTYPE_BF16, false);
        break;
    case ISO_DTYPE_F16:
        iso_matmul_tile_run(tile, rows, ISO_DTYPE_F16, false);
        break;
    case ISO_DTYPE_F8_E4M3:
        iso_matmul_tile_run(tile, rows, ISO_DTYPE_F8_E4M3, true);
        break;
    default: // F32, and the panels of the others
        if (scaled)
            iso_matmul_tile_run(tile, rows, ISO_DTYPE_F32, true);
        else
            iso_matmul_tile_run(tile, rows, ISO_DTYPE_F32, false);
    }
}

static inline uint32_t iso_matmul_x_row(const iso_matmul_block *block, uint32_t row)
{
    return block->row_list ? (uint32_t)block->row_list[row] / block->row_divisor : block->first_row + row;
}

// Elements first … first+depth-1 of a row as floats, padded with zeros to whole vectors.
static inline __attribute__((always_inline)) void
iso_matmul_widen_as(const void *row, const iso_dtype dtype, uint32_t first, uint32_t depth, float *out)
{
    const char *at = (const char *)row + first * ISO_WIDTH_OF(dtype);
    uint32_t k = 0;
    for (; k + ISO_PART_LANES <= depth; k += ISO_PART_LANES)
        *(iso_part *)(out + k) = iso_part_load(at + k * ISO_WIDTH_OF(dtype), dtype);
    for (; k % ISO_LANES || k < depth; k += ISO_PART_LANES)
        *(iso_part *)(out + k) =
            iso_part_load_some(at + k * ISO_WIDTH_OF(dtype), dtype, k < depth ? depth - k : 0);
}

static inline void iso_matmul_widen(const void *row, iso_dtype dtype, uint32_t first, uint32_t depth,
                                    float *out)
{
    switch (dtype) {
    case ISO_DTYPE_BF16:
        iso_matmul_widen_as(row, ISO_DTYPE_BF16, first, depth, out);
        break;
    case ISO_DTYPE_F16:
        iso_matmul_widen_as(row, ISO_DTYPE_F16, first, depth, out);
        break;
    case ISO_DTYPE_F8_E4M3:
        iso_matmul_widen_as(row, ISO_DTYPE_F8_E4M3, first, depth, out);
        break;
    default:
        iso_matmul_widen_as(row, ISO_DTYPE_F32, first, depth, out);
    }
}

// One part of K, of at most `pitch` elements: x lies widened in scratch->x.
static inline void iso_matmul_part(const iso_matmul_block *block, iso_matmul_scratch *scratch, uint32_t first,
                                   uint32_t depth, uint32_t pitch)
{
    bool few = block->row_count <= ISO_MATMUL_FEW_ROWS, scaled = block->weight_dtype == ISO_DTYPE_F8_E4M3;
    uint32_t sums_pitch = iso_div_up(block->feature_count, ISO_TILE_FEATURES) * ISO_TILE_FEATURES;
    uint32_t k_blocks = iso_div_up(block->width, ISO_FP8_BLOCK), k_block = first / ISO_FP8_BLOCK;
    uint32_t tile_rows = block->row_count == 1 ? 1 : ISO_TILE_ROWS;
    iso_dtype dtype = few ? block->weight_dtype : ISO_DTYPE_F32;
    for (uint32_t f0 = 0; f0 < block->feature_count; f0 += ISO_TILE_FEATURES) {
        iso_matmul_tile tile = {.depth = depth};
        for (uint32_t i = 0; i < ISO_TILE_FEATURES; i++) {
            // Beyond the last feature or row the last one is computed again, into sums that nobody reads.
            uint32_t f = f0 + i < block->feature_count ? f0 + i : block->feature_count - 1;
            const char *row = iso_row(block->weight, block->weight_dtype, f, block->width);
            tile.weight[i] = row + first * iso_dtype_bytes(block->weight_dtype);
            if (!few) {
                iso_matmul_widen(tile.weight[i], block->weight_dtype, 0, depth, scratch->weight + i * pitch);
                tile.weight[i] = scratch->weight + i * pitch;
            }
            if (scaled)
                tile.weight_scale[i] = block->weight_scale + k_block +
                                       (size_t)((block->scale_feature + f) / ISO_FP8_BLOCK) * k_blocks;
        }
        for (uint32_t r0 = 0; r0 < block->row_count; r0 += tile_rows) {
            for (uint32_t i = 0; i < tile_rows; i++) {
                uint32_t r = r0 + i < block->row_count ? r0 + i : block->row_count - 1;
                tile.x[i] = scratch->x + r * pitch;
                tile.sums[i] = (float *)(r0 + i < block->row_count ? scratch->sums + r * sums_pitch + f0
                                                                   : scratch->unread);
                if (block->x_dtype == ISO_DTYPE_F8_E4M3)
                    tile.x_scale[i] =
                        block->x_scale + (size_t)iso_matmul_x_row(block, r) * k_blocks + k_block;
            }
            if (tile_rows == 1)
                iso_matmul_tile_as(&tile, 1, dtype, scaled);
            else
                iso_matmul_tile_as(&tile, ISO_TILE_ROWS, dtype, scaled);
        }
    }
}

// iso_sum_lanes, in its order of additions, from memory and in vectors of four.
static inline float iso_matmul_fold(const float *lanes)
{
    typedef float four __attribute__((vector_size(16), aligned(4)));
    const four *v = (const four *)lanes;
    four sum = (v[0] + v[2]) + (v[1] + v[3]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

static inline void iso_matmul_run(const iso_matmul_block *block, iso_matmul_scratch *scratch)
{
    uint32_t rows = block->row_count, features = block->feature_count;
    uint32_t sums_pitch = iso_div_up(features, ISO_TILE_FEATURES) * ISO_TILE_FEATURES;
    uint32_t pitch = ISO_MATMUL_PANEL / (rows <= ISO_MATMUL_FEW_ROWS ? ISO_MATMUL_FEW_ROWS : ISO_MATMUL_ROWS);
    memset(scratch->sums, 0, sizeof(iso_vector) * rows * sums_pitch);
    memset(scratch->unread, 0, sizeof scratch->unread);
    for (uint32_t first = 0; first < block->width; first += pitch) {
        uint32_t depth = block->width - first < pitch ? block->width - first : pitch;
        for (uint32_t r = 0; r < rows; r++)
            iso_matmul_widen(iso_row(block->x, block->x_dtype, iso_matmul_x_row(block, r), block->x_stride),
                             block->x_dtype, first, depth, scratch->x + r * pitch);
        iso_matmul_part(block, scratch, first, depth, pitch);
    }
    for (uint32_t r = 0; r < rows; r++) {
        void *y = iso_row_out(block->y, block->y_dtype, r, block->y_stride);
        for (uint32_t f = 0; f < features; f++)
            scratch->y[f] = iso_matmul_fold((const float *)&scratch->sums[r * sums_pitch + f]);
        for (uint32_t f = 0; f < features; f += ISO_LANES) {
            iso_vector v = iso_load_vector(scratch->y, ISO_DTYPE_F32, f, features);
            if (block->bias)
                v += iso_load_vector(block->bias, block->bias_dtype, f, features);
            iso_store_vector(y, block->y_dtype, f, features, v);
        }
    }
}

#endif
