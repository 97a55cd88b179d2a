// SPDX-License-Identifier: MIT
//
// Faults that hide from an observer. Nodes [first, end) run as the runtime runs them: one list a step,
// activations sharing memory, nothing read before the end. A kernel gives the same bits for the same inputs,
// so all that is alive at `end` must be what the observed run had there, bit for bit. A part that begins at
// the same node has the same layout and the same commands as a longer one up to its end, so halving the end
// loses nothing.
#include "conformance/bisect/halve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/plan/plan_internal.h"

#define CONFORM_MAX_SPANS 3

typedef struct hunt {
    const conform_bisect_options *options;
    conform_bisection *out;
    conform_part_use *uses;
    void *buffer;
    uint32_t last_step; // steps after it are not run
    bool settle;        // read back what was written before each step
} hunt;

// The first thing that was not as observed.
typedef struct mismatch {
    bool found;
    uint32_t step;
    iso_value root;                     // ISO_NO_VALUE: the step failed
    char failure[CONFORM_DETAIL_BYTES]; // then
} mismatch;

const iso_kernel *conform_kernel_for(const iso_graph *graph, const iso_op_table *ops, const iso_node *node,
                                     const iso_dim_values *dims, const iso_device_info *device)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    char reason[ISO_REASON_BYTES];
    const iso_op_info *op = ops->ops[node->op];
    memcpy(params, node->params, sizeof node->params);
    for (uint32_t i = 0; i < node->operand_count; i++)
        ((iso_tensor *)params)[i] = iso_graph_tensor(graph, node->operands[i], dims);
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (iso_plan_kernel_fits(op->kernels[k], params, device, reason))
            return op->kernels[k];
    return NULL;
}

// ---- one run ----

static uint64_t bytes_of(const hunt *h, uint32_t size, iso_value root)
{
    iso_dim_values dims = conform_subject_dims(h->options->subject, size);
    return iso_graph_storage_bytes(h->options->subject->graph, root, &dims);
}

static iso_status put(const hunt *h, conform_rig *rig, uint32_t size, iso_value root, const void *content)
{
    uint64_t bytes = bytes_of(h, size, root);
    ISO_TRY(conform_rig_write(rig, size, root, content, bytes));
    return h->settle ? conform_rig_read(rig, size, root, h->buffer, bytes) : ISO_OK;
}

