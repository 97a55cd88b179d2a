// SPDX-License-Identifier: MIT
//
// Matrix fragments: mma, ldmatrix, stmatrix, movmatrix. The layouts are those of the ISA's figures: lane = 4
// * group + place. A product's sum is formed in double precision and rounded once; with a seed for
// approximations every step is rounded, since the ISA leaves order and rounding of the sum open.
#include "lanes.h"
#include "numbers.h"

#undef a
#undef b
#undef c

// Rows of eight 16-bit elements; row r of matrix i comes from the address of lane 8 i + r.
static void row_addresses(ptx_warp *warp, const ptx_insn *insn, u32 index, ptx_access *access)
{
    *access = (ptx_access){.bytes = 16, .space = PTX_SPACE_SHARED};
    for (u32 l = 0; l < PTX_LANES; l++) {
        u64 at = ptx_get(warp, insn->o[index], insn->lane[index], l) + (u64)insn->imm;
        access->address[l] = at - PTX_SHARED_BASE < PTX_WINDOW_BYTES ? at - PTX_SHARED_BASE : at;
    }
}

static void run_ldmatrix(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    if (!ptx_gather_members(warp, insn, mask, UINT32_MAX))
        return;
    ptx_access access;
    u16 rows[PTX_LANES][8] = {{0}};
    u32 count = insn->m.count, lanes = count == 4 ? PTX_ALL : (1u << 8 * count) - 1;
    row_addresses(warp, insn, 1, &access);
    u32 good = PTX_VARIANT_OF(ptx_check_access)(warp, insn, &access, lanes);
    PTX_EACH_LANE (l, good)
        memcpy(rows[l], access.host[l], 16);
    const u32 *list = warp->block->run->kernel->lists + insn->o[0];
    for (u32 i = 0; i < count; i++) {
        u32 *d = ptx_place(warp, list[i]);
        for (u32 l = 0; l < PTX_LANES; l++) {
            u32 row = l / 4, pair = l % 4 * 2;
            d[l] = insn->m.trans ? rows[8 * i + pair][row] | (u32)rows[8 * i + pair + 1][row] << 16
                                 : rows[8 * i + row][pair] | (u32)rows[8 * i + row][pair + 1] << 16;
        }
    }
}

static void run_stmatrix(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    if (!ptx_gather_members(warp, insn, mask, UINT32_MAX))
        return;
    ptx_access access;
    u16 rows[PTX_LANES][8];
    u32 count = insn->m.count, lanes = count == 4 ? PTX_ALL : (1u << 8 * count) - 1;
    const u32 *list = warp->block->run->kernel->lists + insn->o[1];
    for (u32 i = 0; i < count; i++) {
        const u32 *s = ptx_place(warp, list[i]);
        for (u32 l = 0; l < PTX_LANES; l++) {
            u32 row = l / 4, pair = l % 4 * 2;
            for (u32 k = 0; k < 2; k++)
                *(insn->m.trans ? &rows[8 * i + pair + k][row] : &rows[8 * i + row][pair + k]) =
                    (u16)(s[l] >> 16 * k);
        }
    }
    row_addresses(warp, insn, 0, &access);
    access.is_write = true;
    access.values = (const u8 *)rows;
    u32 good = PTX_VARIANT_OF(ptx_check_access)(warp, insn, &access, lanes);
    PTX_EACH_LANE (l, good)
        memcpy(access.host[l], rows[l], 16);
}

static void run_movmatrix(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    if (!ptx_gather_members(warp, insn, mask, UINT32_MAX))
        return;
    u16 m[8][8];
    const u32 *s = ptx_place(warp, insn->o[1]);
    u32 *d = ptx_place(warp, insn->o[0]);
    for (u32 l = 0; l < PTX_LANES; l++)
        for (u32 k = 0; k < 2; k++)
            m[l / 4][l % 4 * 2 + k] = (u16)(s[l] >> 16 * k);
    for (u32 l = 0; l < PTX_LANES; l++)
        d[l] = m[l % 4 * 2][l / 4] | (u32)m[l % 4 * 2 + 1][l / 4] << 16;
}

// ---- mma ----

typedef struct tile {
    f64 a[16][32], b[32][8], c[16][8];
} tile;

// Elements of 16 bits come two a register, of 8 bits four, of 32 one.
static f64 element(ptx_type type, u64 word, u32 index)
{
    switch (type) {
    case PTX_F16:
        return ptx_half((u32)word >> 16 * index & 0xffff);
    case PTX_BF16:
        return ptx_float((u32)(word >> 16 * index) << 16);
    case PTX_TF32:
        return ptx_float((u32)word & 0xffffe000u);
    case PTX_S8:
        return (s8)(word >> 8 * index);
    case PTX_U8:
        return (u8)(word >> 8 * index);
    case PTX_F64:
        return ptx_double(word);
    default:
        return ptx_to_double(type, word >> 8 * index & 0xff);
    }
}

static u32 depth_of(const ptx_insn *insn)
{
    switch (insn->m.shape) {
    case PTX_M8N8K4:
    case PTX_M16N8K4:
        return 4;
    case PTX_M16N8K8:
        return 8;
    case PTX_M16N8K32:
        return 32;
    default:
        return 16;
    }
}

