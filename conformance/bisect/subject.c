// SPDX-License-Identifier: MIT
//
// A model and the steps it is taken through (subject.h).
#include "conformance/bisect/subject.h"

#include <string.h>

#define WILD INT32_MAX

// ---- steps ----

// The sizes are those of a runner with chunks of 64 tokens. The first step leaves a size partly padded, the
// second and third replay one list, the fourth fills a size to its end and crosses a page.
static iso_status choose_steps(conform_subject *s)
{
    static const uint32_t pattern[] = {9, 1, 1, 64, 5, 1}, sizes[] = {1, 8, 32, 64};
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        s->sizes[s->size_count++] = (iso_step_size){sizes[i], sizes[i]};
    for (uint32_t done = 0; done < s->id_count;) {
        if (s->step_count == CONFORM_MAX_STEPS)
            return iso_fail(ISO_LIMIT, "%u tokens need more than %d steps", s->id_count, CONFORM_MAX_STEPS);
        bool early = s->step_count < sizeof pattern / sizeof pattern[0];
        conform_step step = {.first = done, .tokens = early ? pattern[s->step_count] : 64};
        if (step.tokens > s->id_count - done)
            step.tokens = s->id_count - done;
        while (s->sizes[step.size].tokens < step.tokens)
            step.size++;
        s->steps[s->step_count++] = step;
        done += step.tokens;
    }
    uint32_t pages =
        (s->id_count + ISO_KV_PAGE_TOKENS - 1) / ISO_KV_PAGE_TOKENS + 2; // two that are never used
    s->dims.value[-ISO_DIM_PAGES - 1] = s->dims.value[-ISO_DIM_SEQUENCE_PAGES - 1] = pages;
    s->dims.value[-ISO_DIM_SEQUENCES - 1] = 1;
    return ISO_OK;
}

iso_dim_values conform_subject_dims(const conform_subject *s, uint32_t size)
{
    iso_dim_values dims = s->dims;
    dims.value[-ISO_DIM_TOKENS - 1] = s->sizes[size].tokens;
    dims.value[-ISO_DIM_ROWS - 1] = s->sizes[size].rows;
    return dims;
}

// ---- inputs ----

// Pages are handed out from the last but one downwards.
static int32_t page_of(const conform_subject *s, uint32_t position)
{
    return (int32_t)(s->dims.value[-ISO_DIM_PAGES - 1] - 2 - position / ISO_KV_PAGE_TOKENS);
}

static int32_t next_id(const conform_subject *s, uint32_t at)
{
    if (s->next_ids)
        return s->next_ids[at];
    return s->ids[at + 1 < s->id_count ? at + 1 : 0];
}

static void fill_table(const conform_subject *s, const conform_step *step, int32_t *out)
{
    uint32_t used = (step->first + step->tokens + ISO_KV_PAGE_TOKENS - 1) / ISO_KV_PAGE_TOKENS;
    for (uint32_t i = 0; i < s->dims.value[-ISO_DIM_SEQUENCE_PAGES - 1]; i++)
        out[i] = i < used ? page_of(s, i * ISO_KV_PAGE_TOKENS) : WILD;
}

uint32_t conform_routed_before(const conform_subject *s, uint32_t layer)
{
    uint32_t count = 0;
    for (uint32_t l = 0; l < layer; l++)
        count += s->values->experts[l] != ISO_NO_VALUE;
    return count;
}

static void fill_forced(const conform_subject *s, const conform_step *step, uint32_t layer, int32_t *out)
{
    uint32_t k = iso_model_get_config(s->model)->experts_per_token;
    uint32_t layers = conform_routed_before(s, ISO_MAX_LAYERS), at = conform_routed_before(s, layer);
    for (uint32_t t = 0; t < s->sizes[step->size].tokens; t++)
        for (uint32_t j = 0; j < k; j++)
            out[t * k + j] = t < step->tokens
                                 ? s->forced_experts[((size_t)(step->first + t) * layers + at) * k + j]
                                 : (int32_t)j;
}

// One of a real token's inputs, or of a padding token's.
static int32_t token_input(const conform_subject *s, const conform_step *step, iso_value input, uint32_t t)
{
    uint32_t at = step->first + t;
    bool real = t < step->tokens;
    if (input == s->values->ids)
        return real ? s->ids[at] : 0;
    if (input == s->values->positions)
        return real ? (int32_t)at : 0;
    if (input == s->values->sequence)
        return real ? 0 : -1;
    if (input == s->values->slots)
        return real ? page_of(s, at) * ISO_KV_PAGE_TOKENS + (int32_t)(at % ISO_KV_PAGE_TOKENS) : -1;
    if (input == s->values->rows)
        return real ? (int32_t)t : -1;
    return real ? next_id(s, at) : 0;
}

