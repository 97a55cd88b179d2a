// SPDX-License-Identifier: MIT
//
// Every scalar instruction against a calculation that shares nothing with the interpreter: integers by wide
// arithmetic or bit by bit, floats in quadruple precision with the rounding done by comparing neighbours.
// Edge cases with one another, then random operands; every third lane is masked out and must keep its
// register.
#include "ptx_test.h"

#include <math.h>
#include <stdbool.h>

#ifdef __x86_64__
typedef __float128 quad;
#else
typedef long double quad;
#endif
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef __int128 s128;
typedef unsigned __int128 u128;

#define COUNT 6144 // lanes of one run

static u64 operands[3][COUNT], results[COUNT];

// ---- references: floats ----

static float as_float(u64 x)
{
    u32 low = (u32)x;
    float f;
    memcpy(&f, &low, 4);
    return f;
}

static u64 bits_of(float f)
{
    u32 bits;
    memcpy(&bits, &f, 4);
    return f != f ? 0x7fffffffu : bits;
}

static double as_double(u64 x)
{
    double f;
    memcpy(&f, &x, 8);
    return f;
}

static u64 bits_of_double(double f)
{
    u64 bits;
    memcpy(&bits, &f, 8);
    return bits;
}

enum { NEAREST, ZERO, DOWN, UP };

// The float next to a real in a direction. `tail`: the sign of what the quadruple could not hold.
static u64 round_float(quad v, int tail, int direction)
{
    float f = (float)v;
    if (v != v)
        return 0x7fffffffu;
    quad back = f, error = back - v;
    int above = error > 0 ? 1 : error < 0 ? -1 : -tail;
    if (isinf(f) && !(v > (quad)3e38L * 1000 * 1000 || v < -(quad)3e38L * 1000 * 1000))
        above = f > 0 ? 1 : -1;
    if (v - v != 0) // an infinite operand
        return bits_of(f);
    if (direction == NEAREST && tail && error != 0) { // halfway but for the tail
        float other = nextafterf(f, error > 0 ? -INFINITY : INFINITY);
        if ((error > 0) == (tail < 0) && (quad)f - v == v - (quad)other)
            f = other;
    }
    if (above > 0 && (direction == DOWN || (direction == ZERO && (v > 0 || (v == 0 && tail > 0)))))
        f = nextafterf(f, -INFINITY);
    else if (above < 0 && (direction == UP || (direction == ZERO && (v < 0 || (v == 0 && tail < 0)))))
        f = nextafterf(f, INFINITY);
    if (isinf(f) && isinf((float)v) &&
        (direction == ZERO || (direction == DOWN && f > 0) || (direction == UP && f < 0)))
        f = copysignf(3.40282346638528859812e+38f, f);
    return bits_of(f);
}

static u64 ref_sum(float x, float y, int direction)
{
    quad a = x, b = y, sum = a + b;
    if (x == 0 && y == 0)
        return signbit(x) == signbit(y) ? bits_of(x) : direction == DOWN ? 0x80000000u : 0;
    if (sum == 0)
        return direction == DOWN ? 0x80000000u : 0;
    quad lost = fabsf(x) > fabsf(y) ? b - (sum - a) : a - (sum - b);
    return round_float(sum, lost > 0 ? 1 : lost < 0 ? -1 : 0, direction);
}

static u64 ref_product(float x, float y, int direction)
{
    if ((x == 0 || y == 0) && x - x == 0 && y - y == 0)
        return signbit(x) == signbit(y) ? 0 : 0x80000000u;
    return round_float((quad)x * y, 0, direction);
}

static u64 ref_fma(float x, float y, float z, int direction)
{
    quad p = (quad)x * y, sum = p + z;
    if (sum == 0 && p == 0 && z == 0) {
        bool p_negative = signbit(x) != signbit(y);
        return p_negative == (signbit(z) != 0) ? bits_of(z) : direction == DOWN ? 0x80000000u : 0;
    }
    if (sum == 0)
        return direction == DOWN ? 0x80000000u : 0;
    quad c = z, ap = p < 0 ? -p : p, ac = c < 0 ? -c : c, lost = ap > ac ? c - (sum - p) : p - (sum - c);
    return round_float(sum, lost > 0 ? 1 : lost < 0 ? -1 : 0, direction);
}

static u64 ref_quotient(float x, float y, int direction)
{
    if (y == 0 || x == 0 || x - x != 0 || y - y != 0)
        return bits_of(x / y);
    quad q = (quad)x / y, rest = (quad)x - q * y;
    int tail = rest == 0 ? 0 : (rest > 0) == (y > 0) ? 1 : -1;
    return round_float(q, tail, direction);
}

static float flushed(float x)
{
    return fabsf(x) < 1.17549435e-38f ? copysignf(0, x) : x;
}

static u64 flushed_bits(u64 x)
{
    return x & 0x7f800000 ? x : x & 0x80000000u;
}

static u64 saturated(u64 x)
{
    float f = as_float(x);
    return f != f || f <= 0 ? 0 : f >= 1 ? 0x3f800000u : (u32)x;
}

// ---- references: 16 bits ----

static double half_value(u64 h, int fraction_bits, int bias)
{
    int exponent = (int)(h & 0x7fff) >> fraction_bits, top = 0x7fff >> fraction_bits;
    double f = (double)(h & ((1u << fraction_bits) - 1));
    double v = exponent == top ? f == 0 ? INFINITY : NAN
               : exponent == 0 ? ldexp(f, 1 - bias - fraction_bits)
                               : ldexp(f + (1 << fraction_bits), exponent - bias - fraction_bits);
    return h & 0x8000 ? -v : v;
}

