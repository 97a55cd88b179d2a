// SPDX-License-Identifier: MIT
//
// Groups a plan's ops, adds up its devices, and prints both. The refusals are asked for again from the
// kernels themselves: they depend on shapes and device only.
#include "tools/isomer/plan_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/isomer/output.h"

// ---- grouping ----

static bool same_shape(const iso_graph *graph, iso_value a, iso_value b)
{
    const iso_value_info *left = iso_graph_value_info(graph, a), *right = iso_graph_value_info(graph, b);
    return left->dtype == right->dtype && left->rank == right->rank &&
           memcmp(left->dims, right->dims, left->rank * sizeof left->dims[0]) == 0;
}

static bool same_kind(const plan_report *report, uint32_t a, uint32_t b)
{
    const iso_node *left = iso_graph_node(report->graph, a), *right = iso_graph_node(report->graph, b);
    if (left->op != right->op || left->device != right->device)
        return false;
    for (uint32_t i = 0; i < left->operand_count; i++)
        if (!same_shape(report->graph, left->operands[i], right->operands[i]))
            return false;
    for (uint32_t size = 0; size < report->size_count; size++)
        if (iso_plan_kernel(report->plan, size, a) != iso_plan_kernel(report->plan, size, b))
            return false;
    return true;
}

static iso_status add_node(plan_report *report, uint32_t n)
{
    int32_t layer = iso_graph_node(report->graph, n)->layer;
    for (size_t i = 0; i < report->group_count; i++) {
        plan_group *group = &report->groups[i];
        if (same_kind(report, group->node, n)) {
            group->count++;
            group->last_layer = layer;
            return ISO_OK;
        }
    }
    ISO_TRY(iso_grow(NULL, sizeof *report->groups, report->group_count + 1, (void **)&report->groups,
                     &report->group_capacity));
    report->groups[report->group_count++] =
        (plan_group){.node = n, .count = 1, .first_layer = layer, .last_layer = layer};
    return ISO_OK;
}

// ---- devices ----

