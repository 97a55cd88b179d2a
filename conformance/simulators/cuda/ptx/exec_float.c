// SPDX-License-Identifier: MIT
//
// Floating point: every result is the correctly rounded one of the instruction's format and direction, a NaN
// is the canonical one (0x7fffffff in single precision), subnormals stay unless .ftz. Compiled with
// -frounding-math.
#include "lanes.h"
#include "numbers.h"

#include <fenv.h>

static const union {
    u32 u;
    f32 f;
} canonical = {0x7fffffffu};

static inline f32 clean(f32 x)
{
    return x == x ? x : canonical.f;
}

static inline f32 flush(f32 x, bool on)
{
    return on && __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x;
}

static inline f32 saturate(f32 x, bool on)
{
    f32 low = x > 0.0f ? x : 0.0f; // a NaN gives 0
    return on ? low < 1.0f ? low : 1.0f : x;
}

// ---- the frequent forms: nearest, nothing flushed ----

RUN2(add_rn, f32, f32, f32, clean(a + b))
RUN2(sub_rn, f32, f32, f32, clean(a - b))
RUN2(mul_rn, f32, f32, f32, clean(a *b))
RUN3(fma_rn, f32, f32, f32, f32, clean(__builtin_fmaf(a, b, c)))
RUN2(div_rn, f32, f32, f32, clean(a / b))
RUN1(sqrt_rn, f32, f32, clean(__builtin_sqrtf(a)))
RUN1(rcp_rn, f32, f32, clean(1.0f / a))
RUN2(add_d, f64, f64, f64, a + b)
RUN2(sub_d, f64, f64, f64, a - b)
RUN2(mul_d, f64, f64, f64, a *b)
RUN3(fma_d, f64, f64, f64, f64, __builtin_fma(a, b, c))
RUN2(div_d, f64, f64, f64, a / b)
RUN1(sqrt_d, f64, f64, __builtin_sqrt(a))
RUN1(rcp_d, f64, f64, 1.0 / a)

// ---- the same with flushing and saturation ----

#define IN(x) flush(x, ftz)
#define FLAGS const bool ftz = insn->m.ftz, sat = insn->m.sat
#define GENERAL2(name, expression)                                                                           \
    RUN0(name, f32, FLAGS; PTX_IN(f32, a, 1); PTX_IN(f32, b, 2), flush(saturate(clean(expression), sat), ftz))
GENERAL2(add_general, IN(a) + IN(b))
GENERAL2(sub_general, IN(a) - IN(b))
GENERAL2(mul_general, IN(a) * IN(b))
GENERAL2(div_general, IN(a) / IN(b))
RUN0(fma_general, f32, FLAGS; PTX_IN(f32, a, 1); PTX_IN(f32, b, 2);
     PTX_IN(f32, c, 3), flush(saturate(clean(__builtin_fmaf(IN(a), IN(b), IN(c))), sat), ftz))
RUN0(sqrt_general, f32, FLAGS; (void)sat; PTX_IN(f32, a, 1), flush(clean(__builtin_sqrtf(IN(a))), ftz))
RUN0(rcp_general, f32, FLAGS; (void)sat; PTX_IN(f32, a, 1), flush(clean(1.0f / IN(a)), ftz))

static ptx_run *nearest(const ptx_insn *insn)
{
    bool wide = insn->type[0] == PTX_F64;
    switch (insn->op) {
    case PTX_OP_FADD:
        return wide ? add_d : add_general;
    case PTX_OP_FSUB:
        return wide ? sub_d : sub_general;
    case PTX_OP_FMUL:
        return wide ? mul_d : mul_general;
    case PTX_OP_FMA:
        return wide ? fma_d : fma_general;
    case PTX_OP_FDIV:
        return wide ? div_d : div_general;
    case PTX_OP_SQRT:
        return wide ? sqrt_d : sqrt_general;
    default:
        return wide ? rcp_d : rcp_general;
    }
}

