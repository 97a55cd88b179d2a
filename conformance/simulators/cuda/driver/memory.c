// SPDX-License-Identifier: MIT
//
// Device memory: allocations with who made and who freed them, kept after their end so that late uses can be
// named. The bytes themselves are the interpreter's.
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>

#define REMEMBERS 65536u // ended allocations

// By address: the interpreter gives each address once, and upwards.
static sim_allocation **table;
static uint32_t table_count, table_capacity;

static void forget_oldest(void)
{
    uint32_t kept = 0, dropped = 0;
    for (uint32_t i = 0; i < table_count; i++) {
        if (table[i]->gone && dropped < REMEMBERS / 2) {
            dropped++;
            free(table[i]);
        } else {
            table[kept++] = table[i];
        }
    }
    table_count = kept;
}

static bool make_room(void)
{
    if (table_count < table_capacity)
        return true;
    uint32_t ended = 0;
    for (uint32_t i = 0; i < table_count; i++)
        ended += table[i]->gone;
    if (ended >= REMEMBERS) {
        forget_oldest();
        return true;
    }
    uint32_t capacity = table_capacity ? table_capacity * 2 : 256;
    void *grown = realloc(table, capacity * sizeof(sim_allocation *));
    if (!grown)
        return false;
    table = grown;
    table_capacity = capacity;
    return true;
}

