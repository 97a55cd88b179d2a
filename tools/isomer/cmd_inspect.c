// SPDX-License-Identifier: MIT
//
// isomer inspect: what a checkpoint, a config.json alone or a single safetensors file holds, and what would
// run. Reads headers only, never weights.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "isomer/chat.h"
#include "isomer/model.h"
#include "isomer/tokenizer.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"
#include "tools/isomer/tensor_list.h"

typedef struct inspect_options {
    const char *path;
    bool tensors, json;
} inspect_options;

static const cli_option options_table[] = {
    {.name = "PATH",
     .help = "a checkpoint's folder, a config.json alone, a .safetensors file, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(inspect_options, path),
     .positional = true,
     .required = true},
    {.name = "tensors",
     .help = "list every tensor, not only groups of equal ones",
     .kind = CLI_FLAG,
     .offset = offsetof(inspect_options, tensors)},
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(inspect_options, json)},
};

// ---- the config's fields ----

typedef enum field_kind {
    FIELD_COUNT,
    FIELD_FLAG,
    FIELD_REAL,
    FIELD_TOPK,
    FIELD_SCORING,
    FIELD_ROPE
} field_kind;

typedef struct field {
    const char *name; // the key in config.json
    field_kind kind;
    size_t offset;
} field;

#define FIELD(key, kind, member)                                                                             \
    {                                                                                                        \
        key, kind, offsetof(iso_model_config, member)                                                        \
    }

// Fields that are zero (false, none) are those that a model does not have; they are left out.
static const field fields[] = {
    FIELD("num_hidden_layers", FIELD_COUNT, layer_count),
    FIELD("hidden_size", FIELD_COUNT, hidden_size),
    FIELD("vocab_size", FIELD_COUNT, vocab_size),
    FIELD("max_position_embeddings", FIELD_COUNT, max_positions),
    FIELD("intermediate_size", FIELD_COUNT, intermediate_size),
    FIELD("rms_norm_eps", FIELD_REAL, rms_norm_eps),
    FIELD("tie_word_embeddings", FIELD_FLAG, tie_word_embeddings),
    FIELD("num_attention_heads", FIELD_COUNT, head_count),
    FIELD("num_key_value_heads", FIELD_COUNT, kv_head_count),
    FIELD("head_dim", FIELD_COUNT, head_dim),
    FIELD("q_lora_rank", FIELD_COUNT, q_lora_rank),
    FIELD("kv_lora_rank", FIELD_COUNT, kv_lora_rank),
    FIELD("qk_nope_head_dim", FIELD_COUNT, qk_nope_head_dim),
    FIELD("qk_rope_head_dim", FIELD_COUNT, qk_rope_head_dim),
    FIELD("v_head_dim", FIELD_COUNT, v_head_dim),
    FIELD("n_routed_experts", FIELD_COUNT, routed_expert_count),
    FIELD("n_shared_experts", FIELD_COUNT, shared_expert_count),
    FIELD("num_experts_per_tok", FIELD_COUNT, experts_per_token),
    FIELD("moe_intermediate_size", FIELD_COUNT, moe_intermediate_size),
    FIELD("n_group", FIELD_COUNT, group_count),
    FIELD("topk_group", FIELD_COUNT, group_keep),
    FIELD("topk_method", FIELD_TOPK, topk_method),
    FIELD("scoring_func", FIELD_SCORING, scoring),
    FIELD("norm_topk_prob", FIELD_FLAG, normalise_weights),
    FIELD("routed_scaling_factor", FIELD_REAL, routed_scaling_factor),
    FIELD("first_k_dense_replace", FIELD_COUNT, first_dense_layers),
    FIELD("num_nextn_predict_layers", FIELD_COUNT, mtp_layer_count),
    FIELD("rope_theta", FIELD_REAL, rope_theta),
    FIELD("rope_scaling", FIELD_ROPE, rope_scaling.type),
    FIELD("rope_scaling.factor", FIELD_REAL, rope_scaling.factor),
    FIELD("weight_block_size", FIELD_COUNT, fp8_block),
};

static const char *const topk_names[] = {NULL, "greedy", "group_limited_greedy", "noaux_tc"};
static const char *const scoring_names[] = {NULL, "softmax", "sigmoid"};
static const char *const rope_names[] = {NULL, "yarn", "llama3"};

// NULL: the model has no such field.
static json_t *field_value(const iso_model_config *config, const field *field)
{
    const char *at = (const char *)config + field->offset;
    const char *name = NULL;
    switch (field->kind) {
    case FIELD_COUNT:
        return *(const uint32_t *)at ? cli_json_count(*(const uint32_t *)at) : NULL;
    case FIELD_FLAG:
        return *(const bool *)at ? json_true() : NULL;
    case FIELD_REAL:
        return *(const double *)at != 0 ? json_real(*(const double *)at) : NULL;
    case FIELD_TOPK:
        name = topk_names[*(const iso_topk_method *)at];
        break;
    case FIELD_SCORING:
        name = scoring_names[*(const iso_scoring *)at];
        break;
    case FIELD_ROPE:
        name = rope_names[*(const iso_rope_scaling_type *)at];
        break;
    }
    return name ? json_string(name) : NULL;
}

