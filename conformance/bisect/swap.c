// SPDX-License-Identifier: MIT
//
// The op-swap matrix (bisect.h): each class of ops in turn on the device, all others on the reference. Both
// hold the whole model; what the next op reads is carried over through the host.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/bisect/bisect.h"
#include "conformance/ops/case_indices.h"
#include "kernels/op_list.h"

typedef struct swapper {
    const conform_subject *subject;
    conform_observer device, reference; // for their rigs and memory; nothing is judged
    float *base;                        // the reference's logits of all steps
    int32_t *choices;                   // and experts
    size_t logit_count, choice_count;
    double base_square;
} swapper;

// Where one walk stands in the arrays above; differences from them, or the arrays' content in the first walk.
typedef struct walk {
    uint32_t op; // class that runs on the device; ISO_OP_COUNT: none, and the base is taken
    size_t logit, choice;
    double worst, square;
    uint32_t other_choices;
    bool wild; // ended where an op would have read indices out of range
} walk;

// ---- one op, wherever it runs ----

static iso_value root_of(const swapper *s, iso_value value)
{
    return iso_graph_value_info(s->subject->graph, value)->base;
}

// The reference's mirror is the running state.
static iso_status run_node(swapper *s, conform_rig *rig, uint32_t step, uint32_t node)
{
    const conform_subject *subject = s->subject;
    const iso_node *n = iso_graph_node(subject->graph, node);
    uint32_t size = subject->steps[step].size, inputs = conform_node_op(subject->graph, node)->input_count;
    iso_dim_values dims = conform_subject_dims(subject, size);
    for (uint32_t i = 0; i < n->operand_count; i++) {
        iso_value root = root_of(s, n->operands[i]);
        if (root != ISO_NO_VALUE && iso_graph_value_info(subject->graph, root)->kind != ISO_VALUE_WEIGHT)
            ISO_TRY(conform_rig_write(rig, size, root, s->reference.mirror[root],
                                      iso_graph_storage_bytes(subject->graph, root, &dims)));
    }
    ISO_TRY(conform_rig_run_node(rig, size, node));
    for (uint32_t i = inputs; i < n->operand_count; i++) {
        iso_value root = root_of(s, n->operands[i]);
        ISO_TRY(conform_rig_read(rig, size, root, s->reference.mirror[root],
                                 iso_graph_storage_bytes(subject->graph, root, &dims)));
    }
    return ISO_OK;
}

// Whether the node would read integers out of range, which kernels and references trust.
static bool reads_wild_indices(const swapper *s, uint32_t step, uint32_t node)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    conform_observer_params(&s->reference, step, node, params);
    return conform_indices_check(conform_node_op(s->subject->graph, node), params) != ISO_OK;
}

