// SPDX-License-Identifier: MIT
//
// Moves of matrix fragments: ldmatrix, stmatrix, movmatrix. The layouts are those of the ISA's figures: lane
// = 4 * group + place.
#include "lanes.h"

#undef a
#undef b
#undef c

// Rows of eight 16-bit elements; row r of matrix i comes from the address of lane 8 i + r.
static void row_addresses(ptx_warp *warp, const ptx_insn *insn, u32 index, ptx_access *access)
{
    access->bytes = 16;
    access->space = PTX_SPACE_SHARED;
    access->is_write = access->is_strong = false;
    access->values = NULL;
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
    u16 rows[PTX_LANES][8];
    u32 count = insn->m.count, lanes = count == 4 ? PTX_ALL : (1u << 8 * count) - 1;
    row_addresses(warp, insn, 1, &access);
    u32 good = PTX_VARIANT_OF(ptx_check_access)(warp, insn, &access, lanes);
    PTX_EACH_LANE (l, lanes)
        if (good >> l & 1)
            memcpy(rows[l], access.host[l], 16);
        else
            memset(rows[l], 0, 16);
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

ptx_run *PTX_VARIANT_OF(ptx_select_matrix)(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_LDMATRIX:
        return run_ldmatrix;
    case PTX_OP_STMATRIX:
        return run_stmatrix;
    case PTX_OP_MOVMATRIX:
        return run_movmatrix;
    default:
        return PTX_VARIANT_OF(ptx_select_mma)(insn);
    }
}
