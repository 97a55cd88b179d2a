// SPDX-License-Identifier: MIT
//
// Building a graph: values, views, ops, and the check of every op against its contract. Knows no op by name.
#include <stdio.h>
#include <string.h>

#include "runtime/base/strings.h"
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

// What passes append ("@7", ".qs") has room behind every name.
#define NAME_CHARS (ISO_VALUE_NAME_BYTES - 1 - 8)

void iso_graph_scope(iso_graph *graph, int32_t layer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = vsnprintf(graph->scope, sizeof graph->scope, format, list);
    va_end(list);
    graph->layer = layer;
    if (length < 0 || (size_t)length >= sizeof graph->scope)
        iso_graph_set_failure(graph, iso_fail(ISO_INVALID_ARGUMENT,
                                              "graph: scope \"%s…\" has %d characters; allowed: up to %d",
                                              graph->scope, length, NAME_CHARS));
}

void iso_graph_suffix_name(iso_value_info *info, const char *suffix)
{
    size_t length = strlen(info->name);
    iso_copy_text(info->name + length, sizeof info->name - length, suffix);
}

static iso_status set_name(const iso_graph *graph, iso_value_info *info, const char *name)
{
    int length =
        snprintf(info->name, sizeof info->name, "%s%s%s", graph->scope, graph->scope[0] ? "." : "", name);
    if (length < 1 || length > NAME_CHARS)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: the name \"%s.%s\" has %d characters; allowed: 1 to %d",
                        graph->scope, name, length, NAME_CHARS);
    return ISO_OK;
}

static iso_status set_dims(iso_value_info *info, const iso_dim *dims, uint32_t rank)
{
    if (rank == 0 || rank > ISO_MAX_DIMS)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: %s has %u dimensions; allowed: 1 to %d", info->name,
                        rank, ISO_MAX_DIMS);
    info->rank = rank;
    for (uint32_t i = 0; i < ISO_MAX_DIMS; i++) {
        info->dims[i] = i < rank ? dims[i] : 0;
        if (i < rank && (dims[i] == 0 || dims[i] < -ISO_DIM_SYMBOL_COUNT))
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "graph: dimension %u of %s is %d; allowed: above 0, or a symbol", i, info->name,
                            dims[i]);
    }
    // 0: as wide as the row will be; only where the innermost dimension is a symbol, as in ids [T].
    info->row_stride = dims[rank - 1] > 0 ? (uint32_t)dims[rank - 1] : 0;
    return ISO_OK;
}

// The status of one building call becomes the graph's.
static iso_value keep(iso_graph *graph, iso_status status, const iso_value_info *info)
{
    iso_value value = ISO_NO_VALUE;
    if (status == ISO_OK)
        status = iso_graph_append_value(graph, info, &value);
    iso_graph_set_failure(graph, status);
    return value;
}

iso_value iso_graph_add_value(iso_graph *graph, iso_value_kind kind, const char *name, iso_dtype dtype,
                              const iso_dim *dims, uint32_t rank)
{
    if (graph->status != ISO_OK)
        return ISO_NO_VALUE;
    iso_value_info info = {.kind = kind, .dtype = dtype, .layer = graph->layer};
    iso_status status = set_name(graph, &info, name);
    if (status == ISO_OK && (dtype == ISO_DTYPE_NONE || (unsigned)dtype >= ISO_DTYPE_COUNT))
        status = iso_fail(ISO_INVALID_ARGUMENT, "graph: %s has no element type", info.name);
    if (status == ISO_OK)
        status = set_dims(&info, dims, rank);
    return keep(graph, status, &info);
}

void iso_graph_set_tag(iso_graph *graph, iso_value weight, uint32_t tag)
{
    if (graph->status == ISO_OK)
        graph->values[weight].tag = tag;
}

static iso_status make_view(const iso_graph *graph, const char *name, iso_value base,
                            const iso_view_desc *desc, iso_value_info *out)
{
    if (base == ISO_NO_VALUE || base >= graph->value_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: view %s is of value %u, which does not exist", name,
                        base);
    *out = graph->values[base];
    out->output = false;
    ISO_TRY(set_name(graph, out, name));
    ISO_TRY(set_dims(out, desc->dims, desc->rank));
    if (desc->row_stride != 0 && desc->row_stride < out->row_stride)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: rows of view %s are %u elements wide and only %u apart",
                        out->name, out->row_stride, desc->row_stride);
    if (desc->row_stride != 0)
        out->row_stride = desc->row_stride;
    if (__builtin_add_overflow(out->view_offset, desc->offset, &out->view_offset))
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: view %s begins %u elements into %s; that is too far",
                        out->name, desc->offset, graph->values[base].name);
    return ISO_OK;
}

