// SPDX-License-Identifier: MIT
//
// Pass 2: each op goes to the device of its layer (or, where that device has no kernel for it and a fallback
// was asked for, to the fallback). A weight or an input gets one copy on each device that reads it. A cache
// lives on one device, so all ops that use it run there. An activation that crosses over gets a copy on the
// other device and a transfer wherever that device's copy is not the latest.
#include <stdio.h>

#include "runtime/plan/plan_internal.h"

typedef struct placement {
    const iso_plan_options *options;
    iso_plan *plan;
    size_t source_count; // values that existed before this pass
    iso_value *copies;   // [device][source value]: the value to use there, 0 until one is needed
    uint32_t *home;      // [source value]: 1 + the device where a root value itself lives, 0 until first used
    uint32_t
        *holders; // [source value]: bit d: device d has a root activation's latest content; 0: not written
} placement;

static iso_status check_ranges(const iso_plan_options *options)
{
    for (uint32_t i = 0; options->ranges && i < options->range_count; i++) {
        const iso_layer_range *range = &options->ranges[i];
        if (range->device >= options->device_count)
            return iso_fail(ISO_INVALID_ARGUMENT, "placement: range %u names device %u of %u", i,
                            range->device, options->device_count);
        int32_t expected = i ? options->ranges[i - 1].last_layer + 1 : 0;
        if (range->first_layer != expected || range->last_layer < range->first_layer)
            return iso_fail(
                ISO_INVALID_ARGUMENT,
                "placement: range %u is layers %d to %d; it must begin at %d and may not end before", i,
                range->first_layer, range->last_layer, expected);
    }
    return ISO_OK;
}

// ---- ops ----

static uint32_t device_of_layer(const iso_plan_options *options, int32_t layer)
{
    if (!options->ranges)
        return 0;
    for (uint32_t i = 0; i < options->range_count; i++)
        if (layer <= options->ranges[i].last_layer)
            return options->ranges[i].device;
    return options->ranges[options->range_count - 1].device;
}

// Whether the device has a kernel for the node at every step size.
static bool has_kernels(const iso_plan *plan, const iso_node *node, uint32_t device)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    char reason[ISO_REASON_BYTES];
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    for (uint32_t i = 0; i < plan->size_count; i++) {
        bool any = false;
        iso_plan_bind_shapes(plan, node, &plan->sizes[i].dims, params);
        for (uint32_t k = 0; k < op->kernel_count && !any; k++)
            any = iso_plan_kernel_fits(op->kernels[k], params, iso_device_get_info(plan->devices[device]),
                                       reason);
        if (!any)
            return false;
    }
    return true;
}

// Moves the node to where its caches live; *out_moved: a cache moved, so nodes before may have to follow.
static iso_status follow_caches(placement *p, iso_node *node, bool *out_moved)
{
    iso_graph *graph = p->plan->graph;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        iso_value root = graph->values[node->operands[i]].base;
        if (graph->values[root].kind != ISO_VALUE_CACHE)
            continue;
        if (p->home[root] == 0)
            p->home[root] = node->device + 1;
        if (p->home[root] == node->device + 1)
            continue;
        if (!p->options->fallback_device)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "placement: %s is used on %s and on %s; a cache lives on one device",
                            graph->values[root].name, iso_device_name(p->plan->devices[p->home[root] - 1]),
                            iso_device_name(p->plan->devices[node->device]));
        p->home[root] = p->options->fallback_device;
        node->device = p->options->fallback_device - 1;
        *out_moved = true;
    }
    return ISO_OK;
}

static iso_status assign_devices(placement *p)
{
    iso_plan *plan = p->plan;
    for (size_t n = 0; n < plan->graph->node_count; n++) {
        iso_node *node = &plan->graph->nodes[n];
        node->device = device_of_layer(p->options, node->layer);
        if (p->options->fallback_device && !has_kernels(plan, node, node->device))
            node->device = p->options->fallback_device - 1;
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t n = 0; n < plan->graph->node_count; n++)
            ISO_TRY(follow_caches(p, &plan->graph->nodes[n], &moved));
    }
    return ISO_OK;
}

// ---- values ----

// A copy of `original` on `device`, named after it.
static iso_status add_copy(placement *p, iso_value original, uint32_t device, iso_value base, iso_value *out)
{
    iso_value_info info = p->plan->graph->values[original];
    char suffix[8];
    snprintf(suffix, sizeof suffix, "@%u", device);
    iso_graph_suffix_name(&info, suffix);
    info.base = base;
    info.origin = original;
    info.device = device;
    info.output = false; // the host reads the original
    return iso_graph_append_value(p->plan->graph, &info, out);
}

