// SPDX-License-Identifier: MIT
//
// Feeds given tokens to a runner and keeps what every one of them gave: logits of all rows and, where the
// runner was built to expose them, the residual stream after each layer, the routing, and the MTP logits.
// Everything is held in memory. Shared by `logits`, which writes it to a file, and `compare`, which compares
// two.
#ifndef ISOMER_TOOLS_CAPTURE_H
#define ISOMER_TOOLS_CAPTURE_H

#include "isomer/runner.h"

typedef struct cli_capture_input {
    const int32_t *ids;     // [count]
    uint32_t count;         // 1 or more
    uint32_t prefill_count; // fed in chunks; the tokens after them one by one, as they are when generating
    const int32_t *forced_experts; // [count, routed layers, k], for a runner with force_routing
    void (*progress)(void *context, uint64_t done, uint64_t total); // may be NULL
    void *progress_context;
} cli_capture_input;

typedef struct cli_capture {
    uint32_t count; // tokens
    uint32_t vocab;
    uint32_t width;        // of the residual stream
    uint32_t hidden_count; // layers + 1, or 0
    uint32_t choices;      // experts per token
    uint32_t routed_count; // layers whose routing is here
    uint32_t routed_layers[ISO_MAX_LAYERS];
    float *logits;                  // [count, vocab]
    float *mtp_logits;              // [count, vocab], or NULL
    int32_t *picked;                // [count]: greedy choice of each row
    float *hidden;                  // [hidden_count, count, width]
    int32_t *experts;               // [routed_count, count, choices]
    float *expert_weights;          // likewise
    uint64_t prefill_ns, decode_ns; // of the steps alone
} cli_capture;

// The layers of a runner's model that choose experts, the MTP layer included where it was built. Returns
// their count.
uint32_t cli_routed_layers(const iso_runner *runner, uint32_t out[ISO_MAX_LAYERS]);

// `build` is what `runner` (created with all_rows) was built with. Runs in a sequence of its own. With MTP
// the token after the last one is the runner's greedy choice. ISO_NOT_FOUND: an id that the model does not
// have. Release with cli_capture_deinit, also after a failure.
iso_status cli_capture_run(iso_runner *runner, const iso_build_options *build, const cli_capture_input *input,
                           cli_capture *out) ISO_MUST_USE;

// Accepts a zeroed capture.
void cli_capture_deinit(cli_capture *capture);

#endif