// Register r of A holds `per` neighbours along K. Registers go down the rows first (g, then g + 8), then
// along K.
static void read_tile(ptx_warp *warp, const ptx_insn *insn, tile *t)
{
    const u32 *lists = warp->block->run->kernel->lists;
    ptx_type at = (ptx_type)insn->type[1], bt = (ptx_type)insn->type[2], ct = (ptx_type)insn->type[3];
    u32 per = at == PTX_F64 ? 1 : 32 / ptx_types[at].bits, rows = insn->m.shape <= PTX_M8N8K16 ? 8 : 16;
    u32 down = rows / 8;
    for (u32 r = 0; r < insn->n[1]; r++)
        for (u32 l = 0; l < PTX_LANES; l++) {
            u64 word = ptx_get(warp, lists[insn->o[1] + r], insn->lane[1], l);
            for (u32 e = 0; e < per; e++)
                t->a[l / 4 + 8 * (r % down)][l % 4 * per + e + 4 * per * (r / down)] = element(at, word, e);
        }
    for (u32 r = 0; r < insn->n[2]; r++)
        for (u32 l = 0; l < PTX_LANES; l++) {
            u64 word = ptx_get(warp, lists[insn->o[2] + r], insn->lane[2], l);
            for (u32 e = 0; e < per; e++)
                t->b[l % 4 * per + e + 4 * per * r][l / 4] = element(bt, word, e);
        }
    for (u32 row = 0; row < rows; row += 8)
        for (u32 l = 0; l < PTX_LANES; l++)
            for (u32 e = 0; e < 2; e++) {
                u32 i = row / 4 + e;
                f64 value;
                if (ct == PTX_F16)
                    value = element(PTX_F16, ptx_get(warp, lists[insn->o[3] + i / 2], 4, l), e);
                else if (ct == PTX_S32)
                    value = (s32)ptx_get(warp, lists[insn->o[3] + i], 4, l);
                else
                    value = ct == PTX_F64 ? ptx_double(ptx_get(warp, lists[insn->o[3] + i], 8, l))
                                          : ptx_float((u32)ptx_get(warp, lists[insn->o[3] + i], 4, l));
                t->c[row + l / 4][l % 4 * 2 + e] = value;
            }
}

static void multiply(tile *t, u32 depth, u32 rows, bool stepwise)
{
    for (u32 m = 0; m < rows; m++)
        for (u32 k = 0; k < depth; k++)
            for (u32 n = 0; n < 8; n++) {
                f64 sum = t->c[m][n] + t->a[m][k] * t->b[k][n];
                t->c[m][n] = stepwise ? (f64)(f32)sum : sum;
            }
}

// Double precision: one fused step after another.
static void multiply_wide(tile *t)
{
    for (u32 m = 0; m < 8; m++)
        for (u32 k = 0; k < 4; k++)
            for (u32 n = 0; n < 8; n++)
                t->c[m][n] = __builtin_fma(t->a[m][k], t->b[k][n], t->c[m][n]);
}

static u64 result_bits(const ptx_insn *insn, f64 value)
{
    f32 single;
    switch ((ptx_type)insn->type[0]) {
    case PTX_S32: // exact in a double
        if (insn->m.sat)
            return (u32)(s32)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
        return (u32)(s64)value;
    case PTX_F64:
        return ptx_bits64(value);
    case PTX_F16:
        return ptx_half_bits(ptx_to_odd(value));
    default:
        single = (f32)value;
        return single == single ? ptx_bits(single) : 0x7fffffffu;
    }
}

static void run_mma(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    if (!ptx_gather_members(warp, insn, mask, UINT32_MAX))
        return;
    tile t;
    u32 rows = insn->m.shape <= PTX_M8N8K16 ? 8 : 16;
    bool stepwise = warp->block->run->launch->approximation_seed && insn->type[0] != PTX_S32;
    const u32 *list = warp->block->run->kernel->lists + insn->o[0];
    read_tile(warp, insn, &t);
    if (insn->type[0] == PTX_F64)
        multiply_wide(&t);
    else
        multiply(&t, depth_of(insn), rows, stepwise);
    for (u32 row = 0; row < rows; row += 8)
        for (u32 l = 0; l < PTX_LANES; l++) {
            u64 low = result_bits(insn, t.c[row + l / 4][l % 4 * 2]),
                high = result_bits(insn, t.c[row + l / 4][l % 4 * 2 + 1]);
            if (insn->type[0] == PTX_F16) {
                ptx_set(warp, list[row / 8], 4, l, low | high << 16);
            } else {
                ptx_set(warp, list[row / 4], insn->lane[0], l, low);
                ptx_set(warp, list[row / 4 + 1], insn->lane[0], l, high);
            }
        }
}

ptx_run *PTX_VARIANT_OF(ptx_select_matrix)(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_LDMATRIX:
        return run_ldmatrix;
    case PTX_OP_STMATRIX:
        return run_stmatrix;
    case PTX_OP_MOVMATRIX:
        return run_movmatrix;
    case PTX_OP_MMA:
        return run_mma;
    default:
        return NULL;
    }
}
