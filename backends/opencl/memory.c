// SPDX-License-Identifier: MIT
//
// OpenCL buffers: one cl_mem each. Copies to and from the host block; all of them go through the device's one
// in-order queue and so are ordered with submitted lists. Must not know what the bytes mean.
#include "backends/opencl/opencl.h"

#include <inttypes.h>

iso_status iso_opencl_alloc(void *device_, uint64_t bytes, iso_memory *out_memory)
{
    iso_opencl_device *device = device_;
    const iso_opencl_api *api = device->api;
    *out_memory = (iso_memory){0};

    cl_int error = CL_SUCCESS;
    const char *call = "clCreateBuffer";
    // Where device and host share memory, host memory is what a buffer is in any case, and it is allocated at
    // once: PoCL 3.1 aborts the process when an allocation that it has put off fails.
    cl_mem_flags flags = CL_MEM_READ_WRITE | (device->entry->unified_memory ? CL_MEM_ALLOC_HOST_PTR : 0);
    cl_mem memory = api->clCreateBuffer(device->context, flags, (size_t)bytes, NULL, &error);
    if (error == CL_SUCCESS) {
        // Drivers may put the real allocation off until first use: use the last bytes, to fail here and not
        // later.
        const uint32_t zero = 0;
        size_t touched = bytes < sizeof zero ? (size_t)bytes : sizeof zero;
        call = "first write to the buffer";
        error = api->clEnqueueWriteBuffer(device->queue, memory, CL_TRUE, (size_t)bytes - touched, touched,
                                          &zero, 0, NULL, NULL);
    }
    if (error != CL_SUCCESS) {
        if (memory != NULL)
            (void)api->clReleaseMemObject(memory);
        (void)iso_opencl_fail(error, device->name, call);
        return iso_status_prefix("allocation of %" PRIu64 " bytes", bytes);
    }
    out_memory->bytes = bytes;
    out_memory->handle = memory;
    return ISO_OK;
}

void iso_opencl_free(void *device_, iso_memory *memory)
{
    iso_opencl_device *device = device_;
    if (memory == NULL || memory->handle == NULL)
        return;
    (void)device->api->clReleaseMemObject(memory->handle);
    *memory = (iso_memory){0};
}

iso_status iso_opencl_write(void *device_, iso_memory *memory, uint64_t offset_bytes, const void *source,
                            uint64_t bytes)
{
    iso_opencl_device *device = device_;
    if (bytes == 0)
        return ISO_OK;
    cl_int error = device->api->clEnqueueWriteBuffer(
        device->queue, memory->handle, CL_TRUE, (size_t)offset_bytes, (size_t)bytes, source, 0, NULL, NULL);
    return error == CL_SUCCESS ? ISO_OK : iso_opencl_fail(error, device->name, "clEnqueueWriteBuffer");
}

iso_status iso_opencl_read(void *device_, const iso_memory *memory, uint64_t offset_bytes, void *target,
                           uint64_t bytes)
{
    iso_opencl_device *device = device_;
    if (bytes == 0)
        return ISO_OK;
    cl_int error = device->api->clEnqueueReadBuffer(
        device->queue, memory->handle, CL_TRUE, (size_t)offset_bytes, (size_t)bytes, target, 0, NULL, NULL);
    // The queue is in order: a finished read means that the lists before it have finished, or failed.
    iso_status status = iso_opencl_check_tail(device);
    return error == CL_SUCCESS ? status : iso_opencl_fail(error, device->name, "clEnqueueReadBuffer");
}

iso_status iso_opencl_fill(void *device_, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                           uint32_t pattern)
{
    iso_opencl_device *device = device_;
    if (bytes == 0)
        return ISO_OK;
    // The pattern is copied by the call: nothing of the host's is in use afterwards.
    cl_int error = device->api->clEnqueueFillBuffer(device->queue, memory->handle, &pattern, sizeof pattern,
                                                    (size_t)offset_bytes, (size_t)bytes, 0, NULL, NULL);
    return error == CL_SUCCESS ? ISO_OK : iso_opencl_fail(error, device->name, "clEnqueueFillBuffer");
}
