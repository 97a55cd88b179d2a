// SPDX-License-Identifier: MIT
//
// How warps go on: the lanes with the lowest program counter run until they meet the next ones, lanes that
// wait for others of the warp or of the block are left out, and nobody waits for ever on lanes that only go
// round. Barriers, and the order of accesses that follows from them.
#include "exec.h"

// ---- which lanes run ----

// The lanes with the lowest pc above `after`, or else with the lowest.
static bool pick(ptx_warp *warp, int64_t after)
{
    uint32_t ready = warp->live & ~warp->at_sync & ~warp->at_barrier;
    uint32_t lowest = UINT32_MAX, above = UINT32_MAX;
    PTX_EACH_LANE (l, ready) {
        uint32_t pc = warp->lane_pc[l];
        lowest = pc < lowest ? pc : lowest;
        above = pc < above && (int64_t)pc > after ? pc : above;
    }
    warp->active = 0;
    if (!ready)
        return false;
    warp->pc = above != UINT32_MAX ? above : lowest;
    warp->next_pc = UINT32_MAX;
    PTX_EACH_LANE (l, ready) {
        uint32_t pc = warp->lane_pc[l];
        if (pc == warp->pc)
            warp->active |= 1u << l;
        else if (pc > warp->pc && pc < warp->next_pc)
            warp->next_pc = pc;
    }
    return true;
}

static void put(ptx_warp *warp, uint32_t lanes, uint32_t pc)
{
    PTX_EACH_LANE (l, lanes)
        warp->lane_pc[l] = pc;
}

// Nobody of the warp can run and some wait for lanes that will not come.
static bool force_waiting(ptx_warp *warp)
{
    uint32_t waiting = warp->at_sync, lowest = UINT32_MAX, here = 0;
    if (!waiting)
        return false;
    PTX_EACH_LANE (l, waiting)
        lowest = warp->lane_pc[l] < lowest ? warp->lane_pc[l] : lowest;
    PTX_EACH_LANE (l, waiting)
        here |= (uint32_t)(warp->lane_pc[l] == lowest) << l;
    const ptx_insn *insn = &warp->block->run->kernel->insns[lowest];
    ptx_report_fault(warp, insn,
                     &(ptx_fault){.finding = PTX_WRONG_MASK,
                                  .lane = (uint32_t)__builtin_ctz(here),
                                  .detail = "lanes that the mask names never come to this instruction"});
    warp->at_sync &= ~here;
    warp->forced = true;
    return true;
}

void ptx_lanes_exit(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    (void)insn;
    warp->live &= ~mask;
    warp->block->live -= (uint32_t)__builtin_popcount(mask);
    ptx_barriers_check(warp->block);
}

static void branch_indexed(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    const uint32_t *table = warp->block->run->kernel->tables + insn->target;
    PTX_EACH_LANE (l, mask) {
        uint32_t index = (uint32_t)ptx_get(warp, insn->o[0], 4, l);
        if (index >= table[0])
            ptx_stop(warp, insn,
                     &(ptx_fault){.finding = PTX_BAD_OPERAND,
                                  .lane = l,
                                  .detail = "the index is beyond the list of branch targets"});
        else
            warp->lane_pc[l] = table[1 + index];
    }
}

// Instructions that are no plain arithmetic. True: the choice of lanes must be made again.
static bool leave(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t pc = warp->pc, active = warp->active;
    put(warp, active & ~mask, pc + 1);
    if (!mask) {
        warp->pc = pc + 1;
        return pc + 1 >= warp->next_pc;
    }
    switch (insn->op) {
    case PTX_OP_EXIT:
        ptx_lanes_exit(warp, insn, mask);
        return true;
    case PTX_OP_TRAP:
        ptx_stop(warp, insn, &(ptx_fault){.finding = PTX_TRAPPED, .lane = (uint32_t)__builtin_ctz(mask)});
        return true;
    case PTX_OP_BRX:
        branch_indexed(warp, insn, mask);
        return true;
    default:
        break;
    }
    put(warp, mask, pc);
    warp->done = mask;
    insn->run(warp, insn, mask);
    warp->forced = false;
    PTX_EACH_LANE (l, warp->done) // a barrier may have let lanes go on already
        warp->lane_pc[l] = warp->lane_pc[l] == pc ? pc + 1 : warp->lane_pc[l];
    if (warp->done != mask || mask != active)
        return true;
    warp->pc = pc + 1;
    return pc + 1 >= warp->next_pc;
}

