// SPDX-License-Identifier: MIT
//
// Command lists: one CUgraph each. Dispatches between two barriers are nodes that do not depend on each
// other; a barrier makes what follows depend on all of them, through an empty node where there are several,
// so that the number of edges grows with the nodes and not with their square. Sizes, parameters and addresses
// are fixed when they are recorded: what changes from step to step is in buffers. Submitting is cuGraphLaunch
// and nothing else. The same list may be submitted again while it runs: the stream puts one launch after the
// other.
//
// With options.profile the nodes are a chain, with an event between each two: kernels do not overlap then,
// and what passes between two events is one kernel with what starts and ends it.
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"

struct iso_cuda_list {
    iso_cuda_device *device;
    CUgraph graph; // until it is finished
    CUgraphExec exec;
    CUgraphNode joint; // what every new node comes after, or NULL
    CUgraphNode *span; // since the joint
    size_t span_count, span_capacity;
    CUevent *events; // one before the first dispatch and one after each, when the device profiles
    size_t event_count, event_capacity;
    uint32_t dispatch_count;
    const char *first_label, *last_label;
    uint64_t last_run; // the device's `queued` after its latest submission; 0: never submitted
};

void iso_cuda_list_describe(const iso_cuda_list *list, char *out_text, size_t text_bytes)
{
    if (list == NULL)
        snprintf(out_text, text_bytes, "no list");
    else if (list->dispatch_count == 0)
        snprintf(out_text, text_bytes, "an empty list");
    else
        snprintf(out_text, text_bytes, "a list of %u dispatches from '%.80s' to '%.80s'",
                 list->dispatch_count, list->first_label, list->last_label);
}

static iso_status fail(iso_cuda_list *list, CUresult result, const char *subject, const char *call)
{
    return iso_cuda_device_fail(list->device, result, ISO_INTERNAL, subject, call);
}

iso_status iso_cuda_list_create(void *device_, void **out_list)
{
    iso_cuda_device *device = device_;
    iso_cuda_list *list = NULL;
    *out_list = NULL;
    ISO_TRY(iso_cuda_check_alive(device));
    ISO_TRY(ISO_NEW(device->allocator, 1, &list));
    list->device = device;
    iso_status status = iso_cuda_enter(device);
    if (status == ISO_OK) {
        CUresult result = device->api->cuGraphCreate(&list->graph, 0);
        if (result != CUDA_SUCCESS) {
            list->graph = NULL;
            status = fail(list, result, device->name, "cuGraphCreate");
        }
        iso_cuda_leave(device);
    }
    if (status != ISO_OK) {
        iso_cuda_list_destroy(list);
        return status;
    }
    *out_list = list;
    return ISO_OK;
}

// ---- nodes ----

// An event and the node that records it after the joint; it is the new joint.
static iso_status add_event(iso_cuda_list *list, const char *label)
{
    const iso_cuda_api *api = list->device->api;
    CUevent event = NULL;
    ISO_TRY(iso_grow(list->device->allocator, sizeof list->events[0], list->event_count + 1,
                     (void **)&list->events, &list->event_capacity));
    CUresult result = api->cuEventCreate(&event, CU_EVENT_DEFAULT);
    if (result != CUDA_SUCCESS)
        return fail(list, result, label, "cuEventCreate");
    list->events[list->event_count++] = event;
    CUgraphNode node = NULL;
    result =
        api->cuGraphAddEventRecordNode(&node, list->graph, &list->joint, list->joint != NULL ? 1 : 0, event);
    if (result != CUDA_SUCCESS)
        return fail(list, result, label, "cuGraphAddEventRecordNode");
    list->joint = node;
    return ISO_OK;
}

