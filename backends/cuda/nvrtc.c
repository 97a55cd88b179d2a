// SPDX-License-Identifier: MIT
//
// CUDA C++ text to PTX by NVRTC, where one is found: NVIDIA's compiler as a library, opened at run time. What
// it made is kept in the kernel cache. Arithmetic is as the compiler's defaults have it: fused multiply-add,
// division and square root correctly rounded, no flush to zero. Must not know what a kernel computes.
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"
#include "runtime/base/strings.h"

#define VARIABLE   "ISOMER_CUDA_NVRTC"
#define LINE_BYTES 400

static const char *const system_names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
                                           "libnvrtc.so", NULL};

static const char *const symbol_names[] = {
#define ISO_NVRTC_SYMBOL(name, parameters) #name,
#include "backends/cuda/symbols.def"
    NULL,
};

enum { SYMBOL_COUNT = sizeof symbol_names / sizeof symbol_names[0] - 1 };

static const struct {
    nvrtcResult code;
    const char *name;
    iso_status status;
} results[] = {
    {NVRTC_ERROR_OUT_OF_MEMORY, "NVRTC_ERROR_OUT_OF_MEMORY", ISO_OUT_OF_MEMORY},
    {2, "NVRTC_ERROR_PROGRAM_CREATION_FAILURE", ISO_BUILD_FAILED},
    {3, "NVRTC_ERROR_INVALID_INPUT", ISO_BUILD_FAILED},
    {4, "NVRTC_ERROR_INVALID_PROGRAM", ISO_INTERNAL},
    {5, "NVRTC_ERROR_INVALID_OPTION", ISO_UNSUPPORTED},
    {NVRTC_ERROR_COMPILATION, "NVRTC_ERROR_COMPILATION", ISO_BUILD_FAILED},
    {NVRTC_ERROR_BUILTIN_OPERATION_FAILURE, "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE", ISO_UNAVAILABLE},
    {11, "NVRTC_ERROR_INTERNAL_ERROR", ISO_BUILD_FAILED},
};

static iso_status fail(const char *call, nvrtcResult result, const char *words)
{
    iso_status status = ISO_BUILD_FAILED;
    const char *name = "an unlisted nvrtcResult";
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        if (results[i].code == result) {
            name = results[i].name;
            status = results[i].status;
        }
    }
    const char *remedy = result == NVRTC_ERROR_BUILTIN_OPERATION_FAILURE
                             ? "; is libnvrtc-builtins installed beside it? " VARIABLE
                               "=off does without NVRTC"
                             : "";
    return iso_fail(status, "%s failed: %s (%d)%s%s%s", call, name, result, words[0] != '\0' ? ": " : "",
                    words, remedy);
}

// ---- the library ----

static iso_status read_archs(const iso_allocator *allocator, iso_nvrtc *nvrtc)
{
    int count = 0;
    if (nvrtc->api.nvrtcGetNumSupportedArchs(&count) != NVRTC_SUCCESS || count <= 0)
        return ISO_OK;
    ISO_TRY(ISO_NEW(allocator, (size_t)count, &nvrtc->archs));
    if (nvrtc->api.nvrtcGetSupportedArchs(nvrtc->archs) == NVRTC_SUCCESS)
        nvrtc->arch_count = count;
    return ISO_OK;
}

// A path's last part: the reason why NVRTC is left aside is told in a device's one line, which a long path
// would fill.
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// One library: found, and of a version whose PTX the driver takes (a driver takes what is as old as itself).
static iso_status try_library(const iso_allocator *allocator, const char *name, int driver_version,
                              iso_nvrtc *nvrtc)
{
    const char *const names[] = {name, NULL};
    void *functions[SYMBOL_COUNT], *library = NULL; // kept open: it keeps state of its own
    if (iso_library_open(names, symbol_names, functions, &library) != ISO_OK) {
        if (nvrtc->reason[0] != '\0')
            return ISO_OK; // one that is there says more
        const char *text = iso_status_last()->text;
        const bool begins_with_path = strncmp(text, name, strlen(name)) == 0;
        iso_copy_text(nvrtc->reason, sizeof nvrtc->reason,
                      begins_with_path ? text + (file_name(name) - name) : text);
        return ISO_OK;
    }
    _Static_assert(sizeof functions == sizeof nvrtc->api, "one function pointer a symbol");
    memcpy(&nvrtc->api, functions, sizeof functions);
    nvrtcResult result = nvrtc->api.nvrtcVersion(&nvrtc->major, &nvrtc->minor);
    if (result != NVRTC_SUCCESS) {
        snprintf(nvrtc->reason, sizeof nvrtc->reason, "%.60s: nvrtcVersion failed (%d)", file_name(name),
                 result);
        return ISO_OK;
    }
    if (nvrtc->major * 1000 + nvrtc->minor * 10 > driver_version) {
        snprintf(nvrtc->reason, sizeof nvrtc->reason, "%.60s is %d.%d, newer than the driver",
                 file_name(name), nvrtc->major, nvrtc->minor);
        return ISO_OK;
    }
    nvrtc->found = true;
    return read_archs(allocator, nvrtc);
}