static json_t *config_json(const iso_model_config *config)
{
    json_t *object = json_object();
    cli_json_put(&object, "model_type", cli_json_text(config->model_type));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_t *value = field_value(config, &fields[i]);
        if (value)
            cli_json_put(&object, fields[i].name, value);
    }
    return object;
}

static iso_status print_config(const iso_model_config *config)
{
    json_t *object = config_json(config), *value;
    const char *key;
    if (!object)
        return iso_fail(ISO_OUT_OF_MEMORY, "no memory for the config's summary");
    puts("config");
    json_object_foreach(object, key, value)
    {
        printf("  %-26s", key);
        if (json_is_integer(value))
            printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
        else if (json_is_real(value))
            printf("%g\n", json_real_value(value));
        else
            puts(json_is_string(value) ? json_string_value(value) : "true");
    }
    json_decref(object);
    return ISO_OK;
}

// ---- what was read ----

typedef struct inspection {
    iso_model *model;                 // NULL: a file of tensors alone
    iso_checkpoint *file;             // that file, opened here
    const iso_checkpoint *checkpoint; // NULL: a config alone
    iso_model_graph *graph;
    iso_model_graph *mtp_graph; // NULL: the model has no MTP layer
    cli_tensor_list tensors;
    cli_needs needs, mtp_needs;
    uint32_t context;
    char text_state[512]; // tokenizer and chat template, or why not
    int32_t vocab_size;   // of the tokenizer; 0: there is none
    const char *chat;     // name of the template's form; NULL: none
} inspection;

