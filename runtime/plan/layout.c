// SPDX-License-Identifier: MIT
//
// Pass 4: where each activation lives in its device's arena. A value is alive from the node that first writes
// it (or the segment that a transfer feeds) to the last node or transfer that reads it; outputs stay to the
// end. Each is put into the lowest gap among those alive with it.
#include "runtime/plan/plan_internal.h"

// At least a few cache lines, so that values do not share one; more where the device asks for it.
#define ARENA_ALIGNMENT_BYTES 256u

typedef struct lifetime {
    uint32_t first, last; // node numbers, inclusive; first is UINT32_MAX until touched
} lifetime;

static void touch(lifetime *life, uint32_t node)
{
    if (node < life->first)
        life->first = node;
    if (node > life->last)
        life->last = node;
}

static void find_lifetimes(const iso_plan *plan, lifetime *lives)
{
    const iso_graph *graph = plan->graph;
    for (size_t v = 0; v < graph->value_count; v++)
        lives[v].first = UINT32_MAX;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; i < graph->nodes[n].operand_count; i++)
            touch(&lives[graph->values[graph->nodes[n].operands[i]].base], n);
    for (size_t t = 0; t < plan->transfer_count; t++) {
        uint32_t at = plan->segments[plan->transfers[t].segment].first_node;
        touch(&lives[plan->transfers[t].source], at);
        touch(&lives[plan->transfers[t].target], at);
    }
    for (size_t v = 1; v < graph->value_count; v++)
        if (graph->values[v].output && lives[v].first != UINT32_MAX)
            lives[v].last = UINT32_MAX - 1;
}

static uint64_t alignment_of(const iso_plan *plan, iso_value v)
{
    uint32_t wanted =
        iso_device_get_info(plan->devices[plan->graph->values[v].device])->buffer_alignment_bytes;
    return wanted > ARENA_ALIGNMENT_BYTES ? wanted : ARENA_ALIGNMENT_BYTES;
}

static bool in_arena(const iso_plan *plan, const lifetime *lives, iso_value v)
{
    const iso_value_info *value = &plan->graph->values[v];
    return v != ISO_NO_VALUE && value->kind == ISO_VALUE_ACTIVATION && value->base == v &&
           lives[v].first != UINT32_MAX;
}

// The lowest aligned offset at which `bytes` fit beside everything placed before that is alive at the same
// time.
static uint64_t lowest_gap(const iso_plan *plan, const iso_sized_plan *sized, const lifetime *lives,
                           iso_value v, uint64_t bytes)
{
    uint64_t offset = 0, alignment = alignment_of(plan, v);
    for (bool moved = true; moved;) {
        moved = false;
        for (iso_value other = 1; other < v; other++) {
            if (!in_arena(plan, lives, other) ||
                plan->graph->values[other].device != plan->graph->values[v].device ||
                lives[other].last < lives[v].first || lives[v].last < lives[other].first)
                continue;
            uint64_t begin = sized->offsets[other];
            uint64_t end = begin + iso_graph_storage_bytes(plan->graph, other, &sized->dims);
            if (offset < end && begin < offset + bytes) {
                offset = (end + alignment - 1) / alignment * alignment;
                moved = true;
            }
        }
    }
    return offset;
}

iso_status iso_plan_lay_out(const iso_plan *plan, iso_sized_plan *sized)
{
    lifetime *lives = NULL;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, plan->graph->value_count, &lives), done);
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, plan->graph->value_count, &sized->offsets), done);
    find_lifetimes(plan, lives);
    for (iso_value v = 1; v < plan->graph->value_count; v++) {
        if (!in_arena(plan, lives, v))
            continue;
        uint64_t bytes = iso_graph_storage_bytes(plan->graph, v, &sized->dims);
        uint64_t *arena = &sized->arena_bytes[plan->graph->values[v].device];
        sized->offsets[v] = lowest_gap(plan, sized, lives, v, bytes);
        if (sized->offsets[v] + bytes > *arena)
            *arena = sized->offsets[v] + bytes;
    }
done:
    iso_free(plan->allocator, lives);
    return status;
}