iso_status iso_nvrtc_load(const iso_allocator *allocator, int driver_version, iso_nvrtc *out_nvrtc)
{
    *out_nvrtc = (iso_nvrtc){0};
    const char *named = iso_library_choose(NULL, VARIABLE, NULL);
    if (named != NULL && strcmp(named, "off") == 0) {
        iso_copy_text(out_nvrtc->reason, sizeof out_nvrtc->reason, VARIABLE " is off");
        return ISO_OK;
    }
    const char *const own_names[] = {named, NULL};
    const char *const *names = named != NULL ? own_names : system_names;
    for (size_t i = 0; names[i] != NULL && !out_nvrtc->found; i++)
        ISO_TRY(try_library(allocator, names[i], driver_version, out_nvrtc));
    return ISO_OK;
}

void iso_nvrtc_unload(const iso_allocator *allocator, iso_nvrtc *nvrtc)
{
    iso_free(allocator, nvrtc->archs);
    *nvrtc = (iso_nvrtc){0};
}

bool iso_nvrtc_knows(const iso_nvrtc *nvrtc, int capability)
{
    for (int i = 0; nvrtc->found && i < nvrtc->arch_count; i++)
        if (nvrtc->archs[i] == capability)
            return true;
    return false;
}

// ---- compiling ----

static iso_status fail_compile(const iso_cuda_device *device, nvrtcProgram program, nvrtcResult result)
{
    char line[LINE_BYTES] = "";
    char *log = NULL;
    size_t bytes = 0;
    const iso_nvrtc_api *api = &device->nvrtc->api;
    if (api->nvrtcGetProgramLogSize(program, &bytes) == NVRTC_SUCCESS && bytes > 0) {
        ISO_TRY(iso_alloc(device->allocator, bytes + 1, (void **)&log));
        log[0] = log[bytes] = '\0';
        if (api->nvrtcGetProgramLog(program, log) == NVRTC_SUCCESS)
            iso_copy_error_line(line, sizeof line, log);
        iso_free(device->allocator, log);
    }
    return fail("nvrtcCompileProgram", result, line);
}

static iso_status compile(const iso_cuda_device *device, const iso_module_source *source, const char *option,
                          char **out_ptx, size_t *out_bytes)
{
    const iso_nvrtc_api *api = &device->nvrtc->api;
    const char *const options[] = {option};
    nvrtcProgram program = NULL;
    iso_status status = ISO_OK;
    char *ptx = NULL;
    nvrtcResult result = api->nvrtcCreateProgram(&program, source->code, source->name, 0, NULL, NULL);
    if (result != NVRTC_SUCCESS)
        return fail("nvrtcCreateProgram", result, "");
    result = api->nvrtcCompileProgram(program, 1, options);
    if (result != NVRTC_SUCCESS) {
        status = fail_compile(device, program, result);
        goto done;
    }
    result = api->nvrtcGetPTXSize(program, out_bytes);
    if (result != NVRTC_SUCCESS) {
        status = fail("nvrtcGetPTXSize", result, "");
        goto done;
    }
    ISO_TRY_GOTO(iso_alloc(device->allocator, *out_bytes + 1, (void **)&ptx), done);
    ptx[*out_bytes] = '\0';
    result = api->nvrtcGetPTX(program, ptx);
    if (result != NVRTC_SUCCESS) {
        status = fail("nvrtcGetPTX", result, "");
        goto done;
    }
    *out_ptx = ptx;
    ptx = NULL;
done:
    iso_free(device->allocator, ptx);
    (void)api->nvrtcDestroyProgram(&program);
    return status;
}

iso_status iso_nvrtc_compile(const iso_cuda_device *device, const iso_module_source *source, char **out_ptx)
{
    char option[48];
    char *found = NULL;
    size_t bytes = 0;
    *out_ptx = NULL;
    snprintf(option, sizeof option, "--gpu-architecture=compute_%d", device->entry->capability);
    const int version[] = {device->nvrtc->major, device->nvrtc->minor};
    iso_cache_key key = {0};
    iso_cache_key_add(&key, "nvrtc", sizeof "nvrtc");
    iso_cache_key_add(&key, version, sizeof version);
    iso_cache_key_add(&key, option, strlen(option) + 1);
    iso_cache_key_add(&key, source->name, strlen(source->name) + 1); // it is in the PTX, as the file's name
    iso_cache_key_add(&key, source->code, source->code_bytes);
    if (iso_kernel_cache_load(device->allocator, &key, (void **)&found, &bytes) == ISO_OK) {
        if (bytes > 0 && found[bytes - 1] == '\0') {
            *out_ptx = found;
            return ISO_OK;
        }
        iso_free(device->allocator, found);
    }
    ISO_TRY(compile(device, source, option, out_ptx, &bytes));
    iso_kernel_cache_store(&key, *out_ptx, strlen(*out_ptx) + 1);
    return ISO_OK;
}
