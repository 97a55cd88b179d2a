// SPDX-License-Identifier: MIT
//
// A model on a device, op by op (observe.h).
#include "conformance/bisect/observe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/case_indices.h"

// Weights up to this size are read back after each op that used them.
#define WATCHED_WEIGHT_BYTES (UINT64_C(1) << 22)

// ---- creation ----

static iso_value root_of(const conform_observer *o, iso_value value)
{
    return iso_graph_value_info(o->options.subject->graph, value)->base;
}

static iso_value_kind kind_of(const conform_observer *o, iso_value root)
{
    return iso_graph_value_info(o->options.subject->graph, root)->kind;
}

static uint64_t bytes_of(const conform_observer *o, uint32_t size, iso_value root)
{
    iso_dim_values dims = conform_subject_dims(o->options.subject, size);
    return iso_graph_storage_bytes(o->options.subject->graph, root, &dims);
}

static iso_status create_mirror(conform_observer *o)
{
    const conform_subject *s = o->options.subject;
    ISO_TRY(ISO_NEW(NULL, iso_graph_value_count(s->graph), &o->mirror));
    for (iso_value v = 1; v < iso_graph_value_count(s->graph); v++) {
        if (root_of(o, v) != v)
            continue;
        uint64_t bytes = bytes_of(o, s->size_count - 1, v);
        o->scratch_bytes = bytes > o->scratch_bytes ? bytes : o->scratch_bytes;
        if (kind_of(o, v) == ISO_VALUE_WEIGHT) {
            o->mirror[v] = s->weights[v];
            continue;
        }
        ISO_TRY(iso_alloc(NULL, bytes, &o->mirror[v]));
        conform_poison(kind_of(o, v), o->mirror[v], bytes);
    }
    ISO_TRY(ISO_NEW(NULL, CONFORM_MAX_OUTPUTS, &o->scratch));
    for (uint32_t i = 0; i < CONFORM_MAX_OUTPUTS; i++)
        ISO_TRY(iso_alloc(NULL, o->scratch_bytes, &o->scratch[i]));
    return iso_alloc(NULL, o->scratch_bytes, &o->spare);
}

// Caches begin as they were filled.
static iso_status check_caches(conform_observer *o)
{
    for (iso_value v = 1; v < iso_graph_value_count(o->options.subject->graph); v++) {
        if (root_of(o, v) != v || kind_of(o, v) != ISO_VALUE_CACHE)
            continue;
        ISO_TRY(conform_rig_read(&o->rig, 0, v, o->spare, bytes_of(o, 0, v)));
        if (memcmp(o->spare, o->mirror[v], bytes_of(o, 0, v)) != 0)
            snprintf(o->input_fault, sizeof o->input_fault,
                     "the device does not hold what %s was filled with",
                     iso_graph_value_info(o->options.subject->graph, v)->name);
    }
    return ISO_OK;
}

iso_status conform_observer_create(const conform_observer_options *options, conform_observer *out)
{
    const conform_subject *s = options->subject;
    iso_status status = ISO_OK;
    *out = (conform_observer){.options = *options};
    conform_part whole = {.end = iso_graph_node_count(s->graph), .keep_all = true, .ops = options->ops};
    conform_rig_options rig = {.device = options->device,
                               .weights = iso_model_graph_weights(s->model_graph),
                               .sizes = s->sizes,
                               .size_count = s->size_count,
                               .dims = s->dims,
                               .per_node = true};
    ISO_TRY_GOTO(create_mirror(out), fail);
    ISO_TRY_GOTO(conform_rig_create(s->graph, &whole, &rig, &out->rig), fail);
    ISO_TRY_GOTO(check_caches(out), fail);
    return ISO_OK;
fail:
    conform_observer_destroy(out);
    return status;
}

