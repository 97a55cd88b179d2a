// SPDX-License-Identifier: MIT
//
// One device: its context, its stream, its pool, and waiting. The context is the device's primary one, which
// all parts of a process share that use the runtime API (PyTorch among them): their buffers and ours are in
// one address space, kernels of both may run side by side, and the several hundred megabytes of a context
// exist once. The stream and the pool are our own, so that nothing of ours waits for the default stream, or
// changes how the default pool keeps its memory.
//
// Every call of the table pushes the context and pops it again: both only touch the thread's own stack of
// contexts, and a host program finds its own context current as it left it.
#include <stdint.h>

#include "backends/cuda/cuda.h"

// ---- the current context ----

iso_status iso_cuda_enter(iso_cuda_device *device)
{
    ISO_TRY(iso_cuda_check_alive(device));
    CUresult result = device->api->cuCtxPushCurrent(device->context);
    return result == CUDA_SUCCESS
               ? ISO_OK
               : iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuCtxPushCurrent");
}

bool iso_cuda_enter_to_release(iso_cuda_device *device)
{
    // A second try, because what is not released now never is: its owner is gone after this call.
    CUresult result = device->api->cuCtxPushCurrent(device->context);
    if (result != CUDA_SUCCESS)
        result = device->api->cuCtxPushCurrent(device->context);
    if (result != CUDA_SUCCESS)
        (void)iso_cuda_lose(device, result, device->name, "cuCtxPushCurrent");
    return result == CUDA_SUCCESS;
}

void iso_cuda_leave(iso_cuda_device *device)
{
    CUcontext popped = NULL;
    CUresult result = device->api->cuCtxPopCurrent(&popped);
    if (result != CUDA_SUCCESS)
        (void)iso_cuda_lose(device, result, device->name, "cuCtxPopCurrent");
}

// ---- waiting ----

iso_status iso_cuda_drain(iso_cuda_device *device, const char *subject)
{
    if (device->done == device->queued)
        return ISO_OK;
    CUresult result = device->api->cuStreamSynchronize(device->stream);
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_DEVICE_LOST, subject, "cuStreamSynchronize");
    device->done = device->queued;
    return ISO_OK;
}

void iso_cuda_drain_to_release(iso_cuda_device *device)
{
    if (device->done == device->queued)
        return;
    // Also where the device is lost: if its context is sound, what is queued still uses what is about to go;
    // if it is not, the answer comes at once. A second try for the same reason.
    CUresult result = device->api->cuStreamSynchronize(device->stream);
    if (result != CUDA_SUCCESS)
        result = device->api->cuStreamSynchronize(device->stream);
    if (result == CUDA_SUCCESS)
        device->done = device->queued;
    else
        (void)iso_cuda_lose(device, result, device->name, "cuStreamSynchronize");
}

iso_status iso_cuda_wait(void *device_)
{
    iso_cuda_device *device = device_;
    ISO_TRY(iso_cuda_enter(device));
    iso_status status = iso_cuda_drain(device, device->name);
    iso_cuda_leave(device);
    return status;
}

// ---- open and close ----

static iso_status create_pool(iso_cuda_device *device)
{
    const CUmemPoolProps props = {
        .allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, device->entry->device},
    };
    CUresult result = device->api->cuMemPoolCreate(&device->pool, &props);
    if (result != CUDA_SUCCESS) {
        device->pool = NULL;
        return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemPoolCreate");
    }
    // Freed memory stays with the pool until the device is closed, and each wait would give it back
    // otherwise.
    uint64_t threshold = UINT64_MAX;
    result = device->api->cuMemPoolSetAttribute(device->pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
    return result == CUDA_SUCCESS
               ? ISO_OK
               : iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuMemPoolSetAttribute");
}

static iso_status create_queue(iso_cuda_device *device)
{
    CUresult result = device->api->cuStreamCreate(&device->stream, CU_STREAM_NON_BLOCKING);
    if (result != CUDA_SUCCESS) {
        device->stream = NULL;
        return iso_cuda_device_fail(device, result, ISO_INTERNAL, device->name, "cuStreamCreate");
    }
    if (device->entry->has_pools)
        ISO_TRY(create_pool(device));
    return iso_cuda_stages_create(device);
}

iso_status iso_cuda_open_device(void *driver_, uint32_t ordinal, const iso_device_options *options,
                                void **out_device)
{
    iso_cuda_driver *driver = driver_;
    const iso_cuda_entry *entry = NULL;
    *out_device = NULL;
    ISO_TRY(iso_cuda_find_entry(driver, ordinal, &entry));
    if (!entry->info.available)
        return iso_fail(ISO_UNAVAILABLE, "%s cannot be used: %s", entry->info.name, entry->info.reason);

    iso_cuda_device *device = NULL;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->api = &driver->api;
    device->entry = entry;
    device->nvrtc = &driver->nvrtc;
    device->name = entry->info.name;
    device->profile = options->profile;
    CUresult result = driver->api.cuDevicePrimaryCtxRetain(&device->context, entry->device);
    if (result != CUDA_SUCCESS) {
        device->context = NULL;
        status = iso_cuda_fail(result, ISO_UNAVAILABLE, device->name, "cuDevicePrimaryCtxRetain");
        goto fail;
    }
    ISO_TRY_GOTO(iso_cuda_enter(device), fail);
    status = create_queue(device);
    iso_cuda_leave(device);
    if (status == ISO_OK)
        status = iso_cuda_check_alive(device);
    if (status != ISO_OK)
        goto fail;
    *out_device = device;
    return ISO_OK;
fail:
    iso_cuda_close_device(device);
    return status;
}

// Accepts NULL and half-made devices.
void iso_cuda_close_device(void *device_)
{
    iso_cuda_device *device = device_;
    if (device == NULL)
        return;
    const iso_cuda_api *api = device->api;
    if (device->context != NULL) {
        bool entered = iso_cuda_enter_to_release(device);
        iso_cuda_drain_to_release(device);
        iso_cuda_stages_destroy(device);
        if (device->stream != NULL)
            (void)api->cuStreamDestroy(device->stream);
        if (device->pool != NULL)
            (void)api->cuMemPoolDestroy(device->pool);
        if (entered)
            iso_cuda_leave(device);
        (void)api->cuDevicePrimaryCtxRelease(device->entry->device);
    }
    iso_free(device->allocator, device);
}
