// SPDX-License-Identifier: MIT
//
// isomer graph: the model as it is described once, before any device is known.
#include <stdio.h>

#include "isomer/model.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"

typedef struct graph_options {
    const char *model;
    bool dot, json, mtp;
} graph_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, a config.json alone, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(graph_options, model),
     .positional = true,
     .required = true},
    {.name = "dot",
     .help = "print DOT, for Graphviz",
     .kind = CLI_FLAG,
     .offset = offsetof(graph_options, dot)},
    {.name = "mtp",
     .help = "with the multi-token-prediction layer",
     .kind = CLI_FLAG,
     .offset = offsetof(graph_options, mtp)},
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(graph_options, json)},
};

static const char *const kind_names[] = {[ISO_VALUE_ACTIVATION] = "activation",
                                         [ISO_VALUE_INPUT] = "input",
                                         [ISO_VALUE_WEIGHT] = "weight",
                                         [ISO_VALUE_CACHE] = "cache"};

static json_t *operand_names(const iso_graph *graph, const iso_node *node, uint32_t first, uint32_t end)
{
    json_t *names = json_array();
    for (uint32_t i = first; i < end; i++)
        cli_json_add(&names, node->operands[i] == ISO_NO_VALUE
                                 ? json_null()
                                 : json_string(iso_graph_value_info(graph, node->operands[i])->name));
    return names;
}

static json_t *graph_json(const iso_graph *graph)
{
    json_t *root = json_object(), *values = json_array(), *ops = json_array();
    for (iso_value v = 1; v < iso_graph_value_count(graph); v++) {
        const iso_value_info *info = iso_graph_value_info(graph, v);
        json_t *value = json_object();
        cli_json_put(&value, "name", json_string(info->name));
        cli_json_put(&value, "kind", json_string(kind_names[info->kind]));
        cli_json_put(&value, "dtype", json_string(iso_dtype_name(info->dtype)));
        cli_json_put(&value, "shape", cli_shape_json(info));
        cli_json_put(&value, "layer", json_integer(info->layer));
        cli_json_add(&values, value);
    }
    for (uint32_t n = 0; n < iso_graph_node_count(graph); n++) {
        const iso_node *node = iso_graph_node(graph, n);
        const iso_op_info *op = iso_graph_ops(graph)->ops[node->op];
        json_t *entry = json_object();
        cli_json_put(&entry, "op", json_string(op->name));
        cli_json_put(&entry, "layer", json_integer(node->layer));
        cli_json_put(&entry, "inputs", operand_names(graph, node, 0, op->input_count));
        cli_json_put(&entry, "outputs", operand_names(graph, node, op->input_count, node->operand_count));
        cli_json_add(&ops, entry);
    }
    cli_json_put(&root, "values", values);
    cli_json_put(&root, "ops", ops);
    return root;
}

static iso_status print_graph(const iso_graph *graph, const graph_options *options)
{
    char *text = NULL;
    if (options->json)
        return cli_print_json(graph_json(graph));
    if (options->dot)
        ISO_TRY(iso_graph_dump_dot(graph, NULL, &text));
    else
        ISO_TRY(iso_graph_dump_text(graph, NULL, &text));
    fputs(text, stdout);
    iso_free(NULL, text);
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const graph_options *options = opaque;
    iso_model *model = NULL;
    iso_model_graph *graph = NULL;
    iso_status status = ISO_OK;
    (void)out_yes;
    if (options->dot && options->json)
        return iso_fail(ISO_INVALID_ARGUMENT, "graph: --dot and --json are both given; name one of them");
    ISO_TRY_GOTO(iso_model_open(options->model, NULL, &model), done);
    ISO_TRY_GOTO(iso_model_graph_create(model, &(iso_build_options){.mtp = options->mtp}, &graph), done);
    ISO_TRY_GOTO(print_graph(iso_model_graph_get(graph), options), done);
done:
    iso_model_graph_destroy(graph);
    iso_model_close(model);
    return status;
}

const cli_command cli_command_graph = {
    .synopsis = "MODEL [--dot | --json] [--mtp]",
    .about = "Prints inputs, weights, caches, and one line an op. T stands for the tokens of a step, R for "
             "those of them\n"
             "whose logits are wanted. The type \"activation\" is left open: the plan makes it f32 or bf16.",
    .examples = "  isomer graph tiny-r1\n"
                "  isomer graph DeepSeek-V3/config.json --mtp\n"
                "  isomer graph tiny-r1 --dot | dot -Tsvg > graph.svg\n",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(graph_options),
    .run = run,
};