// The nearest of all patterns, by bisection; ties to the even one.
static u64 nearest_half(quad v, int tail, int fraction_bits, int bias)
{
    if (v != v)
        return 0x7fff;
    u64 sign = v < 0 || (v == 0 && signbit((double)v)) ? 0x8000 : 0, infinity = (0x7fffu >> fraction_bits)
                                                                                << fraction_bits;
    quad m = v < 0 ? -v : v;
    u64 low = 0, high = infinity;
    quad step = half_value(infinity - 1, fraction_bits, bias) - half_value(infinity - 2, fraction_bits, bias);
    quad beyond = half_value(infinity - 1, fraction_bits, bias) + step;
    while (high - low > 1) {
        u64 middle = (low + high) / 2;
        if ((quad)half_value(middle, fraction_bits, bias) <= m)
            low = middle;
        else
            high = middle;
    }
    quad below = half_value(low, fraction_bits, bias),
         above = high == infinity ? beyond : half_value(high, fraction_bits, bias);
    quad to_low = m - below, to_high = above - m;
    if (to_low == to_high && tail)
        return sign | ((tail > 0) == (v > 0) ? high : low);
    return sign | (to_low < to_high || (to_low == to_high && !(low & 1)) ? low : high);
}

#define H(x)  half_value((x)&0xffff, 10, 15)
#define B(x)  half_value((x)&0xffff, 7, 127)
#define HN(v) nearest_half(v, 0, 10, 15)
#define BN(v) nearest_half(v, 0, 7, 127)

static u64 half_fma(double x, double y, double z, int fraction_bits, int bias)
{
    quad p = (quad)x * y, c = z, sum = p + c;
    quad ap = p < 0 ? -p : p, ac = c < 0 ? -c : c, lost = ap > ac ? c - (sum - p) : p - (sum - c);
    return nearest_half(sum, lost > 0 ? 1 : lost < 0 ? -1 : 0, fraction_bits, bias);
}

// ---- references: integers, bit by bit ----

static u64 bit(u64 x, int i)
{
    return i >= 0 && i < 64 ? x >> i & 1 : 0;
}

static u64 ref_bfe(u64 x, u32 at, u32 n, int bits, bool is_signed)
{
    at &= 255, n &= 255;
    int last = (int)(at + n) - 1 < bits - 1 ? (int)(at + n) - 1 : bits - 1;
    u64 sign = is_signed && n ? bit(x, last) : 0, r = 0;
    for (int i = 0; i < bits; i++)
        r |= (i < (int)n && (int)at + i < bits ? bit(x, (int)at + i) : sign) << i;
    return r;
}

static u64 ref_bfi(u64 from, u64 into, u32 at, u32 n, int bits)
{
    at &= 255, n &= 255;
    u64 r = into;
    for (int i = 0; i < (int)n && (int)at + i < bits; i++)
        r = (r & ~(1ull << (at + (u32)i))) | bit(from, i) << (at + (u32)i);
    return r;
}

static u64 ref_prmt(u64 x, u64 y, u32 c)
{
    u64 r = 0;
    for (int i = 0; i < 4; i++) {
        u32 s = c >> 4 * i & 15;
        u64 byte = ((s & 4 ? y : x) >> 8 * (s & 3)) & 255;
        r |= (s & 8 ? byte >> 7 ? 255 : 0 : byte) << 8 * i;
    }
    return r;
}

static u64 ref_lop3(u32 x, u32 y, u32 z, u32 table)
{
    u64 r = 0;
    for (int i = 0; i < 32; i++)
        r |= (u64)(table >> (bit(x, i) << 2 | bit(y, i) << 1 | bit(z, i)) & 1) << i;
    return r;
}

static int highest(u64 x)
{
    int at = -1;
    for (int i = 0; i < 64; i++)
        at = bit(x, i) ? i : at;
    return at;
}

static u64 count_ones(u64 x)
{
    u64 n = 0;
    for (; x; x &= x - 1)
        n++;
    return n;
}

static u64 backwards(u64 x, int bits)
{
    u64 r = 0;
    for (int i = 0; i < bits; i++)
        r = r << 1 | bit(x, i);
    return r;
}

static u64 clamped(s128 v, s128 low, s128 high)
{
    return (u64)(v < low ? low : v > high ? high : v);
}

// no_number: what a NaN becomes
static u64 whole_or(double v, int mode, s128 low, s128 high, u64 no_number)
{
    if (v != v)
        return no_number;
    double w = mode == 0 ? nearbyint(v) : mode == 1 ? trunc(v) : mode == 2 ? floor(v) : ceil(v);
    return w >= (double)high ? (u64)high : w <= (double)low ? (u64)low : (u64)(s128)w;
}

static u64 whole(double v, int mode, s128 low, s128 high)
{
    return whole_or(v, mode, low, high, 0);
}

static u64 ref_max(float x, float y, bool least)
{
    if (x != x || y != y)
        return x != x ? bits_of(y) : bits_of(x);
    if (x == y)
        return bits_of((signbit(x) != 0) == least ? x : y);
    return bits_of((x < y) == least ? x : y);
}

// ---- the cases ----

typedef struct test_case {
    const char *text;          // with d, a, b, c (s: as 32 bits) for the operands
    const char *d, *a, *b, *c; // register types; NULL: not used
    u64 (*reference)(u64 x, u64 y, u64 z);
} test_case;

#define REF(name, expression)                                                                                \
    static u64 name(u64 x, u64 y, u64 z)                                                                     \
    {                                                                                                        \
        (void)x, (void)y, (void)z;                                                                           \
        return (u64)(expression);                                                                            \
    }
