// SPDX-License-Identifier: MIT
//
// isomer logits: what a model computes for given tokens, every row of it, as a safetensors file. The file
// appears whole or not at all.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "isomer/checkpoint.h"
#include "tools/isomer/capture.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/fallback.h"
#include "tools/isomer/ids.h"
#include "tools/isomer/machine.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

#define TENSOR_NAME_BYTES 40
#define MAX_TENSORS       (2 + ISO_MAX_LAYERS + 1 + 2 * ISO_MAX_LAYERS)

typedef struct logits_options {
    const char *model;
    cli_device_options where;
    const char *ids, *ids_file, *force_routing, *out;
    bool hidden, routing, mtp, json;
} logits_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(logits_options, model),
     .positional = true,
     .required = true},
    {.name = "ids",
     .value = "1,2,3",
     .help = "the tokens, from the first position on",
     .kind = CLI_TEXT,
     .offset = offsetof(logits_options, ids)},
    {.name = "ids-file",
     .value = "F",
     .help = "the tokens from a file: numbers, or the JSON of isomer tokenize; - is standard input",
     .kind = CLI_TEXT,
     .offset = offsetof(logits_options, ids_file)},
    {.name = "hidden",
     .help = "write hidden.<l> too: the residual stream, l = 0 after the embedding",
     .kind = CLI_FLAG,
     .offset = offsetof(logits_options, hidden)},
    {.name = "routing",
     .help = "write experts.<layer> and expert_weights.<layer> too",
     .kind = CLI_FLAG,
     .offset = offsetof(logits_options, routing)},
    {.name = "mtp",
     .help = "write mtp_logits too: the MTP layer's, given the token after each one; after the\n"
             "last one the greedy choice follows",
     .kind = CLI_FLAG,
     .offset = offsetof(logits_options, mtp)},
    {.name = "force-routing",
     .value = "FILE",
     .help = "use the experts.<layer> of this file (as --routing writes them) instead of choosing",
     .kind = CLI_TEXT,
     .offset = offsetof(logits_options, force_routing)},
    CLI_DEVICE_ROWS(logits_options, where),
    {.name = "out",
     .value = "F.safetensors",
     .help = "the file to write",
     .kind = CLI_TEXT,
     .offset = offsetof(logits_options, out),
     .required = true},
    {.name = "json",
     .help = "print what was written as JSON",
     .kind = CLI_FLAG,
     .offset = offsetof(logits_options, json)},
};

typedef struct logits_state {
    const logits_options *options;
    iso_build_options build;
    iso_model *model;
    iso_token_list ids;
    int32_t *forced; // [tokens, routed layers, k]
    cli_machine machine;
    iso_runner *runner;
    cli_capture capture;
    char names[MAX_TENSORS][TENSOR_NAME_BYTES];
    iso_tensor_view tensors[MAX_TENSORS];
    uint32_t tensor_count;
} logits_state;

// ---- experts from a file ----

static iso_status check_choice(const int32_t *row, uint32_t chosen, const iso_model_config *config,
                               const char *where, size_t token)
{
    int32_t expert = row[chosen];
    if (expert < 0 || (uint32_t)expert >= config->routed_expert_count)
        return iso_fail(ISO_CORRUPT, "%s: token %zu has expert %d; allowed: 0 to %u", where, token, expert,
                        config->routed_expert_count - 1);
    for (uint32_t i = 0; i < chosen; i++)
        if (row[i] == expert)
            return iso_fail(ISO_CORRUPT, "%s: token %zu has expert %d twice; needed: %u different ones",
                            where, token, expert, config->experts_per_token);
    return ISO_OK;
}

// The experts of the `index`-th of `routed_count` layers.
static iso_status take_layer(logits_state *s, const iso_tensor_view *view, uint32_t index,
                             uint32_t routed_count)
{
    const iso_model_config *config = iso_model_get_config(s->model);
    uint32_t k = config->experts_per_token;
    char where[256];
    snprintf(where, sizeof where, "%.200s: %.40s", s->options->force_routing, view->name);
    if (view->dtype != ISO_DTYPE_I32 || view->rank != 2 || view->dims[0] != s->ids.count ||
        view->dims[1] != k)
        return iso_fail(ISO_CORRUPT,
                        "%s is %s with %u dimensions [%" PRIu64 ", %" PRIu64 "]; needed: I32 [%zu, %u]",
                        where, view->dtype_name, view->rank, view->dims[0], view->dims[1], s->ids.count, k);
    for (size_t t = 0; t < s->ids.count; t++) {
        int32_t *row = s->forced + (t * routed_count + index) * k;
        memcpy(row, (const char *)view->data + t * k * sizeof *row, k * sizeof *row);
        for (uint32_t i = 0; i < k; i++)
            ISO_TRY(check_choice(row, i, config, where, t));
    }
    return ISO_OK;
}

