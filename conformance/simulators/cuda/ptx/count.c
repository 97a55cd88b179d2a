// SPDX-License-Identifier: MIT
//
// Counts of what warps execute, by class, with the bytes and the traffic that their accesses ask for. Reads
// registers and changes nothing; called only where a launch wants counts.
#include "exec.h"

static const uint8_t classes[PTX_OP_COUNT] = {
#define PTX_OP(name, class) [PTX_OP_##name] = PTX_CLASS_##class,
#include "ops.def"
#undef PTX_OP
};

const char *ptx_class_name(ptx_class class)
{
    static const char *const names[PTX_CLASS_COUNT] = {
#define PTX_CLASS(name, word) word,
#include "classes.def"
#undef PTX_CLASS
    };
    return names[class];
}

// Generic accesses are those of global memory until an address says otherwise.
static ptx_class class_in(ptx_class class, uint8_t space)
{
    if (class != PTX_CLASS_GLOBAL_LOAD && class != PTX_CLASS_GLOBAL_STORE)
        return class;
    if (space == PTX_SPACE_SHARED)
        return class == PTX_CLASS_GLOBAL_LOAD ? PTX_CLASS_SHARED_LOAD : PTX_CLASS_SHARED_STORE;
    return space == PTX_SPACE_GLOBAL || space == PTX_SPACE_GENERIC ? class : PTX_CLASS_OTHER;
}

ptx_class ptx_class_of(const ptx_insn *insn)
{
    return class_in((ptx_class)classes[insn->op], insn->m.space);
}

void ptx_counts_add(ptx_counts *to, const ptx_counts *from)
{
    for (int i = 0; i < PTX_CLASS_COUNT; i++)
        to->warps[i] += from->warps[i];
    to->tensor_flops += from->tensor_flops;
    to->tensor_flops_8bit += from->tensor_flops_8bit;
    to->read_bytes += from->read_bytes;
    to->written_bytes += from->written_bytes;
    to->read_sectors += from->read_sectors;
    to->written_sectors += from->written_sectors;
    to->shared_bytes += from->shared_bytes;
    to->shared_cycles += from->shared_cycles;
}

static void addresses(const ptx_warp *warp, const ptx_insn *insn, uint32_t operand, int64_t offset,
                      uint64_t *out)
{
    for (uint32_t lane = 0; lane < PTX_LANES; lane++)
        out[lane] = ptx_get(warp, insn->o[operand], insn->lane[operand], lane) + (uint64_t)offset;
}

static uint32_t distinct(uint64_t *values, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < kept && values[k] != values[i])
            k++;
        if (k == kept)
            values[kept++] = values[i];
    }
    return kept;
}

// An access is aligned to its size, 16 bytes at most, and so lies in one sector.
static uint32_t sectors_of(const uint64_t *address, uint32_t mask)
{
    uint64_t sectors[PTX_LANES];
    uint32_t count = 0;
    PTX_EACH_LANE (lane, mask)
        sectors[count++] = address[lane] >> 5;
    return distinct(sectors, count);
}

// Wide accesses go by half or by quarter warps. A bank gives one word a cycle, to all who ask for it.
static void count_shared(ptx_counts *counts, const uint64_t *address, uint32_t mask, uint32_t bytes)
{
    uint32_t lanes = bytes <= 4 ? 32 : 128 / bytes;
    counts->shared_bytes += (uint64_t)__builtin_popcount(mask) * bytes;
    for (uint32_t first = 0; first < PTX_LANES; first += lanes) {
        uint32_t part = mask & (lanes == 32 ? PTX_ALL : ((1u << lanes) - 1) << first), count = 0, most = 0;
        uint64_t words[PTX_LANES];
        uint32_t load[32] = {0};
        PTX_EACH_LANE (lane, part)
            for (uint32_t byte = 0; byte < bytes; byte += 4)
                words[count++] = (address[lane] + byte) >> 2;
        count = distinct(words, count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t here = ++load[words[i] & 31];
            most = here > most ? here : most;
        }
        counts->shared_cycles += most;
    }
}

static uint8_t space_of(const uint64_t *address, uint32_t mask, uint8_t space)
{
    if (space != PTX_SPACE_GENERIC || !mask)
        return space;
    uint64_t first = address[__builtin_ctz(mask)];
    if (first - PTX_SHARED_BASE < PTX_WINDOW_BYTES)
        return PTX_SPACE_SHARED;
    return first >= PTX_GLOBAL_BASE ? PTX_SPACE_GLOBAL : PTX_SPACE_LOCAL;
}

