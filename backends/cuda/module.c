// SPDX-License-Identifier: MIT
//
// Kernels: CUDA C++ text (by NVRTC), PTX text or a CUDA binary becomes a module of the driver, and the
// function in it is checked against what the caller says of it. The driver's compiler of PTX keeps a cache of
// its own on disk. Must not know what a kernel computes.
#include <stdio.h>

#include "backends/cuda/cuda.h"
#include "runtime/base/strings.h"

#define LOG_BYTES 4096

static const char *remedy_of(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
        return "; its PTX is newer than the driver: update the driver";
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
        return "; it has no code for this device";
    default:
        return "";
    }
}

static iso_status load_image(iso_cuda_device *device, const void *image, CUmodule *out_module)
{
    char log[LOG_BYTES] = "", line[400] = "";
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)}; // the driver wants the number as a pointer
    CUresult result = device->api->cuModuleLoadDataEx(out_module, image, 2, options, values);
    if (result == CUDA_SUCCESS)
        return ISO_OK;
    *out_module = NULL;
    if (log[0] != '\0')
        iso_copy_error_line(line, sizeof line, log);
    iso_status status =
        iso_cuda_device_fail(device, result, ISO_BUILD_FAILED, device->name, "cuModuleLoadDataEx");
    if (status == ISO_DEVICE_LOST)
        return status;
    char text[320];
    iso_copy_text(text, sizeof text, iso_status_last()->text);
    return iso_fail(status, "%s%s%s%s", text, line[0] != '\0' ? ": " : "", line, remedy_of(result));
}

// Drivers from 12.4 on can say what parameters a function has.
static iso_status check_parameters(iso_cuda_device *device, const iso_module_source *source,
                                   CUfunction function)
{
    if (device->api->cuFuncGetParamInfo == NULL)
        return ISO_OK;
    size_t offset = 0, bytes = 0;
    for (uint32_t i = 0; i < source->arg_count; i++) {
        const size_t wanted = source->arg_kinds[i] == ISO_ARG_BUFFER ? sizeof(CUdeviceptr) : 4;
        CUresult result = device->api->cuFuncGetParamInfo(function, i, &offset, &bytes);
        if (result == CUDA_ERROR_INVALID_VALUE)
            return iso_fail(ISO_BUILD_FAILED,
                            "entry '%s' has %u parameters in its code, but %u were declared for it",
                            source->entry, i, source->arg_count);
        if (result != CUDA_SUCCESS)
            return iso_cuda_device_fail(device, result, ISO_BUILD_FAILED, source->entry,
                                        "cuFuncGetParamInfo");
        if (bytes != wanted)
            return iso_fail(ISO_BUILD_FAILED,
                            "parameter %u of entry '%s' has %zu bytes in its code, %zu were declared", i,
                            source->entry, bytes, wanted);
    }
    CUresult result = device->api->cuFuncGetParamInfo(function, source->arg_count, &offset, &bytes);
    if (result == CUDA_SUCCESS)
        return iso_fail(ISO_BUILD_FAILED,
                        "entry '%s' has more parameters in its code than the %u declared for it",
                        source->entry, source->arg_count);
    if (result != CUDA_ERROR_INVALID_VALUE) // there is none, as it should be
        return iso_cuda_device_fail(device, result, ISO_BUILD_FAILED, source->entry, "cuFuncGetParamInfo");
    return ISO_OK;
}

static iso_status check_function(iso_cuda_device *device, const iso_module_source *source,
                                 CUfunction function)
{
    int max_threads = 0;
    CUresult result =
        device->api->cuFuncGetAttribute(&max_threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function);
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_BUILD_FAILED, source->entry, "cuFuncGetAttribute");
    if (max_threads < 0 || (uint32_t)max_threads < source->group_size)
        return iso_fail(ISO_BUILD_FAILED,
                        "entry '%s' can run in groups of at most %d threads on %s, its group size is %u",
                        source->entry, max_threads, device->name, source->group_size);
    return check_parameters(device, source, function);
}

static iso_status fill_module(iso_cuda_device *device, const iso_module_source *source, const void *image,
                              iso_cuda_module *module)
{
    ISO_TRY(load_image(device, image, &module->handle));
    CUresult result = device->api->cuModuleGetFunction(&module->function, module->handle, source->entry);
    if (result == CUDA_ERROR_NOT_FOUND)
        return iso_fail(ISO_BUILD_FAILED, "the code has no entry '%s': cuModuleGetFunction failed: %s (%d)",
                        source->entry, iso_cuda_result_name(result), result);
    if (result != CUDA_SUCCESS)
        return iso_cuda_device_fail(device, result, ISO_BUILD_FAILED, source->entry, "cuModuleGetFunction");
    return check_function(device, source, module->function);
}

iso_status iso_cuda_module_create(void *device_, const iso_module_source *source, void **out_module)
{
    iso_cuda_device *device = device_;
    iso_cuda_module *module = NULL;
    iso_status status = ISO_OK;
    char *ptx = NULL;
    *out_module = NULL;
    ISO_TRY(iso_cuda_check_alive(device));
    if (source->format == ISO_CODE_CUBIN)
        ISO_TRY(iso_cuda_check_image(source->code, source->code_bytes));
    ISO_TRY(ISO_NEW(device->allocator, 1, &module));
    module->group_size = source->group_size;
    if (source->format == ISO_CODE_CUDA_C)
        ISO_TRY_GOTO(iso_nvrtc_compile(device, source, &ptx), fail);
    ISO_TRY_GOTO(iso_cuda_enter(device), fail);
    status = fill_module(device, source, ptx != NULL ? ptx : source->code, module);
    iso_cuda_leave(device);
    if (status != ISO_OK)
        goto fail;
    iso_free(device->allocator, ptx);
    *out_module = module;
    return ISO_OK;
fail:
    iso_free(device->allocator, ptx);
    iso_cuda_module_destroy(device, module);
    return status;
}

void iso_cuda_module_destroy(void *device_, void *module_)
{
    iso_cuda_device *device = device_;
    iso_cuda_module *module = module_;
    if (module == NULL)
        return;
    if (module->handle != NULL) {
        bool entered = iso_cuda_enter_to_release(device);
        iso_cuda_drain_to_release(device);
        (void)device->api->cuModuleUnload(module->handle);
        if (entered)
            iso_cuda_leave(device);
    }
    iso_free(device->allocator, module);
}
