// SPDX-License-Identifier: MIT
//
// Streams and events. A stream is a slot of the queue; an event is a place in one, and the clock that was
// there.
#include "calls.h"

#include <stdlib.h>

CUresult sim_stream_create(CUstream *stream, unsigned flags, int priority)
{
    if (!stream || flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    *stream = NULL;
    sim_stream *made = sim_new(sizeof *made);
    if (!made || !sim_slot_take(sim_current(), flags != 0, &made->slot)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (!sim_handle_add(SIM_STREAM, made)) {
        sim.slots[made->slot].used = false;
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->flags = flags;
    made->priority = priority < -5 ? -5 : priority > 0 ? 0 : priority;
    *stream = made->object.handle;
    return CUDA_SUCCESS;
}

void sim_stream_end(sim_stream *stream)
{
    sim_slot *slot = &sim.slots[stream->slot];
    sim_capture_leave(slot);
    slot->dying = slot->first != NULL;
    slot->used = slot->dying;
    sim_handle_remove(stream->object.handle);
    free(stream);
}

CUresult sim_stream_destroy(CUstream stream)
{
    sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    sim_stream_end(found);
    return CUDA_SUCCESS;
}

CUresult sim_stream_synchronize(CUstream stream)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (sim.slots[slot].capture)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    // The default stream's wait is also for those that it comes after.
    for (uint32_t i = 0; sim_slot_is_default(slot) && i < SIM_STREAMS; i++)
        if (sim.slots[i].context == sim.slots[slot].context && sim.slots[i].used &&
            !sim.slots[i].non_blocking)
            sim_run_until(i, sim.slots[i].queued);
    return sim_run_until(slot, sim.slots[slot].queued);
}

// A program that asks again and again must get there, so each question does a piece of the work.
static CUresult query(const sim_context *context, uint32_t slot, uint64_t seq)
{
    if (sim.slots[slot].done >= seq)
        return CUDA_SUCCESS;
    sim_run_step(slot, seq);
    return context && context->error ? context->error : CUDA_ERROR_NOT_READY;
}

CUresult sim_stream_query(CUstream stream)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    return sim.slots[slot].capture ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
                                   : query(sim.slots[slot].context, slot, sim.slots[slot].queued);
}

CUresult sim_stream_flags(CUstream stream, unsigned *flags)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result || !flags)
        return result ? result : CUDA_ERROR_INVALID_VALUE;
    *flags = sim.slots[slot].non_blocking ? CU_STREAM_NON_BLOCKING : 0;
    return CUDA_SUCCESS;
}

CUresult sim_stream_priority(CUstream stream, int *priority)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result || !priority)
        return result ? result : CUDA_ERROR_INVALID_VALUE;
    const sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    *priority = found ? found->priority : 0;
    return CUDA_SUCCESS;
}

CUresult sim_stream_context(CUstream stream, CUcontext *context)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result || !context)
        return result ? result : CUDA_ERROR_INVALID_VALUE;
    const sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    const sim_context *owner = found ? found->object.context : sim_current();
    *context = owner ? owner->object.handle : NULL;
    return CUDA_SUCCESS;
}

// ---- events ----

CUresult sim_event_create(CUevent *event, unsigned flags)
{
    if (!event || flags > (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_VALUE;
    *event = NULL;
    if (flags & CU_EVENT_INTERPROCESS)
        return CUDA_ERROR_NOT_SUPPORTED;
    sim_event *made = sim_new(sizeof *made);
    if (!made || !sim_handle_add(SIM_EVENT, made)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->flags = flags;
    *event = made->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_event_destroy(CUevent event)
{
    sim_event *found = sim_handle_get(SIM_EVENT, event);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    sim_handle_remove(event);
    free(found);
    return CUDA_SUCCESS;
}

void sim_event_place(sim_event *event, uint32_t index)
{
    const sim_slot *slot = &sim.slots[index];
    event->captured = 0;
    event->recorded = true;
    event->time_ns = 0;
    event->slot = index;
    event->seq = slot->queued;
    memcpy(event->clock, slot->seen, sizeof event->clock);
}

CUresult sim_event_record(CUevent event, CUstream stream)
{
    uint32_t index;
    sim_event *found = sim_handle_get(SIM_EVENT, event);
    CUresult result = found ? sim_slot_of(stream, &index) : CUDA_ERROR_INVALID_HANDLE;
    if (result)
        return result;
    if (found->object.context != sim.slots[index].context) {
        sim_report(SIM_CONTEXT_FINDING, sim.call, "the event is of another context than the stream");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (sim.slots[index].capture)
        return sim_capture_record(found, index);
    sim_work work = {.kind = SIM_RECORD, .call = sim.call, .u.event_handle = event};
    result = sim_put(index, &work);
    if (result)
        return result;
    sim_event_place(found, index);
    return CUDA_SUCCESS;
}

CUresult sim_stream_wait(CUstream stream, CUevent event, unsigned flags)
{
    uint32_t index;
    const sim_event *found = sim_handle_get(SIM_EVENT, event);
    if (flags > 1)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = found ? sim_slot_of(stream, &index) : CUDA_ERROR_INVALID_HANDLE;
    if (result)
        return result;
    if (found->captured || sim.slots[index].capture)
        return sim_capture_wait(found, index);
    for (uint32_t i = 0; found->recorded && i < SIM_STREAMS; i++)
        if (sim.slots[index].seen[i] < found->clock[i] && i != index)
            sim.slots[index].seen[i] = found->clock[i];
    return CUDA_SUCCESS;
}

CUresult sim_event_query(CUevent event)
{
    const sim_event *found = sim_handle_get(SIM_EVENT, event);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (found->captured)
        return CUDA_ERROR_CAPTURED_EVENT;
    return found->recorded ? query(found->object.context, found->slot, found->seq) : CUDA_SUCCESS;
}

CUresult sim_event_synchronize(CUevent event)
{
    const sim_event *found = sim_handle_get(SIM_EVENT, event);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (found->captured)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (!found->recorded)
        return CUDA_SUCCESS;
    // The slot may be another stream's by now: the error is that of the event's context.
    sim_run_until(found->slot, found->seq);
    return found->object.context ? found->object.context->error : CUDA_SUCCESS;
}

CUresult sim_event_elapsed(float *ms, CUevent from, CUevent to)
{
    const sim_event *begin = sim_handle_get(SIM_EVENT, from), *end = sim_handle_get(SIM_EVENT, to);
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (!begin || !end || !begin->recorded || !end->recorded ||
        ((begin->flags | end->flags) & CU_EVENT_DISABLE_TIMING))
        return CUDA_ERROR_INVALID_HANDLE;
    if (begin->object.context != end->object.context) {
        sim_report(SIM_CONTEXT_FINDING, sim.call, "the two events are of different contexts");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (sim.slots[begin->slot].done < begin->seq || sim.slots[end->slot].done < end->seq)
        return CUDA_ERROR_NOT_READY;
    *ms = (float)((double)(int64_t)(end->time_ns - begin->time_ns) * 1e-6);
    return CUDA_SUCCESS;
}
