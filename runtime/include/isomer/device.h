// SPDX-License-Identifier: MIT
//
// Devices, and what lives on them: buffers, modules and command lists.
//
// A registry knows every backend that was built in and every device each backend found. Devices are opened by
// name: "cpu", "opencl:0", "vulkan:1", or a fragment of the device's or driver's own name without regard to
// case: "vulkan:llvmpipe", "opencl:pocl".
//
// Ownership: a registry outlives its devices; a device outlives its buffers, modules and lists. Buffers are
// counted; all else has one owner.
#ifndef ISOMER_DEVICE_H
#define ISOMER_DEVICE_H

#include "isomer/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_registry iso_registry;
typedef struct iso_device iso_device;
typedef struct iso_buffer iso_buffer;
typedef struct iso_module iso_module;
typedef struct iso_list iso_list;

// A driver's library, by its path, in place of the one that a backend would open.
typedef struct iso_backend_library {
    const char *backend; // "cuda", "opencl", "vulkan"
    const char *path;
} iso_backend_library;

// Zero is every backend with the libraries of the environment or the system.
typedef struct iso_registry_options {
    const iso_allocator *allocator; // outlives the registry; NULL: malloc
    const char *const *names;       // [name_count] device names; NULL: all backends (iso_registry_create_for)
    uint32_t name_count;
    const iso_backend_library *libraries; // [library_count], or NULL
    uint32_t library_count;
} iso_registry_options;

// ---- calls: registry ----

// Loads every backend. A backend whose driver is absent is kept with its reason; that is not a failure.
ISO_API iso_status iso_registry_create(const iso_allocator *allocator,
                                       iso_registry **out_registry) ISO_MUST_USE;
// The same for a program that knows which devices it will open: of `names` (device names, [name_count]) only
// the backends are loaded, because opening a driver may take long. The others are kept with a reason that
// says so. A name that belongs to no backend loads all, so that finding it can list what is here.
ISO_API iso_status iso_registry_create_for(const iso_allocator *allocator, const char *const *names,
                                           uint32_t name_count, iso_registry **out_registry) ISO_MUST_USE;
// The same with options. ISO_INVALID_ARGUMENT for a library of a backend that is not there or opens none.
ISO_API iso_status iso_registry_create_with(const iso_registry_options *options,
                                            iso_registry **out_registry) ISO_MUST_USE;
ISO_API void iso_registry_destroy(iso_registry *registry);

ISO_API uint32_t iso_registry_backend_count(const iso_registry *registry);
// Name of a backend, and why it is not available (NULL when it is). Lent.
ISO_API const char *iso_registry_backend(const iso_registry *registry, uint32_t index,
                                         const char **out_reason);

// Every device found, in the order of backends.def. Lent.
ISO_API uint32_t iso_registry_device_count(const iso_registry *registry);
ISO_API const iso_device_info *iso_registry_device_info(const iso_registry *registry, uint32_t index);

// The index of the device that `name` means. ISO_NOT_FOUND lists what is here; ISO_INVALID_ARGUMENT when a
// fragment fits several.
ISO_API iso_status iso_registry_find(const iso_registry *registry, const char *name,
                                     uint32_t *out_index) ISO_MUST_USE;

// ---- calls: device ----

// ISO_UNAVAILABLE when the device was found but cannot be used.
ISO_API iso_status iso_device_open(iso_registry *registry, const char *name,
                                   const iso_device_options *options, iso_device **out_device) ISO_MUST_USE;
ISO_API void iso_device_close(iso_device *device);
ISO_API const iso_device_info *iso_device_get_info(const iso_device *device);
// "cpu", "opencl:0": the canonical name. Lent.
ISO_API const char *iso_device_name(const iso_device *device);
// Blocks until all submitted work is done; reports what failed since the last wait.
ISO_API iso_status iso_device_wait(iso_device *device) ISO_MUST_USE;
// Bytes of all living buffers of this device, and the most there ever were.
ISO_API uint64_t iso_device_allocated_bytes(const iso_device *device, uint64_t *out_peak);

// ---- calls: buffer ----

// bytes > 0; content undefined. ISO_OUT_OF_MEMORY, or ISO_UNSUPPORTED above max_allocation_bytes.
ISO_API iso_status iso_buffer_create(iso_device *device, uint64_t bytes,
                                     iso_buffer **out_buffer) ISO_MUST_USE;
ISO_API iso_buffer *iso_buffer_retain(iso_buffer *buffer);
ISO_API void iso_buffer_release(iso_buffer *buffer);
ISO_API uint64_t iso_buffer_bytes(const iso_buffer *buffer);
ISO_API const iso_memory *iso_buffer_memory(const iso_buffer *buffer);
// These block until the host memory may be reused, and are ordered with submitted lists.
ISO_API iso_status iso_buffer_write(iso_buffer *buffer, uint64_t offset_bytes, const void *source,
                                    uint64_t bytes) ISO_MUST_USE;
ISO_API iso_status iso_buffer_read(const iso_buffer *buffer, uint64_t offset_bytes, void *target,
                                   uint64_t bytes) ISO_MUST_USE;
ISO_API iso_status iso_buffer_fill(iso_buffer *buffer, uint64_t offset_bytes, uint64_t bytes,
                                   uint32_t pattern) ISO_MUST_USE;

// ---- calls: module and command list ----

// source->format is one of the device's. ISO_BUILD_FAILED names the kernel, the device and the driver's
// words.
ISO_API iso_status iso_module_create(iso_device *device, const iso_module_source *source,
                                     iso_module **out_module) ISO_MUST_USE;
ISO_API void iso_module_destroy(iso_module *module);

ISO_API iso_status iso_list_create(iso_device *device, iso_list **out_list) ISO_MUST_USE;
// Buffers must stay alive as long as the list.
ISO_API iso_status iso_list_dispatch(iso_list *list, iso_module *module,
                                     const iso_dispatch *dispatch) ISO_MUST_USE;
ISO_API iso_status iso_list_barrier(iso_list *list) ISO_MUST_USE;
ISO_API iso_status iso_list_finish(iso_list *list) ISO_MUST_USE;
ISO_API iso_status iso_list_submit(iso_list *list) ISO_MUST_USE;
ISO_API iso_status iso_list_times(iso_list *list, uint64_t *out_ns, uint32_t *inout_count) ISO_MUST_USE;
ISO_API void iso_list_destroy(iso_list *list);

#ifdef __cplusplus
}
#endif
#endif
