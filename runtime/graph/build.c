// SPDX-License-Identifier: MIT
//
// Building a graph: values, views, ops, and the check of every op against its contract. Knows no op by name.
#include <stdio.h>
#include <string.h>

#include "runtime/graph/graph_internal.h"

// Keeps the first failure; later calls then do nothing.
void iso_graph_set_failure(iso_graph *graph, iso_status status)
{
    if (graph->status != ISO_OK || status == ISO_OK)
        return;
    graph->status = status;
    snprintf(graph->failure, sizeof graph->failure, "%s", iso_status_last()->text);
}

iso_status iso_graph_create(const iso_allocator *allocator, const iso_op_table *ops, iso_graph **out_graph)
{
    ISO_TRY(ISO_NEW(allocator, 1, out_graph));
    iso_graph *graph = *out_graph;
    graph->allocator = allocator;
    graph->ops = ops;
    graph->layer = -1;
    iso_value absent;
    iso_status status = iso_graph_append_value(graph, &(iso_value_info){.name = "-"}, &absent);
    if (status != ISO_OK) {
        iso_graph_destroy(graph);
        *out_graph = NULL;
    }
    return status;
}

void iso_graph_destroy(iso_graph *graph)
{
    if (!graph)
        return;
    iso_free(graph->allocator, graph->values);
    iso_free(graph->allocator, graph->nodes);
    iso_free(graph->allocator, graph);
}

iso_status iso_graph_append_value(iso_graph *graph, const iso_value_info *info, iso_value *out_value)
{
    *out_value = ISO_NO_VALUE;
    ISO_TRY(iso_grow(graph->allocator, sizeof *graph->values, graph->value_count + 1, (void **)&graph->values,
                     &graph->value_capacity));
    iso_value value = (iso_value)graph->value_count++;
    graph->values[value] = *info;
    if (info->base == ISO_NO_VALUE)
        graph->values[value].base = value;
    *out_value = value;
    return ISO_OK;
}

iso_status iso_graph_append_node(iso_graph *graph, const iso_node *node)
{
    ISO_TRY(iso_grow(graph->allocator, sizeof *graph->nodes, graph->node_count + 1, (void **)&graph->nodes,
                     &graph->node_capacity));
    graph->nodes[graph->node_count++] = *node;
    return ISO_OK;
}

iso_status iso_graph_clone_values(const iso_graph *source, const iso_allocator *allocator,
                                  iso_graph **out_graph)
{
    iso_graph *graph = NULL;
    *out_graph = NULL;
    ISO_TRY(iso_graph_create(allocator, source->ops, &graph));
    iso_status status = ISO_OK;
    for (size_t v = 1; v < source->value_count; v++) {
        iso_value same;
        ISO_TRY_GOTO(iso_graph_append_value(graph, &source->values[v], &same), fail);
    }
    *out_graph = graph;
    return ISO_OK;
fail:
    iso_graph_destroy(graph);
    return status;
}

void iso_graph_scope(iso_graph *graph, int32_t layer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(graph->scope, sizeof graph->scope, format, list);
    va_end(list);
    graph->layer = layer;
}

static void set_name(const iso_graph *graph, iso_value_info *info, const char *name)
{
    snprintf(info->name, sizeof info->name, "%.48s%s%.20s", graph->scope, graph->scope[0] ? "." : "", name);
}

iso_value iso_graph_add_value(iso_graph *graph, iso_value_kind kind, const char *name, iso_dtype dtype,
                              const iso_dim *dims, uint32_t rank)
{
    if (graph->status != ISO_OK)
        return ISO_NO_VALUE;
    iso_value_info info = {.kind = kind, .dtype = dtype, .rank = rank, .layer = graph->layer};
    set_name(graph, &info, name);
    for (uint32_t i = 0; i < rank; i++)
        info.dims[i] = dims[i];
    // The innermost dimension may be symbolic only where rows are never strided: inputs such as ids [T].
    info.row_stride = info.dims[rank - 1] > 0 ? (uint32_t)info.dims[rank - 1] : 0;
    iso_value value = ISO_NO_VALUE;
    iso_graph_set_failure(graph, iso_graph_append_value(graph, &info, &value));
    return value;
}