static bool branch(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t pc = warp->pc;
    if (mask == warp->active) {
        warp->pc = insn->target;
        if (insn->target > pc || warp->next_pc == UINT32_MAX)
            return warp->pc >= warp->next_pc;
        return ++warp->turns > PTX_TURNS;
    }
    if (!mask) {
        warp->pc = pc + 1;
        return warp->pc >= warp->next_pc;
    }
    put(warp, mask, insn->target);
    put(warp, warp->active & ~mask, pc + 1);
    warp->active = 0;
    return true;
}

// Twice, so that it costs nothing where nothing is counted.
static inline __attribute__((always_inline)) void run_warp(ptx_warp *warp, uint64_t quantum, bool counts)
{
    const ptx_insn *insns = warp->block->run->kernel->insns;
    uint64_t lanes = 0, left = quantum;
    bool again = true;
    while (left && !warp->block->stopped) {
        if (again) {
            int64_t after = warp->turns > PTX_TURNS ? (int64_t)warp->pc : -1;
            warp->turns = after < 0 ? warp->turns : 0;
            put(warp, warp->active & warp->live & ~warp->at_sync & ~warp->at_barrier, warp->pc);
            if (!pick(warp, after))
                break;
            again = false;
        }
        const ptx_insn *insn = &insns[warp->pc];
        uint32_t mask = warp->active;
        if (insn->guard) {
            uint32_t p = *(const uint32_t *)(warp->base[0] + insn->guard);
            mask &= insn->guard_not ? ~p : p;
        }
        if (counts)
            ptx_count(warp, insn, mask);
        left--;
        lanes += mask == PTX_ALL ? PTX_LANES : (uint64_t)__builtin_popcount(mask);
        if (!insn->leaves) {
            if (mask)
                insn->run(warp, insn, mask);
            again = ++warp->pc >= warp->next_pc;
        } else if (insn->op == PTX_OP_BRA) {
            again = branch(warp, insn, mask);
        } else {
            again = leave(warp, insn, mask);
            if (again)
                warp->active = 0;
        }
    }
    put(warp, warp->active & warp->live & ~warp->at_sync & ~warp->at_barrier, warp->pc);
    warp->active = 0;
    warp->executed += quantum - left;
    warp->lanes_executed += lanes;
}

void ptx_run_warp(ptx_warp *warp, uint64_t quantum)
{
    if (warp->block->run->launch->counts)
        run_warp(warp, quantum, true);
    else
        run_warp(warp, quantum, false);
}

// ---- lanes that wait for one another ----

static uint32_t members_of(ptx_warp *warp, const ptx_insn *insn, uint32_t lane, uint32_t place)
{
    uint32_t all =
        warp->block->threads - warp->index * 32 >= 32 ? PTX_ALL : (1u << (warp->block->threads % 32)) - 1;
    uint32_t members = place == UINT32_MAX ? PTX_ALL : (uint32_t)ptx_get(warp, insn->o[place], 4, lane);
    const char *wrong = NULL;
    if (!(members >> lane & 1))
        wrong = "the lane is not in its own mask";
    else if (place != UINT32_MAX && members & ~all && members != PTX_ALL)
        wrong = "the mask names lanes that the block does not have";
    else if (members & all & ~warp->live)
        wrong = "the mask names lanes that have ended";
    if (wrong)
        ptx_report_fault(warp, insn, &(ptx_fault){.finding = PTX_WRONG_MASK, .lane = lane, .detail = wrong});
    return (members | 1u << lane) & warp->live;
}

// All lanes that the warp began with are here, and every mask names all of them.
static bool all_together(ptx_warp *warp, const ptx_insn *insn, uint32_t mask, uint32_t place)
{
    uint32_t threads = warp->block->threads - warp->index * 32, differs = 0;
    if (mask != warp->live || (threads < 32 ? warp->live != (1u << threads) - 1 : mask != PTX_ALL))
        return false;
    if (place == UINT32_MAX)
        return true;
    const uint32_t *masks = ptx_place(warp, insn->o[place]);
    for (uint32_t l = 0; l < PTX_LANES; l++) {
        differs |= ~masks[l];
        warp->members[l] = PTX_ALL;
    }
    return !differs;
}

