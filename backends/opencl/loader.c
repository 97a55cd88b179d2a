// SPDX-License-Identifier: MIT
//
// Opens the OpenCL loader at run time and lists every device of every platform. A platform that has no device
// is kept as an unavailable device with the reason, so that whoever lists the devices can say why.
// The program or ISOMER_OPENCL_LIBRARY may name a library to use in place of libOpenCL.so.1.
// The library is never closed again: several drivers start threads and exit handlers that live in it.
#include "backends/opencl/opencl.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/strings.h"

#define SYSTEM_LIBRARY   "libOpenCL.so.1"
#define LIBRARY_VARIABLE "ISOMER_OPENCL_LIBRARY"
#define REMEDY                                                                                               \
    "install an OpenCL driver (Debian: pocl-opencl-icd, or mesa-opencl-icd with RUSTICL_ENABLE=llvmpipe)"
#define REMEDY_FOR_VARIABLE "let the program or " LIBRARY_VARIABLE " name an OpenCL loader, or unset it"

// Platforms that are often installed without a device they would drive, and what can be done about it.
static const struct {
    const char *platform;
    const char *remedy;
} platform_remedies[] = {
    {"rusticl", "set RUSTICL_ENABLE=llvmpipe in the environment"},
    {"Clover", "it only drives GPUs; use rusticl, by RUSTICL_ENABLE=llvmpipe in the environment"},
};

// ---- platforms ----

static iso_status add_entry(iso_opencl_driver *driver, cl_platform_id platform, cl_device_id device,
                            iso_opencl_entry **out_entry)
{
    void *entries = driver->entries;
    iso_status status = iso_grow(driver->allocator, sizeof *driver->entries, driver->entry_count + 1,
                                 &entries, &driver->entry_capacity);
    driver->entries = entries;
    if (status != ISO_OK)
        return status;
    iso_opencl_entry *entry = &driver->entries[driver->entry_count];
    *entry = (iso_opencl_entry){.platform = platform, .device = device};
    entry->info.ordinal = (uint32_t)driver->entry_count++;
    snprintf(entry->info.backend, sizeof entry->info.backend, "opencl");
    *out_entry = entry;
    return ISO_OK;
}

// Adds the devices of one platform; *out_error says why there is none.
static iso_status add_devices(iso_opencl_driver *driver, cl_platform_id platform, cl_int *out_error)
{
    cl_uint count = 0;
    cl_device_id *devices = NULL;
    iso_status status = ISO_OK;
    *out_error = driver->api.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
    if (*out_error == CL_SUCCESS && count == 0)
        *out_error = CL_DEVICE_NOT_FOUND;
    if (*out_error != CL_SUCCESS)
        return ISO_OK;
    ISO_TRY(ISO_NEW(driver->allocator, count, &devices));
    *out_error = driver->api.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices, NULL);
    for (cl_uint i = 0; i < count && *out_error == CL_SUCCESS && status == ISO_OK; i++) {
        iso_opencl_entry *entry;
        status = add_entry(driver, platform, devices[i], &entry);
        if (status == ISO_OK)
            status = iso_opencl_describe(driver, entry);
    }
    iso_free(driver->allocator, devices);
    return status;
}

// Keeps a platform without devices as an unavailable device.
static iso_status add_empty_platform(iso_opencl_driver *driver, cl_platform_id platform, cl_int error)
{
    iso_opencl_entry *entry;
    char *name = NULL, *version = NULL;
    ISO_TRY(add_entry(driver, platform, NULL, &entry));
    if (iso_opencl_get_text(driver, entry, ISO_CL_TEXT_PLATFORM_NAME, &name) == ISO_OUT_OF_MEMORY ||
        iso_opencl_get_text(driver, entry, ISO_CL_TEXT_PLATFORM_VERSION, &version) == ISO_OUT_OF_MEMORY) {
        iso_free(driver->allocator, name);
        return ISO_OUT_OF_MEMORY;
    }
    iso_device_info *info = &entry->info;
    const char *remedy = NULL;
    for (size_t i = 0; name != NULL && i < sizeof platform_remedies / sizeof platform_remedies[0]; i++)
        if (strcmp(platform_remedies[i].platform, name) == 0)
            remedy = platform_remedies[i].remedy;
    snprintf(info->name, sizeof info->name, "%s", name != NULL ? name : "unknown platform");
    snprintf(info->driver, sizeof info->driver, "%s", version != NULL ? version : "");
    if (error == CL_DEVICE_NOT_FOUND)
        snprintf(info->reason, sizeof info->reason, "the platform has no device%s%s",
                 remedy != NULL ? "; " : "", remedy != NULL ? remedy : "");
    else
        snprintf(info->reason, sizeof info->reason, "clGetDeviceIDs failed: %s (%d)",
                 iso_opencl_error_name(error), (int)error);
    iso_free(driver->allocator, version);
    iso_free(driver->allocator, name);
    return ISO_OK;
}