void conform_observer_destroy(conform_observer *o)
{
    conform_rig_destroy(&o->rig);
    if (!o->options.subject)
        return;
    for (iso_value v = 1; o->mirror && v < iso_graph_value_count(o->options.subject->graph); v++)
        if (kind_of(o, v) != ISO_VALUE_WEIGHT)
            iso_free(NULL, o->mirror[v]);
    for (uint32_t i = 0; o->scratch && i < CONFORM_MAX_OUTPUTS; i++)
        iso_free(NULL, o->scratch[i]);
    iso_free(NULL, o->mirror);
    iso_free(NULL, o->scratch);
    iso_free(NULL, o->spare);
    *o = (conform_observer){0};
}

// ---- inputs of a step ----

// Writes an input and looks whether it arrived.
static iso_status write_input(conform_observer *o, uint32_t step, iso_value input)
{
    const conform_subject *s = o->options.subject;
    uint32_t size = s->steps[step].size;
    uint64_t bytes = bytes_of(o, size, input);
    ISO_TRY(conform_subject_fill(s, step, input, o->mirror[input]));
    ISO_TRY(conform_rig_write(&o->rig, size, input, o->mirror[input], bytes));
    ISO_TRY(conform_rig_read(&o->rig, size, input, o->spare, bytes));
    if (memcmp(o->spare, o->mirror[input], bytes) != 0 && !o->input_fault[0])
        snprintf(o->input_fault, sizeof o->input_fault,
                 "step %u: the device does not hold what the host wrote to %s before the step", step,
                 iso_graph_value_info(s->graph, input)->name);
    return ISO_OK;
}

static iso_status begin_step(conform_observer *o, uint32_t step)
{
    const conform_subject *s = o->options.subject;
    ISO_TRY(conform_rig_poison(&o->rig));
    for (iso_value v = 1; v < iso_graph_value_count(s->graph); v++) {
        if (root_of(o, v) != v)
            continue;
        if (kind_of(o, v) == ISO_VALUE_INPUT)
            ISO_TRY(write_input(o, step, v));
        else if (kind_of(o, v) == ISO_VALUE_ACTIVATION)
            conform_poison(ISO_VALUE_ACTIVATION, o->mirror[v], bytes_of(o, s->size_count - 1, v));
    }
    return ISO_OK;
}

// ---- one op ----

void conform_observer_params(const conform_observer *o, uint32_t step, uint32_t node, void *params)
{
    const conform_subject *s = o->options.subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    iso_dim_values dims = conform_subject_dims(s, s->steps[step].size);
    iso_tensor *tensors = params;
    memcpy(params, n->params, sizeof n->params);
    for (uint32_t i = 0; i < n->operand_count; i++) {
        tensors[i] = iso_graph_tensor(s->graph, n->operands[i], &dims);
        if (n->operands[i] != ISO_NO_VALUE)
            tensors[i].host = o->mirror[root_of(o, n->operands[i])];
    }
}

static bool is_output(const conform_observer *o, uint32_t node, iso_value root)
{
    const iso_node *n = iso_graph_node(o->options.subject->graph, node);
    uint32_t inputs = conform_node_op(o->options.subject->graph, node)->input_count;
    for (uint32_t i = inputs; i < n->operand_count; i++)
        if (root_of(o, n->operands[i]) == root)
            return true;
    return false;
}

// Inputs that are no outputs must hold what they held. A changed one is put into the mirror: the next op sees
// it.
static iso_status check_inputs(conform_observer *o, uint32_t step, uint32_t node, char *note,
                               size_t note_bytes)
{
    const conform_subject *s = o->options.subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    uint32_t size = s->steps[step].size;
    for (uint32_t i = 0; i < conform_node_op(s->graph, node)->input_count; i++) {
        iso_value root = root_of(o, n->operands[i]);
        uint64_t bytes = root == ISO_NO_VALUE ? 0 : bytes_of(o, size, root);
        bool weight = root != ISO_NO_VALUE && kind_of(o, root) == ISO_VALUE_WEIGHT;
        if (bytes == 0 || is_output(o, node, root) || (weight && bytes > WATCHED_WEIGHT_BYTES))
            continue;
        ISO_TRY(conform_rig_read(&o->rig, size, root, o->spare, bytes));
        if (memcmp(o->spare, o->mirror[root], bytes) == 0)
            continue;
        snprintf(note, note_bytes, "its input %s changed while it ran",
                 iso_graph_value_info(s->graph, root)->name);
        bool index = iso_graph_value_info(s->graph, root)->dtype == ISO_DTYPE_I32;
        if (weight || o->options.repair || (index && o->options.sound))
            ISO_TRY(conform_rig_write(&o->rig, size, root, o->mirror[root], bytes));
        else
            memcpy(o->mirror[root], o->spare, bytes);
    }
    return ISO_OK;
}

