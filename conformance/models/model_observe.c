// SPDX-License-Identifier: MIT
//
// A golden model, observed op by op (trial.h): the error profile, and what came out against the exact
// answers.
#include <math.h>

#include "conformance/models/trial.h"
#include "conformance/report/fields.h"
#include "kernels/op_list.h"

// Multiply-adds of one call that are judged in full; the golden models' calls are all smaller.
#define JUDGED_FLOPS 1e9

// ---- profile ----

// The worst score of a class of ops or of a layer.
typedef struct profile {
    double worst, square_sum;
    uint64_t judged;
    uint32_t step, node; // of the worst
} profile;

static void add_verdict(profile *p, const conform_verdict *verdict, uint32_t step, uint32_t node)
{
    p->square_sum += verdict->square_sum;
    p->judged += verdict->judged;
    if (!(verdict->score <= p->worst)) {
        p->worst = verdict->score;
        p->step = step;
        p->node = node;
    }
}

static json_t *profile_json(const profile *p)
{
    return json_pack("{s:o, s:f, s:I}", "worst", conform_json_double(p->worst), "rms",
                     p->judged ? sqrt(p->square_sum / (double)p->judged) : 0.0, "judged",
                     (json_int_t)p->judged);
}

// The distance of the residual stream behind each layer, -1 being the embedding, from the exact one.
static json_t *layer_json(const conform_model_trial *t, int32_t layer, const profile *ops)
{
    iso_tensor_view want = conform_golden_tensor(&t->golden, "hidden.%d", layer + 1);
    iso_value hidden = t->subject.values->hidden[layer + 1];
    conform_distance distance = {0};
    float row[16384];
    if (!want.data || hidden == ISO_NO_VALUE || want.dims[1] > sizeof row / sizeof row[0])
        return NULL;
    const iso_value_info *info = iso_graph_value_info(t->subject.graph, hidden);
    for (uint32_t s = 0; s < t->subject.step_count; s++) {
        const conform_step *step = &t->subject.steps[s];
        const void *content =
            conform_trace_content(&t->trace, t->subject.graph, s, t->trace.node_count, info->base);
        for (uint32_t i = 0; i < step->tokens; i++) {
            for (uint64_t j = 0; j < want.dims[1]; j++)
                row[j] = (float)iso_load_element(content, info->dtype, i * want.dims[1] + j);
            conform_distance_add(&distance, &want, step->first + i, row);
        }
    }
    return json_pack("{s:i, s:o, s:o, s:o}", "layer", layer, "worst", conform_json_double(distance.worst),
                     "rms", conform_json_double(conform_distance_rms(&distance)), "ops", profile_json(ops));
}

static json_t *profiles_json(const conform_model_trial *t, const profile *ops, const profile *layers)
{
    json_t *classes = json_object(), *list = json_array();
    for (uint32_t op = 0; op < ISO_OP_COUNT; op++)
        if (ops[op].judged)
            json_object_set_new(classes, iso_ops()->ops[op]->name, profile_json(&ops[op]));
    for (int32_t layer = -1; layer < (int32_t)t->golden.config->layer_count; layer++) {
        json_t *one = layer_json(t, layer, &layers[layer + 1]);
        if (one)
            json_array_append_new(list, one);
    }
    return json_pack("{s:o, s:o}", "layers", list, "ops", classes);
}

static iso_status report_ops(const conform_model_trial *t)
{
    const iso_graph *graph = t->subject.graph;
    profile ops[ISO_OP_COUNT] = {{0}}, all = {0}, *layers = NULL;
    uint32_t unjudged = 0, layer_count = t->golden.config->layer_count + t->golden.config->mtp_layer_count;
    ISO_TRY(ISO_NEW(NULL, layer_count + 2, &layers)); // the embedding before, the head behind
    for (uint32_t step = 0; step < t->trace.step_count; step++)
        for (uint32_t node = 0; node < t->trace.node_count; node++) {
            const conform_verdict *verdict = conform_trace_verdict(&t->trace, step, node);
            const iso_node *n = iso_graph_node(graph, node);
            unjudged += verdict->judged == 0 && verdict->score <= 1;
            add_verdict(&ops[n->op], verdict, step, node);
            add_verdict(
                &layers[n->layer + 1 < (int32_t)layer_count + 2 ? n->layer + 1 : (int32_t)layer_count + 1],
                verdict, step, node);
            add_verdict(&all, verdict, step, node);
        }
    const conform_verdict *worst = conform_trace_verdict(&t->trace, all.step, all.node);
    const char *check = t->is_forced ? "ops, routing forced" : "ops";
    conform_result result = conform_result_make(CONFORM_PASS, check, "%s", "");
    if (!(all.worst <= 1))
        result = conform_result_make(CONFORM_FAIL, check,
                                     "%s at step %u: error / bound %.3g; %s (isomer bisect finds out more)",
                                     conform_node_name(graph, all.node), all.step, all.worst, worst->note);
    else if (unjudged)
        result = conform_result_make(CONFORM_FAIL, check,
                                     "%u calls could not be judged: what they read is not finite or indices "
                                     "out of range, or they left no element to judge",
                                     unjudged);
    snprintf(result.op, sizeof result.op, "%s", conform_node_op(graph, all.node)->name);
    result.samples[0] = worst->worst;
    result.sample_count = 1;
    result.more = profiles_json(t, ops, layers);
    iso_free(NULL, layers);
    conform_model_report(t, result, all.worst);
    return ISO_OK;
}

