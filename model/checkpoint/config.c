// SPDX-License-Identifier: MIT
//
// Reads config.json by tables: one for what all architectures share, one per architecture, one per kind of
// rope scaling and one for FP8. How a line of a table is read is config_fields.c; how fields depend on each
// other is config_complete.c. Keys that no table names are left alone: published files are full of
// training-time settings.
#include "isomer/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/checkpoint/config_fields.h"
#include "model/checkpoint/file.h"
#include "runtime/base/strings.h"

#define FP8_BLOCK       128
#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

// ---- tables ----

#define REQUIRED  .need = ISO_CONFIG_REQUIRED
#define NULLABLE  .need = ISO_CONFIG_NULLABLE
#define OR(value) .need = ISO_CONFIG_OR, .fallback = (value)
#define KEEP      .need = ISO_CONFIG_KEEP

#define STORE_OF(member)                                                                                     \
    _Generic(((iso_model_config *)0)->member, bool                                                           \
             : ISO_CONFIG_STORE_BOOL, double                                                                 \
             : ISO_CONFIG_STORE_DOUBLE, default                                                              \
             : ISO_CONFIG_STORE_U32)
#define INTO(member) .store = STORE_OF(member), .offset = offsetof(iso_model_config, member)

// clang-format off
#define ISO_CONFIG_COUNT(k, member, need, from, to) \
    {.key = k, .kind = ISO_CONFIG_KIND_COUNT, need, INTO(member), .least = from, .most = to},
#define ISO_CONFIG_REAL(k, member, need, from, to) \
    {.key = k, .kind = ISO_CONFIG_KIND_REAL, need, INTO(member), .least = from, .most = to},
#define ISO_CONFIG_FLAG(k, member, need) \
    {.key = k, .kind = ISO_CONFIG_KIND_FLAG, need, INTO(member)},
#define ISO_CONFIG_CHOICE(k, member, need, ...) \
    {.key = k, .kind = ISO_CONFIG_KIND_CHOICE, need, INTO(member), .choices = {__VA_ARGS__}},
#define ISO_CONFIG_ALWAYS(member, value) \
    {.kind = ISO_CONFIG_KIND_ALWAYS, OR(value), INTO(member)},
#define ISO_CONFIG_FALSE(k, feature) \
    {.key = k, .kind = ISO_CONFIG_KIND_FIXED, .need = ISO_CONFIG_KEEP, .fallback = false, .what = feature},
#define ISO_CONFIG_ABSENT(k, feature) \
    {.key = k, .kind = ISO_CONFIG_KIND_ABSENT, .need = ISO_CONFIG_KEEP, .what = feature},
// Only checked: no member depends on them.
#define CHECKED_CHOICE(k, need, ...) \
    {.key = k, .kind = ISO_CONFIG_KIND_CHOICE, need, .choices = {__VA_ARGS__}},
#define CHECKED_TRUE(k, feature) \
    {.key = k, .kind = ISO_CONFIG_KIND_FIXED, .need = ISO_CONFIG_KEEP, .fallback = true, .what = feature},

#define STORED_DTYPES {"bfloat16", ISO_DTYPE_BF16}, {"float32", ISO_DTYPE_F32}, {"float16", ISO_DTYPE_F16}

static const iso_config_field common_fields[] = {
    ISO_CONFIG_COUNT("hidden_size",             hidden_size,         REQUIRED, 1, 1 << 17)
    ISO_CONFIG_COUNT("num_hidden_layers",       layer_count,         REQUIRED, 1, 2048)
    ISO_CONFIG_COUNT("vocab_size",              vocab_size,          REQUIRED, 1, 1 << 24)
    ISO_CONFIG_COUNT("max_position_embeddings", max_positions,       REQUIRED, 1, 1 << 30)
    ISO_CONFIG_COUNT("intermediate_size",       intermediate_size,   REQUIRED, 1, 1 << 20)
    ISO_CONFIG_REAL("rms_norm_eps",             rms_norm_eps,        REQUIRED, 1e-30, 1)
    ISO_CONFIG_FLAG("tie_word_embeddings",      tie_word_embeddings, OR(false))
    ISO_CONFIG_COUNT("num_attention_heads",     head_count,          REQUIRED, 1, 4096)
    ISO_CONFIG_COUNT("num_key_value_heads",     kv_head_count,       OR(0),    1, 4096)
    ISO_CONFIG_REAL("rope_theta",               rope_theta,          KEEP,     2, 1e12)
    ISO_CONFIG_CHOICE("torch_dtype",            weight_dtype,        OR(ISO_DTYPE_BF16), STORED_DTYPES)
    ISO_CONFIG_CHOICE("dtype",                  weight_dtype,        KEEP,               STORED_DTYPES)
    CHECKED_CHOICE("hidden_act", REQUIRED, {"silu", 0})
};

