// SPDX-License-Identifier: MIT
//
// Stream capture: what would be queued becomes a node after the stream's last ones. Another stream joins by
// waiting for an event that was recorded in one under capture, and must be waited for before the capture
// ends.
#include "graph.h"

#include <stdlib.h>

bool sim_is_capturing(const sim_context *context)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (sim.slots[i].capture && (!context || sim.slots[i].context == context))
            return true;
    return false;
}

static bool add_tail(sim_slot *slot, uint32_t node)
{
    uint32_t *grown = realloc(slot->tails, (slot->tail_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    slot->tails = grown;
    slot->tails[slot->tail_count++] = node;
    return true;
}

void sim_capture_leave(sim_slot *slot)
{
    free(slot->tails);
    slot->tails = NULL;
    slot->tail_count = 0;
    slot->capture = NULL;
    slot->captures_origin = false;
}

CUresult sim_put(uint32_t index, sim_work *work)
{
    sim_slot *slot = &sim.slots[index];
    if (!slot->capture) {
        if (!sim_slot_is_default(index) || !sim_is_capturing(slot->context))
            return sim_submit(index, work);
        sim_work_release(work); // would wait for the streams under capture
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    sim_node *node;
    CUresult result = sim_work_check(work);
    if (result) {
        sim_work_release(work);
        return result;
    }
    result = sim_graph_add(slot->capture, slot->tails, slot->tail_count, work, &node);
    if (result)
        return result;
    slot->tail_count = 0;
    return add_tail(slot, node->index) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult sim_capture_begin(CUstream stream, CUstreamCaptureMode mode)
{
    uint32_t index;
    CUgraph graph;
    CUresult result = sim_slot_of(stream, &index);
    if (result)
        return result;
    if ((unsigned)mode > 2)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_slot_is_default(index))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (sim.slots[index].capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    result = sim_graph_create(&graph, 0);
    if (result)
        return result;
    sim.slots[index].capture = sim_handle_get(SIM_GRAPH, graph);
    sim.slots[index].captures_origin = true;
    return CUDA_SUCCESS;
}

// Every node that joined streams end with must come before the origin's end.
static bool comes_before(const sim_graph *graph, uint32_t node, const sim_slot *origin)
{
    bool *before = sim_new(graph->count + 1);
    if (!before)
        return false;
    for (uint32_t i = 0; i < origin->tail_count; i++)
        before[origin->tails[i]] = true;
    for (uint32_t i = graph->count; i-- > 0;)
        for (uint32_t d = 0; before[i] && d < graph->nodes[i]->after_count; d++)
            before[graph->nodes[i]->after[d]] = true;
    bool answer = before[node];
    free(before);
    return answer;
}

CUresult sim_capture_end(CUstream stream, CUgraph *graph)
{
    uint32_t index;
    CUresult result = sim_slot_of(stream, &index);
    if (result)
        return result;
    sim_slot *origin = &sim.slots[index];
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    *graph = NULL;
    sim_graph *captured = origin->capture;
    if (!captured)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (!origin->captures_origin)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    for (uint32_t i = 0; i < SIM_STREAMS; i++) {
        sim_slot *joined = &sim.slots[i];
        if (joined == origin || joined->capture != captured)
            continue;
        for (uint32_t t = 0; t < joined->tail_count; t++)
            if (!comes_before(captured, joined->tails[t], origin))
                result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
        sim_capture_leave(joined);
    }
    sim_capture_leave(origin);
    if (result)
        sim_graph_end(captured);
    else
        *graph = captured->object.handle;
    return result;
}

CUresult sim_capture_record(sim_event *event, uint32_t index)
{
    // An event is one node's end; where the stream has several, an empty node gathers them.
    sim_slot *slot = &sim.slots[index];
    if (slot->tail_count > 1) {
        sim_work work = {.kind = SIM_EMPTY, .call = sim.call};
        CUresult result = sim_put(index, &work);
        if (result)
            return result;
    }
    event->captured = slot->capture->object.number;
    event->captured_node = slot->tail_count ? slot->tails[0] : UINT32_MAX;
    event->recorded = false;
    return CUDA_SUCCESS;
}

CUresult sim_capture_wait(const sim_event *event, uint32_t index)
{
    sim_slot *slot = &sim.slots[index];
    if (!event->captured)
        return event->recorded ? CUDA_ERROR_STREAM_CAPTURE_ISOLATION : CUDA_SUCCESS;
    sim_graph *graph = NULL;
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (sim.slots[i].capture && sim.slots[i].capture->object.number == event->captured)
            graph = sim.slots[i].capture;
    if (!graph)
        return CUDA_ERROR_CAPTURED_EVENT; // of a capture that has ended
    if (sim_slot_is_default(index))
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    if (slot->capture && slot->capture != graph)
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    slot->capture = graph;
    if (event->captured_node == UINT32_MAX)
        return CUDA_SUCCESS;
    for (uint32_t i = 0; i < slot->tail_count; i++)
        if (slot->tails[i] == event->captured_node)
            return CUDA_SUCCESS;
    return add_tail(slot, event->captured_node) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult sim_capture_status(CUstream stream, CUstreamCaptureStatus *status)
{
    uint32_t index;
    CUresult result = sim_slot_of(stream, &index);
    if (result || !status)
        return result ? result : CUDA_ERROR_INVALID_VALUE;
    *status = sim.slots[index].capture ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}
