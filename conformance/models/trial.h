// SPDX-License-Identifier: MIT
//
// One golden model in one number format on one device: what the checks of the model suite share.
#ifndef ISOMER_CONFORMANCE_MODEL_TRIAL_H
#define ISOMER_CONFORMANCE_MODEL_TRIAL_H

#include "conformance/bisect/observe.h"
#include "conformance/models/golden_data.h"

// How a model is run, and what is allowed then (conformance/golden/models/README.md), over the RMS of the
// exact values.
typedef struct conform_model_format {
    const char *name;
    iso_dtype activation;
    bool w8a8;          // no exact answers: ops are judged, the rest is not
    double dense_worst; // of a logit
    double dense_rms;   // 0: not demanded
    double routed_worst, routed_rms;
    bool force; // mixtures of experts run with the exact experts
} conform_model_format;

typedef struct conform_model_trial {
    conform_context *context;
    const conform_model_format *format;
    conform_golden golden;
    bool brief; // few tokens, one prompt continued
    // The observed run over the longest prompt.
    conform_subject subject;
    conform_trace trace;
    int32_t ids[CONFORM_GOLDEN_MOST];
    int32_t *forced; // [token, MoE layers, k]
    bool is_forced;
} conform_model_trial;

// The error that is allowed of one logit, over the RMS.
double conform_model_allowed(const conform_model_trial *trial);
// [token, width] of the longest prompt as observed, of one token.
const float *conform_model_logits(const conform_model_trial *trial, uint32_t token);

// The step that ran a token, and its row there.
uint32_t conform_model_step(const conform_model_trial *trial, uint32_t token, uint32_t *out_row);
// What a value held at the end of a step, from the start of its storage.
const void *conform_model_content(const conform_model_trial *trial, uint32_t step, iso_value value);

// Reports "tokens": the greedy choice at each position of the observed run.
void conform_model_tokens(const conform_model_trial *trial);
// Reports "routing"; *out_flips: tokens whose experts are not the exact ones.
iso_status conform_model_routing(const conform_model_trial *trial, uint32_t *out_flips) ISO_MUST_USE;

// Runs the model observed, and reports "ops" with the profile, "logits", "routing", "tokens". *out_flips:
// tokens whose experts are not the exact ones.
iso_status conform_model_observe(conform_model_trial *trial, bool force, uint32_t *out_flips) ISO_MUST_USE;
// Runs the model by a runner, as everybody does: the same bits as observed ("unobserved"), and on by itself
// ("greedy").
iso_status conform_model_run(conform_model_trial *trial) ISO_MUST_USE;

// Reports a result with its number.
void conform_model_report(const conform_model_trial *trial, conform_result result, double score);

#endif
