// SPDX-License-Identifier: MIT
//
// Unit tests of config reading: the published configs of conformance/golden/configs field by field, and those
// of the golden models.
#include "conformance/unit/checkpoint_files.h"

#include "isomer/config.h"

#ifndef ISO_SOURCE_DIR
#define ISO_SOURCE_DIR "."
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const char *golden_path(const char *kind, const char *name, const char *file)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, ISO_SOURCE_DIR "/conformance/golden/%s/%s%s", kind, name, file);
    return path;
}

// ---- published configs ----

// The rows of the facts that differ between models, in groups as in the struct.
typedef struct expected_config {
    const char *name;
    const char *architecture;
    uint32_t hidden, layers, vocab, positions, intermediate;
    double eps;
    int32_t bos, eos;
    uint32_t heads, kv_heads, head_dim;
    bool qkv_bias, qk_norm;
    uint32_t q_lora, kv_lora, nope, rope, v;
    uint32_t routed, shared, per_token, moe_intermediate, groups, keep;
    iso_topk_method topk;
    iso_scoring scoring;
    bool normalise;
    double scaling_factor;
    uint32_t first_dense, mtp;
    double theta;
    bool interleaved;
    iso_rope_scaling rope_scaling;
    uint32_t fp8_block;
    bool ue8m0;
} expected_config;

// The parts that several published models have in common.
#define YARN_40(scale)                                                                                       \
    {                                                                                                        \
        .type = ISO_ROPE_SCALING_YARN, .factor = 40, .original_max_position = 4096, .beta_fast = 32,         \
        .beta_slow = 1, .mscale = scale, .mscale_all_dim = scale, .attn_factor = 1                           \
    }
#define NO_SCALING                                                                                           \
    {                                                                                                        \
        .factor = 1, .attn_factor = 1                                                                        \
    }
#define MLA_DIMS .kv_lora = 512, .nope = 128, .rope = 64, .v = 128, .head_dim = 192, .interleaved = true
#define V2_ROUTER                                                                                            \
    .shared = 2, .per_token = 6, .scoring = ISO_SCORING_SOFTMAX, .normalise = false, .first_dense = 1
#define V3_ROUTER .scoring = ISO_SCORING_SIGMOID, .normalise = true, .topk = ISO_TOPK_BIASED_GROUP_TOP2
#define V3_BODY                                                                                              \
    .architecture = "deepseek_v3", MLA_DIMS, V3_ROUTER, .hidden = 7168, .layers = 61, .vocab = 129280,       \
    .positions = 163840, .intermediate = 18432, .eps = 1e-6, .bos = 0, .eos = 1, .heads = 128,               \
    .kv_heads = 128, .q_lora = 1536, .routed = 256, .shared = 1, .per_token = 8, .moe_intermediate = 2048,   \
    .groups = 8, .keep = 4, .scaling_factor = 2.5, .first_dense = 3, .mtp = 1, .theta = 10000,               \
    .rope_scaling = YARN_40(1.0), .fp8_block = 128

