// SPDX-License-Identifier: MIT
//
// What is checked of every access: bounds to the byte, alignment, whether the bytes were ever written, and
// whether another thread's access to them is ordered with it. Each word of shared and global memory has a
// record of its last writer and of two of its last readers; with two different readers, one at least is not
// the thread that writes next.
#include "lanes.h"

#undef a
#undef b
#undef c

#define S_CLOCK(x)  ((x) >> 5 & PTX_S_CLOCK_MAX)
#define S_THREAD(x) ((x) >> 22)
#define G_CLOCK(x)  ((u32)((x) >> 5) & 0xfffff)
#define G_THREAD(x) ((u32)((x) >> 25) & 0x3ff)
#define G_SERIAL(x) ((u32)((x) >> 35))
#define STRONG      16u
#define WRITTEN4    0x01010101u

static void fault(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                  ptx_finding finding, const char *detail)
{
    ptx_report_fault(warp, insn,
                     &(ptx_fault){.finding = finding,
                                  .lane = lane,
                                  .address = access->address[lane],
                                  .bytes = access->bytes,
                                  .space = access->space,
                                  .is_write = access->is_write,
                                  .detail = detail});
}

static void race(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane, u64 other_block,
                 u32 other)
{
    ptx_report_fault(warp, insn,
                     &(ptx_fault){.finding = PTX_RACE,
                                  .lane = lane,
                                  .address = access->address[lane],
                                  .bytes = access->bytes,
                                  .space = access->space,
                                  .is_write = access->is_write,
                                  .has_other = true,
                                  .other_block = other_block,
                                  .other_thread = other});
}

// Whether the write leaves the bytes as the other thread left them: the same value twice is no race. What
// another lane writes by the same instruction is not in memory yet.
static bool same_value(const ptx_warp *warp, const ptx_access *access, u32 lane, u32 mask, u32 other)
{
    u32 there = other % 32;
    if (!access->values)
        return false;
    if (other / 32 == warp->index && mask >> there & 1 && access->address[there] == access->address[lane])
        return memcmp(access->values + 16 * there, access->values + 16 * lane, access->bytes) == 0;
    return memcmp(access->host[lane], access->values + 16 * lane, access->bytes) == 0;
}

// ---- shared ----

static u32 bounds_shared(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, u32 mask)
{
    const ptx_block *block = warp->block;
    u32 bytes = access->bytes, bad = 0, limit = block->shared_limit;
    for (int l = 0; l < PTX_LANES; l++) {
        u64 at = access->address[l];
        bad |= at < PTX_SHARED_FIRST || at > limit || at + bytes > limit || at & (bytes - 1) ? 1u << l : 0;
    }
    bad &= mask;
    PTX_EACH_LANE (l, bad) {
        bool crooked = access->address[l] & (bytes - 1);
        fault(warp, insn, access, l, crooked ? PTX_MISALIGNED : PTX_OUT_OF_BOUNDS, NULL);
    }
    return mask & ~bad;
}

static u32 state_shared(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, u32 mask)
{
    u8 *state = warp->block->state;
    u32 good = mask;
    bool check = warp->block->run->check_initialised;
    PTX_EACH_LANE (l, mask) {
        u32 any = 0, all = 1;
        for (u32 i = 0; i < access->bytes; i++) {
            any |= state[access->address[l] + i];
            all &= state[access->address[l] + i];
        }
        if (any & PTX_BYTE_OUTSIDE) {
            good &= ~(1u << l);
            fault(warp, insn, access, l, PTX_OUT_OF_BOUNDS, NULL);
        } else if (any & PTX_BYTE_PENDING) {
            fault(warp, insn, access, l, PTX_ASYNC_NOT_WAITED, NULL);
        } else if (!access->is_write && !all && check) {
            fault(warp, insn, access, l, PTX_UNINITIALISED, NULL);
        }
    }
    return good;
}

static void conflict_shared(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                            u32 access_before)
{
    u32 mask = access->mask;
    if (ptx_ordered_in_block(warp, lane, S_THREAD(access_before), S_CLOCK(access_before)))
        return;
    if (access->is_write && same_value(warp, access, lane, mask, S_THREAD(access_before)))
        return;
    race(warp, insn, access, lane, warp->block->number, S_THREAD(access_before));
}

