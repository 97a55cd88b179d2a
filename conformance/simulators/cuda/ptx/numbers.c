// SPDX-License-Identifier: MIT
#include "numbers.h"

static const ptx_format formats[] = {
    [PTX_F64] = {53, -1022, 11, 52, false}, [PTX_F32] = {24, -126, 8, 23, false},
    [PTX_TF32] = {11, -126, 8, 10, false},  [PTX_BF16] = {8, -126, 8, 7, false},
    [PTX_F16] = {11, -14, 5, 10, false},    [PTX_E5M2] = {3, -14, 5, 2, false},
    [PTX_E4M3] = {4, -6, 4, 3, true},
};

const ptx_format *ptx_format_of(ptx_type type)
{
    switch (type) {
    case PTX_F16X2:
        type = PTX_F16;
        break;
    case PTX_BF16X2:
        type = PTX_BF16;
        break;
    case PTX_E4M3X2:
        type = PTX_E4M3;
        break;
    case PTX_E5M2X2:
        type = PTX_E5M2;
        break;
    default:
        break;
    }
    return (size_t)type < sizeof formats / sizeof *formats && formats[type].digits ? &formats[type] : NULL;
}

double ptx_to_double(ptx_type type, uint64_t bits)
{
    const ptx_format *f = ptx_format_of(type);
    if (type == PTX_F64)
        return ptx_double(bits);
    if (type == PTX_F32)
        return ptx_float((uint32_t)bits);
    if (type == PTX_TF32) // the low 13 bits of the word are not looked at
        bits = bits >> 13;
    uint64_t fraction = bits & ((1ull << f->fraction_bits) - 1);
    int top = (1 << f->exponent_bits) - 1, exponent = (int)(bits >> f->fraction_bits) & top;
    bool negative = bits >> (f->fraction_bits + f->exponent_bits) & 1;
    double value;
    if (f->finite_top ? exponent == top && fraction == (1ull << f->fraction_bits) - 1
                      : exponent == top && fraction)
        value = (double)NAN;
    else if (exponent == top && !f->finite_top)
        value = (double)INFINITY;
    else if (exponent == 0)
        value = ldexp((double)fraction, f->least - f->fraction_bits);
    else
        value =
            ldexp((double)(fraction | 1ull << f->fraction_bits), exponent - 1 + f->least - f->fraction_bits);
    return negative ? -value : value;
}

static uint64_t canonical_nan(ptx_type type, const ptx_format *f)
{
    if (type == PTX_F64)
        return 0x7ff8000000000000ull;
    if (type == PTX_F32 || type == PTX_TF32)
        return 0x7fffffffu;
    return (1ull << (f->fraction_bits + f->exponent_bits)) - 1;
}

// An integer from a non-negative real, in a direction; the sign decides for the directed ones.
static long double round_magnitude(long double x, int round, bool negative)
{
    long double whole = floorl(x), rest = x - whole;
    if (rest == 0)
        return whole;
    switch (round) {
    case PTX_RZ:
        return whole;
    case PTX_RM:
        return negative ? whole + 1 : whole;
    case PTX_RP:
        return negative ? whole : whole + 1;
    case PTX_RNA:
        return rest >= 0.5L ? whole + 1 : whole;
    default:
        return rest > 0.5L || (rest == 0.5L && fmodl(whole, 2) == 1) ? whole + 1 : whole;
    }
}

uint64_t ptx_from_real(ptx_type type, long double value, int round, bool finite)
{
    const ptx_format *f = ptx_format_of(type);
    uint64_t sign = signbit(value) ? 1ull << (f->fraction_bits + f->exponent_bits) : 0, result;
    int shift = type == PTX_TF32 ? 13 : 0, exponent;
    uint64_t top = (uint64_t)((1 << f->exponent_bits) - 1) << f->fraction_bits; // infinity
    uint64_t largest = f->finite_top ? top + (1ull << f->fraction_bits) - 2 : top - 1;
    if (isnan(value))
        return canonical_nan(type, f);
    if (isinf(value))
        return (sign | (finite || f->finite_top ? largest : top)) << shift;
    if (value == 0)
        return sign << shift;
    frexpl(value, &exponent);
    // the weight of the last digit
    int last = (exponent - 1 > f->least ? exponent - 1 : f->least) - f->fraction_bits;
    long double scaled = round_magnitude(ldexpl(fabsl(value), -last), round, sign != 0);
    // a significand that grew to the next power of two is right as it is: the pattern's carry is the
    // exponent's
    uint64_t significand = (uint64_t)scaled;
    uint64_t exponent_field = (uint64_t)(last + f->fraction_bits - f->least);
    result = significand + (exponent_field << f->fraction_bits);
    if (result > largest) {
        bool inward = round == PTX_RZ || (round == PTX_RM && !sign) || (round == PTX_RP && sign);
        result = finite || f->finite_top || inward ? largest : top;
    }
    return (sign | result) << shift;
}
