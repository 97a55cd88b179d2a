// SPDX-License-Identifier: MIT
//
// DeepSeek-V3, R1, V3.1, Moonlight and Kimi-K2: as V2 with a sigmoid router and its correction bias, and one
// MTP layer (DeepSeek-V3 technical report, sections 2.1 and 2.2).
#include "model/blocks/builder.h"

#define ISO_WEIGHTS_DEF "model/deepseek_v3/weights.def"
#include "model/blocks/describe.inc"

// The MTP layer predicts the token after next: it joins the next token's embedding (first half) with the main
// model's state after its final norm, runs one decoder layer, and has a norm and a head of its own.
static void build_mtp(iso_builder *b, iso_value state)
{
    const iso_model_config *c = b->config;
    uint32_t layer = c->layer_count, hidden = c->hidden_size;
    iso_build_layer(b, layer);
    iso_value table = iso_build_matrix(b, ISO_ROLE_MTP_EMBEDDING).weight;
    iso_value token = iso_build_gather(b, "token", table, b->values.next_ids, ISO_DIM_TOKENS);
    iso_value joined = iso_build_activation(b, "joined", ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)(2 * hidden)));
    iso_build_norm_into(
        b, token, ISO_ROLE_MTP_TOKEN_NORM, c->rms_norm_eps,
        iso_build_slice(b, "joined.token", joined, (iso_slice){.row = 2 * hidden, .width = hidden}));
    iso_build_norm_into(b, state, ISO_ROLE_MTP_STATE_NORM, c->rms_norm_eps,
                        iso_build_slice(b, "joined.state", joined,
                                        (iso_slice){.row = 2 * hidden, .offset = hidden, .width = hidden}));
    iso_value x = iso_build_linear(b, "joint", joined, ISO_ROLE_MTP_JOIN, ISO_NO_VALUE);
    x = iso_build_decoder_layer(b, layer, x, iso_block_mla);
    x = iso_build_norm(b, "mtp_state", x, ISO_ROLE_MTP_NORM, c->rms_norm_eps);
    iso_value rows = iso_build_gather(b, "mtp_rows", x, b->values.rows, ISO_DIM_ROWS);
    b->values.mtp_logits =
        iso_build_linear_f32(b, "mtp_logits", rows, iso_build_matrix(b, ISO_ROLE_MTP_HEAD));
    iso_graph_mark_output(b->graph, b->values.mtp_logits);
}

static void build(iso_builder *b)
{
    iso_build_step_inputs(b);
    iso_value x = iso_build_embedding(b);
    for (uint32_t layer = 0; layer < b->config->layer_count; layer++)
        x = iso_build_decoder_layer(b, layer, x, iso_block_mla);
    iso_value state = iso_build_head(b, x);
    if (b->options.mtp)
        build_mtp(b, state);
}

extern const iso_architecture iso_architecture_deepseek_v3;
const iso_architecture iso_architecture_deepseek_v3 = {"deepseek_v3", describe, build};