iso_value iso_graph_add_view(iso_graph *graph, const char *name, iso_value base, const iso_view_desc *desc)
{
    if (graph->status != ISO_OK)
        return ISO_NO_VALUE;
    iso_value_info info = {0};
    return keep(graph, make_view(graph, name, base, desc, &info), &info);
}

static iso_status make_node(const iso_graph *graph, uint32_t op, const void *params,
                            const iso_value *operands, iso_node *out)
{
    if (op >= graph->ops->count)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: op %u of %u", op, graph->ops->count);
    const iso_op_info *info = graph->ops->ops[op];
    *out =
        (iso_node){.op = op, .operand_count = info->input_count + info->output_count, .layer = graph->layer};
    memcpy(out->params, params, info->params_bytes);
    for (uint32_t i = 0; i < out->operand_count; i++) {
        if (operands[i] >= graph->value_count)
            return iso_fail(ISO_INVALID_ARGUMENT, "graph: operand %u of %s is value %u of %zu", i, info->name,
                            operands[i], graph->value_count);
        const iso_value_info *value = &graph->values[operands[i]];
        bool writable = value->kind == ISO_VALUE_ACTIVATION || value->kind == ISO_VALUE_CACHE;
        if (i >= info->input_count && (operands[i] == ISO_NO_VALUE || !writable))
            return iso_fail(ISO_INVALID_ARGUMENT, "graph: %s writes %s; allowed: activations and caches",
                            info->name, value->name);
        out->operands[i] = operands[i];
    }
    return ISO_OK;
}

void iso_graph_add_op(iso_graph *graph, uint32_t op, const void *params, const iso_value *operands)
{
    if (graph->status != ISO_OK)
        return;
    iso_node node;
    iso_status status = make_node(graph, op, params, operands, &node);
    if (status == ISO_OK)
        status = iso_graph_append_node(graph, &node);
    iso_graph_set_failure(graph, status);
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
    const iso_op_info *op = graph->ops->ops[node->op];
    iso_node copy = *node;
    iso_tensor *tensors = (iso_tensor *)copy.params;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        tensors[i] = iso_graph_tensor(graph, node->operands[i], &two);
        if (tensors[i].dtype == ISO_DTYPE_ACTIVATION)
            tensors[i].dtype = ISO_DTYPE_F32;
    }
    if (op->check(copy.params) != ISO_OK)
        return iso_status_prefix("graph, op that writes %s",
                                 graph->values[node->operands[op->input_count]].name);
    return ISO_OK;
}

// Memory of the arena is used again and again: what no op wrote holds anything.
static iso_status check_written_before_read(const iso_graph *graph, bool *written)
{
    for (size_t n = 0; n < graph->node_count; n++) {
        const iso_node *node = &graph->nodes[n];
        const iso_op_info *op = graph->ops->ops[node->op];
        for (uint32_t i = 0; i < node->operand_count; i++) {
            iso_value root = graph->values[node->operands[i]].base;
            if (i >= op->input_count)
                written[root] = true;
            else if (graph->values[root].kind == ISO_VALUE_ACTIVATION && root != ISO_NO_VALUE &&
                     !written[root])
                return iso_fail(ISO_INVALID_ARGUMENT,
                                "graph: %s, which writes %s, reads %s before any op wrote it", op->name,
                                graph->values[node->operands[op->input_count]].name,
                                graph->values[node->operands[i]].name);
        }
    }
    return ISO_OK;
}

static iso_status check_graph(const iso_graph *graph)
{
    // A view that stays within its base for one and for very many tokens does so for all numbers between.
    static const iso_dim_values few = {{1, 1, 1, 1, 1}}, many = {{16384, 16384, 16384, 16384, 16384}};
    if (iso_graph_check_sizes(graph, &few) != ISO_OK || iso_graph_check_sizes(graph, &many) != ISO_OK)
        return iso_status_prefix("graph");
    for (size_t n = 0; n < graph->node_count; n++)
        ISO_TRY(check_node(graph, &graph->nodes[n]));
    bool *written = NULL;
    ISO_TRY(ISO_NEW(graph->allocator, graph->value_count, &written));
    iso_status status = check_written_before_read(graph, written);
    iso_free(graph->allocator, written);
    return status;
}

iso_status iso_graph_finish(iso_graph *graph)
{
    if (graph->status == ISO_OK)
        iso_graph_set_failure(graph, check_graph(graph));
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
