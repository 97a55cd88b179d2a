// SPDX-License-Identifier: MIT
//
// Element types and conversions behind isomer/dtype.h, in integer arithmetic on the bits, so that neither the
// rounding mode of the thread nor compiler options change a result. Formats: IEEE 754-2019 binary16 and
// binary32; BF16 is the upper half of binary32; E4M3 as in the "OCP 8-bit Floating Point Specification" 1.0,
// section 5.
#include "isomer/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define F32_SIGN     0x80000000u
#define F32_INFINITY 0x7f800000u
#define F16_INFINITY 0x7c00u
#define F16_NAN      0x7e00u
#define E4M3_MAX     0x7eu
#define E4M3_NAN     0x7fu

static const struct {
    const char *name;
    size_t bytes;
} dtype_table[ISO_DTYPE_COUNT] = {
    [ISO_DTYPE_NONE] = {"none", 0}, [ISO_DTYPE_ACTIVATION] = {"activation", 0},
    [ISO_DTYPE_F32] = {"f32", 4},   [ISO_DTYPE_F16] = {"f16", 2},
    [ISO_DTYPE_BF16] = {"bf16", 2}, [ISO_DTYPE_F8_E4M3] = {"f8_e4m3", 1},
    [ISO_DTYPE_I32] = {"i32", 4},   [ISO_DTYPE_U32] = {"u32", 4},
};

const char *iso_dtype_name(iso_dtype dtype)
{
    return (unsigned)dtype < ISO_DTYPE_COUNT ? dtype_table[dtype].name : "unknown";
}

size_t iso_dtype_bytes(iso_dtype dtype)
{
    return (unsigned)dtype < ISO_DTYPE_COUNT ? dtype_table[dtype].bytes : 0;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Rounds a finite binary32 magnitude to a format with this many mantissa bits and this exponent bias. The
// result is exponent and mantissa side by side; a carry out of the mantissa moves into the exponent by
// itself, also from the largest subnormal. Too large an exponent is left to the caller.
static uint32_t round_magnitude(uint32_t magnitude, int mantissa_bits, int bias)
{
    int exponent = (int)(magnitude >> 23);
    uint32_t mantissa = magnitude & 0x7fffffu;
    if (exponent == 0)
        exponent = 1;
    else
        mantissa |= 0x800000u;
    int target_exponent = exponent - 127 + bias;
    int shift = 23 - mantissa_bits;
    if (target_exponent < 1) {
        shift += 1 - target_exponent;
        target_exponent = 1;
    }
    if (shift > 25) // less than a quarter of the smallest subnormal
        return 0;
    uint32_t kept = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1);
    uint32_t half = 1u << (shift - 1);
    if (rest > half || (rest == half && (kept & 1)))
        kept++;
    return ((uint32_t)(target_exponent - 1) << mantissa_bits) + kept;
}

// The finite value of exponent and mantissa side by side: exact, every such value is a binary32 number.
static float widen_magnitude(uint32_t magnitude, int mantissa_bits, int bias)
{
    uint32_t exponent = magnitude >> mantissa_bits;
    uint32_t mantissa = magnitude & ((1u << mantissa_bits) - 1);
    if (exponent == 0)
        return (float)mantissa * float_of((uint32_t)(127 + 1 - bias - mantissa_bits) << 23);
    return float_of(((exponent + 127 - (uint32_t)bias) << 23) | (mantissa << (23 - mantissa_bits)));
}

float iso_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t iso_bf16_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & ~F32_SIGN) > F32_INFINITY)
        return (uint16_t)(bits >> 16 | 0x40u); // quiet, so that no NaN turns into infinity
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float iso_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= F16_INFINITY)
        return float_of(sign | F32_INFINITY | (magnitude & 0x3ffu) << 13);
    return float_of(sign | bits_of(widen_magnitude(magnitude, 10, 15)));
}

uint16_t iso_f16_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & ~F32_SIGN;
    if (magnitude > F32_INFINITY)
        return (uint16_t)(sign | F16_NAN | (magnitude >> 13 & 0x3ffu));
    uint32_t rounded = magnitude == F32_INFINITY ? F16_INFINITY : round_magnitude(magnitude, 10, 15);
    return (uint16_t)(sign | (rounded > F16_INFINITY ? F16_INFINITY : rounded));
}

