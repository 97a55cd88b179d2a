// SPDX-License-Identifier: MIT
//
// Buffers: counted device memory, checked against its size before any backend sees an access.
#include "runtime/device/device_internal.h"

#include <inttypes.h>

static void link_buffer(iso_device *device, iso_buffer *buffer)
{
    buffer->next = device->buffers;
    if (device->buffers)
        device->buffers->previous = buffer;
    device->buffers = buffer;
    device->allocated_bytes += buffer->memory.bytes;
    if (device->allocated_bytes > device->peak_bytes)
        device->peak_bytes = device->allocated_bytes;
}

static void unlink_buffer(iso_device *device, iso_buffer *buffer)
{
    if (buffer->previous)
        buffer->previous->next = buffer->next;
    else
        device->buffers = buffer->next;
    if (buffer->next)
        buffer->next->previous = buffer->previous;
    device->allocated_bytes -= buffer->memory.bytes;
}

iso_status iso_buffer_create(iso_device *device, uint64_t bytes, iso_buffer **out_buffer)
{
    *out_buffer = NULL;
    const iso_device_info *info = iso_device_get_info(device);
    const char *name = iso_device_name(device);
    if (bytes == 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "device %s: a buffer of 0 bytes was asked for, at least 1 is needed", name);
    if (bytes > info->max_allocation_bytes)
        return iso_fail(ISO_UNSUPPORTED,
                        "device %s: a buffer of %" PRIu64 " bytes was asked for, its largest is %" PRIu64
                        "; spread the model over several devices",
                        name, bytes, info->max_allocation_bytes);
    iso_buffer *buffer = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &buffer));
    if (device->backend->alloc(device->handle, bytes, &buffer->memory) != ISO_OK) {
        iso_free(device->allocator, buffer);
        return iso_status_prefix("device %s, which holds %" PRIu64 " bytes already", name,
                                 device->allocated_bytes);
    }
    buffer->memory.bytes = bytes;
    buffer->device = device;
    atomic_init(&buffer->references, 1);
    link_buffer(device, buffer);
    if (device->validate) {
        iso_status status = iso_validate_poison(buffer);
        if (status != ISO_OK) {
            iso_buffer_release(buffer);
            return status;
        }
    }
    *out_buffer = buffer;
    return ISO_OK;
}

iso_buffer *iso_buffer_retain(iso_buffer *buffer)
{
    if (buffer)
        atomic_fetch_add(&buffer->references, 1);
    return buffer;
}

void iso_buffer_release(iso_buffer *buffer)
{
    if (!buffer || atomic_fetch_sub(&buffer->references, 1) != 1)
        return;
    iso_device *device = buffer->device;
    unlink_buffer(device, buffer);
    device->backend->free(device->handle, &buffer->memory);
    iso_free(device->allocator, buffer);
}

uint64_t iso_buffer_bytes(const iso_buffer *buffer)
{
    return buffer->memory.bytes;
}

const iso_memory *iso_buffer_memory(const iso_buffer *buffer)
{
    return &buffer->memory;
}

static iso_status check_range(const iso_buffer *buffer, const char *what, uint64_t offset_bytes,
                              uint64_t bytes)
{
    const char *name = iso_device_name(buffer->device);
    uint64_t size = buffer->memory.bytes;
    if (bytes == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "device %s: %s of 0 bytes, at least 1 is needed", name, what);
    if (offset_bytes > size || bytes > size - offset_bytes)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "device %s: %s of %" PRIu64 " bytes at offset %" PRIu64
                        " leaves its buffer of %" PRIu64 " bytes",
                        name, what, bytes, offset_bytes, size);
    return ISO_OK;
}

iso_status iso_buffer_write(iso_buffer *buffer, uint64_t offset_bytes, const void *source, uint64_t bytes)
{
    ISO_TRY(check_range(buffer, "write", offset_bytes, bytes));
    iso_device *device = buffer->device;
    if (device->backend->write(device->handle, &buffer->memory, offset_bytes, source, bytes) != ISO_OK)
        return iso_status_prefix("device %s: write", iso_device_name(device));
    return ISO_OK;
}

iso_status iso_buffer_read(const iso_buffer *buffer, uint64_t offset_bytes, void *target, uint64_t bytes)
{
    ISO_TRY(check_range(buffer, "read", offset_bytes, bytes));
    iso_device *device = buffer->device;
    if (device->backend->read(device->handle, &buffer->memory, offset_bytes, target, bytes) != ISO_OK)
        return iso_status_prefix("device %s: read", iso_device_name(device));
    return ISO_OK;
}

iso_status iso_buffer_fill(iso_buffer *buffer, uint64_t offset_bytes, uint64_t bytes, uint32_t pattern)
{
    ISO_TRY(check_range(buffer, "fill", offset_bytes, bytes));
    iso_device *device = buffer->device;
    if (offset_bytes % 4 != 0 || bytes % 4 != 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "device %s: fill of %" PRIu64 " bytes at offset %" PRIu64
                        ", both must be multiples of 4",
                        iso_device_name(device), bytes, offset_bytes);
    if (device->backend->fill(device->handle, &buffer->memory, offset_bytes, bytes, pattern) != ISO_OK)
        return iso_status_prefix("device %s: fill", iso_device_name(device));
    return ISO_OK;
}
