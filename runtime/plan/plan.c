// SPDX-License-Identifier: MIT
//
// Calls the passes in their order, adds up memory, and prints what each pass decided.
#include "runtime/plan/plan_internal.h"

#include <inttypes.h>
#include <string.h>

static iso_status check_options(const iso_plan_options *options)
{
    if (options->device_count == 0 || options->device_count > ISO_MAX_PLAN_DEVICES)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: %u devices; allowed: 1 to %d", options->device_count,
                        ISO_MAX_PLAN_DEVICES);
    if (options->size_count == 0 || options->size_count > ISO_MAX_STEP_SIZES)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: %u step sizes; allowed: 1 to %d", options->size_count,
                        ISO_MAX_STEP_SIZES);
    for (uint32_t i = 0; i < options->size_count; i++) {
        iso_step_size size = options->sizes[i];
        if (size.rows == 0 || size.rows > size.tokens)
            return iso_fail(
                ISO_INVALID_ARGUMENT,
                "plan: step size %u has %u tokens and %u rows; allowed: 1 or more, and no more rows "
                "than tokens",
                i, size.tokens, size.rows);
        if (i && (size.tokens < options->sizes[i - 1].tokens ||
                  (size.tokens == options->sizes[i - 1].tokens && size.rows <= options->sizes[i - 1].rows)))
            return iso_fail(ISO_INVALID_ARGUMENT, "plan: step sizes must ascend; size %u does not", i);
    }
    if (options->ranges && options->range_count == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: 0 layer ranges; allowed: 1 or more, or none at all");
    if (options->fallback_device > options->device_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: fallback device %u of %u", options->fallback_device - 1,
                        options->device_count);
    return ISO_OK;
}

static void set_dims(const iso_plan_options *options, iso_plan *plan)
{
    plan->size_count = options->size_count;
    plan->largest = options->dims;
    plan->largest.value[-ISO_DIM_TOKENS - 1] = plan->largest.value[-ISO_DIM_ROWS - 1] = 0;
    for (uint32_t i = 0; i < plan->size_count; i++) {
        iso_dim_values *dims = &plan->sizes[i].dims;
        *dims = options->dims;
        dims->value[-ISO_DIM_TOKENS - 1] = options->sizes[i].tokens;
        dims->value[-ISO_DIM_ROWS - 1] = options->sizes[i].rows;
        for (uint32_t symbol = 0; symbol < ISO_DIM_SYMBOL_COUNT; symbol++)
            if (dims->value[symbol] > plan->largest.value[symbol])
                plan->largest.value[symbol] = dims->value[symbol];
    }
}

// What can only be known with the symbols' values.
static iso_status check_sizes(const iso_plan *plan)
{
    for (uint32_t i = 0; i <= plan->size_count; i++)
        if (iso_graph_check_sizes(plan->graph,
                                  i < plan->size_count ? &plan->sizes[i].dims : &plan->largest) != ISO_OK)
            return iso_status_prefix("plan");
    return ISO_OK;
}

iso_status iso_plan_create(const iso_graph *graph, const iso_plan_options *options, iso_plan **out_plan)
{
    *out_plan = NULL;
    ISO_TRY(check_options(options));
    iso_plan *plan = NULL;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(options->allocator, 1, &plan));
    plan->allocator = options->allocator;
    plan->device_count = options->device_count;
    memcpy(plan->devices, options->devices, options->device_count * sizeof *options->devices);
    set_dims(options, plan);
    ISO_TRY_GOTO(iso_plan_legalise(graph, options, &plan->graph), fail);
    ISO_TRY_GOTO(check_sizes(plan), fail);
    ISO_TRY_GOTO(iso_plan_place(options, plan), fail);
    for (uint32_t i = 0; i < plan->size_count; i++) {
        ISO_TRY_GOTO(iso_plan_select(plan, &plan->sizes[i]), fail);
        ISO_TRY_GOTO(iso_plan_lay_out(plan, &plan->sizes[i]), fail);
    }
    *out_plan = plan;
    return ISO_OK;
fail:
    iso_plan_destroy(plan);
    return status;
}

void iso_plan_destroy(iso_plan *plan)
{
    if (!plan)
        return;
    for (uint32_t i = 0; i < plan->size_count; i++) {
        iso_free(plan->allocator, plan->sizes[i].kernels);
        iso_free(plan->allocator, plan->sizes[i].offsets);
        iso_free(plan->allocator, plan->sizes[i].scratch_offsets);
    }
    iso_graph_destroy(plan->graph);
    iso_free(plan->allocator, plan->segments);
    iso_free(plan->allocator, plan->transfers);
    iso_free(plan->allocator, plan);
}

const iso_graph *iso_plan_graph(const iso_plan *plan)
{
    return plan->graph;
}

iso_step_size iso_plan_size(const iso_plan *plan, uint32_t size)
{
    const iso_dim_values *dims = &plan->sizes[size].dims;
    return (iso_step_size){dims->value[-ISO_DIM_TOKENS - 1], dims->value[-ISO_DIM_ROWS - 1]};
}

const iso_kernel *iso_plan_kernel(const iso_plan *plan, uint32_t size, uint32_t node)
{
    return plan->sizes[size].kernels[node];
}

