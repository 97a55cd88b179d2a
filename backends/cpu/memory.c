// SPDX-License-Identifier: MIT
//
// Buffers of the CPU backend: aligned host memory. Large blocks are touched by their first writer, not here.
#include <inttypes.h>
#include <string.h>

#include "backends/cpu/cpu_internal.h"

iso_status iso_cpu_alloc_aligned(const iso_allocator *allocator, uint64_t bytes, void **out_base,
                                 void **out_aligned)
{
    *out_base = NULL;
    *out_aligned = NULL;
    uint64_t with_room;
    if (__builtin_add_overflow(bytes, (uint64_t)ISO_CPU_BUFFER_ALIGNMENT, &with_room) || with_room > SIZE_MAX)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory: %" PRIu64 " bytes wanted", bytes);
    size_t capacity = 0;
    // Growing from nothing is the call that leaves the content undefined.
    ISO_TRY(iso_grow(allocator, 1, (size_t)with_room, out_base, &capacity));
    uintptr_t address = (uintptr_t)*out_base;
    uintptr_t mask = ISO_CPU_BUFFER_ALIGNMENT - 1;
    *out_aligned = (char *)*out_base + (((address + mask) & ~mask) - address);
    return ISO_OK;
}

iso_status iso_cpu_memory_alloc(void *device, uint64_t bytes, iso_memory *out_memory)
{
    iso_cpu_device *cpu = device;
    ISO_TRY(iso_cpu_alloc_aligned(cpu->allocator, bytes, &out_memory->handle, &out_memory->host));
    out_memory->address = (uint64_t)(uintptr_t)out_memory->host;
    return ISO_OK;
}

void iso_cpu_memory_free(void *device, iso_memory *memory)
{
    iso_cpu_device *cpu = device;
    iso_free(cpu->allocator, memory->handle);
}

iso_status iso_cpu_memory_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                                uint64_t bytes)
{
    (void)device;
    memcpy((char *)memory->host + offset_bytes, source, bytes);
    return ISO_OK;
}

iso_status iso_cpu_memory_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                               uint64_t bytes)
{
    (void)device;
    memcpy(target, (const char *)memory->host + offset_bytes, bytes);
    return ISO_OK;
}

iso_status iso_cpu_memory_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                               uint32_t pattern)
{
    (void)device;
    uint32_t *words = (uint32_t *)((char *)memory->host + offset_bytes);
    for (uint64_t i = 0; i < bytes / 4; i++)
        words[i] = pattern;
    return ISO_OK;
}