static const expected_config published[] = {
    {.name = "deepseek-v2-lite",
     .architecture = "deepseek_v2",
     MLA_DIMS,
     V2_ROUTER,
     .hidden = 2048,
     .layers = 27,
     .vocab = 102400,
     .positions = 163840,
     .intermediate = 10944,
     .eps = 1e-6,
     .bos = 100000,
     .eos = 100001,
     .heads = 16,
     .kv_heads = 16,
     .q_lora = 0,
     .routed = 64,
     .moe_intermediate = 1408,
     .groups = 1,
     .keep = 1,
     .topk = ISO_TOPK_GREEDY,
     .scaling_factor = 1,
     .theta = 10000,
     .rope_scaling = YARN_40(0.707)},
    {.name = "deepseek-v2",
     .architecture = "deepseek_v2",
     MLA_DIMS,
     V2_ROUTER,
     .hidden = 5120,
     .layers = 60,
     .vocab = 102400,
     .positions = 163840,
     .intermediate = 12288,
     .eps = 1e-6,
     .bos = 100000,
     .eos = 100001,
     .heads = 128,
     .kv_heads = 128,
     .q_lora = 1536,
     .routed = 160,
     .moe_intermediate = 1536,
     .groups = 8,
     .keep = 3,
     .topk = ISO_TOPK_GROUP_MAX,
     .scaling_factor = 16,
     .theta = 10000,
     .rope_scaling = YARN_40(1.0)},
    {.name = "deepseek-v3", V3_BODY},
    {.name = "deepseek-v3.1", V3_BODY, .ue8m0 = true},
    {.name = "moonlight-16b-a3b",
     .architecture = "deepseek_v3",
     MLA_DIMS,
     V3_ROUTER,
     .hidden = 2048,
     .layers = 27,
     .vocab = 163840,
     .positions = 8192,
     .intermediate = 11264,
     .eps = 1e-5,
     .bos = 163584,
     .eos = 163585,
     .heads = 16,
     .kv_heads = 16,
     .q_lora = 0,
     .routed = 64,
     .shared = 2,
     .per_token = 6,
     .moe_intermediate = 1408,
     .groups = 1,
     .keep = 1,
     .scaling_factor = 2.446,
     .first_dense = 1,
     .theta = 50000,
     .rope_scaling = NO_SCALING},
    {.name = "kimi-k2",
     .architecture = "deepseek_v3",
     MLA_DIMS,
     V3_ROUTER,
     .hidden = 7168,
     .layers = 61,
     .vocab = 163840,
     .positions = 131072,
     .intermediate = 18432,
     .eps = 1e-6,
     .bos = 163584,
     .eos = 163585,
     .heads = 64,
     .kv_heads = 64,
     .q_lora = 1536,
     .routed = 384,
     .shared = 1,
     .per_token = 8,
     .moe_intermediate = 2048,
     .groups = 1,
     .keep = 1,
     .scaling_factor = 2.827,
     .first_dense = 1,
     .theta = 50000,
     .rope_scaling = {.type = ISO_ROPE_SCALING_YARN,
                      .factor = 32,
                      .original_max_position = 4096,
                      .beta_fast = 1,
                      .beta_slow = 1,
                      .mscale = 1,
                      .mscale_all_dim = 1,
                      .attn_factor = 1},
     .fp8_block = 128},
    {.name = "r1-distill-qwen-1.5b",
     .architecture = "qwen2",
     .hidden = 1536,
     .layers = 28,
     .vocab = 151936,
     .positions = 131072,
     .intermediate = 8960,
     .eps = 1e-6,
     .bos = 151643,
     .eos = 151643,
     .heads = 12,
     .kv_heads = 2,
     .head_dim = 128,
     .qkv_bias = true,
     .theta = 10000,
     .rope_scaling = NO_SCALING},
    {.name = "r1-distill-llama-8b",
     .architecture = "llama",
     .hidden = 4096,
     .layers = 32,
     .vocab = 128256,
     .positions = 131072,
     .intermediate = 14336,
     .eps = 1e-5,
     .bos = 128000,
     .eos = 128001,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .theta = 500000,
     .rope_scaling = {.type = ISO_ROPE_SCALING_LLAMA3,
                      .factor = 8,
                      .original_max_position = 8192,
                      .attn_factor = 1,
                      .low_freq_factor = 1,
                      .high_freq_factor = 4}},
    {.name = "r1-0528-qwen3-8b",
     .architecture = "qwen3",
     .hidden = 4096,
     .layers = 36,
     .vocab = 151936,
     .positions = 131072,
     .intermediate = 12288,
     .eps = 1e-6,
     .bos = 151643,
     .eos = 151645,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .qk_norm = true,
     .theta = 1000000,
     .rope_scaling = {.type = ISO_ROPE_SCALING_YARN,
                      .factor = 4,
                      .original_max_position = 32768,
                      .beta_fast = 32,
                      .beta_slow = 1,
                      .mscale = 1,
                      .attn_factor = 0.8782488562869419}},
};

static void check_rope_scaling(const iso_rope_scaling *got, const iso_rope_scaling *wanted)
{
    assert_int_equal(got->type, wanted->type);
    assert_true(got->factor == wanted->factor);
    assert_int_equal(got->original_max_position, wanted->original_max_position);
    assert_true(got->beta_fast == wanted->beta_fast);
    assert_true(got->beta_slow == wanted->beta_slow);
    assert_true(got->mscale == wanted->mscale);
    assert_true(got->mscale_all_dim == wanted->mscale_all_dim);
    assert_true(got->attn_factor == wanted->attn_factor);
    assert_true(got->attention_factor == wanted->attention_factor);
    assert_true(got->low_freq_factor == wanted->low_freq_factor);
    assert_true(got->high_freq_factor == wanted->high_freq_factor);
}

static void check_experts(const iso_model_config *c, const expected_config *e)
{
    assert_int_equal(c->routed_expert_count, e->routed);
    assert_int_equal(c->shared_expert_count, e->shared);
    assert_int_equal(c->experts_per_token, e->per_token);
    assert_int_equal(c->moe_intermediate_size, e->moe_intermediate);
    assert_int_equal(c->group_count, e->groups);
    assert_int_equal(c->group_keep, e->keep);
    assert_int_equal(c->topk_method, e->topk);
    assert_int_equal(c->scoring, e->scoring);
    assert_int_equal(c->normalise_weights, e->normalise);
    assert_true(c->routed_scaling_factor == e->scaling_factor);
    assert_int_equal(c->first_dense_layers, e->first_dense);
    assert_int_equal(c->moe_layer_freq, e->routed ? 1 : 0);
    assert_int_equal(c->mtp_layer_count, e->mtp);
}

