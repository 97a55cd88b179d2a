// SPDX-License-Identifier: MIT
//
// Grouped-query attention (Ainslie et al. 2023) with optional biases and per-head q and k norms, over a paged
// cache.
#include <math.h>
#include <stdio.h>

#include "kernels/gqa_attention/op.h"
#include "kernels/op_list.h"
#include "model/blocks/builder.h"

// Projects x to [T, heads, dim].
static iso_value heads_of(iso_builder *b, const char *name, iso_value x, iso_role role, iso_role bias,
                          uint32_t heads)
{
    char flat_name[ISO_VALUE_NAME_BYTES];
    snprintf(flat_name, sizeof flat_name, "%s.flat", name);
    iso_value flat = iso_build_linear(b, flat_name, x, role, iso_build_vector(b, bias));
    return iso_build_slice(b, name, flat, (iso_slice){.heads = heads, .width = b->config->head_dim});
}

iso_value iso_block_gqa(iso_builder *b, iso_value x)
{
    const iso_model_config *c = b->config;
    iso_value q = heads_of(b, "q", x, ISO_ROLE_Q, ISO_ROLE_Q_BIAS, c->head_count);
    iso_value k = heads_of(b, "k", x, ISO_ROLE_K, ISO_ROLE_K_BIAS, c->kv_head_count);
    iso_value v = heads_of(b, "v", x, ISO_ROLE_V, ISO_ROLE_V_BIAS, c->kv_head_count);
    if (c->qk_norm) {
        iso_build_norm_into(b, q, ISO_ROLE_Q_NORM, c->rms_norm_eps, q);
        iso_build_norm_into(b, k, ISO_ROLE_K_NORM, c->rms_norm_eps, k);
    }
    iso_build_rope(b, q);
    iso_build_rope(b, k);

    iso_dim dims[2] = {(iso_dim)c->kv_head_count, (iso_dim)c->head_dim};
    iso_value k_cache = iso_build_cache(b, "k_cache", k, dims, 2);
    iso_value v_cache = iso_build_cache(b, "v_cache", v, dims, 2);

    iso_value out = iso_build_activation(
        b, "heads", ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)c->head_count, (iso_dim)c->head_dim));
    iso_gqa_attention attention = {.scale = (float)(1.0 / sqrt((double)c->head_dim))};
    iso_graph_add_op(b->graph, iso_op_gqa_attention, &attention,
                     (iso_value[]){q, k_cache, v_cache, b->values.block_table, b->values.positions,
                                   b->values.sequence, out});
    iso_value flat = iso_build_slice(b, "heads.flat", out, (iso_slice){.width = c->head_count * c->head_dim});
    return iso_build_linear(b, "attention", flat, ISO_ROLE_O, ISO_NO_VALUE);
}
