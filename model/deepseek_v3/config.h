// SPDX-License-Identifier: MIT
//
// Config fields of DeepSeek-V3, R1 and V3.1, and of Moonlight and Kimi-K2 that share their shape, beyond
// those that all architectures share. A table for model/models.def: no include guard, it is read several
// times. Source: config.json of deepseek-ai/DeepSeek-V3 and its README_WEIGHTS.md.
// clang-format off
ISO_MODEL(deepseek_v3)
ISO_CONFIG_COUNT("q_lora_rank",              q_lora_rank,           NULLABLE, 1, 1 << 16)
ISO_CONFIG_COUNT("kv_lora_rank",             kv_lora_rank,          REQUIRED, 1, 1 << 16)
ISO_CONFIG_COUNT("qk_nope_head_dim",         qk_nope_head_dim,      REQUIRED, 1, 4096)
ISO_CONFIG_COUNT("qk_rope_head_dim",         qk_rope_head_dim,      REQUIRED, 2, 4096)
ISO_CONFIG_COUNT("v_head_dim",               v_head_dim,            REQUIRED, 1, 4096)
ISO_CONFIG_ALWAYS(latent_norm_eps, 1e-6)
ISO_CONFIG_FLAG("rope_interleave",           rope_interleaved,      OR(true))
ISO_CONFIG_COUNT("moe_intermediate_size",    moe_intermediate_size, REQUIRED, 1, 1 << 17)
ISO_CONFIG_COUNT("n_routed_experts",         routed_expert_count,   REQUIRED, 1, 4096)
ISO_CONFIG_COUNT("n_shared_experts",         shared_expert_count,   NULLABLE, 0, 64)
ISO_CONFIG_COUNT("num_experts_per_tok",      experts_per_token,     REQUIRED, 1, 1024)
ISO_CONFIG_COUNT("n_group",                  group_count,           REQUIRED, 1, 1024)
ISO_CONFIG_COUNT("topk_group",               group_keep,            REQUIRED, 1, 1024)
ISO_CONFIG_CHOICE("topk_method",             topk_method,           OR(ISO_TOPK_BIASED_GROUP_TOP2),
                  {"noaux_tc", ISO_TOPK_BIASED_GROUP_TOP2})
ISO_CONFIG_CHOICE("scoring_func",            scoring,               OR(ISO_SCORING_SIGMOID),
                  {"sigmoid", ISO_SCORING_SIGMOID})
ISO_CONFIG_FLAG("norm_topk_prob",            normalise_weights,     OR(true))
ISO_CONFIG_REAL("routed_scaling_factor",     routed_scaling_factor, REQUIRED, 1e-6, 1e6)
ISO_CONFIG_COUNT("first_k_dense_replace",    first_dense_layers,    REQUIRED, 0, 2048)
ISO_CONFIG_COUNT("moe_layer_freq",           moe_layer_freq,        OR(1),    1, 2048)
ISO_CONFIG_COUNT("num_nextn_predict_layers", mtp_layer_count,       OR(0),    0, 8)
ISO_CONFIG_FALSE("attention_bias",           "biases of the attention projections")
ISO_CONFIG_FALSE("mlp_bias",                 "biases of the MLP projections")
ISO_MODEL_END(deepseek_v3)
ISO_MODEL_ALIAS(kimi_k2, deepseek_v3)
