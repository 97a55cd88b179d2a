// SPDX-License-Identifier: MIT
//
// cvt in all its forms. The frequent ones are loops over lanes; the others go through a real number that
// holds every source exactly, and one rounding.
#include "lanes.h"
#include "numbers.h"

static f32 near_f32_s32(s32 x)
{
    return (f32)x;
}

RUN1(widen_u32, u64, u32, a)
RUN1(widen_s32, s64, s32, a)
RUN1(narrow_64, u32, u64, a)
RUN1(widen_u16, u32, u16, a)
RUN1(widen_s16, s32, s16, a)
RUN1(narrow_32, u16, u32, a)
RUN1(f32_s32, f32, s32, near_f32_s32(a))
RUN1(f32_u32, f32, u32, (f32)a)
RUN1(f32_f16, f32, u16, (a & 0x7fffu) > 0x7c00u ? ptx_float(0x7fffffffu) : ptx_half(a))
RUN1(f32_bf16, f32, u16, (a & 0x7fffu) > 0x7f80u ? ptx_float(0x7fffffffu) : ptx_float((u32)a << 16))
RUN1(floor_f, f32, f32, a == a ? __builtin_floorf(a) : ptx_float(0x7fffffffu))
RUN1(trunc_f, f32, f32, a == a ? __builtin_truncf(a) : ptx_float(0x7fffffffu))
RUN1(s32_f32_rzi, s32, f32, a >= 0x1p31f ? INT32_MAX : a >= -0x1p31f ? (s32)a : a == a ? INT32_MIN : 0)
RUN1(u32_f32_rzi, u32, f32, a >= 0x1p32f ? UINT32_MAX : a > 0.0f ? (u32)a : 0)

#undef a
#undef b
#undef c

static long double integer_value(ptx_type type, u64 bits)
{
    u32 width = ptx_types[type].bits;
    if (ptx_types[type].kind == 's')
        return (long double)((s64)(bits << (64 - width)) >> (64 - width));
    return (long double)(width == 64 ? bits : bits & ((1ull << width) - 1));
}

static long double round_whole(long double x, u32 round)
{
    switch (round) {
    case PTX_RZI:
        return truncl(x);
    case PTX_RMI:
        return floorl(x);
    case PTX_RPI:
        return ceill(x);
    default: {
        long double whole = floorl(x), rest = x - whole;
        bool up = rest > 0.5L || (rest == 0.5L && fmodl(whole, 2) != 0);
        return copysignl(up ? whole + 1 : whole, x);
    }
    }
}

// What a NaN becomes: 0 in 32 bits and fewer, unless it was one of double precision; else the highest bit
// alone. So PTX ISA 9.3 of cvt; up to 8.7 it had 0 for all of them.
static u64 nan_integer(ptx_type type, ptx_type from)
{
    u32 width = ptx_types[type].bits;
    return from == PTX_F64 || width == 64 ? 1ull << (width - 1) : 0;
}

// Beyond the range: the nearest end.
static u64 to_integer(ptx_type type, long double x)
{
    u32 width = ptx_types[type].bits;
    bool is_signed = ptx_types[type].kind == 's';
    long double top = ldexpl(1, (int)width - is_signed), bottom = is_signed ? -top : 0;
    if (x >= top)
        return is_signed ? (1ull << (width - 1)) - 1 : width == 64 ? ~0ull : (1ull << width) - 1;
    if (x <= bottom)
        return is_signed ? (u64)(s64)(~0ull << (width - 1)) : 0;
    return is_signed ? (u64)(s64)x : (u64)x;
}

// A register wider than the type is filled with the sign or with zeros.
static u64 extend(ptx_type type, u64 bits)
{
    u32 width = ptx_types[type].bits;
    if (width == 64)
        return bits;
    if (ptx_types[type].kind == 's')
        return (u64)((s64)(bits << (64 - width)) >> (64 - width));
    return bits & ((1ull << width) - 1);
}

static long double float_value(const ptx_insn *insn, ptx_type type, u64 bits)
{
    long double x = ptx_to_double(type, bits);
    // .ftz is for single precision only
    if (insn->m.ftz && type == PTX_F32 && fabsl(x) < 0x1p-126L)
        x = copysignl(0, x);
    return x;
}

static u64 to_float(const ptx_insn *insn, ptx_type type, long double x)
{
    u32 round = insn->m.round ? insn->m.round : PTX_RN;
    if (insn->m.sat == 1 && x == x)
        x = x > 0 ? x < 1 ? x : 1 : 0;
    else if (insn->m.sat == 1)
        x = 0;
    if (insn->m.relu && x == x && !(x > 0))
        x = 0;
    u64 bits = ptx_from_real(type, x, (int)round, insn->m.sat == 2);
    if (insn->m.ftz && type == PTX_F32 && !(bits & 0x7f800000))
        bits &= 0x80000000u;
    return bits;
}

