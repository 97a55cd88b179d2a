// SPDX-License-Identifier: MIT
//
// Stream-ordered memory and its pools. An allocation has its address at once and begins to be at its place in
// the stream; a free is queued. Pools count; nothing is kept for reuse, because an address that came back
// would hide late uses.
#include "calls.h"

#include <stdlib.h>

static sim_pool *make_pool(sim_device *device)
{
    sim_pool *pool = sim_new(sizeof *pool);
    if (!pool || !sim_handle_add(SIM_POOL, pool)) {
        free(pool);
        return NULL;
    }
    pool->object.context = NULL;
    pool->device = device;
    return pool;
}

static bool has_pools(const sim_device *device)
{
    bool known;
    return sim_attribute(device, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, &known) != 0;
}

static sim_pool *default_pool(sim_device *device)
{
    if (!device->default_pool)
        device->default_pool = device->current_pool = make_pool(device);
    return device->default_pool;
}

CUresult sim_memory_alloc_async(CUdeviceptr *address, size_t bytes, sim_pool *pool, CUstream stream)
{
    uint32_t slot;
    sim_allocation *a;
    if (!address || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *address = 0;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (sim.slots[slot].capture)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    sim_context *context = sim.slots[slot].context;
    if (!has_pools(pool ? pool->device : context->device))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!pool && !(pool = default_pool(context->device) ? context->device->current_pool : NULL))
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = sim_allocate(context, bytes, pool, &a);
    if (result)
        return result;
    sim_work work = {.kind = SIM_EMPTY, .call = sim.call};
    result = sim_submit(slot, &work);
    if (result) {
        a->freed_by = sim.call;
        sim_allocation_end(a);
        return result;
    }
    a->slot = slot;
    a->seq = sim.slots[slot].queued;
    *address = a->address;
    return CUDA_SUCCESS;
}

CUresult sim_memory_alloc_from(CUdeviceptr *address, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    sim_pool *found = sim_handle_get(SIM_POOL, pool);
    return found ? sim_memory_alloc_async(address, bytes, found, stream) : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_memory_free_async(CUdeviceptr address, CUstream stream)
{
    uint32_t slot;
    char text[160];
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (sim.slots[slot].capture)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    sim_allocation *a = sim_allocation_at(address);
    if (!a || a->address != address || a->freed_by)
        return sim_memory_free(address); // says what is wrong with it
    const sim_op *use = sim_pending_use(a->address, a->address + a->bytes, slot);
    if (use)
        sim_report(SIM_FREED_IN_USE_FINDING, sim.call,
                   "%s is freed while a %s in another stream, not ordered before, uses it",
                   sim_describe(address, text, sizeof text), use->work.call);
    sim_work work = {.kind = SIM_FREE, .call = sim.call, .u.free_address = address};
    result = sim_submit(slot, &work);
    if (!result)
        a->freed_by = sim.call;
    return result;
}

// ---- pools ----

CUresult sim_device_pool(CUmemoryPool *pool, CUdevice device, bool the_default)
{
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!has_pools(found))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!default_pool(found))
        return CUDA_ERROR_OUT_OF_MEMORY;
    *pool = (the_default ? found->default_pool : found->current_pool)->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_device_set_pool(CUdevice device, CUmemoryPool pool)
{
    sim_pool *found = sim_handle_get(SIM_POOL, pool);
    sim_device *at = sim_device_at(device);
    if (!at)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!found || found->device != at)
        return CUDA_ERROR_INVALID_VALUE;
    if (!default_pool(at))
        return CUDA_ERROR_OUT_OF_MEMORY;
    at->current_pool = found;
    return CUDA_SUCCESS;
}

