// SPDX-License-Identifier: MIT
//
// A golden model as everybody runs it, by a runner (trial.h): the same bits as when it was observed, and
// where its own greedy continuation leaves the exact one.
#include <math.h>
#include <string.h>

#include "conformance/models/trial.h"

typedef struct walk {
    conform_model_trial *trial;
    iso_runner *runner;
    uint32_t sequence;
    iso_step_token tokens[64];
    iso_step_result results[64];
} walk;

// The step of a subject, by the runner. The results of its tokens are in w->results.
static iso_status step(walk *w, const int32_t *ids, uint32_t first, uint32_t count)
{
    const conform_model_trial *t = w->trial;
    const iso_model_config *c = t->golden.config;
    size_t stride = (size_t)(c->layer_count - c->first_dense_layers) * c->experts_per_token;
    for (uint32_t i = 0; i < count; i++)
        w->tokens[i] =
            (iso_step_token){.id = ids[first + i],
                             .sequence = w->sequence,
                             .want_logits = true,
                             .forced_experts = t->is_forced ? t->forced + (first + i) * stride : NULL};
    return iso_runner_step(w->runner, w->tokens, count, w->results);
}

// The same steps as observed: nothing may be different.
static iso_status compare_bits(walk *w)
{
    const conform_model_trial *t = w->trial;
    uint32_t vocab = t->golden.config->vocab_size;
    conform_result result =
        conform_result_make(CONFORM_PASS, "unobserved", "%s",
                            "one list a step gives the bits of the run that was observed op by op");
    for (uint32_t s = 0; s < t->subject.step_count; s++) {
        const conform_step *at = &t->subject.steps[s];
        ISO_TRY(step(w, t->ids, at->first, at->tokens));
        for (uint32_t i = 0; i < at->tokens && result.outcome == CONFORM_PASS; i++)
            if (memcmp(w->results[i].logits, conform_model_logits(t, at->first + i), vocab * sizeof(float)) !=
                0)
                result = conform_result_make(
                    CONFORM_FAIL, "unobserved",
                    "step %u, token %u: other logits than when every op was read back; isomer "
                    "bisect names the op",
                    s, at->first + i);
    }
    conform_model_report(t, result, result.outcome == CONFORM_PASS ? 0 : (double)INFINITY);
    return ISO_OK;
}

// Follows its own choices for as long as they are the exact ones; *out_flip says how the first other one is
// judged.
static iso_status follow(walk *w, uint32_t prompt, conform_result *out)
{
    const conform_model_trial *t = w->trial;
    iso_tensor_view ids = conform_golden_tensor(&t->golden, "prompt%u.input_ids", prompt);
    iso_tensor_view want = conform_golden_tensor(&t->golden, "prompt%u.greedy_ids", prompt);
    iso_tensor_view margins = conform_golden_tensor(&t->golden, "prompt%u.greedy_margin", prompt);
    iso_tensor_view logits = conform_golden_tensor(&t->golden, "prompt%u.logits", prompt);
    double rms = conform_golden_rms(&logits), allowed = conform_model_allowed(t);
    uint32_t length = (uint32_t)ids.dims[0];
    iso_step_result last = {0};
    int32_t prompt_ids[CONFORM_GOLDEN_MOST];
    for (uint32_t i = 0; i < length && i < CONFORM_GOLDEN_MOST; i++)
        prompt_ids[i] = (int32_t)conform_golden_at(&ids, i);
    ISO_TRY(iso_runner_prefill(w->runner, w->sequence, prompt_ids, length, &last));
    for (uint32_t i = 0; i < CONFORM_GREEDY_TOKENS; i++) {
        int32_t exact = (int32_t)conform_golden_at(&want, i), picked = last.picked;
        if (picked != exact) {
            double margin = conform_golden_at(&margins, i) / rms;
            double own = picked < 0 || (uint32_t)picked >= t->golden.config->vocab_size
                             ? -1
                             : (double)last.logits[picked] - (double)last.logits[exact];
            conform_flip flip = conform_flip_of(margin, own, allowed);
            *out = conform_result_make(flip == CONFORM_FLIP_EXPLAINED ? CONFORM_PASS : CONFORM_FAIL, "greedy",
                                       "prompt %u leaves the exact continuation at token %u, %s: exact "
                                       "margin %.3g of the RMS, allowed error "
                                       "of each side %.3g",
                                       prompt, i, conform_flip_name(flip), margin, allowed);
            return ISO_OK;
        }
        iso_step_token token = {.id = picked, .sequence = w->sequence, .want_logits = true};
        ISO_TRY(iso_runner_step(w->runner, &token, 1, &last));
    }
    return ISO_OK;
}

static iso_status run_greedy(walk *w)
{
    const conform_model_trial *t = w->trial;
    conform_result worst = conform_result_make(
        CONFORM_PASS, "greedy", "%u tokens after each prompt are the exact ones", CONFORM_GREEDY_TOKENS);
    for (uint32_t prompt = t->brief ? 1 : 0; prompt < (t->brief ? 2 : CONFORM_GOLDEN_PROMPTS); prompt++) {
        conform_result one = worst;
        ISO_TRY(iso_runner_open_sequence(w->runner, &w->sequence));
        iso_status status = follow(w, prompt, &one);
        iso_runner_close_sequence(w->runner, w->sequence);
        ISO_TRY(status);
        if (worst.outcome == CONFORM_PASS)
            worst = one;
    }
    conform_model_report(t, worst, worst.outcome == CONFORM_PASS ? 0 : (double)INFINITY);
    return ISO_OK;
}

iso_status conform_model_run(conform_model_trial *t)
{
    walk *w = NULL;
    iso_runner_options options = {.devices = &t->context->device,
                                  .device_count = 1,
                                  .activation = t->format->activation,
                                  .w8a8 = t->format->w8a8,
                                  .build = {.force_routing = t->is_forced},
                                  .context_tokens = 256,
                                  .all_rows = true,
                                  .poison = true};
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(NULL, 1, &w));
    w->trial = t;
    ISO_TRY_GOTO(iso_runner_create(t->golden.model, &options, &w->runner), done);
    ISO_TRY_GOTO(iso_runner_open_sequence(w->runner, &w->sequence), done);
    status = compare_bits(w);
    iso_runner_close_sequence(w->runner, w->sequence);
    // By itself a model needs its own routing; what quantised activations decide is rounding from the first
    // token on.
    if (status == ISO_OK && !t->is_forced && !t->format->w8a8)
        status = run_greedy(w);
done:
    iso_runner_destroy(w->runner);
    iso_free(NULL, w);
    return status;
}
