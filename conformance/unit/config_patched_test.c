// SPDX-License-Identifier: MIT
//
// Unit tests of config reading with one thing changed: every kind of mistake, and other spellings of the
// same. A changed config is a published one with a patch: keys of the patch replace those of the base,
// objects are patched inside, "DELETE" removes the key.
#include "conformance/unit/checkpoint_files.h"

#include <jansson.h>

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

// ---- patches ----

static void patch(json_t *target, const json_t *changes)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)changes, key, value)
    {
        json_t *old = json_object_get(target, key);
        const char *text = json_string_value(value);
        if (text && strcmp(text, "DELETE") == 0) // it must be there
            assert_int_equal(json_object_del(target, key), 0);
        else if (json_is_object(value) && json_is_object(old))
            patch(old, value);
        else
            assert_int_equal(json_object_set(target, key, value), 0);
    }
}

static iso_status parse_patched(const char *base, const char *changes, iso_model_config *out_config)
{
    json_t *root = json_load_file(golden_path("configs", base, "/config.json"), 0, NULL);
    json_t *parsed = json_loads(changes, 0, NULL);
    assert_non_null(root);
    assert_non_null(parsed);
    patch(root, parsed);
    char *text = json_dumps(root, 0);
    assert_non_null(text);
    iso_status status = iso_config_parse(text, strlen(text), "patched.json", out_config);
    free(text);
    json_decref(parsed);
    json_decref(root);
    return status;
}

typedef struct bad_config {
    const char *base;
    const char *changes;
    iso_status wanted;
    const char *fragments[3]; // all in the message; the field, the value, what is allowed
} bad_config;

