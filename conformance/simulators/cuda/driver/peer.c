// SPDX-License-Identifier: MIT
//
// Contexts and devices beside each other: whose memory is whose, peer access, copies from one to the other.
// Addresses are taken as where addressing is not unified: one means something in its own context alone, and
// in those that have peer access to it.
#include "calls.h"

#include <stdio.h>

// ---- whose what is ----

static bool is_peer(const sim_context *context, uint64_t number)
{
    for (uint32_t i = 0; i < SIM_PEERS; i++) {
        const sim_object *peer = sim_handle_get(SIM_CONTEXT, context->peers[i]);
        if (peer && peer->number == number)
            return true;
    }
    return false;
}

static const sim_host *host_of(uint64_t address)
{
    for (const sim_host *host = sim.hosts; host; host = host->next)
        if (address - host->device < host->bytes)
            return host;
    return NULL;
}

static bool pool_reaches(const sim_context *context, const sim_allocation *a)
{
    uint32_t access = a->pool ? a->pool->access : a->access;
    return a->device == context->device || access >> context->device->ordinal & 1;
}

bool sim_reaches(const sim_context *context, uint64_t address)
{
    const sim_allocation *a = sim_allocation_at(address);
    if (a && a->pooled && address - a->address < a->bytes)
        return pool_reaches(context, a);
    const sim_host *host = host_of(address);
    uint64_t owner = ptx_memory_owner(sim.memory, address);
    return owner == context->object.number || (host ? host->portable : is_peer(context, owner));
}

const char *sim_foreign(void *user, uint64_t address)
{
    (void)user;
    if (sim_reaches(sim.subject, address))
        return NULL;
    const sim_allocation *a = sim_allocation_at(address);
    if (a && address - a->address < a->bytes)
        return a->device->foreign;
    return host_of(address) ? "pinned memory of another context, not portable"
                            : "a variable of another context's module";
}

bool sim_is_foreign(const sim_context *owner, const char *what)
{
    const sim_context *current = sim_current();
    // A call that was told to fail may come where making the context current was told to fail before.
    if (owner == current || !owner || !current || sim.is_forced)
        return false;
    sim_report(SIM_CONTEXT_FINDING, sim.call,
               "%s of the context (object %llu, device %d) where another (object %llu, device %d) is current",
               what, (unsigned long long)owner->object.number, owner->device->ordinal,
               (unsigned long long)current->object.number, current->device->ordinal);
    return true;
}

// ---- peer access ----

// The driver's documentation names one condition of the chips: the same major compute capability.
bool sim_can_peer(const sim_device *from, const sim_device *to)
{
    bool known;
    return from != to && sim_attribute(from, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &known) ==
                             sim_attribute(to, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &known);
}

CUresult sim_device_can_peer(int *can, CUdevice device, CUdevice peer)
{
    if (!can)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_device *from = sim_device_at(device), *to = sim_device_at(peer);
    if (!from || !to)
        return CUDA_ERROR_INVALID_DEVICE;
    *can = sim_can_peer(from, to);
    return CUDA_SUCCESS;
}

CUresult sim_device_link(int *value, CUdevice_P2PAttribute attribute, CUdevice from, CUdevice to)
{
    const sim_device *source = sim_device_at(from), *target = sim_device_at(to);
    if (!value || attribute < CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK ||
        attribute > CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED)
        return CUDA_ERROR_INVALID_VALUE;
    if (!source || !target || source == target)
        return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute == CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED && sim_can_peer(source, target);
    return CUDA_SUCCESS;
}

CUresult sim_peer_enable(CUcontext peer, unsigned flags)
{
    sim_context *current = sim_current();
    const sim_context *found = sim_handle_get(SIM_CONTEXT, peer);
    void **room = NULL;
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found || found == current)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!sim_can_peer(current->device, found->device))
        return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    if (is_peer(current, found->object.number))
        return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
    for (uint32_t i = 0; i < SIM_PEERS && !room; i++)
        room = sim_handle_get(SIM_CONTEXT, current->peers[i]) ? NULL : &current->peers[i];
    if (!room)
        return CUDA_ERROR_TOO_MANY_PEERS;
    *room = peer;
    return CUDA_SUCCESS;
}

CUresult sim_peer_disable(CUcontext peer)
{
    sim_context *current = sim_current();
    if (!current || !sim_handle_get(SIM_CONTEXT, peer))
        return CUDA_ERROR_INVALID_CONTEXT;
    for (uint32_t i = 0; i < SIM_PEERS; i++)
        if (current->peers[i] == (void *)peer) {
            current->peers[i] = NULL;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

// ---- copies ----

CUresult sim_peer_copy_async(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                             size_t bytes, CUstream stream)
{
    if (!sim_handle_get(SIM_CONTEXT, to_context) || !sim_handle_get(SIM_CONTEXT, from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return sim_copy(sim_peer_side(to, to_context), sim_peer_side(from, from_context), bytes, stream,
                    SIM_COPY_ASYNC);
}

// After all that the three contexts have queued, and before all that they queue later; the host does not
// wait.
CUresult sim_peer_copy(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                       size_t bytes)
{
    const sim_context *current = sim_current();
    const sim_context *const contexts[] = {current, sim_handle_get(SIM_CONTEXT, to_context),
                                           sim_handle_get(SIM_CONTEXT, from_context)};
    for (int i = 0; i < 3; i++)
        if (contexts[i])
            sim_slot_join(current->legacy, contexts[i]);
    CUresult result = sim_peer_copy_async(to, to_context, from, from_context, bytes, CU_STREAM_LEGACY);
    for (int i = 0; i < 3 && !result; i++)
        sim_slot_hold_up(current->legacy, contexts[i]);
    return result;
}
