// SPDX-License-Identifier: MIT
//
// Loads, stores, atomic operations and asynchronous copies. Compiled per kind of host like the arithmetic.
#include "lanes.h"
#include "numbers.h"

#include <stdlib.h>

#undef a
#undef b
#undef c

#define check PTX_VARIANT_OF(ptx_check_access)

static void addresses(const ptx_warp *warp, const ptx_insn *insn, u32 index, s64 offset, u64 *address)
{
    const void *place = ptx_place(warp, insn->o[index]);
    if (insn->lane[index] == 8)
        for (int l = 0; l < PTX_LANES; l++)
            address[l] = ((const u64 *)place)[l] + (u64)offset;
    else
        for (int l = 0; l < PTX_LANES; l++)
            address[l] = ((const u32 *)place)[l] + (u64)offset;
}

static u8 space_of(u64 address, u64 *base)
{
    *base = 0;
    if (address >= PTX_GLOBAL_BASE)
        return PTX_SPACE_GLOBAL;
    *base = address & ~(PTX_WINDOW_BYTES - 1);
    if (*base == PTX_SHARED_BASE)
        return PTX_SPACE_SHARED;
    if (*base == PTX_LOCAL_BASE)
        return PTX_SPACE_LOCAL;
    if (*base == PTX_PARAM_BASE)
        return PTX_SPACE_PARAM;
    *base = 0;
    return PTX_SPACE_GLOBAL;
}

typedef void one_space(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, uint32_t mask);

// Generic addresses are taken apart by the space that they point into.
static void by_space(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, uint32_t mask, one_space *run)
{
    if (access->space != PTX_SPACE_GENERIC) {
        run(warp, insn, access, mask);
        return;
    }
    u64 address[PTX_LANES];
    memcpy(address, access->address, sizeof address);
    while (mask) {
        u32 lane = (u32)__builtin_ctz(mask), here = 0;
        u64 base, other;
        u8 space = space_of(address[lane], &base);
        PTX_EACH_LANE (l, mask)
            here |= (u32)(space_of(address[l], &other) == space) << l;
        for (int l = 0; l < PTX_LANES; l++)
            access->address[l] = address[l] - base;
        access->space = space;
        run(warp, insn, access, here);
        mask &= ~here;
    }
}

static bool is_strong(const ptx_insn *insn)
{
    return insn->m.order > PTX_WEAK;
}

// Lanes that go round with strong accesses are likely to wait for others of their warp: these get their turn
// soon.
static void may_be_waiting(ptx_warp *warp)
{
    warp->block->may_wait = true;
    if (warp->next_pc != UINT32_MAX)
        warp->turns += PTX_TURNS / 8;
}

// ---- loads ----

static u64 fetch(const u8 *from, u32 bytes, bool is_signed)
{
    u64 value = 0;
    memcpy(&value, from, bytes);
    return is_signed && bytes < 8 ? (u64)((s64)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes)) : value;
}

static void load(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, uint32_t mask)
{
    const u32 *list = warp->block->run->kernel->lists + insn->o[0];
    u32 bytes = ptx_types[insn->type[0]].bits / 8;
    bool is_signed = ptx_types[insn->type[0]].kind == 's';
    u32 good = check(warp, insn, access, mask);
    if (is_strong(insn))
        may_be_waiting(warp);
    for (u32 i = 0; i < insn->n[0]; i++) {
        u32 place = list[i];
        if (bytes == 4 && good == PTX_ALL && insn->lane[0] == 4) {
            u32 *d = ptx_place(warp, place);
            for (int l = 0; l < PTX_LANES; l++)
                d[l] = *(const u32 *)(access->host[l] + 4 * i);
            continue;
        }
        PTX_EACH_LANE (l, mask)
            ptx_set(warp, place, insn->lane[0], l,
                    good >> l & 1 ? fetch(access->host[l] + bytes * i, bytes, is_signed) : 0);
    }
    // strong loads may have taken what another block has released; looked up after the bytes were
    if (is_strong(insn) && access->space == PTX_SPACE_GLOBAL)
        PTX_EACH_LANE (l, good)
            ptx_release_acquire(warp, access->address[l], false, true);
}

static void run_ld(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_access access;
    access.bytes = ptx_types[insn->type[0]].bits / 8 * insn->n[0];
    access.space = insn->m.space;
    access.is_write = false;
    access.is_strong = is_strong(insn);
    access.values = NULL;
    addresses(warp, insn, 1, insn->imm, access.address);
    by_space(warp, insn, &access, mask, load);
}

