// SPDX-License-Identifier: MIT
//
// Finding guilty ops (bisect.h): the observed runs and what follows from them.
#include "conformance/bisect/bisect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/bisect/halve.h"

// ---- observed runs ----

// `fault` is left alone where there is none.
static iso_status observe(const conform_bisect_options *bisect, const conform_observer_options *options,
                          const char *what, conform_trace *trace, char fault[CONFORM_DETAIL_BYTES])
{
    conform_observer observer = {0};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(conform_trace_create(options->subject, trace), done);
    ISO_TRY_GOTO(conform_observer_create(options, &observer), done);
    for (uint32_t step = 0; step < options->subject->step_count; step++) {
        if (bisect->progress)
            bisect->progress(bisect->progress_context, what, step, options->subject->step_count);
        ISO_TRY_GOTO(conform_observe_step(&observer, step, trace), done);
    }
    if (observer.input_fault[0])
        memcpy(fault, observer.input_fault, sizeof observer.input_fault);
done:
    conform_observer_destroy(&observer);
    return status;
}

static iso_status observe_reference(const conform_bisect_options *options, conform_bisection *out)
{
    char fault[CONFORM_DETAIL_BYTES] = "";
    const iso_graph *graph = options->subject->graph;
    conform_observer_options reference = {.subject = options->subject,
                                          .device = options->reference,
                                          .numerics = options->reference_numerics,
                                          .flops_limit = options->flops_limit,
                                          .judge = true};
    ISO_TRY(observe(options, &reference, "the reference runs", &out->reference, fault));
    if (fault[0])
        return iso_fail(ISO_INVALID_ARGUMENT, "the reference %s is wrong itself: %s; name another reference",
                        iso_device_name(options->reference), fault);
    for (uint32_t step = 0; step < out->reference.step_count; step++)
        for (uint32_t node = 0; node < out->reference.node_count; node++) {
            const conform_verdict *verdict = conform_trace_verdict(&out->reference, step, node);
            if (!(verdict->score <= 1))
                return iso_fail(
                    ISO_INVALID_ARGUMENT,
                    "the reference %s is wrong itself: %s (%s) at step %u has error / bound %.3g; name "
                    "another reference",
                    iso_device_name(options->reference), conform_node_name(graph, node),
                    conform_node_op(graph, node)->name, step, verdict->score);
        }
    return ISO_OK;
}

static iso_status observe_device(const conform_bisect_options *options, bool repair, conform_trace *trace,
                                 conform_bisection *out)
{
    conform_observer_options device = {.subject = options->subject,
                                       .device = options->device,
                                       .ops = options->device_ops,
                                       .numerics = options->numerics,
                                       .flops_limit = options->flops_limit,
                                       .judge = true,
                                       .sound = &out->reference,
                                       .repair = repair};
    out->runs++;
    return observe(options, &device,
                   repair ? "the device runs, with the guilty ops' outputs replaced"
                          : "the device runs, observed",
                   trace, out->transport);
}

// ---- verdicts ----

const conform_guilty *conform_find_guilty(const conform_bisection *found, uint32_t node)
{
    for (uint32_t i = 0; i < found->guilty_count; i++)
        if (found->guilty[i].node == node)
            return &found->guilty[i];
    return NULL;
}

// Whether the op is right at all steps of that size before `step`, of which there is one.
static bool right_before(const conform_subject *s, const conform_trace *trace, uint32_t node, uint32_t step)
{
    bool any = false;
    for (uint32_t i = 0; i < step; i++) {
        if (s->steps[i].size != s->steps[step].size)
            continue;
        any = true;
        if (!(conform_trace_verdict(trace, i, node)->score <= 1))
            return false;
    }
    return any;
}

static bool right_at_other_sizes(const conform_subject *s, const conform_trace *trace, uint32_t node,
                                 uint32_t step)
{
    bool any = false;
    for (uint32_t i = 0; i < s->step_count; i++) {
        if (s->steps[i].size == s->steps[step].size)
            continue;
        any = true;
        if (!(conform_trace_verdict(trace, i, node)->score <= 1))
            return false;
    }
    return any;
}

void conform_add_guilty(const conform_bisect_options *options, const conform_trace *trace,
                        conform_guilty guilty, conform_bisection *out)
{
    const conform_subject *s = options->subject;
    if (conform_find_guilty(out, guilty.node))
        return;
    guilty.tokens = s->steps[guilty.step].tokens;
    guilty.late = guilty.late || right_before(s, trace, guilty.node, guilty.step);
    if (guilty.runs == 0)
        guilty.runs = out->runs;
    out->wild = out->wild || guilty.verdict.failed || conform_makes_indices(s->graph, guilty.node);
    guilty.one_size = right_at_other_sizes(s, trace, guilty.node, guilty.step);
    out->guilty[out->guilty_count++] = guilty;
}

// Adds the ops whose score passes 1, each with the first step where it does.
static void collect_guilty(const conform_bisect_options *options, const conform_trace *trace, bool beneath,
                           conform_bisection *out)
{
    for (uint32_t node = 0; node < trace->node_count; node++)
        for (uint32_t step = 0; step < trace->step_count; step++) {
            const conform_verdict *verdict = conform_trace_verdict(trace, step, node);
            out->unjudged += verdict->judged == 0 && verdict->score <= 1 && !beneath;
            out->sampled = out->sampled || (verdict->elems && verdict->judged < verdict->elems / 2);
            if (!(verdict->score <= 1))
                conform_add_guilty(
                    options, trace,
                    (conform_guilty){.node = node, .step = step, .beneath = beneath, .verdict = *verdict},
                    out);
        }
}

// ---- inheritance ----

