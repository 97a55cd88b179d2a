// SPDX-License-Identifier: MIT
//
// Comparisons: setp and set, and the tests of a float's class.
#include "lanes.h"
#include "numbers.h"

#undef a
#undef b
#undef c

typedef u32 compare(const void *left, const void *right);

#define COMPARE(name, T, relation)                                                                           \
    static u32 name(const void *left, const void *right)                                                     \
    {                                                                                                        \
        const T *x = left, *y = right;                                                                       \
        u32 set = 0;                                                                                         \
        for (int l = 0; l < PTX_LANES; l++)                                                                  \
            set |= (relation) ? 1u << l : 0;                                                                 \
        return set;                                                                                          \
    }
#define ORDERED(T)                                                                                           \
    COMPARE(eq_##T, T, x[l] == y[l])                                                                         \
    COMPARE(lt_##T, T, x[l] < y[l])                                                                          \
    COMPARE(le_##T, T, x[l] <= y[l])
ORDERED(u16)
ORDERED(u32)
ORDERED(u64)
ORDERED(s16)
ORDERED(s32)
ORDERED(s64)
ORDERED(f32)
ORDERED(f64)
COMPARE(num_f32, f32, x[l] == x[l] && y[l] == y[l])
COMPARE(num_f64, f64, x[l] == x[l] && y[l] == y[l])

// All relations follow from three of them and, for floats, from whether both are numbers.
typedef struct relations {
    compare *eq, *lt, *le, *num;
} relations;

#define RELATIONS(T, num) ((relations){eq_##T, lt_##T, le_##T, num})

static u32 relate(u32 relation, relations r, const void *x, const void *y)
{
    switch (relation) {
    case PTX_EQ:
        return r.eq(x, y);
    case PTX_NE:
        return r.num ? ~r.eq(x, y) & r.num(x, y) : ~r.eq(x, y);
    case PTX_LT:
        return r.lt(x, y);
    case PTX_LE:
        return r.le(x, y);
    case PTX_GT:
        return r.lt(y, x);
    case PTX_GE:
        return r.le(y, x);
    case PTX_EQU:
        return r.eq(x, y) | ~r.num(x, y);
    case PTX_NEU:
        return ~r.eq(x, y);
    case PTX_LTU:
        return ~r.le(y, x);
    case PTX_LEU:
        return ~r.lt(y, x);
    case PTX_GTU:
        return ~r.le(x, y);
    case PTX_GEU:
        return ~r.lt(x, y);
    case PTX_NUM:
        return r.num(x, y);
    default:
        return ~r.num(x, y);
    }
}

static void widen(f32 *out, const void *from, uint8_t type, bool ftz, bool high)
{
    for (int l = 0; l < PTX_LANES; l++) {
        if (type == PTX_F32) {
            out[l] = ((const f32 *)from)[l];
        } else {
            bool pair = ptx_types[type].bits == 32;
            u32 bits = pair ? ((const u32 *)from)[l] >> (high ? 16 : 0) & 0xffff : ((const u16 *)from)[l];
            bool half = type == PTX_F16 || type == PTX_F16X2;
            if (ftz && half && !(bits & 0x7c00))
                bits &= 0x8000;
            out[l] = half ? ptx_half(bits) : ptx_float(bits << 16);
        }
        if (ftz && type == PTX_F32 && fabsf(out[l]) < 0x1p-126f)
            out[l] = copysignf(0, out[l]);
    }
}

static u32 compare_typed(const ptx_insn *insn, uint8_t type, const void *x, const void *y, bool high)
{
    u32 r = insn->m.cmp;
    f32 left[PTX_LANES], right[PTX_LANES];
    switch (type) {
    case PTX_B16:
    case PTX_U16:
        return relate(r, RELATIONS(u16, NULL), x, y);
    case PTX_B32:
    case PTX_U32:
        return relate(r, RELATIONS(u32, NULL), x, y);
    case PTX_B64:
    case PTX_U64:
        return relate(r, RELATIONS(u64, NULL), x, y);
    case PTX_S16:
        return relate(r, RELATIONS(s16, NULL), x, y);
    case PTX_S32:
        return relate(r, RELATIONS(s32, NULL), x, y);
    case PTX_S64:
        return relate(r, RELATIONS(s64, NULL), x, y);
    case PTX_F64:
        return relate(r, RELATIONS(f64, num_f64), x, y);
    case PTX_F32:
        if (!insn->m.ftz)
            return relate(r, RELATIONS(f32, num_f32), x, y);
        break;
    default:
        break;
    }
    widen(left, x, type, insn->m.ftz, high);
    widen(right, y, type, insn->m.ftz, high);
    return relate(r, RELATIONS(f32, num_f32), left, right);
}

static u32 combine(const ptx_insn *insn, u32 set, u32 with)
{
    return insn->m.atom == PTX_AND ? set & with : insn->m.atom == PTX_OR ? set | with : set ^ with;
}

static bool is_pair(uint8_t type)
{
    return type == PTX_F16X2 || type == PTX_BF16X2;
}

// p is the relation and q its opposite; of pairs p is the low half's and q the high half's.
static void run_setp(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const void *x = ptx_place(warp, insn->o[1]), *y = ptx_place(warp, insn->o[2]);
    u32 p = compare_typed(insn, insn->type[0], x, y, false);
    u32 q = is_pair(insn->type[0]) ? compare_typed(insn, insn->type[0], x, y, true) : ~p;
    if (insn->op == PTX_OP_SETPB) {
        u32 with = ptx_pred(warp, insn, 3);
        p = combine(insn, p, with);
        q = combine(insn, q, with);
    }
    ptx_set_pred(warp, insn->o[0], p, mask);
    if (insn->o[5])
        ptx_set_pred(warp, insn->o[5], q, mask);
}

static void run_set(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const void *x = ptx_place(warp, insn->o[1]), *y = ptx_place(warp, insn->o[2]);
    u32 p = compare_typed(insn, insn->type[1], x, y, false);
    u32 q = is_pair(insn->type[1]) ? compare_typed(insn, insn->type[1], x, y, true) : 0;
    if (insn->op == PTX_OP_SETB) {
        u32 with = ptx_pred(warp, insn, 3);
        p = combine(insn, p, with);
        q = combine(insn, q, with);
    }
    u32 one = insn->type[0] == PTX_F32                                   ? 0x3f800000u
              : insn->type[0] == PTX_F16 || insn->type[0] == PTX_F16X2   ? 0x3c00u
              : insn->type[0] == PTX_BF16 || insn->type[0] == PTX_BF16X2 ? 0x3f80u
                                                                         : 0xffffffffu;
    PTX_EACH_LANE (l, mask)
        ptx_set(warp, insn->o[0], insn->lane[0], l,
                (p >> l & 1 ? one : 0) | (is_pair(insn->type[1]) && q >> l & 1 ? one << 16 : 0));
}

static void run_testp(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 set = 0;
    bool wide = insn->type[0] == PTX_F64;
    PTX_EACH_LANE (l, mask) {
        u64 bits = ptx_get(warp, insn->o[1], insn->lane[1], l);
        u64 exponent = wide ? bits >> 52 & 0x7ff : bits >> 23 & 0xff, top = wide ? 0x7ff : 0xff;
        u64 fraction = wide ? bits & 0xfffffffffffffull : bits & 0x7fffff;
        bool nan = exponent == top && fraction, infinite = exponent == top && !fraction;
        bool is[6] = {exponent != top,      infinite, !nan, nan, exponent != top && (exponent || !fraction),
                      !exponent && fraction};
        set |= (u32)is[insn->m.mode] << l;
    }
    ptx_set_pred(warp, insn->o[0], set, mask);
}

ptx_run *PTX_VARIANT_OF(ptx_select_compare)(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_SETP:
    case PTX_OP_SETPB:
        return run_setp;
    case PTX_OP_SET:
    case PTX_OP_SETB:
        return run_set;
    case PTX_OP_TESTP:
        return run_testp;
    default:
        return NULL;
    }
}