#define CASES(M)                                                                                             \
    M(add_u16, "add.u16 d, a, b", "b16", "b16", "b16", NULL, (u16)(x + y))                                   \
    M(add_s32, "add.s32 d, a, b", "b32", "b32", "b32", NULL, (u32)(x + y))                                   \
    M(add_u64, "add.u64 d, a, b", "b64", "b64", "b64", NULL, x + y)                                          \
    M(add_sat, "add.sat.s32 d, a, b", "b32", "b32", "b32", NULL,                                             \
      (u32)clamped((s128)(s32)x + (s32)y, INT32_MIN, INT32_MAX))                                             \
    M(sub_s16, "sub.s16 d, a, b", "b16", "b16", "b16", NULL, (u16)(x - y))                                   \
    M(sub_u32, "sub.u32 d, a, b", "b32", "b32", "b32", NULL, (u32)(x - y))                                   \
    M(sub_s64, "sub.s64 d, a, b", "b64", "b64", "b64", NULL, x - y)                                          \
    M(sub_sat, "sub.sat.s32 d, a, b", "b32", "b32", "b32", NULL,                                             \
      (u32)clamped((s128)(s32)x - (s32)y, INT32_MIN, INT32_MAX))                                             \
    M(mul_lo_u16, "mul.lo.u16 d, a, b", "b16", "b16", "b16", NULL, (u16)((u64)(u16)x * (u16)y))              \
    M(mul_hi_u16, "mul.hi.u16 d, a, b", "b16", "b16", "b16", NULL, (u16)((u64)(u16)x * (u16)y >> 16))        \
    M(mul_hi_s16, "mul.hi.s16 d, a, b", "b16", "b16", "b16", NULL, (u16)((s64)(s16)x * (s16)y >> 16))        \
    M(mul_lo_s32, "mul.lo.s32 d, a, b", "b32", "b32", "b32", NULL, (u32)((u32)x * (u64)(u32)y))              \
    M(mul_hi_u32, "mul.hi.u32 d, a, b", "b32", "b32", "b32", NULL, (u64)(u32)x *(u32)y >> 32)                \
    M(mul_hi_s32, "mul.hi.s32 d, a, b", "b32", "b32", "b32", NULL, (u32)((s64)(s32)x * (s32)y >> 32))        \
    M(mul_hi_u64, "mul.hi.u64 d, a, b", "b64", "b64", "b64", NULL, (u128)x *y >> 64)                         \
    M(mul_hi_s64, "mul.hi.s64 d, a, b", "b64", "b64", "b64", NULL, (s128)(s64)x *(s64)y >> 64)               \
    M(mul_lo_s64, "mul.lo.s64 d, a, b", "b64", "b64", "b64", NULL, (u128)x *y)                               \
    M(wide_u16, "mul.wide.u16 d, a, b", "b32", "b16", "b16", NULL, (u64)(u16)x *(u16)y)                      \
    M(wide_s16, "mul.wide.s16 d, a, b", "b32", "b16", "b16", NULL, (u32)((s64)(s16)x * (s16)y))              \
    M(wide_u32, "mul.wide.u32 d, a, b", "b64", "b32", "b32", NULL, (u64)(u32)x *(u32)y)                      \
    M(wide_s32, "mul.wide.s32 d, a, b", "b64", "b32", "b32", NULL, (s64)(s32)x *(s32)y)                      \
    M(mad_lo, "mad.lo.s32 d, a, b, c", "b32", "b32", "b32", "b32", (u32)(x * y + z))                         \
    M(mad_hi, "mad.hi.s32 d, a, b, c", "b32", "b32", "b32", "b32",                                           \
      (u32)(((s64)(s32)x * (s32)y >> 32) + (s64)z))                                                          \
    M(mad_hi_sat, "mad.hi.sat.s32 d, a, b, c", "b32", "b32", "b32", "b32",                                   \
      (u32)clamped(((s64)(s32)x * (s32)y >> 32) + (s64)(s32)z, INT32_MIN, INT32_MAX))                        \
    M(mad_u64, "mad.lo.u64 d, a, b, c", "b64", "b64", "b64", "b64", x *y + z)                                \
    M(mad_wide_u32, "mad.wide.u32 d, a, b, c", "b64", "b32", "b32", "b64", (u64)(u32)x *(u32)y + z)          \
    M(mad_wide_s32, "mad.wide.s32 d, a, b, c", "b64", "b32", "b32", "b64", (u64)((s64)(s32)x * (s32)y) + z)  \
    M(mad_wide_s16, "mad.wide.s16 d, a, b, c", "b32", "b16", "b16", "b32",                                   \
      (u32)((s64)(s16)x * (s16)y + (s64)z))                                                                  \
    M(mul24_lo, "mul24.lo.u32 d, a, b", "b32", "b32", "b32", NULL, (u32)((x & 0xffffff) * (y & 0xffffff)))   \
    M(mul24_hi, "mul24.hi.u32 d, a, b", "b32", "b32", "b32", NULL,                                           \
      (u32)((x & 0xffffff) * (y & 0xffffff) >> 16))                                                          \
    M(sad_s32, "sad.s32 d, a, b, c", "b32", "b32", "b32", "b32",                                             \
      (u32)((u64)((s32)x < (s32)y ? (s64)(s32)y - (s32)x : (s64)(s32)x - (s32)y) + z))                       \
    M(div_u32, "div.u32 d, a, b", "b32", "b32", "b32", NULL, (u32)y ? (u32)x / (u32)y : 0xffffffffu)         \
    M(div_s32, "div.s32 d, a, b", "b32", "b32", "b32", NULL,                                                 \
      (u32)y ? (u32)((s64)(s32)x / (s32)y) : 0xffffffffu)                                                    \
    M(div_s64, "div.s64 d, a, b", "b64", "b64", "b64", NULL, y ? (u64)((s128)(s64)x / (s64)y) : ~0ull)       \
    M(div_s16, "div.s16 d, a, b", "b16", "b16", "b16", NULL, (u16)y ? (u16)((s64)(s16)x / (s16)y) : 0xffff)  \
    M(rem_u64, "rem.u64 d, a, b", "b64", "b64", "b64", NULL, y ? x % y : x)                                  \
    M(rem_s32, "rem.s32 d, a, b", "b32", "b32", "b32", NULL, (u32)y ? (u32)((s64)(s32)x % (s32)y) : (u32)x)  \
    M(abs_s32, "abs.s32 d, a", "b32", "b32", NULL, NULL, (u32)((s32)x < 0 ? -(s64)(s32)x : (s32)x))          \
    M(neg_s16, "neg.s16 d, a", "b16", "b16", NULL, NULL, (u16)(0 - x))                                       \
    M(min_s32, "min.s32 d, a, b", "b32", "b32", "b32", NULL, (u32)((s32)x < (s32)y ? x : y))                 \
    M(max_u16, "max.u16 d, a, b", "b16", "b16", "b16", NULL, (u16)x > (u16)y ? (u16)x : (u16)y)              \
    M(max_s64, "max.s64 d, a, b", "b64", "b64", "b64", NULL, (s64)x > (s64)y ? x : y)                        \
    M(min_relu, "min.relu.s32 d, a, b", "b32", "b32", "b32", NULL,                                           \
      (u32)clamped((s32)x < (s32)y ? (s32)x : (s32)y, 0, INT32_MAX))                                         \
    M(max_s16x2, "max.s16x2 d, a, b", "b32", "b32", "b32", NULL,                                             \
      (u32)(u16)((s16)x > (s16)y ? x : y) | (u32)(u16)((s16)(x >> 16) > (s16)(y >> 16) ? x >> 16 : y >> 16)  \
                                                << 16)                                                       \
    M(add_u16x2, "add.u16x2 d, a, b", "b32", "b32", "b32", NULL,                                             \
      (u32)(u16)(x + y) | (u32)(u16)((x >> 16) + (y >> 16)) << 16)                                           \
    M(popc_32, "popc.b32 d, a", "b32", "b32", NULL, NULL, count_ones((u32)x))                                \
    M(popc_64, "popc.b64 d, a", "b32", "b64", NULL, NULL, count_ones(x))                                     \
    M(clz_32, "clz.b32 d, a", "b32", "b32", NULL, NULL, 31 - highest((u32)x))                                \
    M(clz_64, "clz.b64 d, a", "b32", "b64", NULL, NULL, 63 - highest(x))                                     \
    M(brev_32, "brev.b32 d, a", "b32", "b32", NULL, NULL, backwards(x, 32))                                  \
    M(brev_64, "brev.b64 d, a", "b64", "b64", NULL, NULL, backwards(x, 64))                                  \
    M(bfind_u32, "bfind.u32 d, a", "b32", "b32", NULL, NULL, (u32)highest((u32)x))                           \
    M(bfind_s32, "bfind.s32 d, a", "b32", "b32", NULL, NULL, (u32)highest((u32)((s32)x < 0 ? ~x : x)))       \
    M(bfind_s64, "bfind.s64 d, a", "b32", "b64", NULL, NULL, (u32)highest((s64)x < 0 ? ~x : x))              \
    M(bfind_shift, "bfind.shiftamt.u32 d, a", "b32", "b32", NULL, NULL,                                      \
      (u32)x ? (u32)(31 - highest((u32)x)) : 0xffffffffu)                                                    \
    M(bfe_u32, "bfe.u32 d, a, b, c", "b32", "b32", "b32", "b32", ref_bfe((u32)x, (u32)y, (u32)z, 32, false)) \
    M(bfe_s32, "bfe.s32 d, a, b, c", "b32", "b32", "b32", "b32",                                             \
      (u32)ref_bfe((u32)x, (u32)y, (u32)z, 32, true))                                                        \
    M(bfe_u64, "bfe.u64 d, a, b, c", "b64", "b64", "b32", "b32", ref_bfe(x, (u32)y, (u32)z, 64, false))      \
    M(bfe_s64, "bfe.s64 d, a, b, c", "b64", "b64", "b32", "b32", ref_bfe(x, (u32)y, (u32)z, 64, true))       \
    M(bfi_32, "bfi.b32 d, a, b, c, 9", "b32", "b32", "b32", "b32", (u32)ref_bfi(x, (u32)y, (u32)z, 9, 32))   \
    M(bfi_64, "bfi.b64 d, a, b, c, 33", "b64", "b64", "b64", "b32", ref_bfi(x, y, (u32)z, 33, 64))           \
    M(prmt, "prmt.b32 d, a, b, c", "b32", "b32", "b32", "b32", ref_prmt((u32)x, (u32)y, (u32)z))             \
    M(lop3_96, "lop3.b32 d, a, b, c, 0x96", "b32", "b32", "b32", "b32", (u32)x ^ (u32)y ^ (u32)z)            \
    M(lop3_e8, "lop3.b32 d, a, b, c, 0xe8", "b32", "b32", "b32", "b32",                                      \
      ref_lop3((u32)x, (u32)y, (u32)z, 0xe8))                                                                \
    M(lop3_1d, "lop3.b32 d, a, b, c, 0x1d", "b32", "b32", "b32", "b32",                                      \
      ref_lop3((u32)x, (u32)y, (u32)z, 0x1d))                                                                \
    M(shf_lw, "shf.l.wrap.b32 d, a, b, c", "b32", "b32", "b32", "b32",                                       \
      (u32)(((u64)(u32)y << 32 | (u32)x) << (z & 31) >> 32))                                                 \
    M(shf_rw, "shf.r.wrap.b32 d, a, b, c", "b32", "b32", "b32", "b32",                                       \
      (u32)(((u64)(u32)y << 32 | (u32)x) >> (z & 31)))                                                       \
    M(shf_lc, "shf.l.clamp.b32 d, a, b, c", "b32", "b32", "b32", "b32",                                      \
      (u32)z >= 32 ? (u32)x : (u32)(((u64)(u32)y << 32 | (u32)x) << (u32)z >> 32))                           \
    M(shl_32, "shl.b32 d, a, b", "b32", "b32", "b32", NULL, (u32)y > 31 ? 0 : (u32)((u32)x << (u32)y))       \
    M(shr_u64, "shr.u64 d, a, b", "b64", "b64", "b32", NULL, (u32)y > 63 ? 0 : x >> (u32)y)                  \
    M(shr_s32, "shr.s32 d, a, b", "b32", "b32", "b32", NULL,                                                 \
      (u32)((s64)(s32)x >> ((u32)y > 31 ? 31 : (u32)y)))                                                     \
    M(shr_s16, "shr.s16 d, a, b", "b16", "b16", "b32", NULL,                                                 \
      (u16)((s64)(s16)x >> ((u32)y > 15 ? 15 : (u32)y)))                                                     \
    M(cnot, "cnot.b32 d, a", "b32", "b32", NULL, NULL, (u32)x == 0)                                          \
    M(not_16, "not.b16 d, a", "b16", "b16", NULL, NULL, (u16)~x)                                             \
    M(xor_64, "xor.b64 d, a, b", "b64", "b64", "b64", NULL, x ^ y)                                           \
    M(bmsk, "bmsk.clamp.b32 d, a, b", "b32", "b32", "b32", NULL,                                             \
      (u32)((((u32)y > 31 ? 1ull << 32 : 1ull << (u32)y) - 1) << ((u32)x > 32 ? 32 : (u32)x)))               \
    M(szext, "szext.clamp.s32 d, a, b", "b32", "b32", "b32", NULL,                                           \
      (u32)y == 0   ? 0                                                                                      \
      : (u32)y > 31 ? (u32)x                                                                                 \
                    : (u32)ref_bfe((u32)x, 0, (u32)y, 32, true))                                             \
    M(dp4a_u, "dp4a.u32.u32 d, a, b, c", "b32", "b32", "b32", "b32",                                         \
      (u32)(z + (u64)(u8)x * (u8)y + (u64)(u8)(x >> 8) * (u8)(y >> 8) + (u64)(u8)(x >> 16) * (u8)(y >> 16) + \
            (u64)(u8)(x >> 24) * (u8)(y >> 24)))                                                             \
    M(dp4a_s, "dp4a.s32.u32 d, a, b, c", "b32", "b32", "b32", "b32",                                         \
      (u32)((s64)z + (s8)x * (u8)y + (s8)(x >> 8) * (u8)(y >> 8) + (s8)(x >> 16) * (u8)(y >> 16) +           \
            (s8)(x >> 24) * (u8)(y >> 24)))                                                                  \
    M(dp2a_hi, "dp2a.hi.s32.s32 d, a, b, c", "b32", "b32", "b32", "b32",                                     \
      (u32)((s64)z + (s16)x * (s8)(y >> 16) + (s16)(x >> 16) * (s8)(y >> 24)))                               \
    M(selp, "{ .reg .pred q; setp.gt.s32 q, c, 0; selp.b64 d, a, b, q; }", "b64", "b64", "b64", "b32",       \
      (s32)z > 0 ? x : y)                                                                                    \
    M(slct, "slct.b32.s32 d, a, b, c", "b32", "b32", "b32", "b32", (s32)z >= 0 ? (u32)x : (u32)y)            \
    M(slct_f, "slct.u64.f32 d, a, b, c", "b64", "b64", "b64", "f32", as_float(z) >= 0 ? x : y)               \
    M(set_lt, "set.lt.u32.f32 d, a, b", "b32", "f32", "f32", NULL,                                           \
      as_float(x) < as_float(y) ? 0xffffffffu : 0)                                                           \
    M(set_neu, "set.neu.f32.f32 d, a, b", "f32", "f32", "f32", NULL,                                         \
      as_float(x) != as_float(y) ? 0x3f800000u : 0)                                                          \
    M(set_ne, "set.ne.u32.f32 d, a, b", "b32", "f32", "f32", NULL,                                           \
      as_float(x) < as_float(y) || as_float(x) > as_float(y) ? 0xffffffffu : 0)                              \
    M(set_hi, "set.hi.u32.u32 d, a, b", "b32", "b32", "b32", NULL, (u32)x > (u32)y ? 0xffffffffu : 0)        \
    M(set_geu, "set.geu.and.u32.f64 d, a, b, %p3", "b32", "f64", "f64", NULL,                                \
      !(as_double(x) < as_double(y)) ? 0xffffffffu : 0)                                                      \
    M(set_num, "set.num.u32.f32 d, a, b", "b32", "f32", "f32", NULL,                                         \
      as_float(x) == as_float(x) && as_float(y) == as_float(y) ? 0xffffffffu : 0)                            \
    M(carry, "{ .reg .b32 l; add.cc.u32 l, a, b; addc.u32 d, c, 0; }", "b32", "b32", "b32", "b32",           \
      (u32)(z + (((u64)(u32)x + (u32)y) >> 32)))                                                             \
    M(borrow, "{ .reg .b32 l; sub.cc.u32 l, a, b; subc.u32 d, c, 0; }", "b32", "b32", "b32", "b32",          \
      (u32)(z - ((u32)x < (u32)y)))                                                                          \
    M(madc, "{ .reg .b32 l; mad.lo.cc.u32 l, a, b, c; madc.hi.u32 d, a, b, 7; }", "b32", "b32", "b32",       \
      "b32", (u32)(((u64)(u32)x * (u32)y + (u32)z) >> 32) + 7)                                               \
    M(fadd_rn, "add.rn.f32 d, a, b", "f32", "f32", "f32", NULL, ref_sum(as_float(x), as_float(y), NEAREST))  \
    M(fadd_rz, "add.rz.f32 d, a, b", "f32", "f32", "f32", NULL, ref_sum(as_float(x), as_float(y), ZERO))     \
    M(fadd_rm, "add.rm.f32 d, a, b", "f32", "f32", "f32", NULL, ref_sum(as_float(x), as_float(y), DOWN))     \
    M(fadd_rp, "add.rp.f32 d, a, b", "f32", "f32", "f32", NULL, ref_sum(as_float(x), as_float(y), UP))       \
    M(fadd_ftz, "add.ftz.f32 d, a, b", "f32", "f32", "f32", NULL,                                            \
      flushed_bits(ref_sum(flushed(as_float(x)), flushed(as_float(y)), NEAREST)))                            \
    M(fadd_sat, "add.sat.f32 d, a, b", "f32", "f32", "f32", NULL,                                            \
      saturated(ref_sum(as_float(x), as_float(y), NEAREST)))                                                 \
    M(fsub_rn, "sub.f32 d, a, b", "f32", "f32", "f32", NULL, ref_sum(as_float(x), -as_float(y), NEAREST))    \
    M(fmul_rn, "mul.f32 d, a, b", "f32", "f32", "f32", NULL, ref_product(as_float(x), as_float(y), NEAREST)) \
    M(fmul_rz, "mul.rz.f32 d, a, b", "f32", "f32", "f32", NULL, ref_product(as_float(x), as_float(y), ZERO)) \
    M(fmul_rp, "mul.rp.f32 d, a, b", "f32", "f32", "f32", NULL, ref_product(as_float(x), as_float(y), UP))   \
    M(fmul_ftz, "mul.ftz.f32 d, a, b", "f32", "f32", "f32", NULL,                                            \
      flushed_bits(ref_product(flushed(as_float(x)), flushed(as_float(y)), NEAREST)))                        \
    M(ffma_rn, "fma.rn.f32 d, a, b, c", "f32", "f32", "f32", "f32",                                          \
      ref_fma(as_float(x), as_float(y), as_float(z), NEAREST))                                               \
    M(ffma_rz, "fma.rz.f32 d, a, b, c", "f32", "f32", "f32", "f32",                                          \
      ref_fma(as_float(x), as_float(y), as_float(z), ZERO))                                                  \
    M(ffma_rm, "fma.rm.f32 d, a, b, c", "f32", "f32", "f32", "f32",                                          \
      ref_fma(as_float(x), as_float(y), as_float(z), DOWN))                                                  \
    M(ffma_rp, "fma.rp.f32 d, a, b, c", "f32", "f32", "f32", "f32",                                          \
      ref_fma(as_float(x), as_float(y), as_float(z), UP))                                                    \
    M(fdiv_rn, "div.rn.f32 d, a, b", "f32", "f32", "f32", NULL,                                              \
      ref_quotient(as_float(x), as_float(y), NEAREST))                                                       \
    M(fdiv_rz, "div.rz.f32 d, a, b", "f32", "f32", "f32", NULL,                                              \
      ref_quotient(as_float(x), as_float(y), ZERO))                                                          \
    M(frcp_rp, "rcp.rp.f32 d, a", "f32", "f32", NULL, NULL, ref_quotient(1, as_float(x), UP))                \
    M(fsqrt_rn, "sqrt.rn.f32 d, a", "f32", "f32", NULL, NULL, bits_of((float)sqrt((double)as_float(x))))     \
    M(fmax, "max.f32 d, a, b", "f32", "f32", "f32", NULL, ref_max(as_float(x), as_float(y), false))          \
    M(fmin, "min.f32 d, a, b", "f32", "f32", "f32", NULL, ref_max(as_float(x), as_float(y), true))           \
    M(fmax_nan, "max.NaN.f32 d, a, b", "f32", "f32", "f32", NULL,                                            \
      as_float(x) != as_float(x) || as_float(y) != as_float(y) ? 0x7fffffffu                                 \
                                                               : ref_max(as_float(x), as_float(y), false))   \
    M(dadd, "add.f64 d, a, b", "f64", "f64", "f64", NULL, bits_of_double(as_double(x) + as_double(y)))       \
    M(dmul, "mul.rn.f64 d, a, b", "f64", "f64", "f64", NULL, bits_of_double(as_double(x) * as_double(y)))    \
    M(dfma, "fma.rn.f64 d, a, b, c", "f64", "f64", "f64", "f64",                                             \
      bits_of_double(fma(as_double(x), as_double(y), as_double(z))))                                         \
    M(ddiv, "div.rn.f64 d, a, b", "f64", "f64", "f64", NULL, bits_of_double(as_double(x) / as_double(y)))    \
    M(copysign, "copysign.f32 d, a, b", "f32", "f32", "f32", NULL, (y & 0x7fffffff) | (x & 0x80000000))      \
    M(hadd, "add.f16 d, a, b", "b16", "b16", "b16", NULL, HN((quad)H(x) + H(y)))                             \
    M(hmul, "mul.f16 d, a, b", "b16", "b16", "b16", NULL, HN((quad)H(x) * H(y)))                             \
    M(hfma, "fma.rn.f16 d, a, b, c", "b16", "b16", "b16", "b16", half_fma(H(x), H(y), H(z), 10, 15))         \
    M(bfma, "fma.rn.bf16 d, a, b, c", "b16", "b16", "b16", "b16", half_fma(B(x), B(y), B(z), 7, 127))        \
    M(badd, "add.bf16 d, a, b", "b16", "b16", "b16", NULL, BN((quad)B(x) + B(y)))                            \
    M(hadd2, "add.f16x2 d, a, b", "b32", "b32", "b32", NULL,                                                 \
      (u32)HN((quad)H(x) + H(y)) | (u32)HN((quad)H(x >> 16) + H(y >> 16)) << 16)                             \
    M(cvt_f16, "cvt.rn.f16.f32 d, a", "b16", "f32", NULL, NULL, HN((quad)as_float(x)))                       \
    M(cvt_bf16, "cvt.rn.bf16.f32 d, a", "b16", "f32", NULL, NULL, BN((quad)as_float(x)))                     \
    M(cvt_f16x2, "cvt.rn.f16x2.f32 d, a, b", "b32", "f32", "f32", NULL,                                      \
      HN((quad)as_float(y)) | HN((quad)as_float(x)) << 16)                                                   \
    M(cvt_f16_f64, "cvt.rn.f16.f64 d, a", "b16", "f64", NULL, NULL, HN((quad)as_double(x)))                  \
    M(cvt_f32_f16, "cvt.f32.f16 d, a", "f32", "b16", NULL, NULL, bits_of((float)H(x)))                       \
    M(cvt_f32_bf16, "cvt.f32.bf16 d, a", "f32", "b16", NULL, NULL, bits_of((float)B(x)))                     \
    M(cvt_f32_f64_rz, "cvt.rz.f32.f64 d, a", "f32", "f64", NULL, NULL,                                       \
      round_float((quad)as_double(x), 0, ZERO))                                                              \
    M(cvt_f32_f64_rp, "cvt.rp.f32.f64 d, a", "f32", "f64", NULL, NULL,                                       \
      round_float((quad)as_double(x), 0, UP))                                                                \
    M(cvt_f32_u64, "cvt.rn.f32.u64 d, a", "f32", "b64", NULL, NULL, round_float((quad)x, 0, NEAREST))        \
    M(cvt_f32_s64_rm, "cvt.rm.f32.s64 d, a", "f32", "b64", NULL, NULL, round_float((quad)(s64)x, 0, DOWN))   \
    M(cvt_f32_s32, "cvt.rn.f32.s32 d, a", "f32", "b32", NULL, NULL, round_float((quad)(s32)x, 0, NEAREST))   \
    M(cvt_f32_u32, "cvt.rn.f32.u32 d, a", "f32", "b32", NULL, NULL, round_float((quad)(u32)x, 0, NEAREST))   \
    M(cvt_s32_rzi, "cvt.rzi.s32.f32 d, a", "b32", "f32", NULL, NULL,                                         \
      (u32)whole(as_float(x), 1, INT32_MIN, INT32_MAX))                                                      \
    M(cvt_s32_rni, "cvt.rni.s32.f32 d, a", "b32", "f32", NULL, NULL,                                         \
      (u32)whole(as_float(x), 0, INT32_MIN, INT32_MAX))                                                      \
    M(cvt_u32_rzi, "cvt.rzi.u32.f32 d, a", "b32", "f32", NULL, NULL,                                         \
      (u32)whole(as_float(x), 1, 0, UINT32_MAX))                                                             \
    M(cvt_u32_rpi, "cvt.rpi.u32.f64 d, a", "b32", "f64", NULL, NULL,                                         \
      (u32)whole_or(as_double(x), 3, 0, UINT32_MAX, 1u << 31))                                               \
    M(cvt_s64_rmi, "cvt.rmi.s64.f32 d, a", "b64", "f32", NULL, NULL,                                         \
      whole_or(as_float(x), 2, INT64_MIN, INT64_MAX, 1ull << 63))                                            \
    M(cvt_s16_f32, "cvt.rni.s16.f32 d, a", "b16", "f32", NULL, NULL,                                         \
      (u16)whole(as_float(x), 0, INT16_MIN, INT16_MAX))                                                      \
    M(cvt_s32_s8, "cvt.s32.s8 d, a", "b32", "b32", NULL, NULL, (u32)(s8)x)                                   \
    M(cvt_s64_s32, "cvt.s64.s32 d, a", "b64", "b32", NULL, NULL, (s64)(s32)x)                                \
    M(cvt_sat_u8, "cvt.sat.u8.s32 d, a", "b32", "b32", NULL, NULL, clamped((s32)x, 0, 255))                  \
    M(cvt_sat_s8, "cvt.sat.s8.s32 d, a", "b32", "b32", NULL, NULL, (u32)clamped((s32)x, -128, 127))          \
    M(cvt_floor, "cvt.rmi.f32.f32 d, a", "f32", "f32", NULL, NULL, bits_of(floorf(as_float(x))))             \
    M(cvt_even, "cvt.rni.f32.f32 d, a", "f32", "f32", NULL, NULL, bits_of(rintf(as_float(x))))               \
    M(cvt_sat, "cvt.sat.f32.f32 d, a", "f32", "f32", NULL, NULL, saturated(x))                               \
    M(cvt_ftz, "cvt.ftz.f64.f32 d, a", "f64", "f32", NULL, NULL,                                             \
      as_float(x) != as_float(x) ? bits_of_double((double)as_float(x))                                       \
                                 : bits_of_double((double)flushed(as_float(x))))
