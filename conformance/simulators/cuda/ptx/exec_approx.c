// SPDX-License-Identifier: MIT
//
// Approximate instructions: correctly rounded, or with a seed anywhere inside the bound that the ISA gives.
// The bounds are those of PTX ISA 9.1, sections 9.7.3.8 (div), 9.7.3.13 (rcp), 9.7.3.15 to 22 (sqrt, rsqrt,
// sin, cos, lg2, ex2, tanh), 9.7.4.9 and 10 (tanh and ex2 of halves).
#include "lanes.h"
#include "numbers.h"

// The unit in the last place of a single-precision number.
static f64 unit(f64 x)
{
    int exponent = (int)(ptx_bits64(x) >> 52 & 0x7ff) - 1023;
    return ptx_double((u64)((exponent < -126 ? -126 : exponent) - 23 + 1023) << 52);
}

// From -1 to 1, the same for the same operand: a chip's function is a function. 0 without a seed.
static f64 place_inside(const ptx_warp *warp, const ptx_insn *insn, u64 operand)
{
    u64 seed = warp->block->run->launch->approximation_seed;
    u64 state = seed * 0x9e3779b97f4a7c15ull ^ operand * 0xd1342543de82ef95ull ^ insn->op;
    return seed ? (f64)(s64)ptx_random(&state) * 0x1p-63 : 0;
}

// A number within the bound of the right one. Where rounding would leave the bound, the right one.
static f32 inside(f64 place, f64 right, f64 bound)
{
    f32 rounded = (f32)right, moved = (f32)(right + place * bound);
    if (!__builtin_isfinite(right) || right == 0)
        return rounded;
    return __builtin_fabs((f64)moved - right) <= bound ? moved : rounded;
}

static f32 approximate(const ptx_insn *insn, f64 x, f64 y, f64 place)
{
    const f64 turn = 0x1.921fb54442d18p+2; // 2 pi
    f64 r, size = __builtin_fabs(x);
    switch (insn->op) {
    case PTX_OP_RCPAPPROX:
        r = 1 / x;
        return inside(place, r, unit(r)); // 1 ulp
    case PTX_OP_SQRTAPPROX:
        r = sqrt(x);
        return inside(place, r, r * 0x1p-23);
    case PTX_OP_RSQRT:
        r = 1 / sqrt(x);
        return inside(place, r, r * 0x1.125fbep-23); // 2^-22.9
    case PTX_OP_SIN:
    case PTX_OP_COS: // 2^-20.5 in one turn, 2^-14.7 in fifty; beyond, the ISA promises nothing
        r = insn->op == PTX_OP_SIN ? sin(x) : cos(x);
        return inside(place, r, size <= turn ? 0x1.6a09e6p-21 : size <= 50 * turn ? 0x1.3b2c47p-15 : 1);
    case PTX_OP_LG2: // absolute between 1/2 and 2, else relative
        r = log2(x);
        return inside(place, r, 0x1p-22 * (x > 0.5 && x < 2 ? 1 : __builtin_fabs(r)));
    case PTX_OP_EX2: // 2 ulp from the correctly rounded result
        r = (f32)exp2(x);
        return inside(place, r, 2 * unit(r));
    case PTX_OP_TANH:
        r = tanh(x);
        return inside(place, r, __builtin_fabs(r) * 0x1p-11);
    default: // division: 2 ulp
        r = x / y;
        return inside(place, r, 2 * unit(r));
    }
}

static void run_approximate(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool ftz = insn->m.ftz, divides = insn->op == PTX_OP_DIVAPPROX;
    const f32 *x = ptx_place(warp, insn->o[1]), *y = divides ? ptx_place(warp, insn->o[2]) : x;
    f32 *d = ptx_place(warp, insn->o[0]);
    PTX_EACH_LANE (l, mask) {
        f32 left = ptx_flush(x[l], ftz), right = ptx_flush(y[l], ftz);
        u64 key = (u64)ptx_bits(left) << 32 | (divides ? ptx_bits(right) : 0);
        f32 r = approximate(insn, left, right, place_inside(warp, insn, key));
        // .approx divides by a reciprocal that is zero above 2^126
        if (divides && insn->m.approx == 1 && __builtin_fabsf(right) > 0x1p126f && !__builtin_isinf(right) &&
            left == left)
            r = __builtin_isinf(left) ? ptx_float(PTX_NAN)
                                      : __builtin_copysignf(0, left * __builtin_copysignf(1, right));
        d[l] = ptx_flush(ptx_clean(r), ftz);
    }
}