static const iso_config_field rope_defaults[] = {
    ISO_CONFIG_ALWAYS(rope_scaling.factor, 1)
    ISO_CONFIG_ALWAYS(rope_scaling.attn_factor, 1)
};

// In "rope_scaling" or "rope_parameters", whatever its type.
static const iso_config_field rope_fields[] = {
    ISO_CONFIG_REAL("rope_theta", rope_theta, KEEP, 2, 1e12)
};

#define ORIGINAL_MAX_POSITION \
    ISO_CONFIG_COUNT("original_max_position_embeddings", rope_scaling.original_max_position, REQUIRED, \
                     1, 1 << 30)

static const iso_config_field yarn_fields[] = {
    ISO_CONFIG_REAL("factor",           rope_scaling.factor,           REQUIRED, 1, 1e6)
    ORIGINAL_MAX_POSITION
    ISO_CONFIG_REAL("beta_fast",        rope_scaling.beta_fast,        OR(32),   1e-3, 1e6)
    ISO_CONFIG_REAL("beta_slow",        rope_scaling.beta_slow,        OR(1),    1e-3, 1e6)
    ISO_CONFIG_REAL("mscale",           rope_scaling.mscale,           OR(1),    0, 1e3)
    ISO_CONFIG_REAL("mscale_all_dim",   rope_scaling.mscale_all_dim,   OR(0),    0, 1e3)
    ISO_CONFIG_REAL("attn_factor",      rope_scaling.attn_factor,      OR(1),    1e-3, 1e3)
    ISO_CONFIG_REAL("attention_factor", rope_scaling.attention_factor, OR(0),    1e-3, 1e3)
    CHECKED_TRUE("truncate", "YaRN ramps between fractions of a pair")
};

static const iso_config_field llama3_fields[] = {
    ISO_CONFIG_REAL("factor",           rope_scaling.factor,           REQUIRED, 1, 1e6)
    ORIGINAL_MAX_POSITION
    ISO_CONFIG_REAL("low_freq_factor",  rope_scaling.low_freq_factor,  REQUIRED, 1e-3, 1e6)
    ISO_CONFIG_REAL("high_freq_factor", rope_scaling.high_freq_factor, REQUIRED, 1e-3, 1e6)
};

static const iso_config_field fp8_fields[] = {
    CHECKED_CHOICE("quant_method",      REQUIRED, {"fp8", 0})
    CHECKED_CHOICE("fmt",               KEEP,     {"e4m3", 0})
    CHECKED_CHOICE("activation_scheme", KEEP,     {"dynamic", 0})
    ISO_CONFIG_CHOICE("scale_fmt", scale_ue8m0, OR(false), {"float", false}, {"ue8m0", true})
};

#define ISO_MODEL(architecture)     static const iso_config_field architecture##_fields[] = {
#define ISO_MODEL_END(architecture) };
#include "model/models.def"
// clang-format on

typedef struct model_entry {
    const char *model_type;
    const char *architecture;
    const iso_config_field *fields;
    size_t field_count;
} model_entry;