#define DEFINE(name, text, d, a, b, c, expression) REF(case_##name, expression)
CASES(DEFINE)
static const test_case cases[] = {
#define ROW(name, text, d, a, b, c, expression) {text, d, a, b, c, case_##name},
    CASES(ROW)};

// ---- operands ----

static const u64 edges[] = {
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    0x3c00,
    0x7bff,
    0x7c00,
    0x7c01,
    0x7e00,
    0x7fff,
    0x8000,
    0x8001,
    0xbc00,
    0xfc00,
    0xffff,
    0x03ff,
    0x0400,
    0x3f80,
    0x7f80,
    0x7f81,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xffffffff,
    0x3f800000,
    0xbf800000,
    0x7f800000,
    0xff800000,
    0x7fc00000,
    0x7f800001,
    0xffc12345,
    0x00800000,
    0x007fffff,
    0x807fffff,
    0x7f7fffff,
    0xff7fffff,
    0x3f000000,
    0x3effffff,
    0x4b000000,
    0x4b000001,
    0xcb000001,
    0x4f000000,
    0x4f7fffff,
    0x4f800000,
    0xcf000000,
    0x5f000000,
    0x477fe000,
    0x477ff000,
    0x33000000,
    0x33000001,
    0x38800000,
    0x387fffff,
    0x40200000,
    0x3fc00000,
    0xc0200000,
    0x7fffffffffffffffull,
    0x8000000000000000ull,
    0xffffffffffffffffull,
    0x3ff0000000000000ull,
    0xbff0000000000000ull,
    0x7ff0000000000000ull,
    0x7ff8000000000000ull,
    0x0010000000000000ull,
    0x000fffffffffffffull,
    0x7fefffffffffffffull,
    0x47efffffe0000000ull,
    0x36a0000000000000ull,
    0x3690000000000001ull,
    0x41dfffffffc00000ull,
    0x4000000000000001ull,
    0x100000000ull,
    0x36f0000000000000ull,
    0x40effe0000000000ull,
    0x3810000000000000ull,
};
#define EDGES (sizeof edges / sizeof *edges)