static inline bool may_conflict(u32 before, u32 now, u32 floor)
{
    return S_CLOCK(before) >= floor && (before ^ now) >> 22 && before & now & 15 && !(before & now & STRONG);
}

// The words of one lane's access, one after another.
static void record_shared(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 mask)
{
    ptx_block *block = warp->block;
    u32 count = access->bytes > 4 ? access->bytes / 4 : 1, strong = access->is_strong ? STRONG : 0;
    u32 *sw = block->shared_w, *r1 = block->shared_r1, *r2 = block->shared_r2, floor = warp->floor;
    PTX_EACH_LANE (l, mask) {
        u32 at = (u32)access->address[l] >> 2;
        u32 now = (warp->index * 32 + l) << 22 | warp->clock << 5 | strong |
                  ptx_byte_mask(access->address[l], access->bytes);
        for (u32 i = at; i < at + count; i++) {
            if (may_conflict(sw[i], now, floor))
                conflict_shared(warp, insn, access, l, sw[i]);
            if (access->is_write) {
                if (may_conflict(r1[i], now, floor))
                    conflict_shared(warp, insn, access, l, r1[i]);
                else if (may_conflict(r2[i], now, floor))
                    conflict_shared(warp, insn, access, l, r2[i]);
                sw[i] = (sw[i] ^ now) >> 5 ? now : sw[i] | now;
            } else if ((r1[i] ^ now) >> 5) {
                if ((r1[i] ^ now) >> 22)
                    r2[i] = r1[i];
                r1[i] = now;
            } else {
                r1[i] |= now;
            }
        }
    }
}

// Four aligned bytes a lane that all lanes read: most of what kernels do. Looks at all lanes at once, and
// leaves whatever is not plainly in order to the functions above.
static bool quick_read_shared(ptx_warp *warp, const ptx_access *access, bool races)
{
    ptx_block *block = warp->block;
    const u8 *state = block->state;
    const u32 *sw = block->shared_w;
    u32 *r1 = block->shared_r1, *r2 = block->shared_r2;
    u32 floor = warp->floor, limit = block->shared_limit - 4, first = (u32)access->address[0];
    u32 index[PTX_LANES], now[PTX_LANES], last[PTX_LANES], bad = 0, differs = 0;
    for (u32 l = 0; l < PTX_LANES; l++) {
        u32 at = (u32)access->address[l];
        bad |= (access->address[l] >> 32 != 0) | (at < PTX_SHARED_FIRST) | (at > limit) | ((at & 3) != 0);
        differs |= at ^ first;
        index[l] = at >> 2;
    }
    if (bad)
        return false;
    u32 base = warp->index * 32, stamp = warp->clock << 5 | 15;
    if (!differs) { // one word for all
        u32 at = index[0], w = sw[at];
        if (((const u32 *)state)[at] != WRITTEN4 || S_CLOCK(w) >= floor)
            return false;
        if (!races)
            return true;
        r1[at] = base << 22 | stamp;
        r2[at] = (base + 31) << 22 | stamp;
        return true;
    }
    for (u32 l = 0; l < PTX_LANES; l++) {
        u32 w = sw[index[l]], thread = base + l;
        bad |= ((const u32 *)state)[index[l]] ^ WRITTEN4;
        bad |= S_CLOCK(w) >= floor && S_THREAD(w) != thread;
        now[l] = thread << 22 | stamp;
    }
    if (bad)
        return false;
    if (!races)
        return true;
    for (u32 l = 0; l < PTX_LANES; l++)
        last[l] = r1[index[l]];
    // A reader that is replaced becomes the second one, unless it is the same thread.
    for (u32 l = 0; l < PTX_LANES; l++) {
        if ((last[l] ^ now[l]) >> 22)
            r2[index[l]] = last[l];
        r1[index[l]] = now[l];
    }
    return true;
}

// Four words at once; any address.
typedef u32 word4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef s32 sword4 __attribute__((vector_size(16)));

static inline bool any4(word4 x)
{
    return (x[0] | x[1]) | (x[2] | x[3]);
}

// Which of the records are of another thread, and not ordered by a barrier.
static inline word4 unordered4(word4 record, u32 thread, u32 floor)
{
    return (word4)(((sword4)S_CLOCK(record) >= (sword4){} + (s32)floor) &
                   (S_THREAD(record) != (word4){} + thread));
}