static CUresult add_kernel(iso_cuda_list *list, const iso_cuda_module *module, const iso_dispatch *dispatch,
                           CUgraphNode *out_node)
{
    CUdeviceptr addresses[ISO_MAX_KERNEL_ARGS];
    void *values[ISO_MAX_KERNEL_ARGS];
    // The driver takes as many as the kernel has. Where it cannot say how many (before 12.4), a kernel that
    // has more than was declared finds zeros.
    uint64_t zero = 0;
    for (uint32_t i = 0; i < ISO_MAX_KERNEL_ARGS; i++)
        values[i] = &zero;
    for (uint32_t i = 0; i < dispatch->arg_count; i++) {
        const iso_arg *arg = &dispatch->args[i];
        values[i] = (void *)(uintptr_t)&arg->value; // u32 and f32 share their place and their size
        if (arg->kind == ISO_ARG_BUFFER) {
            addresses[i] = arg->memory->address + arg->offset_bytes;
            values[i] = &addresses[i];
        }
    }
    const CUDA_KERNEL_NODE_PARAMS params = {
        .func = module->function,
        .gridDimX = dispatch->groups[0],
        .gridDimY = dispatch->groups[1],
        .gridDimZ = dispatch->groups[2],
        .blockDimX = module->group_size,
        .blockDimY = 1,
        .blockDimZ = 1,
        .kernelParams = values,
    };
    return list->device->api->cuGraphAddKernelNode(out_node, list->graph, &list->joint,
                                                   list->joint != NULL ? 1 : 0, &params);
}

static iso_status check_groups(const iso_cuda_device *device, const iso_dispatch *dispatch)
{
    for (int i = 0; i < 3; i++) {
        const uint32_t most = device->entry->info.max_groups[i], wanted = dispatch->groups[i];
        const char axis = "xyz"[i];
        if (wanted == 0 || wanted > most)
            return iso_fail(ISO_UNSUPPORTED, "%s allows 1 to %u groups along %c, %s wants %u", device->name,
                            most, axis, dispatch->label, wanted);
    }
    return ISO_OK;
}

static iso_status record(iso_cuda_list *list, const iso_cuda_module *module, const iso_dispatch *dispatch)
{
    iso_cuda_device *device = list->device;
    if (device->profile && list->event_count == 0)
        ISO_TRY(add_event(list, dispatch->label));
    ISO_TRY(iso_grow(device->allocator, sizeof list->span[0], list->span_count + 1, (void **)&list->span,
                     &list->span_capacity));
    CUgraphNode node = NULL;
    CUresult result = add_kernel(list, module, dispatch, &node);
    if (result != CUDA_SUCCESS)
        return fail(list, result, dispatch->label, "cuGraphAddKernelNode");
    if (device->profile) {
        list->joint = node;
        ISO_TRY(add_event(list, dispatch->label));
    } else {
        list->span[list->span_count++] = node;
    }
    if (list->dispatch_count++ == 0)
        list->first_label = dispatch->label;
    list->last_label = dispatch->label;
    return ISO_OK;
}

// ---- recording ----

iso_status iso_cuda_list_dispatch(void *list_, void *module, const iso_dispatch *dispatch)
{
    iso_cuda_list *list = list_;
    ISO_TRY(check_groups(list->device, dispatch));
    ISO_TRY(iso_cuda_enter(list->device));
    iso_status status = record(list, module, dispatch);
    iso_cuda_leave(list->device);
    return status;
}

iso_status iso_cuda_list_barrier(void *list_)
{
    iso_cuda_list *list = list_;
    if (list->span_count <= 1) {
        list->joint = list->span_count == 1 ? list->span[0] : list->joint;
        list->span_count = 0;
        return ISO_OK;
    }
    ISO_TRY(iso_cuda_enter(list->device));
    CUgraphNode joint = NULL;
    CUresult result =
        list->device->api->cuGraphAddEmptyNode(&joint, list->graph, list->span, list->span_count);
    iso_status status = ISO_OK;
    if (result == CUDA_SUCCESS) {
        list->joint = joint;
        list->span_count = 0;
    } else {
        status = fail(list, result, list->last_label, "cuGraphAddEmptyNode");
    }
    iso_cuda_leave(list->device);
    return status;
}