// A NaN among what an op reads tells that something before it went wrong; its own work cannot be judged then.
// Cache rows that nobody wrote hold a NaN of their own, and are not read. Integers have none.
static bool is_sound(const iso_tensor *t, bool cache)
{
    uint32_t width = iso_tensor_width(t);
    for (uint64_t e = 0; e < iso_tensor_elems(t); e++) {
        uint64_t at = t->view_offset + e / width * t->row_stride + e % width;
        if (isfinite(iso_load_element(t->host, t->dtype, at)))
            continue;
        if (!cache)
            return false;
        bool poison = t->dtype == ISO_DTYPE_F32
                          ? ((const uint32_t *)t->host)[at] == CONFORM_POISON_CACHE
                          : ((const uint16_t *)t->host)[at] == (uint16_t)CONFORM_POISON_CACHE;
        if (!poison)
            return false;
    }
    return true;
}

static bool inputs_are_sound(const iso_op_info *op, const iso_tensor *tensors, const iso_node *node,
                             const iso_graph *graph)
{
    for (uint32_t i = 0; i < op->input_count; i++) {
        iso_value_kind kind = iso_graph_value_info(graph, node->operands[i])->kind;
        bool cache = kind == ISO_VALUE_CACHE;
        if (node->operands[i] != ISO_NO_VALUE && (cache || kind == ISO_VALUE_ACTIVATION) &&
            !is_sound(&tensors[i], cache))
            return false;
    }
    return true;
}

static iso_status judge_node(conform_observer *o, uint32_t step, uint32_t node, conform_verdict *out)
{
    const conform_subject *s = o->options.subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    uint64_t bytes[CONFORM_MAX_OUTPUTS] = {0};
    const iso_numerics numerics =
        iso_kernel_numerics(conform_rig_kernel(&o->rig, s->steps[step].size, node), o->options.numerics);
    conform_call call = {.op = conform_node_op(s->graph, node),
                         .params = params,
                         .after = (const void *const *)o->scratch,
                         .bytes = bytes,
                         .numerics = &numerics,
                         .flops_limit = o->options.flops_limit,
                         .salt = node + step};
    conform_observer_params(o, step, node, params);
    for (uint32_t i = 0; i < call.op->output_count; i++)
        bytes[i] = bytes_of(o, s->steps[step].size, root_of(o, n->operands[call.op->input_count + i]));
    if (!inputs_are_sound(call.op, (const iso_tensor *)params, n, s->graph)) {
        *out = (conform_verdict){.note = "not judged: what it read was not finite"};
        return ISO_OK;
    }
    return conform_judge_call(&call, out);
}

bool conform_makes_indices(const iso_graph *graph, uint32_t node)
{
    const iso_node *n = iso_graph_node(graph, node);
    iso_value first = n->operands[conform_node_op(graph, node)->input_count];
    const iso_value_info *info = iso_graph_value_info(graph, first);
    if (info->dtype != ISO_DTYPE_I32)
        return false;
    for (uint32_t later = node + 1; later < iso_graph_node_count(graph); later++)
        for (uint32_t i = 0; i < conform_node_op(graph, later)->input_count; i++)
            if (iso_graph_value_info(graph, iso_graph_node(graph, later)->operands[i])->base == info->base)
                return true;
    return false;
}