uint32_t ptx_gather_members(ptx_warp *warp, const ptx_insn *insn, uint32_t mask, uint32_t place)
{
    uint32_t pc = warp->pc, here = mask, ready = 0;
    if (warp->forced) {
        warp->done = mask;
        return mask;
    }
    if (all_together(warp, insn, mask, place)) {
        warp->done = mask;
        return mask;
    }
    PTX_EACH_LANE (l, warp->at_sync)
        here |= (uint32_t)(warp->lane_pc[l] == pc) << l;
    PTX_EACH_LANE (l, mask)
        warp->members[l] = members_of(warp, insn, l, place);
    PTX_EACH_LANE (l, here) {
        uint32_t needed = warp->members[l] & warp->live;
        if (needed & ~here)
            continue;
        ready |= 1u << l;
        PTX_EACH_LANE (other, needed)
            if ((warp->members[other] & warp->live) != needed) {
                ptx_report_fault(warp, insn,
                                 &(ptx_fault){.finding = PTX_WRONG_MASK,
                                              .lane = l,
                                              .detail = "the lanes that meet name different masks"});
                break;
            }
    }
    warp->at_sync = (warp->at_sync | here) & ~ready;
    warp->done = ready;
    return ready;
}

// Everything that these lanes did before is ordered before what they do from now on.
void ptx_warp_synced(ptx_warp *warp, uint32_t lanes)
{
    ptx_block *block = warp->block;
    uint32_t before[PTX_LANES] = {0}, clock = ++block->clock;
    warp->clock = clock;
    if (block->clock >= PTX_S_CLOCK_MAX - PTX_MAX_WARPS)
        block->clocks_used_up = true;
    if ((lanes & warp->live) == warp->live) {
        warp->warp_floor = clock;
        return;
    }
    PTX_EACH_LANE (l, lanes)
        for (int i = 0; i < PTX_LANES; i++)
            before[i] = warp->lane_known[l][i] > before[i] ? warp->lane_known[l][i] : before[i];
    PTX_EACH_LANE (l, lanes)
        before[l] = clock;
    PTX_EACH_LANE (l, lanes)
        memcpy(warp->lane_known[l], before, sizeof before);
}

bool ptx_ordered_in_block(const ptx_warp *warp, uint32_t lane, uint32_t thread, uint32_t clock)
{
    uint32_t other = thread / 32;
    if (clock < warp->floor || clock < warp->block->known[warp->index][other])
        return true;
    return other == warp->index && (clock < warp->warp_floor || clock < warp->lane_known[lane][thread % 32]);
}

// ---- barriers ----

static void write_reduction(ptx_warp *warp, const ptx_insn *insn, uint32_t lanes, const ptx_barrier *barrier)
{
    if (insn->op == PTX_OP_BAR)
        return;
    if (insn->type[0] == PTX_U32)
        PTX_EACH_LANE (l, lanes)
            ptx_set(warp, insn->o[0], 4, l, barrier->count);
    else
        ptx_set_pred(warp, insn->o[0], (insn->m.atom == PTX_AND ? barrier->all : barrier->any) ? PTX_ALL : 0,
                     lanes);
}

static bool is_aligned(const ptx_insn *insn)
{
    return insn->m.aligned; // set for bar, too
}

// Lanes of a warp must come together; so must all warps where the barrier is for all of the block.
static void check_meeting(ptx_warp *warp, uint32_t waiting, bool for_all, const ptx_insn **first)
{
    const ptx_insn *insns = warp->block->run->kernel->insns;
    const char *wrong = NULL;
    uint32_t lane = (uint32_t)__builtin_ctz(waiting), pc = warp->lane_pc[lane];
    if (!is_aligned(&insns[pc]))
        return;
    if (waiting != warp->live)
        wrong = "only some lanes of the warp come to the barrier";
    PTX_EACH_LANE (l, waiting)
        if (warp->lane_pc[l] != pc)
            wrong = "lanes of one warp wait at different barriers";
    if (for_all && *first && *first != &insns[pc])
        wrong = "warps of the block wait at different barriers";
    if (!*first)
        *first = &insns[pc];
    if (wrong)
        ptx_report_fault(warp, &insns[pc],
                         &(ptx_fault){.finding = PTX_BARRIER_DIVERGED, .lane = lane, .detail = wrong});
}