// Inputs of the step, and what earlier nodes left.
static iso_status feed(const hunt *h, conform_rig *rig, const conform_part *part, uint32_t step)
{
    const conform_subject *s = h->options->subject;
    uint32_t size = s->steps[step].size;
    for (iso_value v = 1; v < iso_graph_value_count(s->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(s->graph, v);
        if (info->base != v || !h->uses[v].touched)
            continue;
        if (info->kind == ISO_VALUE_INPUT) {
            ISO_TRY(conform_subject_fill(s, step, v, h->buffer));
            ISO_TRY(put(h, rig, size, v, h->buffer));
        } else if (conform_part_feeds(s->graph, v, &h->uses[v])) {
            ISO_TRY(
                put(h, rig, size, v, conform_trace_content(&h->out->device, s->graph, step, part->first, v)));
        }
    }
    return ISO_OK;
}

// Whether an op that is known to be guilty touches the cache: it need not be the same in two runs.
static bool is_tainted(const hunt *h, iso_value cache)
{
    const iso_graph *graph = h->options->subject->graph;
    for (uint32_t i = 0; i < h->out->guilty_count; i++) {
        const iso_node *n = iso_graph_node(graph, h->out->guilty[i].node);
        for (uint32_t o = 0; o < n->operand_count; o++)
            if (iso_graph_value_info(graph, n->operands[o])->base == cache)
                return true;
    }
    return false;
}

static iso_status compare(const hunt *h, const conform_rig *rig, const conform_part *part, uint32_t step,
                          mismatch *out)
{
    const conform_subject *s = h->options->subject;
    uint32_t size = s->steps[step].size;
    for (iso_value v = 1; v < iso_graph_value_count(s->graph) && !out->found; v++) {
        if (iso_graph_value_info(s->graph, v)->base != v || !conform_part_shows(s->graph, v, &h->uses[v]) ||
            is_tainted(h, v))
            continue;
        const void *want = conform_trace_content(&h->out->device, s->graph, step, part->end, v);
        uint64_t bytes = bytes_of(h, size, v);
        ISO_TRY(conform_rig_read(rig, size, v, h->buffer, bytes));
        if (want && memcmp(h->buffer, want, bytes) != 0)
            *out = (mismatch){.found = true, .step = step, .root = v};
    }
    return ISO_OK;
}

static iso_status run_part(const hunt *h, const conform_part *part, mismatch *out)
{
    const conform_subject *s = h->options->subject;
    conform_rig rig = {0};
    iso_status status = ISO_OK;
    conform_rig_options options = {.device = h->options->device,
                                   .weights = iso_model_graph_weights(s->model_graph),
                                   .sizes = s->sizes,
                                   .size_count = s->size_count,
                                   .dims = s->dims};
    *out = (mismatch){0};
    h->out->runs++;
    conform_part_uses(s->graph, part, h->uses);
    ISO_TRY_GOTO(conform_rig_create(s->graph, part, &options, &rig), done);
    for (uint32_t step = 0; step <= h->last_step && !out->found; step++) {
        if (h->options->progress)
            h->options->progress(h->options->progress_context, "parts of the model run unobserved", step,
                                 h->last_step + 1);
        ISO_TRY_GOTO(feed(h, &rig, part, step), done);
        if (conform_rig_run(&rig, s->steps[step].size) != ISO_OK) {
            *out = (mismatch){.found = true, .step = step};
            snprintf(out->failure, sizeof out->failure, "%s", iso_status_last()->text);
            break;
        }
        ISO_TRY_GOTO(compare(h, &rig, part, step, out), done);
    }
done:
    conform_rig_destroy(&rig);
    return status;
}

// ---- halving ----

// The score of what the op left, judged on the inputs that it was fed: those of the observed run, which were
// right.
static void describe(const hunt *h, uint32_t node, const mismatch *wrong, conform_guilty *out)
{
    const conform_subject *s = h->options->subject;
    const iso_node *n = iso_graph_node(s->graph, node);
    bool own = false;
    for (uint32_t i = conform_node_op(s->graph, node)->input_count; i < n->operand_count; i++)
        own = own || iso_graph_value_info(s->graph, n->operands[i])->base == wrong->root;
    *out = (conform_guilty){
        .node = node, .step = wrong->step, .runs = h->out->runs, .hidden = true, .late = wrong->step > 0};
    out->verdict.score = (double)INFINITY;
    if (wrong->root == ISO_NO_VALUE)
        snprintf(out->verdict.note, sizeof out->verdict.note, "the step fails as one list: %.250s",
                 wrong->failure);
    else
        snprintf(out->verdict.note, sizeof out->verdict.note,
                 own ? "%s is right when it is read after each op, and wrong when the step runs as one list"
                     : "%s changes while this op runs in the step's list, though the op does not write it",
                 iso_graph_value_info(s->graph, wrong->root)->name);
}

// [first, right) is as observed, [first, wrong) is not: *out is the node that makes the difference.
static iso_status halve(hunt *h, uint32_t first, uint32_t wrong, mismatch seen, conform_guilty *out)
{
    uint32_t right = first;
    while (wrong - right > 1) {
        uint32_t middle = right + (wrong - right) / 2;
        conform_part part = {.first = first, .end = middle, .ops = h->options->device_ops};
        mismatch found;
        h->last_step = seen.step;
        ISO_TRY(run_part(h, &part, &found));
        if (found.found) {
            wrong = middle;
            seen = found;
        } else {
            right = middle;
        }
    }
    describe(h, wrong - 1, &seen, out);
    return ISO_OK;
}

// Nodes [first, end), none of which is known to be guilty.
typedef struct span {
    uint32_t first, end;
} span;

// Whether all is right once the inputs were read back before the step: then no op is to blame, but the way
// that what the host writes takes to the device.
static iso_status writes_are_late(hunt *h, const conform_part *part, bool *out_late)
{
    mismatch seen;
    h->settle = true;
    iso_status status = run_part(h, part, &seen);
    h->settle = false;
    *out_late = status == ISO_OK && !seen.found;
    if (*out_late)
        snprintf(h->out->transport, sizeof h->out->transport,
                 "what the host writes arrives late: %.100s is wrong unless the inputs are read back before "
                 "the step",
                 conform_node_name(h->options->subject->graph, part->end - 1));
    return status;
}

static iso_status hunt_span(hunt *h, span span)
{
    for (int found = 0; span.first < span.end && found < CONFORM_MAX_HIDDEN; found++) {
        conform_part rest = {.first = span.first, .end = span.end, .ops = h->options->device_ops};
        conform_guilty guilty;
        mismatch seen;
        h->last_step = h->options->subject->step_count - 1;
        ISO_TRY(run_part(h, &rest, &seen));
        if (!seen.found)
            return ISO_OK;
        ISO_TRY(halve(h, span.first, span.end, seen, &guilty));
        bool late;
        ISO_TRY(writes_are_late(
            h, &(conform_part){span.first, guilty.node + 1, false, h->options->device_ops}, &late));
        if (late)
            return ISO_OK;
        conform_add_guilty(h->options, &h->out->device, guilty, h->out);
        span.first = guilty.node + 1; // from here on fed with what it should have left
    }
    return ISO_OK;
}

// The longest span that is free of ops known to be guilty; they leave what differs from run to run.
static span longest_span(const conform_bisection *found, const bool *done)
{
    span best = {0, 0}, now = {0, 0};
    for (uint32_t node = 0; node < found->op_count; node++) {
        if (done[node])
            now.first = node + 1;
        now.end = node + 1;
        if (now.end - now.first > best.end - best.first)
            best = now;
    }
    return best;
}

// Known guilty ops cut the model into spans; the longest are looked at.
static iso_status hunt_all(hunt *h)
{
    bool *done = NULL;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(NULL, h->out->op_count, &done));
    for (uint32_t node = 0; node < h->out->op_count; node++)
        done[node] = conform_find_guilty(h->out, node) != NULL;
    for (int i = 0; i < CONFORM_MAX_SPANS && status == ISO_OK; i++) {
        span span = longest_span(h->out, done);
        status = hunt_span(h, span);
        for (uint32_t node = span.first; node < span.end; node++)
            done[node] = true;
    }
    iso_free(NULL, done);
    return status;
}

iso_status conform_find_hidden(const conform_bisect_options *options, conform_bisection *out)
{
    const conform_subject *s = options->subject;
    hunt h = {.options = options, .out = out};
    uint64_t largest = 0;
    iso_status status = ISO_OK;
    for (iso_value v = 1; v < iso_graph_value_count(s->graph); v++) {
        uint64_t bytes = bytes_of(&h, s->size_count - 1, v);
        largest = bytes > largest ? bytes : largest;
    }
    ISO_TRY_GOTO(iso_alloc(NULL, largest, &h.buffer), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, iso_graph_value_count(s->graph), &h.uses), done);
    ISO_TRY_GOTO(hunt_all(&h), done);
done:
    iso_free(NULL, h.buffer);
    iso_free(NULL, h.uses);
    return status;
}
