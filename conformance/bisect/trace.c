// SPDX-License-Identifier: MIT
//
// What was seen of a run, and what it says about any moment of it (observe.h).
#include <string.h>

#include "conformance/bisect/observe.h"

iso_status conform_trace_create(const conform_subject *subject, conform_trace *out)
{
    iso_status status = ISO_OK;
    *out = (conform_trace){.step_count = subject->step_count,
                           .node_count = iso_graph_node_count(subject->graph),
                           .value_count = iso_graph_value_count(subject->graph)};
    size_t nodes = (size_t)out->step_count * out->node_count;
    ISO_TRY_GOTO(ISO_NEW(NULL, nodes * CONFORM_MAX_OUTPUTS, &out->content), fail);
    ISO_TRY_GOTO(ISO_NEW(NULL, nodes, &out->verdicts), fail);
    return ISO_OK;
fail:
    conform_trace_destroy(out);
    return status;
}

void conform_trace_destroy(conform_trace *trace)
{
    size_t count = (size_t)trace->step_count * trace->node_count * CONFORM_MAX_OUTPUTS;
    for (size_t i = 0; trace->content && i < count; i++)
        iso_free(NULL, trace->content[i]);
    iso_free(NULL, trace->content);
    iso_free(NULL, trace->verdicts);
    *trace = (conform_trace){0};
}

const conform_verdict *conform_trace_verdict(const conform_trace *trace, uint32_t step, uint32_t node)
{
    return &trace->verdicts[(size_t)step * trace->node_count + node];
}

// The content after the last of nodes [0, node) of the step that wrote `root`, or NULL.
static const void *content_within(const conform_trace *trace, const iso_graph *graph, uint32_t step,
                                  uint32_t node, iso_value root)
{
    while (node-- > 0) {
        const iso_node *n = iso_graph_node(graph, node);
        uint32_t inputs = conform_node_op(graph, node)->input_count;
        for (uint32_t i = inputs; i < n->operand_count; i++)
            if (iso_graph_value_info(graph, n->operands[i])->base == root)
                return trace
                    ->content[((size_t)step * trace->node_count + node) * CONFORM_MAX_OUTPUTS + i - inputs];
    }
    return NULL;
}

const void *conform_trace_content(const conform_trace *trace, const iso_graph *graph, uint32_t step,
                                  uint32_t node, iso_value root)
{
    const void *content = content_within(trace, graph, step, node, root);
    bool lasts = iso_graph_value_info(graph, root)->kind == ISO_VALUE_CACHE;
    while (!content && lasts && step-- > 0)
        content = content_within(trace, graph, step, trace->node_count, root);
    return content;
}

// ---- calls as they were ----

// A moment of a run: before node `node` of step `step`.
typedef struct moment {
    const conform_trace *trace;
    const conform_subject *subject;
    uint32_t step, node;
} moment;

static iso_status host_of(const moment *at, iso_value root, void **inputs, void **out)
{
    const conform_subject *subject = at->subject;
    const iso_value_info *info = iso_graph_value_info(subject->graph, root);
    iso_dim_values dims = conform_subject_dims(subject, subject->steps[at->step].size);
    uint64_t bytes = iso_graph_storage_bytes(subject->graph, root, &dims);
    *out = NULL;
    if (info->kind == ISO_VALUE_WEIGHT) {
        *out = subject->weights[root];
        return ISO_OK;
    }
    if (info->kind != ISO_VALUE_INPUT)
        *out = (void *)(uintptr_t)conform_trace_content(at->trace, subject->graph, at->step, at->node, root);
    if (*out)
        return ISO_OK;
    if (!inputs[root])
        ISO_TRY(iso_alloc(NULL, bytes, &inputs[root]));
    *out = inputs[root];
    if (info->kind == ISO_VALUE_INPUT)
        return conform_subject_fill(subject, at->step, root, inputs[root]);
    conform_poison(info->kind, inputs[root], bytes); // nobody wrote it yet
    return ISO_OK;
}

iso_status conform_trace_params(const conform_trace *trace, const conform_subject *subject, uint32_t step,
                                uint32_t node, void **inputs, void *params)
{
    const iso_node *n = iso_graph_node(subject->graph, node);
    iso_dim_values dims = conform_subject_dims(subject, subject->steps[step].size);
    const moment at = {trace, subject, step, node};
    iso_tensor *tensors = params;
    memcpy(params, n->params, sizeof n->params);
    for (uint32_t i = 0; i < n->operand_count; i++) {
        iso_value value = n->operands[i];
        tensors[i] = iso_graph_tensor(subject->graph, value, &dims);
        if (value != ISO_NO_VALUE)
            ISO_TRY(
                host_of(&at, iso_graph_value_info(subject->graph, value)->base, inputs, &tensors[i].host));
    }
    return ISO_OK;
}

void conform_free_inputs(const conform_subject *subject, void **inputs)
{
    for (uint32_t v = 0; inputs && v < iso_graph_value_count(subject->graph); v++)
        iso_free(NULL, inputs[v]);
    iso_free(NULL, inputs);
}
