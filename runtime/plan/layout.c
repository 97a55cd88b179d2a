// SPDX-License-Identifier: MIT
//
// Pass 4: where each activation lives in its device's arena. A value is alive from the node that first writes
// it (or the segment that a transfer feeds) to the last node or transfer that reads it; outputs stay to the
// end. A kernel's scratch memory lives while its node runs. In the order in which they come to life, each is
// put into the lowest gap among those alive then.
#include "runtime/plan/plan_internal.h"

#include <stdlib.h>

// At least a few cache lines, so that values do not share one; more where the device asks for it.
#define ARENA_ALIGNMENT_BYTES 256u

typedef struct lifetime {
    uint32_t first, last; // node numbers, inclusive; first is UINT32_MAX until touched
} lifetime;

// A root activation, or a kernel's scratch memory, that needs room.
typedef struct resident {
    uint64_t *out_offset; // where the plan keeps `begin`
    uint32_t order;       // among those of one device that come to life together
    uint32_t device;
    lifetime life;
    uint64_t bytes;
    uint64_t begin, end; // once it is placed
} resident;

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
        uint32_t segment = plan->transfers[t].segment;
        uint32_t at =
            segment < plan->segment_count ? plan->segments[segment].first_node : (uint32_t)graph->node_count;
        touch(&lives[plan->transfers[t].source], at);
        touch(&lives[plan->transfers[t].target], at);
    }
    for (size_t v = 1; v < graph->value_count; v++)
        if (graph->values[v].output && lives[v].first != UINT32_MAX)
            lives[v].last = UINT32_MAX - 1;
}

static uint32_t alignment_on(const iso_plan *plan, uint32_t device)
{
    uint32_t wanted = iso_device_get_info(plan->devices[device])->buffer_alignment_bytes;
    return wanted > ARENA_ALIGNMENT_BYTES ? wanted : ARENA_ALIGNMENT_BYTES;
}

static int compare_residents(const void *left, const void *right)
{
    const resident *a = left, *b = right;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->life.first != b->life.first)
        return a->life.first < b->life.first ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static size_t find_residents(const iso_plan *plan, const iso_sized_plan *sized, const lifetime *lives,
                             resident *out)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    size_t count = 0;
    for (iso_value v = 1; v < plan->graph->value_count; v++) {
        const iso_value_info *value = &plan->graph->values[v];
        if (value->kind != ISO_VALUE_ACTIVATION || value->base != v || lives[v].first == UINT32_MAX)
            continue;
        out[count] = (resident){.out_offset = &sized->offsets[v],
                                .order = (uint32_t)count,
                                .device = value->device,
                                .life = lives[v],
                                .bytes = iso_graph_storage_bytes(plan->graph, v, &sized->dims)};
        count++;
    }
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        iso_plan_bind_shapes(plan, &plan->graph->nodes[n], &sized->dims, params);
        uint64_t bytes = iso_kernel_scratch_bytes(sized->kernels[n], params);
        if (bytes > 0) {
            out[count] = (resident){.out_offset = &sized->scratch_offsets[n],
                                    .order = (uint32_t)count,
                                    .device = plan->graph->nodes[n].device,
                                    .life = {n, n},
                                    .bytes = bytes};
            count++;
        }
    }
    qsort(out, count, sizeof *out, compare_residents);
    return count;
}

// Keeps those that are still alive at `node`, in their order. Returns how many.
static size_t drop_dead(resident **alive, size_t count, uint32_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (alive[i]->life.last >= node)
            alive[kept++] = alive[i];
    return kept;
}

// Puts `r` into the lowest gap between the `count` that are alive, which are sorted by where they begin.
static void place(resident *r, resident **alive, size_t count, uint32_t alignment)
{
    size_t at = 0;
    for (; at < count && alive[at]->begin < r->begin + r->bytes; at++)
        r->begin = (alive[at]->end + alignment - 1) / alignment * alignment;
    r->end = r->begin + r->bytes;
    for (size_t i = count; i > at; i--)
        alive[i] = alive[i - 1];
    alive[at] = r;
}

iso_status iso_plan_lay_out(const iso_plan *plan, iso_sized_plan *sized)
{
    lifetime *lives = NULL;
    resident *residents = NULL, **alive = NULL;
    size_t count, alive_count = 0, value_count = plan->graph->value_count,
                  node_count = plan->graph->node_count;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, value_count, &lives), done);
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, value_count + node_count, &residents), done);
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, value_count + node_count, &alive), done);
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, value_count, &sized->offsets), done);
    ISO_TRY_GOTO(ISO_NEW(plan->allocator, node_count, &sized->scratch_offsets), done);
    find_lifetimes(plan, lives);
    count = find_residents(plan, sized, lives, residents);
    for (size_t i = 0; i < count; i++) {
        resident *r = &residents[i];
        uint64_t *arena = &sized->arena_bytes[r->device];
        bool new_device = i == 0 || r->device != residents[i - 1].device;
        alive_count = new_device ? 0 : drop_dead(alive, alive_count, r->life.first);
        place(r, alive, alive_count++, alignment_on(plan, r->device));
        *r->out_offset = r->begin;
        if (r->end > *arena)
            *arena = r->end;
    }
done:
    iso_free(plan->allocator, lives);
    iso_free(plan->allocator, residents);
    iso_free(plan->allocator, alive);
    return status;
}
