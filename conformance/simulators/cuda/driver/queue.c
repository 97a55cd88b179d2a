// SPDX-License-Identifier: MIT
//
// Streams' queues: what is put in, in which order it may run, and running as little of it as a wait allows.
// Each operation carries a clock, for every stream how many of its operations come before; events and the
// default stream only raise clocks.
#include "calls.h"

#include <stdlib.h>

static void merge(uint64_t *clock, const uint64_t *other)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        clock[i] = other[i] > clock[i] ? other[i] : clock[i];
}

static void after_slot(sim_slot *slot, uint32_t other)
{
    const sim_slot *before = &sim.slots[other];
    merge(slot->seen, before->seen);
    if (slot->seen[other] < before->queued)
        slot->seen[other] = before->queued;
}

bool sim_slot_is_default(uint32_t index)
{
    const sim_context *context = sim.slots[index].context;
    return context && context->legacy == index;
}

// The default stream waits for all streams of its context that do not opt out, and these for it.
static void order_with_default(uint32_t index)
{
    sim_slot *slot = &sim.slots[index];
    if (sim_slot_is_default(index)) {
        for (uint32_t i = 0; i < SIM_STREAMS; i++)
            if (i != index && sim.slots[i].context == slot->context && sim.slots[i].used &&
                !sim.slots[i].non_blocking)
                after_slot(slot, i);
    } else if (slot->context && !slot->non_blocking) {
        after_slot(slot, slot->context->legacy);
    }
}

void sim_slot_join(uint32_t index, const sim_context *context)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (i != index && sim.slots[i].used && sim.slots[i].context == context)
            after_slot(&sim.slots[index], i);
}

void sim_slot_hold_up(uint32_t index, const sim_context *context)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (i != index && sim.slots[i].used && sim.slots[i].context == context)
            after_slot(&sim.slots[i], index);
}

bool sim_slot_take(sim_context *context, bool non_blocking, uint32_t *out_slot)
{
    uint32_t index = 0;
    while (index < SIM_STREAMS && sim.slots[index].used)
        index++;
    if (index == SIM_STREAMS)
        return false;
    // The counts go on: clocks of others may hold places of the stream that was here before.
    sim_slot *slot = &sim.slots[index];
    *slot = (sim_slot){.context = context,
                       .used = true,
                       .non_blocking = non_blocking,
                       .queued = slot->queued,
                       .done = slot->done};
    *out_slot = index;
    return true;
}

CUresult sim_slot_of(CUstream stream, uint32_t *out_slot)
{
    if (!stream || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) {
        const sim_context *context = sim_current();
        if (context)
            *out_slot = stream == CU_STREAM_PER_THREAD ? context->per_thread : context->legacy;
        return context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    }
    const sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    *out_slot = found->slot;
    return CUDA_SUCCESS;
}

// ---- running ----

static CUresult error_of(const sim_context *context)
{
    return context ? context->error : CUDA_SUCCESS;
}

// A kernel runs, and fails, in its own context, whoever's stream its graph was put into.
static sim_context *context_of(const sim_slot *slot, const sim_work *work)
{
    return work->kind == SIM_LAUNCH ? work->u.launch.function->object.context : slot->context;
}

static void run(sim_context *context, sim_work *work)
{
    const char *outer = sim.call;
    const sim_context *subject = sim.subject;
    sim.call = work->call;
    sim.subject = context;
    CUresult result = sim_work_run(work);
    sim.call = outer;
    sim.subject = subject;
    if (result && context && !context->error)
        context->error = result;
}

static void run_first(sim_slot *slot)
{
    sim_op *op = slot->first;
    slot->first = op->next;
    if (!op->next)
        slot->last = NULL;
    sim_work_guard(&op->work, false);
    // After an error nothing runs but what others wait to have an end.
    sim_context *context = context_of(slot, &op->work);
    if (op->work.kind == SIM_FREE || op->work.kind == SIM_RECORD || !error_of(context))
        run(context, &op->work);
    slot->done = op->seq;
    sim_work_release(&op->work);
    free(op);
    if (slot->dying && !slot->first)
        slot->used = slot->dying = false;
}

// What the slot's first operation waits for and is not done; SIM_STREAMS: nothing.
static uint32_t blocker(const sim_slot *slot)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (&sim.slots[i] != slot && sim.slots[i].done < slot->first->after[i])
            return i;
    return SIM_STREAMS;
}

