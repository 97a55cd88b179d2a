// SPDX-License-Identifier: MIT
//
// Number formats smaller than a float, rounding to any format in any direction, and flushing. Independent of
// warps.
#pragma once

#include "ir.h"

#include <math.h>
#include <string.h>

typedef struct ptx_format {
    int digits; // of the significand, the hidden one included
    int least;  // exponent of the least normal number
    int exponent_bits, fraction_bits;
    bool finite_top; // e4m3: the highest exponent holds numbers, one pattern is NaN
} ptx_format;

const ptx_format *ptx_format_of(ptx_type type); // NULL: not a float

// The value of a pattern; of pairs, of the low half.
double ptx_to_double(ptx_type type, uint64_t bits);
// The pattern nearest to the value in the direction of `round` (PTX_RN, ...). Beyond the range: infinity, or
// the largest number as the direction says; with `finite` always the largest. NaN gives the canonical NaN.
uint64_t ptx_from_real(ptx_type type, long double value, int round, bool finite);

static inline float ptx_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline uint32_t ptx_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

static inline double ptx_double(uint64_t bits)
{
    double f;
    memcpy(&f, &bits, 8);
    return f;
}

static inline uint64_t ptx_bits64(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, 8);
    return bits;
}

static inline float ptx_half(uint32_t h)
{
    uint32_t sign = (h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude < 0x400u)
        return ptx_float(ptx_bits((float)magnitude * 0x1p-24f) | sign);
    if (magnitude >= 0x7c00u)
        return ptx_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    return ptx_float(sign | ((magnitude << 13) + 0x38000000u));
}

#define PTX_NAN 0x7fffffffu // the canonical one of single precision

static inline float ptx_clean(float x)
{
    return x == x ? x : ptx_float(PTX_NAN);
}

static inline float ptx_flush(float x, bool on)
{
    return on && __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x;
}

// A double between two floats becomes the odd one of them, so that rounding it again is rounding once.
static inline float ptx_to_odd(double x)
{
    float f = (float)x;
    uint32_t bits = ptx_bits(f);
    if ((double)f == x || x != x)
        return f;
    if (__builtin_fabs((double)f) > __builtin_fabs(x))
        bits--;
    return ptx_float(bits | 1);
}

// To nearest even.
static inline uint32_t ptx_half_bits(float f)
{
    uint32_t u = ptx_bits(f), sign = u >> 16 & 0x8000, m = u & 0x7fffffff;
    if (m > 0x7f800000)
        return 0x7fff;
    if (m >= 0x47800000)
        return sign | 0x7c00;
    if (m < 0x38800000)
        return sign | (ptx_bits(ptx_float(m) + 0.5f) - 0x3f000000u);
    return sign | (m + 0xfff + (m >> 13 & 1) - 0x38000000u) >> 13;
}

static inline uint32_t ptx_bf16_bits(float f)
{
    uint32_t u = ptx_bits(f);
    return (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
