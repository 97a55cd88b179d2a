// SPDX-License-Identifier: MIT
//
// A session's life, and the replay of recorded steps.
#include "runtime/session/session_internal.h"

static iso_status create_staging(iso_session *session)
{
    const iso_plan *plan = session->plan;
    uint64_t largest = 0;
    for (size_t t = 0; t < plan->transfer_count; t++) {
        for (uint32_t i = 0; i < plan->size_count; i++) {
            uint64_t bytes =
                iso_graph_storage_bytes(plan->graph, plan->transfers[t].source, &plan->sizes[i].dims);
            if (bytes > largest)
                largest = bytes;
        }
    }
    return iso_alloc(session->allocator, (size_t)largest, &session->staging);
}

iso_status iso_session_create(const iso_plan *plan, const iso_session_options *options,
                              iso_session **out_session)
{
    iso_session *session = NULL;
    iso_status status = ISO_OK;
    *out_session = NULL;
    ISO_TRY(ISO_NEW(options->allocator, 1, &session));
    session->allocator = options->allocator;
    session->plan = plan;
    session->poison = options->poison;
    ISO_TRY_GOTO(iso_session_upload(session, options), fail);
    ISO_TRY_GOTO(create_staging(session), fail);
    for (uint32_t i = 0; i < plan->size_count; i++)
        ISO_TRY_GOTO(iso_plan_record(session, i), fail);
    *out_session = session;
    return ISO_OK;
fail:
    iso_session_destroy(session);
    return status;
}

void iso_session_destroy(iso_session *session)
{
    if (!session)
        return;
    const iso_plan *plan = session->plan;
    for (uint32_t i = 0; i < plan->size_count; i++) {
        for (size_t s = 0; session->lists[i] && s < plan->segment_count; s++)
            iso_list_destroy(session->lists[i][s]);
        iso_free(session->allocator, session->lists[i]);
    }
    for (size_t i = 0; i < session->module_count; i++)
        iso_module_destroy(session->modules[i].module);
    for (size_t v = 0; session->buffers && v < plan->graph->value_count; v++)
        iso_buffer_release(session->buffers[v]);
    for (uint32_t d = 0; d < plan->device_count; d++)
        iso_buffer_release(session->arenas[d]);
    iso_free(session->allocator, session->modules);
    iso_free(session->allocator, session->buffers);
    iso_free(session->allocator, session->staging);
    iso_free(session->allocator, session);
}

iso_status iso_session_find_size(const iso_session *session, uint32_t tokens, uint32_t rows,
                                 uint32_t *out_size)
{
    const iso_plan *plan = session->plan;
    for (uint32_t i = 0; i < plan->size_count; i++) {
        const iso_dim_values *dims = &plan->sizes[i].dims;
        if (dims->value[-ISO_DIM_TOKENS - 1] >= tokens && dims->value[-ISO_DIM_ROWS - 1] >= rows) {
            *out_size = i;
            return ISO_OK;
        }
    }
    return iso_fail(ISO_LIMIT,
                    "a step of %u tokens with %u rows of logits is larger than any recorded step size",
                    tokens, rows);
}

iso_status iso_session_write(iso_session *session, iso_value input, uint64_t offset_bytes, const void *data,
                             uint64_t bytes)
{
    const iso_graph *graph = session->plan->graph;
    ISO_TRY(iso_buffer_write(session->buffers[input], offset_bytes, data, bytes));
    for (size_t v = input + 1; v < graph->value_count; v++)
        if (graph->values[v].origin == input)
            ISO_TRY(iso_buffer_write(session->buffers[v], offset_bytes, data, bytes));
    return ISO_OK;
}

static iso_status buffer_of(const iso_session *session, uint32_t size, iso_value v, iso_buffer **out_buffer,
                            uint64_t *out_offset)
{
    const iso_value_info *root = &session->plan->graph->values[session->plan->graph->values[v].base];
    bool activation = root->kind == ISO_VALUE_ACTIVATION;
    *out_buffer = activation ? session->arenas[root->device] : session->buffers[root->base];
    *out_offset = activation ? session->plan->sizes[size].offsets[root->base] : 0;
    return *out_buffer ? ISO_OK : iso_fail(ISO_INTERNAL, "value %s has no storage", root->name);
}

static iso_status run_transfer(iso_session *session, uint32_t size, const iso_transfer *transfer)
{
    iso_buffer *source, *target;
    uint64_t source_offset, target_offset;
    uint64_t bytes =
        iso_graph_storage_bytes(session->plan->graph, transfer->source, &session->plan->sizes[size].dims);
    ISO_TRY(buffer_of(session, size, transfer->source, &source, &source_offset));
    ISO_TRY(buffer_of(session, size, transfer->target, &target, &target_offset));
    ISO_TRY(iso_buffer_read(source, source_offset, session->staging, bytes));
    return iso_buffer_write(target, target_offset, session->staging, bytes);
}

iso_status iso_session_run(iso_session *session, uint32_t size)
{
    const iso_plan *plan = session->plan;
    if (session->poison)
        for (uint32_t d = 0; d < plan->device_count; d++)
            if (session->arenas[d])
                ISO_TRY(iso_buffer_fill(session->arenas[d], 0, iso_buffer_bytes(session->arenas[d]) / 4 * 4,
                                        0xffffffffu));
    for (uint32_t s = 0; s < plan->segment_count; s++) {
        for (size_t t = 0; t < plan->transfer_count; t++)
            if (plan->transfers[t].segment == s)
                ISO_TRY(run_transfer(session, size, &plan->transfers[t]));
        ISO_TRY(iso_list_submit(session->lists[size][s]));
    }
    for (uint32_t d = 0; d < plan->device_count; d++)
        ISO_TRY(iso_device_wait(plan->devices[d]));
    return ISO_OK;
}

iso_status iso_session_read(const iso_session *session, uint32_t size, iso_value output,
                            uint64_t offset_bytes, void *data, uint64_t bytes)
{
    iso_buffer *buffer;
    uint64_t offset;
    ISO_TRY(buffer_of(session, size, output, &buffer, &offset));
    return iso_buffer_read(buffer, offset + offset_bytes, data, bytes);
}

iso_dtype iso_session_dtype(const iso_session *session, iso_value value)
{
    return session->plan->graph->values[value].dtype;
}

iso_status iso_session_fill_caches(iso_session *session, uint32_t pattern)
{
    const iso_graph *graph = session->plan->graph;
    for (size_t v = 1; v < graph->value_count; v++)
        if (graph->values[v].kind == ISO_VALUE_CACHE && graph->values[v].base == v)
            ISO_TRY(iso_buffer_fill(session->buffers[v], 0, iso_buffer_bytes(session->buffers[v]) / 4 * 4,
                                    pattern));
    return ISO_OK;
}

iso_status iso_session_node_times(const iso_session *session, uint32_t size, uint64_t *out_ns)
{
    const iso_plan *plan = session->plan;
    for (size_t s = 0; s < plan->segment_count; s++) {
        uint32_t count = plan->segments[s].node_count;
        ISO_TRY(iso_list_times(session->lists[size][s], out_ns + plan->segments[s].first_node, &count));
        if (count != plan->segments[s].node_count)
            return iso_fail(ISO_INTERNAL, "%u times for %u ops", count, plan->segments[s].node_count);
    }
    return ISO_OK;
}
