// SPDX-License-Identifier: MIT
//
// Instructions by which the lanes of a warp learn from one another. Each waits until the lanes that its mask
// names have come.
#include "exec.h"

static void run_warp_sync(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 0);
    // lanes may meet in several groups, each with a mask of its own
    while (ready) {
        uint32_t group = warp->members[__builtin_ctz(ready)] & ready;
        group |= ready & -ready;
        ptx_warp_synced(warp, group);
        ready &= ~group;
    }
}

// c: in bits 8 to 12 the mask of the segment, in 0 to 4 the clamp.
static uint32_t shuffle_source(uint32_t mode, uint32_t lane, uint32_t operand, uint32_t c, bool *inside)
{
    uint32_t segment = c >> 8 & 31, clamp = c & 31, by = operand & 31;
    uint32_t most = (lane & segment) | (clamp & ~segment), least = lane & segment, source;
    switch (mode) {
    case PTX_SHFL_UP:
        source = lane - by;
        *inside = (int32_t)source >= (int32_t)most;
        break;
    case PTX_SHFL_DOWN:
        source = lane + by;
        *inside = source <= most;
        break;
    case PTX_SHFL_BFLY:
        source = lane ^ by;
        *inside = source <= most;
        break;
    default:
        source = least | (by & ~segment);
        *inside = source <= most;
        break;
    }
    return *inside ? source : lane;
}

static void run_shfl(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 4), set = 0;
    uint32_t from[PTX_LANES], *d = ptx_place(warp, insn->o[0]);
    memcpy(from, ptx_place(warp, insn->o[1]), sizeof from);
    PTX_EACH_LANE (l, ready) {
        bool inside;
        uint32_t source = shuffle_source(insn->m.mode, l, (uint32_t)ptx_get(warp, insn->o[2], 4, l),
                                         (uint32_t)ptx_get(warp, insn->o[3], 4, l), &inside);
        if (!(ready >> source & 1)) {
            ptx_report_fault(warp, insn,
                             &(ptx_fault){.finding = PTX_WRONG_MASK,
                                          .lane = l,
                                          .detail = "the value is taken from a lane that takes no part"});
            source = l;
        }
        d[l] = from[source];
        set |= (uint32_t)inside << l;
    }
    ptx_set_pred(warp, insn->o[5], set, ready);
}

// For each group of lanes that meet: the lanes, one after another.
#define EACH_GROUP(group, ready)                                                                             \
    for (uint32_t rest_ = (ready), group;                                                                    \
         rest_ && (group = (warp->members[__builtin_ctz(rest_)] & rest_) | (rest_ & -rest_), true);          \
         rest_ &= ~group)

static void run_vote(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 2), p = ptx_pred(warp, insn, 1);
    EACH_GROUP (group, ready) {
        uint32_t set = p & group;
        bool vote = insn->m.mode == PTX_VOTE_ALL   ? set == group
                    : insn->m.mode == PTX_VOTE_ANY ? set != 0
                                                   : set == 0 || set == group;
        if (insn->op == PTX_OP_VOTEP)
            ptx_set_pred(warp, insn->o[0], vote ? PTX_ALL : 0, group);
        else
            PTX_EACH_LANE (l, group)
                ptx_set(warp, insn->o[0], 4, l, set);
    }
}

static void run_match(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 2), bytes = insn->lane[1];
    EACH_GROUP (group, ready) {
        PTX_EACH_LANE (l, group) {
            uint64_t mine = ptx_get(warp, insn->o[1], bytes, l);
            uint32_t same = 0;
            PTX_EACH_LANE (other, group)
                same |= (uint32_t)(ptx_get(warp, insn->o[1], bytes, other) == mine) << other;
            bool all = same == group;
            if (insn->op == PTX_OP_MATCHALL)
                ptx_set_pred(warp, insn->o[5], all ? PTX_ALL : 0, 1u << l);
            warp->members[l] = insn->op == PTX_OP_MATCHALL ? all ? group : 0 : same;
        }
        uint32_t lanes = group;
        // the destination may be the source: written when all have looked
        PTX_EACH_LANE (l, lanes)
            ptx_set(warp, insn->o[0], 4, l, warp->members[l]);
    }
}

static uint32_t reduce(const ptx_insn *insn, uint32_t x, uint32_t y)
{
    bool is_signed = insn->type[0] == PTX_S32;
    bool less = is_signed ? (int32_t)x < (int32_t)y : x < y;
    switch (insn->m.atom) {
    case PTX_ADD:
        return x + y;
    case PTX_AND:
        return x & y;
    case PTX_OR:
        return x | y;
    case PTX_XOR:
        return x ^ y;
    case PTX_MIN:
        return less ? x : y;
    default:
        return less ? y : x;
    }
}

static void run_redux(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 2);
    EACH_GROUP (group, ready) {
        uint32_t first = (uint32_t)__builtin_ctz(group),
                 result = (uint32_t)ptx_get(warp, insn->o[1], 4, first);
        PTX_EACH_LANE (l, group & ~(1u << first))
            result = reduce(insn, result, (uint32_t)ptx_get(warp, insn->o[1], 4, l));
        PTX_EACH_LANE (l, group)
            ptx_set(warp, insn->o[0], 4, l, result);
    }
}

static void run_elect(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint32_t ready = ptx_gather_members(warp, insn, mask, 1);
    EACH_GROUP (group, ready) {
        PTX_EACH_LANE (l, group)
            ptx_set(warp, insn->o[0], 4, l, (uint32_t)__builtin_ctz(group));
        ptx_set_pred(warp, insn->o[5], group & -group, group);
    }
}

static void run_active_mask(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    PTX_EACH_LANE (l, mask)
        ptx_set(warp, insn->o[0], 4, l, mask);
}

ptx_run *ptx_select_sync(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_WARPSYNC:
        return run_warp_sync;
    case PTX_OP_SHFL:
        return run_shfl;
    case PTX_OP_VOTEP:
    case PTX_OP_BALLOT:
        return run_vote;
    case PTX_OP_MATCH:
    case PTX_OP_MATCHALL:
        return run_match;
    case PTX_OP_REDUX:
        return run_redux;
    case PTX_OP_ELECT:
        return run_elect;
    case PTX_OP_ACTIVEMASK:
        return run_active_mask;
    default:
        return NULL;
    }
}