// Takes what the op wrote into the mirror and the trace; or, for a guilty op, what it should have written.
static iso_status keep_outputs(conform_observer *o, uint32_t step, uint32_t node, bool replace,
                               conform_trace *trace)
{
    const conform_subject *s = o->options.subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    uint32_t inputs = conform_node_op(s->graph, node)->input_count, size = s->steps[step].size;
    for (uint32_t i = inputs; i < n->operand_count; i++) {
        iso_value root = root_of(o, n->operands[i]);
        uint64_t bytes = bytes_of(o, size, root);
        void **kept =
            &trace->content[((size_t)step * trace->node_count + node) * CONFORM_MAX_OUTPUTS + i - inputs];
        const void *content = o->scratch[i - inputs];
        if (replace) {
            content = conform_trace_content(o->options.sound, s->graph, step, node + 1, root);
            ISO_TRY(conform_rig_write(&o->rig, size, root, content, bytes));
        }
        if (!*kept)
            ISO_TRY(iso_alloc(NULL, bytes, kept));
        memcpy(*kept, content, bytes);
        memcpy(o->mirror[root], content, bytes);
    }
    return ISO_OK;
}

// Kernels and references trust the integers that they read: a call with wild ones is neither run nor judged.
// Who made them has been judged before.
static bool reads_wild_indices(const conform_observer *o, uint32_t step, uint32_t node)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    conform_observer_params(o, step, node, params);
    return conform_indices_check(conform_node_op(o->options.subject->graph, node), params) != ISO_OK;
}

static iso_status observe_node(conform_observer *o, uint32_t step, uint32_t node, conform_trace *trace)
{
    const conform_subject *s = o->options.subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    uint32_t inputs = conform_node_op(s->graph, node)->input_count, size = s->steps[step].size;
    conform_verdict *verdict = &trace->verdicts[(size_t)step * trace->node_count + node];
    char note[CONFORM_DETAIL_BYTES] = "";
    bool wild = reads_wild_indices(o, step, node);
    iso_status status = wild ? ISO_OK : conform_rig_run_node(&o->rig, size, node);
    *verdict = (conform_verdict){0};
    if (status != ISO_OK && !o->options.sound)
        return status;
    if (status != ISO_OK) { // what it left is not worth a look; later ops get what it should have left
        verdict->score = (double)INFINITY;
        verdict->failed = true;
        snprintf(verdict->note, sizeof verdict->note, "it failed: %s", iso_status_last()->text);
        return keep_outputs(o, step, node, true, trace);
    }
    for (uint32_t i = inputs; i < n->operand_count; i++) {
        iso_value root = root_of(o, n->operands[i]);
        ISO_TRY(conform_rig_read(&o->rig, size, root, o->scratch[i - inputs], bytes_of(o, size, root)));
    }
    if (wild) {
        snprintf(verdict->note, sizeof verdict->note, "not judged: it reads indices out of range");
    } else if (o->options.judge) {
        ISO_TRY(judge_node(o, step, node, verdict));
        ISO_TRY(check_inputs(o, step, node, note, sizeof note));
    }
    if (note[0]) {
        verdict->score = (double)INFINITY;
        memcpy(verdict->note, note, sizeof note);
    }
    bool guilty = !(verdict->score <= 1);
    return keep_outputs(
        o, step, node,
        guilty && o->options.sound && (o->options.repair || conform_makes_indices(s->graph, node)), trace);
}

iso_status conform_observe_step(conform_observer *o, uint32_t step, conform_trace *trace)
{
    ISO_TRY(begin_step(o, step));
    for (uint32_t node = 0; node < trace->node_count; node++)
        if (observe_node(o, step, node, trace) != ISO_OK)
            return iso_status_prefix("step %u, op %u (%s)", step, node,
                                     conform_node_name(o->options.subject->graph, node));
    return ISO_OK;
}