// Loads, stores and atomic operations; the lanes of one instruction are taken to point into one space.
static ptx_class count_access(ptx_warp *warp, const ptx_insn *insn, uint32_t mask, uint32_t operand,
                              uint32_t elements)
{
    ptx_counts *counts = &warp->block->counts;
    uint64_t address[PTX_LANES];
    uint32_t bytes = ptx_types[insn->type[0]].bits / 8 * (elements ? elements : 1);
    addresses(warp, insn, operand, insn->imm, address);
    uint8_t space = space_of(address, mask, insn->m.space);
    bool reads = insn->op != PTX_OP_ST, writes = insn->op != PTX_OP_LD;
    if (space == PTX_SPACE_SHARED) {
        count_shared(counts, address, mask, bytes);
    } else if (space == PTX_SPACE_GLOBAL) {
        uint64_t sectors = sectors_of(address, mask), sum = (uint64_t)__builtin_popcount(mask) * bytes;
        counts->read_bytes += reads ? sum : 0;
        counts->read_sectors += reads ? sectors : 0;
        counts->written_bytes += writes ? sum : 0;
        counts->written_sectors += writes ? sectors : 0;
    }
    return class_in((ptx_class)insn->class, space);
}

// What cp.async reads may be less than what it puts down: the rest is zeros.
static uint32_t copied_bytes(const ptx_warp *warp, const ptx_insn *insn, uint32_t lane)
{
    uint32_t bytes = insn->n[2];
    if (insn->n[3] == 1) {
        uint32_t asked = (uint32_t)ptx_get(warp, insn->o[3], 4, lane);
        return asked < bytes ? asked : bytes;
    }
    bool none = insn->n[3] && (*(uint32_t *)ptx_place(warp, insn->o[3]) >> lane & 1) != (insn->n[3] == 3);
    return none ? 0 : bytes;
}

static void count_copy(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_counts *counts = &warp->block->counts;
    uint64_t from[PTX_LANES], to[PTX_LANES];
    uint32_t asked = 0;
    addresses(warp, insn, 0, insn->imm, to);
    addresses(warp, insn, 1, insn->imm2, from);
    PTX_EACH_LANE (lane, mask) {
        uint32_t bytes = copied_bytes(warp, insn, lane);
        counts->read_bytes += bytes;
        asked |= (uint32_t)(bytes != 0) << lane;
    }
    counts->read_sectors += sectors_of(from, asked);
    count_shared(counts, to, mask, insn->n[2]);
}

static void count_matrix(ptx_warp *warp, const ptx_insn *insn)
{
    uint64_t address[PTX_LANES];
    uint32_t count = insn->m.count;
    addresses(warp, insn, insn->op == PTX_OP_LDMATRIX ? 1 : 0, insn->imm, address);
    count_shared(&warp->block->counts, address, count == 4 ? PTX_ALL : (1u << 8 * count) - 1, 16);
}

static void count_product(ptx_counts *counts, const ptx_insn *insn)
{
    static const uint16_t products[] = {
        [PTX_M8N8K4] = 8 * 8 * 4,   [PTX_M8N8K16] = 8 * 8 * 16,   [PTX_M16N8K4] = 16 * 8 * 4,
        [PTX_M16N8K8] = 16 * 8 * 8, [PTX_M16N8K16] = 16 * 8 * 16, [PTX_M16N8K32] = 16 * 8 * 32,
    };
    uint64_t flops = 2ull * products[insn->m.shape];
    counts->tensor_flops += flops;
    if (ptx_types[insn->type[1]].bits == 8)
        counts->tensor_flops_8bit += flops;
}

void ptx_count(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_counts *counts = &warp->block->counts;
    ptx_class class = (ptx_class)insn->class;
    switch (insn->op) {
    case PTX_OP_LD:
        class = count_access(warp, insn, mask, 1, insn->n[0]);
        break;
    case PTX_OP_ST:
        class = count_access(warp, insn, mask, 0, insn->n[1]);
        break;
    case PTX_OP_ATOM:
        count_access(warp, insn, mask, 1, 1);
        break;
    case PTX_OP_RED:
        count_access(warp, insn, mask, 0, 1);
        break;
    case PTX_OP_CPASYNC:
        count_copy(warp, insn, mask);
        break;
    case PTX_OP_LDMATRIX:
    case PTX_OP_STMATRIX:
        if (mask)
            count_matrix(warp, insn);
        break;
    case PTX_OP_MMA:
        if (mask)
            count_product(counts, insn);
        break;
    default:
        break;
    }
    counts->warps[class]++;
}
