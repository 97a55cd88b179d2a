// SPDX-License-Identifier: MIT
//
// Command lists: a table of kernel objects whose arguments were set when they were recorded, enqueued one
// after the other when the list is submitted. The queue is in order, which makes every command a barrier.
// Nothing is allocated, looked up or chosen here when a list is replayed. Must not know what the kernels
// compute.
//
// OpenCL 1.2 has no pointer arithmetic on the host: an argument at an offset is a sub-buffer. A list makes
// each one once, however many dispatches use it.
#include "backends/opencl/opencl.h"

typedef struct command {
    cl_kernel kernel;
    const char *label;
    size_t global[3];
    size_t local[3];
} command;

typedef struct sub_buffer {
    cl_mem parent;
    cl_buffer_region region;
    cl_mem memory;
} sub_buffer;

typedef struct iso_opencl_list {
    iso_opencl_device *device;
    command *commands;
    size_t command_count, command_capacity;
    sub_buffer *sub_buffers;
    size_t sub_buffer_count, sub_buffer_capacity;
    cl_event *events; // [command_count] of the last run, when the device profiles; else NULL
} iso_opencl_list;

// ---- recording ----

iso_status iso_opencl_list_create(void *device, void **out_list)
{
    iso_opencl_list *list = NULL;
    const iso_opencl_device *owner = device;
    *out_list = NULL;
    ISO_TRY(ISO_NEW(owner->allocator, 1, &list));
    list->device = device;
    *out_list = list;
    return ISO_OK;
}

// The buffer or sub-buffer that stands for an argument. The list owns sub-buffers.
static iso_status argument_memory(iso_opencl_list *list, const iso_arg *arg, cl_mem *out_memory)
{
    const iso_opencl_device *device = list->device;
    cl_mem parent = arg->memory->handle;
    *out_memory = parent;
    if (arg->offset_bytes == 0 && arg->range_bytes == arg->memory->bytes)
        return ISO_OK;
    const cl_buffer_region region = {(size_t)arg->offset_bytes, (size_t)arg->range_bytes};
    for (size_t i = 0; i < list->sub_buffer_count; i++) {
        const sub_buffer *sub = &list->sub_buffers[i];
        if (sub->parent == parent && sub->region.origin == region.origin && sub->region.size == region.size) {
            *out_memory = sub->memory;
            return ISO_OK;
        }
    }
    void *grown = list->sub_buffers;
    iso_status status = iso_grow(device->allocator, sizeof *list->sub_buffers, list->sub_buffer_count + 1,
                                 &grown, &list->sub_buffer_capacity);
    list->sub_buffers = grown;
    if (status != ISO_OK)
        return status;
    cl_int error = CL_SUCCESS;
    cl_mem memory = device->api->clCreateSubBuffer(parent, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                                   &region, &error);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, device->name, "clCreateSubBuffer");
    list->sub_buffers[list->sub_buffer_count++] = (sub_buffer){parent, region, memory};
    *out_memory = memory;
    return ISO_OK;
}

static iso_status set_argument(iso_opencl_list *list, cl_kernel kernel, cl_uint index, const iso_arg *arg)
{
    cl_mem memory = NULL;
    const void *value = &arg->value; // u32 and f32 share their place and their size
    size_t bytes = sizeof arg->value;
    if (arg->kind == ISO_ARG_BUFFER) {
        ISO_TRY(argument_memory(list, arg, &memory));
        value = &memory;
        bytes = sizeof memory;
    }
    cl_int error = list->device->api->clSetKernelArg(kernel, index, bytes, value);
    if (error == CL_SUCCESS)
        return ISO_OK;
    (void)iso_opencl_fail(error, list->device->name, "clSetKernelArg");
    return iso_status_prefix("argument %u", index);
}

iso_status iso_opencl_list_dispatch(void *list_, void *module, const iso_dispatch *dispatch)
{
    iso_opencl_list *list = list_;
    const iso_opencl_device *device = list->device;
    cl_kernel kernel = NULL;
    uint32_t group_size = 0;
    iso_status status;

    void *grown = list->commands;
    status = iso_grow(device->allocator, sizeof *list->commands, list->command_count + 1, &grown,
                      &list->command_capacity);
    list->commands = grown;
    if (status != ISO_OK)
        return status;
    ISO_TRY(iso_opencl_module_kernel(device, module, &kernel, &group_size));
    for (uint32_t i = 0; i < dispatch->arg_count; i++)
        ISO_TRY_GOTO(set_argument(list, kernel, i, &dispatch->args[i]), fail);
    list->commands[list->command_count++] = (command){
        .kernel = kernel,
        .label = dispatch->label,
        .global = {(size_t)dispatch->groups[0] * group_size, dispatch->groups[1], dispatch->groups[2]},
        .local = {group_size, 1, 1},
    };
    return ISO_OK;
fail:
    (void)device->api->clReleaseKernel(kernel);
    return status;
}

