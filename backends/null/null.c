// SPDX-License-Identifier: MIT
//
// The null backend: a template. It builds, answers every call of isomer/backend.h with the smallest right
// thing, and runs no kernels. backends/null/README.md says how to make a backend of it; each entry below says
// what a real one does there. A backend includes runtime headers only: it never knows which op or model it
// runs, and trusts its inputs, because runtime/device/ has checked them.
#include <string.h>

#include "isomer/backend.h"
#include "runtime/base/strings.h"

// What load returns. A real driver keeps the vendor library, its function table and its list of devices here.
typedef struct null_driver {
    const iso_allocator *allocator;
} null_driver;

// What open_device returns. A real device keeps the vendor's context and its one in-order queue here, and the
// first failure of work in flight until wait or read reports it.
typedef struct null_device {
    const iso_allocator *allocator;
    bool profile;
} null_device;

// What list_create returns. A real list keeps the vendor's recorded form (graph, command buffer) or, where
// the vendor has none, an array of launches whose arguments were resolved when they were recorded.
typedef struct null_list {
    null_device *device;
} null_list;

// ---- driver ----

// A real backend calls iso_library_open with the symbols it uses and the names of the vendor's library, or
// the one that iso_library_choose gives. Absent: ISO_UNAVAILABLE, with a text that says what to install.
// Nothing is printed, nothing is kept on failure.
static iso_status null_load(const iso_allocator *allocator, const char *library, void **out_driver)
{
    null_driver *driver;
    *out_driver = NULL;
    ISO_TRY(iso_library_refuse("null", library));
    ISO_TRY(ISO_NEW(allocator, 1, &driver));
    driver->allocator = allocator;
    *out_driver = driver;
    return ISO_OK;
}

// Undoes load. All devices are closed by then.
static void null_unload(void *driver)
{
    null_driver *null = driver;
    if (null)
        iso_free(null->allocator, null);
}

// The struct comes zeroed, with struct_bytes set. A device that is there but can't be used (too old, a
// feature is missing) is reported with available = false and the reason. name, driver and arch are the
// vendor's own words: users find devices by them and compiled kernels are cached under them.
static iso_status null_device_info(void *driver, uint32_t ordinal, iso_device_info *out_info)
{
    (void)driver;
    if (ordinal > 0)
        return iso_fail(ISO_NOT_FOUND, "the null backend has one device, %u is not it", ordinal);
    iso_copy_text(out_info->name, sizeof out_info->name, "Null device");
    iso_copy_text(out_info->driver, sizeof out_info->driver, "none");
    out_info->available = true;
    out_info->memory_bytes = UINT64_C(1) << 30;
    out_info->max_allocation_bytes = UINT64_C(1) << 30;
    out_info->buffer_alignment_bytes = 16; // from the vendor's limits
    out_info->max_group_size = 1;          // from the vendor's limits
    // max_groups: the same, where the vendor has limits
    out_info->max_argument_bytes = 256; // from the vendor's limits
    // Host memory that kernels and host share is announced here, and iso_memory.host set in alloc.
    out_info->features = ISO_FEATURE_HOST_VISIBLE;
    // The forms of code that module_create takes, best first. None: no kernel can be bound to this device.
    out_info->code_formats[0] = ISO_CODE_NONE;
    return ISO_OK;
}

// ---- device ----

// A real backend makes a context and a queue here. Everything it allocates comes from options->allocator;
// what is half-made on failure is undone before returning.
static iso_status null_open_device(void *driver, uint32_t ordinal, const iso_device_options *options,
                                   void **out_device)
{
    (void)driver;
    (void)ordinal;
    null_device *device;
    *out_device = NULL;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->profile = options->profile;
    *out_device = device;
    return ISO_OK;
}

// Waits for work in flight, then releases queue and context. Accepts NULL.
static void null_close_device(void *device)
{
    null_device *null = device;
    if (null)
        iso_free(null->allocator, null);
}

// ---- memory ----

// A real backend allocates device memory: `handle` is its own, `address` the device address where there is
// one, `host` the mapping where ISO_FEATURE_HOST_VISIBLE is announced, else NULL. Full:
// ISO_OUT_OF_MEMORY, with the bytes.
static iso_status null_alloc(void *device, uint64_t bytes, iso_memory *out_memory)
{
    null_device *null = device;
    ISO_TRY(iso_alloc(null->allocator, bytes, &out_memory->host));
    out_memory->handle = out_memory->host;
    return ISO_OK;
}