// Platforms alone are no use: the failure says why each of them has no device.
static iso_status check_any_device(const iso_opencl_driver *driver)
{
    iso_text text = {.allocator = driver->allocator};
    iso_status status = ISO_OK;
    for (size_t i = 0; i < driver->entry_count; i++) {
        if (driver->entries[i].device != NULL)
            goto out;
        const iso_device_info *info = &driver->entries[i].info;
        ISO_TRY_GOTO(iso_text_append(&text, "%s: %s; ", info->name, info->reason), out);
    }
    status = iso_fail(ISO_UNAVAILABLE, "no OpenCL platform has a device: %sor " REMEDY, iso_text_get(&text));
out:
    iso_text_deinit(&text);
    return status;
}

static iso_status enumerate(iso_opencl_driver *driver)
{
    cl_platform_id *platforms = NULL;
    cl_int *problems = NULL;
    cl_uint count = 0;
    iso_status status;
    cl_int error = driver->api.clGetPlatformIDs(0, NULL, &count);
    if (error == CL_PLATFORM_NOT_FOUND_KHR || (error == CL_SUCCESS && count == 0))
        return iso_fail(ISO_UNAVAILABLE, "the OpenCL loader is here, but no OpenCL driver; " REMEDY);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, "OpenCL", "clGetPlatformIDs");
    ISO_TRY_GOTO(ISO_NEW(driver->allocator, count, &platforms), out);
    ISO_TRY_GOTO(ISO_NEW(driver->allocator, count, &problems), out);
    error = driver->api.clGetPlatformIDs(count, platforms, NULL);
    if (error != CL_SUCCESS) {
        status = iso_opencl_fail(error, "OpenCL", "clGetPlatformIDs");
        goto out;
    }
    for (cl_uint i = 0; i < count; i++)
        ISO_TRY_GOTO(add_devices(driver, platforms[i], &problems[i]), out);
    for (cl_uint i = 0; i < count; i++)
        if (problems[i] != CL_SUCCESS)
            ISO_TRY_GOTO(add_empty_platform(driver, platforms[i], problems[i]), out);
    status = check_any_device(driver);
out:
    iso_free(driver->allocator, problems);
    iso_free(driver->allocator, platforms);
    return status;
}

// ---- the library ----

static const char *const symbol_names[] = {
#define ISO_CL_SYMBOL(name) #name,
#include "backends/opencl/symbols.def"
#undef ISO_CL_SYMBOL
    NULL,
};

#define SYMBOL_COUNT (sizeof symbol_names / sizeof symbol_names[0] - 1)

static iso_status open_library(const char *library_path, iso_opencl_api *out_api)
{
    const char *source = NULL, *override = iso_library_choose(library_path, LIBRARY_VARIABLE, &source);
    const char *const names[] = {override != NULL ? override : SYSTEM_LIBRARY, NULL};
    void *functions[SYMBOL_COUNT];
    void *library = NULL; // kept open until the process ends: see the head of this file
    iso_status status = iso_library_open(names, symbol_names, functions, &library);
    if (status == ISO_UNAVAILABLE) {
        char why[320];
        snprintf(why, sizeof why, "%s", iso_status_last()->text);
        return iso_fail(ISO_UNAVAILABLE, "%s%s%s; %s", override != NULL ? source : "",
                        override != NULL ? ": " : "", why, override != NULL ? REMEDY_FOR_VARIABLE : REMEDY);
    }
    if (status != ISO_OK)
        return status;
    _Static_assert(sizeof functions == sizeof *out_api, "one function pointer a symbol");
    memcpy(out_api, functions, sizeof functions);
    return ISO_OK;
}

iso_status iso_opencl_load(const iso_allocator *allocator, const char *library, void **out_driver)
{
    iso_opencl_driver *driver = NULL;
    iso_status status;
    *out_driver = NULL;
    ISO_TRY(ISO_NEW(allocator, 1, &driver));
    driver->allocator = allocator;
    ISO_TRY_GOTO(open_library(library, &driver->api), fail);
    ISO_TRY_GOTO(enumerate(driver), fail);
    *out_driver = driver;
    return ISO_OK;
fail:
    iso_opencl_unload(driver);
    return status;
}

void iso_opencl_unload(void *driver_)
{
    iso_opencl_driver *driver = driver_;
    if (driver == NULL)
        return;
    iso_free(driver->allocator, driver->entries);
    iso_free(driver->allocator, driver);
}
