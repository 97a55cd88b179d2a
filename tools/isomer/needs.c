// SPDX-License-Identifier: MIT
//
// Walks a graph and adds up.
#include "tools/isomer/needs.h"

#include <stdio.h>
#include <string.h>

#include "kernels/op_list.h"
#include "tools/isomer/output.h"

#define DEFAULT_CONTEXT_TOKENS 4096u

static const char *const symbols[ISO_DIM_SYMBOL_COUNT] = {"T", "R", "pages", "sequences", "sequence_pages"};

uint32_t cli_default_context(const iso_model_config *config)
{
    return config->max_positions < DEFAULT_CONTEXT_TOKENS ? config->max_positions : DEFAULT_CONTEXT_TOKENS;
}

iso_dim_values cli_step_dims(uint32_t tokens, uint32_t rows, uint32_t context)
{
    uint32_t pages = (context + ISO_KV_PAGE_TOKENS - 1) / ISO_KV_PAGE_TOKENS;
    iso_dim_values dims;
    dims.value[-ISO_DIM_TOKENS - 1] = tokens;
    dims.value[-ISO_DIM_ROWS - 1] = rows;
    dims.value[-ISO_DIM_PAGES - 1] = pages;
    dims.value[-ISO_DIM_SEQUENCES - 1] = 1;
    dims.value[-ISO_DIM_SEQUENCE_PAGES - 1] = pages;
    return dims;
}

static uint64_t elem_bytes(iso_dtype dtype, iso_dtype activation)
{
    return iso_dtype_bytes(dtype == ISO_DTYPE_ACTIVATION ? activation : dtype);
}

// The part of a weight that one token uses.
typedef struct use {
    uint64_t numerator, denominator;
} use;

static use use_of(const iso_graph *graph, const iso_node *node, iso_value weight,
                  const iso_model_config *config)
{
    const iso_value_info *info = iso_graph_value_info(graph, weight);
    if (node->op == iso_op_gather)
        return (use){1, (uint64_t)info->dims[0]};
    if (info->rank == 3) // one matrix an expert
        return (use){config->experts_per_token, (uint64_t)info->dims[0]};
    return (use){1, 1};
}

// FP8 scales and tables of constants are stored, but not counted as parameters. The graph calls the scales of
// a weight "<weight>.scale".
static bool is_parameter(const iso_value_info *info)
{
    static const char scale[] = ".scale";
    size_t length = strlen(info->name);
    bool is_scale =
        length >= sizeof scale - 1 && strcmp(info->name + length - (sizeof scale - 1), scale) == 0;
    return !is_scale && info->dtype != ISO_DTYPE_U32 && info->dtype != ISO_DTYPE_I32;
}

static void add_weight(const iso_graph *graph, iso_value weight, use part, cli_needs *needs)
{
    const iso_value_info *info = iso_graph_value_info(graph, weight);
    iso_dim_values ones = {{1, 1, 1, 1, 1}};
    iso_tensor tensor = iso_graph_tensor(graph, weight, &ones);
    uint64_t elems = iso_tensor_elems(&tensor), bytes = elems * iso_dtype_bytes(info->dtype);
    needs->weight_bytes += bytes;
    needs->active_weight_bytes += bytes / part.denominator * part.numerator;
    if (!is_parameter(info))
        return;
    needs->parameters += elems;
    needs->active_parameters += elems / part.denominator * part.numerator;
}

static void add_caches(const iso_graph *graph, iso_dtype activation, cli_needs *needs)
{
    iso_dim_values page = {{1, 1, 1, 1, 1}};
    for (iso_value v = 1; v < iso_graph_value_count(graph); v++) {
        const iso_value_info *info = iso_graph_value_info(graph, v);
        if (info->kind != ISO_VALUE_CACHE || info->base != v)
            continue;
        iso_tensor tensor = iso_graph_tensor(graph, v, &page);
        needs->kv_bytes_per_token +=
            iso_tensor_elems(&tensor) * elem_bytes(info->dtype, activation) / ISO_KV_PAGE_TOKENS;
    }
}

