// SPDX-License-Identifier: MIT
//
// What the files of runtime/device/ share: the structs behind the opaque types of isomer/device.h, and the
// deep checks of validation.c. Nobody outside this folder includes it.
#ifndef ISOMER_RUNTIME_DEVICE_INTERNAL_H
#define ISOMER_RUNTIME_DEVICE_INTERNAL_H

#include <stdatomic.h>

#include "isomer/device.h"

#define ISO_DEVICE_NAME_BYTES 32

// One line of backends.def.
typedef struct iso_registry_backend_entry {
    const iso_backend *table;
    void *driver; // NULL when not loaded
    bool loaded;
    char reason[512]; // why it is not loaded
} iso_registry_backend_entry;

typedef struct iso_registry_device_entry {
    iso_device_info info;
    iso_registry_backend_entry *backend;
    char name[ISO_DEVICE_NAME_BYTES]; // canonical
} iso_registry_device_entry;

struct iso_registry {
    const iso_allocator *allocator;
    iso_registry_backend_entry *backends;
    uint32_t backend_count;
    iso_registry_device_entry *devices;
    uint32_t device_count;
};

struct iso_device {
    const iso_allocator *allocator;
    const iso_registry_device_entry *entry;
    const iso_backend *backend;
    void *handle; // the backend's device
    bool validate;
    uint64_t allocated_bytes;
    uint64_t peak_bytes;
    iso_buffer *buffers; // every living one; validation looks kernel arguments up here
};

struct iso_buffer {
    atomic_uint references;
    iso_device *device;
    iso_memory memory;
    iso_buffer *next, *previous;
};

struct iso_module {
    iso_device *device;
    void *handle;
    const char *name;
    uint32_t arg_count;
    iso_arg_kind arg_kinds[ISO_MAX_KERNEL_ARGS];
};

typedef enum iso_list_state { ISO_LIST_RECORDING, ISO_LIST_FINISHED } iso_list_state;

struct iso_list {
    iso_device *device;
    void *handle;
    iso_list_state state;
    uint32_t dispatch_count;
};

// ---- validation.c: only called for devices opened with .validate ----

iso_status iso_validate_device_info(const iso_device_info *info);
iso_status iso_validate_module_source(const iso_device *device, const iso_module_source *source);
iso_status iso_validate_dispatch(const iso_device *device, const iso_module *module,
                                 const iso_dispatch *dispatch);
// Fills new memory with NaNs, so that reading what was never written shows.
iso_status iso_validate_poison(iso_buffer *buffer);

#endif
