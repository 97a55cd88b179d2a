// SPDX-License-Identifier: MIT
//
// Reading --devices.
#include "tools/isomer/device_list.h"

#include <stdio.h>
#include <string.h>

#include "tools/isomer/machine.h"

static iso_status add(cli_device_list *list, uint32_t index)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->indices[i] == index)
            return ISO_OK;
    if (list->count == CLI_MAX_LISTED_DEVICES)
        return iso_fail(ISO_LIMIT, "--devices: more than %d devices", CLI_MAX_LISTED_DEVICES);
    list->indices[list->count++] = index;
    return ISO_OK;
}

static iso_status add_named(const iso_registry *registry, const char *name, cli_device_list *list)
{
    uint32_t index;
    ISO_TRY(iso_registry_find(registry, name, &index));
    const iso_device_info *info = iso_registry_device_info(registry, index);
    if (!info->available)
        return iso_fail(ISO_UNAVAILABLE, "device \"%s\" (%s) cannot be used: %s", name, info->name,
                        info->reason);
    if (!cli_device_runs_kernels(info))
        return iso_fail(ISO_UNAVAILABLE,
                        "device \"%s\" (%s) runs no kernels; isomer devices lists those that do", name,
                        info->name);
    return add(list, index);
}

iso_status cli_device_list_read(const iso_registry *registry, const char *text, cli_device_list *out)
{
    *out = (cli_device_list){0};
    for (uint32_t i = 0; !text && i < iso_registry_device_count(registry); i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        if (info->available && cli_device_runs_kernels(info))
            ISO_TRY(add(out, i));
    }
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char name[CLI_DEVICE_TEXT_BYTES];
        size_t length = strcspn(at, ",");
        if (length == 0 || length >= sizeof name)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "--devices is \"%.64s\"; allowed: device names, commas between", text);
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        ISO_TRY(add_named(registry, name, out));
    }
    return ISO_OK;
}