void iso_graph_set_tag(iso_graph *graph, iso_value weight, uint32_t tag)
{
    if (graph->status == ISO_OK)
        graph->values[weight].tag = tag;
}

iso_value iso_graph_add_view(iso_graph *graph, const char *name, iso_value base, const iso_view_desc *desc)
{
    if (graph->status != ISO_OK)
        return ISO_NO_VALUE;
    const iso_value_info *of = &graph->values[base];
    iso_value_info info = *of;
    set_name(graph, &info, name);
    info.rank = desc->rank;
    for (uint32_t i = 0; i < ISO_MAX_DIMS; i++)
        info.dims[i] = i < desc->rank ? desc->dims[i] : 0;
    info.base = of->base;
    info.view_offset = of->view_offset + desc->offset;
    info.row_stride = desc->row_stride ? desc->row_stride : (uint32_t)desc->dims[desc->rank - 1];
    info.output = false;
    iso_value value = ISO_NO_VALUE;
    iso_graph_set_failure(graph, iso_graph_append_value(graph, &info, &value));
    return value;
}

void iso_graph_add_op(iso_graph *graph, uint32_t op, const void *params, const iso_value *operands)
{
    if (graph->status != ISO_OK)
        return;
    const iso_op_info *info = graph->ops->ops[op];
    iso_node node = {
        .op = op, .operand_count = info->input_count + info->output_count, .layer = graph->layer};
    memcpy(node.params, params, info->params_bytes);
    for (uint32_t i = 0; i < node.operand_count; i++)
        node.operands[i] = operands[i];
    iso_graph_set_failure(graph, iso_graph_append_node(graph, &node));
}

void iso_graph_mark_output(iso_graph *graph, iso_value value)
{
    if (graph->status != ISO_OK || value == ISO_NO_VALUE)
        return;
    graph->values[value].output = true;
    graph->values[graph->values[value].base].output = true;
}

// Checks one node's contract with activations taken as F32.
static iso_status check_node(const iso_graph *graph, const iso_node *node)
{
    static const iso_dim_values two = {{2, 2, 2, 2, 2}};
    iso_node copy = *node;
    iso_tensor *tensors = (iso_tensor *)copy.params;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        tensors[i] = iso_graph_tensor(graph, node->operands[i], &two);
        if (tensors[i].dtype == ISO_DTYPE_ACTIVATION)
            tensors[i].dtype = ISO_DTYPE_F32;
    }
    iso_status status = graph->ops->ops[node->op]->check(copy.params);
    if (status != ISO_OK)
        return iso_status_prefix("graph, op that writes %s: ",
                                 graph->values[node->operands[graph->ops->ops[node->op]->input_count]].name);
    return ISO_OK;
}

iso_status iso_graph_finish(iso_graph *graph)
{
    for (size_t n = 0; n < graph->node_count && graph->status == ISO_OK; n++)
        iso_graph_set_failure(graph, check_node(graph, &graph->nodes[n]));
    if (graph->status != ISO_OK)
        return iso_fail(graph->status, "%s", graph->failure);
    return ISO_OK;
}

uint32_t iso_graph_value_count(const iso_graph *graph)
{
    return (uint32_t)graph->value_count;
}

const iso_value_info *iso_graph_value_info(const iso_graph *graph, iso_value value)
{
    return &graph->values[value];
}

uint32_t iso_graph_node_count(const iso_graph *graph)
{
    return (uint32_t)graph->node_count;
}

const iso_node *iso_graph_node(const iso_graph *graph, uint32_t index)
{
    return &graph->nodes[index];
}

const iso_op_table *iso_graph_ops(const iso_graph *graph)
{
    return graph->ops;
}

iso_value iso_graph_find(const iso_graph *graph, const char *name)
{
    for (size_t v = 1; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, name) == 0)
            return (iso_value)v;
    return ISO_NO_VALUE;
}