static bool inside_shared(const ptx_warp *warp, const ptx_access *access, u32 mask)
{
    u64 last = warp->block->shared_limit - access->bytes, bad = 0;
    PTX_EACH_LANE (l, mask)
        bad |= (access->address[l] < PTX_SHARED_FIRST) | (access->address[l] > last) |
               ((access->address[l] & (access->bytes - 1)) != 0);
    return !bad;
}

// 16 bytes a lane, read by any lanes: vectors, rows of matrices. Leaves to the functions above what is not
// plainly in order, before it has changed anything.
static bool quick_read_wide(ptx_warp *warp, const ptx_access *access, u32 mask, bool races)
{
    ptx_block *block = warp->block;
    u32 floor = warp->floor, base = warp->index * 32, stamp = warp->clock << 5 | 15;
    word4 bad = {0};
    if (!inside_shared(warp, access, mask))
        return false;
    PTX_EACH_LANE (l, mask) {
        u32 at = (u32)access->address[l] >> 2;
        bad |= *(const word4 *)(block->state + 4 * at) ^ WRITTEN4;
        bad |= unordered4(*(const word4 *)(block->shared_w + at), base + l, floor);
    }
    if (any4(bad))
        return false;
    PTX_EACH_LANE (l, races ? mask : 0) {
        u32 at = (u32)access->address[l] >> 2, now = (base + l) << 22 | stamp;
        word4 *r1 = (word4 *)(block->shared_r1 + at), *r2 = (word4 *)(block->shared_r2 + at);
        word4 same = (word4)(S_THREAD(*r1) == (word4){} + (base + l));
        *r2 = (*r2 & same) | (*r1 & ~same);
        *r1 = (word4){} + now;
    }
    return true;
}

// 16 bytes a lane, written by any lanes, where since the last barrier nobody but the lane itself has touched
// the words. Other writers, of this instruction too, are found while the records change; what has changed by
// then stays right when the functions above go over all lanes again.
static bool quick_write_wide(ptx_warp *warp, const ptx_access *access, u32 mask, bool races)
{
    ptx_block *block = warp->block;
    u32 floor = warp->floor, base = warp->index * 32, stamp = warp->clock << 5 | 15;
    word4 bad = {0};
    if (!inside_shared(warp, access, mask))
        return false;
    PTX_EACH_LANE (l, mask) {
        u32 at = (u32)access->address[l] >> 2;
        bad |= *(const word4 *)(block->state + 4 * at) & ~WRITTEN4;
        bad |= unordered4(*(const word4 *)(block->shared_r1 + at), base + l, floor);
        bad |= unordered4(*(const word4 *)(block->shared_r2 + at), base + l, floor);
    }
    if (any4(bad))
        return false;
    PTX_EACH_LANE (l, races ? mask : 0) {
        word4 *w = (word4 *)(block->shared_w + ((u32)access->address[l] >> 2));
        if (any4(unordered4(*w, base + l, floor)))
            return false;
        *w = (word4){} + ((base + l) << 22 | stamp);
    }
    PTX_EACH_LANE (l, mask)
        *(word4 *)(block->state + access->address[l]) = (word4){} + WRITTEN4;
    return true;
}

static bool quick(ptx_warp *warp, const ptx_access *access, u32 mask, bool races)
{
    if (access->is_strong)
        return false;
    if (access->bytes == 16)
        return (access->is_write ? quick_write_wide : quick_read_wide)(warp, access, mask, races);
    return mask == PTX_ALL && access->bytes == 4 && !access->is_write &&
           quick_read_shared(warp, access, races);
}

static u32 check_shared(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, u32 mask)
{
    ptx_block *block = warp->block;
    bool races = block->run->check_races && !block->clocks_used_up;
    for (int l = 0; l < PTX_LANES; l++)
        access->host[l] = block->shared + access->address[l];
    if (quick(warp, access, mask, races))
        return mask;
    mask = bounds_shared(warp, insn, access, mask);
    mask = state_shared(warp, insn, access, mask);
    if (races)
        record_shared(warp, insn, access, mask);
    if (access->is_write)
        PTX_EACH_LANE (l, mask)
            memset(block->state + access->address[l], PTX_BYTE_WRITTEN, access->bytes);
    return mask;
}

// ---- global ----