// Double precision with .ftz (9.7.3.14 and 17): 20 bits of the fraction count, the lower word of the result
// is zero. The ISA gives no bound, so that nothing is moved by a seed.
static void run_approximate_wide(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const u64 *x = ptx_place(warp, insn->o[1]);
    u64 *d = ptx_place(warp, insn->o[0]);
    PTX_EACH_LANE (l, mask) {
        f64 v = ptx_double(x[l] & ~0xffffffffull);
        if (__builtin_fabs(v) < 0x1p-1022)
            v = __builtin_copysign(0, v);
        f64 r = insn->op == PTX_OP_RSQRT ? 1 / sqrt(v) : 1 / v;
        if (__builtin_fabs(r) < 0x1p-1022)
            r = __builtin_copysign(0, r);
        d[l] = r != r ? 0x7fffffff00000000ull : ptx_bits64(r) & ~0xffffffffull;
    }
}

// Without .ftz rsqrt is a function of the whole double (9.7.3.16), again without a bound.
RUN1(rsqrt_d, f64, f64, 1.0 / __builtin_sqrt(a))

static u32 approximate_half(const ptx_insn *insn, u32 bits, bool is_half, f64 place)
{
    f64 x = is_half ? ptx_half(bits) : ptx_float(bits << 16), right, bound;
    if (insn->op == PTX_OP_TANH) {
        right = tanh(x);
        bound = is_half ? 0x1.025134p-11 : 0x1p-8; // absolute: 2^-10.987 and 2^-8
    } else {
        right = exp2(x);
        bound = right * (is_half ? 0x1.125fbep-10 : 0x1p-7); // relative: 2^-9.9 and 2^-7
    }
    u32 rounded = 0;
    for (int i = 0; i < 2;
         i++, place = 0) { // the right one where the moved one rounds to outside of the bound
        f64 value = place == 0 || right == 0 || !__builtin_isfinite(right) ? right : right + place * bound,
            got;
        rounded = is_half ? ptx_half_bits(ptx_to_odd(value)) : ptx_bf16_bits(ptx_to_odd(value));
        got = is_half ? ptx_half(rounded) : ptx_float(rounded << 16);
        if (__builtin_fabs(got - right) <= bound)
            break;
    }
    return rounded;
}

static void run_approximate_half(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool pair = ptx_types[insn->type[0]].bits == 32;
    bool is_half = insn->type[0] == PTX_F16 || insn->type[0] == PTX_F16X2;
    PTX_EACH_LANE (l, mask) {
        u32 in = (u32)ptx_get(warp, insn->o[1], insn->lane[1], l), result = 0;
        for (int part = 0; part <= pair; part++) {
            u32 bits = in >> 16 * part & 0xffff;
            if (insn->m.ftz && !(bits & (is_half ? 0x7c00 : 0x7f80)))
                bits &= 0x8000;
            u32 out = approximate_half(insn, bits, is_half, place_inside(warp, insn, bits));
            if (insn->m.ftz && !(out & (is_half ? 0x7c00 : 0x7f80)))
                out &= 0x8000;
            result |= out << 16 * part;
        }
        ptx_set(warp, insn->o[0], insn->lane[0], l, result);
    }
}

ptx_run *PTX_VARIANT_OF(ptx_select_approximate)(const ptx_insn *insn)
{
    ptx_type type = (ptx_type)insn->type[0];
    switch (insn->op) {
    case PTX_OP_RCPAPPROX:
    case PTX_OP_SQRTAPPROX:
    case PTX_OP_RSQRT:
    case PTX_OP_SIN:
    case PTX_OP_COS:
    case PTX_OP_LG2:
    case PTX_OP_EX2:
    case PTX_OP_TANH:
    case PTX_OP_DIVAPPROX:
        if (type == PTX_F64)
            return insn->m.ftz ? run_approximate_wide : rsqrt_d;
        return type == PTX_F32 ? run_approximate : run_approximate_half;
    default:
        return NULL;
    }
}