static void order_over_barrier(ptx_block *block, ptx_barrier *barrier, const bool *waits)
{
    uint32_t before[PTX_MAX_WARPS] = {0}, clock = ++block->clock;
    if (clock >= PTX_S_CLOCK_MAX - PTX_MAX_WARPS)
        block->clocks_used_up = true;
    if (barrier->expected == 0) {
        for (uint32_t w = 0; w < block->warp_count; w++) {
            ptx_warp *warp = &block->warps[w];
            warp->clock = warp->floor = warp->warp_floor = clock;
        }
        return;
    }
    for (uint32_t w = 0; w < block->warp_count; w++) {
        if (!barrier->clock_of[w])
            continue;
        for (uint32_t v = 0; v < block->warp_count; v++)
            before[v] = block->known[w][v] > before[v] ? block->known[w][v] : before[v];
        before[w] = barrier->clock_of[w] > before[w] ? barrier->clock_of[w] : before[w];
    }
    for (uint32_t w = 0; w < block->warp_count; w++)
        if (waits[w]) {
            memcpy(block->known[w], before, sizeof before);
            block->warps[w].clock = clock;
        }
}

static void release(ptx_block *block, uint32_t id)
{
    ptx_barrier *barrier = &block->barriers[id];
    const ptx_insn *insns = block->run->kernel->insns, *first = NULL;
    bool waits[PTX_MAX_WARPS] = {false};
    for (uint32_t w = 0; w < block->warp_count; w++) {
        ptx_warp *warp = &block->warps[w];
        uint32_t waiting = 0;
        PTX_EACH_LANE (l, warp->at_barrier)
            waiting |= (uint32_t)(warp->barrier_of[l] == id) << l;
        if (!waiting)
            continue;
        if (!first && barrier->expected == 0 && block->live < block->threads) {
            uint32_t lane = (uint32_t)__builtin_ctz(waiting);
            ptx_report_fault(
                warp, &insns[warp->lane_pc[lane]],
                &(ptx_fault){.finding = PTX_BARRIER_DIVERGED,
                             .lane = lane,
                             .detail = "threads of the block have ended without coming to the barrier"});
        }
        check_meeting(warp, waiting, barrier->expected == 0, &first);
        waits[w] = true;
        PTX_EACH_LANE (l, waiting) {
            write_reduction(warp, &insns[warp->lane_pc[l]], 1u << l, barrier);
            warp->lane_pc[l]++;
        }
        warp->at_barrier &= ~waiting;
    }
    order_over_barrier(block, barrier, waits);
    memset(barrier, 0, sizeof *barrier);
}

// Where a number of threads is expected, warps are counted: each as 32, when all its threads that have not
// ended have come, however many these are (PTX ISA 9.1, barrier).
static uint32_t count_warps(const ptx_block *block, ptx_barrier *barrier)
{
    for (uint32_t w = 0; w < block->warp_count; w++)
        if (barrier->part[w] && !(block->warps[w].live & ~barrier->part[w])) {
            barrier->counted += 32;
            barrier->part[w] = 0;
        }
    return barrier->counted;
}

void ptx_barriers_check(ptx_block *block)
{
    for (uint32_t i = 0; i < PTX_BARRIERS; i++) {
        ptx_barrier *barrier = &block->barriers[i];
        if (!barrier->arrived)
            continue;
        if (barrier->expected ? count_warps(block, barrier) >= barrier->expected
                              : barrier->arrived >= block->live)
            release(block, i);
    }
}