// ---- logits ----

double conform_model_allowed(const conform_model_trial *t)
{
    return t->golden.config->routed_expert_count ? t->format->routed_worst : t->format->dense_worst;
}

// The step that ran a token, and its row there.
uint32_t conform_model_step(const conform_model_trial *t, uint32_t token, uint32_t *out_row)
{
    uint32_t step = 0;
    while (token >= t->subject.steps[step].first + t->subject.steps[step].tokens)
        step++;
    *out_row = token - t->subject.steps[step].first;
    return step;
}

const void *conform_model_content(const conform_model_trial *t, uint32_t step, iso_value value)
{
    iso_value root = iso_graph_value_info(t->subject.graph, value)->base;
    return conform_trace_content(&t->trace, t->subject.graph, step, t->trace.node_count, root);
}

const float *conform_model_logits(const conform_model_trial *t, uint32_t token)
{
    uint32_t row, step = conform_model_step(t, token, &row);
    const float *logits = conform_model_content(t, step, t->subject.values->logits);
    return logits + (size_t)row * t->golden.config->vocab_size;
}

static void report_logits(const conform_model_trial *t)
{
    iso_tensor_view want = conform_golden_tensor(&t->golden, "prompt%u.logits", CONFORM_GOLDEN_PROMPTS - 1);
    bool routed = t->golden.config->routed_expert_count > 0;
    double worst = conform_model_allowed(t), rms = routed ? t->format->routed_rms : t->format->dense_rms;
    conform_distance distance = {0};
    for (uint32_t token = 0; token < t->subject.id_count; token++)
        conform_distance_add(&distance, &want, token, conform_model_logits(t, token));
    double score = distance.worst / worst, got_rms = conform_distance_rms(&distance);
    if (rms > 0)
        score = fmax(score, got_rms / rms);
    conform_result result = conform_result_make(
        score <= 1 ? CONFORM_PASS : CONFORM_FAIL, t->is_forced ? "logits, routing forced" : "logits",
        "over the RMS of the exact logits: worst %.3g of %.3g, RMS %.3g", distance.worst, worst, got_rms);
    conform_model_report(t, result, score);
}

// ---- the run ----

static iso_status load_forced(conform_model_trial *t)
{
    const iso_model_config *c = t->golden.config;
    uint32_t k = c->experts_per_token, first = c->first_dense_layers, layers = c->layer_count - first;
    ISO_TRY(ISO_NEW(NULL, (size_t)CONFORM_GOLDEN_MOST * layers * k, &t->forced));
    for (uint32_t l = 0; l < layers; l++) {
        iso_tensor_view view = conform_golden_tensor(&t->golden, "router.%u.indices", first + l);
        for (uint64_t i = 0; view.data && i < t->subject.id_count; i++)
            for (uint32_t j = 0; j < k; j++)
                t->forced[(i * layers + l) * k + j] = (int32_t)conform_golden_at(&view, i * k + j);
    }
    return ISO_OK;
}

static iso_status observe(conform_model_trial *t)
{
    conform_observer observer = {0};
    conform_observer_options options = {.subject = &t->subject,
                                        .device = t->context->device,
                                        .numerics = &t->context->numerics,
                                        .flops_limit = JUDGED_FLOPS,
                                        .judge = true};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(conform_trace_create(&t->subject, &t->trace), done);
    ISO_TRY_GOTO(conform_observer_create(&options, &observer), done);
    for (uint32_t step = 0; step < t->subject.step_count; step++)
        ISO_TRY_GOTO(conform_observe_step(&observer, step, &t->trace), done);
    if (observer.input_fault[0])
        conform_model_report(t, conform_result_make(CONFORM_FAIL, "inputs", "%s", observer.input_fault),
                             (double)INFINITY);
done:
    conform_observer_destroy(&observer);
    return status;
}

iso_status conform_model_observe(conform_model_trial *t, bool force, uint32_t *out_flips)
{
    iso_tensor_view ids = conform_golden_tensor(&t->golden, "prompt%u.input_ids", CONFORM_GOLDEN_PROMPTS - 1);
    uint32_t count = t->brief ? 11 : (uint32_t)ids.dims[0];
    bool routed = t->golden.config->routed_expert_count > 0;
    *out_flips = 0;
    if (!ids.data || count > CONFORM_GOLDEN_MOST || count > ids.dims[0])
        return iso_fail(ISO_CORRUPT, "prompt 2 of the golden model has %llu tokens; allowed: 11 to %u",
                        (unsigned long long)ids.dims[0], CONFORM_GOLDEN_MOST);
    for (uint32_t i = 0; i < count; i++)
        t->ids[i] = (int32_t)conform_golden_at(&ids, i);
    conform_subject_options options = {.device = t->context->device,
                                       .activation = t->format->activation,
                                       .w8a8 = t->format->w8a8,
                                       .build = {.force_routing = force},
                                       .ids = t->ids,
                                       .id_count = count};
    t->is_forced = force;
    ISO_TRY(conform_subject_create(t->golden.model, &options, &t->subject));
    if (force)
        ISO_TRY(load_forced(t));
    t->subject.forced_experts = t->forced;
    ISO_TRY(observe(t));
    ISO_TRY(report_ops(t));
    if (t->format->w8a8)
        return ISO_OK;
    report_logits(t);
    conform_model_tokens(t);
    return routed ? conform_model_routing(t, out_flips) : ISO_OK;
}