// The value that stands for `root` on the device; the first device that uses it has the value itself.
static iso_status copy_root(placement *p, iso_value root, uint32_t device, iso_value *out)
{
    iso_value *copy = &p->copies[device * p->source_count + root];
    if (p->home[root] == 0)
        p->home[root] = device + 1;
    if (p->home[root] == device + 1) {
        p->plan->graph->values[root].device = device;
        *copy = root;
    } else if (*copy == ISO_NO_VALUE) {
        ISO_TRY(add_copy(p, root, device, ISO_NO_VALUE, copy));
    }
    *out = *copy;
    return ISO_OK;
}

// The same for a view; `base` stands for its root there.
static iso_status copy_view(placement *p, iso_value view, uint32_t device, iso_value base, iso_value *out)
{
    iso_value *copy = &p->copies[device * p->source_count + view];
    iso_value_info *info = &p->plan->graph->values[view];
    if (info->base == base) {
        info->device = device;
        *copy = view;
    } else if (*copy == ISO_NO_VALUE) {
        ISO_TRY(add_copy(p, view, device, base, copy));
    }
    *out = *copy;
    return ISO_OK;
}

// Brings the latest content of an activation to the device, before `segment`.
static iso_status transfer_if_stale(placement *p, iso_value root, uint32_t device, size_t segment)
{
    iso_plan *plan = p->plan;
    if (p->holders[root] == 0 || p->holders[root] >> device & 1)
        return ISO_OK;
    uint32_t from = (uint32_t)__builtin_ctz(p->holders[root]);
    ISO_TRY(iso_grow(plan->allocator, sizeof *plan->transfers, plan->transfer_count + 1,
                     (void **)&plan->transfers, &plan->transfer_capacity));
    plan->transfers[plan->transfer_count++] = (iso_transfer){
        .segment = (uint32_t)segment,
        .source = p->copies[from * p->source_count + root],
        .target = p->copies[device * p->source_count + root],
    };
    p->holders[root] |= 1u << device;
    return ISO_OK;
}

// Replaces an operand by the value that stands for it on the node's device.
static iso_status place_operand(placement *p, iso_value *value, uint32_t device, bool is_output)
{
    iso_value original = *value, root = p->plan->graph->values[original].base, copy;
    if (original == ISO_NO_VALUE)
        return ISO_OK;
    ISO_TRY(copy_root(p, root, device, &copy));
    // An output that is a view leaves the rest of its root as it is.
    if (!is_output || original != root)
        ISO_TRY(transfer_if_stale(p, root, device, p->plan->segment_count - 1));
    if (is_output && p->plan->graph->values[root].kind == ISO_VALUE_ACTIVATION)
        p->holders[root] = 1u << device;
    if (original == root)
        *value = copy;
    else
        ISO_TRY(copy_view(p, original, device, copy, value));
    return ISO_OK;
}

static iso_status place_node(placement *p, uint32_t index)
{
    iso_plan *plan = p->plan;
    iso_node *node = &plan->graph->nodes[index];
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    if (plan->segment_count == 0 || plan->segments[plan->segment_count - 1].device != node->device) {
        ISO_TRY(iso_grow(plan->allocator, sizeof *plan->segments, plan->segment_count + 1,
                         (void **)&plan->segments, &plan->segment_capacity));
        plan->segments[plan->segment_count++] = (iso_segment){.device = node->device, .first_node = index};
    }
    plan->segments[plan->segment_count - 1].node_count++;
    for (uint32_t i = 0; i < node->operand_count; i++)
        ISO_TRY(place_operand(p, &node->operands[i], node->device, i >= op->input_count));
    return ISO_OK;
}

// The host reads an output at its home, wherever it was written last.
static iso_status bring_outputs_home(placement *p)
{
    for (iso_value v = 1; v < p->source_count; v++) {
        const iso_value_info *value = &p->plan->graph->values[v];
        if (value->output && value->base == v && p->home[v] != 0)
            ISO_TRY(transfer_if_stale(p, v, p->home[v] - 1, p->plan->segment_count));
    }
    return ISO_OK;
}

iso_status iso_plan_place(const iso_plan_options *options, iso_plan *plan)
{
    const iso_allocator *allocator = plan->allocator;
    placement p = {.options = options, .plan = plan, .source_count = plan->graph->value_count};
    size_t per_device = p.source_count * plan->device_count;
    iso_status status = ISO_OK;
    plan->first_copy = p.source_count;
    ISO_TRY_GOTO(check_ranges(options), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, per_device, &p.copies), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, p.source_count, &p.home), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, p.source_count, &p.holders), done);
    ISO_TRY_GOTO(assign_devices(&p), done);
    for (uint32_t n = 0; n < plan->graph->node_count; n++)
        ISO_TRY_GOTO(place_node(&p, n), done);
    ISO_TRY_GOTO(bring_outputs_home(&p), done);
done:
    iso_free(allocator, p.copies);
    iso_free(allocator, p.home);
    iso_free(allocator, p.holders);
    return status;
}