static void run_barrier(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    bool reduces = insn->op != PTX_OP_BAR, counts = insn->op == PTX_OP_BARREDN || (!reduces && insn->o[1]);
    uint32_t first = reduces ? 1 : 0, lane = (uint32_t)__builtin_ctz(mask);
    uint32_t id = (uint32_t)ptx_get(warp, insn->o[first], 4, lane);
    uint32_t count = counts ? (uint32_t)ptx_get(warp, insn->o[first + 1], 4, lane) : 0;
    bool uneven = false;
    PTX_EACH_LANE (l, mask)
        uneven = uneven || ptx_get(warp, insn->o[first], 4, l) != id;
    if (id >= PTX_BARRIERS || uneven || (counts && (count == 0 || count % 32 || count > 1024))) {
        ptx_stop(warp, insn,
                 &(ptx_fault){
                     .finding = PTX_BAD_OPERAND,
                     .lane = lane,
                     .detail = "barriers are 0 to 15, the same for the warp, for a multiple of 32 threads"});
        return;
    }
    ptx_barrier *barrier = &warp->block->barriers[id];
    if (barrier->arrived && barrier->expected != count)
        ptx_report_fault(warp, insn,
                         &(ptx_fault){.finding = PTX_BAD_OPERAND,
                                      .lane = lane,
                                      .detail = "the barrier is in use for another number of threads"});
    if (!barrier->arrived)
        *barrier = (ptx_barrier){.all = 1};
    barrier->expected = count;
    barrier->arrived += (uint32_t)__builtin_popcount(mask);
    barrier->part[warp->index] |= mask;
    warp->clock = ++warp->block->clock;
    barrier->clock_of[warp->index] = warp->clock;
    if (reduces) {
        uint32_t p = ptx_pred(warp, insn, insn->op == PTX_OP_BARREDN ? 3 : 2) & mask;
        barrier->any |= p != 0;
        barrier->all &= p == mask;
        barrier->count += (uint32_t)__builtin_popcount(p);
    }
    if (insn->m.barrier != PTX_ARRIVE) {
        warp->at_barrier |= mask;
        warp->done = 0;
        PTX_EACH_LANE (l, mask)
            warp->barrier_of[l] = (uint8_t)id;
    }
    ptx_barriers_check(warp->block);
}

ptx_run *ptx_select_barrier(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_BAR:
    case PTX_OP_BARREDP:
    case PTX_OP_BARREDN:
        return run_barrier;
    default:
        return NULL;
    }
}

// ---- the warps of a block ----

static void report_standstill(ptx_block *block)
{
    for (uint32_t w = 0; w < block->warp_count; w++) {
        ptx_warp *warp = &block->warps[w];
        if (!warp->at_barrier)
            continue;
        uint32_t lane = (uint32_t)__builtin_ctz(warp->at_barrier);
        ptx_stop(warp, &block->run->kernel->insns[warp->lane_pc[lane]],
                 &(ptx_fault){.finding = PTX_DEADLOCK,
                              .lane = lane,
                              .detail = "threads wait at barriers that the others never reach"});
        return;
    }
}

static bool can_run(const ptx_warp *warp)
{
    return (warp->live & ~warp->at_barrier & ~warp->at_sync) != 0;
}

bool ptx_block_step(ptx_block *block, uint64_t quantum)
{
    bool shuffled = block->run->launch->schedule_seed != 0;
    uint64_t used = 0;
    while (used < quantum && block->live && !block->stopped && !block->run->stopped) {
        uint32_t first =
            shuffled ? (uint32_t)(ptx_random(&block->random) % block->warp_count) : block->next_warp;
        ptx_warp *warp = NULL;
        for (uint32_t i = 0; i < block->warp_count && !warp; i++) {
            uint32_t w = (first + i) % block->warp_count;
            if (can_run(&block->warps[w]))
                warp = &block->warps[w];
        }
        for (uint32_t w = 0; w < block->warp_count && !warp; w++)
            if (force_waiting(&block->warps[w]))
                warp = &block->warps[w];
        if (!warp) {
            report_standstill(block);
            break;
        }
        block->next_warp = (warp->index + 1) % block->warp_count;
        uint64_t before = warp->executed, slice = shuffled ? 1 + ptx_random(&block->random) % 300 : 10000;
        ptx_run_warp(warp, slice);
        used += warp->executed - before + 1;
        if (block->budget <= warp->executed - before) {
            ptx_stop(warp, &block->run->kernel->insns[warp->pc],
                     &(ptx_fault){.finding = PTX_ENDLESS,
                                  .lane = PTX_LANES,
                                  .detail = "the limit of instructions is used up"});
            break;
        }
        block->budget -= warp->executed - before;
    }
    return block->live && !block->stopped && !block->run->stopped;
}