// Parameters by name: the same bytes for every lane.
static void run_ld_param(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    u32 bytes = ptx_types[insn->type[0]].bits / 8;
    bool is_signed = ptx_types[insn->type[0]].kind == 's';
    u64 at = ptx_get(warp, insn->o[1], insn->lane[1], 0) + (u64)insn->imm;
    const ptx_run_state *run = warp->block->run;
    if (at > run->kernel->param_bytes || bytes * insn->n[0] > run->kernel->param_bytes - at ||
        at & (bytes * insn->n[0] - 1)) {
        run_ld(warp, insn, mask);
        return;
    }
    const u32 *list = run->kernel->lists + insn->o[0];
    for (u32 i = 0; i < insn->n[0]; i++) {
        u64 value = fetch(run->params + at + bytes * i, bytes, is_signed);
        PTX_EACH_LANE (l, mask)
            ptx_set(warp, list[i], insn->lane[0], l, value);
    }
}

// ---- stores ----

static void store(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, uint32_t mask)
{
    const u32 *list = warp->block->run->kernel->lists + insn->o[1];
    u32 bytes = ptx_types[insn->type[0]].bits / 8;
    u8 values[PTX_LANES][16];
    for (u32 i = 0; i < insn->n[1]; i++)
        PTX_EACH_LANE (l, mask) {
            u64 value = ptx_get(warp, list[i], insn->lane[1], l);
            memcpy(values[l] + bytes * i, &value, bytes);
        }
    access->values = values[0];
    // told before the bytes are there, which the check may put down already
    if (is_strong(insn) && access->space == PTX_SPACE_GLOBAL) {
        PTX_EACH_LANE (l, mask) {
            ptx_release_acquire(warp, access->address[l], true, false);
        }
    }
    u32 good = check(warp, insn, access, mask);
    PTX_EACH_LANE (l, good) {
        if (access->bytes == 4)
            memcpy(access->host[l], values[l], 4);
        else
            memcpy(access->host[l], values[l], access->bytes);
    }
}

static void run_st(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_access access;
    access.bytes = ptx_types[insn->type[0]].bits / 8 * insn->n[1];
    access.space = insn->m.space;
    access.is_write = true;
    access.is_strong = is_strong(insn);
    addresses(warp, insn, 0, insn->imm, access.address);
    by_space(warp, insn, &access, mask, store);
}

// ---- atomic operations ----

static f32 add_clean(f32 x, f32 y, bool ftz)
{
    f32 sum;
    if (ftz) { // single precision in global memory flushes, as red and atom say
        x = fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
        y = fabsf(y) < 0x1p-126f ? copysignf(0, y) : y;
    }
    sum = x + y;
    if (ftz && fabsf(sum) < 0x1p-126f)
        sum = copysignf(0, sum);
    return sum == sum ? sum : ptx_float(0x7fffffffu);
}

static u64 combine_float(ptx_type type, u64 old, u64 with, bool ftz)
{
    if (type == PTX_F32)
        return ptx_bits(add_clean(ptx_float((u32)old), ptx_float((u32)with), ftz));
    if (type == PTX_F64)
        return ptx_bits64(ptx_double(old) + ptx_double(with));
    bool half = type == PTX_F16 || type == PTX_F16X2;
    ptx_type one = half ? PTX_F16 : PTX_BF16;
    u64 result = 0;
    for (u32 i = 0; i < ptx_types[type].bits / 16; i++) {
        double sum = ptx_to_double(one, old >> 16 * i & 0xffff) + ptx_to_double(one, with >> 16 * i & 0xffff);
        result |= ptx_from_real(one, sum, PTX_RN, false) << 16 * i;
    }
    return result;
}

static u64 combine(const ptx_insn *insn, u64 old, u64 x, u64 y, bool ftz)
{
    ptx_type type = (ptx_type)insn->type[0];
    char kind = ptx_types[type].kind;
    bool is_signed = kind == 's', wide = ptx_types[type].bits == 64, less;
    switch (insn->m.atom) {
    case PTX_AND:
        return old & x;
    case PTX_OR:
        return old | x;
    case PTX_XOR:
        return old ^ x;
    case PTX_EXCH:
        return x;
    case PTX_CAS:
        return old == x ? y : old;
    case PTX_INC:
        return (u32)old >= (u32)x ? 0 : old + 1;
    case PTX_DEC:
        return (u32)old == 0 || (u32)old > (u32)x ? x : old - 1;
    case PTX_ADD:
        return kind == 'f' || kind == 'e' ? combine_float(type, old, x, ftz) : old + x;
    default:
        less = is_signed ? wide ? (s64)old < (s64)x : (s32)old < (s32)x : wide ? old < x : (u32)old < (u32)x;
        return (insn->m.atom == PTX_MIN) == less ? old : x;
    }
}

