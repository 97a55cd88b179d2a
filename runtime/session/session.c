// SPDX-License-Identifier: MIT
//
// A session's life, and the replay of recorded steps.
#include "runtime/session/session_internal.h"

#include <inttypes.h>

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
    session->latest_size = ISO_MAX_STEP_SIZES;
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
    for (size_t i = 0; i < session->program_count; i++)
        iso_program_deinit(&session->programs[i].program);
    for (size_t v = 0; session->buffers && v < plan->graph->value_count; v++)
        iso_buffer_release(session->buffers[v]);
    for (uint32_t d = 0; d < plan->device_count; d++)
        iso_buffer_release(session->arenas[d]);
    iso_free(session->allocator, session->programs);
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
    const iso_plan *plan = session->plan;
    const iso_graph *graph = plan->graph;
    if (input == ISO_NO_VALUE || input >= plan->first_copy || graph->values[input].kind != ISO_VALUE_INPUT ||
        graph->values[input].base != input)
        return iso_fail(ISO_INVALID_ARGUMENT, "session: value %u (%s) is no input", input,
                        input < graph->value_count ? graph->values[input].name : "unknown");
    ISO_TRY(iso_buffer_write(session->buffers[input], offset_bytes, data, bytes));
    for (size_t v = plan->first_copy; v < graph->value_count; v++)
        if (graph->values[v].origin == input && graph->values[v].base == v)
            ISO_TRY(iso_buffer_write(session->buffers[v], offset_bytes, data, bytes));
    return ISO_OK;
}

// Where a root value's storage is.
static iso_buffer *storage_of(const iso_session *session, uint32_t size, iso_value root, uint64_t *out_offset)
{
    const iso_value_info *value = &session->plan->graph->values[root];
    bool activation = value->kind == ISO_VALUE_ACTIVATION;
    *out_offset = activation ? session->plan->sizes[size].offsets[root] : 0;
    return activation ? session->arenas[value->device] : session->buffers[root];
}

static iso_status run_transfer(iso_session *session, uint32_t size, const iso_transfer *transfer)
{
    uint64_t source_offset, target_offset;
    iso_buffer *source = storage_of(session, size, transfer->source, &source_offset);
    iso_buffer *target = storage_of(session, size, transfer->target, &target_offset);
    uint64_t bytes =
        iso_graph_storage_bytes(session->plan->graph, transfer->source, &session->plan->sizes[size].dims);
    ISO_TRY(iso_buffer_read(source, source_offset, session->staging, bytes));
    return iso_buffer_write(target, target_offset, session->staging, bytes);
}

static iso_status submit_step(iso_session *session, uint32_t size)
{
    const iso_plan *plan = session->plan;
    for (uint32_t d = 0; session->poison && d < plan->device_count; d++)
        if (session->arenas[d])
            ISO_TRY(
                iso_buffer_fill(session->arenas[d], 0, iso_buffer_bytes(session->arenas[d]), 0xffffffffu));
    size_t next = 0;
    for (size_t s = 0; s <= plan->segment_count; s++) {
        for (; next < plan->transfer_count && plan->transfers[next].segment == s; next++)
            ISO_TRY(run_transfer(session, size, &plan->transfers[next]));
        if (s < plan->segment_count)
            ISO_TRY(iso_list_submit(session->lists[size][s]));
    }
    return ISO_OK;
}

iso_status iso_session_run(iso_session *session, uint32_t size)
{
    const iso_plan *plan = session->plan;
    session->latest_size = ISO_MAX_STEP_SIZES;
    if (size >= plan->size_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "session: step size %u of %u", size, plan->size_count);
    iso_status status = submit_step(session, size);
    // After a failure too: no device may be left at work on the session's memory.
    for (uint32_t d = 0; d < plan->device_count; d++) {
        iso_status waited = iso_device_wait(plan->devices[d]);
        if (waited != ISO_OK)
            status = waited; // as the thread's record, the latest
    }
    if (status == ISO_OK)
        session->latest_size = size;
    return status;
}

iso_status iso_session_read(const iso_session *session, uint32_t size, iso_value output,
                            uint64_t offset_bytes, void *data, uint64_t bytes)
{
    const iso_plan *plan = session->plan;
    if (size >= plan->size_count || size != session->latest_size)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "session: a read after a step of size %u; the latest run was %s", size,
                        session->latest_size < plan->size_count ? "of another size" : "none, or failed");
    if (output == ISO_NO_VALUE || output >= plan->first_copy ||
        !(plan->graph->values[output].output || plan->graph->values[output].kind == ISO_VALUE_CACHE))
        return iso_fail(ISO_INVALID_ARGUMENT, "session: value %u (%s) is no output", output,
                        output < plan->graph->value_count ? plan->graph->values[output].name : "unknown");
    iso_value root = plan->graph->values[output].base;
    uint64_t storage_offset, storage = iso_graph_storage_bytes(plan->graph, root, &plan->sizes[size].dims);
    uint64_t first = (uint64_t)plan->graph->values[output].view_offset *
                     iso_dtype_bytes(plan->graph->values[output].dtype);
    if (offset_bytes > storage - first || bytes > storage - first - offset_bytes)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "session: a read of %" PRIu64 " bytes at %" PRIu64 " of %s, which has %" PRIu64,
                        bytes, offset_bytes, plan->graph->values[output].name, storage - first);
    iso_buffer *buffer = storage_of(session, size, root, &storage_offset);
    if (!buffer)
        return iso_fail(ISO_INVALID_ARGUMENT, "session: no op writes %s", plan->graph->values[output].name);
    return iso_buffer_read(buffer, storage_offset + first + offset_bytes, data, bytes);
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

static uint32_t launches_of_node(const iso_plan *plan, uint32_t size, uint32_t node)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_plan_bind_shapes(plan, &plan->graph->nodes[node], &plan->sizes[size].dims, params);
    return iso_kernel_launch_count(plan->sizes[size].kernels[node], params);
}

// The times of a segment's dispatches, added up by node.
static iso_status segment_times(const iso_session *session, uint32_t size, size_t s, uint64_t *out_ns)
{
    const iso_plan *plan = session->plan;
    const iso_segment *segment = &plan->segments[s];
    const uint32_t end_node = segment->first_node + segment->node_count;
    uint64_t *launch_ns = NULL;
    uint32_t launches = 0, next = 0;
    iso_status status;
    for (uint32_t n = segment->first_node; n < end_node; n++)
        launches += launches_of_node(plan, size, n);
    uint32_t count = launches;
    ISO_TRY(ISO_NEW(session->allocator, launches, &launch_ns));
    ISO_TRY_GOTO(iso_list_times(session->lists[size][s], launch_ns, &count), done);
    if (count != launches) {
        status = iso_fail(ISO_INTERNAL, "%u times for %u launches", count, launches);
        goto done;
    }
    for (uint32_t n = segment->first_node; n < end_node; n++) {
        out_ns[n] = 0;
        for (uint32_t end = next + launches_of_node(plan, size, n); next < end; next++)
            out_ns[n] += launch_ns[next];
    }
done:
    iso_free(session->allocator, launch_ns);
    return status;
}

iso_status iso_session_node_times(const iso_session *session, uint32_t size, uint64_t *out_ns)
{
    for (size_t s = 0; s < session->plan->segment_count; s++)
        ISO_TRY(segment_times(session, size, s, out_ns));
    return ISO_OK;
}
