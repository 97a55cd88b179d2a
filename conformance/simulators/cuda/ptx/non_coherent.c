// SPDX-License-Identifier: MIT
//
// What is read through .nc, and what the same launch writes: no byte may be both, whoever comes first and
// however they are ordered, since the cache that such reads may come from is not kept up to date (PTX
// ISA 9.1, 9.7.9.9, a read-only cache; CUDA C++ Programming Guide, __ldg: read-only for the whole kernel).
// So a read through .nc has no part in races, and a write is none the better for leaving the value as it was.
#include "exec.h"

#include <stdio.h>

#define BYTES     15u
#define LINE(x)   ((uint32_t)((x) >> 4) & LINE_MAX)
#define LINE_MAX  0x1fffffu
#define THREAD(x) ((uint32_t)((x) >> 25) & 0x3ff)
#define SERIAL(x) ((x) >> 35)

static void report(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, uint32_t lane,
                   uint64_t other)
{
    char detail[80];
    snprintf(detail, sizeof detail,
             access->is_write ? "read through .nc at PTX line %u" : "written at PTX line %u", LINE(other));
    ptx_report_fault(warp, insn,
                     &(ptx_fault){.finding = PTX_NON_COHERENT,
                                  .lane = lane,
                                  .address = access->address[lane],
                                  .bytes = access->bytes,
                                  .space = access->space,
                                  .is_write = access->is_write,
                                  .has_other = true,
                                  .other_block = SERIAL(other) - warp->block->run->first_serial,
                                  .other_thread = THREAD(other),
                                  .detail = detail});
}

// Of the bytes that the record names, those that this launch has used.
static uint32_t bytes_of(const ptx_run_state *run, uint64_t record)
{
    return SERIAL(record) - run->first_serial < run->block_count ? record & BYTES : 0;
}

// Both kinds put their record down before they look for the other's: of two threads of the host, one sees it.
void ptx_note_use(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, uint32_t lane,
                  ptx_word_use *use)
{
    const ptx_run_state *run = warp->block->run;
    uint32_t bytes = access->bytes, line = insn->line < LINE_MAX ? insn->line : LINE_MAX;
    uint64_t touched = ptx_byte_mask(access->address[lane], bytes);
    uint64_t now = (uint64_t)warp->block->serial << 35 | (uint64_t)(warp->index * 32 + lane) << 25 |
                   (uint64_t)line << 4 | touched;
    for (const ptx_word_use *end = use + (bytes > 4 ? bytes / 4 : 1); use < end; use++) {
        uint64_t *mine = access->is_write ? &use->written : &use->nc;
        const uint64_t *theirs = access->is_write ? &use->nc : &use->written;
        uint32_t known = bytes_of(run, __atomic_load_n(mine, __ATOMIC_RELAXED));
        if (touched & ~known)
            __atomic_store_n(mine, now | known, __ATOMIC_SEQ_CST);
        uint64_t other = __atomic_load_n(theirs, __ATOMIC_SEQ_CST);
        if (bytes_of(run, other) & touched) {
            report(warp, insn, access, lane, other);
            return;
        }
    }
}
