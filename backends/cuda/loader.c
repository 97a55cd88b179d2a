// SPDX-License-Identifier: MIT
//
// Opens the CUDA driver at run time and looks at its devices. The program or ISOMER_CUDA_DRIVER may name a
// library to use in place of libcuda.so.1. The functions come from cuGetProcAddress, asked for in the form
// that version 11.4 has, whatever a newer driver would give. The library is never closed again once it has
// run: the driver has threads and exit handlers in it.
#include <stdio.h>
#include <string.h>

#include "backends/cuda/cuda.h"

#define SYSTEM_LIBRARY   "libcuda.so.1"
#define LIBRARY_VARIABLE "ISOMER_CUDA_DRIVER"
#define REMEDY           "install NVIDIA's driver for CUDA 11.4 or newer (Linux: 470 or newer)"
#define REMEDY_FOR_NAMED "name NVIDIA's libcuda.so.1 for CUDA 11.4 or newer, or none"

typedef CUresult (*get_version_function)(int *version);
typedef CUresult (*get_address_function)(const char *name, void **function, int version, uint64_t flags);

typedef struct library_name {
    const char *path, *source; // source: who named it in place of the system's, or NULL
} library_name;

static const char *remedy_of(const library_name *library)
{
    return library->source != NULL ? REMEDY_FOR_NAMED : REMEDY;
}

static iso_status fail_library(const library_name *library)
{
    char why[320];
    snprintf(why, sizeof why, "%s", iso_status_last()->text);
    return iso_fail(ISO_UNAVAILABLE, "%s%s%s; %s", library->source != NULL ? library->source : "",
                    library->source != NULL ? ": " : "", why, remedy_of(library));
}

// One function that the library itself exports. A failure after the first one closes what is open twice by
// then.
static iso_status find_export(const library_name *library, const char *symbol, void **out_function)
{
    const char *const names[] = {library->path, NULL}, *const symbols[] = {symbol, NULL};
    void *handle = NULL; // kept open until the process ends: see the head of this file
    return iso_library_open(names, symbols, out_function, &handle) == ISO_OK ? ISO_OK : fail_library(library);
}

static iso_status check_version(const library_name *library, int *out_version)
{
    void *function = NULL;
    ISO_TRY(find_export(library, "cuDriverGetVersion", &function));
    get_version_function get_version;
    memcpy(&get_version, &function, sizeof get_version);
    CUresult result = get_version(out_version);
    if (result != CUDA_SUCCESS)
        return iso_cuda_fail(result, ISO_UNAVAILABLE, library->path, "cuDriverGetVersion");
    if (*out_version < ISO_CUDA_VERSION)
        return iso_fail(ISO_UNAVAILABLE, "%s is for CUDA %d.%d, at least %d.%d is needed; %s", library->path,
                        *out_version / 1000, *out_version % 1000 / 10, ISO_CUDA_VERSION / 1000,
                        ISO_CUDA_VERSION % 1000 / 10, remedy_of(library));
    return ISO_OK;
}

typedef struct symbol {
    const char *name;
    int version;
    bool optional;
} symbol;

static const symbol symbols[] = {
#define ISO_CUDA_SYMBOL(name, parameters)            {#name, ISO_CUDA_VERSION, false},
#define ISO_CUDA_OPTIONAL(name, version, parameters) {#name, version, true},
#include "backends/cuda/symbols.def"
};

enum { SYMBOL_COUNT = sizeof symbols / sizeof symbols[0] };