iso_status iso_opencl_list_barrier(void *list)
{
    (void)list; // the queue is in order
    return ISO_OK;
}

iso_status iso_opencl_list_finish(void *list_)
{
    iso_opencl_list *list = list_;
    if (!list->device->profile)
        return ISO_OK;
    return ISO_NEW(list->device->allocator, list->command_count, &list->events);
}

// ---- replay ----

static void release_events(iso_opencl_list *list)
{
    for (size_t i = 0; list->events != NULL && i < list->command_count; i++) {
        if (list->events[i] != NULL)
            (void)list->device->api->clReleaseEvent(list->events[i]);
        list->events[i] = NULL;
    }
}

iso_status iso_opencl_submit(void *device_, void *list_)
{
    iso_opencl_device *device = device_;
    iso_opencl_list *list = list_;
    const iso_opencl_api *api = device->api;
    cl_event tail = NULL;
    release_events(list);
    for (size_t i = 0; i < list->command_count; i++) {
        const command *at = &list->commands[i];
        bool is_last = i + 1 == list->command_count;
        cl_event *event = list->events != NULL ? &list->events[i] : is_last ? &tail : NULL;
        cl_int error = api->clEnqueueNDRangeKernel(device->queue, at->kernel, 3, NULL, at->global, at->local,
                                                   0, NULL, event);
        if (error != CL_SUCCESS)
            return iso_opencl_fail(error, at->label, "clEnqueueNDRangeKernel");
        if (is_last && list->events != NULL && api->clRetainEvent(*event) == CL_SUCCESS)
            tail = *event;
    }
    if (tail != NULL) {
        // The newest command's event is kept: it tells the next wait or read whether the work ran well.
        if (device->tail != NULL)
            (void)api->clReleaseEvent(device->tail);
        device->tail = tail;
        device->tail_label = list->commands[list->command_count - 1].label;
        device->tail_list = list;
    }
    cl_int error = api->clFlush(device->queue);
    return error == CL_SUCCESS ? ISO_OK : iso_opencl_fail(error, device->name, "clFlush");
}

iso_status iso_opencl_times(void *list_, uint64_t *out_ns, uint32_t *inout_count)
{
    iso_opencl_list *list = list_;
    const iso_opencl_device *device = list->device;
    const iso_opencl_api *api = device->api;
    const uint32_t room = *inout_count;
    *inout_count = (uint32_t)list->command_count;
    if (!device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%s was opened without profiling; set iso_device_options.profile", device->name);
    cl_int error = api->clFinish(device->queue);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, device->name, "clFinish");
    for (size_t i = 0; i < list->command_count && i < room; i++) {
        const char *label = list->commands[i].label;
        cl_ulong start = 0, end = 0;
        if (list->events[i] == NULL)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s: the list was not submitted yet, there are no times",
                            label);
        error = api->clGetEventProfilingInfo(list->events[i], CL_PROFILING_COMMAND_START, sizeof start,
                                             &start, NULL);
        if (error == CL_SUCCESS)
            error = api->clGetEventProfilingInfo(list->events[i], CL_PROFILING_COMMAND_END, sizeof end, &end,
                                                 NULL);
        if (error != CL_SUCCESS)
            return iso_opencl_fail(error, label, "clGetEventProfilingInfo");
        out_ns[i] = end > start ? end - start : 0;
    }
    return ISO_OK;
}

// ---- the end ----

void iso_opencl_list_destroy(void *list_)
{
    iso_opencl_list *list = list_;
    if (list == NULL)
        return;
    iso_opencl_device *device = list->device;
    const iso_opencl_api *api = device->api;
    // Nothing may be in flight when its kernels and sub-buffers go; a failure stays with the tail.
    if (device->tail != NULL)
        (void)api->clFinish(device->queue);
    if (device->tail_list == list) {
        device->tail_list = NULL;
        device->tail_label = "a list that is destroyed";
    }
    release_events(list);
    iso_free(device->allocator, list->events);
    // Kernels before the sub-buffers that are their arguments: not every driver counts those.
    for (size_t i = 0; i < list->command_count; i++)
        (void)api->clReleaseKernel(list->commands[i].kernel);
    for (size_t i = 0; i < list->sub_buffer_count; i++)
        (void)api->clReleaseMemObject(list->sub_buffers[i].memory);
    iso_free(device->allocator, list->commands);
    iso_free(device->allocator, list->sub_buffers);
    iso_free(device->allocator, list);
}
