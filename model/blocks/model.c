// SPDX-License-Identifier: MIT
//
// Opening a model, and building its graph with the weights it uses.
#include "isomer/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isomer/ops.h"
#include "model/blocks/builder.h"

#define FOLDER_BYTES 4096

struct iso_model {
    const iso_allocator *allocator;
    iso_model_config config;
    iso_checkpoint *checkpoint; // NULL: config only
    char *folder;
};

struct iso_model_graph {
    const iso_allocator *allocator;
    iso_graph *graph;
    iso_weight_table weights;
    iso_model_values values;
};

static bool is_file(const char *folder, const char *name)
{
    char path[FOLDER_BYTES + 32];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// The folder of a built-in model: $ISOMER_MODELS, beside the program, where it was installed, where it was
// built.
static bool find_built_in(const char *name, char *out, size_t out_bytes)
{
    char program[2048] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? strrchr(program, '/') : NULL;
    if (slash)
        *slash = 0;
    const char *models = getenv("ISOMER_MODELS");
    if (models && (snprintf(out, out_bytes, "%s/%s", models, name), is_file(out, "config.json")))
        return true;
    if (slash &&
        (snprintf(out, out_bytes, "%s/../share/isomer/%s", program, name), is_file(out, "config.json")))
        return true;
    snprintf(out, out_bytes, ISOMER_DATA_DIR "/%s", name);
    if (is_file(out, "config.json"))
        return true;
    snprintf(out, out_bytes, ISOMER_SOURCE_DIR "/model/%s", name);
    return is_file(out, "config.json");
}

// Splits PATH into a folder and whether only the config is meant.
static iso_status find_model(const char *path, char *folder, size_t folder_bytes, bool *out_config_only)
{
    struct stat info;
    *out_config_only = false;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        const char *slash = strrchr(path, '/');
        snprintf(folder, folder_bytes, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
        *out_config_only = true;
        return ISO_OK;
    }
    if (stat(path, &info) == 0) {
        snprintf(folder, folder_bytes, "%s", path);
        *out_config_only =
            !is_file(folder, "model.safetensors") && !is_file(folder, "model.safetensors.index.json");
        return ISO_OK;
    }
    if (!strchr(path, '/') && find_built_in(path, folder, folder_bytes))
        return ISO_OK;
    return iso_fail(ISO_NOT_FOUND,
                    "no model \"%s\": not a folder, a config.json or a built-in model (tiny-r1)", path);
}

iso_status iso_model_open(const char *path, const iso_allocator *allocator, iso_model **out_model)
{
    char folder[FOLDER_BYTES];
    bool config_only;
    iso_model *model = NULL;
    iso_status status = ISO_OK;
    *out_model = NULL;
    ISO_TRY(find_model(path, folder, sizeof folder, &config_only));
    ISO_TRY(ISO_NEW(allocator, 1, &model));
    model->allocator = allocator;
    struct stat info;
    bool is_config = stat(path, &info) == 0 && S_ISREG(info.st_mode);
    ISO_TRY_GOTO(iso_config_load(is_config ? path : folder, &model->config), fail);
    ISO_TRY_GOTO(iso_alloc_string(allocator, folder, &model->folder), fail);
    if (!config_only)
        ISO_TRY_GOTO(iso_checkpoint_open(folder, allocator, &model->checkpoint), fail);
    *out_model = model;
    return ISO_OK;
fail:
    iso_model_close(model);
    return status;
}

void iso_model_close(iso_model *model)
{
    if (!model)
        return;
    iso_checkpoint_close(model->checkpoint);
    iso_free(model->allocator, model->folder);
    iso_free(model->allocator, model);
}

const iso_model_config *iso_model_get_config(const iso_model *model)
{
    return &model->config;
}

const iso_checkpoint *iso_model_checkpoint(const iso_model *model)
{
    return model->checkpoint;
}

const char *iso_model_folder(const iso_model *model)
{
    return model->folder;
}

iso_status iso_model_graph_create(const iso_model *model, const iso_build_options *options,
                                  iso_model_graph **out_graph)
{
    iso_model_graph *graph = NULL;
    iso_status status = ISO_OK;
    *out_graph = NULL;
    if (options->mtp && model->config.mtp_layer_count == 0)
        return iso_fail(ISO_UNSUPPORTED, "%s has no MTP layer (num_nextn_predict_layers is 0 or absent)",
                        model->folder);
    if (model->config.layer_count + model->config.mtp_layer_count > ISO_MAX_LAYERS)
        return iso_fail(ISO_UNSUPPORTED, "%s: num_hidden_layers is %u; allowed: up to %d", model->folder,
                        model->config.layer_count, ISO_MAX_LAYERS);
    ISO_TRY(ISO_NEW(model->allocator, 1, &graph));
    graph->allocator = model->allocator;
    iso_weight_table_init(&graph->weights, model->allocator, model->checkpoint);
    ISO_TRY_GOTO(iso_graph_create(model->allocator, iso_ops(), &graph->graph), fail);
    iso_builder builder = {
        .graph = graph->graph,
        .config = &model->config,
        .architecture = iso_architecture_of(&model->config),
        .weights = &graph->weights,
        .options = *options,
    };
    builder.architecture->build(&builder);
    ISO_TRY_GOTO(iso_graph_finish(graph->graph), fail);
    graph->values = builder.values;
    *out_graph = graph;
    return ISO_OK;
fail:
    iso_model_graph_destroy(graph);
    return status;
}

void iso_model_graph_destroy(iso_model_graph *graph)
{
    if (!graph)
        return;
    iso_graph_destroy(graph->graph);
    iso_weight_table_deinit(&graph->weights);
    iso_free(graph->allocator, graph);
}

const iso_graph *iso_model_graph_get(const iso_model_graph *graph)
{
    return graph->graph;
}

const iso_model_values *iso_model_graph_values(const iso_model_graph *graph)
{
    return &graph->values;
}

iso_weight_source iso_model_graph_weights(iso_model_graph *graph)
{
    return iso_weight_table_source(&graph->weights);
}