static void fill_operands(u64 *seed, unsigned run)
{
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned pick = run * COUNT + i;
        for (unsigned k = 0; k < 3; k++) {
            u64 r = next_random(seed);
            bool edge = run == 0 ? k < 2 : r >> 60 == 0;
            operands[k][i] =
                edge ? edges[run ? r % EDGES : (k ? pick / EDGES : pick) % EDGES] : next_random(seed);
            if (run == 0 && k == 2)
                operands[k][i] = edges[r % EDGES];
            // exponents near one another, so that sums cancel and round
            if (run == 2)
                operands[k][i] = (r & 0x80ffffff80ffffffull) | 0x3f0000003f000000ull;
            if (run == 3)
                operands[k][i] = r & 0x8000007f8000007full;
        }
    }
}

static void write_kernel(const test_case *c, char *text, size_t bytes)
{
    const char *types[4] = {c->d, c->a, c->b, c->c};
    char body[512] = "";
    size_t used = 0;
    // the names in the text become registers
    for (const char *p = c->text; *p; p++) {
        bool name = strchr("dabc", *p) && (p == c->text || strchr(" ,{", p[-1])) && strchr(",; \0", p[1]) &&
                    p[1] != ':';
        if (p[1] == 0 && strchr("dabc", *p) && strchr(" ,", p[-1]))
            name = true;
        used += (size_t)snprintf(body + used, sizeof body - used, name ? "%%v%c" : "%c", *p);
    }
    used = (size_t)snprintf(text, bytes,
                            HEADER ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n"
                                   ".reg .pred %%p<4>;\n.reg .b32 %%t<4>;\n.reg .b64 %%x<8>;\n");
    for (int i = 0; i < 4; i++)
        if (types[i])
            used += (size_t)snprintf(text + used, bytes - used, ".reg .%s %%v%c;\n", types[i], "dabc"[i]);
    used += (size_t)snprintf(
        text + used, bytes - used,
        "mov.u32 %%t0, %%tid.x;\nmov.u32 %%t1, %%ctaid.x;\nmad.lo.u32 %%t0, %%t1, 64, %%t0;\n"
        "ld.param.u64 %%x0, [p0];\nld.param.u64 %%x1, [p1];\nmul.wide.u32 %%x2, %%t0, 8;\n"
        "add.u64 %%x0, %%x0, %%x2;\nadd.u64 %%x1, %%x1, %%x2;\nrem.u32 %%t2, %%t0, 3;\n"
        "setp.ne.u32 %%p1, %%t2, 0;\nsetp.eq.u32 %%p3, %%t0, %%t0;\n");
    for (int i = 0; i < 4; i++)
        if (types[i])
            used += (size_t)snprintf(text + used, bytes - used, "ld.global.b%s %%v%c, [%%x0+%d];\n",
                                     types[i] + 1, "dabc"[i], i == 0 ? 0 : (i - 1) * COUNT * 8);
    bool block = body[0] == '{';
    char *skip = block ? "@!%p1 bra over;\n" : "@%p1 ";
    used += (size_t)snprintf(text + used, bytes - used, "%s%s%s\nover:\n", skip, body, block ? "" : ";");
    snprintf(text + used, bytes - used,
             "mov.u64 %%x3, 0;\nst.global.b64 [%%x1], %%x3;\nst.global.b%s [%%x1], %%vd;\nret;\n}\n",
             c->d + 1);
}