// The host's own rounding direction, for as long as the instruction takes. The barriers keep the arithmetic
// inside.
static void run_directed(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    static const int directions[] = {
        [PTX_RN] = FE_TONEAREST, [PTX_RZ] = FE_TOWARDZERO, [PTX_RM] = FE_DOWNWARD, [PTX_RP] = FE_UPWARD};
    fesetround(directions[insn->m.round]);
    __asm__ volatile("" ::: "memory");
    nearest(insn)(warp, insn, mask);
    __asm__ volatile("" ::: "memory");
    fesetround(FE_TONEAREST);
}

// ---- halves ----

// x + y as a double whose last bit is odd where it is not exact, so that rounding it again is rounding once.
static f64 exact_sum_odd(f64 x, f64 y)
{
    f64 sum = x + y, part = sum - x, error = (x - (sum - part)) + (y - part);
    u64 bits = ptx_bits64(sum);
    if (error == 0 || error != error || __builtin_isinf(sum) || bits & 1)
        return sum;
    // towards the error, if that is away from zero; else the number below in magnitude is odd
    return ptx_double((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

static u32 half_operation(const ptx_insn *insn, bool is_half, const u32 *in)
{
    f64 x[3], r;
    for (int i = 0; i < 3; i++) {
        u32 bits = is_half && insn->m.ftz && !(in[i] & 0x7c00) ? in[i] & 0x8000 : in[i];
        x[i] = is_half ? ptx_half(bits) : ptx_float(bits << 16);
    }
    switch (insn->op) {
    case PTX_OP_FADD:
        r = exact_sum_odd(x[0], x[1]);
        break;
    case PTX_OP_FSUB:
        r = exact_sum_odd(x[0], -x[1]);
        break;
    case PTX_OP_FMUL:
        r = x[0] * x[1];
        break;
    default:
        r = exact_sum_odd(x[0] * x[1], x[2]);
        break;
    }
    if (insn->m.sat)
        r = r > 0 ? r < 1 ? r : 1 : 0;
    if (insn->m.relu)
        r = r < 0 ? 0 : r;
    u32 bits = is_half ? ptx_half_bits(ptx_to_odd(r)) : ptx_bf16_bits(ptx_to_odd(r));
    if (insn->m.relu && bits == 0x8000)
        bits = 0;
    return is_half && insn->m.ftz && !(bits & 0x7c00) ? bits & 0x8000 : bits;
}

static void run_half(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool pair = ptx_types[insn->type[0]].bits == 32;
    bool is_half = insn->type[0] == PTX_F16 || insn->type[0] == PTX_F16X2;
    int count = insn->op == PTX_OP_FMA ? 3 : 2;
    PTX_EACH_LANE (l, mask) {
        u32 result = 0;
        for (int part = 0; part <= pair; part++) {
            u32 in[3] = {0};
            for (int i = 0; i < count; i++)
                in[i] = (u32)(ptx_get(warp, insn->o[1 + i], insn->lane[1 + i], l) >> 16 * part) & 0xffff;
            result |= half_operation(insn, is_half, in) << 16 * part;
        }
        ptx_set(warp, insn->o[0], insn->lane[0], l, result);
    }
}

// ---- sign and order: done on the patterns ----

static u64 sign_operation(const ptx_insn *insn, u64 x, u64 sign, u64 top, u64 nan)
{
    if (insn->m.ftz && !(x & top))
        x &= sign;
    // single precision and halves give the canonical NaN here too, except that a sign may go where a format
    // keeps payloads
    bool is_nan = (x & ~sign) > top;
    if (is_nan && nan)
        return nan;
    return insn->op == PTX_OP_FABS ? x & ~sign : x ^ sign;
}

// NaN counts as missing, unless .NaN; -0 is less than +0. The patterns are compared as sign and magnitude.
static u64 order_operation(const ptx_insn *insn, u64 x, u64 y, u64 sign, u64 top, u64 nan)
{
    u64 turned = (x ^ y) & sign;
    if (insn->m.ftz) {
        x = x & top ? x : x & sign;
        y = y & top ? y : y & sign;
    }
    if (insn->m.xorsign) {
        x &= ~sign;
        y &= ~sign;
    }
    bool x_nan = (x & ~sign) > top, y_nan = (y & ~sign) > top;
    u64 r;
    if ((x_nan && y_nan) || (insn->m.nan && (x_nan || y_nan)))
        return nan;
    if (x_nan || y_nan) {
        r = x_nan ? y : x;
    } else {
        bool x_less = (x & sign) != (y & sign) ? (x & sign) != 0 : x & sign ? x > y : x < y;
        r = (insn->op == PTX_OP_FMIN) == x_less ? x : y;
    }
    return insn->m.xorsign ? r | turned : r;
}

static void run_patterns(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_type type = (ptx_type)insn->type[0];
    const ptx_format *f = ptx_format_of(type);
    int width = 1 + f->exponent_bits + f->fraction_bits;
    bool pair = width == 16 && ptx_types[type].bits == 32,
         unary = insn->op == PTX_OP_FABS || insn->op == PTX_OP_FNEG;
    u64 sign = 1ull << (width - 1), top = (sign - 1) & ~((1ull << f->fraction_bits) - 1);
    u64 all = width == 64 ? ~0ull : (1ull << width) - 1;
    u64 nan = type == PTX_F64 ? unary ? 0 : 0x7ff8000000000000ull : all & ~sign;
    PTX_EACH_LANE (l, mask) {
        u64 x = ptx_get(warp, insn->o[1], insn->lane[1], l), result = 0;
        u64 y = unary ? 0 : ptx_get(warp, insn->o[2], insn->lane[2], l);
        for (int part = 0; part <= pair; part++) {
            u64 p = x >> width * part & all, q = y >> width * part & all;
            u64 r =
                unary ? sign_operation(insn, p, sign, top, nan) : order_operation(insn, p, q, sign, top, nan);
            result |= pair ? r << width * part : r;
        }
        ptx_set(warp, insn->o[0], insn->lane[0], l, result);
    }
}

// The frequent ones, for single precision without modifiers.
static inline f32 max_of(f32 x, f32 y)
{
    f32 larger = x > y ? x : x < y ? y : ptx_float(ptx_bits(x) & ptx_bits(y)); // equal: of zeros +0
    return x != x ? y == y ? y : canonical.f : y != y ? x : larger;
}
static inline f32 min_of(f32 x, f32 y)
{
    f32 smaller = x < y ? x : x > y ? y : ptx_float(ptx_bits(x) | ptx_bits(y));
    return x != x ? y == y ? y : canonical.f : y != y ? x : smaller;
}
RUN2(max_f, f32, f32, f32, max_of(a, b))
RUN2(min_f, f32, f32, f32, min_of(a, b))
RUN1(abs_f, u32, u32, (a & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : a & 0x7fffffffu)
RUN1(neg_f, u32, u32, (a & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : a ^ 0x80000000u)
RUN2(copysign_f, u32, u32, u32, (b & 0x7fffffffu) | (a & 0x80000000u))
RUN2(copysign_d, u64, u64, u64, (b & ~(1ull << 63)) | (a & 1ull << 63))

// ---- approximate instructions ----

typedef struct approximation {
    f64 relative, absolute; // the ISA's bound, less the final rounding
} approximation;

// Somewhere inside the bound, the same for the same operand: a chip's function is a function.
static f64 inside(const ptx_warp *warp, const ptx_insn *insn, u64 operand, f64 exact, approximation bound)
{
    u64 seed = warp->block->run->launch->approximation_seed;
    if (seed == 0 || !__builtin_isfinite(exact) || exact == 0)
        return exact;
    u64 state = seed * 0x9e3779b97f4a7c15ull ^ operand * 0xd1342543de82ef95ull ^ insn->op;
    f64 at = (f64)(s64)ptx_random(&state) * 0x1p-63;
    return exact + at * (__builtin_fabs(exact) * bound.relative + bound.absolute);
}

static f64 approximate(const ptx_warp *warp, const ptx_insn *insn, f64 x, f64 y, u64 key)
{
    const f64 half_ulp = 0x1p-24;
    approximation bound = {0x1p-24 * 0.99, 0};
    f64 r;
    switch (insn->op) {
    case PTX_OP_RCPAPPROX: // 1 unit in the last place
        r = 1 / x;
        break;
    case PTX_OP_SQRTAPPROX: // 2^-23
        r = sqrt(x);
        break;
    case PTX_OP_RSQRT:
        r = 1 / sqrt(x);
        bound.relative = 0x1.125fbep-23 - half_ulp; // 2^-22.9
        break;
    case PTX_OP_SIN:
    case PTX_OP_COS:
        r = insn->op == PTX_OP_SIN ? sin(x) : cos(x);
        bound = (approximation){0, 0x1.6a09e6p-21 - half_ulp}; // 2^-20.5
        if (insn->op == PTX_OP_SIN && __builtin_fabs(x) < 0x1p-20)
            bound.absolute = __builtin_fabs(x) * 0x1p-22;
        break;
    case PTX_OP_LG2: // absolute 2^-22.6 between 1/2 and 2, else relative 2^-22
        r = log2(x);
        bound = x > 0.5 && x < 2 ? (approximation){0, 0x1.5194p-23 - half_ulp}
                                 : (approximation){0x1p-22 - half_ulp, 0};
        break;
    case PTX_OP_EX2:
        r = exp2(x);
        bound.relative = 0x1.6a09e6p-23 - half_ulp; // 2^-22.5
        break;
    case PTX_OP_TANH:
        r = tanh(x);
        bound.relative = 0x1p-11 - half_ulp;
        break;
    default: // division: 2 units in the last place
        r = x / y;
        bound.relative = 0x1p-23 * 0.99;
        break;
    }
    return inside(warp, insn, key, r, bound);
}

static void run_approximate(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool ftz = insn->m.ftz, divides = insn->op == PTX_OP_DIVAPPROX;
    const f32 *x = ptx_place(warp, insn->o[1]), *y = divides ? ptx_place(warp, insn->o[2]) : x;
    f32 *d = ptx_place(warp, insn->o[0]);
    PTX_EACH_LANE (l, mask) {
        f32 left = flush(x[l], ftz), right = flush(y[l], ftz);
        u64 key = (u64)ptx_bits(left) << 32 | (divides ? ptx_bits(right) : 0);
        f32 r = (f32)approximate(warp, insn, left, right, key);
        // .approx divides by a reciprocal that is zero above 2^126
        if (divides && insn->m.approx == 1 && __builtin_fabsf(right) > 0x1p126f && !__builtin_isinf(right) &&
            left == left)
            r = __builtin_isinf(left) ? canonical.f
                                      : __builtin_copysignf(0, left * __builtin_copysignf(1, right));
        d[l] = flush(clean(r), ftz);
    }
}

// Double precision: 20 bits of the fraction count, the lower word of the result is zero.
static void run_approximate_wide(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const u64 *x = ptx_place(warp, insn->o[1]);
    u64 *d = ptx_place(warp, insn->o[0]);
    PTX_EACH_LANE (l, mask) {
        f64 v = ptx_double(x[l] & ~0xffffffffull);
        if (insn->m.ftz && __builtin_fabs(v) < 0x1p-1022)
            v = __builtin_copysign(0, v);
        f64 r = insn->op == PTX_OP_RSQRT ? 1 / sqrt(v) : 1 / v;
        if (insn->m.ftz && __builtin_fabs(r) < 0x1p-1022)
            r = __builtin_copysign(0, r);
        d[l] = r != r ? 0x7fffffff00000000ull : ptx_bits64(r) & ~0xffffffffull;
    }
}

static void run_approximate_half(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool pair = ptx_types[insn->type[0]].bits == 32;
    bool is_half = insn->type[0] == PTX_F16 || insn->type[0] == PTX_F16X2, tanh_ = insn->op == PTX_OP_TANH;
    // ex2: relative 2^-9.9 and 2^-7; tanh: absolute 2^-10.987 and 2^-8; the final rounding inside
    f64 bound = is_half ? tanh_ ? 0x1.024p-11 * 0.5 : 0x1p-11 : tanh_ ? 0x1p-9 : 0x1p-8;
    PTX_EACH_LANE (l, mask) {
        u32 in = (u32)ptx_get(warp, insn->o[1], insn->lane[1], l), result = 0;
        for (int part = 0; part <= pair; part++) {
            u32 bits = in >> 16 * part & 0xffff;
            if (insn->m.ftz && !(bits & (is_half ? 0x7c00 : 0x7f80)))
                bits &= 0x8000;
            f64 x = is_half ? ptx_half(bits) : ptx_float(bits << 16), exact = tanh_ ? tanh(x) : exp2(x);
            f64 r = inside(warp, insn, bits, exact, (approximation){bound * 0.4, 0});
            u32 out = is_half ? ptx_half_bits(ptx_to_odd(r)) : ptx_bf16_bits(ptx_to_odd(r));
            if (insn->m.ftz && !(out & (is_half ? 0x7c00 : 0x7f80)))
                out &= 0x8000;
            result |= out << 16 * part;
        }
        ptx_set(warp, insn->o[0], insn->lane[0], l, result);
    }
}

// ---- choosing ----

static ptx_run *plain(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_FADD:
        return add_rn;
    case PTX_OP_FSUB:
        return sub_rn;
    case PTX_OP_FMUL:
        return mul_rn;
    case PTX_OP_FMA:
        return fma_rn;
    case PTX_OP_FDIV:
        return div_rn;
    case PTX_OP_SQRT:
        return sqrt_rn;
    default:
        return rcp_rn;
    }
}

ptx_run *PTX_VARIANT_OF(ptx_select_float)(const ptx_insn *insn)
{
    ptx_type type = (ptx_type)insn->type[0];
    const ptx_mods *m = &insn->m;
    bool single = type == PTX_F32, bare = !m->ftz && !m->nan && !m->xorsign,
         half = !single && type != PTX_F64;
    switch (insn->op) {
    case PTX_OP_FADD:
    case PTX_OP_FSUB:
    case PTX_OP_FMUL:
    case PTX_OP_FMA:
    case PTX_OP_FDIV:
    case PTX_OP_SQRT:
    case PTX_OP_RCP:
        if (half)
            return run_half;
        if (m->round > PTX_RN)
            return run_directed;
        return single && !m->ftz && !m->sat ? plain(insn) : nearest(insn);
    case PTX_OP_FABS:
        return single && bare ? abs_f : run_patterns;
    case PTX_OP_FNEG:
        return single && bare ? neg_f : run_patterns;
    case PTX_OP_FMIN:
        return single && bare ? min_f : run_patterns;
    case PTX_OP_FMAX:
        return single && bare ? max_f : run_patterns;
    case PTX_OP_COPYSIGN:
        return single ? copysign_f : copysign_d;
    case PTX_OP_RCPAPPROX:
    case PTX_OP_SQRTAPPROX:
    case PTX_OP_RSQRT:
    case PTX_OP_SIN:
    case PTX_OP_COS:
    case PTX_OP_LG2:
    case PTX_OP_EX2:
    case PTX_OP_TANH:
    case PTX_OP_DIVAPPROX:
        return single ? run_approximate : type == PTX_F64 ? run_approximate_wide : run_approximate_half;
    default:
        return NULL;
    }
}