// For a step of one token, the last of its context: attention counts its keys by the positions on the host.
static uint64_t node_flops(const iso_graph *graph, const iso_node *node, const iso_dim_values *dims,
                           int32_t last_position)
{
    _Alignas(8) uint8_t params[ISO_OP_PARAMS_BYTES];
    iso_op_cost cost = {0};
    memcpy(params, node->params, sizeof params);
    iso_tensor *tensors = (iso_tensor *)(void *)params;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const iso_value_info *info = iso_graph_value_info(graph, node->operands[i]);
        tensors[i] = iso_graph_tensor(graph, node->operands[i], dims);
        if (info->kind == ISO_VALUE_INPUT && info->dims[0] == ISO_DIM_TOKENS && info->rank == 1)
            tensors[i].host = &last_position;
    }
    iso_graph_ops(graph)->ops[node->op]->cost(params, &cost);
    return cost.flops;
}

iso_status cli_needs_of(const iso_graph *graph, const iso_model_config *config, iso_dtype activation,
                        uint32_t context_tokens, cli_needs *out)
{
    bool *seen = NULL;
    iso_dim_values one = cli_step_dims(1, 1, context_tokens);
    memset(out, 0, sizeof *out);
    ISO_TRY(ISO_NEW(NULL, iso_graph_value_count(graph), &seen));
    for (uint32_t n = 0; n < iso_graph_node_count(graph); n++) {
        const iso_node *node = iso_graph_node(graph, n);
        out->flops_per_token += node_flops(graph, node, &one, (int32_t)context_tokens - 1);
        for (uint32_t i = 0; i < node->operand_count; i++) {
            iso_value root = iso_graph_value_info(graph, node->operands[i])->base;
            if (node->operands[i] == ISO_NO_VALUE || seen[root] ||
                iso_graph_value_info(graph, root)->kind != ISO_VALUE_WEIGHT)
                continue;
            seen[root] = true;
            add_weight(graph, root, use_of(graph, node, root, config), out);
        }
    }
    add_caches(graph, activation, out);
    iso_free(NULL, seen);
    return ISO_OK;
}

const char *cli_format_shape(const iso_value_info *value, char out[CLI_SHAPE_BYTES])
{
    size_t at = (size_t)snprintf(out, CLI_SHAPE_BYTES, "[");
    for (uint32_t i = 0; i < value->rank && at < CLI_SHAPE_BYTES; i++) {
        const char *comma = i ? ", " : "";
        if (value->dims[i] < 0)
            at +=
                (size_t)snprintf(out + at, CLI_SHAPE_BYTES - at, "%s%s", comma, symbols[-value->dims[i] - 1]);
        else
            at += (size_t)snprintf(out + at, CLI_SHAPE_BYTES - at, "%s%d", comma, value->dims[i]);
    }
    if (at < CLI_SHAPE_BYTES)
        snprintf(out + at, CLI_SHAPE_BYTES - at, "] %s", iso_dtype_name(value->dtype));
    return out;
}

json_t *cli_shape_json(const iso_value_info *value)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < value->rank; i++)
        cli_json_add(&shape, value->dims[i] < 0 ? json_string(symbols[-value->dims[i] - 1])
                                                : json_integer(value->dims[i]));
    return shape;
}

json_t *cli_needs_json(const cli_needs *needs)
{
    json_t *object = json_object();
    cli_json_put(&object, "parameters", cli_json_count(needs->parameters));
    cli_json_put(&object, "active_parameters", cli_json_count(needs->active_parameters));
    cli_json_put(&object, "weight_bytes", cli_json_count(needs->weight_bytes));
    cli_json_put(&object, "active_weight_bytes", cli_json_count(needs->active_weight_bytes));
    cli_json_put(&object, "kv_bytes_per_token", cli_json_count(needs->kv_bytes_per_token));
    cli_json_put(&object, "flops_per_token", cli_json_count(needs->flops_per_token));
    return object;
}