static void check_config(const iso_model_config *c, const expected_config *e)
{
    assert_string_equal(c->architecture, e->architecture);
    assert_int_equal(c->weight_dtype, ISO_DTYPE_BF16);
    assert_int_equal(c->hidden_size, e->hidden);
    assert_int_equal(c->layer_count, e->layers);
    assert_int_equal(c->vocab_size, e->vocab);
    assert_int_equal(c->max_positions, e->positions);
    assert_int_equal(c->intermediate_size, e->intermediate);
    assert_true(c->rms_norm_eps == e->eps);
    assert_false(c->tie_word_embeddings);
    assert_int_equal(c->bos_id, e->bos);
    assert_int_equal(c->eos_count, 1);
    assert_int_equal(c->eos_ids[0], e->eos);
    assert_int_equal(c->head_count, e->heads);
    assert_int_equal(c->kv_head_count, e->kv_heads);
    assert_int_equal(c->head_dim, e->head_dim);
    assert_int_equal(c->qkv_bias, e->qkv_bias);
    assert_int_equal(c->qk_norm, e->qk_norm);
    assert_int_equal(c->q_lora_rank, e->q_lora);
    assert_int_equal(c->kv_lora_rank, e->kv_lora);
    assert_int_equal(c->qk_nope_head_dim, e->nope);
    assert_int_equal(c->qk_rope_head_dim, e->rope);
    assert_int_equal(c->v_head_dim, e->v);
    assert_true(c->latent_norm_eps == (e->kv_lora ? 1e-6 : 0));
    check_experts(c, e);
    assert_true(c->rope_theta == e->theta);
    assert_int_equal(c->rope_interleaved, e->interleaved);
    check_rope_scaling(&c->rope_scaling, &e->rope_scaling);
    assert_int_equal(c->fp8_block, e->fp8_block);
    assert_int_equal(c->scale_ue8m0, e->ue8m0);
}

static void test_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        iso_model_config config;
        assert_int_equal(iso_config_load(golden_path("configs", published[i].name, "/config.json"), &config),
                         ISO_OK);
        check_config(&config, &published[i]);
        assert_int_equal(iso_config_load(golden_path("configs", published[i].name, ""), &config), ISO_OK);
        check_config(&config, &published[i]);
    }
}

static void test_kimi_keeps_its_name(void **state)
{
    (void)state;
    iso_model_config config;
    assert_int_equal(iso_config_load(golden_path("configs", "kimi-k2", ""), &config), ISO_OK);
    assert_string_equal(config.model_type, "kimi_k2");
    assert_string_equal(config.architecture, "deepseek_v3");
}

static void test_moe_layers(void **state)
{
    (void)state;
    iso_model_config config = {.routed_expert_count = 8, .first_dense_layers = 3, .moe_layer_freq = 2};
    static const bool wanted[] = {false, false, false, false, true, false, true, false};
    for (uint32_t layer = 0; layer < COUNT_OF(wanted); layer++)
        assert_int_equal(iso_config_layer_is_moe(&config, layer), wanted[layer]);
    config.routed_expert_count = 0;
    assert_false(iso_config_layer_is_moe(&config, 4));
}

static void test_test_models(void **state)
{
    (void)state;
    static const char *const names[] = {"v2",        "v2-lite",         "v3-bf16",          "v3-fp8",
                                        "moonlight", "r1-distill-qwen", "r1-distill-llama", "r1-0528-qwen3"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        iso_model_config config;
        assert_int_equal(iso_config_load(golden_path("models", names[i], ""), &config), ISO_OK);
        assert_int_equal(config.vocab_size, 320);
        // The last one has head_dim 32 where hidden_size / heads is 16.
        if (i == COUNT_OF(names) - 1)
            assert_int_equal(config.head_dim, 32);
    }
}

static void test_model_types(void **state)
{
    (void)state;
    uint32_t count = iso_config_model_type_count();
    assert_int_equal(count, 6);
    for (uint32_t i = 0; i < count; i++)
        assert_true(strlen(iso_config_model_type(i)) < ISO_MODEL_TYPE_BYTES);
    assert_null(iso_config_model_type(count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),   cmocka_unit_test(test_kimi_keeps_its_name),
        cmocka_unit_test(test_moe_layers),  cmocka_unit_test(test_test_models),
        cmocka_unit_test(test_model_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