static iso_status read_forced(logits_state *s)
{
    const iso_model_config *config = iso_model_get_config(s->model);
    uint32_t layers[ISO_MAX_LAYERS], count = 0, end = config->layer_count + (s->build.mtp ? 1 : 0);
    iso_checkpoint *file = NULL;
    for (uint32_t layer = 0; layer < end && layer < ISO_MAX_LAYERS; layer++)
        if (iso_config_layer_is_moe(config, layer))
            layers[count++] = layer;
    if (count == 0)
        return iso_fail(ISO_UNSUPPORTED, "--force-routing: a %s model chooses no experts",
                        config->model_type);
    ISO_TRY(iso_alloc_array(NULL, s->ids.count * count, config->experts_per_token * sizeof(int32_t),
                            (void **)&s->forced));
    ISO_TRY(iso_checkpoint_open(s->options->force_routing, NULL, &file));
    iso_status status = ISO_OK;
    for (uint32_t i = 0; status == ISO_OK && i < count; i++) {
        char name[TENSOR_NAME_BYTES];
        iso_tensor_view view;
        snprintf(name, sizeof name, "experts.%u", layers[i]);
        status = iso_checkpoint_find(file, name, &view);
        if (status == ISO_OK)
            status = take_layer(s, &view, i, count);
    }
    iso_checkpoint_close(file);
    return status;
}

// ---- running ----

static iso_status read_input(logits_state *s)
{
    const logits_options *o = s->options;
    ISO_TRY(iso_model_open(o->model, NULL, &s->model));
    const iso_model_config *config = iso_model_get_config(s->model);
    ISO_TRY(cli_ids_read(o->ids, o->ids_file, &s->ids));
    for (size_t i = 0; i < s->ids.count; i++)
        if ((uint32_t)s->ids.ids[i] >= config->vocab_size)
            return iso_fail(ISO_NOT_FOUND,
                            "token %zu has id %d; the model has ids 0 to %u (vocab_size of config.json)", i,
                            s->ids.ids[i], config->vocab_size - 1);
    uint32_t limit = o->where.context ? o->where.context : config->max_positions;
    if (s->ids.count > limit)
        return iso_fail(ISO_LIMIT, "%zu tokens are given; the context holds %u (the model's limit is %u)",
                        s->ids.count, limit, config->max_positions);
    return o->force_routing ? read_forced(s) : ISO_OK;
}

static iso_status compute(logits_state *s)
{
    const logits_options *o = s->options;
    cli_progress progress = {0};
    ISO_TRY(
        cli_machine_open(&o->where, iso_model_get_config(s->model), o->where.fallback != NULL, &s->machine));
    iso_runner_options options = cli_runner_options(&s->machine);
    options.build = s->build;
    options.all_rows = true;
    options.progress = cli_progress_update;
    options.progress_context = &progress;
    if (!options.context_tokens && s->ids.count > cli_default_context(iso_model_get_config(s->model)))
        options.context_tokens = (uint32_t)s->ids.count;
    cli_progress_begin(&progress, "loading");
    iso_status status = iso_runner_create(s->model, &options, &s->runner);
    cli_progress_end(&progress);
    ISO_TRY(status);
    cli_fallback_count(&s->machine, s->runner, true);
    cli_note_kernel_cache();
    cli_capture_input input = {.ids = s->ids.ids,
                               .count = (uint32_t)s->ids.count,
                               .prefill_count = (uint32_t)s->ids.count,
                               .forced_experts = s->forced,
                               .progress = cli_progress_update,
                               .progress_context = &progress};
    cli_progress_begin(&progress, "computing");
    status = cli_capture_run(s->runner, &s->build, &input, &s->capture);
    cli_progress_end(&progress);
    return status;
}

// ---- writing ----

static void add_tensor(logits_state *s, const char *name, iso_dtype dtype, uint32_t columns, const void *data)
{
    iso_tensor_view *view = &s->tensors[s->tensor_count];
    snprintf(s->names[s->tensor_count++], TENSOR_NAME_BYTES, "%s", name);
    *view = (iso_tensor_view){.name = s->names[s->tensor_count - 1],
                              .dtype = dtype,
                              .rank = 2,
                              .dims = {s->capture.count, columns, 1, 1, 1, 1, 1, 1},
                              .data = data};
}

