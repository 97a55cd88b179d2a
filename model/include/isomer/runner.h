// SPDX-License-Identifier: MIT
//
// Running a model: sequences over a paged KV cache, steps of any mixture of them, and text generation on top.
//
// A step takes tokens of several sequences, some in prefill, some in decode. Every sequence gets what it
// would get alone, bit for bit on the same device. Steps larger than the largest recorded size are cut into
// chunks.
//
// Threads: a runner is used by one thread at a time.
#ifndef ISOMER_RUNNER_H
#define ISOMER_RUNNER_H

#include "isomer/model.h"
#include "isomer/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_runner iso_runner;

typedef struct iso_runner_options {
    const iso_allocator *allocator;
    iso_device *const *devices; // lent; outlive the runner
    uint32_t device_count;
    const iso_layer_range *ranges; // NULL: everything on devices[0]
    uint32_t range_count;
    uint32_t fallback_device; // as in iso_plan_options
    iso_dtype activation;     // F32 (also when NONE) or BF16
    bool w8a8;
    iso_build_options build;
    uint32_t context_tokens; // longest sequence; 0: the config's limit, at most 4096
    uint32_t sequence_count; // sequences alive at once; 0: 1
    uint32_t chunk_tokens;   // largest step; 0: 64
    bool all_rows; // steps may ask for the logits of every token (otherwise of up to sequence_count)
    bool poison;   // as in iso_session_options; unused cache pages are filled with NaN as well
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes); // may be NULL
    void *progress_context;
} iso_runner_options;

// One token of a step. A sequence's tokens come in order, without a gap to what it holds already.
typedef struct iso_step_token {
    int32_t id;
    uint32_t sequence; // from iso_runner_open_sequence
    bool want_logits;
    int32_t next_id;               // MTP only: the token that follows
    const int32_t *forced_experts; // force_routing only: [MoE layers, k]
} iso_step_token;

// What a step calculated for one of its tokens. Pointers are lent until the next step; NULL where not asked
// for.
typedef struct iso_step_result {
    const float *logits;     // [vocab]
    const float *mtp_logits; // [vocab]
    int32_t picked;          // greedy choice of `logits`
} iso_step_result;

// ---- calls ----

// ISO_OUT_OF_MEMORY names the device and what it would need; ISO_UNSUPPORTED the op without a kernel.
ISO_API iso_status iso_runner_create(const iso_model *model, const iso_runner_options *options,
                                     iso_runner **out_runner) ISO_MUST_USE;
ISO_API void iso_runner_destroy(iso_runner *runner);

ISO_API const iso_allocator *iso_runner_allocator(const iso_runner *runner);
ISO_API const iso_model_config *iso_runner_config(const iso_runner *runner);
ISO_API const iso_plan *iso_runner_plan(const iso_runner *runner);
ISO_API iso_session *iso_runner_session(iso_runner *runner);
ISO_API const iso_model_values *iso_runner_values(const iso_runner *runner);
ISO_API uint32_t iso_runner_context_tokens(const iso_runner *runner);
ISO_API uint32_t iso_runner_chunk_tokens(const iso_runner *runner);

// An empty sequence. ISO_LIMIT when sequence_count are open.
ISO_API iso_status iso_runner_open_sequence(iso_runner *runner, uint32_t *out_sequence) ISO_MUST_USE;
// Gives its pages back. An unknown number does nothing.
ISO_API void iso_runner_close_sequence(iso_runner *runner, uint32_t sequence);
// Forgets everything from `tokens` on (a rejected draft).
ISO_API iso_status iso_runner_truncate(iso_runner *runner, uint32_t sequence, uint32_t tokens) ISO_MUST_USE;
// Tokens that it holds.
ISO_API uint32_t iso_runner_length(const iso_runner *runner, uint32_t sequence);

// Runs up to chunk_tokens tokens. results has `count` entries, in the order of `tokens`. On failure no
// sequence has changed its length. ISO_INVALID_ARGUMENT: an id outside the vocabulary; ISO_LIMIT: the context
// is full.
ISO_API iso_status iso_runner_step(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                                   iso_step_result *results) ISO_MUST_USE;

// After a step: value [T, width] (an output of the graph) as float, one row for each of the step's tokens, or
// I32 widened exactly. out has count * width entries.
ISO_API iso_status iso_runner_read_rows(iso_runner *runner, iso_value value, uint32_t count,
                                        float *out) ISO_MUST_USE;
ISO_API iso_status iso_runner_read_indices(iso_runner *runner, iso_value value, uint32_t count,
                                           int32_t *out) ISO_MUST_USE;

// Feeds `ids` in chunks; *out_last is the result of the last one (its logits are asked for).
ISO_API iso_status iso_runner_prefill(iso_runner *runner, uint32_t sequence, const int32_t *ids,
                                      uint32_t count, iso_step_result *out_last) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
