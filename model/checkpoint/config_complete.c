// SPDX-License-Identifier: MIT
//
// How config fields depend on each other: fills those that follow from others, then refuses contradictions.
// Each field alone is right already. It must not read JSON.
#include <inttypes.h>

#include "model/checkpoint/config_fields.h"

// Fails with ISO_CORRUPT unless the condition holds.
#define DEMAND(condition, ...)                                                                               \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return iso_fail(ISO_CORRUPT, __VA_ARGS__);                                                       \
    } while (0)

static void derive_mla(iso_model_config *c)
{
    c->head_dim = c->qk_nope_head_dim + c->qk_rope_head_dim;
    // The greedy router does not look at groups, whatever the file says.
    if (c->topk_method == ISO_TOPK_GREEDY)
        c->group_count = c->group_keep = 1;
}

static iso_status check_mla(const iso_model_config *c)
{
    DEMAND(c->kv_head_count == c->head_count,
           "num_key_value_heads %" PRIu32 " must equal num_attention_heads %" PRIu32
           " with latent attention; " ISO_REMEDY_CONFIG,
           c->kv_head_count, c->head_count);
    DEMAND(c->qk_rope_head_dim % 2 == 0, "qk_rope_head_dim %" PRIu32 " must be even; " ISO_REMEDY_CONFIG,
           c->qk_rope_head_dim);
    return ISO_OK;
}

static iso_status check_heads(const iso_model_config *c)
{
    DEMAND(c->head_count % c->kv_head_count == 0,
           "num_attention_heads %" PRIu32 " must be a multiple of num_key_value_heads %" PRIu32
           "; " ISO_REMEDY_CONFIG,
           c->head_count, c->kv_head_count);
    DEMAND(c->head_dim > 0,
           "hidden_size %" PRIu32 " must be a multiple of num_attention_heads %" PRIu32
           " where there is no head_dim; " ISO_REMEDY_CONFIG,
           c->hidden_size, c->head_count);
    DEMAND(c->head_dim % 2 == 0, "head_dim %" PRIu32 " must be even; " ISO_REMEDY_CONFIG, c->head_dim);
    return ISO_OK;
}

static iso_status check_experts(const iso_model_config *c)
{
    DEMAND(c->group_count > 0 && c->group_keep > 0,
           "n_group and topk_group must be at least 1 with this topk_method, not null; " ISO_REMEDY_CONFIG);
    DEMAND(c->routed_expert_count % c->group_count == 0,
           "n_routed_experts %" PRIu32 " must be a multiple of n_group %" PRIu32 "; " ISO_REMEDY_CONFIG,
           c->routed_expert_count, c->group_count);
    DEMAND(c->group_keep <= c->group_count,
           "topk_group %" PRIu32 " must be at most n_group %" PRIu32 "; " ISO_REMEDY_CONFIG, c->group_keep,
           c->group_count);
    uint32_t group_size = c->routed_expert_count / c->group_count;
    DEMAND(c->experts_per_token <= group_size * c->group_keep,
           "num_experts_per_tok %" PRIu32 " must be at most %" PRIu32 ", the experts in topk_group %" PRIu32
           " groups; " ISO_REMEDY_CONFIG,
           c->experts_per_token, group_size * c->group_keep, c->group_keep);
    DEMAND(c->topk_method != ISO_TOPK_BIASED_GROUP_TOP2 || c->group_count == 1 || group_size >= 2,
           "n_group %" PRIu32
           " leaves one expert to a group, whose score is the sum of two; " ISO_REMEDY_CONFIG,
           c->group_count);
    DEMAND(c->first_dense_layers <= c->layer_count,
           "first_k_dense_replace %" PRIu32 " must be at most num_hidden_layers %" PRIu32
           "; " ISO_REMEDY_CONFIG,
           c->first_dense_layers, c->layer_count);
    return ISO_OK;
}

static iso_status check_rope(const iso_model_config *c)
{
    const iso_rope_scaling *s = &c->rope_scaling;
    DEMAND(c->rope_theta > 0,
           "field \"rope_theta\" is missing; it must be a number from 2; " ISO_REMEDY_CONFIG);
    DEMAND(s->type != ISO_ROPE_SCALING_YARN || s->beta_fast >= s->beta_slow,
           "rope scaling: beta_fast %g must be at least beta_slow %g; " ISO_REMEDY_CONFIG, s->beta_fast,
           s->beta_slow);
    DEMAND(s->type != ISO_ROPE_SCALING_LLAMA3 || s->high_freq_factor > s->low_freq_factor,
           "rope scaling: high_freq_factor %g must be more than low_freq_factor %g; " ISO_REMEDY_CONFIG,
           s->high_freq_factor, s->low_freq_factor);
    return ISO_OK;
}

iso_status iso_config_complete(iso_model_config *c)
{
    bool is_mla = c->kv_lora_rank > 0;
    if (c->kv_head_count == 0)
        c->kv_head_count = c->head_count;
    if (is_mla)
        derive_mla(c);
    else if (c->head_dim == 0 && c->hidden_size % c->head_count == 0)
        c->head_dim = c->hidden_size / c->head_count;
    ISO_TRY(is_mla ? check_mla(c) : check_heads(c));
    if (c->routed_expert_count > 0)
        ISO_TRY(check_experts(c));
    return check_rope(c);
}

bool iso_config_layer_is_moe(const iso_model_config *c, uint32_t layer)
{
    return c->routed_expert_count > 0 && layer >= c->first_dense_layers && layer % c->moe_layer_freq == 0;
}
