// SPDX-License-Identifier: MIT
//
// Modules and command lists: a thin layer that keeps the order of calls right (record, finish, submit) and
// puts names into failures. What a command does, and how a list is replayed, is the backend's.
#include <string.h>

#include "runtime/device/device_internal.h"

// ---- module ----

static const char *const format_names[ISO_CODE_FORMAT_COUNT] = {
    [ISO_CODE_NONE] = "none",
    [ISO_CODE_NATIVE] = "native",
    [ISO_CODE_SPIRV] = "SPIR-V",
    [ISO_CODE_OPENCL_C] = "OpenCL C",
    [ISO_CODE_PTX] = "PTX",
    [ISO_CODE_CUBIN] = "cubin",
    [ISO_CODE_HSACO] = "HSA code object",
    [ISO_CODE_CUDA_C] = "CUDA C++",
};

static iso_status check_format(const iso_device *device, const iso_module_source *source)
{
    const iso_device_info *info = iso_device_get_info(device);
    for (uint32_t i = 0; i < ISO_MAX_CODE_FORMATS && info->code_formats[i] != ISO_CODE_NONE; i++)
        if (info->code_formats[i] == source->format)
            return ISO_OK;
    bool known = (unsigned)source->format < ISO_CODE_FORMAT_COUNT;
    return iso_fail(ISO_UNSUPPORTED, "kernel %s: device %s takes no %s code", source->name,
                    iso_device_name(device), known ? format_names[source->format] : "unknown");
}

iso_status iso_module_create(iso_device *device, const iso_module_source *source, iso_module **out_module)
{
    *out_module = NULL;
    if (!source->name)
        return iso_fail(ISO_INVALID_ARGUMENT, "device %s: a module source without a name",
                        iso_device_name(device));
    if (source->arg_count > ISO_MAX_KERNEL_ARGS)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s has %u arguments, at most %d are allowed",
                        source->name, source->arg_count, ISO_MAX_KERNEL_ARGS);
    ISO_TRY(check_format(device, source));
    if (device->validate)
        ISO_TRY(iso_validate_module_source(device, source));
    iso_module *module = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &module));
    module->device = device;
    module->name = source->name;
    module->arg_count = source->arg_count;
    memcpy(module->arg_kinds, source->arg_kinds, source->arg_count * sizeof source->arg_kinds[0]);
    if (device->backend->module_create(device->handle, source, &module->handle) != ISO_OK) {
        iso_free(device->allocator, module);
        return iso_status_prefix("kernel %s on device %s", source->name, iso_device_name(device));
    }
    *out_module = module;
    return ISO_OK;
}

void iso_module_destroy(iso_module *module)
{
    if (!module)
        return;
    iso_device *device = module->device;
    device->backend->module_destroy(device->handle, module->handle);
    iso_free(device->allocator, module);
}

// ---- command list ----

static iso_status check_state(const iso_list *list, iso_list_state state, const char *call)
{
    if (list->state == state)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT, "device %s: %s on a list that is %s", iso_device_name(list->device),
                    call, list->state == ISO_LIST_FINISHED ? "finished already" : "not finished yet");
}

iso_status iso_list_create(iso_device *device, iso_list **out_list)
{
    *out_list = NULL;
    iso_list *list = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &list));
    list->device = device;
    if (device->backend->list_create(device->handle, &list->handle) != ISO_OK) {
        iso_free(device->allocator, list);
        return iso_status_prefix("device %s: command list", iso_device_name(device));
    }
    *out_list = list;
    return ISO_OK;
}

iso_status iso_list_dispatch(iso_list *list, iso_module *module, const iso_dispatch *dispatch)
{
    ISO_TRY(check_state(list, ISO_LIST_RECORDING, "dispatch"));
    if (dispatch->arg_count != module->arg_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s takes %u arguments, the dispatch has %u",
                        module->name, module->arg_count, dispatch->arg_count);
    if (list->device->validate)
        ISO_TRY(iso_validate_dispatch(list->device, module, dispatch));
    if (list->device->backend->list_dispatch(list->handle, module->handle, dispatch) != ISO_OK)
        return iso_status_prefix("kernel %s on device %s", module->name, iso_device_name(list->device));
    list->dispatch_count++;
    return ISO_OK;
}

iso_status iso_list_barrier(iso_list *list)
{
    ISO_TRY(check_state(list, ISO_LIST_RECORDING, "barrier"));
    if (list->device->backend->list_barrier(list->handle) != ISO_OK)
        return iso_status_prefix("device %s: barrier", iso_device_name(list->device));
    return ISO_OK;
}

iso_status iso_list_finish(iso_list *list)
{
    ISO_TRY(check_state(list, ISO_LIST_RECORDING, "finish"));
    if (list->device->backend->list_finish(list->handle) != ISO_OK)
        return iso_status_prefix("device %s: finish of a command list", iso_device_name(list->device));
    list->state = ISO_LIST_FINISHED;
    return ISO_OK;
}

iso_status iso_list_submit(iso_list *list)
{
    ISO_TRY(check_state(list, ISO_LIST_FINISHED, "submit"));
    if (list->device->backend->submit(list->device->handle, list->handle) != ISO_OK)
        return iso_status_prefix("device %s: submit", iso_device_name(list->device));
    return ISO_OK;
}

iso_status iso_list_times(iso_list *list, uint64_t *out_ns, uint32_t *inout_count)
{
    ISO_TRY(check_state(list, ISO_LIST_FINISHED, "times"));
    if (*inout_count < list->dispatch_count)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "device %s: room for %u times was given, the list has %u dispatches",
                        iso_device_name(list->device), *inout_count, list->dispatch_count);
    if (list->device->backend->times(list->handle, out_ns, inout_count) != ISO_OK)
        return iso_status_prefix("device %s: times", iso_device_name(list->device));
    return ISO_OK;
}

void iso_list_destroy(iso_list *list)
{
    if (!list)
        return;
    list->device->backend->list_destroy(list->handle);
    iso_free(list->device->allocator, list);
}
