// SPDX-License-Identifier: MIT
//
// What a model's config.json says, in one struct for all architectures.
//
// A field that an architecture does not have is 0, false or NONE. Values were checked against their ranges
// and against each other when the file was read, so readers of the struct need not check again. Which keys an
// architecture reads, and their ranges, is the table model/<architecture>/config.h.
#ifndef ISOMER_CONFIG_H
#define ISOMER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/dtype.h"
#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

#define ISO_MAX_EOS_IDS      8
#define ISO_MODEL_TYPE_BYTES 32

// How the router chooses experts from their scores.
typedef enum iso_topk_method {
    ISO_TOPK_NONE = 0,
    ISO_TOPK_GREEDY,    // "greedy": the k best of all
    ISO_TOPK_GROUP_MAX, // "group_limited_greedy": the k best within the kept groups; a group's score is its
                        // maximum
    // "noaux_tc": as before, but with a correction bias added for the selection only, and a group's score is
    // the sum of its two best; with one group there is no group step
    ISO_TOPK_BIASED_GROUP_TOP2
} iso_topk_method;

typedef enum iso_scoring {
    ISO_SCORING_NONE = 0,
    ISO_SCORING_SOFTMAX, // over all experts
    ISO_SCORING_SIGMOID
} iso_scoring;

typedef enum iso_rope_scaling_type {
    ISO_ROPE_SCALING_NONE = 0,
    ISO_ROPE_SCALING_YARN,
    ISO_ROPE_SCALING_LLAMA3
} iso_rope_scaling_type;

// config key "rope_scaling", or "rope_parameters" as newer files have it. model/checkpoint/rope_frequencies.h
// turns it into frequencies.
typedef struct iso_rope_scaling {
    iso_rope_scaling_type type;     // "rope_type" or "type"
    double factor;                  // >= 1; 1 without scaling
    uint32_t original_max_position; // tokens; "original_max_position_embeddings"
    // YaRN
    double beta_fast; // rotations within the original length above which a pair keeps its frequency
    double beta_slow; // and below which it is divided by `factor`
    double mscale;    // m(mscale) / m(mscale_all_dim) multiplies cos and sin; m(s) = 0.1 s ln(factor) + 1
    double mscale_all_dim; // MLA: m(mscale_all_dim)^2 multiplies the softmax scale; 0 when the file has none
    double attn_factor; // multiplies cos and sin on top; 1 when the file has none (R1-0528-Qwen3 has 0.878)
    double attention_factor; // > 0: what cos and sin are multiplied by, whatever the four above say
    // llama3
    double low_freq_factor;
    double high_freq_factor;
} iso_rope_scaling;

