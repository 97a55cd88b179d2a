// SPDX-License-Identifier: MIT
//
// A part of a model on one device (rig.h).
#include "conformance/bisect/rig.h"

#include <string.h>

#include "runtime/session/session_internal.h"

// ---- creation ----

static const iso_program *program_of(const iso_session *session, const iso_kernel *kernel)
{
    for (size_t i = 0; i < session->program_count; i++)
        if (session->programs[i].program.kernel == kernel)
            return &session->programs[i].program;
    return NULL;
}

static iso_buffer *storage_of(const conform_rig *rig, uint32_t size, iso_value root, uint64_t *out_offset)
{
    const iso_graph *graph = rig->session->plan->graph;
    bool activation = graph->values[root].kind == ISO_VALUE_ACTIVATION;
    *out_offset = activation ? rig->session->plan->sizes[size].offsets[root] : 0;
    return activation ? rig->session->arenas[0] : rig->session->buffers[root];
}

static iso_status record_node(conform_rig *rig, uint32_t size, uint32_t n, iso_device *device)
{
    const iso_plan *plan = rig->plan;
    const iso_node *node = &plan->graph->nodes[n];
    const iso_kernel *kernel = plan->sizes[size].kernels[n];
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_plan_bind_shapes(plan, node, &plan->sizes[size].dims, params);
    iso_tensor *tensors = (iso_tensor *)params;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        if (node->operands[i] == ISO_NO_VALUE)
            continue;
        iso_value root = plan->graph->values[node->operands[i]].base;
        tensors[i].memory = iso_buffer_memory(storage_of(rig, size, root, &tensors[i].offset_bytes));
    }
    const iso_arg scratch = {.kind = ISO_ARG_BUFFER,
                             .memory =
                                 rig->session->arenas[0] ? iso_buffer_memory(rig->session->arenas[0]) : NULL,
                             .offset_bytes = plan->sizes[size].scratch_offsets[n],
                             .range_bytes = iso_kernel_scratch_bytes(kernel, params)};
    iso_list **list = &rig->lists[size][n];
    ISO_TRY(iso_list_create(device, list));
    ISO_TRY(iso_program_record(program_of(rig->session, kernel), params, &scratch, *list));
    return iso_list_finish(*list);
}

static iso_status record_nodes(conform_rig *rig, iso_device *device)
{
    for (uint32_t size = 0; size < rig->size_count; size++) {
        ISO_TRY(ISO_NEW(NULL, rig->node_count, &rig->lists[size]));
        for (uint32_t n = 0; n < rig->node_count; n++)
            ISO_TRY(record_node(rig, size, n, device));
    }
    return ISO_OK;
}

iso_status conform_rig_create(const iso_graph *source, const conform_part *part,
                              const conform_rig_options *options, conform_rig *out)
{
    iso_status status = ISO_OK;
    *out = (conform_rig){.node_count = part->end - part->first, .size_count = options->size_count};
    iso_plan_options plan = {
        .devices = &options->device,
        .device_count = 1,
        .sizes = options->sizes,
        .size_count = options->size_count,
        .dims = options->dims,
    };
    iso_session_options session = {.weights = options->weights};
    ISO_TRY_GOTO(conform_part_create(source, part, &out->graph), fail);
    ISO_TRY_GOTO(iso_plan_create(out->graph, &plan, &out->plan), fail);
    ISO_TRY_GOTO(iso_session_create(out->plan, &session, &out->session), fail);
    // Cache rows that no token wrote hold NaN: whoever reads them shows it.
    ISO_TRY_GOTO(iso_session_fill_caches(out->session, CONFORM_POISON_CACHE), fail);
    if (options->per_node)
        ISO_TRY_GOTO(record_nodes(out, options->device), fail);
    return ISO_OK;
fail:
    conform_rig_destroy(out);
    return status;
}

void conform_rig_destroy(conform_rig *rig)
{
    for (uint32_t size = 0; size < rig->size_count; size++) {
        for (uint32_t n = 0; rig->lists[size] && n < rig->node_count; n++)
            iso_list_destroy(rig->lists[size][n]);
        iso_free(NULL, rig->lists[size]);
    }
    iso_session_destroy(rig->session);
    iso_plan_destroy(rig->plan);
    iso_graph_destroy(rig->graph);
    *rig = (conform_rig){0};
}

// ---- use ----

const iso_kernel *conform_rig_kernel(const conform_rig *rig, uint32_t size, uint32_t node)
{
    return iso_plan_kernel(rig->plan, size, node);
}

iso_status conform_rig_run_node(conform_rig *rig, uint32_t size, uint32_t node)
{
    iso_status status = iso_list_submit(rig->lists[size][node]);
    iso_status waited = iso_device_wait(rig->plan->devices[0]);
    return waited != ISO_OK ? waited : status;
}

iso_status conform_rig_run(conform_rig *rig, uint32_t size)
{
    return iso_session_run(rig->session, size);
}

iso_status conform_rig_write(conform_rig *rig, uint32_t size, iso_value root, const void *data,
                             uint64_t bytes)
{
    uint64_t offset;
    iso_buffer *buffer = storage_of(rig, size, root, &offset);
    return iso_buffer_write(buffer, offset, data, bytes);
}

iso_status conform_rig_read(const conform_rig *rig, uint32_t size, iso_value root, void *data, uint64_t bytes)
{
    uint64_t offset;
    const iso_buffer *buffer = storage_of(rig, size, root, &offset);
    return iso_buffer_read(buffer, offset, data, bytes);
}

iso_status conform_rig_poison(conform_rig *rig)
{
    iso_buffer *arena = rig->session->arenas[0];
    return arena ? iso_buffer_fill(arena, 0, iso_buffer_bytes(arena), CONFORM_POISON_ACTIVATION) : ISO_OK;
}

void conform_poison(iso_value_kind kind, void *data, uint64_t bytes)
{
    uint32_t word = kind == ISO_VALUE_CACHE ? CONFORM_POISON_CACHE : CONFORM_POISON_ACTIVATION;
    for (uint64_t i = 0; i < bytes / sizeof word; i++) // storage is whole words
        ((uint32_t *)data)[i] = word;
}
