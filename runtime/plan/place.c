// SPDX-License-Identifier: MIT
//
// Pass 2: each op goes to the device of its layer (or, where that device has no kernel for it and a fallback
// was asked for, to the fallback). A weight, an input or a cache gets one copy on each device that reads it;
// an activation that crosses over gets a copy on the reading device and a transfer.
#include <stdio.h>
#include <string.h>

#include "runtime/plan/plan_internal.h"

typedef struct placement {
    const iso_plan_options *options;
    iso_plan *plan;
    size_t source_count;   // values that existed before this pass
    iso_value *copies;     // [device][source value]: the value to use there, 0 until one is needed
    uint32_t *home;        // [source value]: 1 + device of a root value, 0 until first touched
    uint32_t *written;     // [source value]: how often a root activation was written
    uint32_t *transferred; // [device][source value]: `written` at the latest transfer
} placement;

static uint32_t device_of_layer(const iso_plan_options *options, int32_t layer)
{
    if (!options->ranges)
        return 0;
    for (uint32_t i = 0; i < options->range_count; i++)
        if (layer <= options->ranges[i].last_layer)
            return options->ranges[i].device;
    return options->ranges[options->range_count - 1].device;
}

static iso_status check_ranges(const iso_plan_options *options)
{
    for (uint32_t i = 0; options->ranges && i < options->range_count; i++) {
        const iso_layer_range *range = &options->ranges[i];
        if (range->device >= options->device_count)
            return iso_fail(ISO_INVALID_ARGUMENT, "plan: range %u names device %u of %u", i, range->device,
                            options->device_count);
        int32_t expected = i ? options->ranges[i - 1].last_layer + 1 : 0;
        if (range->first_layer != expected || range->last_layer < range->first_layer)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "placement: range %u is layers %d to %d; it must begin at %d", i,
                            range->first_layer, range->last_layer, expected);
    }
    return ISO_OK;
}

// Whether any kernel of the node's op accepts it on the device, at the largest step size.
static bool has_kernel(const iso_plan *plan, const iso_node *node, uint32_t device)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    char reason[ISO_REASON_BYTES];
    iso_plan_bind_shapes(plan, node, &plan->sizes[plan->size_count - 1].dims, params);
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (iso_plan_kernel_fits(op->kernels[k], params, iso_device_get_info(plan->devices[device]), reason))
            return true;
    return false;
}

// A copy of `original` on `device`, named after it.
static iso_status add_copy(placement *p, iso_value original, uint32_t device, iso_value base, iso_value *out)
{
    iso_value_info info = p->plan->graph->values[original];
    char suffix[16];
    snprintf(suffix, sizeof suffix, "@%u", device);
    info.name[sizeof info.name - sizeof suffix] = 0;
    strcat(info.name, suffix);
    info.base = base;
    info.origin = original;
    info.device = device;
    info.output = info.output && info.kind != ISO_VALUE_ACTIVATION;
    return iso_graph_append_value(p->plan->graph, &info, out);
}

static iso_status copy_root(placement *p, iso_value root, uint32_t device, iso_value *out)
{
    iso_value *copy = &p->copies[device * p->source_count + root];
    if (*copy == ISO_NO_VALUE) {
        if (p->home[root] == 0) {
            p->home[root] = device + 1;
            p->plan->graph->values[root].device = device;
        }
        if (p->home[root] == device + 1)
            *copy = root;
        else
            ISO_TRY(add_copy(p, root, device, ISO_NO_VALUE, copy));
    }
    *out = *copy;
    return ISO_OK;
}

static iso_status transfer_if_stale(placement *p, iso_value root, iso_value copy, uint32_t device)
{
    uint32_t *version = &p->transferred[device * p->source_count + root];
    if (p->plan->graph->values[root].kind != ISO_VALUE_ACTIVATION || p->home[root] == device + 1 ||
        *version == p->written[root])
        return ISO_OK;
    iso_plan *plan = p->plan;
    ISO_TRY(iso_grow(plan->allocator, sizeof *plan->transfers, plan->transfer_count + 1,
                     (void **)&plan->transfers, &plan->transfer_capacity));
    plan->transfers[plan->transfer_count++] =
        (iso_transfer){.segment = (uint32_t)plan->segment_count - 1, .source = root, .target = copy};
    *version = p->written[root];
    return ISO_OK;
}

// The value that a node on `device` uses in place of `value`.
static iso_status place_operand(placement *p, iso_value *value, uint32_t device, bool is_output)
{
    if (*value == ISO_NO_VALUE)
        return ISO_OK;
    iso_graph *graph = p->plan->graph;
    iso_value original = *value, root = graph->values[original].base, copy;
    ISO_TRY(copy_root(p, root, device, &copy));
    if (is_output) {
        if (p->home[root] != device + 1)
            return iso_fail(ISO_INTERNAL, "placement: %s is written on two devices",
                            graph->values[root].name);
        p->written[root]++;
    } else {
        ISO_TRY(transfer_if_stale(p, root, copy, device));
    }
    if (original == root) {
        *value = copy;
        return ISO_OK;
    }
    iso_value *view = &p->copies[device * p->source_count + original];
    if (*view == ISO_NO_VALUE) {
        graph->values[original].device = copy == root ? device : graph->values[original].device;
        if (copy == root)
            *view = original;
        else
            ISO_TRY(add_copy(p, original, device, copy, view));
    }
    *value = *view;
    return ISO_OK;
}

static iso_status place_node(placement *p, uint32_t index)
{
    iso_plan *plan = p->plan;
    iso_node *node = &plan->graph->nodes[index];
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    node->device = device_of_layer(p->options, node->layer);
    if (p->options->fallback_device && !has_kernel(plan, node, node->device))
        node->device = p->options->fallback_device - 1;
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

iso_status iso_plan_place(const iso_plan_options *options, iso_plan *plan)
{
    const iso_allocator *allocator = plan->allocator;
    placement p = {.options = options, .plan = plan, .source_count = plan->graph->value_count};
    size_t per_device = p.source_count * plan->device_count;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(check_ranges(options), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, per_device, &p.copies), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, p.source_count, &p.home), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, p.source_count, &p.written), done);
    ISO_TRY_GOTO(ISO_NEW(allocator, per_device, &p.transferred), done);
    for (uint32_t n = 0; n < plan->graph->node_count; n++)
        ISO_TRY_GOTO(place_node(&p, n), done);
done:
    iso_free(allocator, p.copies);
    iso_free(allocator, p.home);
    iso_free(allocator, p.written);
    iso_free(allocator, p.transferred);
    return status;
}