static const model_entry models[] = {
#define ISO_MODEL(architecture)                                                                              \
    {#architecture, #architecture, architecture##_fields, COUNT_OF(architecture##_fields)},
#define ISO_MODEL_ALIAS(type, architecture)                                                                  \
    {#type, #architecture, architecture##_fields, COUNT_OF(architecture##_fields)},
#include "model/models.def"
};

typedef struct rope_type_entry {
    const char *name;
    iso_rope_scaling_type type;
    const iso_config_field *fields;
    size_t field_count;
} rope_type_entry;

static const rope_type_entry rope_types[] = {
    {"default", ISO_ROPE_SCALING_NONE, NULL, 0},
    {"yarn", ISO_ROPE_SCALING_YARN, yarn_fields, COUNT_OF(yarn_fields)},
    {"llama3", ISO_ROPE_SCALING_LLAMA3, llama3_fields, COUNT_OF(llama3_fields)},
};

uint32_t iso_config_model_type_count(void)
{
    return COUNT_OF(models);
}

const char *iso_config_model_type(uint32_t index)
{
    return index < COUNT_OF(models) ? models[index].model_type : NULL;
}

// ---- reading ----

static iso_status unknown_model_type(const char *model_type)
{
    iso_text known = {0};
    iso_status status = ISO_OK;
    for (size_t i = 0; i < COUNT_OF(models) && status == ISO_OK; i++)
        status = iso_text_append(&known, "%s%s", i > 0 ? ", " : "", models[i].model_type);
    if (status == ISO_OK)
        status = iso_fail(ISO_UNSUPPORTED, "\"model_type\" is \"%.60s\"; the models that Isomer knows are %s",
                          model_type, iso_text_get(&known));
    iso_text_deinit(&known);
    return status;
}

static iso_status find_model(const json_t *root, iso_model_config *config, const model_entry **out_model)
{
    const char *model_type = json_string_value(json_object_get(root, "model_type"));
    if (!model_type)
        return iso_config_wrong_value(ISO_CORRUPT, "", "model_type", json_object_get(root, "model_type"),
                                      "a string");
    for (size_t i = 0; i < COUNT_OF(models); i++)
        if (strcmp(models[i].model_type, model_type) == 0) {
            iso_copy_text(config->model_type, sizeof config->model_type, model_type);
            config->architecture = models[i].architecture;
            *out_model = &models[i];
            return ISO_OK;
        }
    return unknown_model_type(model_type);
}

// "rope_type" and the older "type" mean the same.
static iso_status find_rope_type(const json_t *rope, const char *section, const rope_type_entry **out_type)
{
    const json_t *value = json_object_get(rope, "rope_type");
    const json_t *older = json_object_get(rope, "type");
    const char *key = value ? "rope_type" : "type";
    if (value && older && !json_equal(value, older))
        return iso_config_wrong_value(ISO_CORRUPT, section, "type", older,
                                      "the same as \"rope_type\" beside it");
    value = value ? value : older;
    const char *name = json_string_value(value);
    if (!name)
        return iso_config_wrong_value(ISO_CORRUPT, section, key, value, "a string");
    for (size_t i = 0; i < COUNT_OF(rope_types); i++)
        if (strcmp(rope_types[i].name, name) == 0) {
            *out_type = &rope_types[i];
            return ISO_OK;
        }
    return iso_config_wrong_value(ISO_UNSUPPORTED, section, key, value,
                                  "\"default\", \"yarn\" or \"llama3\"");
}

// Newer files have "rope_parameters", which also holds rope_theta, in place of "rope_scaling".
static iso_status read_rope(const json_t *root, iso_model_config *config)
{
    ISO_TRY(iso_config_read_fields(NULL, "", rope_defaults, COUNT_OF(rope_defaults), config));
    const json_t *scaling = json_object_get(root, "rope_scaling");
    const json_t *parameters = json_object_get(root, "rope_parameters");
    bool has_scaling = scaling && !json_is_null(scaling);
    bool has_parameters = parameters && !json_is_null(parameters);
    if (has_scaling && has_parameters)
        return iso_config_wrong_value(ISO_CORRUPT, "", "rope_scaling", scaling,
                                      "null or absent where there is \"rope_parameters\"");
    if (!has_scaling && !has_parameters)
        return ISO_OK;
    const json_t *rope = has_scaling ? scaling : parameters;
    const char *key = has_scaling ? "rope_scaling" : "rope_parameters";
    const char *section = has_scaling ? "rope_scaling." : "rope_parameters.";
    if (!json_is_object(rope))
        return iso_config_wrong_value(ISO_CORRUPT, "", key, rope, "an object or null");
    const rope_type_entry *type = NULL;
    ISO_TRY(find_rope_type(rope, section, &type));
    config->rope_scaling.type = type->type;
    double outer_theta = config->rope_theta;
    ISO_TRY(iso_config_read_fields(rope, section, rope_fields, COUNT_OF(rope_fields), config));
    if (outer_theta != 0 && outer_theta != config->rope_theta)
        return iso_config_wrong_value(ISO_CORRUPT, section, "rope_theta", json_object_get(rope, "rope_theta"),
                                      "the same as the \"rope_theta\" outside");
    return iso_config_read_fields(rope, section, type->fields, type->field_count, config);
}

static iso_status read_quantization(const json_t *root, iso_model_config *config)
{
    static const char key[] = "quantization_config";
    const json_t *quantization = json_object_get(root, key);
    if (!quantization || json_is_null(quantization))
        return ISO_OK;
    if (!json_is_object(quantization))
        return iso_config_wrong_value(ISO_CORRUPT, "", key, quantization, "an object or null");
    ISO_TRY(iso_config_read_fields(quantization, "quantization_config.", fp8_fields, COUNT_OF(fp8_fields),
                                   config));
    const json_t *block = json_object_get(quantization, "weight_block_size");
    if (json_array_size(block) != 2 || json_integer_value(json_array_get(block, 0)) != FP8_BLOCK ||
        json_integer_value(json_array_get(block, 1)) != FP8_BLOCK)
        return iso_config_wrong_value(ISO_UNSUPPORTED, "quantization_config.", "weight_block_size", block,
                                      "[128, 128]");
    config->fp8_block = FP8_BLOCK;
    return ISO_OK;
}

static iso_status read_token_id(const iso_model_config *config, const char *key, const json_t *value,
                                int32_t *out_id)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= config->vocab_size)
        return iso_config_wrong_value(ISO_CORRUPT, "", key, value,
                                      "null or a token id: an integer from 0, below vocab_size");
    *out_id = (int32_t)json_integer_value(value);
    return ISO_OK;
}