iso_status conform_subject_fill(const conform_subject *s, uint32_t step_number, iso_value input, int32_t *out)
{
    const iso_model_values *v = s->values;
    const conform_step *step = &s->steps[step_number];
    const iso_value per_token[] = {v->ids, v->positions, v->sequence, v->slots, v->rows, v->next_ids};
    if (input == v->block_table) {
        fill_table(s, step, out);
        return ISO_OK;
    }
    for (size_t i = 0; i < sizeof per_token / sizeof per_token[0]; i++) {
        if (per_token[i] != input)
            continue;
        for (uint32_t t = 0; t < s->sizes[step->size].tokens; t++)
            out[t] = token_input(s, step, input, t);
        return ISO_OK;
    }
    for (uint32_t layer = 0; layer < ISO_MAX_LAYERS; layer++)
        if (v->forced_experts[layer] == input) {
            fill_forced(s, step, layer, out);
            return ISO_OK;
        }
    return iso_fail(ISO_INTERNAL, "nobody knows what input %s of the graph holds",
                    iso_graph_value_info(s->graph, input)->name);
}

// ---- creation ----

typedef struct host_weight {
    uint8_t *data;
    uint64_t bytes;
} host_weight;

static iso_status keep_bytes(void *context, uint64_t offset_bytes, const void *data, uint64_t bytes)
{
    host_weight *weight = context;
    if (offset_bytes > weight->bytes || bytes > weight->bytes - offset_bytes)
        return iso_fail(ISO_INTERNAL, "a weight's piece does not fit it");
    memcpy(weight->data + offset_bytes, data, bytes);
    return ISO_OK;
}

static iso_status load_weights(conform_subject *s)
{
    iso_weight_source source = iso_model_graph_weights(s->model_graph);
    iso_dim_values dims = conform_subject_dims(s, 0);
    ISO_TRY(ISO_NEW(NULL, iso_graph_value_count(s->graph), &s->weights));
    for (iso_value v = 1; v < iso_graph_value_count(s->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(s->graph, v);
        if (info->kind != ISO_VALUE_WEIGHT || info->base != v)
            continue;
        host_weight weight = {.bytes = iso_graph_storage_bytes(s->graph, v, &dims)};
        ISO_TRY(iso_alloc(NULL, weight.bytes, &s->weights[v]));
        weight.data = s->weights[v];
        memset(weight.data, 0, weight.bytes);
        iso_weight_sink sink = {&weight, keep_bytes};
        ISO_TRY(source.upload(source.context, info->tag, &sink));
    }
    return ISO_OK;
}

static iso_status check_options(const iso_model *model, const conform_subject_options *options)
{
    const iso_model_config *config = iso_model_get_config(model);
    if (!iso_model_checkpoint(model))
        return iso_fail(ISO_NOT_FOUND, "%s has a config.json and no weights; nothing can run",
                        iso_model_folder(model));
    if (options->id_count == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "no tokens; needed: at least 1");
    if (options->id_count > config->max_positions)
        return iso_fail(ISO_LIMIT, "%u tokens; the model's max_position_embeddings is %u", options->id_count,
                        config->max_positions);
    for (uint32_t i = 0; i < options->id_count; i++)
        if (options->ids[i] < 0 || (uint32_t)options->ids[i] >= config->vocab_size)
            return iso_fail(ISO_NOT_FOUND,
                            "token %u has id %d; the model has ids 0 to %u (vocab_size of config.json)", i,
                            options->ids[i], config->vocab_size - 1);
    return ISO_OK;
}

iso_status conform_subject_create(const iso_model *model, const conform_subject_options *options,
                                  conform_subject *out)
{
    iso_status status = ISO_OK;
    *out = (conform_subject){.model = model,
                             .ids = options->ids,
                             .id_count = options->id_count,
                             .next_ids = options->next_ids,
                             .forced_experts = options->forced_experts};
    ISO_TRY(check_options(model, options));
    ISO_TRY_GOTO(choose_steps(out), fail);
    ISO_TRY_GOTO(iso_model_graph_create(model, &options->build, &out->model_graph), fail);
    out->values = iso_model_graph_values(out->model_graph);
    iso_plan_options plan = {
        .devices = &options->device,
        .device_count = 1,
        .activation = options->activation,
        .w8a8 = options->w8a8,
        .sizes = out->sizes,
        .size_count = out->size_count,
        .dims = out->dims,
    };
    ISO_TRY_GOTO(iso_plan_create(iso_model_graph_get(out->model_graph), &plan, &out->plan), fail);
    out->graph = iso_plan_graph(out->plan);
    ISO_TRY_GOTO(load_weights(out), fail);
    return ISO_OK;
fail:
    conform_subject_destroy(out);
    return status;
}

void conform_subject_destroy(conform_subject *s)
{
    for (uint32_t v = 0; s->weights && v < iso_graph_value_count(s->graph); v++)
        iso_free(NULL, s->weights[v]);
    iso_free(NULL, s->weights);
    iso_plan_destroy(s->plan);
    iso_model_graph_destroy(s->model_graph);
    *s = (conform_subject){0};
}

// ---- nodes ----

const iso_op_info *conform_node_op(const iso_graph *graph, uint32_t node)
{
    return iso_graph_ops(graph)->ops[iso_graph_node(graph, node)->op];
}

const char *conform_node_name(const iso_graph *graph, uint32_t node)
{
    iso_value first = iso_graph_node(graph, node)->operands[conform_node_op(graph, node)->input_count];
    return iso_graph_value_info(graph, first)->name;
}