static iso_status begin_step(swapper *s, uint32_t step)
{
    const conform_subject *subject = s->subject;
    iso_dim_values largest = conform_subject_dims(subject, subject->size_count - 1);
    for (iso_value v = 1; v < iso_graph_value_count(subject->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(subject->graph, v);
        if (info->base != v)
            continue;
        if (info->kind == ISO_VALUE_INPUT)
            ISO_TRY(conform_subject_fill(subject, step, v, s->reference.mirror[v]));
        else if (info->kind == ISO_VALUE_ACTIVATION || (info->kind == ISO_VALUE_CACHE && step == 0))
            conform_poison(info->kind, s->reference.mirror[v],
                           iso_graph_storage_bytes(subject->graph, v, &largest));
    }
    return ISO_OK;
}

// ---- what comes out ----

static void take_logits(swapper *s, const conform_step *step, walk *w)
{
    const float *logits = s->reference.mirror[s->subject->values->logits];
    size_t count = (size_t)step->tokens * iso_model_get_config(s->subject->model)->vocab_size;
    for (size_t i = 0; i < count; i++, w->logit++) {
        if (w->op == ISO_OP_COUNT) {
            s->base[w->logit] = logits[i];
            s->base_square += (double)logits[i] * (double)logits[i];
            continue;
        }
        double error = fabs((double)logits[i] - (double)s->base[w->logit]);
        error = isnan(error) ? (double)INFINITY : error;
        w->worst = fmax(w->worst, error);
        w->square += error * error;
    }
}

static void take_choices(swapper *s, const conform_step *step, walk *w)
{
    const iso_model_values *values = s->subject->values;
    size_t count = (size_t)step->tokens * iso_model_get_config(s->subject->model)->experts_per_token;
    for (uint32_t layer = 0; layer < ISO_MAX_LAYERS; layer++) {
        if (values->experts[layer] == ISO_NO_VALUE)
            continue;
        const int32_t *experts = s->reference.mirror[values->experts[layer]];
        for (size_t i = 0; i < count; i++, w->choice++) {
            if (w->op == ISO_OP_COUNT)
                s->choices[w->choice] = experts[i];
            w->other_choices += experts[i] != s->choices[w->choice];
        }
    }
}

static iso_status walk_steps(swapper *s, walk *w)
{
    const conform_subject *subject = s->subject;
    for (uint32_t step = 0; step < subject->step_count; step++) {
        ISO_TRY(begin_step(s, step));
        for (uint32_t node = 0; node < iso_graph_node_count(subject->graph); node++) {
            w->wild = reads_wild_indices(s, step, node);
            if (w->wild)
                return ISO_OK;
            bool swapped = iso_graph_node(subject->graph, node)->op == w->op;
            ISO_TRY(run_node(s, swapped ? &s->device.rig : &s->reference.rig, step, node));
        }
        take_logits(s, &subject->steps[step], w);
        take_choices(s, &subject->steps[step], w);
    }
    return ISO_OK;
}

// ---- all classes ----

static uint32_t count_nodes(const conform_subject *subject, uint32_t op)
{
    uint32_t count = 0;
    for (uint32_t node = 0; node < iso_graph_node_count(subject->graph); node++)
        count += iso_graph_node(subject->graph, node)->op == op;
    return count;
}

static int by_effect(const void *left, const void *right)
{
    const conform_swap *a = left, *b = right;
    if (a->rms != b->rms)
        return a->rms > b->rms ? -1 : 1;
    return a->op < b->op ? -1 : a->op > b->op;
}

static iso_status create(const conform_bisect_options *options, swapper *s)
{
    const conform_subject *subject = options->subject;
    const iso_model_config *config = iso_model_get_config(subject->model);
    conform_observer_options device = {.subject = subject,
                                       .device = options->device,
                                       .ops = options->device_ops,
                                       .numerics = options->numerics};
    conform_observer_options reference = {
        .subject = subject, .device = options->reference, .numerics = options->numerics};
    s->subject = subject;
    s->logit_count = (size_t)subject->id_count * config->vocab_size;
    s->choice_count = (size_t)subject->id_count * conform_routed_before(subject, ISO_MAX_LAYERS) *
                      config->experts_per_token;
    ISO_TRY(ISO_NEW(NULL, s->logit_count, &s->base));
    ISO_TRY(ISO_NEW(NULL, s->choice_count, &s->choices));
    ISO_TRY(conform_observer_create(&device, &s->device));
    return conform_observer_create(&reference, &s->reference);
}

static double over(double effect, double rms)
{
    if (effect == 0)
        return 0;
    return rms > 0 ? effect / rms : (double)INFINITY;
}

static iso_status walk_base(const conform_bisect_options *options, swapper *s, double *out_rms)
{
    walk base = {.op = ISO_OP_COUNT};
    ISO_TRY(walk_steps(s, &base));
    *out_rms = sqrt(s->base_square / (double)s->logit_count);
    if (base.wild || !isfinite(*out_rms))
        return iso_fail(ISO_INVALID_ARGUMENT, "the reference %s is wrong itself: %s; name another reference",
                        iso_device_name(options->reference),
                        base.wild ? "an op makes indices out of range" : "its logits are not finite");
    return ISO_OK;
}

static iso_status walk_classes(const conform_bisect_options *options, swapper *s, conform_swap *out,
                               uint32_t *out_count)
{
    double rms;
    uint32_t op_count = iso_graph_ops(s->subject->graph)->count;
    ISO_TRY(walk_base(options, s, &rms));
    for (uint32_t op = 0; op < op_count; op++) {
        walk w = {.op = op};
        uint32_t nodes = count_nodes(s->subject, op);
        if (nodes == 0)
            continue;
        if (options->progress)
            options->progress(options->progress_context, "classes of ops", op, op_count);
        ISO_TRY(walk_steps(s, &w));
        if (w.wild)
            w.worst = w.square = (double)INFINITY;
        out[(*out_count)++] = (conform_swap){.op = op,
                                             .node_count = nodes,
                                             .worst = over(w.worst, rms),
                                             .rms = over(sqrt(w.square / (double)s->logit_count), rms),
                                             .choices = w.other_choices};
    }
    qsort(out, *out_count, sizeof *out, by_effect);
    return ISO_OK;
}

iso_status conform_swap_run(const conform_bisect_options *options, conform_swap *out, uint32_t *out_count)
{
    swapper s = {0};
    *out_count = 0;
    iso_status status = create(options, &s);
    if (status == ISO_OK)
        status = walk_classes(options, &s, out, out_count);
    conform_observer_destroy(&s.device);
    conform_observer_destroy(&s.reference);
    iso_free(NULL, s.base);
    iso_free(NULL, s.choices);
    return status;
}