static iso_status read_special_tokens(const json_t *root, iso_model_config *config)
{
    config->bos_id = -1;
    const json_t *bos = json_object_get(root, "bos_token_id");
    if (bos && !json_is_null(bos))
        ISO_TRY(read_token_id(config, "bos_token_id", bos, &config->bos_id));
    const json_t *eos = json_object_get(root, "eos_token_id");
    if (!eos || json_is_null(eos))
        return ISO_OK;
    if (!json_is_array(eos)) {
        config->eos_count = 1;
        return read_token_id(config, "eos_token_id", eos, &config->eos_ids[0]);
    }
    if (json_array_size(eos) > ISO_MAX_EOS_IDS)
        return iso_config_wrong_value(ISO_UNSUPPORTED, "", "eos_token_id", eos,
                                      "a list of at most 8 token ids");
    size_t index;
    const json_t *value;
    json_array_foreach(eos, index, value)
        ISO_TRY(read_token_id(config, "eos_token_id", value, &config->eos_ids[config->eos_count++]));
    return ISO_OK;
}

// Newer files list the kind of attention of each layer.
static iso_status check_layer_types(const json_t *root)
{
    const json_t *types = json_object_get(root, "layer_types");
    size_t index;
    const json_t *value;
    json_array_foreach(types, index, value)
    {
        const char *type = json_string_value(value);
        if (!type || strcmp(type, "full_attention") != 0)
            return iso_config_wrong_value(ISO_UNSUPPORTED, "", "layer_types", value,
                                          "\"full_attention\" for every layer");
    }
    return ISO_OK;
}

static iso_status read_config(const json_t *root, iso_model_config *config)
{
    if (!json_is_object(root))
        return iso_fail(ISO_CORRUPT, "must hold a JSON object; " ISO_REMEDY_CONFIG);
    const model_entry *model = NULL;
    ISO_TRY(find_model(root, config, &model));
    ISO_TRY(iso_config_read_fields(root, "", common_fields, COUNT_OF(common_fields), config));
    ISO_TRY(iso_config_read_fields(root, "", model->fields, model->field_count, config));
    ISO_TRY(read_rope(root, config));
    ISO_TRY(read_quantization(root, config));
    ISO_TRY(read_special_tokens(root, config));
    ISO_TRY(check_layer_types(root));
    return iso_config_complete(config);
}

iso_status iso_config_parse(const char *json, size_t json_bytes, const char *file,
                            iso_model_config *out_config)
{
    *out_config = (iso_model_config){0};
    json_t *root;
    ISO_TRY(iso_json_parse(json, json_bytes, 0, file, &root));
    iso_status status = read_config(root, out_config);
    json_decref(root);
    if (status == ISO_OK)
        return ISO_OK;
    *out_config = (iso_model_config){0};
    return iso_status_prefix("%s", file);
}

static iso_status load_file(const char *path, iso_model_config *out_config)
{
    iso_mapped_file file;
    iso_status status = iso_mapped_file_open(path, &file);
    if (status == ISO_NOT_FOUND)
        return iso_fail(ISO_NOT_FOUND, "%s: no such file; give a config.json or a folder that holds one",
                        path);
    ISO_TRY(status);
    status = iso_config_parse((const char *)file.data, file.bytes, path, out_config);
    iso_mapped_file_close(&file);
    return status;
}

iso_status iso_config_load(const char *path, iso_model_config *out_config)
{
    *out_config = (iso_model_config){0};
    if (!iso_path_is_folder(path))
        return load_file(path, out_config);
    char *file_path;
    ISO_TRY(iso_path_join(path, "config.json", NULL, &file_path));
    iso_status status = load_file(file_path, out_config);
    iso_free(NULL, file_path);
    return status;
}