static void outside_global(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                           const ptx_allocation *a)
{
    bool freed = a && a->freed && access->address[lane] - a->begin < a->bytes;
    fault(warp, insn, access, lane, freed ? PTX_USE_AFTER_FREE : PTX_OUT_OF_BOUNDS, NULL);
}

static void conflict_global(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                            u64 before)
{
    ptx_block *block = warp->block;
    bool same = G_SERIAL(before) == block->serial;
    if (same ? ptx_ordered_in_block(warp, lane, G_THREAD(before), G_CLOCK(before))
             : ptx_ordered_over_blocks(block, G_SERIAL(before)))
        return;
    if (access->is_write &&
        same_value(warp, access, lane, access->mask, same ? G_THREAD(before) : UINT32_MAX))
        return;
    u64 other = same ? block->number : G_SERIAL(before) - block->run->first_serial;
    race(warp, insn, access, lane, other, G_THREAD(before));
}

static inline bool may_conflict_global(u64 before, u64 now, u64 oldest, u32 floor)
{
    if (before < oldest || !((before ^ now) >> 25) || !(before & now & 15) || before & now & STRONG)
        return false;
    return (before ^ now) >> 35 || G_CLOCK(before) >= floor;
}

// The records are written by all of the launch's threads; a lost one loses a finding, never invents one.
static void record_read(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                        ptx_word_access *word, u64 now)
{
    u64 oldest = (u64)warp->block->run->first_serial << 35;
    u64 w = __atomic_load_n(&word->w, __ATOMIC_RELAXED), r1 = __atomic_load_n(&word->r1, __ATOMIC_RELAXED);
    if (may_conflict_global(w, now, oldest, warp->floor))
        conflict_global(warp, insn, access, lane, w);
    if (!((r1 ^ now) >> 5)) {
        __atomic_store_n(&word->r1, r1 | now, __ATOMIC_RELAXED);
        return;
    }
    if ((r1 ^ now) >> 25)
        __atomic_store_n(&word->r2, r1, __ATOMIC_RELAXED);
    __atomic_store_n(&word->r1, now, __ATOMIC_RELAXED);
}

static void check_write(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                        const ptx_word_access *word, u64 now)
{
    u64 oldest = (u64)warp->block->run->first_serial << 35;
    u64 w = __atomic_load_n(&word->w, __ATOMIC_ACQUIRE), r1 = __atomic_load_n(&word->r1, __ATOMIC_RELAXED);
    u64 r2 = __atomic_load_n(&word->r2, __ATOMIC_RELAXED);
    if (may_conflict_global(w, now, oldest, warp->floor))
        conflict_global(warp, insn, access, lane, w);
    if (may_conflict_global(r1, now, oldest, warp->floor))
        conflict_global(warp, insn, access, lane, r1);
    else if (may_conflict_global(r2, now, oldest, warp->floor))
        conflict_global(warp, insn, access, lane, r2);
}

static void record_global(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, u32 lane,
                          ptx_word_access *words, u64 offset)
{
    u64 now = (u64)warp->block->serial << 35 | (u64)(warp->index * 32 + lane) << 25 | (u64)warp->clock << 5 |
              (access->is_strong ? STRONG : 0) | ptx_byte_mask(access->address[lane], access->bytes);
    ptx_word_access *word = words + offset / 4, *end = word + (access->bytes > 4 ? access->bytes / 4 : 1);
    if (!access->is_write) {
        for (; word < end; word++)
            record_read(warp, insn, access, lane, word, now);
        return;
    }
    for (ptx_word_access *at = word; at < end; at++)
        check_write(warp, insn, access, lane, at, now);
    // The bytes are there before the record says so: who finds the record compares with them.
    if (access->values)
        memcpy(access->host[lane], access->values + 16 * lane, access->bytes);
    for (; word < end; word++) {
        u64 w = __atomic_load_n(&word->w, __ATOMIC_RELAXED);
        __atomic_store_n(&word->w, (w ^ now) >> 5 ? now : w | now, __ATOMIC_RELEASE);
    }
}

static bool all_written(const u8 *written, u32 bytes)
{
    u32 word[4];
    if (bytes == 4) {
        memcpy(word, written, 4);
        return word[0] == WRITTEN4;
    }
    if (bytes == 16) {
        memcpy(word, written, 16);
        return (word[0] & word[1] & word[2] & word[3]) == WRITTEN4;
    }
    for (u32 i = 0; i < bytes; i++)
        if (!written[i])
            return false;
    return true;
}

