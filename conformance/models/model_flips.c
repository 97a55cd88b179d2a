// SPDX-License-Identifier: MIT
//
// Tokens and experts that are not the exact ones, each judged by its margin (trial.h).
#include <math.h>
#include <string.h>

#include "conformance/models/trial.h"
#include "kernels/op_list.h"
#include "kernels/router/op.h"

// ---- flips ----

// Counts of flips, and the one that weighs most.
typedef struct flips {
    uint32_t count[4];
    conform_flip worst;
    uint32_t token, layer;
    double margin, allowed;
} flips;

static void add_flip(flips *f, conform_flip flip, uint32_t token, uint32_t layer, const double numbers[2])
{
    f->count[flip]++;
    if (flip <= f->worst)
        return;
    f->worst = flip;
    f->token = token;
    f->layer = layer;
    f->margin = numbers[0];
    f->allowed = numbers[1];
}

static void report_flips(const conform_model_trial *t, const flips *f, const char *check, const char *what)
{
    uint32_t all = f->count[CONFORM_FLIP_EXPLAINED] + f->count[CONFORM_FLIP_UNEXPLAINED] +
                   f->count[CONFORM_FLIP_IMPOSSIBLE];
    conform_result result =
        conform_result_make(f->worst <= CONFORM_FLIP_EXPLAINED ? CONFORM_PASS : CONFORM_FAIL, check,
                            "%u of %u %s differ", all, all + f->count[CONFORM_FLIP_NONE], what);
    if (all)
        result = conform_result_make(result.outcome, check,
                                     "%u of %u %s differ: %u explained by rounding, %u unexplained, %u "
                                     "impossible; the first that weighs most: "
                                     "token %u, layer %u, %s: margin %.3g, allowed error of each side %.3g",
                                     all, all + f->count[CONFORM_FLIP_NONE], what,
                                     f->count[CONFORM_FLIP_EXPLAINED], f->count[CONFORM_FLIP_UNEXPLAINED],
                                     f->count[CONFORM_FLIP_IMPOSSIBLE], f->token, f->layer,
                                     conform_flip_name(f->worst), f->margin, f->allowed);
    conform_model_report(t, result, f->allowed > 0 ? f->margin / (2 * f->allowed) : (double)NAN);
}

// The greedy choice at each position, where the exact tokens came before it.
void conform_model_tokens(const conform_model_trial *t)
{
    iso_tensor_view want = conform_golden_tensor(&t->golden, "prompt%u.logits", CONFORM_GOLDEN_PROMPTS - 1);
    double rms = conform_golden_rms(&want), allowed = conform_model_allowed(t);
    uint32_t vocab = t->golden.config->vocab_size;
    flips found = {0};
    for (uint32_t token = 0; token < t->subject.id_count; token++) {
        uint32_t row, step = conform_model_step(t, token, &row), best = 0;
        uint64_t at = (uint64_t)token * vocab;
        for (uint32_t id = 1; id < vocab; id++)
            if (conform_golden_at(&want, at + id) > conform_golden_at(&want, at + best))
                best = id;
        int32_t picked = ((const int32_t *)conform_model_content(t, step, t->subject.values->picked))[row];
        const float *own = conform_model_logits(t, token);
        conform_flip flip = CONFORM_FLIP_NONE;
        double numbers[2] = {0, allowed};
        if (picked < 0 || (uint32_t)picked >= vocab) {
            flip = CONFORM_FLIP_IMPOSSIBLE;
        } else if ((uint32_t)picked != best) {
            numbers[0] =
                (conform_golden_at(&want, at + best) - conform_golden_at(&want, at + (uint32_t)picked)) / rms;
            flip = conform_flip_of(numbers[0], (double)own[picked] - (double)own[best], allowed);
        }
        add_flip(&found, flip, token, t->golden.config->layer_count, numbers);
    }
    report_flips(t, &found, t->is_forced ? "tokens, routing forced" : "tokens", "greedy tokens");
}

// ---- routing ----

// A layer's router at one step.
typedef struct routing {
    uint32_t node, step, layer;
    const float *logits;  // [T, experts]
    const int32_t *index; // [T, k]: what the device chose, or would have chosen by its logits
} routing;

static double rms_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sqrt(sum / (double)count);
}