CUresult sim_pool_create(CUmemoryPool *pool, const CUmemPoolProps *props)
{
    enum { PINNED = 1, ON_DEVICE = 1 };
    if (!pool || !props || props->allocType != PINNED || props->location.type != ON_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    sim_device *device = sim_device_at(props->location.id);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (props->handleTypes || !has_pools(device))
        return CUDA_ERROR_NOT_SUPPORTED;
    sim_pool *made = make_pool(device);
    *pool = made ? made->object.handle : NULL;
    return made ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static void end_pool(sim_pool *pool)
{
    if (pool->device->current_pool == pool)
        pool->device->current_pool = pool->device->default_pool;
    if (pool->device->default_pool == pool)
        pool->device->default_pool = pool->device->current_pool = NULL;
    sim_memory_leave_pool(pool);
    sim_handle_remove(pool->object.handle);
    free(pool);
}

CUresult sim_pool_destroy(CUmemoryPool pool)
{
    sim_pool *found = sim_handle_get(SIM_POOL, pool);
    if (!found || found == found->device->default_pool)
        return CUDA_ERROR_INVALID_VALUE;
    end_pool(found);
    return CUDA_SUCCESS;
}

void sim_pools_release(void)
{
    sim_object *pool;
    while ((pool = sim_handle_first(SIM_POOL, NULL))) {
        if ((sim_pool *)pool != ((sim_pool *)pool)->device->default_pool)
            sim_report(SIM_LEAK_FINDING, NULL, "a memory pool by %s (object %llu) was never destroyed",
                       pool->made_by, (unsigned long long)pool->number);
        end_pool((sim_pool *)pool);
    }
}

CUresult sim_pool_trim(CUmemoryPool pool, size_t keep)
{
    (void)keep; // nothing is kept in any case
    return sim_handle_get(SIM_POOL, pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_pool_set(CUmemoryPool pool, CUmemPool_attribute attribute, const void *value)
{
    sim_pool *found = sim_handle_get(SIM_POOL, pool);
    if (!found || !value)
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
        attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES) {
        found->flags[attribute - 1] = *(const int *)value;
        return CUDA_SUCCESS;
    }
    uint64_t number = *(const uint64_t *)value;
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        found->release_threshold = number;
    else if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH && number == 0)
        found->used_high = found->used;
    else if (attribute != CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH || number)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

CUresult sim_pool_get(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    const sim_pool *found = sim_handle_get(SIM_POOL, pool);
    if (!found || !value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = found->flags[attribute - 1];
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(uint64_t *)value = found->release_threshold;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(uint64_t *)value = found->used;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(uint64_t *)value = found->used_high;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

// ---- access of other devices ----

// The pool's memory is the device's own business: peer access between contexts does not touch it.
CUresult sim_pool_set_access(CUmemoryPool pool, const CUmemAccessDesc *list, size_t count)
{
    enum { ON_DEVICE = 1 };
    sim_pool *found = sim_handle_get(SIM_POOL, pool);
    uint32_t access = found ? found->access : 0;
    if (!found || (count && !list) || count > SIM_DEVICES)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        const sim_device *device = sim_device_at(list[i].location.id);
        CUmemAccess_flags flags = list[i].flags;
        if (list[i].location.type != ON_DEVICE || !device)
            return CUDA_ERROR_INVALID_VALUE;
        if (flags != CU_MEM_ACCESS_FLAGS_PROT_NONE && flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            return CUDA_ERROR_INVALID_VALUE;
        bool own = device == found->device;
        if (own ? !flags : !sim_can_peer(device, found->device))
            return CUDA_ERROR_INVALID_VALUE;
        access &= ~(1u << device->ordinal);
        access |= flags && !own ? 1u << device->ordinal : 0;
    }
    found->access = access;
    return CUDA_SUCCESS;
}

CUresult sim_pool_get_access(CUmemAccess_flags *flags, CUmemoryPool pool, const CUmemLocation *location)
{
    enum { ON_DEVICE = 1 };
    const sim_pool *found = sim_handle_get(SIM_POOL, pool);
    const sim_device *device = location && location->type == ON_DEVICE ? sim_device_at(location->id) : NULL;
    if (!found || !flags || !device)
        return CUDA_ERROR_INVALID_VALUE;
    bool may = device == found->device || found->access >> device->ordinal & 1;
    *flags = may ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
}