CUresult sim_allocate(sim_context *context, uint64_t bytes, sim_pool *pool, sim_allocation **out)
{
    char name[64];
    sim_device *device = pool ? pool->device : context->device;
    sim_allocation *a = bytes <= sim_left_bytes(device) && make_room() ? sim_new(sizeof *a) : NULL;
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *a = (sim_allocation){.bytes = bytes,
                          .number = ++sim.numbers,
                          .context = context,
                          .device = device,
                          .pool = pool,
                          .pooled = pool != NULL,
                          .made_by = sim.call};
    // Of another device's pool not even the context that asked for it is sure to have access.
    ptx_memory_set_owner(sim.memory, device == context->device ? context->object.number : 0);
    snprintf(name, sizeof name, "allocation %llu by %s", (unsigned long long)a->number, sim.call);
    if (ptx_memory_alloc(sim.memory, bytes, name, &a->address) != PTX_OK) {
        free(a);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    device->used_bytes += bytes;
    if (pool) {
        pool->used += bytes;
        pool->used_high = pool->used > pool->used_high ? pool->used : pool->used_high;
    }
    table[table_count++] = *out = a;
    return CUDA_SUCCESS;
}

void sim_allocation_end(sim_allocation *a)
{
    if (a->gone)
        return;
    a->gone = true;
    a->device->used_bytes -= a->bytes;
    if (a->pool)
        a->pool->used -= a->bytes;
    a->pool = NULL;
    ptx_memory_free(sim.memory, a->address);
}

sim_allocation *sim_allocation_at(uint64_t address)
{
    uint32_t low = 0, high = table_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (table[middle]->address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? table[low - 1] : NULL;
}

void sim_memory_leave_pool(const sim_pool *pool)
{
    for (uint32_t i = 0; i < table_count; i++)
        if (table[i]->pool == pool) {
            table[i]->access = pool->access;
            table[i]->pool = NULL;
        }
}

void sim_memory_release(const sim_context *context, bool report)
{
    for (uint32_t i = 0; i < table_count; i++) {
        sim_allocation *a = table[i];
        if (a->gone || (context && a->context != context))
            continue;
        if (report && !a->freed_by)
            sim_report(SIM_LEAK_FINDING, sim.call,
                       "allocation %llu by %s, %llu bytes at 0x%llx, was never freed",
                       (unsigned long long)a->number, a->made_by, (unsigned long long)a->bytes,
                       (unsigned long long)a->address);
        a->freed_by = a->freed_by ? a->freed_by : "the end of its context";
        sim_allocation_end(a);
    }
    if (context)
        return;
    for (uint32_t i = 0; i < table_count; i++)
        free(table[i]);
    free(table);
    table = NULL;
    table_count = table_capacity = 0;
}

const char *sim_describe(uint64_t address, char *text, size_t text_bytes)
{
    const sim_allocation *a = sim_allocation_at(address);
    if (a && address - a->address < a->bytes + 65536) {
        snprintf(text, text_bytes, "allocation %llu by %s (%llu bytes at 0x%llx)",
                 (unsigned long long)a->number, a->made_by, (unsigned long long)a->bytes,
                 (unsigned long long)a->address);
        return text;
    }
    for (const sim_host *host = sim.hosts; host; host = host->next)
        if (address - host->device < host->bytes) {
            snprintf(text, text_bytes, "pinned memory %llu by %s (%llu bytes at %p)",
                     (unsigned long long)host->number, host->made_by, (unsigned long long)host->bytes,
                     (void *)host->user);
            return text;
        }
    uint64_t begin, bytes;
    if (ptx_memory_find(sim.memory, address, &begin, &bytes) == PTX_OK)
        snprintf(text, text_bytes, "a module's variable (%llu bytes at 0x%llx)", (unsigned long long)bytes,
                 (unsigned long long)begin);
    else
        snprintf(text, text_bytes, "nothing known");
    return text;
}

// ---- calls ----

CUresult sim_memory_info(size_t *left, size_t *total)
{
    if (!left || !total)
        return CUDA_ERROR_INVALID_VALUE;
    *total = sim_total_bytes(sim_current()->device);
    *left = sim_left_bytes(sim_current()->device);
    return CUDA_SUCCESS;
}

CUresult sim_memory_alloc(CUdeviceptr *address, size_t bytes)
{
    if (!address)
        return CUDA_ERROR_INVALID_VALUE;
    *address = 0;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    sim_allocation *a;
    CUresult result = sim_allocate(sim_current(), bytes, NULL, &a);
    if (!result)
        *address = a->address;
    return result;
}

CUresult sim_memory_free(CUdeviceptr address)
{
    sim_allocation *a = sim_allocation_at(address);
    char text[160];
    if (!a || a->address != address || a->freed_by) {
        if (address)
            sim_report(SIM_BAD_FREE_FINDING, sim.call, "0x%llx is no living allocation; %s%s%s",
                       (unsigned long long)address, sim_describe(address, text, sizeof text),
                       a && a->freed_by && a->address == address ? ", freed by " : "",
                       a && a->freed_by && a->address == address ? a->freed_by : "");
        return CUDA_ERROR_INVALID_VALUE;
    }
    // It goes in any case. What is of a pool belongs to the device, not to a context.
    if (!a->pooled)
        (void)sim_is_foreign(a->context, "device memory");
    const sim_op *use = sim_pending_use(a->address, a->address + a->bytes, SIM_STREAMS);
    CUresult result = CUDA_SUCCESS;
    if (use) {
        sim_report(SIM_FREED_IN_USE_FINDING, sim.call,
                   "%s is freed while a %s that uses it has not been waited for",
                   sim_describe(address, text, sizeof text), use->work.call);
        result = sim_run_all();
    }
    a->freed_by = sim.call;
    sim_allocation_end(a);
    return result;
}

CUresult sim_memory_range(CUdeviceptr *begin, size_t *bytes, CUdeviceptr address)
{
    uint64_t at, size;
    if (ptx_memory_find(sim.memory, address, &at, &size) != PTX_OK)
        return CUDA_ERROR_NOT_FOUND;
    if (begin)
        *begin = at;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

CUresult sim_pointer_attribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_host *host = sim_host_at((const void *)(uintptr_t)pointer);
    uint64_t begin = 0, bytes = 0, device = pointer;
    if (host) {
        begin = (uint64_t)(uintptr_t)host->user;
        bytes = host->bytes;
        device = host->device + (pointer - begin);
    } else if (ptx_memory_find(sim.memory, pointer, &begin, &bytes) != PTX_OK) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const sim_allocation *a = sim_allocation_at(pointer);
    const sim_context *context = host ? host->context : a && a->address == begin ? a->context : sim_current();
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)value = context ? context->object.handle : NULL;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)value = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *(CUdeviceptr *)value = device;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (!host)
            return CUDA_ERROR_INVALID_VALUE;
        *(void **)value = (void *)(uintptr_t)pointer;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(int *)value = 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)value = a && a->address == begin ? a->device->ordinal
                        : context                ? context->device->ordinal
                                                 : 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *(CUdeviceptr *)value = begin;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *(size_t *)value = bytes;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(int *)value = 1;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}