// How far keys may be off: by the error allowed of the router's logits, times the steepest slope of a score
// at this token. d sigmoid = s (1 - s) dx; of softmax twice that, because all logits move.
static double allowed_key_error(const conform_model_trial *t, const routing *r, uint32_t row, uint32_t token)
{
    const iso_model_config *c = t->golden.config;
    iso_tensor_view scores = conform_golden_tensor(&t->golden, "router.%u.scores", r->layer);
    double slope = 0;
    for (uint32_t e = 0; e < c->routed_expert_count && scores.data; e++) {
        double s = conform_golden_at(&scores, (uint64_t)token * c->routed_expert_count + e);
        slope = fmax(slope, s * (1 - s) * (c->scoring == ISO_SCORING_SIGMOID ? 1 : 2));
    }
    return conform_model_allowed(t) * slope *
           rms_of(r->logits + (size_t)row * c->routed_expert_count, c->routed_expert_count);
}

// Whether no op up to the node added error above its bound.
static bool sound_until(const conform_model_trial *t, uint32_t step, uint32_t node)
{
    for (uint32_t s = 0; s <= step; s++)
        for (uint32_t n = 0; n < (s < step ? t->trace.node_count : node); n++)
            if (!(conform_trace_verdict(&t->trace, s, n)->score <= 1))
                return false;
    return true;
}

static void judge_routing(const conform_model_trial *t, const routing *r, flips *found)
{
    const conform_step *step = &t->subject.steps[r->step];
    uint32_t k = t->golden.config->experts_per_token;
    iso_tensor_view want = conform_golden_tensor(&t->golden, "router.%u.indices", r->layer);
    iso_tensor_view margin = conform_golden_tensor(&t->golden, "router.%u.margin", r->layer);
    iso_tensor_view group = conform_golden_tensor(&t->golden, "router.%u.group_margin", r->layer);
    bool own = conform_trace_verdict(&t->trace, r->step, r->node)->score <= 1;
    for (uint32_t i = 0; i < step->tokens && want.data; i++) {
        uint32_t token = step->first + i, other = 0;
        double numbers[2] = {conform_golden_at(&margin, token), 0};
        if (group.data)
            numbers[0] = fmin(numbers[0], conform_golden_at(&group, token));
        for (uint32_t j = 0; j < k; j++)
            other += r->index[i * k + j] != (int32_t)conform_golden_at(&want, (uint64_t)token * k + j);
        if (other && sound_until(t, r->step, r->node))
            numbers[1] = allowed_key_error(t, r, i, token);
        conform_flip flip = other ? conform_flip_of(numbers[0], own ? 0 : -1, numbers[1]) : CONFORM_FLIP_NONE;
        add_flip(found, flip, token, r->layer, numbers);
    }
}

// What a router would choose by its logits if it were not told.
static iso_status free_choice(const iso_router *given, const iso_numerics *numerics, int32_t *out)
{
    iso_router p = *given;
    iso_reference_output expected[2] = {{0}};
    p.forced = (iso_tensor){0};
    ISO_TRY(conform_make_expected(iso_ops()->ops[iso_op_router], &p, numerics, expected));
    for (uint64_t i = 0; i < iso_tensor_elems(&p.index); i++)
        out[i] = (int32_t)expected[0].value[i];
    conform_free_expected(iso_ops()->ops[iso_op_router], expected);
    return ISO_OK;
}

static iso_status judge_router(const conform_model_trial *t, uint32_t step, uint32_t node, flips *found)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    void **inputs = NULL;
    int32_t *choice = NULL;
    const iso_node *n = iso_graph_node(t->subject.graph, node);
    const iso_router *p = (const iso_router *)params;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(NULL, iso_graph_value_count(t->subject.graph), &inputs), done);
    ISO_TRY_GOTO(conform_trace_params(&t->trace, &t->subject, step, node, inputs, params), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, iso_tensor_elems(&p->index), &choice), done);
    if (t->is_forced)
        ISO_TRY_GOTO(free_choice(p, &t->context->numerics, choice), done);
    else
        memcpy(choice, conform_model_content(t, step, n->operands[3]),
               iso_tensor_elems(&p->index) * sizeof *choice);
    judge_routing(t, &(routing){node, step, (uint32_t)n->layer, p->logits.host, choice}, found);
done:
    iso_free(NULL, choice);
    conform_free_inputs(&t->subject, inputs);
    return status;
}

iso_status conform_model_routing(const conform_model_trial *t, uint32_t *out_flips)
{
    flips found = {0};
    for (uint32_t step = 0; step < t->trace.step_count; step++)
        for (uint32_t node = 0; node < t->trace.node_count; node++)
            if (iso_graph_node(t->subject.graph, node)->op == iso_op_router)
                ISO_TRY(judge_router(t, step, node, &found));
    *out_flips = found.count[1] + found.count[2] + found.count[3];
    report_flips(t, &found, t->is_forced ? "routing, by the logits" : "routing", "choices of experts");
    return ISO_OK;
}
