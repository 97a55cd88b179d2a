// SPDX-License-Identifier: MIT
// RMSNorm for warps. A row is worked on by `lanes` threads: one warp of the group where it is narrow (8 rows a group), all
// 8 warps where it is wide. The launch plan chooses by the width alone, so that a row's bits do not depend on the others.
//
//   row      |  8 elements  |  8 elements  | …        thread t takes pieces t, t + lanes, t + 2 lanes, …
//            |   thread 0   |   thread 1   |          a piece is one 16-byte access of BF16, two of F32
//
// A thread keeps its first 4 pieces in registers (rows up to 1024 elements in a warp, 8192 in a group): x is read from
// memory once, and a wider row's rest a second time. Squares are summed by each thread in ascending order, over the warp in
// a butterfly of shuffles, over the warps in their order.
#include "cuda_sm75.kh"

#define F32 0
#define BF16 1
#define F16 2
#if defined(X_BF16)
#define X_FORMAT BF16
#else
#define X_FORMAT F32
#endif
#if defined(W_BF16)
#define W_FORMAT BF16
#elif defined(W_F16)
#define W_FORMAT F16
#else
#define W_FORMAT F32
#endif
#define KEPT 4u

template <int format> FUNC float element(const uint *p, uint i)
{
    if (format == F32)
        return AS_FLOAT(p[i]);
    return format == BF16 ? bf16_in_word(p[i >> 1], i) : f16_converted(p[i >> 1] >> (16u * (i & 1u)));
}

// Elements i … i + 7, of which the first `here` exist; the others are 0.
template <int format> FUNC void load_piece(float v[8], const uint *p, uint i, uint here, bool aligned)
{
    if (aligned && here >= 8u) {
        uint word[8];
        load16(word, p + (format == F32 ? i : i >> 1));
        if (format == F32)
            load16(word + 4, p + i + 4u);
        UNROLL
        for (uint k = 0u; k < 8u; k++)
            v[k] = element<format>(word, k);
        return;
    }
    UNROLL
    for (uint k = 0u; k < 8u; k++)
        v[k] = k < here ? element<format>(p, i + k) : 0.0f;
}

template <int format> FUNC void store_piece(uint *p, uint i, const float v[8], uint here, bool aligned)
{
    uint word[8];
    UNROLL
    for (uint k = 0u; k < (format == F32 ? 8u : 4u); k++)
        word[k] = format == F32 ? AS_UINT(v[k]) : bf16_pair(v[2u * k], v[2u * k + 1u]);
    uint *at = p + (format == F32 ? i : i >> 1);
    if (aligned && here >= 8u) {
        store16(at, word);
        if (format == F32)
            store16(at + 4, word + 4);
        return;
    }
    UNROLL
    for (uint k = 0u; k < (format == F32 ? 8u : 4u); k++)
        if ((format == F32 ? k : 2u * k) < here)
            at[k] = word[k];
}

FUNC float squares(const float v[8])
{
    float sum = 0.0f;
    UNROLL
    for (uint k = 0u; k < 8u; k++)
        sum += v[k] * v[k];
    return sum;
}

FUNC void scale_piece(float v[8], float scale, const uint *weight, uint i, uint here)
{
    float w[8];
    load_piece<W_FORMAT>(w, weight, i, here, true); // contiguous: aligned wherever the storage is
    UNROLL
    for (uint k = 0u; k < 8u; k++)
        v[k] = v[k] * scale * w[k];
}

KERNEL_BEGIN(rms_norm, 256)
    IN_PLACE(u32, x) // [count, width] X, rows x_stride apart
    IN(u32, weight)  // [width] W
    OUT(u32, y)      // [count, width] as x, rows y_stride apart
    VALUE(uint, width)
    VALUE(uint, x_offset)
    VALUE(uint, x_stride)
    VALUE(uint, y_offset)
    VALUE(uint, y_stride)
    VALUE(float, eps)
    VALUE(uint, lanes)   // threads of a row: 32 or 256
    VALUE(uint, aligned) // rows of x and y begin at multiples of 16 bytes
KERNEL_SHARED
    SHARED(float, warp_squares, 8)
KERNEL_BODY
    uint lane = LOCAL_ID & (lanes - 1u);
    uint row = (GROUP_ID * 256u + LOCAL_ID) / lanes;
    uint step = 8u * lanes;
    uint first = 8u * lane;
    if (row >= count)
        return; // whole warps, and none of a wide row
    uint x_row = x_offset + row * x_stride;
    uint y_row = y_offset + row * y_stride;

    float kept[KEPT][8];
    float sum = 0.0f;
    UNROLL
    for (uint piece = 0u; piece < KEPT; piece++) {
        uint i = piece * step + first;
        if (i < width) {
            load_piece<X_FORMAT>(kept[piece], x, x_row + i, width - i, aligned != 0u);
            sum += squares(kept[piece]);
        }
    }
    for (uint i = KEPT * step + first; i < width; i += step) {
        float v[8];
        load_piece<X_FORMAT>(v, x, x_row + i, width - i, aligned != 0u);
        sum += squares(v);
    }
    sum = warp_sum(sum);
    if (lanes > 32u) {
        if ((lane & 31u) == 0u)
            warp_squares[lane >> 5] = sum;
        BARRIER();
        sum = 0.0f;
        for (uint warp = 0u; warp < 8u; warp++)
            sum += warp_squares[warp];
    }
    float scale = RSQRT(sum / TO_FLOAT(width) + eps);

    UNROLL
    for (uint piece = 0u; piece < KEPT; piece++) {
        uint i = piece * step + first;
        if (i < width) {
            scale_piece(kept[piece], scale, weight, i, width - i);
            store_piece<X_FORMAT>(y, y_row + i, kept[piece], width - i, aligned != 0u);
        }
    }
    for (uint i = KEPT * step + first; i < width; i += step) {
        float v[8];
        load_piece<X_FORMAT>(v, x, x_row + i, width - i, aligned != 0u);
        scale_piece(v, scale, weight, i, width - i);
        store_piece<X_FORMAT>(y, y_row + i, v, width - i, aligned != 0u);
    }
KERNEL_END
