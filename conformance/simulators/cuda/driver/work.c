// SPDX-License-Identifier: MIT
//
// One piece of work of a stream or a graph: whether it can be right, which bytes it touches, and doing it.
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct range {
    uint64_t begin, end;
    bool written;
} range;

// Pinned memory goes by its device address, so that both ways to it meet. Other host memory has no range:
// copies to it are waited for, copies from it are taken at the call.
static uint64_t place_of(const sim_side *side)
{
    return side->device   ? side->device
           : side->pinned ? side->pinned->device + (uint64_t)(side->host - side->pinned->alias)
                          : 0;
}

static uint32_t ranges_of(const sim_work *work, range out[2])
{
    uint32_t count = 0;
    if (work->kind == SIM_COPY) {
        uint64_t to = place_of(&work->u.copy.to), from = place_of(&work->u.copy.from),
                 bytes = work->u.copy.bytes;
        if (to)
            out[count++] = (range){to, to + bytes, true};
        if (from)
            out[count++] = (range){from, from + bytes, false};
    } else if (work->kind == SIM_FILL) {
        out[count++] = (range){work->u.fill.address, work->u.fill.address + work->u.fill.bytes, true};
    }
    return count;
}

// Whether a parameter of the launch points into the range.
static bool points_into(const sim_work *work, uint64_t begin, uint64_t end)
{
    if (work->kind != SIM_LAUNCH)
        return false;
    for (uint32_t at = 0; at + 8 <= work->u.launch.function->info.param_bytes; at += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)work->u.launch.params + at, 8);
        if (word >= begin && word < end)
            return true;
    }
    return false;
}

bool sim_work_uses(const sim_work *work, uint64_t begin, uint64_t end)
{
    range ranges[2];
    uint32_t count = ranges_of(work, ranges);
    for (uint32_t i = 0; i < count; i++)
        if (ranges[i].begin < end && begin < ranges[i].end)
            return true;
    return points_into(work, begin, end);
}

bool sim_work_touches(const sim_work *work, uint64_t address, bool only_writes)
{
    range ranges[2];
    uint32_t count = ranges_of(work, ranges);
    for (uint32_t i = 0; i < count; i++)
        if (ranges[i].begin <= address && address < ranges[i].end && (ranges[i].written || !only_writes))
            return true;
    return false;
}

static bool conflict(const sim_work *a, const sim_work *b)
{
    range mine[2], theirs[2];
    uint32_t my_count = ranges_of(a, mine), their_count = ranges_of(b, theirs);
    for (uint32_t i = 0; i < my_count; i++) {
        for (uint32_t j = 0; j < their_count; j++)
            if ((mine[i].written || theirs[j].written) && mine[i].begin < theirs[j].end &&
                theirs[j].begin < mine[i].end)
                return true;
        if (mine[i].written && points_into(b, mine[i].begin, mine[i].end))
            return true;
    }
    for (uint32_t j = 0; j < their_count; j++)
        if (theirs[j].written && points_into(a, theirs[j].begin, theirs[j].end))
            return true;
    return false;
}

void sim_work_report_unordered(const sim_work *work, const uint64_t *after, uint32_t slot)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        for (const sim_op *op = i == slot ? NULL : sim.slots[i].first; op; op = op->next)
            if (op->seq > after[i] && conflict(work, &op->work)) {
                range ranges[2] = {{0, 0, false}};
                char text[160] = "a parameter";
                if (ranges_of(work, ranges))
                    sim_describe(ranges[0].begin, text, sizeof text);
                sim_report(SIM_UNORDERED_FINDING, work->call,
                           "touches bytes (%s) that an earlier %s in another stream touches, and nothing "
                           "puts one before "
                           "the other",
                           text, op->work.call);
                return;
            }
}

// ---- copies of work ----

CUresult sim_work_copy(const sim_work *from, sim_work *out)
{
    *out = *from;
    if (from->kind == SIM_LAUNCH) {
        uint32_t bytes = from->u.launch.function->info.param_bytes;
        out->u.launch.params = sim_new(bytes + 8u);
        if (!out->u.launch.params)
            return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy(out->u.launch.params, from->u.launch.params, bytes);
    } else if (from->kind == SIM_COPY) {
        out->u.copy.snapshot = NULL;
    }
    return CUDA_SUCCESS;
}

void sim_work_release(sim_work *work)
{
    if (work->kind == SIM_LAUNCH)
        free(work->u.launch.params);
    else if (work->kind == SIM_COPY)
        free(work->u.copy.snapshot);
    work->kind = SIM_EMPTY;
}

// ---- checks ----

