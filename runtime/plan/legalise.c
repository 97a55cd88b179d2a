// SPDX-License-Identifier: MIT
//
// Pass 1: activations get their dtype, and FP8 linears get quantised inputs where W8A8 is asked for. A value
// that several linears read is quantised once, as long as nothing overwrites it in between. The new graph is
// checked like one that a model built.
#include "runtime/plan/plan_internal.h"

// What is known of one source value.
typedef struct quantised {
    iso_value value, scale; // ISO_NO_VALUE: not quantised yet, or overwritten since
    bool as_root;           // it, or a view of it, is quantised
} quantised;

static const iso_quantise_rule *find_rule(const iso_graph *graph, const iso_node *node)
{
    for (uint32_t i = 0; i < graph->ops->quantise_rule_count; i++) {
        const iso_quantise_rule *rule = &graph->ops->quantise_rules[i];
        if (rule->op == node->op && graph->values[node->operands[rule->weight]].dtype == ISO_DTYPE_F8_E4M3)
            return rule;
    }
    return NULL;
}

static iso_status add_quantise_node(iso_graph *graph, iso_value input, int32_t layer, quantised *out)
{
    iso_value_info info = graph->values[input];
    uint32_t last = info.rank - 1;
    info.kind = ISO_VALUE_ACTIVATION;
    info.base = ISO_NO_VALUE;
    info.view_offset = 0;
    info.output = false;
    info.layer = layer;
    info.dtype = ISO_DTYPE_F8_E4M3;
    info.row_stride = (uint32_t)info.dims[last];
    iso_graph_suffix_name(&info, ".q");
    ISO_TRY(iso_graph_append_value(graph, &info, &out->value));
    info.dtype = ISO_DTYPE_F32;
    info.dims[last] = (info.dims[last] + ISO_FP8_BLOCK - 1) / ISO_FP8_BLOCK;
    info.row_stride = (uint32_t)info.dims[last];
    iso_graph_suffix_name(&info, "s");
    ISO_TRY(iso_graph_append_value(graph, &info, &out->scale));
    iso_node node = {.op = graph->ops->quantise_op, .operand_count = 3, .layer = layer};
    node.operands[0] = input;
    node.operands[1] = out->value;
    node.operands[2] = out->scale;
    return iso_graph_append_node(graph, &node);
}

static void forget_overwritten(const iso_graph *graph, const iso_node *node, quantised *known,
                               size_t known_count)
{
    for (uint32_t i = graph->ops->ops[node->op]->input_count; i < node->operand_count; i++) {
        iso_value root = graph->values[node->operands[i]].base;
        if (!known[root].as_root)
            continue;
        for (size_t v = 1; v < known_count; v++)
            if (graph->values[v].base == root)
                known[v].value = ISO_NO_VALUE;
        known[root].as_root = false;
    }
}

static iso_status copy_nodes(const iso_graph *source, bool w8a8, quantised *known, iso_graph *graph)
{
    for (size_t n = 0; n < source->node_count; n++) {
        iso_node node = source->nodes[n];
        const iso_quantise_rule *rule = w8a8 ? find_rule(source, &node) : NULL;
        if (rule) {
            iso_value input = node.operands[rule->input];
            if (known[input].value == ISO_NO_VALUE)
                ISO_TRY(add_quantise_node(graph, input, node.layer, &known[input]));
            known[source->values[input].base].as_root = true;
            node.operands[rule->input] = known[input].value;
            node.operands[rule->input_scale] = known[input].scale;
        }
        ISO_TRY(iso_graph_append_node(graph, &node));
        if (w8a8)
            forget_overwritten(source, &node, known, source->value_count);
    }
    return ISO_OK;
}

iso_status iso_plan_legalise(const iso_graph *source, const iso_plan_options *options, iso_graph **out_graph)
{
    iso_graph *graph = NULL;
    quantised *known = NULL;
    iso_status status = ISO_OK;
    *out_graph = NULL;
    iso_dtype activation = options->activation == ISO_DTYPE_NONE ? ISO_DTYPE_F32 : options->activation;
    if (activation != ISO_DTYPE_F32 && activation != ISO_DTYPE_BF16)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: activation type is %s; allowed: f32, bf16",
                        iso_dtype_name(activation));
    if (source->status != ISO_OK)
        return iso_fail(source->status, "plan: the graph is not fit for use: %s", source->failure);
    ISO_TRY(iso_graph_clone_values(source, options->allocator, &graph));
    for (size_t v = 1; v < graph->value_count; v++)
        if (graph->values[v].dtype == ISO_DTYPE_ACTIVATION)
            graph->values[v].dtype = activation;
    ISO_TRY_GOTO(ISO_NEW(options->allocator, source->value_count, &known), fail);
    ISO_TRY_GOTO(copy_nodes(source, options->w8a8, known, graph), fail);
    ISO_TRY_GOTO(iso_graph_finish(graph), fail);
    iso_free(options->allocator, known);
    *out_graph = graph;
    return ISO_OK;
fail:
    iso_free(options->allocator, known);
    iso_graph_destroy(graph);
    return status;
}
