// SPDX-License-Identifier: MIT
//
// Pass 5: one command list per segment and step size. Binds each operand to its storage and puts a barrier
// where a node touches what an earlier one since the last barrier wrote (or writes what it read).
#include "runtime/session/session_internal.h"

#include <string.h>

#define MAX_TRACKED 96

typedef struct touched {
    const iso_memory *memory;
    uint64_t begin, end;
    bool written;
} touched;

// What the commands since the last barrier touched.
typedef struct hazards {
    touched ranges[MAX_TRACKED];
    uint32_t count;
} hazards;

static touched storage_of(const iso_session *session, uint32_t size, iso_value v)
{
    const iso_plan *plan = session->plan;
    const iso_sized_plan *sized = &plan->sizes[size];
    iso_value root = plan->graph->values[v].base;
    const iso_value_info *value = &plan->graph->values[root];
    touched range = {0};
    if (value->kind == ISO_VALUE_ACTIVATION) {
        range.memory = iso_buffer_memory(session->arenas[value->device]);
        range.begin = sized->offsets[root];
    } else {
        range.memory = iso_buffer_memory(session->buffers[root]);
    }
    range.end = range.begin + iso_graph_storage_bytes(plan->graph, root, &sized->dims);
    return range;
}

static bool conflicts(const hazards *seen, const touched *range)
{
    for (uint32_t i = 0; i < seen->count; i++) {
        const touched *other = &seen->ranges[i];
        if (other->memory == range->memory && (other->written || range->written) &&
            other->begin < range->end && range->begin < other->end)
            return true;
    }
    return false;
}

static iso_status barrier_if_needed(iso_session *session, uint32_t size, const iso_node *node, iso_list *list,
                                    hazards *seen)
{
    const iso_op_info *op = session->plan->graph->ops->ops[node->op];
    touched ranges[ISO_MAX_OPERANDS];
    uint32_t count = 0;
    bool needed = false;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (node->operands[i] == ISO_NO_VALUE)
            continue;
        ranges[count] = storage_of(session, size, node->operands[i]);
        ranges[count].written = i >= op->input_count;
        needed = needed || conflicts(seen, &ranges[count]);
        count++;
    }
    if (needed || seen->count + count > MAX_TRACKED) {
        ISO_TRY(iso_list_barrier(list));
        seen->count = 0;
    }
    memcpy(&seen->ranges[seen->count], ranges, count * sizeof *ranges);
    seen->count += count;
    return ISO_OK;
}

// The module of a kernel on a device; built at its first use, when the kinds of its arguments are known.
static iso_status find_module(iso_session *session, const iso_kernel *kernel, uint32_t device,
                              const iso_launch *launch, iso_module **out_module)
{
    for (size_t i = 0; i < session->module_count; i++) {
        if (session->modules[i].kernel == kernel && session->modules[i].device == device) {
            *out_module = session->modules[i].module;
            return ISO_OK;
        }
    }
    iso_device *on = session->plan->devices[device];
    const iso_kernel_code *code = iso_plan_kernel_code(kernel, iso_device_get_info(on));
    iso_module_source source = {
        .name = kernel->name,
        .entry = code->format == ISO_CODE_SPIRV ? "main" : kernel->op,
        .format = code->format,
        .code = code->code,
        .code_bytes = code->code_bytes,
        .native = code->native,
        .group_size = kernel->group_size,
        .arg_count = launch->arg_count,
    };
    for (uint32_t i = 0; i < launch->arg_count; i++)
        source.arg_kinds[i] = launch->args[i].kind;
    ISO_TRY(iso_grow(session->allocator, sizeof *session->modules, session->module_count + 1,
                     (void **)&session->modules, &session->module_capacity));
    ISO_TRY(iso_module_create(on, &source, out_module));
    session->modules[session->module_count++] = (iso_bound_module){kernel, device, *out_module};
    return ISO_OK;
}

static iso_status record_node(iso_session *session, uint32_t size, uint32_t index, iso_list *list)
{
    const iso_plan *plan = session->plan;
    const iso_sized_plan *sized = &plan->sizes[size];
    const iso_node *node = &plan->graph->nodes[index];
    const iso_kernel *kernel = sized->kernels[index];
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_plan_bind_shapes(plan, node, &sized->dims, params);
    iso_tensor *tensors = (iso_tensor *)params;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (node->operands[i] == ISO_NO_VALUE)
            continue;
        touched storage = storage_of(session, size, node->operands[i]);
        tensors[i].memory = storage.memory;
        tensors[i].offset_bytes = storage.begin;
    }
    iso_launch launch = {0};
    kernel->launch(kernel, params, &launch);
    iso_module *module;
    ISO_TRY(find_module(session, kernel, node->device, &launch, &module));
    iso_dispatch dispatch = {.label = kernel->name, .arg_count = launch.arg_count};
    memcpy(dispatch.groups, launch.groups, sizeof dispatch.groups);
    memcpy(dispatch.args, launch.args, launch.arg_count * sizeof *launch.args);
    return iso_list_dispatch(list, module, &dispatch);
}

iso_status iso_plan_record(iso_session *session, uint32_t size)
{
    const iso_plan *plan = session->plan;
    ISO_TRY(ISO_NEW(session->allocator, plan->segment_count, &session->lists[size]));
    for (size_t s = 0; s < plan->segment_count; s++) {
        const iso_segment *segment = &plan->segments[s];
        iso_list **list = &session->lists[size][s];
        hazards seen = {.count = 0};
        ISO_TRY(iso_list_create(plan->devices[segment->device], list));
        for (uint32_t n = segment->first_node; n < segment->first_node + segment->node_count; n++) {
            ISO_TRY(barrier_if_needed(session, size, &plan->graph->nodes[n], *list, &seen));
            ISO_TRY(record_node(session, size, n, *list));
        }
        ISO_TRY(iso_list_finish(*list));
    }
    return ISO_OK;
}