static iso_status instantiate(iso_cuda_list *list)
{
    const iso_cuda_api *api = list->device->api;
    char work[256];
    iso_cuda_list_describe(list, work, sizeof work);
    CUresult result = api->cuGraphInstantiateWithFlags(&list->exec, list->graph, 0);
    if (result != CUDA_SUCCESS) {
        list->exec = NULL;
        return fail(list, result, work, "cuGraphInstantiateWithFlags");
    }
    // What the device needs of the graph goes there now, and not with the first launch.
    result = api->cuGraphUpload(list->exec, list->device->stream);
    if (result != CUDA_SUCCESS)
        return fail(list, result, work, "cuGraphUpload");
    list->device->queued++;
    result = api->cuGraphDestroy(list->graph);
    list->graph = NULL;
    return result == CUDA_SUCCESS ? ISO_OK : fail(list, result, work, "cuGraphDestroy");
}

iso_status iso_cuda_list_finish(void *list_)
{
    iso_cuda_list *list = list_;
    if (list->dispatch_count == 0)
        return iso_cuda_check_alive(list->device); // nothing to launch
    ISO_TRY(iso_cuda_enter(list->device));
    iso_status status = instantiate(list);
    iso_cuda_leave(list->device);
    return status;
}

// ---- the end ----

void iso_cuda_list_destroy(void *list_)
{
    iso_cuda_list *list = list_;
    if (list == NULL)
        return;
    iso_cuda_device *device = list->device;
    const iso_cuda_api *api = device->api;
    if (list->graph != NULL || list->exec != NULL || list->event_count > 0) {
        bool entered = iso_cuda_enter_to_release(device);
        if (list->last_run > device->done)
            iso_cuda_drain_to_release(device);
        if (list->exec != NULL)
            (void)api->cuGraphExecDestroy(list->exec);
        if (list->graph != NULL)
            (void)api->cuGraphDestroy(list->graph);
        for (size_t i = 0; i < list->event_count; i++)
            (void)api->cuEventDestroy(list->events[i]);
        if (entered)
            iso_cuda_leave(device);
    }
    if (device->latest == list)
        device->latest = NULL;
    iso_free(device->allocator, list->events);
    iso_free(device->allocator, list->span);
    iso_free(device->allocator, list);
}

// ---- running ----

iso_status iso_cuda_submit(void *device_, void *list_)
{
    iso_cuda_device *device = device_;
    iso_cuda_list *list = list_;
    ISO_TRY(iso_cuda_enter(device));
    iso_status status = ISO_OK;
    CUresult result =
        list->exec != NULL ? device->api->cuGraphLaunch(list->exec, device->stream) : CUDA_SUCCESS;
    if (result == CUDA_SUCCESS) {
        list->last_run = ++device->queued;
        device->latest = list;
    } else {
        char work[256];
        iso_cuda_list_describe(list, work, sizeof work);
        status = fail(list, result, work, "cuGraphLaunch");
    }
    iso_cuda_leave(device);
    return status;
}

static iso_status read_times(iso_cuda_list *list, uint64_t *out_ns, uint32_t room)
{
    for (uint32_t i = 0; i < list->dispatch_count && i < room; i++) {
        float milliseconds = 0;
        CUresult result =
            list->device->api->cuEventElapsedTime(&milliseconds, list->events[i], list->events[i + 1]);
        if (result != CUDA_SUCCESS) {
            char subject[64];
            snprintf(subject, sizeof subject, "dispatch %u", i);
            return fail(list, result, subject, "cuEventElapsedTime");
        }
        out_ns[i] = milliseconds > 0 ? (uint64_t)((double)milliseconds * 1e6) : 0;
    }
    return ISO_OK;
}

iso_status iso_cuda_times(void *list_, uint64_t *out_ns, uint32_t *inout_count)
{
    iso_cuda_list *list = list_;
    iso_cuda_device *device = list->device;
    const uint32_t room = *inout_count;
    *inout_count = 0;
    if (!device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT, "times: the device was opened without options.profile");
    if (list->last_run == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "times: the list was never submitted");
    ISO_TRY(iso_cuda_enter(device));
    iso_status status = iso_cuda_drain(device, device->name);
    if (status == ISO_OK)
        status = read_times(list, out_ns, room);
    iso_cuda_leave(device);
    if (status == ISO_OK)
        *inout_count = list->dispatch_count;
    return status;
}