// One operation that other threads of the host see whole.
static u64 exchange(const ptx_access *access, u32 lane, const ptx_insn *insn, u64 x, u64 y)
{
    // atom.add.f32 on global memory flushes subnormals, on shared memory not
    bool ftz = insn->type[0] == PTX_F32 && access->space != PTX_SPACE_SHARED;
    u8 *host = access->host[lane];
    u32 bytes = access->bytes;
    u64 old;
    if (bytes == 8) {
        u64 seen = __atomic_load_n((u64 *)host, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n((u64 *)host, &seen, combine(insn, seen, x, y, ftz), false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        old = seen;
    } else if (bytes == 4) {
        u32 seen = __atomic_load_n((u32 *)host, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n((u32 *)host, &seen, (u32)combine(insn, seen, (u32)x, (u32)y, ftz),
                                            false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        old = seen;
    } else {
        u16 seen = __atomic_load_n((u16 *)host, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n((u16 *)host, &seen, (u16)combine(insn, seen, (u16)x, (u16)y, ftz),
                                            false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        old = seen;
    }
    return old;
}

static void atomic_lanes(ptx_warp *warp, const ptx_insn *insn, ptx_access *access, uint32_t mask)
{
    bool returns = insn->op == PTX_OP_ATOM;
    u32 value = returns ? 2 : 1;
    may_be_waiting(warp);
    // a read first: the bytes must have been written
    access->is_write = false;
    u32 good = check(warp, insn, access, mask);
    access->is_write = true;
    good = check(warp, insn, access, good);
    PTX_EACH_LANE (l, good) {
        u64 x = ptx_get(warp, insn->o[value], insn->lane[value], l);
        u64 y = insn->m.atom == PTX_CAS ? ptx_get(warp, insn->o[value + 1], insn->lane[value + 1], l) : 0;
        if (access->space == PTX_SPACE_GLOBAL)
            ptx_release_acquire(warp, access->address[l], true, false);
        u64 old = exchange(access, l, insn, x, y);
        if (access->space == PTX_SPACE_GLOBAL)
            ptx_release_acquire(warp, access->address[l], false, true);
        if (returns)
            ptx_set(warp, insn->o[0], insn->lane[0], l, old);
    }
}

static void run_atomic(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_access access;
    access.bytes = ptx_types[insn->type[0]].bits / 8;
    access.space = insn->m.space;
    access.is_strong = true;
    access.values = NULL;
    addresses(warp, insn, insn->op == PTX_OP_ATOM ? 1 : 0, insn->imm, access.address);
    by_space(warp, insn, &access, mask, atomic_lanes);
}

// ---- asynchronous copies ----

// Room for the copies of these lanes; NULL, with the launch stopped, where there is none.
static ptx_pending *reserve_pending(ptx_warp *warp, const ptx_insn *insn, u32 lanes)
{
    u32 wanted = warp->pending_count + (u32)__builtin_popcount(lanes), capacity = warp->pending_capacity;
    while (capacity < wanted)
        capacity = capacity ? 2 * capacity : 64;
    if (capacity > warp->pending_capacity) {
        ptx_pending *grown =
            capacity <= PTX_MAX_PENDING ? realloc(warp->pending, capacity * sizeof *grown) : NULL;
        if (!grown) {
            ptx_stop(warp, insn,
                     &(ptx_fault){.finding = PTX_ENDLESS,
                                  .lane = (u32)__builtin_ctz(lanes),
                                  .detail = "too many cp.async in flight"});
            return NULL;
        }
        warp->pending = grown;
        warp->pending_capacity = capacity;
    }
    return warp->pending + warp->pending_count;
}

// How many bytes of its source a lane reads; zeros follow.
static u32 source_bytes(ptx_warp *warp, const ptx_insn *insn, u32 lane)
{
    u32 whole = insn->n[2], count = whole;
    if (insn->n[3] == 1)
        count = (u32)ptx_get(warp, insn->o[3], 4, lane);
    else if (insn->n[3] && (*(u32 *)ptx_place(warp, insn->o[3]) >> lane & 1) != (insn->n[3] == 3))
        count = 0;
    if (count > whole)
        ptx_report_fault(warp, insn,
                         &(ptx_fault){.finding = PTX_BAD_OPERAND,
                                      .lane = lane,
                                      .detail = "a copy cannot read more of its source than it writes"});
    return count > whole ? whole : count;
}

// A source of which only a part is read, word by word; it is aligned to the whole all the same.
static void read_part(ptx_warp *warp, const ptx_insn *insn, const ptx_access *from, u32 lane, u32 count,
                      u8 *data)
{
    bool crooked = from->address[lane] & (insn->n[2] - 1u);
    ptx_access part = *from;
    for (u32 done = 0, step; done < count; done += step) {
        step = crooked ? insn->n[2] : !(done & 3) && count - done >= 4 ? 4 : 1;
        part.bytes = step;
        part.address[lane] = from->address[lane] + done;
        if (!check(warp, insn, &part, 1u << lane))
            return;
        memcpy(data + done, part.host[lane], step);
    }
}

// The bytes are taken now and put down when the thread waits for its group: as late as a chip may.
static void run_cp_async(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    ptx_access to, from;
    u32 whole = 0, counts[PTX_LANES];
    to.bytes = from.bytes = insn->n[2];
    to.space = PTX_SPACE_SHARED;
    from.space = PTX_SPACE_GLOBAL;
    to.is_write = true;
    from.is_write = to.is_strong = from.is_strong = false;
    to.values = from.values = NULL;
    addresses(warp, insn, 0, insn->imm, to.address);
    addresses(warp, insn, 1, insn->imm2, from.address);
    u32 good = check(warp, insn, &to, mask);
    ptx_pending *pending = good ? reserve_pending(warp, insn, good) : NULL;
    if (!pending)
        return;
    PTX_EACH_LANE (l, good) {
        counts[l] = source_bytes(warp, insn, l);
        whole |= (u32)(counts[l] == insn->n[2]) << l;
    }
    u32 read = whole ? check(warp, insn, &from, whole) : 0;
    PTX_EACH_LANE (l, good) {
        *pending = (ptx_pending){
            .to = (u32)to.address[l], .bytes = insn->n[2], .group = warp->commit_group[l], .lane = l};
        if (read >> l & 1)
            memcpy(pending->data, from.host[l], insn->n[2]);
        else if (!(whole >> l & 1))
            read_part(warp, insn, &from, l, counts[l], pending->data);
        memset(warp->block->state + pending->to, PTX_BYTE_PENDING, pending->bytes);
        pending++;
    }
    warp->pending_count = (u32)(pending - warp->pending);
}

// keep: the newest groups of each thread that may still be under way.
static void complete(ptx_warp *warp, uint32_t mask, u64 keep)
{
    ptx_block *block = warp->block;
    bool races = block->run->check_races && !block->clocks_used_up;
    u32 kept = 0;
    for (u32 i = 0; i < warp->pending_count; i++) {
        const ptx_pending *pending = &warp->pending[i];
        if (!(mask >> pending->lane & 1) || pending->group + keep >= warp->commit_group[pending->lane]) {
            if (kept != i)
                warp->pending[kept] = *pending;
            kept++;
            continue;
        }
        memset(block->state + pending->to, PTX_BYTE_WRITTEN, pending->bytes);
        memcpy(block->shared + pending->to, pending->data, pending->bytes);
        u32 now = (warp->index * 32 + pending->lane) << 22 | warp->clock << 5 | 15;
        for (u32 word = pending->to / 4; races && word < (pending->to + pending->bytes) / 4; word++)
            block->shared_w[word] = now;
    }
    warp->pending_count = kept;
}

static void run_cp_commit(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    (void)insn;
    PTX_EACH_LANE (l, mask)
        warp->commit_group[l]++;
}

static void run_cp_wait(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool all = insn->m.mode == 3;
    if (all)
        run_cp_commit(warp, insn, mask);
    complete(warp, mask, all ? 0 : (u64)insn->imm);
}

static void run_fence(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    (void)warp, (void)insn, (void)mask;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// A cache policy says nothing of values: every one is the same number.
static void run_policy(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    PTX_EACH_LANE (l, mask)
        ptx_set(warp, insn->o[0], insn->lane[0], l, 1);
}

static void run_nothing(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    (void)warp, (void)insn, (void)mask;
}

ptx_run *PTX_VARIANT_OF(ptx_select_memory)(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_LD:
        return insn->m.space == PTX_SPACE_PARAM && insn->o[1] & PTX_CONST_SLOT ? run_ld_param : run_ld;
    case PTX_OP_ST:
        return run_st;
    case PTX_OP_ATOM:
    case PTX_OP_RED:
        return run_atomic;
    case PTX_OP_CPASYNC:
        return run_cp_async;
    case PTX_OP_CPCOMMIT:
        return run_cp_commit;
    case PTX_OP_CPWAIT:
        return run_cp_wait;
    case PTX_OP_FENCE:
        return run_fence;
    case PTX_OP_POLICY:
        return run_policy;
    case PTX_OP_NOP:
        return run_nothing;
    default:
        return NULL;
    }
}
