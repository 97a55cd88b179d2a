// SPDX-License-Identifier: MIT
//
// Cutting a part out of a graph (part.h).
#include "conformance/bisect/part.h"

#include <string.h>

#include "runtime/graph/graph_internal.h"

void conform_part_uses(const iso_graph *source, const conform_part *part, conform_part_use *uses)
{
    memset(uses, 0, source->value_count * sizeof *uses);
    for (uint32_t n = 0; n < source->node_count; n++) {
        const iso_node *node = &source->nodes[n];
        uint32_t inputs = source->ops->ops[node->op]->input_count;
        for (uint32_t i = 0; i < node->operand_count; i++) {
            conform_part_use *use = &uses[source->values[node->operands[i]].base];
            bool inside = n >= part->first && n < part->end;
            use->written_before |= i >= inputs && n < part->first;
            use->written |= i >= inputs && inside;
            use->touched |= inside;
            use->needed_after |= n >= part->end;
        }
    }
    uses[ISO_NO_VALUE] = (conform_part_use){0};
    for (size_t v = 1; v < source->value_count; v++)
        uses[source->values[v].base].needed_after |= source->values[v].output;
}

bool conform_part_feeds(const iso_graph *source, iso_value root, const conform_part_use *use)
{
    iso_value_kind kind = source->values[root].kind;
    return use->written_before && use->touched && (kind == ISO_VALUE_ACTIVATION || kind == ISO_VALUE_CACHE);
}

bool conform_part_shows(const iso_graph *source, iso_value root, const conform_part_use *use)
{
    if (source->values[root].kind == ISO_VALUE_CACHE)
        return use->touched;
    return source->values[root].kind == ISO_VALUE_ACTIVATION && use->written && use->needed_after;
}

static void set_kind(const iso_graph *source, iso_graph *graph, size_t v, const conform_part_use *use)
{
    iso_value_info *info = &graph->values[v];
    iso_value root = source->values[v].base;
    if (!use->touched)
        info->kind = ISO_VALUE_ACTIVATION; // has no memory, because no node touches it
    else if (info->kind == ISO_VALUE_ACTIVATION && conform_part_feeds(source, root, use))
        info->kind = ISO_VALUE_INPUT;
}

iso_status conform_part_create(const iso_graph *source, const conform_part *part, iso_graph **out_graph)
{
    iso_graph *graph = NULL;
    conform_part_use *uses = NULL;
    iso_status status = ISO_OK;
    *out_graph = NULL;
    ISO_TRY_GOTO(ISO_NEW(NULL, source->value_count, &uses), done);
    ISO_TRY_GOTO(iso_graph_clone_values(source, NULL, &graph), done);
    conform_part_uses(source, part, uses);
    if (part->ops)
        graph->ops = part->ops;
    for (size_t v = 1; v < graph->value_count; v++) {
        iso_value root = source->values[v].base;
        set_kind(source, graph, v, &uses[root]);
        graph->values[v].output =
            root == v && graph->values[v].kind == ISO_VALUE_ACTIVATION &&
            (part->keep_all ? uses[v].touched : conform_part_shows(source, root, &uses[v]));
    }
    for (uint32_t n = part->first; n < part->end; n++)
        ISO_TRY_GOTO(iso_graph_append_node(graph, &source->nodes[n]), done);
    ISO_TRY_GOTO(iso_graph_finish(graph), done);
    *out_graph = graph;
    graph = NULL;
done:
    iso_graph_destroy(graph);
    iso_free(NULL, uses);
    return status;
}
