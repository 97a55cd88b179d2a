// SPDX-License-Identifier: MIT
//
// Copies and fills as calls: which of the host's memory is pinned, what is taken at the call, what is waited
// for.
#include "calls.h"

#include <stdlib.h>

static void *current_handle(void)
{
    const sim_context *context = sim_current();
    return context ? context->object.handle : NULL;
}

sim_side sim_device_side(CUdeviceptr address)
{
    return (sim_side){.device = address, .context = current_handle()};
}

sim_side sim_peer_side(CUdeviceptr address, CUcontext context)
{
    return (sim_side){.device = address, .context = context};
}

sim_side sim_host_side(const void *address)
{
    sim_host *pinned = sim_host_at(address);
    uint8_t *host = (uint8_t *)(uintptr_t)address;
    if (pinned && !pinned->portable)
        (void)sim_is_foreign(pinned->context, "pinned memory that is not portable");
    if (pinned)
        host = pinned->alias + (host - pinned->user);
    return (sim_side){.host = host, .pinned = pinned};
}

sim_side sim_any_side(CUdeviceptr address)
{
    uint64_t begin, bytes;
    const sim_allocation *a = sim_allocation_at(address);
    if ((a && address - a->address < a->bytes) ||
        ptx_memory_find(sim.memory, address, &begin, &bytes) == PTX_OK)
        return sim_device_side(address);
    return sim_host_side((const void *)(uintptr_t)address);
}

static bool is_plain(const sim_side *side)
{
    return side->host && !side->pinned;
}

CUresult sim_copy(sim_side to, sim_side from, size_t bytes, CUstream stream, sim_copy_wait wait)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (!bytes)
        return CUDA_SUCCESS;
    if (!(to.device || to.host) || !(from.device || from.host))
        return CUDA_ERROR_INVALID_VALUE;
    if (wait == SIM_COPY_WAITS && sim_is_capturing(NULL))
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    sim_work work = {.kind = SIM_COPY, .call = sim.call, .u.copy = {.to = to, .from = from, .bytes = bytes}};
    bool captured = sim.slots[slot].capture != NULL;
    if (wait == SIM_COPY_ASYNC && is_plain(&from) && !captured) {
        work.u.copy.snapshot = malloc(bytes);
        if (!work.u.copy.snapshot)
            return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy(work.u.copy.snapshot, from.host, bytes);
    }
    result = sim_put(slot, &work);
    if (!result && !captured && (wait == SIM_COPY_WAITS || is_plain(&to)))
        result = sim_run_until(slot, sim.slots[slot].queued);
    return result;
}

CUresult sim_fill(CUdeviceptr to, uint32_t value, uint32_t unit_bytes, size_t count, CUstream stream)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (!count)
        return CUDA_SUCCESS;
    if (!to || count > UINT64_MAX / unit_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    sim_work work = {.kind = SIM_FILL,
                     .call = sim.call,
                     .u.fill = {.address = to,
                                .bytes = count * unit_bytes,
                                .value = value,
                                .unit_bytes = unit_bytes,
                                .context = current_handle()}};
    return sim_put(slot, &work);
}
