// SPDX-License-Identifier: MIT
//
// The graph as text (one line an op) and as DOT.
#include <stdio.h>

#include "runtime/base/strings.h"
#include "runtime/graph/graph_internal.h"

void iso_graph_print_shape(const iso_value_info *value, char *out, size_t out_bytes)
{
    static const char *const symbols[ISO_DIM_SYMBOL_COUNT] = {"T", "R", "pages", "sequences",
                                                              "sequence_pages"};
    size_t at = (size_t)snprintf(out, out_bytes, "[");
    for (uint32_t i = 0; i < value->rank && at < out_bytes; i++) {
        const char *comma = i ? ", " : "";
        if (value->dims[i] < 0)
            at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", comma, symbols[-value->dims[i] - 1]);
        else
            at += (size_t)snprintf(out + at, out_bytes - at, "%s%d", comma, value->dims[i]);
    }
    if (at < out_bytes)
        snprintf(out + at, out_bytes - at, "] %s", iso_dtype_name(value->dtype));
}

static iso_status print_node(const iso_graph *graph, const iso_node *node, iso_text *text)
{
    const iso_op_info *op = graph->ops->ops[node->op];
    char shape[96];
    for (uint32_t i = op->input_count; i < node->operand_count; i++) {
        const iso_value_info *out = &graph->values[node->operands[i]];
        iso_graph_print_shape(out, shape, sizeof shape);
        ISO_TRY(iso_text_append(text, "%s%s %s", i > op->input_count ? ", " : "", out->name, shape));
    }
    ISO_TRY(iso_text_append(text, " = %s(", op->name));
    for (uint32_t i = 0; i < op->input_count; i++)
        ISO_TRY(iso_text_append(text, "%s%s", i ? ", " : "", graph->values[node->operands[i]].name));
    return iso_text_append(text, ")\n");
}

static iso_status print_values(const iso_graph *graph, iso_value_kind kind, const char *title, iso_text *text)
{
    char shape[96];
    for (size_t v = 1; v < graph->value_count; v++) {
        const iso_value_info *value = &graph->values[v];
        if (value->kind != kind || value->base != v)
            continue;
        iso_graph_print_shape(value, shape, sizeof shape);
        ISO_TRY(iso_text_append(text, "%s %s %s\n", title, value->name, shape));
    }
    return ISO_OK;
}

iso_status iso_graph_dump_text(const iso_graph *graph, const iso_allocator *allocator, char **out_text)
{
    iso_text text = {.allocator = allocator};
    *out_text = NULL;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(iso_text_append(&text, "graph of %zu ops\n", graph->node_count), fail);
    ISO_TRY_GOTO(print_values(graph, ISO_VALUE_INPUT, "input", &text), fail);
    ISO_TRY_GOTO(print_values(graph, ISO_VALUE_WEIGHT, "weight", &text), fail);
    ISO_TRY_GOTO(print_values(graph, ISO_VALUE_CACHE, "cache", &text), fail);
    for (size_t n = 0; n < graph->node_count; n++)
        ISO_TRY_GOTO(print_node(graph, &graph->nodes[n], &text), fail);
    *out_text = text.data;
    return ISO_OK;
fail:
    iso_text_deinit(&text);
    return status;
}

// One box an op; an edge from the op that last wrote a value's storage to each op that reads it.
static iso_status print_edges(const iso_graph *graph, const uint32_t *writer, const iso_node *node,
                              uint32_t number, iso_text *text)
{
    const iso_op_info *op = graph->ops->ops[node->op];
    for (uint32_t i = 0; i < op->input_count; i++) {
        const iso_value_info *value = &graph->values[node->operands[i]];
        if (node->operands[i] == ISO_NO_VALUE || writer[value->base] == UINT32_MAX)
            continue;
        ISO_TRY(iso_text_append(text, "  n%u -> n%u [label=\"%s\"];\n", writer[value->base], number,
                                value->name));
    }
    return ISO_OK;
}

iso_status iso_graph_dump_dot(const iso_graph *graph, const iso_allocator *allocator, char **out_text)
{
    iso_text text = {.allocator = allocator};
    *out_text = NULL;
    uint32_t *writer = NULL;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(allocator, graph->value_count, &writer), fail);
    for (size_t v = 0; v < graph->value_count; v++)
        writer[v] = UINT32_MAX;
    ISO_TRY_GOTO(iso_text_append(&text, "digraph isomer {\n  node [shape=box];\n"), fail);
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const iso_node *node = &graph->nodes[n];
        const iso_op_info *op = graph->ops->ops[node->op];
        ISO_TRY_GOTO(iso_text_append(&text, "  n%u [label=\"%s\\nlayer %d\"];\n", n, op->name, node->layer),
                     fail);
        ISO_TRY_GOTO(print_edges(graph, writer, node, n, &text), fail);
        for (uint32_t i = op->input_count; i < node->operand_count; i++)
            writer[graph->values[node->operands[i]].base] = n;
    }
    ISO_TRY_GOTO(iso_text_append(&text, "}\n"), fail);
    iso_free(allocator, writer);
    *out_text = text.data;
    return ISO_OK;
fail:
    iso_free(allocator, writer);
    iso_text_deinit(&text);
    return status;
}
