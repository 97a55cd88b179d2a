// SPDX-License-Identifier: MIT
//
// A session's memory: buffers for weights, inputs and caches, one arena per device, and the upload of the
// weights.
#include "runtime/session/session_internal.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct buffer_sink {
    iso_buffer *buffer;
    const char *name;
    uint64_t written;
} buffer_sink;

static iso_status write_to_buffer(void *context, uint64_t offset_bytes, const void *data, uint64_t bytes)
{
    buffer_sink *sink = context;
    if (offset_bytes > iso_buffer_bytes(sink->buffer) ||
        bytes > iso_buffer_bytes(sink->buffer) - offset_bytes)
        return iso_fail(ISO_INTERNAL, "weight %s: %" PRIu64 " bytes at %" PRIu64 " do not fit %" PRIu64,
                        sink->name, bytes, offset_bytes, iso_buffer_bytes(sink->buffer));
    sink->written += bytes;
    return iso_buffer_write(sink->buffer, offset_bytes, data, bytes);
}

// Says what the device would need in all, which the failed allocation alone does not show.
static iso_status explain_memory(const iso_session *session, uint32_t device, const char *what)
{
    iso_plan_memory memory;
    iso_plan_get_memory(session->plan, device, &memory);
    uint64_t all = memory.weight_bytes + memory.cache_bytes + memory.arena_bytes + memory.input_bytes;
    return iso_status_prefix(
        "device %s cannot hold %s (this plan needs %.1f MiB there: weights %.1f, KV cache %.1f, "
        "activations %.1f; shorten the context, or spread the layers over devices)",
        iso_device_name(session->plan->devices[device]), what, (double)all / 0x1p20,
        (double)memory.weight_bytes / 0x1p20, (double)memory.cache_bytes / 0x1p20,
        (double)memory.arena_bytes / 0x1p20);
}

static iso_status create_buffer(iso_session *session, uint32_t device, uint64_t bytes, const char *what,
                                iso_buffer **out_buffer)
{
    iso_device *on = session->plan->devices[device];
    uint64_t most = iso_device_get_info(on)->max_allocation_bytes;
    if (bytes > most)
        return iso_fail(
            ISO_UNSUPPORTED,
            "device %s: %s takes %.1f MiB, the largest allocation there is %.1f MiB; place it on another "
            "device, or, unless it is a weight, shorten the context or have smaller steps",
            iso_device_name(on), what, (double)bytes / 0x1p20, (double)most / 0x1p20);
    return iso_buffer_create(on, bytes, out_buffer) == ISO_OK ? ISO_OK
                                                              : explain_memory(session, device, what);
}

static uint64_t total_weight_bytes(const iso_plan *plan)
{
    uint64_t total = 0;
    for (uint32_t d = 0; d < plan->device_count; d++) {
        iso_plan_memory memory;
        iso_plan_get_memory(plan, d, &memory);
        total += memory.weight_bytes;
    }
    return total;
}

// All memory comes before the first weight, so that a model that does not fit fails at once.
static iso_status create_buffers(iso_session *session)
{
    const iso_plan *plan = session->plan;
    ISO_TRY(ISO_NEW(session->allocator, plan->graph->value_count, &session->buffers));
    for (uint32_t d = 0; d < plan->device_count; d++) {
        iso_plan_memory memory;
        iso_plan_get_memory(plan, d, &memory);
        if (memory.arena_bytes)
            ISO_TRY(create_buffer(session, d, memory.arena_bytes, "its activations", &session->arenas[d]));
    }
    for (iso_value v = 1; v < plan->graph->value_count; v++) {
        const iso_value_info *value = &plan->graph->values[v];
        if (value->base != v || value->kind == ISO_VALUE_ACTIVATION)
            continue;
        uint64_t bytes = iso_graph_storage_bytes(plan->graph, v, &plan->largest);
        ISO_TRY(create_buffer(session, value->device, bytes, value->name, &session->buffers[v]));
        if (value->kind != ISO_VALUE_WEIGHT)
            ISO_TRY(iso_buffer_fill(session->buffers[v], 0, bytes, 0));
    }
    return ISO_OK;
}

static iso_status upload_weight(iso_session *session, const iso_weight_source *source, iso_value v)
{
    const iso_graph *graph = session->plan->graph;
    const iso_value_info *value = &graph->values[v];
    iso_tensor tensor = iso_graph_tensor(graph, v, &session->plan->largest);
    uint64_t bytes = iso_tensor_elems(&tensor) * iso_dtype_bytes(value->dtype);
    buffer_sink target = {.buffer = session->buffers[v], .name = value->name};
    iso_weight_sink sink = {&target, write_to_buffer};
    ISO_TRY(source->upload(source->context, value->tag, &sink));
    if (target.written < bytes)
        return iso_fail(ISO_INTERNAL, "weight %s: the source gave %" PRIu64 " of %" PRIu64 " bytes",
                        value->name, target.written, bytes);
    return ISO_OK;
}

iso_status iso_session_upload(iso_session *session, const iso_session_options *options)
{
    const iso_plan *plan = session->plan;
    uint64_t done = 0, total = total_weight_bytes(plan);
    ISO_TRY(create_buffers(session));
    for (iso_value v = 1; v < plan->graph->value_count; v++) {
        const iso_value_info *value = &plan->graph->values[v];
        if (value->base != v || value->kind != ISO_VALUE_WEIGHT)
            continue;
        ISO_TRY(upload_weight(session, &options->weights, v));
        done += iso_graph_storage_bytes(plan->graph, v, &plan->largest);
        if (options->progress)
            options->progress(options->progress_context, done, total);
    }
    return ISO_OK;
}