static bool is_tensor_file(const char *path)
{
    static const char ending[] = ".safetensors";
    size_t length = strlen(path);
    struct stat info;
    return length >= sizeof ending - 1 && strcmp(path + length - (sizeof ending - 1), ending) == 0 &&
           stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// Absent or unreadable text files do not stop the rest: a vendor may have the config alone.
static void look_at_text(inspection *it)
{
    iso_tokenizer *tokenizer = NULL;
    iso_chat_form form;
    if (iso_tokenizer_open(iso_model_folder(it->model), NULL, &tokenizer) == ISO_OK) {
        it->vocab_size = iso_tokenizer_vocab_size(tokenizer);
        if (iso_chat_recognise(iso_tokenizer_chat_template(tokenizer), NULL, &form) == ISO_OK)
            it->chat = iso_chat_form_name(&form);
    }
    if (!it->chat)
        cli_clean_text(iso_status_last()->text, it->text_state, sizeof it->text_state);
    iso_tokenizer_close(tokenizer);
}

static iso_status look_at_model(const char *path, inspection *it)
{
    ISO_TRY(iso_model_open(path, NULL, &it->model));
    const iso_model_config *config = iso_model_get_config(it->model);
    it->checkpoint = iso_model_checkpoint(it->model);
    it->context = cli_default_context(config);
    ISO_TRY(iso_model_graph_create(it->model, &(iso_build_options){0}, &it->graph));
    ISO_TRY(cli_needs_of(iso_model_graph_get(it->graph), config, ISO_DTYPE_F32, it->context, &it->needs));
    if (config->mtp_layer_count) {
        ISO_TRY(iso_model_graph_create(it->model, &(iso_build_options){.mtp = true}, &it->mtp_graph));
        ISO_TRY(cli_needs_of(iso_model_graph_get(it->mtp_graph), config, ISO_DTYPE_F32, it->context,
                             &it->mtp_needs));
    }
    look_at_text(it);
    return ISO_OK;
}

static iso_status look(const char *path, inspection *it)
{
    if (is_tensor_file(path)) {
        ISO_TRY(iso_checkpoint_open(path, NULL, &it->file));
        it->checkpoint = it->file;
    } else {
        ISO_TRY(look_at_model(path, it));
    }
    if (it->checkpoint)
        return cli_tensor_list_add_checkpoint(&it->tensors, it->checkpoint);
    return cli_tensor_list_add_weights(&it->tensors, iso_model_graph_get(it->graph));
}

static void forget(inspection *it)
{
    cli_tensor_list_deinit(&it->tensors);
    iso_model_graph_destroy(it->graph);
    iso_model_graph_destroy(it->mtp_graph);
    iso_checkpoint_close(it->file);
    iso_model_close(it->model);
}

// ---- for people ----

static void print_weights(inspection *it, bool all)
{
    iso_checkpoint_summary summary = {0};
    char bytes[CLI_SIZE_BYTES];
    if (it->checkpoint) {
        iso_checkpoint_summarize(it->checkpoint, &summary);
        printf("weights: %u files, %u tensors, %s\n", summary.file_count, summary.tensor_count,
               cli_format_bytes(summary.tensor_bytes, bytes));
    } else {
        puts("weights: none here; these are what the graph asks for");
    }
    if (summary.hole_bytes || summary.unindexed_count)
        printf("  (%" PRIu64 " bytes that no tensor covers, %u tensors that the index does not name)\n",
               summary.hole_bytes, summary.unindexed_count);
    cli_tensor_list_print_dtypes(&it->tensors);
    puts("\ntensors");
    cli_tensor_list_print(&it->tensors, all);
}

static void print_run(const inspection *it)
{
    char a[CLI_SIZE_BYTES], b[CLI_SIZE_BYTES];
    const iso_model_config *config = iso_model_get_config(it->model);
    const cli_needs *needs = &it->needs;
    puts("\nwhat would run");
    printf("  architecture       model/%s, %u ops a step\n", config->architecture,
           iso_graph_node_count(iso_model_graph_get(it->graph)));
    printf("  parameters         %s, of them %s active per token\n", cli_format_count(needs->parameters, a),
           cli_format_count(needs->active_parameters, b));
    printf("  weights            %s in memory, %s of them read per token\n",
           cli_format_bytes(needs->weight_bytes, a), cli_format_bytes(needs->active_weight_bytes, b));
    printf("  KV cache           %s per token with f32 activations (half with bf16), ",
           cli_format_bytes(needs->kv_bytes_per_token, a));
    printf("%s at %u tokens\n", cli_format_bytes(needs->kv_bytes_per_token * it->context, a), it->context);
    printf("  operations         %s per token at a context of %u tokens\n",
           cli_format_flops(needs->flops_per_token, a), it->context);
    if (it->mtp_graph)
        printf("  MTP layer          %s parameters and %s more\n",
               cli_format_count(it->mtp_needs.parameters - needs->parameters, a),
               cli_format_bytes(it->mtp_needs.weight_bytes - needs->weight_bytes, b));
    if (it->vocab_size)
        printf("  tokenizer          %d ids\n", it->vocab_size);
    if (it->chat)
        printf("  chat template      as %s\n", it->chat);
    else
        printf("  %s  %s\n", it->vocab_size ? "no chat template " : "no tokenizer     ", it->text_state);
    printf("\nnext: isomer plan %s, isomer graph %s\n", it->checkpoint ? "MODEL" : "config.json",
           it->checkpoint ? "MODEL" : "config.json");
}

// ---- for machines ----

static json_t *checkpoint_json(const iso_checkpoint *checkpoint)
{
    iso_checkpoint_summary summary;
    json_t *object = json_object();
    iso_checkpoint_summarize(checkpoint, &summary);
    cli_json_put(&object, "files", cli_json_count(summary.file_count));
    cli_json_put(&object, "tensors", cli_json_count(summary.tensor_count));
    cli_json_put(&object, "tensor_bytes", cli_json_count(summary.tensor_bytes));
    cli_json_put(&object, "hole_bytes", cli_json_count(summary.hole_bytes));
    cli_json_put(&object, "unindexed_tensors", cli_json_count(summary.unindexed_count));
    return object;
}

static iso_status print_json(inspection *it, const inspect_options *options)
{
    json_t *root = json_object();
    cli_json_put(&root, "path", cli_json_text(options->path));
    if (it->model) {
        const iso_model_config *config = iso_model_get_config(it->model);
        cli_json_put(&root, "architecture", json_string(config->architecture));
        cli_json_put(&root, "config", config_json(config));
        cli_json_put(&root, "needs", cli_needs_json(&it->needs));
        cli_json_put(&root, "needs_with_mtp", it->mtp_graph ? cli_needs_json(&it->mtp_needs) : json_null());
        cli_json_put(&root, "context_tokens", cli_json_count(it->context));
        cli_json_put(&root, "tokenizer_ids", it->vocab_size ? json_integer(it->vocab_size) : json_null());
        cli_json_put(&root, "chat_template", cli_json_text(it->chat));
    }
    cli_json_put(&root, "checkpoint", it->checkpoint ? checkpoint_json(it->checkpoint) : json_null());
    cli_json_put(&root, "dtypes", cli_tensor_list_dtypes_json(&it->tensors));
    cli_json_put(&root, "tensors", cli_tensor_list_json(&it->tensors, options->tensors));
    return cli_print_json(root);
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const inspect_options *options = opaque;
    inspection it = {0};
    (void)out_yes;
    iso_status status = look(options->path, &it);
    if (status == ISO_OK && options->json) {
        status = print_json(&it, options);
    } else if (status == ISO_OK) {
        if (it.model)
            status = print_config(iso_model_get_config(it.model));
        if (it.model)
            putchar('\n');
        print_weights(&it, options->tensors);
        if (it.model)
            print_run(&it);
    }
    forget(&it);
    return status;
}

const cli_command cli_command_inspect = {
    .synopsis = "PATH [--tensors] [--json]",
    .about = "Checks headers, shapes and types against the config, and says what the model needs. Weights "
             "are not read.",
    .examples = "  isomer inspect tiny-r1\n"
                "  isomer inspect DeepSeek-V3/config.json    before downloading the rest\n"
                "  isomer inspect DeepSeek-V2-Lite --tensors\n",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(inspect_options),
    .run = run,
};