static void mark_written(u8 *written, u32 bytes)
{
    // looked at first: the line stays shared where it is written already
    if (!all_written(written, bytes))
        memset(written, 1, bytes);
}

static const char *why_foreign(const ptx_run_state *run, const ptx_allocation *a)
{
    const ptx_launch *launch = run->launch;
    return !launch->foreign || !a || a->owner == launch->owner ? NULL
                                                               : launch->foreign(launch->user, a->begin);
}

static u32 check_global(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, u32 mask)
{
    ptx_run_state *run = warp->block->run;
    ptx_allocation *a = NULL;
    ptx_word_access *words = NULL;
    const char *foreign = NULL;
    ptx_word_use *uses = NULL;
    u32 bytes = access->bytes, good = mask;
    bool check = run->check_races && access->space != PTX_SPACE_CONST;
    bool nc = check && insn->m.nc, races = check && !nc && !warp->block->clocks_used_up;
    bool notes = nc || (check && access->is_write && run->kernel->reads_nc);
    PTX_EACH_LANE (l, mask) {
        u64 address = access->address[l], offset;
        if (!a || address - a->begin >= a->bytes) {
            a = ptx_memory_at(run->memory, address);
            bool open = a && !a->freed;
            words = open && races ? ptx_memory_words(run->memory, a) : NULL;
            uses = open && notes ? ptx_memory_uses(run->memory, a) : NULL;
            foreign = why_foreign(run, a);
        }
        offset = a ? address - a->begin : 0;
        if (!a || a->freed || offset > a->bytes || bytes > a->bytes - offset) {
            outside_global(warp, insn, access, l, a);
            good &= ~(1u << l);
            continue;
        }
        if (foreign) {
            fault(warp, insn, access, l, PTX_OUT_OF_BOUNDS, foreign);
            good &= ~(1u << l);
            continue;
        }
        if (address & (bytes - 1)) {
            fault(warp, insn, access, l, PTX_MISALIGNED, NULL);
            good &= ~(1u << l);
            continue;
        }
        access->host[l] = a->host + offset;
        if (a->read_only && access->is_write) {
            fault(warp, insn, access, l, PTX_READ_ONLY, NULL);
            good &= ~(1u << l);
            continue;
        }
        if (words)
            record_global(warp, insn, access, l, words, offset);
        if (uses)
            ptx_note_use(warp, insn, access, l, uses + offset / 4);
        if (!a->written)
            continue;
        if (access->is_write)
            mark_written(a->written + offset, bytes);
        else if (run->check_initialised && !all_written(a->written + offset, bytes))
            fault(warp, insn, access, l, PTX_UNINITIALISED, NULL);
    }
    return good;
}

// ---- local memory and parameters ----

static u32 check_private(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, u32 mask)
{
    const ptx_kernel *kernel = warp->block->run->kernel;
    bool local = access->space == PTX_SPACE_LOCAL;
    u64 first = local ? PTX_LOCAL_FIRST : 0,
        end = local ? PTX_LOCAL_FIRST + kernel->local_bytes : kernel->param_bytes;
    PTX_EACH_LANE (l, mask) {
        u64 at = access->address[l];
        ptx_finding finding = PTX_FINDING_COUNT;
        if (at < first || at > end || access->bytes > end - at)
            finding = PTX_OUT_OF_BOUNDS;
        else if (at & (access->bytes - 1))
            finding = PTX_MISALIGNED;
        else if (!local && access->is_write)
            finding = PTX_READ_ONLY;
        if (finding != PTX_FINDING_COUNT) {
            fault(warp, insn, access, l, finding, NULL);
            mask &= ~(1u << l);
            continue;
        }
        access->host[l] =
            local ? warp->local + (u64)l * kernel->local_bytes + (at - first) : warp->block->run->params + at;
    }
    return mask;
}

uint32_t PTX_VARIANT_OF(ptx_check_access)(ptx_warp *warp, const ptx_insn *insn, ptx_access *access,
                                          uint32_t mask)
{
    access->mask = mask;
    switch (access->space) {
    case PTX_SPACE_SHARED:
        return check_shared(warp, insn, access, mask);
    case PTX_SPACE_LOCAL:
    case PTX_SPACE_PARAM:
        return check_private(warp, insn, access, mask);
    default:
        return check_global(warp, insn, access, mask);
    }
}