static const bad_config bad_configs[] = {
    // types and ranges
    {"deepseek-v3",
     "{\"hidden_size\":\"DELETE\"}",
     ISO_CORRUPT,
     {"\"hidden_size\" is missing", "an integer from 1"}},
    {"deepseek-v3",
     "{\"hidden_size\":\"7168\"}",
     ISO_CORRUPT,
     {"\"hidden_size\" is \"7168\"", "an integer from 1"}},
    {"deepseek-v3", "{\"hidden_size\":7168.5}", ISO_CORRUPT, {"\"hidden_size\"", "7168.5", "an integer"}},
    {"deepseek-v3", "{\"hidden_size\":null}", ISO_CORRUPT, {"\"hidden_size\" is null"}},
    {"deepseek-v3", "{\"hidden_size\":0}", ISO_CORRUPT, {"\"hidden_size\" is 0"}},
    {"deepseek-v3", "{\"hidden_size\":-7168}", ISO_CORRUPT, {"is -7168"}},
    {"deepseek-v3", "{\"hidden_size\":4294967297}", ISO_CORRUPT, {"is 4294967297", "131072"}},
    {"deepseek-v3", "{\"num_hidden_layers\":[61]}", ISO_CORRUPT, {"\"num_hidden_layers\" is [61]"}},
    {"deepseek-v3", "{\"rms_norm_eps\":0}", ISO_CORRUPT, {"\"rms_norm_eps\" is 0", "a number from"}},
    {"deepseek-v3", "{\"rms_norm_eps\":true}", ISO_CORRUPT, {"\"rms_norm_eps\" is true"}},
    {"deepseek-v3",
     "{\"tie_word_embeddings\":0}",
     ISO_CORRUPT,
     {"\"tie_word_embeddings\" is 0", "true or false"}},
    {"deepseek-v3", "{\"norm_topk_prob\":\"yes\"}", ISO_CORRUPT, {"\"norm_topk_prob\"", "true or false"}},
    {"deepseek-v3", "{\"q_lora_rank\":\"DELETE\"}", ISO_CORRUPT, {"\"q_lora_rank\" is missing", "or null"}},
    {"deepseek-v3", "{\"torch_dtype\":16}", ISO_CORRUPT, {"\"torch_dtype\" is 16", "\"bfloat16\""}},
    {"deepseek-v3", "{\"vocab_size\":1}", ISO_CORRUPT, {"\"eos_token_id\" is 1", "below vocab_size"}},
    {"deepseek-v3", "{\"bos_token_id\":-1}", ISO_CORRUPT, {"\"bos_token_id\" is -1"}},
    {"deepseek-v3", "{\"eos_token_id\":[1,\"2\"]}", ISO_CORRUPT, {"\"eos_token_id\" is \"2\""}},
    {"deepseek-v3",
     "{\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}",
     ISO_UNSUPPORTED,
     {"\"eos_token_id\"", "at most 8"}},
    // what Isomer does not have
    {"deepseek-v3", "{\"model_type\":\"DELETE\"}", ISO_CORRUPT, {"\"model_type\" is missing"}},
    {"deepseek-v3",
     "{\"model_type\":\"gpt2\"}",
     ISO_UNSUPPORTED,
     {"gpt2", "deepseek_v2, deepseek_v3, kimi_k2, llama"}},
    {"deepseek-v3", "{\"hidden_act\":\"gelu\"}", ISO_UNSUPPORTED, {"\"hidden_act\" is \"gelu\"", "\"silu\""}},
    {"deepseek-v3", "{\"torch_dtype\":\"float64\"}", ISO_UNSUPPORTED, {"\"torch_dtype\" is \"float64\""}},
    {"deepseek-v3", "{\"topk_method\":\"greedy\"}", ISO_UNSUPPORTED, {"\"topk_method\"", "\"noaux_tc\""}},
    {"deepseek-v3", "{\"scoring_func\":\"softmax\"}", ISO_UNSUPPORTED, {"\"scoring_func\"", "\"sigmoid\""}},
    {"deepseek-v3", "{\"attention_bias\":true}", ISO_UNSUPPORTED, {"\"attention_bias\" is true", "biases"}},
    {"deepseek-v2", "{\"norm_topk_prob\":true}", ISO_UNSUPPORTED, {"\"norm_topk_prob\" is true"}},
    {"r1-distill-llama-8b", "{\"mlp_bias\":true}", ISO_UNSUPPORTED, {"\"mlp_bias\" is true"}},
    {"r1-distill-llama-8b", "{\"sliding_window\":4096}", ISO_UNSUPPORTED, {"\"sliding_window\" is 4096"}},
    {"r1-distill-qwen-1.5b", "{\"use_sliding_window\":true}", ISO_UNSUPPORTED, {"\"use_sliding_window\""}},
    {"r1-distill-qwen-1.5b", "{\"quantization_config\":{}}", ISO_UNSUPPORTED, {"\"quantization_config\""}},
    {"r1-0528-qwen3-8b",
     "{\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
     ISO_UNSUPPORTED,
     {"\"layer_types\" is \"sliding_attention\""}},
    // rope
    {"deepseek-v3", "{\"rope_theta\":\"DELETE\"}", ISO_CORRUPT, {"\"rope_theta\" is missing"}},
    {"deepseek-v3", "{\"rope_theta\":1}", ISO_CORRUPT, {"\"rope_theta\" is 1", "from 2"}},
    {"deepseek-v3", "{\"rope_scaling\":\"yarn\"}", ISO_CORRUPT, {"\"rope_scaling\"", "an object or null"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"type\":\"DELETE\"}}",
     ISO_CORRUPT,
     {"\"rope_scaling.type\" is missing"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"type\":\"linear\"}}",
     ISO_UNSUPPORTED,
     {"\"rope_scaling.type\"", "\"linear\""}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"rope_type\":\"llama3\"}}",
     ISO_CORRUPT,
     {"\"rope_scaling.type\"", "rope_type"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"factor\":\"DELETE\"}}",
     ISO_CORRUPT,
     {"\"rope_scaling.factor\" is missing"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"factor\":0.5}}",
     ISO_CORRUPT,
     {"\"rope_scaling.factor\" is 0.5", "from 1"}},
    {"deepseek-v3", "{\"rope_scaling\":{\"beta_slow\":33}}", ISO_CORRUPT, {"beta_fast 32", "beta_slow 33"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"truncate\":false}}",
     ISO_UNSUPPORTED,
     {"\"rope_scaling.truncate\""}},
    {"deepseek-v3", "{\"rope_parameters\":{}}", ISO_CORRUPT, {"\"rope_scaling\"", "rope_parameters"}},
    {"deepseek-v3",
     "{\"rope_scaling\":{\"rope_theta\":5000}}",
     ISO_CORRUPT,
     {"\"rope_scaling.rope_theta\" is 5000"}},
    {"r1-distill-llama-8b",
     "{\"rope_scaling\":{\"low_freq_factor\":4}}",
     ISO_CORRUPT,
     {"high_freq_factor 4"}},
    // quantisation
    {"deepseek-v3", "{\"quantization_config\":7}", ISO_CORRUPT, {"\"quantization_config\" is 7"}},
    {"deepseek-v3",
     "{\"quantization_config\":{\"quant_method\":\"awq\"}}",
     ISO_UNSUPPORTED,
     {"\"awq\"", "\"fp8\""}},
    {"deepseek-v3",
     "{\"quantization_config\":{\"fmt\":\"e5m2\"}}",
     ISO_UNSUPPORTED,
     {"\"e5m2\"", "\"e4m3\""}},
    {"deepseek-v3",
     "{\"quantization_config\":{\"weight_block_size\":[128,64]}}",
     ISO_UNSUPPORTED,
     {"[128,64]"}},
    {"deepseek-v3",
     "{\"quantization_config\":{\"weight_block_size\":\"DELETE\"}}",
     ISO_UNSUPPORTED,
     {"\"quantization_config.weight_block_size\" is missing"}},
    // fields against each other
    {"deepseek-v3", "{\"num_key_value_heads\":8}", ISO_CORRUPT, {"num_key_value_heads 8", "128"}},
    {"deepseek-v3", "{\"qk_rope_head_dim\":63}", ISO_CORRUPT, {"qk_rope_head_dim 63", "even"}},
    {"deepseek-v3", "{\"n_group\":7}", ISO_CORRUPT, {"n_routed_experts 256", "n_group 7"}},
    {"deepseek-v3", "{\"topk_group\":9}", ISO_CORRUPT, {"topk_group 9", "n_group 8"}},
    {"deepseek-v3",
     "{\"topk_group\":1,\"num_experts_per_tok\":33}",
     ISO_CORRUPT,
     {"num_experts_per_tok 33", "32"}},
    {"deepseek-v3", "{\"n_group\":256,\"topk_group\":8}", ISO_CORRUPT, {"n_group 256"}},
    {"deepseek-v3", "{\"first_k_dense_replace\":62}", ISO_CORRUPT, {"first_k_dense_replace 62", "61"}},
    {"deepseek-v2", "{\"n_group\":null}", ISO_CORRUPT, {"n_group", "not null"}},
    {"r1-distill-qwen-1.5b", "{\"num_key_value_heads\":5}", ISO_CORRUPT, {"num_attention_heads 12", "5"}},
    {"r1-distill-qwen-1.5b", "{\"num_attention_heads\":14}", ISO_CORRUPT, {"hidden_size 1536", "14"}},
    {"r1-0528-qwen3-8b", "{\"head_dim\":33}", ISO_CORRUPT, {"head_dim 33", "even"}},
    {"r1-0528-qwen3-8b", "{\"head_dim\":\"DELETE\"}", ISO_CORRUPT, {"\"head_dim\" is missing"}},
};

static void check_bad(iso_status status, const iso_model_config *config, iso_status wanted,
                      const char *const *fragments, size_t fragment_count)
{
    const char *text = iso_status_last()->text;
    bool right = status == wanted && strstr(text, "patched.json");
    for (size_t f = 0; f < fragment_count && fragments[f]; f++)
        right = right && strstr(text, fragments[f]);
    if (!right)
        print_error("wanted %s with \"%s\", got %s: %s\n", iso_status_name(wanted), fragments[0],
                    iso_status_name(status), text);
    assert_true(right);
    assert_null(config->architecture);
    assert_int_equal(config->hidden_size, 0);
}

static void test_bad_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_configs); i++) {
        const bad_config *c = &bad_configs[i];
        iso_model_config config;
        iso_status status = parse_patched(c->base, c->changes, &config);
        check_bad(status, &config, c->wanted, c->fragments, COUNT_OF(c->fragments));
    }
}

// What is not even JSON, or JSON that Python writes and the standard does not have.
static void test_bad_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{\"model_type\":\"qwen2\",\"rms_norm_eps\":NaN}",
                                        "{\"model_type\":\"qwen2\",\"rms_norm_eps\":Infinity}",
                                        "{\"model_type\":\"qwen2\",\"rms_norm_eps\":1e999}",
                                        "{\"model_type\":\"qwen2\",\"model_type\":\"llama\"}",
                                        "{\"model_type\":\"qwen2\"} x",
                                        "{\"model_type\":7}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        iso_model_config config;
        iso_status status = iso_config_parse(texts[i], strlen(texts[i]), "patched.json", &config);
        check_bad(status, &config, ISO_CORRUPT, (const char *const[]){"patched.json"}, 1);
    }
}

static void test_missing_file(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    iso_model_config config;
    assert_int_equal(iso_config_load(folder.path, &config), ISO_NOT_FOUND);
    assert_non_null(strstr(iso_status_last()->text, "config.json"));
    assert_int_equal(iso_config_load(test_folder_file(&folder, "none.json"), &config), ISO_NOT_FOUND);
    assert_non_null(strstr(iso_status_last()->text, "none.json"));
    test_folder_destroy(&folder);
}

// ---- other spellings of the same ----

static void test_new_spellings(void **state)
{
    (void)state;
    iso_model_config config;
    // As transformers 5 writes it.
    assert_int_equal(
        parse_patched("deepseek-v3",
                      "{\"rope_scaling\":\"DELETE\",\"rope_theta\":\"DELETE\",\"torch_dtype\":\"DELETE\","
                      "\"moe_layer_freq\":\"DELETE\",\"topk_method\":\"DELETE\",\"dtype\":\"float32\","
                      "\"scoring_func\":\"DELETE\",\"rope_interleave\":false,\"head_dim\":64,"
                      "\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":20000.0,\"factor\":8.0,"
                      "\"original_max_position_embeddings\":2048,\"attention_factor\":0.5}}",
                      &config),
        ISO_OK);
    assert_int_equal(config.weight_dtype, ISO_DTYPE_F32);
    assert_int_equal(config.head_dim, 192);
    assert_int_equal(config.topk_method, ISO_TOPK_BIASED_GROUP_TOP2);
    assert_int_equal(config.moe_layer_freq, 1);
    assert_false(config.rope_interleaved);
    assert_true(config.rope_theta == 20000);
    const iso_rope_scaling *scaling = &config.rope_scaling;
    assert_int_equal(scaling->type, ISO_ROPE_SCALING_YARN);
    assert_true(scaling->factor == 8 && scaling->original_max_position == 2048);
    assert_true(scaling->beta_fast == 32 && scaling->beta_slow == 1);
    assert_true(scaling->mscale == 1 && scaling->mscale_all_dim == 0);
    assert_true(scaling->attn_factor == 1 && scaling->attention_factor == 0.5);
    assert_int_equal(
        parse_patched("moonlight-16b-a3b", "{\"rope_scaling\":{\"rope_type\":\"default\"}}", &config),
        ISO_OK);
    assert_int_equal(config.rope_scaling.type, ISO_ROPE_SCALING_NONE);
    assert_true(config.rope_scaling.factor == 1);
    assert_true(config.rope_theta == 50000);
}

static void test_token_lists(void **state)
{
    (void)state;
    iso_model_config config;
    assert_int_equal(
        parse_patched("r1-distill-llama-8b", "{\"eos_token_id\":[128001,128008,128009]}", &config), ISO_OK);
    assert_int_equal(config.eos_count, 3);
    assert_int_equal(config.eos_ids[2], 128009);
    assert_int_equal(
        parse_patched("r1-distill-llama-8b", "{\"eos_token_id\":null,\"bos_token_id\":\"DELETE\"}", &config),
        ISO_OK);
    assert_int_equal(config.eos_count, 0);
    assert_int_equal(config.bos_id, -1);
}

static void test_greedy_has_no_groups(void **state)
{
    (void)state;
    iso_model_config config;
    assert_int_equal(parse_patched("deepseek-v2-lite", "{\"n_group\":null,\"topk_group\":3}", &config),
                     ISO_OK);
    assert_int_equal(config.group_count, 1);
    assert_int_equal(config.group_keep, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_configs),  cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_missing_file), cmocka_unit_test(test_new_spellings),
        cmocka_unit_test(test_token_lists),  cmocka_unit_test(test_greedy_has_no_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