static u64 masked(u64 x, const char *type)
{
    return strcmp(type + 1, "64") == 0 ? x : strcmp(type + 1, "32") == 0 ? (u32)x : (u16)x;
}

static bool same(const test_case *c, u64 got, u64 expected)
{
    double a = as_double(got), b = as_double(expected);
    if (got == expected)
        return true;
    // payloads of NaN in double precision are the host's
    return strcmp(c->d, "f64") == 0 && a != a && b != b;
}

static void run_case(const test_case *c, u64 *seed)
{
    char text[4096], message[PTX_MESSAGE_BYTES];
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    u64 params[2];
    write_kernel(c, text, sizeof text);
    ptx_status status = ptx_module_load(memory, text, strlen(text), message, &module);
    CHECK(status == PTX_OK, "%s: %s\n%s", c->text, message, text);
    for (unsigned run = 0; status == PTX_OK && run < 5; run++) {
        reports found = {.count = 0};
        ptx_launch_result result;
        fill_operands(seed, run);
        ptx_memory_alloc(memory, sizeof operands, "operands", &params[0]);
        ptx_memory_alloc(memory, sizeof results, "results", &params[1]);
        ptx_memory_write(memory, params[0], operands, sizeof operands);
        ptx_launch launch = {.kernel = ptx_module_find_kernel(module, "k"),
                             .grid = {COUNT / 64, 1, 1},
                             .block = {64, 1, 1},
                             .params = params,
                             .param_bytes = sizeof params,
                             .report = collect,
                             .user = &found};
        status = ptx_launch_run(memory, &launch, &result);
        CHECK(status == PTX_OK && !found.count, "%s: %s%s", c->text, result.message,
              found.count ? found.list[0].text : "");
        ptx_memory_read(memory, params[1], results, sizeof results, NULL);
        unsigned wrong = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            u64 x = operands[0][i], y = operands[1][i], z = operands[2][i];
            u64 expected = i % 3 == 0 ? masked(x, c->d) : c->reference(x, y, z);
            if (!same(c, results[i], expected) && wrong++ < 2)
                CHECK(false, "%s (run %u, lane %u): %llx, %llx, %llx gives %llx, not %llx", c->text, run, i,
                      (unsigned long long)x, (unsigned long long)y, (unsigned long long)z,
                      (unsigned long long)results[i], (unsigned long long)expected);
        }
        checks += COUNT;
        ptx_memory_free(memory, params[0]);
        ptx_memory_free(memory, params[1]);
    }
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
}

int main(int argc, char **argv)
{
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_case(&cases[i], &seed);
    return finish("opcodes");
}
