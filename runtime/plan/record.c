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

static iso_status barrier_if_needed(const touched *ranges, uint32_t count, iso_list *list, hazards *seen)
{
    bool needed = seen->count + count > MAX_TRACKED;
    for (uint32_t i = 0; i < count; i++)
        needed = needed || conflicts(seen, &ranges[i]);
    if (needed) {
        ISO_TRY(iso_list_barrier(list));
        seen->count = 0;
    }
    memcpy(&seen->ranges[seen->count], ranges, count * sizeof *ranges);
    seen->count += count;
    return ISO_OK;
}

// Binds a node's tensors to their storage. Returns how many ranges it touches.
static uint32_t bind_storage(const iso_session *session, uint32_t size, uint32_t index, iso_tensor *tensors,
                             touched *out_ranges)
{
    const iso_node *node = &session->plan->graph->nodes[index];
    const iso_op_info *op = session->plan->graph->ops->ops[node->op];
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (node->operands[i] == ISO_NO_VALUE)
            continue;
        touched storage = storage_of(session, size, node->operands[i]);
        storage.written = i >= op->input_count;
        tensors[i].memory = storage.memory;
        tensors[i].offset_bytes = storage.begin;
        out_ranges[count++] = storage;
    }
    return count;
}

// The program of a kernel on a device; built at its first use, when the kinds of its arguments are known.
static iso_status find_program(iso_session *session, const iso_kernel *kernel, uint32_t device,
                               const void *params, const iso_program **out_program)
{
    for (size_t i = 0; i < session->program_count; i++) {
        if (session->programs[i].program.kernel == kernel && session->programs[i].device == device) {
            *out_program = &session->programs[i].program;
            return ISO_OK;
        }
    }
    ISO_TRY(iso_grow(session->allocator, sizeof *session->programs, session->program_count + 1,
                     (void **)&session->programs, &session->program_capacity));
    iso_bound_program *bound = &session->programs[session->program_count];
    bound->device = device;
    ISO_TRY(iso_program_init(&bound->program, session->plan->devices[device], kernel, params));
    session->program_count++;
    *out_program = &bound->program;
    return ISO_OK;
}

static iso_status record_node(iso_session *session, uint32_t size, uint32_t index, iso_list *list,
                              hazards *seen)
{
    const iso_plan *plan = session->plan;
    const iso_sized_plan *sized = &plan->sizes[size];
    const iso_node *node = &plan->graph->nodes[index];
    const iso_kernel *kernel = sized->kernels[index];
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    touched operands[ISO_MAX_OPERANDS + 1]; // and scratch memory
    iso_plan_bind_shapes(plan, node, &sized->dims, params);
    uint32_t count = bind_storage(session, size, index, (iso_tensor *)params, operands);
    iso_arg scratch = {.kind = ISO_ARG_BUFFER, .range_bytes = iso_kernel_scratch_bytes(kernel, params)};
    if (scratch.range_bytes > 0) {
        scratch.memory = iso_buffer_memory(session->arenas[node->device]);
        scratch.offset_bytes = sized->scratch_offsets[index];
        operands[count++] =
            (touched){scratch.memory, scratch.offset_bytes, scratch.offset_bytes + scratch.range_bytes, true};
    }
    const iso_program *program;
    ISO_TRY(barrier_if_needed(operands, count, list, seen));
    ISO_TRY(find_program(session, kernel, node->device, params, &program));
    return iso_program_record(program, params, &scratch, list);
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
        for (uint32_t n = segment->first_node; n < segment->first_node + segment->node_count; n++)
            ISO_TRY(record_node(session, size, n, *list, &seen));
        ISO_TRY(iso_list_finish(*list));
    }
    return ISO_OK;
}
