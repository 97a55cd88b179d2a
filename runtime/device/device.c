// SPDX-License-Identifier: MIT
//
// A device that is open: its backend's handle, its name, and the count of memory that lives on it.
#include "runtime/device/device_internal.h"

iso_status iso_device_open(iso_registry *registry, const char *name, const iso_device_options *options,
                           iso_device **out_device)
{
    static const iso_device_options defaults = {0};
    *out_device = NULL;
    if (!options)
        options = &defaults;
    uint32_t index;
    ISO_TRY(iso_registry_find(registry, name, &index));
    const iso_registry_device_entry *entry = &registry->devices[index];
    if (!entry->info.available)
        return iso_fail(ISO_UNAVAILABLE, "device %s (%s) cannot be used: %s", entry->name, entry->info.name,
                        entry->info.reason);
    if (options->validate)
        ISO_TRY(iso_validate_device_info(&entry->info));
    iso_device *device = NULL;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->entry = entry;
    device->backend = entry->backend->table;
    device->validate = options->validate;
    iso_status status =
        device->backend->open_device(entry->backend->driver, entry->info.ordinal, options, &device->handle);
    if (status != ISO_OK) {
        iso_free(options->allocator, device);
        return iso_status_prefix("device %s", entry->name);
    }
    *out_device = device;
    return ISO_OK;
}

void iso_device_close(iso_device *device)
{
    if (!device)
        return;
    device->backend->close_device(device->handle);
    iso_free(device->allocator, device);
}

const iso_device_info *iso_device_get_info(const iso_device *device)
{
    return &device->entry->info;
}

const char *iso_device_name(const iso_device *device)
{
    return device->entry->name;
}

iso_status iso_device_wait(iso_device *device)
{
    if (device->backend->wait(device->handle) != ISO_OK)
        return iso_status_prefix("device %s", device->entry->name);
    return ISO_OK;
}

uint64_t iso_device_allocated_bytes(const iso_device *device, uint64_t *out_peak)
{
    if (out_peak)
        *out_peak = device->peak_bytes;
    return device->allocated_bytes;
}