typedef struct iso_model_config {
    // "model_type" as it stands in the file, such as "kimi_k2".
    char model_type[ISO_MODEL_TYPE_BYTES];
    // The folder of model/ that describes it, such as "deepseek_v3" also for "kimi_k2". Static text, never
    // NULL.
    const char *architecture;
    // "torch_dtype" or "dtype": what the weights are stored in where they are not FP8; BF16 when the file is
    // silent.
    iso_dtype weight_dtype;

    // All architectures.
    uint32_t hidden_size;       // elements; "hidden_size"
    uint32_t layer_count;       // without MTP layers; "num_hidden_layers"
    uint32_t vocab_size;        // rows of embedding and head; "vocab_size"
    uint32_t max_positions;     // tokens; "max_position_embeddings"
    uint32_t intermediate_size; // elements, dense MLP; "intermediate_size"
    double rms_norm_eps;        // input, post-attention, final (and q and k) norms; "rms_norm_eps"
    bool tie_word_embeddings;   // the head is the embedding matrix; "tie_word_embeddings", absent: false
    int32_t bos_id;             // -1: none; "bos_token_id"
    uint32_t eos_count;         // 0: none
    int32_t eos_ids[ISO_MAX_EOS_IDS]; // "eos_token_id", one id or a list

    // Attention. Dense models (qwen2, llama, qwen3) have all of these; of MLA models see the remarks.
    uint32_t head_count;    // query heads; "num_attention_heads"
    uint32_t kv_head_count; // "num_key_value_heads"; MLA: equal to head_count
    uint32_t head_dim; // elements of one query or key head; "head_dim", absent: hidden_size / head_count;
                       // MLA: qk_nope_head_dim + qk_rope_head_dim
    bool qkv_bias;     // q, k and v projections have biases: qwen2
    bool qk_norm;      // RMSNorm over each q and k head before rope: qwen3

    // MLA (deepseek_v2, deepseek_v3); kv_lora_rank is 0 in all other models.
    uint32_t q_lora_rank;      // elements of the query latent; 0: q_proj is one matrix; "q_lora_rank"
    uint32_t kv_lora_rank;     // elements of the cached latent; "kv_lora_rank"
    uint32_t qk_nope_head_dim; // elements per head without position; "qk_nope_head_dim"
    uint32_t qk_rope_head_dim; // elements per head that rotate, even; "qk_rope_head_dim"
    uint32_t v_head_dim;       // elements; "v_head_dim"
    double latent_norm_eps;    // eps of the norms on the two latents: 1e-6 whatever rms_norm_eps says; no key

    // Mixture of experts (deepseek_v2, deepseek_v3); routed_expert_count is 0 in all other models.
    uint32_t routed_expert_count;   // "n_routed_experts"
    uint32_t shared_expert_count;   // one MLP as wide as this many experts; 0: none; "n_shared_experts"
    uint32_t experts_per_token;     // "num_experts_per_tok"
    uint32_t moe_intermediate_size; // elements of one expert; "moe_intermediate_size"
    uint32_t group_count; // groups of consecutive experts; 1: no groups; "n_group", for greedy always 1
    uint32_t group_keep;  // groups a token may choose from; "topk_group", for greedy always 1
    iso_topk_method topk_method;  // "topk_method"
    iso_scoring scoring;          // "scoring_func"
    bool normalise_weights;       // chosen weights are divided by their sum; "norm_topk_prob"
    double routed_scaling_factor; // multiplies the chosen weights at the end; "routed_scaling_factor"
    uint32_t first_dense_layers;  // "first_k_dense_replace"
    uint32_t moe_layer_freq;  // of the layers from there on, those divisible by it are MoE; "moe_layer_freq"
    uint32_t mtp_layer_count; // deepseek_v3: MTP layers after the last; "num_nextn_predict_layers", absent: 0

    // Rope.
    double rope_theta;     // "rope_theta", or in "rope_parameters"
    bool rope_interleaved; // rotates elements (2i, 2i+1): deepseek_*; else (i, i + d/2)
    iso_rope_scaling rope_scaling;

    // Quantisation: "quantization_config".
    uint32_t fp8_block; // 128: linear weights are FP8 E4M3 with a scale per 128 x 128 block; 0: they are not
    bool scale_ue8m0;   // "scale_fmt" is "ue8m0" (V3.1): the scales are powers of two
} iso_model_config;

// ---- calls ----

// Reads `path`, a config.json or a folder that holds one, into the caller's struct.
// ISO_NOT_FOUND or ISO_IO: the file; ISO_CORRUPT: not JSON, or a field is missing, of the wrong type, out of
// range or at odds with another; ISO_UNSUPPORTED: a model type, activation, scaling or quantisation that
// Isomer does not have. The text names file, field, value, what is allowed, and the remedy. On failure
// *out_config is zeroed.
ISO_API iso_status iso_config_load(const char *path, iso_model_config *out_config) ISO_MUST_USE;

// The same from memory; `file` is only for messages.
ISO_API iso_status iso_config_parse(const char *json, size_t json_bytes, const char *file,
                                    iso_model_config *out_config) ISO_MUST_USE;

// Whether the MLP of `layer` is a mixture of experts. MTP layers count on after the last: they follow the
// same rule.
ISO_API bool iso_config_layer_is_moe(const iso_model_config *config, uint32_t layer);

// How many "model_type" names are known, and the index-th (NULL beyond).
ISO_API uint32_t iso_config_model_type_count(void);
ISO_API const char *iso_config_model_type(uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
