// SPDX-License-Identifier: MIT
//
// Buffers and transfers. Memory comes from the device's own stream-ordered pool where the device has pools:
// making and freeing a buffer then waits for nothing. Transfers go through two pinned chunks in turn, so that
// the host copies one while the device copies the other. Must not know what the bytes mean.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"

// A transfer of 4 MiB takes a quarter of a millisecond over PCIe 4, much more than what starts and ends it
// costs.
#define STAGE_BYTES       ((size_t)4 << 20)
#define LEAST_STAGE_BYTES ((size_t)64 << 10)
// Kernels may load whole words of 16 bytes where the last element ends within one.
#define TAIL_BYTES 16

// ---- staging ----

static void free_hosts(iso_cuda_device *device)
{
    for (int i = 0; i < ISO_CUDA_STAGES; i++) {
        if (device->stages[i].host != NULL)
            (void)device->api->cuMemFreeHost(device->stages[i].host);
        device->stages[i].host = NULL;
    }
}

static CUresult alloc_hosts(iso_cuda_device *device)
{
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < ISO_CUDA_STAGES && result == CUDA_SUCCESS; i++) {
        result = device->api->cuMemHostAlloc(&device->stages[i].host, device->stage_bytes, 0);
        if (result != CUDA_SUCCESS)
            device->stages[i].host = NULL;
    }
    if (result != CUDA_SUCCESS)
        free_hosts(device);
    return result;
}

iso_status iso_cuda_stages_create(iso_cuda_device *device)
{
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    // Where pinned memory is short, small chunks do: slower, and no reason to fail.
    for (size_t bytes = STAGE_BYTES; bytes >= LEAST_STAGE_BYTES && result == CUDA_ERROR_OUT_OF_MEMORY;
         bytes /= 4) {
        device->stage_bytes = bytes;
        result = alloc_hosts(device);
    }
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemHostAlloc");
    for (int i = 0; i < ISO_CUDA_STAGES; i++) {
        result = device->api->cuEventCreate(&device->stages[i].event, CU_EVENT_DISABLE_TIMING);
        if (result != CUDA_SUCCESS) {
            device->stages[i].event = NULL;
            return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuEventCreate");
        }
    }
    return ISO_OK;
}

void iso_cuda_stages_destroy(iso_cuda_device *device)
{
    for (int i = 0; i < ISO_CUDA_STAGES; i++) {
        if (device->stages[i].event != NULL)
            (void)device->api->cuEventDestroy(device->stages[i].event);
        device->stages[i].event = NULL;
    }
    free_hosts(device);
}

static iso_cuda_stage *next_stage(iso_cuda_device *device)
{
    iso_cuda_stage *stage = &device->stages[device->next_stage];
    device->next_stage = (device->next_stage + 1) % ISO_CUDA_STAGES;
    return stage;
}

// After it the host may touch the stage's memory.
static iso_status wait_for_stage(iso_cuda_device *device, iso_cuda_stage *stage)
{
    if (!stage->busy)
        return ISO_OK;
    CUresult result = device->api->cuEventSynchronize(stage->event);
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_DEVICE_LOST, device->name, "cuEventSynchronize");
    stage->busy = false;
    return ISO_OK;
}

// Marks the stage as used by the transfer that was queued just now. Without its event nobody could know when
// the host may touch it again, so a failure is waited out at once.
static iso_status mark_stage(iso_cuda_device *device, iso_cuda_stage *stage)
{
    device->queued++;
    CUresult result = device->api->cuEventRecord(stage->event, device->stream);
    stage->busy = result == CUDA_SUCCESS;
    if (result == CUDA_SUCCESS)
        return ISO_OK;
    iso_cuda_drain_to_release(device);
    return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuEventRecord");
}

// ---- buffers ----

static iso_status fail_alloc(iso_cuda_device *device, CUresult result, uint64_t bytes, const char *call)
{
    size_t free_bytes = 0, total_bytes = 0;
    (void)iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, call);
    if (result == CUDA_ERROR_OUT_OF_MEMORY &&
        device->api->cuMemGetInfo(&free_bytes, &total_bytes) == CUDA_SUCCESS)
        return iso_status_prefix("allocation of %" PRIu64 " bytes, with %zu of %zu bytes free", bytes,
                                 free_bytes, total_bytes);
    return iso_status_prefix("allocation of %" PRIu64 " bytes", bytes);
}

// What was freed counts as held until the host has seen the stream pass it, and the pool gives it back to the
// device, for a block of another size, only when asked.
static CUresult alloc_from_pool(iso_cuda_device *device, size_t bytes, CUdeviceptr *out_address)
{
    const iso_cuda_api *api = device->api;
    CUresult result = api->cuMemAllocFromPoolAsync(out_address, bytes, device->pool, device->stream);
    if (result == CUDA_ERROR_OUT_OF_MEMORY && iso_cuda_drain(device, device->name) == ISO_OK &&
        api->cuMemPoolTrimTo(device->pool, 0) == CUDA_SUCCESS)
        result = api->cuMemAllocFromPoolAsync(out_address, bytes, device->pool, device->stream);
    if (result == CUDA_SUCCESS)
        device->queued++;
    return result;
}