static void null_free(void *device, iso_memory *memory)
{
    null_device *null = device;
    iso_free(null->allocator, memory->handle);
}

// Ordered after all submitted lists; may return before the device has the data, but not before `source` may
// be reused. Ranges have been checked.
static iso_status null_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                             uint64_t bytes)
{
    (void)device;
    memcpy((char *)memory->host + offset_bytes, source, bytes);
    return ISO_OK;
}

// Ordered after all submitted lists; returns when the data is in `target`, or with the failure of
// a list before it.
static iso_status null_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                            uint64_t bytes)
{
    (void)device;
    memcpy(target, (const char *)memory->host + offset_bytes, bytes);
    return ISO_OK;
}

// 32-bit words; offset and size are multiples of 4.
static iso_status null_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                            uint32_t pattern)
{
    (void)device;
    for (uint64_t at = 0; at < bytes; at += sizeof pattern)
        memcpy((char *)memory->host + offset_bytes + at, &pattern, sizeof pattern);
    return ISO_OK;
}

// ---- module ----

// A real backend compiles or loads source->code (source->format is one of its code_formats). It looks in the
// kernel cache first (iso_kernel_cache_load), keyed by code, build options, driver name and version, and
// device name, and stores what it built. A refusal is ISO_BUILD_FAILED with the first line of the
// driver's log.
static iso_status null_module_create(void *device, const iso_module_source *source, void **out_module)
{
    (void)device;
    *out_module = NULL;
    return iso_fail(ISO_UNSUPPORTED, "kernel %s: the null device runs no kernels; choose another device",
                    source->name);
}

static void null_module_destroy(void *device, void *module)
{
    (void)device;
    (void)module;
}

// ---- command list ----

static iso_status null_list_create(void *device, void **out_list)
{
    null_device *null = device;
    null_list *list;
    *out_list = NULL;
    ISO_TRY(ISO_NEW(null->allocator, 1, &list));
    list->device = null;
    *out_list = list;
    return ISO_OK;
}

// Copies all it needs from `dispatch`: the struct is the caller's and is reused. `label` alone
// outlives the list.
static iso_status null_list_dispatch(void *list, void *module, const iso_dispatch *dispatch)
{
    (void)list;
    (void)module;
    return iso_fail(ISO_UNSUPPORTED, "kernel %s: the null device runs no kernels",
                    dispatch->label ? dispatch->label : "?");
}

// Everything recorded before is visible to everything recorded after.
static iso_status null_list_barrier(void *list)
{
    (void)list;
    return ISO_OK;
}

// Last chance to allocate, instantiate a graph, close a command buffer: submit must do none of that.
static iso_status null_list_finish(void *list)
{
    (void)list;
    return ISO_OK;
}

// Waits where the vendor needs it: a list may still be in flight. Accepts a list that was
// never finished, and NULL.
static void null_list_destroy(void *list)
{
    null_list *null = list;
    if (null)
        iso_free(null->device->allocator, null);
}

// Puts the list into the queue. No allocation, no look-up of names; what fails later is kept for wait.
static iso_status null_submit(void *device, void *list)
{
    (void)device;
    (void)list;
    return ISO_OK;
}

// Blocks until the queue is empty, and reports (once) what failed since the last wait. A device that stopped
// answering is ISO_DEVICE_LOST.
static iso_status null_wait(void *device)
{
    (void)device;
    return ISO_OK;
}

// Time of each dispatch of the last run. There is room for all of them.
static iso_status null_times(void *list, uint64_t *out_ns, uint32_t *inout_count)
{
    null_list *null = list;
    (void)out_ns;
    if (!null->device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT, "the device was opened without profile, it keeps no times");
    *inout_count = 0;
    return ISO_OK;
}

// The one symbol of a backend; backends/backends.def makes the runtime look for it.
const iso_backend iso_null_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "null",
    .load = null_load,
    .unload = null_unload,
    .device_info = null_device_info,
    .open_device = null_open_device,
    .close_device = null_close_device,
    .alloc = null_alloc,
    .free = null_free,
    .write = null_write,
    .read = null_read,
    .fill = null_fill,
    .module_create = null_module_create,
    .module_destroy = null_module_destroy,
    .list_create = null_list_create,
    .list_dispatch = null_list_dispatch,
    .list_barrier = null_list_barrier,
    .list_finish = null_list_finish,
    .list_destroy = null_list_destroy,
    .submit = null_submit,
    .wait = null_wait,
    .times = null_times,
};