// Whether the node's outputs are further from the reference's than the node's own bound.
static iso_status is_off(const conform_bisect_options *options, const conform_bisection *found, uint32_t step,
                         uint32_t node, bool *out_off)
{
    const conform_subject *s = options->subject;
    const iso_op_info *op = conform_node_op(s->graph, node);
    const iso_node *n = iso_graph_node(s->graph, node);
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    uint64_t bytes[CONFORM_MAX_OUTPUTS] = {0};
    const void *after[CONFORM_MAX_OUTPUTS] = {0};
    void **inputs = NULL;
    conform_verdict verdict;
    iso_dim_values dims = conform_subject_dims(s, s->steps[step].size);
    ISO_TRY(ISO_NEW(NULL, iso_graph_value_count(s->graph), &inputs));
    iso_status status = conform_trace_params(&found->reference, s, step, node, inputs, params);
    for (uint32_t o = 0; o < op->output_count; o++) {
        iso_value root = iso_graph_value_info(s->graph, n->operands[op->input_count + o])->base;
        bytes[o] = iso_graph_storage_bytes(s->graph, root, &dims);
        after[o] = conform_trace_content(&found->device, s->graph, step, node + 1, root);
    }
    const iso_op_table *ops = options->device_ops ? options->device_ops : iso_graph_ops(s->graph);
    const iso_numerics numerics = iso_kernel_numerics(
        conform_kernel_for(s->graph, ops, n, &dims, iso_device_get_info(options->device)), options->numerics);
    conform_call call = {.op = op,
                         .params = params,
                         .after = after,
                         .bytes = bytes,
                         .numerics = &numerics,
                         .flops_limit = options->flops_limit,
                         .salt = node + step};
    if (status == ISO_OK)
        status = conform_judge_call(&call, &verdict);
    *out_off = status == ISO_OK && !(verdict.score <= 1);
    conform_free_inputs(s, inputs);
    return status;
}

// Follows the guilty ops' outputs through the step where the first of them showed.
static iso_status find_heirs(const conform_bisect_options *options, conform_bisection *out)
{
    const conform_subject *s = options->subject;
    bool *tainted = NULL;
    uint32_t step = UINT32_MAX;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(NULL, iso_graph_value_count(s->graph), &tainted));
    for (uint32_t i = 0; i < out->guilty_count; i++)
        step = out->guilty[i].step < step ? out->guilty[i].step : step;
    for (uint32_t node = 0; node < out->op_count && step != UINT32_MAX; node++) {
        const iso_node *n = iso_graph_node(s->graph, node);
        uint32_t inputs = conform_node_op(s->graph, node)->input_count;
        bool guilty = conform_find_guilty(out, node), reads = false;
        for (uint32_t i = 0; i < inputs; i++)
            reads = reads || tainted[iso_graph_value_info(s->graph, n->operands[i])->base];
        if (reads && !guilty)
            ISO_TRY_GOTO(is_off(options, out, step, node, &out->inherits[node]), done);
        for (uint32_t i = inputs; i < n->operand_count && (guilty || out->inherits[node]); i++)
            tainted[iso_graph_value_info(s->graph, n->operands[i])->base] = true;
    }
done:
    iso_free(NULL, tainted);
    return status;
}

// ---- the whole ----

// Runs with the guilty ops repaired, until no new one comes to light.
static iso_status look_beneath(const conform_bisect_options *options, conform_bisection *out)
{
    for (uint32_t before = 0; before < out->guilty_count;) {
        conform_trace repaired = {0};
        before = out->guilty_count;
        iso_status status = observe_device(options, true, &repaired, out);
        if (status == ISO_OK)
            collect_guilty(options, &repaired, true, out);
        conform_trace_destroy(&repaired);
        ISO_TRY(status);
    }
    return ISO_OK;
}

static iso_status find_kernels(const conform_bisect_options *options, conform_bisection *out)
{
    const conform_subject *s = options->subject;
    for (uint32_t i = 0; i < out->guilty_count; i++) {
        conform_guilty *guilty = &out->guilty[i];
        const iso_node *node = iso_graph_node(s->graph, guilty->node);
        const iso_op_table *ops = options->device_ops ? options->device_ops : iso_graph_ops(s->graph);
        iso_dim_values dims = conform_subject_dims(s, s->steps[guilty->step].size);
        guilty->kernel = conform_kernel_for(s->graph, ops, node, &dims, iso_device_get_info(options->device));
    }
    return ISO_OK;
}

iso_status conform_bisect(const conform_bisect_options *options, conform_bisection *out)
{
    const conform_subject *s = options->subject;
    iso_status status = ISO_OK;
    *out = (conform_bisection){.op_count = iso_graph_node_count(s->graph)};
    ISO_TRY_GOTO(ISO_NEW(NULL, out->op_count, &out->inherits), fail);
    ISO_TRY_GOTO(ISO_NEW(NULL, out->op_count, &out->guilty), fail);
    ISO_TRY_GOTO(observe_reference(options, out), fail);
    ISO_TRY_GOTO(observe_device(options, false, &out->device, out), fail);
    collect_guilty(options, &out->device, false, out);
    if (out->guilty_count)
        ISO_TRY_GOTO(look_beneath(options, out), fail);
    if (!out->wild && !out->transport[0])
        ISO_TRY_GOTO(conform_find_hidden(options, out), fail);
    ISO_TRY_GOTO(find_kernels(options, out), fail);
    ISO_TRY_GOTO(find_heirs(options, out), fail);
    return ISO_OK;
fail:
    conform_bisection_destroy(out);
    return status;
}

void conform_bisection_destroy(conform_bisection *bisection)
{
    conform_trace_destroy(&bisection->reference);
    conform_trace_destroy(&bisection->device);
    iso_free(NULL, bisection->inherits);
    iso_free(NULL, bisection->guilty);
    *bisection = (conform_bisection){0};
}