iso_status iso_cuda_alloc(void *device_, uint64_t bytes, iso_memory *out_memory)
{
    iso_cuda_device *device = device_;
    *out_memory = (iso_memory){0};
    ISO_TRY(iso_cuda_enter(device));
    const size_t rounded = (size_t)(bytes + TAIL_BYTES - 1) / TAIL_BYTES * TAIL_BYTES;
    CUdeviceptr address = 0;
    iso_status status = ISO_OK;
    CUresult result = device->pool != NULL ? alloc_from_pool(device, rounded, &address)
                                           : device->api->cuMemAlloc(&address, rounded);
    if (result == CUDA_SUCCESS) {
        out_memory->bytes = bytes;
        out_memory->address = address;
    } else {
        status = fail_alloc(device, result, bytes,
                            device->pool != NULL ? "cuMemAllocFromPoolAsync" : "cuMemAlloc");
    }
    iso_cuda_leave(device);
    return status;
}

void iso_cuda_free(void *device_, iso_memory *memory)
{
    iso_cuda_device *device = device_;
    if (memory == NULL || memory->address == 0)
        return;
    bool entered = iso_cuda_enter_to_release(device);
    if (device->pool != NULL) {
        (void)device->api->cuMemFreeAsync(memory->address, device->stream);
        device->queued++;
    } else {
        iso_cuda_drain_to_release(device);
        (void)device->api->cuMemFree(memory->address);
    }
    if (entered)
        iso_cuda_leave(device);
    *memory = (iso_memory){0};
}

// ---- transfers ----

static iso_status write_piece(iso_cuda_device *device, CUdeviceptr target, const void *source, size_t bytes)
{
    iso_cuda_stage *stage = next_stage(device);
    ISO_TRY(wait_for_stage(device, stage));
    memcpy(stage->host, source, bytes);
    CUresult result = device->api->cuMemcpyHtoDAsync(target, stage->host, bytes, device->stream);
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemcpyHtoDAsync");
    return mark_stage(device, stage);
}

iso_status iso_cuda_write(void *device_, iso_memory *memory, uint64_t offset_bytes, const void *source,
                          uint64_t bytes)
{
    iso_cuda_device *device = device_;
    iso_status status = ISO_OK;
    ISO_TRY(iso_cuda_enter(device));
    for (uint64_t at = 0; at < bytes && status == ISO_OK;) {
        const uint64_t left = bytes - at;
        const size_t piece = left < device->stage_bytes ? (size_t)left : device->stage_bytes;
        status = write_piece(device, memory->address + offset_bytes + at, (const char *)source + at, piece);
        at += piece;
    }
    iso_cuda_leave(device);
    return status;
}

// A piece of a read on its way: in which stage, and where the host wants it.
typedef struct read_piece {
    iso_cuda_stage *stage; // NULL: none
    char *target;
    size_t bytes;
} read_piece;

static iso_status start_read(iso_cuda_device *device, CUdeviceptr source, read_piece *piece)
{
    // No wait: the stream puts this copy after the one that used the stage before.
    piece->stage = next_stage(device);
    CUresult result =
        device->api->cuMemcpyDtoHAsync(piece->stage->host, source, piece->bytes, device->stream);
    if (result != CUDA_SUCCESS) {
        piece->stage = NULL;
        return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemcpyDtoHAsync");
    }
    return mark_stage(device, piece->stage);
}

static iso_status end_read(iso_cuda_device *device, const read_piece *piece)
{
    if (piece->stage == NULL)
        return ISO_OK;
    ISO_TRY(wait_for_stage(device, piece->stage));
    memcpy(piece->target, piece->stage->host, piece->bytes);
    return ISO_OK;
}

static iso_status read_pieces(iso_cuda_device *device, CUdeviceptr source, char *target, uint64_t bytes)
{
    read_piece before = {0};
    for (uint64_t at = 0; at < bytes;) {
        const uint64_t left = bytes - at;
        read_piece piece = {
            .target = target + at,
            .bytes = left < device->stage_bytes ? (size_t)left : device->stage_bytes,
        };
        ISO_TRY(start_read(device, source + at, &piece));
        ISO_TRY(end_read(device, &before));
        before = piece;
        at += piece.bytes;
    }
    ISO_TRY(end_read(device, &before));
    device->done = device->queued;
    return ISO_OK;
}

iso_status iso_cuda_read(void *device_, const iso_memory *memory, uint64_t offset_bytes, void *target,
                         uint64_t bytes)
{
    iso_cuda_device *device = device_;
    if (bytes == 0)
        return ISO_OK;
    ISO_TRY(iso_cuda_enter(device));
    iso_status status = read_pieces(device, memory->address + offset_bytes, target, bytes);
    iso_cuda_leave(device);
    return status;
}

iso_status iso_cuda_fill(void *device_, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                         uint32_t pattern)
{
    iso_cuda_device *device = device_;
    if (bytes == 0)
        return ISO_OK;
    ISO_TRY(iso_cuda_enter(device));
    iso_status status = ISO_OK;
    CUresult result = device->api->cuMemsetD32Async(memory->address + offset_bytes, pattern,
                                                    (size_t)(bytes / sizeof pattern), device->stream);
    if (result == CUDA_SUCCESS)
        device->queued++;
    else
        status = iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemsetD32Async");
    iso_cuda_leave(device);
    return status;
}
