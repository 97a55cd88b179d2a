// SPDX-License-Identifier: MIT
//
// 16 floats at a time for the CPU kernels, in the compiler's portable vector types: one text gives AVX-512,
// AVX2 or plain code, as the file is compiled. Narrow types are widened exactly.
#ifndef ISOMER_KERNELS_CPU_VECTOR_H
#define ISOMER_KERNELS_CPU_VECTOR_H

#include <string.h>

#include "kernels/kernel.h"

#define ISO_LANES 16

typedef float iso_vector __attribute__((vector_size(64), aligned(4)));
typedef uint32_t iso_vector_u32 __attribute__((vector_size(64), aligned(4)));
typedef uint16_t iso_vector_u16 __attribute__((vector_size(32), aligned(2)));
typedef uint8_t iso_vector_u8 __attribute__((vector_size(16), aligned(1)));

// Passes the tensor's first element, view offset included: CPU kernels need no offsets of their own.
void iso_launch_view(iso_launch *launch, const iso_tensor *tensor);

static inline const void *iso_row(const void *base, iso_dtype dtype, size_t row, size_t stride)
{
    return (const char *)base + row * stride * iso_dtype_bytes(dtype);
}
static inline void *iso_row_out(void *base, iso_dtype dtype, size_t row, size_t stride)
{
    return (char *)base + row * stride * iso_dtype_bytes(dtype);
}

static inline iso_vector iso_splat(float value)
{
    return value - (iso_vector){0};
}

static inline iso_vector iso_widen_bf16(iso_vector_u16 bits)
{
    return (iso_vector)(__builtin_convertvector(bits, iso_vector_u32) << 16);
}

// The exponent and mantissa are placed where a float has them; the product with a power of two then moves the
// exponent's bias, subnormals included.
static inline iso_vector iso_widen_f16(iso_vector_u16 bits)
{
    iso_vector_u32 u = __builtin_convertvector(bits, iso_vector_u32);
    iso_vector_u32 magnitude = u & 0x7fffu;
    iso_vector value = (iso_vector)(magnitude << 13) * 0x1p112f;
    iso_vector_u32 special = (iso_vector_u32)(magnitude >= 0x7c00u) & 0x7f800000u;
    return (iso_vector)(((iso_vector_u32)value | special) | (u & 0x8000u) << 16);
}
static inline iso_vector iso_widen_e4m3(iso_vector_u8 bits)
{
    iso_vector_u32 u = __builtin_convertvector(bits, iso_vector_u32);
    iso_vector_u32 magnitude = u & 0x7fu;
    iso_vector value = (iso_vector)(magnitude << 20) * 0x1p120f;
    iso_vector_u32 nan = (iso_vector_u32)(magnitude == 0x7fu) & 0x7fc00000u;
    return (iso_vector)(((iso_vector_u32)value | nan) | (u & 0x80u) << 24);
}

// Elements i … i+15 of a row of `width`; those past the end are 0.
static inline iso_vector iso_load_vector(const void *row, iso_dtype dtype, uint32_t i, uint32_t width)
{
    uint32_t count = width - i < ISO_LANES ? width - i : ISO_LANES;
    switch (dtype) {
    case ISO_DTYPE_BF16:
    case ISO_DTYPE_F16: {
        iso_vector_u16 bits = {0};
        const uint16_t *at = (const uint16_t *)row + i;
        if (count == ISO_LANES)
            bits = *(const iso_vector_u16 *)at;
        else
            memcpy(&bits, at, count * sizeof *at);
        return dtype == ISO_DTYPE_BF16 ? iso_widen_bf16(bits) : iso_widen_f16(bits);
    }
    case ISO_DTYPE_F8_E4M3: {
        iso_vector_u8 bits = {0};
        const uint8_t *at = (const uint8_t *)row + i;
        if (count == ISO_LANES)
            bits = *(const iso_vector_u8 *)at;
        else
            memcpy(&bits, at, count);
        return iso_widen_e4m3(bits);
    }
    default: {
        iso_vector value = {0};
        const float *at = (const float *)row + i;
        if (count == ISO_LANES)
            value = *(const iso_vector *)at;
        else
            memcpy(&value, at, count * sizeof *at);
        return value;
    }
    }
}

// Stores to an F32 or BF16 row; elements past the end are dropped.
static inline void iso_store_vector(void *row, iso_dtype dtype, uint32_t i, uint32_t width, iso_vector value)
{
    uint32_t count = width - i < ISO_LANES ? width - i : ISO_LANES;
    if (dtype == ISO_DTYPE_F32) {
        memcpy((float *)row + i, &value, count * sizeof(float));
        return;
    }
    iso_vector_u32 u = (iso_vector_u32)value;
    iso_vector_u32 rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    iso_vector_u32 is_nan = (iso_vector_u32)((u & 0x7fffffffu) > 0x7f800000u);
    iso_vector_u16 bits =
        __builtin_convertvector((rounded & ~is_nan) | ((u >> 16 | 0x40u) & is_nan), iso_vector_u16);
    memcpy((uint16_t *)row + i, &bits, count * sizeof(uint16_t));
}

// Fixed tree, so that the sum does not depend on how the file was compiled.
static inline float iso_sum_lanes(iso_vector v)
{
    for (uint32_t step = ISO_LANES / 2; step > 0; step /= 2)
        for (uint32_t i = 0; i < step; i++)
            v[i] += v[i + step];
    return v[0];
}

// e^x within 2 units in the last place; 0 below -87.3, infinity above 88.7, NaN stays NaN. The polynomial is
// that of exp_exact in dialect/numbers.kh; adding 1.5 * 2^23 rounds to an integer and leaves it in the low
// bits.
static inline iso_vector iso_exp_vector(iso_vector x)
{
    typedef int32_t vector_i32 __attribute__((vector_size(64), aligned(4)));
    iso_vector shifted = x * 1.44269504f + 12582912.0f;
    iso_vector n = shifted - 12582912.0f;
    iso_vector r = (x - n * 0.693145752f) - n * 1.42860677e-06f;
    iso_vector p = r * 1.98412698e-04f + 1.38888889e-03f;
    p = p * r + 8.33333333e-03f;
    p = p * r + 4.16666667e-02f;
    p = p * r + 1.66666667e-01f;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    // 2^n in two factors, so that both are normal numbers for every n in range.
    iso_vector_u32 whole = (iso_vector_u32)shifted - 0x4b400000u;
    iso_vector_u32 half = (iso_vector_u32)((vector_i32)whole >> 1);
    p = p * (iso_vector)((half + 127u) << 23) * (iso_vector)((whole - half + 127u) << 23);
    iso_vector_u32 low = (iso_vector_u32)(x < -87.3f), high = (iso_vector_u32)(x > 88.7f);
    return (iso_vector)(((iso_vector_u32)p & ~low & ~high) | (high & 0x7f800000u));
}

#endif
