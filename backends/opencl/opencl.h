// SPDX-License-Identifier: MIT
//
// Private to backends/opencl/: the structs its files share. Owns no state of its own.
// Only OpenCL 1.2 is used (Khronos, "The OpenCL Specification", version 1.2, 2012), whatever a driver offers.
#ifndef ISOMER_BACKENDS_OPENCL_H
#define ISOMER_BACKENDS_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "isomer/backend.h"

// ---- types ----

// The driver's functions, one pointer a symbol.
typedef struct iso_opencl_api {
#define ISO_CL_SYMBOL(name) __typeof__(name) *name;
#include "backends/opencl/symbols.def"
#undef ISO_CL_SYMBOL
} iso_opencl_api;

// One device that was found, or one platform that has none (`device` is NULL and info.reason says why).
typedef struct iso_opencl_entry {
    cl_platform_id platform;
    cl_device_id device;
    iso_device_info info;
    bool unified_memory; // the device works in the host's memory
    iso_cache_key key;   // device and driver: the start of every key into the kernel cache
} iso_opencl_entry;

typedef struct iso_opencl_driver {
    const iso_allocator *allocator;
    iso_opencl_api api;
    iso_opencl_entry *entries; // usable and unusable devices first, platforms without one after them
    size_t entry_count, entry_capacity;
} iso_opencl_driver;

typedef struct iso_opencl_device {
    const iso_allocator *allocator;
    const iso_opencl_api *api;
    const iso_opencl_entry *entry;
    const char *name; // the device's own, for errors; the runtime puts "opencl:0" before them
    cl_context context;
    cl_command_queue queue; // in order
    bool profile;
    cl_event tail; // last dispatch submitted since the last wait, or NULL
    const char *tail_label;
    const struct iso_opencl_list *tail_list;
} iso_opencl_device;

// The texts that are asked of a platform or a device.
typedef enum iso_opencl_text {
    ISO_CL_TEXT_PLATFORM_NAME,
    ISO_CL_TEXT_PLATFORM_VERSION,
    ISO_CL_TEXT_DEVICE_NAME,
    ISO_CL_TEXT_DEVICE_VERSION,
    ISO_CL_TEXT_DRIVER_VERSION,
    ISO_CL_TEXT_EXTENSIONS,
    ISO_CL_TEXT_COUNT
} iso_opencl_text;

// ---- calls ----

// Fills the status record with "subject: call failed: CL_NAME (code)".
iso_status iso_opencl_status(cl_int error, const char *file, int line, const char *subject, const char *call);
#define iso_opencl_fail(error, subject, call)                                                                \
    iso_opencl_status((error), __FILE__, __LINE__, (subject), (call))

// The name of an error code; "unknown error" for a vendor's own.
const char *iso_opencl_error_name(cl_int error);

// Reports whether the last dispatch submitted failed while it ran, and forgets it. Its queue must be empty.
iso_status iso_opencl_check_tail(iso_opencl_device *device);

// A text without white space at its end; the caller frees it.
iso_status iso_opencl_get_text(const iso_opencl_driver *driver, const iso_opencl_entry *entry,
                               iso_opencl_text id, char **out_text);
// Fills the entry's facts. A device that cannot be asked becomes an unavailable one; only a lack of memory is
// a failure.
iso_status iso_opencl_describe(const iso_opencl_driver *driver, iso_opencl_entry *entry);

// The table's entries, by file.
iso_status iso_opencl_load(const iso_allocator *allocator, const char *library, void **out_driver);
void iso_opencl_unload(void *driver);

iso_status iso_opencl_alloc(void *device, uint64_t bytes, iso_memory *out_memory);
void iso_opencl_free(void *device, iso_memory *memory);
iso_status iso_opencl_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                            uint64_t bytes);
iso_status iso_opencl_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                           uint64_t bytes);
iso_status iso_opencl_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                           uint32_t pattern);

iso_status iso_opencl_module_create(void *device, const iso_module_source *source, void **out_module);
void iso_opencl_module_destroy(void *device, void *module);
// A kernel object of its own for one dispatch: arguments are state of the kernel object.
iso_status iso_opencl_module_kernel(const iso_opencl_device *device, const void *module,
                                    cl_kernel *out_kernel, uint32_t *out_group_size);

iso_status iso_opencl_list_create(void *device, void **out_list);
iso_status iso_opencl_list_dispatch(void *list, void *module, const iso_dispatch *dispatch);
iso_status iso_opencl_list_barrier(void *list);
iso_status iso_opencl_list_finish(void *list);
void iso_opencl_list_destroy(void *list);
iso_status iso_opencl_submit(void *device, void *list);
iso_status iso_opencl_times(void *list, uint64_t *out_ns, uint32_t *inout_count);

#endif