static CUresult check_context(const sim_work *work, void *handle, uint64_t address)
{
    const sim_context *context = sim_handle_get(SIM_CONTEXT, handle);
    char text[160];
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (sim_reaches(context, address))
        return CUDA_SUCCESS;
    sim_report(
        SIM_CONTEXT_FINDING, work->call,
        "0x%llx, in %s, is not memory of the context (object %llu, device %d), and there is no peer access",
        (unsigned long long)address, sim_describe(address, text, sizeof text),
        (unsigned long long)context->object.number, context->device->ordinal);
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult check_device(const sim_work *work, void *context, uint64_t address, uint64_t bytes)
{
    const sim_allocation *a = sim_allocation_at(address);
    uint64_t begin, size;
    char text[160];
    if (a && address - a->address < a->bytes) {
        if (a->gone || a->freed_by) {
            sim_report(SIM_USE_AFTER_FREE_FINDING, work->call, "%llu bytes at 0x%llx, in %s, freed by %s",
                       (unsigned long long)bytes, (unsigned long long)address,
                       sim_describe(address, text, sizeof text), a->freed_by);
            return CUDA_ERROR_INVALID_VALUE;
        }
        begin = a->address;
        size = a->bytes;
    } else if (ptx_memory_find(sim.memory, address, &begin, &size) != PTX_OK) {
        sim_report(SIM_OUT_OF_RANGE_FINDING, work->call, "0x%llx is in no allocation; next to it: %s",
                   (unsigned long long)address, sim_describe(address, text, sizeof text));
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (bytes <= size - (address - begin))
        return check_context(work, context, address);
    sim_report(SIM_OUT_OF_RANGE_FINDING, work->call, "%llu bytes at 0x%llx end %llu bytes beyond %s",
               (unsigned long long)bytes, (unsigned long long)address,
               (unsigned long long)(bytes - (size - (address - begin))),
               sim_describe(address, text, sizeof text));
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult check_side(const sim_work *work, const sim_side *side, uint64_t bytes)
{
    if (side->device)
        return check_device(work, side->context, side->device, bytes);
    if (!side->host)
        return CUDA_ERROR_INVALID_VALUE;
    if (!side->pinned || bytes <= side->pinned->bytes - (uint64_t)(side->host - side->pinned->alias))
        return CUDA_SUCCESS;
    sim_report(SIM_OUT_OF_RANGE_FINDING, work->call,
               "%llu bytes from byte %llu of pinned memory %llu by %s (%llu bytes)",
               (unsigned long long)bytes, (unsigned long long)(side->host - side->pinned->alias),
               (unsigned long long)side->pinned->number, side->pinned->made_by,
               (unsigned long long)side->pinned->bytes);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_work_check(const sim_work *work)
{
    CUresult result = CUDA_SUCCESS;
    if (work->kind == SIM_COPY) {
        result = check_side(work, &work->u.copy.to, work->u.copy.bytes);
        return result ? result : check_side(work, &work->u.copy.from, work->u.copy.bytes);
    }
    if (work->kind == SIM_FILL) {
        if (work->u.fill.address % work->u.fill.unit_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        result = check_device(work, work->u.fill.context, work->u.fill.address, work->u.fill.bytes);
    }
    if (work->kind == SIM_LAUNCH && !sim_handle_get(SIM_FUNCTION, work->u.launch.function_handle))
        result = CUDA_ERROR_INVALID_HANDLE;
    if (work->kind == SIM_RECORD && !sim_handle_get(SIM_EVENT, work->u.event_handle))
        result = CUDA_ERROR_INVALID_HANDLE;
    return result;
}

// ---- the host's hand in pinned memory ----

static uint64_t hash_bytes(const uint8_t *data, uint64_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (uint64_t i = 0; i < bytes; i++)
        hash = (hash ^ data[i]) * 0x100000001b3ull;
    return hash | 1;
}

// The program's own pages cannot be guarded, so their content is compared: of the side that the host must
// leave alone.
static const sim_side *registered_side(const sim_work *work)
{
    if (work->kind != SIM_COPY)
        return NULL;
    const sim_side *to = &work->u.copy.to, *from = &work->u.copy.from;
    return to->pinned && to->pinned->registered ? to : from->pinned && from->pinned->registered ? from : NULL;
}

static void guard_side(const sim_side *side, uint64_t bytes, bool written, bool on)
{
    if (!side->pinned || side->device || !bytes)
        return;
    if (on)
        sim_guard_add(side->pinned, side->host, bytes, written);
    else
        sim_guard_remove(side->pinned, side->host, bytes, written);
}

// Unless other work is to change the same bytes in the meantime.
static bool is_written_by_others(const sim_work *work, uint64_t begin, uint64_t end)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        for (const sim_op *op = sim.slots[i].first; op; op = op->next)
            if (&op->work != work && sim_work_uses(&op->work, begin, end))
                return true;
    return false;
}

void sim_work_guard(sim_work *work, bool on)
{
    if (work->kind != SIM_COPY)
        return;
    guard_side(&work->u.copy.to, work->u.copy.bytes, true, on);
    guard_side(&work->u.copy.from, work->u.copy.bytes, false, on);
    const sim_side *side = registered_side(work);
    if (!side)
        return;
    if (on) {
        uint64_t begin = place_of(side);
        bool others = is_written_by_others(work, begin, begin + work->u.copy.bytes);
        work->u.copy.hash = others ? 0 : hash_bytes(side->host, work->u.copy.bytes);
    } else if (work->u.copy.hash && work->u.copy.hash != hash_bytes(side->host, work->u.copy.bytes)) {
        sim_report(SIM_HOST_ACCESS_FINDING, work->call,
                   "the host wrote registered memory %llu while the copy of %llu bytes %s it was queued",
                   (unsigned long long)side->pinned->number, (unsigned long long)work->u.copy.bytes,
                   side == &work->u.copy.to ? "to" : "from");
    }
}

// ---- doing it ----

static CUresult run_copy(const sim_work *work)
{
    const sim_side *to = &work->u.copy.to, *from = &work->u.copy.from;
    uint64_t bytes = work->u.copy.bytes, unwritten = 0;
    const void *source = work->u.copy.snapshot ? work->u.copy.snapshot : from->host;
    ptx_status status = PTX_OK;
    if (to->device && from->device)
        status = ptx_memory_copy(sim.memory, to->device, from->device, bytes);
    else if (to->device)
        status = ptx_memory_write(sim.memory, to->device, source, bytes);
    else if (from->device)
        status = ptx_memory_read(sim.memory, from->device, to->host, bytes, &unwritten);
    else
        memmove(to->host, source, bytes);
    if (unwritten == bytes) {
        char text[160];
        sim_report(SIM_UNWRITTEN_FINDING, work->call,
                   "%llu bytes at 0x%llx, in %s: nothing has written any of them", (unsigned long long)bytes,
                   (unsigned long long)from->device, sim_describe(from->device, text, sizeof text));
    }
    return status ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

static void report_kernel(void *user, const ptx_report *report)
{
    sim_report(SIM_KERNEL_FINDING, user, "%s", report->text);
}

static CUresult error_of(const ptx_launch_result *result)
{
    if (result->findings[PTX_TRAPPED])
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    if (result->findings[PTX_DEADLOCK] || result->findings[PTX_ENDLESS])
        return CUDA_ERROR_LAUNCH_TIMEOUT;
    if (result->findings[PTX_OUT_OF_BOUNDS] || result->findings[PTX_USE_AFTER_FREE])
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    return result->findings[PTX_MISALIGNED] ? CUDA_ERROR_MISALIGNED_ADDRESS : CUDA_ERROR_LAUNCH_FAILED;
}

static CUresult run_launch(const sim_work *work)
{
    ptx_launch launch = {
        .kernel = work->u.launch.function->kernel,
        .dynamic_shared_bytes = work->u.launch.shared_bytes,
        .params = work->u.launch.params,
        .param_bytes = work->u.launch.function->info.param_bytes,
        .thread_count = sim.threads,
        .cooperative = work->u.launch.cooperative,
        .approximation_seed = sim.approximation_seed,
        .mma = sim.mma,
        .chip = sim.subject->device->arch,
        .schedule_seed = sim.schedule_seed,
        .report = report_kernel,
        .foreign = sim_foreign,
        .owner = sim.subject->object.number,
        .user = (void *)(uintptr_t)work->call,
        .counts = sim_counts_of(work),
    };
    memcpy(launch.grid, work->u.launch.grid, sizeof launch.grid);
    memcpy(launch.block, work->u.launch.block, sizeof launch.block);
    ptx_launch_result result;
    ptx_status status = ptx_launch_run(sim.memory, &launch, &result);
    sim.launches++;
    sim.instructions += result.warp_instructions;
    if (status == PTX_OK)
        return CUDA_SUCCESS;
    sim_report(SIM_KERNEL_FINDING, work->call, "kernel %s stopped: %s", work->u.launch.function->info.name,
               result.message);
    return status == PTX_NO_MEMORY ? CUDA_ERROR_OUT_OF_MEMORY : error_of(&result);
}

static void run_record(const sim_work *work)
{
    sim_event *event = sim_handle_get(SIM_EVENT, work->u.event_handle);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (event)
        event->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

CUresult sim_work_run(sim_work *work)
{
    switch (work->kind) {
    case SIM_COPY:
        return run_copy(work);
    case SIM_FILL:
        return ptx_memory_fill(sim.memory, work->u.fill.address, work->u.fill.value, work->u.fill.unit_bytes,
                               work->u.fill.bytes)
                   ? CUDA_ERROR_ILLEGAL_ADDRESS
                   : CUDA_SUCCESS;
    case SIM_LAUNCH:
        return run_launch(work);
    case SIM_HOST_CALL:
        sim.in_host_call = true;
        work->u.host.function(work->u.host.user);
        sim.in_host_call = false;
        return CUDA_SUCCESS;
    case SIM_FREE: {
        sim_allocation *a = sim_allocation_at(work->u.free_address);
        if (a)
            sim_allocation_end(a);
        return CUDA_SUCCESS;
    }
    case SIM_RECORD:
        run_record(work);
        return CUDA_SUCCESS;
    default:
        return CUDA_SUCCESS;
    }
}