static iso_status find_functions(const library_name *library, iso_cuda_driver *driver)
{
    void *function = NULL, *functions[SYMBOL_COUNT] = {NULL};
    ISO_TRY(find_export(library, "cuGetProcAddress", &function));
    get_address_function get_address;
    memcpy(&get_address, &function, sizeof get_address);
    for (size_t i = 0; i < SYMBOL_COUNT; i++) {
        const symbol *wanted = &symbols[i];
        if (wanted->version > driver->version)
            continue;
        CUresult result =
            get_address(wanted->name, &functions[i], wanted->version, CU_GET_PROC_ADDRESS_LEGACY_STREAM);
        if (result != CUDA_SUCCESS)
            functions[i] = NULL;
        if (functions[i] == NULL && !wanted->optional)
            return iso_fail(ISO_UNAVAILABLE, "%s has no %s of CUDA %d.%d, though it is for CUDA %d.%d; %s",
                            library->path, wanted->name, wanted->version / 1000, wanted->version % 1000 / 10,
                            driver->version / 1000, driver->version % 1000 / 10, remedy_of(library));
    }
    _Static_assert(sizeof functions == sizeof driver->api, "one function pointer a symbol");
    memcpy(&driver->api, functions, sizeof functions);
    return ISO_OK;
}

static iso_status fail_init(const library_name *library, CUresult result)
{
    const char *remedy = "";
    if (result == CUDA_ERROR_NOT_INITIALIZED)
        remedy = "; a process that was forked from one that has used CUDA cannot use it";
    if (result == CUDA_ERROR_UNKNOWN)
        remedy = "; see whether /dev/nvidia-uvm is there (in a container it must be passed in)";
    return iso_fail(iso_cuda_status(result, ISO_UNAVAILABLE), "%s: cuInit failed: %s (%d)%s", library->path,
                    iso_cuda_result_name(result), result, remedy);
}

static iso_status count_devices(const library_name *library, const iso_cuda_driver *driver, int *out_count)
{
    CUresult result = driver->api.cuInit(0);
    if (result == CUDA_ERROR_NO_DEVICE)
        return iso_fail(ISO_UNAVAILABLE,
                        "%s finds no device: cuInit failed: %s (%d); see whether nvidia-smi lists it, "
                        "and what CUDA_VISIBLE_DEVICES says",
                        library->path, iso_cuda_result_name(result), result);
    if (result != CUDA_SUCCESS)
        return fail_init(library, result);
    result = driver->api.cuDeviceGetCount(out_count);
    if (result != CUDA_SUCCESS)
        return iso_cuda_fail(result, ISO_UNAVAILABLE, library->path, "cuDeviceGetCount");
    if (*out_count <= 0)
        return iso_fail(ISO_UNAVAILABLE, "%s finds no device; see what CUDA_VISIBLE_DEVICES says",
                        library->path);
    return ISO_OK;
}

static iso_status describe_devices(iso_cuda_driver *driver, int count)
{
    ISO_TRY(ISO_NEW(driver->allocator, (size_t)count, &driver->entries));
    for (int i = 0; i < count; i++)
        iso_cuda_describe(driver, i, &driver->entries[i]);
    driver->entry_count = (uint32_t)count;
    return ISO_OK;
}

iso_status iso_cuda_load(const iso_allocator *allocator, const char *path, void **out_driver)
{
    iso_cuda_driver *driver = NULL;
    library_name library = {0};
    iso_status status = ISO_OK;
    int count = 0;
    *out_driver = NULL;
    library.path = iso_library_choose(path, LIBRARY_VARIABLE, &library.source);
    if (library.path == NULL)
        library = (library_name){SYSTEM_LIBRARY, NULL};
    ISO_TRY(ISO_NEW(allocator, 1, &driver));
    driver->allocator = allocator;
    ISO_TRY_GOTO(check_version(&library, &driver->version), fail);
    ISO_TRY_GOTO(find_functions(&library, driver), fail);
    ISO_TRY_GOTO(count_devices(&library, driver, &count), fail);
    ISO_TRY_GOTO(iso_nvrtc_load(allocator, driver->version, &driver->nvrtc), fail);
    ISO_TRY_GOTO(describe_devices(driver, count), fail);
    *out_driver = driver;
    return ISO_OK;
fail:
    iso_cuda_unload(driver);
    return status;
}

void iso_cuda_unload(void *driver_)
{
    iso_cuda_driver *driver = driver_;
    if (driver == NULL)
        return;
    iso_nvrtc_unload(driver->allocator, &driver->nvrtc);
    iso_free(driver->allocator, driver->entries);
    iso_free(driver->allocator, driver);
}
