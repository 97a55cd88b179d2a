// SPDX-License-Identifier: MIT
//
// What a model asks of a device, read off its graph: parameters, bytes, operations. Shapes only: no weights
// are needed. Shared by `inspect` and `plan`.
#ifndef ISOMER_TOOLS_NEEDS_H
#define ISOMER_TOOLS_NEEDS_H

#include <jansson.h>

#include "isomer/model.h"

typedef struct cli_needs {
    uint64_t parameters;
    uint64_t active_parameters; // that one token is multiplied with: of the experts only those it is routed
                                // to, of the embedding only its row
    uint64_t weight_bytes;      // as stored, scales included
    uint64_t active_weight_bytes;
    uint64_t kv_bytes_per_token; // one row in the cache of each layer
    uint64_t flops_per_token;    // one token at the end of a full context
} cli_needs;

// `context_tokens`: what the attention of the token that is counted looks at. `activation`: what caches hold
// where the graph leaves it open. ISO_OUT_OF_MEMORY.
iso_status cli_needs_of(const iso_graph *graph, const iso_model_config *config, iso_dtype activation,
                        uint32_t context_tokens, cli_needs *out) ISO_MUST_USE;

json_t *cli_needs_json(const cli_needs *needs);

// The context that a runner takes where none is given.
uint32_t cli_default_context(const iso_model_config *config);

// Sizes of everything symbolic in a step of `tokens` with `rows` rows of logits, one sequence, `context`
// tokens.
iso_dim_values cli_step_dims(uint32_t tokens, uint32_t rows, uint32_t context);

#define CLI_SHAPE_BYTES 96
// "[T, 7168] bf16".
const char *cli_format_shape(const iso_value_info *value, char out[CLI_SHAPE_BYTES]);
// ["T", 7168]
json_t *cli_shape_json(const iso_value_info *value);

#endif