static void fill_device(plan_report *report, uint32_t index, const iso_dim_values *dims)
{
    plan_device *device = &report->devices[index];
    iso_device *opened = report->machine->devices[index];
    device->info = iso_device_get_info(opened);
    device->name = iso_device_name(opened);
    iso_plan_get_memory(report->plan, index, &device->memory);
    const iso_plan_memory *memory = &device->memory;
    device->total_bytes =
        memory->weight_bytes + memory->cache_bytes + memory->arena_bytes + memory->input_bytes;
    device->largest_bytes = memory->arena_bytes;
    device->largest_name = "activations";
    for (iso_value v = 1; v < iso_graph_value_count(report->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(report->graph, v);
        if (info->device != index || info->base != v || info->kind == ISO_VALUE_ACTIVATION)
            continue;
        uint64_t bytes = iso_graph_storage_bytes(report->graph, v, dims);
        if (bytes > device->largest_bytes) {
            device->largest_bytes = bytes;
            device->largest_name = info->name;
        }
    }
    // 0 is a limit that the driver does not tell.
    const iso_device_info *info = device->info;
    device->enough_memory = !info->memory_bytes || device->total_bytes <= info->memory_bytes;
    device->enough_allocation =
        !info->max_allocation_bytes || device->largest_bytes <= info->max_allocation_bytes;
    report->fits = report->fits && device->enough_memory && device->enough_allocation;
}

iso_status plan_report_fill(plan_report *report)
{
    iso_step_size largest = iso_plan_size(report->plan, report->size_count - 1);
    iso_dim_values dims = cli_step_dims(largest.tokens, largest.rows, report->context);
    for (uint32_t n = 0; n < iso_graph_node_count(report->graph); n++)
        ISO_TRY(add_node(report, n));
    report->fits = true;
    for (uint32_t i = 0; i < report->machine->device_count; i++)
        fill_device(report, i, &dims);
    return ISO_OK;
}

void plan_report_deinit(plan_report *report)
{
    iso_free(NULL, report->groups);
    report->groups = NULL;
}

// ---- refusals ----

static bool has_format_of(const iso_kernel *kernel, const iso_device_info *device)
{
    for (int have = 0; have < ISO_MAX_CODE_FORMATS && kernel->codes[have].format != ISO_CODE_NONE; have++)
        for (int takes = 0; takes < ISO_MAX_CODE_FORMATS; takes++)
            if (kernel->codes[have].format == device->code_formats[takes])
                return true;
    return false;
}

// Called for each kernel that stands before the bound one in the op's list, with the reason why it does not.
typedef void (*refusal_visitor)(void *context, const iso_kernel *kernel, const char *reason);

static void visit_refusals(const plan_report *report, uint32_t n, uint32_t size, refusal_visitor visit,
                           void *context)
{
    _Alignas(8) uint8_t params[ISO_OP_PARAMS_BYTES];
    const iso_node *node = iso_graph_node(report->graph, n);
    const iso_op_info *op = iso_graph_ops(report->graph)->ops[node->op];
    const iso_device_info *device = report->devices[node->device].info;
    iso_step_size step = iso_plan_size(report->plan, size);
    iso_dim_values dims = cli_step_dims(step.tokens, step.rows, report->context);
    memcpy(params, node->params, sizeof params);
    iso_tensor *tensors = (iso_tensor *)(void *)params;
    for (uint32_t i = 0; i < node->operand_count; i++)
        tensors[i] = iso_graph_tensor(report->graph, node->operands[i], &dims);
    for (uint32_t k = 0; k < op->kernel_count; k++) {
        char reason[ISO_REASON_BYTES];
        if (op->kernels[k] == iso_plan_kernel(report->plan, size, n))
            return;
        if (!iso_plan_kernel_fits(op->kernels[k], params, device, reason))
            visit(context, op->kernels[k], reason);
    }
}

// ---- for people ----

// Kernels without code for the device are the many that were written for others: counted, not listed.
typedef struct refusal_lines {
    const iso_device_info *device;
    uint32_t foreign;
} refusal_lines;

static void print_refusal(void *context, const iso_kernel *kernel, const char *reason)
{
    refusal_lines *lines = context;
    if (has_format_of(kernel, lines->device))
        printf("%12srefused %s: %s\n", "", kernel->name, reason);
    else
        lines->foreign++;
}

static void print_operands(const plan_report *report, const iso_node *node)
{
    const iso_op_info *op = iso_graph_ops(report->graph)->ops[node->op];
    for (uint32_t i = 0; i < node->operand_count; i++) {
        char shape[CLI_SHAPE_BYTES];
        if (node->operands[i] == ISO_NO_VALUE)
            continue;
        const char *before = i == 0 ? "" : i == op->input_count ? " -> " : ", ";
        printf("%s%s", before,
               cli_format_shape(iso_graph_value_info(report->graph, node->operands[i]), shape));
    }
    putchar('\n');
}

// "layers 0 to 60", "layer 3"; what the embedding and the head do belongs to no layer.
static void print_layers(const plan_report *report, const plan_group *group)
{
    int32_t last = (int32_t)report->config->layer_count - 1;
    if (group->first_layer < group->last_layer)
        printf("layers %d to %d", group->first_layer, group->last_layer);
    else if (group->first_layer < 0)
        printf("before layer 0");
    else if (group->first_layer > last)
        printf("after layer %d", last);
    else
        printf("layer %d", group->first_layer);
}

static void print_group(const plan_report *report, const plan_group *group)
{
    const iso_node *node = iso_graph_node(report->graph, group->node);
    const plan_device *device = &report->devices[node->device];
    printf("%6u  %s on %s, ", group->count, iso_graph_ops(report->graph)->ops[node->op]->name, device->name);
    print_layers(report, group);
    printf(": ");
    print_operands(report, node);
    const iso_kernel *before = NULL;
    for (uint32_t size = 0; size < report->size_count; size++) {
        const iso_kernel *kernel = iso_plan_kernel(report->plan, size, group->node);
        refusal_lines lines = {.device = device->info};
        if (kernel == before)
            continue;
        printf("%8sbound %s", "", kernel->name);
        if (size > 0)
            printf(" from %u tokens on", iso_plan_size(report->plan, size).tokens);
        putchar('\n');
        visit_refusals(report, group->node, size, print_refusal, &lines);
        if (lines.foreign)
            printf("%12s%u kernels for other kinds of device were passed over\n", "", lines.foreign);
        before = kernel;
    }
}

static void print_needs(const plan_report *report)
{
    char a[CLI_SIZE_BYTES], b[CLI_SIZE_BYTES], c[CLI_SIZE_BYTES];
    const cli_needs *needs = &report->needs;
    printf("%s, %u layers, %s parameters (%s active per token), activations %s%s\n",
           report->config->model_type, report->config->layer_count, cli_format_count(needs->parameters, a),
           cli_format_count(needs->active_parameters, b), iso_dtype_name(report->machine->activation),
           report->machine->w8a8 ? ", FP8 linears on quantised inputs" : "");
    printf("\nneeds\n");
    printf("  per token  %s at a context of %u tokens, %s of weights read, %s of KV cache\n",
           cli_format_flops(needs->flops_per_token, a), report->context,
           cli_format_bytes(needs->active_weight_bytes, b), cli_format_bytes(needs->kv_bytes_per_token, c));
    printf("  in all     %s of weights, %s of KV cache at %u tokens\n",
           cli_format_bytes(needs->weight_bytes, a),
           cli_format_bytes(needs->kv_bytes_per_token * report->context, b), report->context);
}

static void print_device(const plan_device *device)
{
    char a[CLI_SIZE_BYTES], b[CLI_SIZE_BYTES], c[CLI_SIZE_BYTES], d[CLI_SIZE_BYTES], total[CLI_SIZE_BYTES],
        has[CLI_SIZE_BYTES];
    printf("  %-10s weights %s, KV cache %s, activations %s, inputs %s: %s", device->name,
           cli_format_bytes(device->memory.weight_bytes, a), cli_format_bytes(device->memory.cache_bytes, b),
           cli_format_bytes(device->memory.arena_bytes, c), cli_format_bytes(device->memory.input_bytes, d),
           cli_format_bytes(device->total_bytes, total));
    if (device->info->memory_bytes)
        printf(" of %s", cli_format_bytes(device->info->memory_bytes, has));
    puts(device->enough_memory ? "" : ", does not fit");
    if (!device->enough_allocation)
        printf("  %-10s %s (%s) is larger than its largest allocation, %s\n", "", device->largest_name,
               cli_format_bytes(device->largest_bytes, a),
               cli_format_bytes(device->info->max_allocation_bytes, b));
}

// A copy that the place pass made of an activation: where it is first read, it has been transferred.
static bool is_transfer(const iso_value_info *info, iso_value v)
{
    return info->kind == ISO_VALUE_ACTIVATION && info->origin != ISO_NO_VALUE && info->base == v;
}

static uint64_t bytes_per_token(const iso_graph *graph, iso_value v)
{
    return iso_graph_storage_bytes(graph, v, &(iso_dim_values){{1, 1, 1, 1, 1}});
}

static void print_transfers(const plan_report *report)
{
    bool any = false;
    for (iso_value v = 1; v < iso_graph_value_count(report->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(report->graph, v);
        char bytes[CLI_SIZE_BYTES];
        if (!is_transfer(info, v))
            continue;
        const iso_value_info *source = iso_graph_value_info(report->graph, info->origin);
        printf("%s  %s from %s to %s, %s per token\n", any ? "" : "\ntransfers\n", source->name,
               report->devices[source->device].name, report->devices[info->device].name,
               cli_format_bytes(bytes_per_token(report->graph, v), bytes));
        any = true;
    }
}

void plan_report_print(const plan_report *report)
{
    print_needs(report);
    puts("\nmemory");
    for (uint32_t i = 0; i < report->machine->device_count; i++)
        print_device(&report->devices[i]);
    print_transfers(report);
    printf("\nops, in steps of 1 to %u tokens (T: tokens, R: rows of logits)\n",
           iso_plan_size(report->plan, report->size_count - 1).tokens);
    for (size_t i = 0; i < report->group_count && !cli_output_broken(); i++)
        print_group(report, &report->groups[i]);
    puts(report->fits
             ? "\nfits: yes"
             : "\nfits: no; take a device with more memory, shorten --context, or spread the layers with "
               "--place");
}

// ---- for machines ----

static void add_refusal(void *context, const iso_kernel *kernel, const char *reason)
{
    json_t **refused = context, *entry = json_object();
    cli_json_put(&entry, "kernel", json_string(kernel->name));
    cli_json_put(&entry, "reason", cli_json_text(reason));
    cli_json_add(refused, entry);
}

static json_t *operands_json(const plan_report *report, const iso_node *node, uint32_t first, uint32_t end)
{
    json_t *operands = json_array();
    for (uint32_t i = first; i < end; i++) {
        const iso_value_info *info = iso_graph_value_info(report->graph, node->operands[i]);
        json_t *operand = node->operands[i] == ISO_NO_VALUE ? json_null() : json_object();
        if (node->operands[i] != ISO_NO_VALUE) {
            cli_json_put(&operand, "shape", cli_shape_json(info));
            cli_json_put(&operand, "dtype", json_string(iso_dtype_name(info->dtype)));
        }
        cli_json_add(&operands, operand);
    }
    return operands;
}

static json_t *group_json(const plan_report *report, const plan_group *group)
{
    const iso_node *node = iso_graph_node(report->graph, group->node);
    const iso_op_info *op = iso_graph_ops(report->graph)->ops[node->op];
    json_t *object = json_object(), *kernels = json_array();
    for (uint32_t size = 0; size < report->size_count; size++) {
        json_t *kernel = json_object(), *refused = json_array();
        visit_refusals(report, group->node, size, add_refusal, &refused);
        cli_json_put(&kernel, "tokens", cli_json_count(iso_plan_size(report->plan, size).tokens));
        cli_json_put(&kernel, "bound", json_string(iso_plan_kernel(report->plan, size, group->node)->name));
        cli_json_put(&kernel, "refused", refused);
        cli_json_add(&kernels, kernel);
    }
    cli_json_put(&object, "op", json_string(op->name));
    cli_json_put(&object, "device", json_string(report->devices[node->device].name));
    cli_json_put(&object, "count", cli_json_count(group->count));
    cli_json_put(&object, "first_layer", json_integer(group->first_layer));
    cli_json_put(&object, "last_layer", json_integer(group->last_layer));
    cli_json_put(&object, "inputs", operands_json(report, node, 0, op->input_count));
    cli_json_put(&object, "outputs", operands_json(report, node, op->input_count, node->operand_count));
    cli_json_put(&object, "kernels", kernels);
    return object;
}

static json_t *device_json(const plan_device *device)
{
    json_t *object = json_object();
    cli_json_put(&object, "name", json_string(device->name));
    cli_json_put(&object, "weight_bytes", cli_json_count(device->memory.weight_bytes));
    cli_json_put(&object, "cache_bytes", cli_json_count(device->memory.cache_bytes));
    cli_json_put(&object, "activation_bytes", cli_json_count(device->memory.arena_bytes));
    cli_json_put(&object, "input_bytes", cli_json_count(device->memory.input_bytes));
    cli_json_put(&object, "total_bytes", cli_json_count(device->total_bytes));
    cli_json_put(&object, "memory_bytes", cli_json_count(device->info->memory_bytes));
    cli_json_put(&object, "largest_buffer_bytes", cli_json_count(device->largest_bytes));
    cli_json_put(&object, "max_allocation_bytes", cli_json_count(device->info->max_allocation_bytes));
    cli_json_put(&object, "fits", json_boolean(device->enough_memory && device->enough_allocation));
    return object;
}

static json_t *transfers_json(const plan_report *report)
{
    json_t *transfers = json_array();
    for (iso_value v = 1; v < iso_graph_value_count(report->graph); v++) {
        const iso_value_info *info = iso_graph_value_info(report->graph, v);
        if (!is_transfer(info, v))
            continue;
        const iso_value_info *source = iso_graph_value_info(report->graph, info->origin);
        json_t *object = json_object();
        cli_json_put(&object, "value", json_string(source->name));
        cli_json_put(&object, "from", json_string(report->devices[source->device].name));
        cli_json_put(&object, "to", json_string(report->devices[info->device].name));
        cli_json_put(&object, "bytes_per_token", cli_json_count(bytes_per_token(report->graph, v)));
        cli_json_add(&transfers, object);
    }
    return transfers;
}

json_t *plan_report_json(const plan_report *report)
{
    json_t *root = json_object(), *devices = json_array(), *ops = json_array(), *steps = json_array();
    for (uint32_t i = 0; i < report->machine->device_count; i++)
        cli_json_add(&devices, device_json(&report->devices[i]));
    for (size_t i = 0; i < report->group_count; i++)
        cli_json_add(&ops, group_json(report, &report->groups[i]));
    for (uint32_t i = 0; i < report->size_count; i++)
        cli_json_add(&steps, cli_json_count(iso_plan_size(report->plan, i).tokens));
    cli_json_put(&root, "model_type", cli_json_text(report->config->model_type));
    cli_json_put(&root, "activation", json_string(iso_dtype_name(report->machine->activation)));
    cli_json_put(&root, "w8a8", json_boolean(report->machine->w8a8));
    cli_json_put(&root, "context_tokens", cli_json_count(report->context));
    cli_json_put(&root, "step_tokens", steps);
    cli_json_put(&root, "needs", cli_needs_json(&report->needs));
    cli_json_put(&root, "devices", devices);
    cli_json_put(&root, "transfers", transfers_json(report));
    cli_json_put(&root, "ops", ops);
    cli_json_put(&root, "fits", json_boolean(report->fits));
    return root;
}
