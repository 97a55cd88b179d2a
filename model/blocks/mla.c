// SPDX-License-Identifier: MIT
//
// Multi-head latent attention in its absorbed form (DeepSeek-V2 paper, section 2.1; DeepSeek-V3
// inference/model.py, class MLA with attn_impl "absorb"). The cache holds one row per token: the normalised
// latent, then the rope key.
#include "kernels/head_linear/op.h"
#include "kernels/mla_attention/op.h"
#include "kernels/op_list.h"
#include "model/blocks/builder.h"
#include "model/checkpoint/rope_frequencies.h"

// One matrix per head, cut out of kv_b: W_UK (transposed) or W_UV.
static iso_value per_head(iso_builder *b, const char *name, iso_value x, iso_matrix kv_b,
                          iso_head_linear params, uint32_t width)
{
    const iso_model_config *c = b->config;
    params.head_rows = c->qk_nope_head_dim + c->v_head_dim;
    iso_value y =
        iso_build_activation(b, name, ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)c->head_count, (iso_dim)width));
    iso_graph_add_op(b->graph, iso_op_head_linear, &params, (iso_value[]){x, kv_b.weight, kv_b.scale, y});
    return y;
}

static iso_value query(iso_builder *b, iso_value x)
{
    if (!b->config->q_lora_rank)
        return iso_build_linear(b, "q", x, ISO_ROLE_Q, ISO_NO_VALUE);
    iso_value latent = iso_build_linear(b, "q_latent", x, ISO_ROLE_Q_A, ISO_NO_VALUE);
    iso_build_norm_into(b, latent, ISO_ROLE_Q_A_NORM, b->config->latent_norm_eps, latent);
    return iso_build_linear(b, "q", latent, ISO_ROLE_Q_B, ISO_NO_VALUE);
}

// Latent and rope key of each token, in the cache's row form.
static iso_value latent_row(iso_builder *b, iso_value x)
{
    uint32_t c = b->config->kv_lora_rank, r = b->config->qk_rope_head_dim;
    iso_value row = iso_build_linear(b, "kv", x, ISO_ROLE_KV_A, ISO_NO_VALUE);
    iso_value latent = iso_build_slice(b, "kv.latent", row, (iso_slice){.row = c + r, .width = c});
    iso_value key = iso_build_slice(b, "kv.rope", row, (iso_slice){.row = c + r, .offset = c, .width = r});
    iso_build_norm_into(b, latent, ISO_ROLE_KV_A_NORM, b->config->latent_norm_eps, latent);
    iso_build_rope(b, key);
    return row;
}

iso_value iso_block_mla(iso_builder *b, iso_value x)
{
    const iso_model_config *c = b->config;
    uint32_t heads = c->head_count, nope = c->qk_nope_head_dim, rope = c->qk_rope_head_dim;
    iso_matrix kv_b = iso_build_matrix(b, ISO_ROLE_KV_B);

    iso_value q = query(b, x);
    iso_value q_nope =
        iso_build_slice(b, "q.nope", q, (iso_slice){.heads = heads, .row = nope + rope, .width = nope});
    iso_value q_rope = iso_build_slice(
        b, "q.rope", q, (iso_slice){.heads = heads, .row = nope + rope, .offset = nope, .width = rope});
    iso_build_rope(b, q_rope);

    iso_value row = latent_row(b, x);
    iso_value cache = iso_build_cache(b, "cache", row, ISO_SHAPE((iso_dim)(c->kv_lora_rank + rope)));

    iso_value absorbed = per_head(b, "q.absorbed", q_nope, kv_b,
                                  (iso_head_linear){.row_offset = 0, .transposed = true}, c->kv_lora_rank);
    iso_value mixed = iso_build_activation(
        b, "latent_mix", ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)heads, (iso_dim)c->kv_lora_rank));
    iso_mla_attention attention = {.scale = (float)iso_softmax_scale(c)};
    iso_graph_add_op(b->graph, iso_op_mla_attention, &attention,
                     (iso_value[]){absorbed, q_rope, cache, b->values.block_table, b->values.positions,
                                   b->values.sequence, mixed});
    iso_value out = per_head(b, "heads", mixed, kv_b, (iso_head_linear){.row_offset = nope}, c->v_head_dim);
    iso_value flat = iso_build_slice(b, "heads.flat", out, (iso_slice){.width = heads * c->v_head_dim});
    return iso_build_linear(b, "attention", flat, ISO_ROLE_O, ISO_NO_VALUE);
}
