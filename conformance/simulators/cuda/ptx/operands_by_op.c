// SPDX-License-Identifier: MIT
//
// Operands of the instructions whose operand types do not follow from the type words alone: mov with its
// vectors, the matrix fragments, cp.async.
#include "parse.h"

static void bind_mov(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn)
{
    if (count != 2)
        ptx_fail(loader, insn->line, "mov with %u operands", count);
    ptx_type type = (ptx_type)insn->type[0];
    uint32_t bits = ptx_types[type].bits;
    bool packs = operands[1].kind == OPERAND_VECTOR, unpacks = operands[0].kind == OPERAND_VECTOR;
    if (!packs && !unpacks) {
        ptx_bind_dest(loader, insn, 0, &operands[0], bits, false);
        ptx_bind_source(loader, insn, 1, &operands[1], type, operands[1].kind == OPERAND_SPECIAL);
        return;
    }
    const ptx_operand *vector = &operands[packs];
    ptx_type element = vector->count == 2                 ? bits == 64   ? PTX_B32
                                                            : bits == 32 ? PTX_B16
                                                                         : PTX_B8
                       : vector->count == 4 && bits == 64 ? PTX_B16
                                                          : PTX_B8;
    if (ptx_types[type].kind != 'b' || (packs && unpacks) ||
        ptx_types[element].bits * vector->count != bits || bits < 32)
        ptx_fail(loader, insn->line, "mov between %u bits and a vector of %u", bits, vector->count);
    ptx_bind_vector(loader, insn, packs, vector, (ptx_elements){element, vector->count, unpacks, false});
    if (packs)
        ptx_bind_dest(loader, insn, 0, &operands[0], bits, false);
    else
        ptx_bind_source(loader, insn, 1, &operands[1], type, false);
    insn->type[1] = (uint8_t)element;
}

static void bind_matrix_move(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn)
{
    if (count != 2)
        ptx_fail(loader, insn->line, "a move of matrices with %u operands", count);
    bool loads = insn->op == PTX_OP_LDMATRIX;
    if (insn->m.space != PTX_SPACE_SHARED && insn->m.space != PTX_SPACE_GENERIC)
        ptx_fail(loader, insn->line, "matrices are moved to and from shared memory only");
    ptx_bind_vector(loader, insn, loads ? 0 : 1, &operands[loads ? 0 : 1],
                    (ptx_elements){PTX_B32, insn->m.count, loads, false});
    ptx_bind_address(loader, insn, loads ? 1 : 0, &operands[loads ? 1 : 0]);
}

static void bind_cp_async(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn)
{
    insn->m.space = PTX_SPACE_SHARED;
    ptx_bind_address(loader, insn, 0, &operands[0]);
    insn->m.space = PTX_SPACE_GLOBAL;
    ptx_bind_address(loader, insn, 1, &operands[1]);
    insn->m.space = PTX_SPACE_SHARED;
    uint64_t bytes = operands[2].bits;
    bool ca = insn->m.cache == 1;
    if (operands[2].kind != OPERAND_NUMBER || !(bytes == 16 || (ca && (bytes == 4 || bytes == 8))))
        ptx_fail(loader, insn->line, "cp.async of a size that is not 4, 8 or 16 (.cg: 16)");
    insn->n[2] = (uint8_t)bytes;
    uint32_t policy = insn->m.hint;
    if (count == 4 + policy) {
        bool ignores = operands[3].kind == OPERAND_REGISTER && operands[3].symbol->type == PTX_PRED;
        ptx_bind_source(loader, insn, 3, &operands[3], ignores ? PTX_PRED : PTX_B32, false);
        insn->n[3] = ignores ? operands[3].negated ? 3 : 2 : 1;
    } else if (count != 3 + policy) {
        ptx_fail(loader, insn->line, "cp.async with %u operands", count);
    }
    if (policy)
        ptx_bind_source(loader, insn, 4, &operands[count - 1], PTX_B64, false);
}

typedef struct fragment {
    uint8_t d, a, b, c; // registers
} fragment;

static fragment mma_fragment(const ptx_insn *insn)
{
    uint32_t in = ptx_types[insn->type[1]].bits;
    bool half = insn->type[0] == PTX_F16;
    uint8_t d = half ? 2 : 4, c = insn->type[3] == PTX_F16 ? 2 : 4;
    switch (insn->m.shape) {
    case PTX_M8N8K4: // f64
        return (fragment){2, 1, 1, 2};
    case PTX_M8N8K16: // s8
        return (fragment){2, 1, 1, 2};
    case PTX_M16N8K4: // tf32
        return (fragment){d, 2, 1, c};
    case PTX_M16N8K8:
        return in == 32 ? (fragment){d, 4, 2, c} : (fragment){d, 2, 1, c};
    case PTX_M16N8K16:
        return in == 8 ? (fragment){d, 2, 1, c} : (fragment){d, 4, 2, c};
    default:
        return (fragment){d, 4, 2, c};
    }
}

static void bind_mma(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn)
{
    if (count != 4)
        ptx_fail(loader, insn->line, "mma with %u operands", count);
    fragment f = mma_fragment(insn);
    ptx_type in = insn->type[1] == PTX_F64 ? PTX_F64 : PTX_B32;
    ptx_type d = insn->type[0] == PTX_F16 ? PTX_B32 : (ptx_type)insn->type[0];
    ptx_type c = insn->type[3] == PTX_F16 ? PTX_B32 : (ptx_type)insn->type[3];
    ptx_bind_vector(loader, insn, 0, &operands[0], (ptx_elements){d, f.d, true, false});
    ptx_bind_vector(loader, insn, 1, &operands[1], (ptx_elements){in, f.a, false, false});
    ptx_bind_vector(loader, insn, 2, &operands[2], (ptx_elements){in, f.b, false, false});
    ptx_bind_vector(loader, insn, 3, &operands[3], (ptx_elements){c, f.c, false, false});
}

void ptx_bind_by_op(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_MOV:
        bind_mov(loader, operands, count, insn);
        break;
    case PTX_OP_LDMATRIX:
    case PTX_OP_STMATRIX:
        bind_matrix_move(loader, operands, count, insn);
        break;
    case PTX_OP_CPASYNC:
        bind_cp_async(loader, operands, count, insn);
        break;
    default:
        bind_mma(loader, operands, count, insn);
        break;
    }
}