void iso_plan_get_memory(const iso_plan *plan, uint32_t device, iso_plan_memory *out_memory)
{
    *out_memory = (iso_plan_memory){0};
    for (uint32_t i = 0; i < plan->size_count; i++)
        if (plan->sizes[i].arena_bytes[device] > out_memory->arena_bytes)
            out_memory->arena_bytes = plan->sizes[i].arena_bytes[device];
    for (iso_value v = 1; v < plan->graph->value_count; v++) {
        const iso_value_info *value = &plan->graph->values[v];
        if (value->device != device || value->base != v || value->kind == ISO_VALUE_ACTIVATION)
            continue;
        uint64_t bytes = iso_graph_storage_bytes(plan->graph, v, &plan->largest);
        uint64_t *sum = value->kind == ISO_VALUE_WEIGHT  ? &out_memory->weight_bytes
                        : value->kind == ISO_VALUE_CACHE ? &out_memory->cache_bytes
                                                         : &out_memory->input_bytes;
        *sum += bytes;
    }
}

// ---- dumps ----

static const char *device_name(const iso_plan *plan, iso_value v)
{
    return iso_device_name(plan->devices[plan->graph->values[v].device]);
}

static iso_status dump_transfers(const iso_plan *plan, size_t segment, iso_text *text)
{
    static const iso_dim_values one = {{1, 1, 1, 1, 1}};
    for (size_t t = 0; t < plan->transfer_count; t++) {
        const iso_transfer *transfer = &plan->transfers[t];
        if (transfer->segment == segment)
            ISO_TRY(iso_text_append(text, "transfer %s from %s to %s, %" PRIu64 " bytes a token\n",
                                    plan->graph->values[transfer->source].name,
                                    device_name(plan, transfer->source), device_name(plan, transfer->target),
                                    iso_graph_storage_bytes(plan->graph, transfer->source, &one)));
    }
    return ISO_OK;
}

static iso_status dump_place(const iso_plan *plan, iso_text *text)
{
    for (size_t s = 0; s < plan->segment_count; s++) {
        const iso_segment *segment = &plan->segments[s];
        const iso_node *nodes = plan->graph->nodes + segment->first_node;
        ISO_TRY(dump_transfers(plan, s, text));
        ISO_TRY(iso_text_append(text, "segment %zu on %s: layers %d to %d, %u ops\n", s,
                                iso_device_name(plan->devices[segment->device]), nodes[0].layer,
                                nodes[segment->node_count - 1].layer, segment->node_count));
    }
    return dump_transfers(plan, plan->segment_count, text);
}

static iso_status dump_select(const iso_plan *plan, iso_text *text)
{
    for (uint32_t i = 0; i < plan->size_count; i++) {
        const iso_sized_plan *sized = &plan->sizes[i];
        ISO_TRY(iso_text_append(text, "step of %u tokens, %u rows\n", sized->dims.value[0],
                                sized->dims.value[1]));
        for (uint32_t n = 0; n < plan->graph->node_count; n++) {
            const iso_node *node = &plan->graph->nodes[n];
            const iso_op_info *op = plan->graph->ops->ops[node->op];
            ISO_TRY(iso_text_append(text, "  %s on %s: %s  [",
                                    plan->graph->values[node->operands[op->input_count]].name,
                                    iso_device_name(plan->devices[node->device]), sized->kernels[n]->name));
            ISO_TRY(iso_plan_explain(plan, sized, n, text));
            ISO_TRY(iso_text_append(text, "]\n"));
        }
    }
    return ISO_OK;
}

static iso_status dump_layout(const iso_plan *plan, iso_text *text)
{
    for (uint32_t i = 0; i < plan->size_count; i++) {
        const iso_sized_plan *sized = &plan->sizes[i];
        ISO_TRY(iso_text_append(text, "step of %u tokens, %u rows\n", sized->dims.value[0],
                                sized->dims.value[1]));
        for (iso_value v = 1; v < plan->graph->value_count; v++) {
            const iso_value_info *value = &plan->graph->values[v];
            if (value->kind == ISO_VALUE_ACTIVATION && value->base == v)
                ISO_TRY(iso_text_append(text, "  %s: %s, offset %" PRIu64 ", %" PRIu64 " bytes\n",
                                        value->name, iso_device_name(plan->devices[value->device]),
                                        sized->offsets[v],
                                        iso_graph_storage_bytes(plan->graph, v, &sized->dims)));
        }
    }
    return ISO_OK;
}

static iso_status dump_pass(const iso_plan *plan, const char *pass, iso_text *text)
{
    ISO_TRY(iso_text_append(text, "%s", "")); // a plan without ops has a text too
    if (strcmp(pass, "place") == 0)
        return dump_place(plan, text);
    if (strcmp(pass, "select") == 0)
        return dump_select(plan, text);
    if (strcmp(pass, "layout") == 0)
        return dump_layout(plan, text);
    return iso_fail(ISO_INVALID_ARGUMENT, "plan: no pass \"%s\"; allowed: legalise, place, select, layout",
                    pass);
}

iso_status iso_plan_dump(const iso_plan *plan, const char *pass, const iso_allocator *allocator,
                         char **out_text)
{
    *out_text = NULL;
    if (strcmp(pass, "legalise") == 0)
        return iso_graph_dump_text(plan->graph, allocator, out_text);
    iso_text text = {.allocator = allocator};
    iso_status status = dump_pass(plan, pass, &text);
    if (status == ISO_OK)
        *out_text = text.data;
    else
        iso_text_deinit(&text);
    return status;
}