bool sim_run_step(uint32_t index, uint64_t seq)
{
    sim_slot *slot = &sim.slots[index];
    if (slot->done >= seq || !slot->first)
        return false;
    // Down the chain to one that can run: clocks only point to earlier operations, so this ends.
    for (uint32_t other = blocker(slot); other < SIM_STREAMS; other = blocker(slot))
        slot = &sim.slots[other];
    run_first(slot);
    return true;
}

CUresult sim_run_until(uint32_t index, uint64_t seq)
{
    const sim_context *context = sim.slots[index].context;
    while (sim_run_step(index, seq))
        continue;
    return error_of(context);
}

CUresult sim_run_all(void)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        sim_run_until(i, sim.slots[i].queued);
    return error_of(sim_current());
}

CUresult sim_run_context(const sim_context *context)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++) {
        uint64_t last = sim.slots[i].context == context ? sim.slots[i].queued : 0;
        for (const sim_op *op = sim.slots[i].first; op; op = op->next)
            if (context_of(&sim.slots[i], &op->work) == context)
                last = op->seq > last ? op->seq : last;
        sim_run_until(i, last);
    }
    return error_of(context);
}

void sim_queue_drop(void)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++) {
        sim_slot *slot = &sim.slots[i];
        while (slot->first) {
            sim_op *op = slot->first;
            slot->first = op->next;
            slot->done = op->seq;
            sim_work_guard(&op->work, false);
            sim_work_release(&op->work);
            free(op);
        }
        slot->last = NULL;
    }
}

// ---- putting in ----

// Stream-ordered memory may be used only after the point where it was allocated.
static void report_too_early(const sim_work *work, const uint64_t *after, uint32_t index)
{
    uint64_t words = work->kind == SIM_LAUNCH ? work->u.launch.function->info.param_bytes / 8 : 0;
    uint64_t copy[2] = {0, 0}, word;
    if (work->kind == SIM_COPY) {
        copy[0] = work->u.copy.to.device;
        copy[1] = work->u.copy.from.device;
    } else if (work->kind == SIM_FILL) {
        copy[0] = work->u.fill.address;
    }
    for (uint64_t i = 0; i < words + 2; i++) {
        word = i < 2 ? copy[i] : 0;
        if (i >= 2)
            memcpy(&word, (const uint8_t *)work->u.launch.params + (i - 2) * 8, 8);
        const sim_allocation *a = word ? sim_allocation_at(word) : NULL;
        if (!a || word - a->address >= a->bytes || !a->seq || a->slot == index)
            continue;
        if (after[a->slot] < a->seq && sim.slots[a->slot].done < a->seq)
            sim_report(
                SIM_UNORDERED_FINDING, work->call,
                "uses allocation %llu (%s) in a stream that does not come after the one that allocates it",
                (unsigned long long)a->number, a->made_by);
    }
}

CUresult sim_submit(uint32_t index, sim_work *work)
{
    sim_slot *slot = &sim.slots[index];
    CUresult result = sim_work_check(work);
    sim_op *op = result ? NULL : sim_new(sizeof *op);
    if (!op) {
        sim_work_release(work);
        return result ? result : CUDA_ERROR_OUT_OF_MEMORY;
    }
    order_with_default(index);
    memcpy(op->after, slot->seen, sizeof op->after);
    sim_work_report_unordered(work, op->after, index);
    report_too_early(work, op->after, index);
    op->work = *work;
    op->seq = ++slot->queued;
    slot->seen[index] = op->seq;
    if (slot->last)
        slot->last->next = op;
    else
        slot->first = op;
    slot->last = op;
    sim_work_guard(&op->work, true);
    if (slot->queued - slot->done > SIM_PENDING)
        sim_run_until(index, slot->queued - SIM_PENDING);
    return CUDA_SUCCESS;
}

// ---- looking for ----

const sim_op *sim_pending_use(uint64_t begin, uint64_t end, uint32_t index)
{
    if (index < SIM_STREAMS)
        order_with_default(index);
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        for (const sim_op *op = sim.slots[i].first; op; op = op->next) {
            bool before = index < SIM_STREAMS && (i == index || op->seq <= sim.slots[index].seen[i]);
            if (!before && sim_work_uses(&op->work, begin, end))
                return op;
        }
    return NULL;
}

bool sim_pending_function(const sim_module *module)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        for (const sim_op *op = sim.slots[i].first; op; op = op->next)
            if (op->work.kind == SIM_LAUNCH && op->work.u.launch.function->module == module)
                return true;
    return false;
}
