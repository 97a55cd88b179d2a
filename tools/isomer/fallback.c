// SPDX-License-Identifier: MIT
//
// An op fell back when it is not on the device of its layer.
#include "tools/isomer/fallback.h"

#include "tools/isomer/cli.h"
#include "tools/isomer/output.h"

// As the plan's place pass has it: layers before the first range go with it, layers beyond the last with
// that.
static uint32_t device_of_layer(const cli_machine *machine, int32_t layer)
{
    for (uint32_t i = 0; i < machine->range_count; i++)
        if (layer <= machine->ranges[i].last_layer)
            return machine->ranges[i].device;
    return machine->range_count ? machine->ranges[machine->range_count - 1].device : 0;
}

static bool fell_back(const cli_machine *machine, const iso_node *node)
{
    return machine->fallback_device && node->device != device_of_layer(machine, node->layer);
}

static const char *op_name(const iso_graph *graph, const iso_node *node)
{
    return iso_graph_ops(graph)->ops[node->op]->name;
}

// How many ops of node `first`'s kind fell back from the same device; 0 where an earlier node has counted
// them.
static uint32_t count_alike(const cli_machine *machine, const iso_graph *graph, uint32_t first)
{
    const iso_node *node = iso_graph_node(graph, first);
    uint32_t device = device_of_layer(machine, node->layer), alike = 0;
    for (uint32_t n = 0; n < iso_graph_node_count(graph); n++) {
        const iso_node *other = iso_graph_node(graph, n);
        if (!fell_back(machine, other) || other->op != node->op ||
            device_of_layer(machine, other->layer) != device)
            continue;
        if (n < first)
            return 0;
        alike++;
    }
    return alike;
}

uint32_t cli_fallback_count(const cli_machine *machine, const iso_runner *runner, bool print)
{
    const iso_graph *graph = iso_plan_graph(iso_runner_plan(runner));
    uint32_t count = 0;
    for (uint32_t n = 0; n < iso_graph_node_count(graph); n++) {
        const iso_node *node = iso_graph_node(graph, n);
        if (!fell_back(machine, node))
            continue;
        count++;
        uint32_t alike = print ? count_alike(machine, graph, n) : 0;
        if (alike)
            cli_note("%s has no kernel for %s: %u of them a step fall back to %s",
                     iso_device_name(machine->devices[device_of_layer(machine, node->layer)]),
                     op_name(graph, node), alike, iso_device_name(machine->devices[node->device]));
    }
    return count;
}

json_t *cli_fallback_json(const cli_machine *machine, const iso_runner *runner)
{
    const iso_graph *graph = iso_plan_graph(iso_runner_plan(runner));
    json_t *list = json_array();
    for (uint32_t n = 0; n < iso_graph_node_count(graph); n++) {
        const iso_node *node = iso_graph_node(graph, n);
        if (!fell_back(machine, node))
            continue;
        json_t *entry = json_object();
        cli_json_put(&entry, "op", json_string(op_name(graph, node)));
        cli_json_put(&entry, "layer", json_integer(node->layer));
        cli_json_put(&entry, "device", cli_json_text(iso_device_name(machine->devices[node->device])));
        cli_json_put(&entry, "instead_of",
                     cli_json_text(iso_device_name(machine->devices[device_of_layer(machine, node->layer)])));
        cli_json_add(&list, entry);
    }
    return list;
}

iso_status cli_fallback_print_cost(const cli_machine *machine, iso_runner *runner)
{
    const iso_graph *graph = iso_plan_graph(iso_runner_plan(runner));
    uint32_t node_count = iso_graph_node_count(graph), size;
    uint64_t *ns = NULL, all = 0, fallen = 0;
    ISO_TRY(iso_session_find_size(iso_runner_session(runner), 1, 1, &size));
    ISO_TRY(ISO_NEW(NULL, node_count, &ns));
    iso_status status = iso_session_node_times(iso_runner_session(runner), size, ns);
    for (uint32_t n = 0; status == ISO_OK && n < node_count; n++) {
        all += ns[n];
        fallen += fell_back(machine, iso_graph_node(graph, n)) ? ns[n] : 0;
    }
    iso_free(NULL, ns);
    if (status == ISO_OK && fallen)
        cli_note("the ops that fell back took %.3f ms of %.3f ms a token, transfers aside",
                 (double)fallen / 1e6, (double)all / 1e6);
    return status;
}