float iso_e4m3_to_f32(uint8_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x80u) << 24;
    uint32_t magnitude = bits & 0x7fu;
    if (magnitude == E4M3_NAN)
        return float_of(sign | F32_INFINITY | 0x400000u);
    return float_of(sign | bits_of(widen_magnitude(magnitude, 3, 7)));
}

uint8_t iso_e4m3_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 24 & 0x80u;
    uint32_t magnitude = bits & ~F32_SIGN;
    if (magnitude >= F32_INFINITY) // only finite values saturate
        return (uint8_t)(sign | E4M3_NAN);
    uint32_t rounded = round_magnitude(magnitude, 3, 7);
    return (uint8_t)(sign | (rounded > E4M3_MAX ? E4M3_MAX : rounded));
}

// binary64 to binary32, rounded to odd: a second rounding, to nearest and to at most 22 bits, then gives what
// one rounding of the double would have given (Boldo and Melquiond, "Emulation of FMA and correctly rounded
// sums: proved algorithms using rounding to odd", 2008).
static float round_to_odd(double value)
{
    float nearest = (float)value;
    if (isnan(value) || (double)nearest == value)
        return nearest;
    uint32_t bits = bits_of(nearest);
    bool too_large = fabs((double)nearest) > fabs(value);
    if ((bits & 1) == 0) // the neighbour on the other side of the value is the odd one
        bits = too_large ? bits - 1 : bits + 1;
    return float_of(bits);
}

// Nearest integer, ties to even, kept within the range; NaN gives 0.
static double nearest_integer(double value, double low, double high)
{
    if (isnan(value))
        return 0;
    double floor_value = floor(value);
    double rest = value - floor_value;
    if (rest > 0.5 || (rest == 0.5 && fmod(floor_value, 2) != 0))
        floor_value += 1;
    return fmin(fmax(floor_value, low), high);
}

// By memcpy, because tensors in a mapped file may stand at any byte.
static uint16_t load_u16(const void *data, size_t index)
{
    uint16_t bits;
    memcpy(&bits, (const uint8_t *)data + 2 * index, sizeof bits);
    return bits;
}

static uint32_t load_u32(const void *data, size_t index)
{
    uint32_t bits;
    memcpy(&bits, (const uint8_t *)data + 4 * index, sizeof bits);
    return bits;
}

static float load_f32(const void *data, size_t index)
{
    float value;
    memcpy(&value, (const uint8_t *)data + 4 * index, sizeof value);
    return value;
}

double iso_load_element(const void *data, iso_dtype dtype, size_t index)
{
    switch (dtype) {
    case ISO_DTYPE_F32:
        return load_f32(data, index);
    case ISO_DTYPE_F16:
        return iso_f16_to_f32(load_u16(data, index));
    case ISO_DTYPE_BF16:
        return iso_bf16_to_f32(load_u16(data, index));
    case ISO_DTYPE_F8_E4M3:
        return iso_e4m3_to_f32(((const uint8_t *)data)[index]);
    case ISO_DTYPE_I32:
        return (int32_t)load_u32(data, index);
    case ISO_DTYPE_U32:
        return load_u32(data, index);
    default:
        return NAN;
    }
}

void iso_store_element(void *data, iso_dtype dtype, size_t index, double value)
{
    switch (dtype) {
    case ISO_DTYPE_F32:
        ((float *)data)[index] = (float)value;
        break;
    case ISO_DTYPE_F16:
        ((uint16_t *)data)[index] = iso_f16_from_f32(round_to_odd(value));
        break;
    case ISO_DTYPE_BF16:
        ((uint16_t *)data)[index] = iso_bf16_from_f32(round_to_odd(value));
        break;
    case ISO_DTYPE_F8_E4M3:
        ((uint8_t *)data)[index] = iso_e4m3_from_f32(round_to_odd(value));
        break;
    case ISO_DTYPE_I32:
        ((int32_t *)data)[index] = (int32_t)nearest_integer(value, INT32_MIN, INT32_MAX);
        break;
    case ISO_DTYPE_U32:
        ((uint32_t *)data)[index] = (uint32_t)nearest_integer(value, 0, UINT32_MAX);
        break;
    default:
        break;
    }
}