static void list_tensors(logits_state *s)
{
    const cli_capture *c = &s->capture;
    char name[TENSOR_NAME_BYTES];
    add_tensor(s, "logits", ISO_DTYPE_F32, c->vocab, c->logits);
    if (c->mtp_logits)
        add_tensor(s, "mtp_logits", ISO_DTYPE_F32, c->vocab, c->mtp_logits);
    for (uint32_t h = 0; h < c->hidden_count; h++) {
        snprintf(name, sizeof name, "hidden.%u", h);
        add_tensor(s, name, ISO_DTYPE_F32, c->width, c->hidden + (size_t)h * c->count * c->width);
    }
    for (uint32_t l = 0; l < c->routed_count; l++) {
        size_t at = (size_t)l * c->count * c->choices;
        snprintf(name, sizeof name, "experts.%u", c->routed_layers[l]);
        add_tensor(s, name, ISO_DTYPE_I32, c->choices, c->experts + at);
        snprintf(name, sizeof name, "expert_weights.%u", c->routed_layers[l]);
        add_tensor(s, name, ISO_DTYPE_F32, c->choices, c->expert_weights + at);
    }
}

static iso_status write_file(logits_state *s)
{
    iso_safetensors_writer *writer;
    ISO_TRY(iso_safetensors_writer_create(s->options->out, NULL, &writer));
    iso_status status = ISO_OK;
    for (uint32_t i = 0; status == ISO_OK && i < s->tensor_count; i++)
        status = iso_safetensors_writer_add(writer, &s->tensors[i]);
    if (status == ISO_OK)
        status = iso_safetensors_writer_finish(writer);
    iso_safetensors_writer_destroy(writer);
    return status;
}

static void print_text(const logits_state *s)
{
    printf("%s\n", s->options->out);
    for (uint32_t i = 0; i < s->tensor_count; i++)
        printf("  %-20s [%" PRIu64 ", %" PRIu64 "] %s\n", s->tensors[i].name, s->tensors[i].dims[0],
               s->tensors[i].dims[1], iso_dtype_name(s->tensors[i].dtype));
}

static iso_status print_json(const logits_state *s)
{
    json_t *root = json_object(), *tensors = json_array();
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        json_t *tensor = json_object(), *shape = json_array();
        cli_json_put(&tensor, "name", json_string(s->tensors[i].name));
        cli_json_put(&tensor, "dtype", json_string(iso_dtype_name(s->tensors[i].dtype)));
        cli_json_add(&shape, cli_json_count(s->tensors[i].dims[0]));
        cli_json_add(&shape, cli_json_count(s->tensors[i].dims[1]));
        cli_json_put(&tensor, "shape", shape);
        cli_json_add(&tensors, tensor);
    }
    cli_json_put(&root, "file", cli_json_text(s->options->out));
    cli_json_put(&root, "tensors", tensors);
    cli_json_put(&root, "fallback", cli_fallback_json(&s->machine, s->runner));
    return cli_print_json(root);
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const logits_options *options = opaque;
    logits_state *s;
    iso_status status = ISO_OK;
    (void)out_yes;
    ISO_TRY(ISO_NEW(NULL, 1, &s));
    s->options = options;
    s->build = (iso_build_options){.mtp = options->mtp,
                                   .expose_hidden = options->hidden,
                                   .expose_routing = options->routing,
                                   .force_routing = options->force_routing != NULL};
    ISO_TRY_GOTO(read_input(s), done);
    ISO_TRY_GOTO(compute(s), done);
    list_tensors(s);
    ISO_TRY_GOTO(write_file(s), done);
    if (options->json)
        ISO_TRY_GOTO(print_json(s), done);
    else
        print_text(s);
done:
    cli_capture_deinit(&s->capture);
    iso_runner_destroy(s->runner);
    cli_machine_close(&s->machine);
    iso_free(NULL, s->forced);
    iso_token_list_deinit(&s->ids);
    iso_model_close(s->model);
    iso_free(NULL, s);
    return status;
}

const cli_command cli_command_logits = {
    .synopsis = "MODEL --ids 1,2,3 | --ids-file F [--device D | --place P] [options] --out F.safetensors",
    .about = "Runs the given tokens and writes, for each of them, the logits of the next one: logits "
             "[tokens, vocab] f32.\n"
             "On request also hidden.<l> [tokens, hidden] f32, experts.<layer> [tokens, k] i32 in ascending "
             "order,\n"
             "expert_weights.<layer> [tokens, k] f32 and mtp_logits [tokens, vocab] f32. All of it is held "
             "in memory.",
    .examples = "  isomer logits tiny-r1 --ids 0,2,17,44 --out logits.safetensors\n"
                "  isomer logits tiny-r1 --ids 0,2,17,44 --device opencl:0 --hidden --routing --mtp --out "
                "all.safetensors\n"
                "  isomer tokenize DeepSeek-R1 --file prompt.txt --json |\n"
                "    isomer logits DeepSeek-R1 --ids-file - --out logits.safetensors\n",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(logits_options),
    .run = run,
};
