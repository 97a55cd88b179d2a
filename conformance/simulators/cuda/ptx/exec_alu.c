// SPDX-License-Identifier: MIT
//
// Integer arithmetic, logic, shifts, bit fields, moves and selections.
#include "lanes.h"
#include "numbers.h"

#include <stdlib.h>

typedef __int128 s128;
typedef unsigned __int128 u128;

// ---- one function for each of the six integer types ----

#define INT_TYPES(M)                                                                                         \
    M(u16, u32, 16) M(u32, u64, 32) M(u64, u128, 64) M(s16, s32, 16) M(s32, s64, 32) M(s64, s128, 64)

#define ARITHMETIC(T, W, bits)                                                                               \
    RUN2(add_##T, T, T, T, a + b)                                                                            \
    RUN2(sub_##T, T, T, T, a - b)                                                                            \
    RUN2(mul_lo_##T, T, T, T, (W)a *(W)b)                                                                    \
    RUN2(mul_hi_##T, T, T, T, ((W)a * (W)b) >> bits)                                                         \
    RUN3(mad_lo_##T, T, T, T, T, (T)((W)a * (W)b) + c)                                                       \
    RUN3(mad_hi_##T, T, T, T, T, (T)(((W)a * (W)b) >> bits) + c)                                             \
    RUN2(min_##T, T, T, T, a < b ? a : b)                                                                    \
    RUN2(max_##T, T, T, T, a < b ? b : a)                                                                    \
    RUN3(sad_##T, T, T, T, T, (a < b ? (T)(b - a) : (T)(a - b)) + c)
INT_TYPES(ARITHMETIC)

#define SELECTION(T)                                                                                         \
    RUN3(slct_##T, T, T, T, s32, c >= 0 ? a : b)                                                             \
    RUN3(slctf_##T, T, T, T, f32, ptx_flush(c, insn->m.ftz) >= 0.0f ? a : b)
SELECTION(u16)
SELECTION(u32)
SELECTION(u64)

#define TABLE(name)                                                                                          \
    {                                                                                                        \
        name##_u16, name##_u32, name##_u64, name##_s16, name##_s32, name##_s64                               \
    }

// Division: by zero gives all ones (the remainder the dividend), and the least number by -1 itself.
#define DIVISION(T, U, least)                                                                                \
    static T quotient_##T(T x, T y)                                                                          \
    {                                                                                                        \
        return y == 0                                                         ? (T) ~(T)0                    \
               : least && x == (T)((U)1 << (sizeof(T) * 8 - 1)) && y == (T)-1 ? x                            \
                                                                              : x / y;                       \
    }                                                                                                        \
    static T remainder_##T(T x, T y)                                                                         \
    {                                                                                                        \
        return y == 0 ? x : least && y == (T)-1 ? 0 : x % y;                                                 \
    }                                                                                                        \
    RUN2(div_##T, T, T, T, quotient_##T(a, b))                                                               \
    RUN2(rem_##T, T, T, T, remainder_##T(a, b))
DIVISION(u16, u16, 0)
DIVISION(u32, u32, 0)
DIVISION(u64, u64, 0)
DIVISION(s16, u16, 1)
DIVISION(s32, u32, 1)
DIVISION(s64, u64, 1)

RUN2(mulwide_u16, u32, u16, u16, (u32)a *b)
RUN2(mulwide_s16, s32, s16, s16, (s32)a *b)
RUN2(mulwide_u32, u64, u32, u32, (u64)a *b)
RUN2(mulwide_s32, s64, s32, s32, (s64)a *b)
RUN3(madwide_u16, u32, u16, u16, u32, (u32)a *b + c)
RUN3(madwide_s16, s32, s16, s16, s32, (s32)a *b + c)
RUN3(madwide_u32, u64, u32, u32, u64, (u64)a *b + c)
RUN3(madwide_s32, s64, s32, s32, s64, (s64)a *b + c)

#define SIGNED(T)                                                                                            \
    RUN1(abs_##T, T, T, a < 0 ? -a : a)                                                                      \
    RUN1(neg_##T, T, T, -a)
SIGNED(s16)
SIGNED(s32)
SIGNED(s64)

static s32 clamp_s32(s64 x)
{
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (s32)x;
}

RUN2(add_sat, s32, s32, s32, clamp_s32((s64)a + b))
RUN2(sub_sat, s32, s32, s32, clamp_s32((s64)a - b))
RUN3(mad_sat, s32, s32, s32, s32, clamp_s32((((s64)a * b) >> 32) + c))
RUN2(min_relu, s32, s32, s32, a < b ? (a < 0 ? 0 : a) : (b < 0 ? 0 : b))
RUN2(max_relu, s32, s32, s32, a < b ? (b < 0 ? 0 : b) : (a < 0 ? 0 : a))

#define PAIR(T, x, y, operation)                                                                             \
    ((u32)(u16)(operation((T)(x), (T)(y))) | (u32)(u16)(operation((T)((x) >> 16), (T)((y) >> 16))) << 16)
#define PLUS(x, y)       ((x) + (y))
#define MINUS(x, y)      ((x) - (y))
#define LEAST(x, y)      ((x) < (y) ? (x) : (y))
#define MOST(x, y)       ((x) < (y) ? (y) : (x))
#define LEAST_RELU(x, y) (LEAST(x, y) < 0 ? 0 : LEAST(x, y))
#define MOST_RELU(x, y)  (MOST(x, y) < 0 ? 0 : MOST(x, y))
RUN2(add_x2, u32, u32, u32, PAIR(u16, a, b, PLUS))
RUN2(sub_x2, u32, u32, u32, PAIR(u16, a, b, MINUS))
RUN2(min_u16x2, u32, u32, u32, PAIR(u16, a, b, LEAST))
RUN2(max_u16x2, u32, u32, u32, PAIR(u16, a, b, MOST))
RUN2(min_s16x2, u32, u32, u32, PAIR(s16, a, b, LEAST))
RUN2(max_s16x2, u32, u32, u32, PAIR(s16, a, b, MOST))
RUN2(min_relu_x2, u32, u32, u32, PAIR(s16, a, b, LEAST_RELU))
RUN2(max_relu_x2, u32, u32, u32, PAIR(s16, a, b, MOST_RELU))

// ---- 24 bits ----

#define U24(x) ((u64)((x)&0xffffff))
#define S24(x) ((s64)((s32)((u32)(x) << 8) >> 8))
RUN2(mul24_lo_u, u32, u32, u32, U24(a) * U24(b))
RUN2(mul24_hi_u, u32, u32, u32, (U24(a) * U24(b)) >> 16)
RUN2(mul24_lo_s, u32, u32, u32, S24(a) * S24(b))
RUN2(mul24_hi_s, u32, u32, u32, (S24(a) * S24(b)) >> 16)
RUN3(mad24_lo_u, u32, u32, u32, u32, U24(a) * U24(b) + c)
RUN3(mad24_hi_u, u32, u32, u32, u32, ((U24(a) * U24(b)) >> 16) + c)
RUN3(mad24_lo_s, u32, u32, u32, u32, (u64)(S24(a) * S24(b)) + c)
RUN3(mad24_hi_s, u32, u32, u32, u32, (u64)((S24(a) * S24(b)) >> 16) + c)
RUN3(mad24_sat, s32, u32, u32, s32, clamp_s32(((S24(a) * S24(b)) >> 16) + c))

// ---- carry: one bit for each lane, kept between instructions ----

static void run_carry(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 bytes = insn->lane[0];
    bool subtracts = insn->op == PTX_OP_SUBC, product = insn->op == PTX_OP_MADC;
    // add.cc and mad.cc begin a chain, addc and madc continue it
    bool continues = insn->m.mode != 0;
    PTX_EACH_LANE (lane, mask) {
        u64 x = ptx_get(warp, insn->o[1], bytes, lane), y = ptx_get(warp, insn->o[2], bytes, lane);
        u128 top = bytes == 8 ? (u128)1 << 64 : (u128)1 << 32;
        if (product) {
            bool is_signed = ptx_types[insn->type[0]].kind == 's';
            u128 wide = is_signed ? bytes == 8 ? (u128)((s128)(s64)x * (s64)y) : (u128)((s64)(s32)x * (s32)y)
                                  : (u128)x * y;
            x = insn->m.part == PTX_HI ? (u64)(bytes == 8 ? wide >> 64 : (u64)wide >> 32) : (u64)wide;
            x = bytes == 8 ? x : (u32)x;
            y = ptx_get(warp, insn->o[3], bytes, lane);
        }
        u32 carry = continues ? warp->carry[lane] : subtracts;
        // a - b is a + ~b + 1; the flag of a subtraction is the borrow
        u128 sum = subtracts ? (u128)x + (u64)(bytes == 8 ? ~y : (u32)~y) + (continues ? !carry : 1)
                             : (u128)x + y + carry;
        if (insn->m.cc)
            warp->carry[lane] = subtracts ? sum < top : sum >= top;
        ptx_set(warp, insn->o[0], bytes, lane, (u64)sum);
    }
}

// ---- bits ----

static u32 find_u(u64 x, bool shift_amount, int bits)
{
    if (x == 0)
        return 0xffffffffu;
    u32 at = 63 - (u32)__builtin_clzll(x);
    return shift_amount ? (u32)bits - 1 - at : at;
}

static u64 reverse(u64 x, int bits)
{
    u64 r = 0;
    for (int i = 0; i < bits; i++)
        r |= (x >> i & 1) << (bits - 1 - i);
    return r;
}

RUN1(popc_32, u32, u32, __builtin_popcount(a))
RUN1(popc_64, u32, u64, __builtin_popcountll(a))
RUN1(clz_32, u32, u32, a ? __builtin_clz(a) : 32)
RUN1(clz_64, u32, u64, a ? __builtin_clzll(a) : 64)
RUN1(brev_32, u32, u32, reverse(a, 32))
RUN1(brev_64, u64, u64, reverse(a, 64))
RUN1(bfind_u32, u32, u32, find_u(a, insn->m.mode, 32))
RUN1(bfind_u64, u32, u64, find_u(a, insn->m.mode, 64))
RUN1(bfind_s32, u32, s32, find_u((u32)(a < 0 ? ~a : a), insn->m.mode, 32))
RUN1(bfind_s64, u32, s64, find_u((u64)(a < 0 ? ~a : a), insn->m.mode, 64))

// The field's sign is its highest bit, or the number's where the field goes beyond it.
static u64 extract(u64 x, u32 at, u32 count, int bits, bool is_signed)
{
    at &= 255;
    count &= 255;
    u32 top = count == 0 ? 0 : at + count - 1 < (u32)bits - 1 ? at + count - 1 : (u32)bits - 1;
    u64 sign = is_signed && count ? x >> top & 1 : 0;
    u64 value = at < (u32)bits ? x >> at : 0;
    u32 have = at < (u32)bits ? (u32)bits - at : 0;
    u32 taken = count < have ? count : have;
    value &= taken >= 64 ? ~0ull : (1ull << taken) - 1;
    return sign && taken < 64 ? value | ~0ull << taken : value;
}

RUN3(bfe_u32, u32, u32, u32, u32, extract(a, b, c, 32, false))
RUN3(bfe_s32, u32, u32, u32, u32, extract(a, b, c, 32, true))
RUN3(bfe_u64, u64, u64, u32, u32, extract(a, b, c, 64, false))
RUN3(bfe_s64, u64, u64, u32, u32, extract(a, b, c, 64, true))

static u64 insert(u64 from, u64 into, u32 at, u32 count, u32 bits)
{
    at &= 255;
    count &= 255;
    if (at >= bits || count == 0)
        return into;
    u32 taken = count < bits - at ? count : bits - at;
    u64 field = (taken >= 64 ? ~0ull : (1ull << taken) - 1) << at;
    return (into & ~field) | (from << at & field);
}

#define PTX_IN4(T) const T *e_ = ptx_place(warp, insn->o[4])
RUN0(bfi_32, u32, PTX_IN(u32, a, 1); PTX_IN(u32, b, 2); PTX_IN(u32, c, 3);
     PTX_IN4(u32), insert(a, b, c, e_[l], 32))
RUN0(bfi_64, u64, PTX_IN(u64, a, 1); PTX_IN(u64, b, 2); PTX_IN(u32, c, 3);
     PTX_IN4(u32), insert(a, b, c, e_[l], 64))

static u32 extend(u32 x, u32 n, bool clamps, bool is_signed)
{
    n = clamps ? n > 32 ? 32 : n : n & 31;
    if (n == 0)
        return 0;
    return is_signed ? (u32)((s32)(x << (32 - n)) >> (32 - n)) : n == 32 ? x : x & ((1u << n) - 1);
}

static u32 bit_mask(u32 at, u32 n, bool clamps)
{
    u64 ones;
    at = clamps ? at > 32 ? 32 : at : at & 31;
    n = clamps ? n > 32 ? 32 : n : n & 31;
    ones = n ? (1ull << n) - 1 : 0;
    return (u32)(ones << at);
}

static u32 nth_set(u32 bits, u32 base, s32 n)
{
    base &= 31;
    if (n == 0)
        return bits >> base & 1 ? base : 0xffffffffu;
    int step = n > 0 ? 1 : -1, left = abs(n);
    for (int i = (int)base; i >= 0 && i < 32; i += step)
        if (bits >> i & 1 && --left == 0)
            return (u32)i;
    return 0xffffffffu;
}

RUN2(szext_u, u32, u32, u32, extend(a, b, insn->m.clamp, false))
RUN2(szext_s, u32, u32, u32, extend(a, b, insn->m.clamp, true))
RUN2(bmsk, u32, u32, u32, bit_mask(a, b, insn->m.clamp))
RUN3(fns, u32, u32, u32, s32, nth_set(a, b, c))

static u32 dot(const ptx_insn *insn, u32 x, u32 y, u32 sum)
{
    bool x_signed = insn->type[0] == PTX_S32, y_signed = insn->type[1] == PTX_S32;
    bool four = insn->op == PTX_OP_DP4A;
    for (int i = 0; i < (four ? 4 : 2); i++) {
        u32 p = four ? x >> 8 * i & 0xff : x >> 16 * i & 0xffff;
        u32 q = y >> (8 * (i + (!four && insn->m.part == PTX_HI ? 2 : 0))) & 0xff;
        s32 left = x_signed ? four ? (s8)p : (s16)p : (s32)p;
        s32 right = y_signed ? (s8)q : (s32)q;
        sum += (u32)left * (u32)right;
    }
    return sum;
}
RUN3(dp_a, u32, u32, u32, u32, dot(insn, a, b, c))

// ---- logic ----

#define LOGIC(bits)                                                                                          \
    RUN2(and_##bits, u##bits, u##bits, u##bits, a &b)                                                        \
    RUN2(or_##bits, u##bits, u##bits, u##bits, a | b)                                                        \
    RUN2(xor_##bits, u##bits, u##bits, u##bits, a ^ b)                                                       \
    RUN1(not_##bits, u##bits, u##bits, ~a)                                                                   \
    RUN1(cnot_##bits, u##bits, u##bits, a == 0)                                                              \
    RUN1(mov_##bits, u##bits, u##bits, a)                                                                    \
    RUN2(shl_##bits, u##bits, u##bits, u32, b < bits ? (u##bits)(a << (b & (bits - 1))) : (u##bits)0)        \
    RUN2(shr_u##bits, u##bits, u##bits, u32, b < bits ? (u##bits)(a >> (b & (bits - 1))) : (u##bits)0)       \
    RUN2(shr_s##bits, s##bits, s##bits, u32, a >> (b < bits ? b : bits - 1))                                 \
    static void selp_##bits(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)                             \
    {                                                                                                        \
        u##bits *d = ptx_place(warp, insn->o[0]);                                                            \
        PTX_IN(u##bits, a, 1);                                                                               \
        PTX_IN(u##bits, b, 2);                                                                               \
        u32 p = ptx_pred(warp, insn, 3);                                                                     \
        LANES                                                                                                \
        {                                                                                                    \
            u##bits r = p >> l & 1 ? a : b;                                                                  \
            d[l] = mask >> l & 1 ? r : d[l];                                                                 \
        }                                                                                                    \
    }
LOGIC(16)
LOGIC(32)
LOGIC(64)

static u32 lop3(u32 x, u32 y, u32 z, u32 table)
{
    u32 r = 0;
    for (u32 i = 0; i < 8; i++) {
        u32 term = (i & 4 ? x : ~x) & (i & 2 ? y : ~y) & (i & 1 ? z : ~z);
        r |= table >> i & 1 ? term : 0;
    }
    return r;
}

RUN3(lop3_32, u32, u32, u32, u32, lop3(a, b, c, (u32)insn->imm))

static void run_lop3_pred(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 with = ptx_pred(warp, insn, 4), set = 0;
    u32 *d = ptx_place(warp, insn->o[0]);
    PTX_IN(u32, a, 1);
    PTX_IN(u32, b, 2);
    PTX_IN(u32, c, 3);
    PTX_EACH_LANE (l, mask) {
        d[l] = lop3(a, b, c, (u32)insn->imm);
        set |= (u32)(d[l] != 0) << l;
    }
    ptx_set_pred(warp, insn->o[5], insn->m.atom == PTX_AND ? set & with : set | with, mask);
}

static void run_pred_logic(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 x = ptx_pred(warp, insn, 1),
        y = insn->op == PTX_OP_PMOV || insn->op == PTX_OP_PNOT ? 0 : ptx_pred(warp, insn, 2);
    u32 r = insn->op == PTX_OP_PAND   ? x & y
            : insn->op == PTX_OP_POR  ? x | y
            : insn->op == PTX_OP_PXOR ? x ^ y
            : insn->op == PTX_OP_PNOT ? ~x
                                      : x;
    ptx_set_pred(warp, insn->o[0], r, mask);
}

// The funnel: hi:lo shifted, b is the high half.
static u32 funnel(u32 low, u32 high, u32 n, bool clamps, bool left)
{
    n = clamps ? n > 32 ? 32 : n : n & 31;
    u64 both = (u64)high << 32 | low;
    return left ? (u32)(n == 32 ? low : (both << n) >> 32) : (u32)(both >> n);
}
RUN3(shf, u32, u32, u32, u32, funnel(a, b, c, insn->m.clamp, insn->m.left))

static u32 permute(u32 x, u32 y, u32 control, u32 mode)
{
    u64 both = (u64)y << 32 | x;
    u8 bytes[8], r[4];
    memcpy(bytes, &both, 8);
    u32 n = control & 3;
    for (u32 i = 0; i < 4; i++) {
        u32 select = control >> 4 * i & 15;
        switch (mode) {
        case 0:
            r[i] = select & 8 ? (u8)((s8)bytes[select & 7] >> 7) : bytes[select & 7];
            break;
        case 1: // forward 4 extract
            r[i] = bytes[n + i];
            break;
        case 2: // backward 4 extract
            r[i] = bytes[(n - i) & 7];
            break;
        case 3: // replicate 8
            r[i] = bytes[n];
            break;
        case 4: // edge clamp left
            r[i] = bytes[i > n ? i : n];
            break;
        case 5: // edge clamp right
            r[i] = bytes[i < n ? i : n];
            break;
        default: // replicate 16
            r[i] = bytes[(n & 1) * 2 + (i & 1)];
            break;
        }
    }
    u32 result;
    memcpy(&result, r, 4);
    return result;
}
RUN3(prmt, u32, u32, u32, u32, permute(a, b, c, insn->m.mode))

// ---- moves ----

static void run_pack(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const u32 *list = warp->block->run->kernel->lists + insn->o[1];
    u32 part_bits = ptx_types[insn->type[1]].bits;
    PTX_EACH_LANE (l, mask) {
        u64 value = 0, part = part_bits == 64 ? ~0ull : (1ull << part_bits) - 1;
        for (u32 i = 0; i < insn->n[1]; i++)
            value |= (ptx_get(warp, list[i], insn->lane[1], l) & part) << i * part_bits;
        ptx_set(warp, insn->o[0], insn->lane[0], l, value);
    }
}

static void run_unpack(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const u32 *list = warp->block->run->kernel->lists + insn->o[0];
    u32 part_bits = ptx_types[insn->type[1]].bits;
    PTX_EACH_LANE (l, mask) {
        u64 value = ptx_get(warp, insn->o[1], insn->lane[1], l);
        for (u32 i = 0; i < insn->n[0]; i++)
            ptx_set(warp, list[i], insn->lane[0], l, value >> i * part_bits & ((1ull << part_bits) - 1));
    }
}

static void run_mov_narrow(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    PTX_EACH_LANE (l, mask)
        ptx_set(warp, insn->o[0], insn->lane[0], l, ptx_get(warp, insn->o[1], insn->lane[1], l));
}

// Global memory is what no other window holds, parameters of kernels included. Constants lie among it here.
static bool lies_in(const ptx_warp *warp, u8 space, u64 address)
{
    bool constant = false, param = address - PTX_PARAM_BASE < PTX_WINDOW_BYTES;
    if (address >= PTX_GLOBAL_BASE) {
        const ptx_allocation *at = ptx_memory_at(warp->block->run->memory, address);
        constant = at && at->read_only && address - at->begin < at->bytes;
    }
    switch (space) {
    case PTX_SPACE_SHARED:
        return address - PTX_SHARED_BASE < PTX_WINDOW_BYTES;
    case PTX_SPACE_LOCAL:
        return address - PTX_LOCAL_BASE < PTX_WINDOW_BYTES;
    case PTX_SPACE_PARAM:
        return param;
    case PTX_SPACE_CONST:
        return constant;
    default:
        return param || (address >= PTX_GLOBAL_BASE && !constant);
    }
}

static void run_isspacep(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 set = 0;
    PTX_EACH_LANE (l, mask)
        set |= (u32)lies_in(warp, insn->m.space, ptx_get(warp, insn->o[1], insn->lane[1], l)) << l;
    ptx_set_pred(warp, insn->o[0], set, mask);
}

static void run_cvta(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u64 base = insn->m.space == PTX_SPACE_SHARED  ? PTX_SHARED_BASE
               : insn->m.space == PTX_SPACE_LOCAL ? PTX_LOCAL_BASE
               : insn->m.space == PTX_SPACE_PARAM ? PTX_PARAM_BASE
                                                  : 0;
    PTX_EACH_LANE (l, mask) {
        u64 x = ptx_get(warp, insn->o[1], insn->lane[1], l);
        ptx_set(warp, insn->o[0], insn->lane[0], l, insn->m.to ? x - base : x + base);
    }
}

// ---- choosing ----

static int type_index(uint8_t type)
{
    switch (type) {
    case PTX_U16:
        return 0;
    case PTX_U32:
    case PTX_B32:
        return 1;
    case PTX_U64:
    case PTX_B64:
        return 2;
    case PTX_S16:
        return 3;
    case PTX_S32:
        return 4;
    case PTX_S64:
        return 5;
    default:
        return 0;
    }
}

static ptx_run *by_width(const ptx_insn *insn, ptx_run *r16, ptx_run *r32, ptx_run *r64)
{
    uint32_t bits = ptx_types[insn->type[0]].bits;
    return bits == 64 ? r64 : bits == 32 ? r32 : r16;
}

static ptx_run *select_arithmetic(const ptx_insn *insn)
{
    static ptx_run *const adds[] = TABLE(add), *const subs[] = TABLE(sub), *const mul_lo[] = TABLE(mul_lo),
                          *const mul_hi[] = TABLE(mul_hi), *const mad_lo[] = TABLE(mad_lo),
                          *const mad_hi[] = TABLE(mad_hi), *const mins[] = TABLE(min),
                          *const maxs[] = TABLE(max), *const sads[] = TABLE(sad), *const divs[] = TABLE(div),
                          *const rems[] = TABLE(rem);
    int t = type_index(insn->type[0]);
    bool pair = insn->type[0] == PTX_U16X2 || insn->type[0] == PTX_S16X2,
         is_signed = insn->type[0] == PTX_S16X2;
    bool hi = insn->m.part == PTX_HI;
    switch (insn->op) {
    case PTX_OP_ADD:
        return pair ? add_x2 : insn->m.sat ? add_sat : adds[t];
    case PTX_OP_SUB:
        return pair ? sub_x2 : insn->m.sat ? sub_sat : subs[t];
    case PTX_OP_MUL:
        return (hi ? mul_hi : mul_lo)[t];
    case PTX_OP_MAD:
        return (hi ? mad_hi : mad_lo)[t];
    case PTX_OP_MIN:
        return insn->m.relu ? pair ? min_relu_x2 : min_relu
               : pair       ? is_signed ? min_s16x2 : min_u16x2
                            : mins[t];
    case PTX_OP_MAX:
        return insn->m.relu ? pair ? max_relu_x2 : max_relu
               : pair       ? is_signed ? max_s16x2 : max_u16x2
                            : maxs[t];
    case PTX_OP_SAD:
        return sads[t];
    case PTX_OP_DIV:
        return divs[t];
    case PTX_OP_REM:
        return rems[t];
    case PTX_OP_MULWIDE:
        return t == 0 ? mulwide_u16 : t == 1 ? mulwide_u32 : t == 3 ? mulwide_s16 : mulwide_s32;
    case PTX_OP_MADWIDE:
        return t == 0 ? madwide_u16 : t == 1 ? madwide_u32 : t == 3 ? madwide_s16 : madwide_s32;
    case PTX_OP_MADSAT:
        return mad_sat;
    case PTX_OP_MUL24:
        return t == 1 ? hi ? mul24_hi_u : mul24_lo_u : hi ? mul24_hi_s : mul24_lo_s;
    case PTX_OP_MAD24:
        return insn->m.sat ? mad24_sat : t == 1 ? hi ? mad24_hi_u : mad24_lo_u : hi ? mad24_hi_s : mad24_lo_s;
    case PTX_OP_ABS:
        return t == 3 ? abs_s16 : t == 4 ? abs_s32 : abs_s64;
    case PTX_OP_NEG:
        return t == 3 ? neg_s16 : t == 4 ? neg_s32 : neg_s64;
    case PTX_OP_ADDC:
    case PTX_OP_SUBC:
    case PTX_OP_MADC:
        return run_carry;
    default:
        return NULL;
    }
}

static ptx_run *select_bits(const ptx_insn *insn)
{
    int t = type_index(insn->type[0]);
    bool wide = ptx_types[insn->type[0]].bits == 64, is_signed = ptx_types[insn->type[0]].kind == 's';
    switch (insn->op) {
    case PTX_OP_POPC:
        return wide ? popc_64 : popc_32;
    case PTX_OP_CLZ:
        return wide ? clz_64 : clz_32;
    case PTX_OP_BREV:
        return wide ? brev_64 : brev_32;
    case PTX_OP_BFIND:
        return wide ? is_signed ? bfind_s64 : bfind_u64 : is_signed ? bfind_s32 : bfind_u32;
    case PTX_OP_BFE:
        return wide ? is_signed ? bfe_s64 : bfe_u64 : is_signed ? bfe_s32 : bfe_u32;
    case PTX_OP_BFI:
        return wide ? bfi_64 : bfi_32;
    case PTX_OP_FNS:
        return fns;
    case PTX_OP_SZEXT:
        return t == 4 ? szext_s : szext_u;
    case PTX_OP_BMSK:
        return bmsk;
    case PTX_OP_DP4A:
    case PTX_OP_DP2A:
        return dp_a;
    case PTX_OP_LOP3:
        return lop3_32;
    case PTX_OP_LOP3P:
        return run_lop3_pred;
    case PTX_OP_SHF:
        return shf;
    case PTX_OP_PRMT:
        return prmt;
    default:
        return NULL;
    }
}

static ptx_run *select_logic(const ptx_insn *insn)
{
    bool is_signed = ptx_types[insn->type[0]].kind == 's';
    uint32_t bits = ptx_types[insn->type[0]].bits;
    bool by_float = insn->type[1] == PTX_F32;
    switch (insn->op) {
    case PTX_OP_AND:
        return by_width(insn, and_16, and_32, and_64);
    case PTX_OP_OR:
        return by_width(insn, or_16, or_32, or_64);
    case PTX_OP_XOR:
        return by_width(insn, xor_16, xor_32, xor_64);
    case PTX_OP_NOT:
        return by_width(insn, not_16, not_32, not_64);
    case PTX_OP_CNOT:
        return by_width(insn, cnot_16, cnot_32, cnot_64);
    case PTX_OP_SHL:
        return by_width(insn, shl_16, shl_32, shl_64);
    case PTX_OP_SHR:
        return is_signed ? by_width(insn, shr_s16, shr_s32, shr_s64)
                         : by_width(insn, shr_u16, shr_u32, shr_u64);
    case PTX_OP_SELP:
        return by_width(insn, selp_16, selp_32, selp_64);
    case PTX_OP_SLCT:
        return by_float ? by_width(insn, slctf_u16, slctf_u32, slctf_u64)
                        : by_width(insn, slct_u16, slct_u32, slct_u64);
    case PTX_OP_PAND:
    case PTX_OP_POR:
    case PTX_OP_PXOR:
    case PTX_OP_PNOT:
    case PTX_OP_PMOV:
        return run_pred_logic;
    case PTX_OP_MOV:
        if (insn->n[1])
            return run_pack;
        if (insn->n[0])
            return run_unpack;
        if (insn->lane[0] != insn->lane[1])
            return run_mov_narrow;
        return bits == 64 ? mov_64 : bits == 32 ? mov_32 : mov_16;
    case PTX_OP_ISSPACEP:
        return run_isspacep;
    case PTX_OP_CVTA:
        if (insn->lane[0] == 8 && insn->lane[1] == 8 &&
            (insn->m.space == PTX_SPACE_GLOBAL || insn->m.space == PTX_SPACE_CONST))
            return mov_64;
        return run_cvta;
    default:
        return NULL;
    }
}

ptx_run *PTX_VARIANT_OF(ptx_select_alu)(const ptx_insn *insn)
{
    ptx_run *run = select_arithmetic(insn);
    run = run ? run : select_bits(insn);
    return run ? run : select_logic(insn);
}