static u64 convert(const ptx_insn *insn, u64 bits)
{
    ptx_type to = (ptx_type)insn->type[0], from = (ptx_type)insn->type[1];
    bool from_float = ptx_format_of(from) != NULL, to_is_float = ptx_format_of(to) != NULL;
    u32 round = insn->m.round;
    if (!from_float && !to_is_float) {
        if (insn->m.sat)
            return extend(to, to_integer(to, integer_value(from, bits)));
        return extend(to, extend(from, bits));
    }
    if (!from_float)
        return to_float(insn, to, integer_value(from, bits));
    long double x = float_value(insn, from, bits);
    if (!to_is_float)
        return extend(to, x == x ? to_integer(to, round_whole(x, round)) : nan_integer(to, from));
    if (round >= PTX_RNI && x == x && !isinf(x))
        x = round_whole(x, round);
    return to_float(insn, to, x);
}

static void run_cvt(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    PTX_EACH_LANE (l, mask)
        ptx_set(warp, insn->o[0], insn->lane[0], l,
                convert(insn, ptx_get(warp, insn->o[1], insn->lane[1], l)));
}

// Two floats: the first operand is the high half.
static void run_pair(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_type to = (ptx_type)insn->type[0];
    u32 width = ptx_types[to].bits / 2;
    PTX_EACH_LANE (l, mask) {
        u64 high = to_float(insn, to, float_value(insn, PTX_F32, ptx_get(warp, insn->o[1], 4, l)));
        u64 low = to_float(insn, to, float_value(insn, PTX_F32, ptx_get(warp, insn->o[2], 4, l)));
        ptx_set(warp, insn->o[0], insn->lane[0], l, high << width | low);
    }
}

static void run_packed(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_type to = (ptx_type)insn->type[0], from = (ptx_type)insn->type[1];
    u32 out = ptx_types[to].bits / 2, in = ptx_types[from].bits / 2;
    PTX_EACH_LANE (l, mask) {
        u64 bits = ptx_get(warp, insn->o[1], insn->lane[1], l), result = 0;
        for (u32 i = 0; i < 2; i++) {
            u64 part = bits >> in * i & ((1ull << in) - 1);
            result |= to_float(insn, to, ptx_to_double(from, part)) << out * i;
        }
        ptx_set(warp, insn->o[0], insn->lane[0], l, result);
    }
}

static ptx_run *fast(const ptx_insn *insn)
{
    static const struct {
        uint8_t to, from, round, to_lane, from_lane;
        ptx_run *run;
    } table[] = {
        {PTX_U64, PTX_U32, 0, 8, 4, widen_u32},         {PTX_S64, PTX_U32, 0, 8, 4, widen_u32},
        {PTX_S64, PTX_S32, 0, 8, 4, widen_s32},         {PTX_U64, PTX_S32, 0, 8, 4, widen_s32},
        {PTX_U32, PTX_U64, 0, 4, 8, narrow_64},         {PTX_S32, PTX_S64, 0, 4, 8, narrow_64},
        {PTX_U32, PTX_U16, 0, 4, 2, widen_u16},         {PTX_S32, PTX_S16, 0, 4, 2, widen_s16},
        {PTX_S32, PTX_U16, 0, 4, 2, widen_u16},         {PTX_U16, PTX_U32, 0, 2, 4, narrow_32},
        {PTX_S16, PTX_S32, 0, 2, 4, narrow_32},         {PTX_F32, PTX_S32, PTX_RN, 4, 4, f32_s32},
        {PTX_F32, PTX_U32, PTX_RN, 4, 4, f32_u32},      {PTX_F32, PTX_F16, 0, 4, 2, f32_f16},
        {PTX_F32, PTX_BF16, 0, 4, 2, f32_bf16},         {PTX_F32, PTX_F32, PTX_RMI, 4, 4, floor_f},
        {PTX_F32, PTX_F32, PTX_RZI, 4, 4, trunc_f},     {PTX_S32, PTX_F32, PTX_RZI, 4, 4, s32_f32_rzi},
        {PTX_U32, PTX_F32, PTX_RZI, 4, 4, u32_f32_rzi},
    };
    if (insn->m.ftz || insn->m.sat || insn->m.relu)
        return NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (insn->type[0] == table[i].to && insn->type[1] == table[i].from &&
            insn->m.round == table[i].round && insn->lane[0] == table[i].to_lane &&
            insn->lane[1] == table[i].from_lane)
            return table[i].run;
    return NULL;
}

ptx_run *PTX_VARIANT_OF(ptx_select_convert)(const ptx_insn *insn)
{
    ptx_run *run;
    switch (insn->op) {
    case PTX_OP_CVT:
        run = fast(insn);
        return run ? run : run_cvt;
    case PTX_OP_CVTPAIR:
        return run_pair;
    case PTX_OP_CVTPACKED:
        return run_packed;
    default:
        return NULL;
    }
}
