// SPDX-License-Identifier: MIT
//
// The OpenCL backend's table, opening and closing a device, waiting, and the mapping of OpenCL's error codes.
// Each device has a context and one in-order queue of its own, so devices never share state and a barrier in
// a list costs nothing. Must not know ops or models.
#include "backends/opencl/opencl.h"

// ---- errors ----

static const struct {
    cl_int code;
    iso_status status;
    const char *name;
} errors[] = {
#define ISO_CL_ERROR(code, status) {code, status, #code},
#include "backends/opencl/errors.def"
#undef ISO_CL_ERROR
};

#define ERROR_COUNT (sizeof errors / sizeof errors[0])

const char *iso_opencl_error_name(cl_int error)
{
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == error)
            return errors[i].name;
    return "unknown error";
}

iso_status iso_opencl_status(cl_int error, const char *file, int line, const char *subject, const char *call)
{
    iso_status status = ISO_INTERNAL;
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == error)
            status = errors[i].status;
    return iso_status_set(status, file, line, "%s: %s failed: %s (%d)", subject, call,
                          iso_opencl_error_name(error), (int)error);
}

// ---- device ----

static iso_status device_info(void *driver_, uint32_t ordinal, iso_device_info *out_info)
{
    const iso_opencl_driver *driver = driver_;
    if (ordinal >= driver->entry_count)
        return iso_fail(ISO_NOT_FOUND, "opencl:%u: there are %zu OpenCL devices, from 0 on", ordinal,
                        driver->entry_count);
    size_t struct_bytes = out_info->struct_bytes;
    *out_info = driver->entries[ordinal].info;
    out_info->struct_bytes = struct_bytes;
    return ISO_OK;
}

static void close_device(void *device_)
{
    iso_opencl_device *device = device_;
    if (device == NULL)
        return;
    const iso_opencl_api *api = device->api;
    if (device->queue != NULL) {
        // Drivers with a thread of their own for the queue must see it empty before it goes.
        (void)api->clFinish(device->queue);
        if (device->tail != NULL)
            (void)api->clReleaseEvent(device->tail);
        (void)api->clReleaseCommandQueue(device->queue);
    }
    if (device->context != NULL)
        (void)api->clReleaseContext(device->context);
    iso_free(device->allocator, device);
}

static iso_status open_device(void *driver_, uint32_t ordinal, const iso_device_options *options,
                              void **out_device)
{
    iso_opencl_driver *driver = driver_;
    iso_opencl_device *device = NULL;
    *out_device = NULL;
    if (ordinal >= driver->entry_count)
        return iso_fail(ISO_NOT_FOUND, "opencl:%u: there are %zu OpenCL devices, from 0 on", ordinal,
                        driver->entry_count);
    const iso_opencl_entry *entry = &driver->entries[ordinal];
    if (!entry->info.available)
        return iso_fail(ISO_UNAVAILABLE, "opencl:%u: %s", ordinal, entry->info.reason);

    iso_status status;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->api = &driver->api;
    device->entry = entry;
    device->profile = options->profile;
    device->name = entry->info.name;

    cl_int error = CL_SUCCESS;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)entry->platform,
                                                0};
    device->context = driver->api.clCreateContext(properties, 1, &entry->device, NULL, NULL, &error);
    if (error != CL_SUCCESS) {
        status = iso_opencl_fail(error, device->name, "clCreateContext");
        goto fail;
    }
    device->queue = driver->api.clCreateCommandQueue(device->context, entry->device,
                                                     device->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &error);
    if (error != CL_SUCCESS) {
        status = iso_opencl_fail(error, device->name, "clCreateCommandQueue");
        goto fail;
    }
    *out_device = device;
    return ISO_OK;
fail:
    close_device(device);
    return status;
}

// ---- waiting ----

iso_status iso_opencl_check_tail(iso_opencl_device *device)
{
    if (device->tail == NULL)
        return ISO_OK;
    const iso_opencl_api *api = device->api;
    cl_int state = CL_COMPLETE;
    cl_int error =
        api->clGetEventInfo(device->tail, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    (void)api->clReleaseEvent(device->tail);
    device->tail = NULL;
    device->tail_list = NULL;
    if (error == CL_SUCCESS && state < 0)
        error = state;
    if (error == CL_SUCCESS)
        return ISO_OK;
    return iso_opencl_fail(error, device->tail_label, "the run of the kernel");
}

static iso_status wait_idle(void *device_)
{
    iso_opencl_device *device = device_;
    cl_int error = device->api->clFinish(device->queue);
    iso_status status = iso_opencl_check_tail(device);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, device->name, "clFinish");
    return status;
}

// ---- table ----

const iso_backend iso_opencl_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "opencl",
    .load = iso_opencl_load,
    .unload = iso_opencl_unload,
    .device_info = device_info,
    .open_device = open_device,
    .close_device = close_device,
    .alloc = iso_opencl_alloc,
    .free = iso_opencl_free,
    .write = iso_opencl_write,
    .read = iso_opencl_read,
    .fill = iso_opencl_fill,
    .module_create = iso_opencl_module_create,
    .module_destroy = iso_opencl_module_destroy,
    .list_create = iso_opencl_list_create,
    .list_dispatch = iso_opencl_list_dispatch,
    .list_barrier = iso_opencl_list_barrier,
    .list_finish = iso_opencl_list_finish,
    .list_destroy = iso_opencl_list_destroy,
    .submit = iso_opencl_submit,
    .wait = wait_idle,
    .times = iso_opencl_times,
};
