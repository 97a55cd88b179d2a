// SPDX-License-Identifier: MIT
//
// Floating point: every result is the correctly rounded one of the instruction's format and direction, a NaN
// is the canonical one (0x7fffffff in single precision), subnormals stay unless .ftz. Compiled with
// -frounding-math.
#include "lanes.h"
#include "numbers.h"

#include <fenv.h>

#define clean ptx_clean
#define flush ptx_flush

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
    return x != x ? y == y ? y : ptx_float(PTX_NAN) : y != y ? x : larger;
}
static inline f32 min_of(f32 x, f32 y)
{
    f32 smaller = x < y ? x : x > y ? y : ptx_float(ptx_bits(x) | ptx_bits(y));
    return x != x ? y == y ? y : ptx_float(PTX_NAN) : y != y ? x : smaller;
}
RUN2(max_f, f32, f32, f32, max_of(a, b))
RUN2(min_f, f32, f32, f32, min_of(a, b))
RUN1(abs_f, u32, u32, (a & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : a & 0x7fffffffu)
RUN1(neg_f, u32, u32, (a & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : a ^ 0x80000000u)
RUN2(copysign_f, u32, u32, u32, (b & 0x7fffffffu) | (a & 0x80000000u))
RUN2(copysign_d, u64, u64, u64, (b & ~(1ull << 63)) | (a & 1ull << 63))

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
    default:
        return NULL;
    }
}
