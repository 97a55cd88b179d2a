// SPDX-License-Identifier: MIT
//
// Opens the devices of this machine for a test.
#include "conformance/support/fleet.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wanted(const iso_device_info *info, const char *canonical)
{
    const char *list = getenv("ISOMER_TEST_DEVICES");
    if (!info->available || info->code_formats[0] == ISO_CODE_NONE)
        return false;
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ",");
        if (strlen(canonical) == length && strncmp(at, canonical, length) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return !list;
}

int fleet_open(fleet *out)
{
    *out = (fleet){0};
    if (iso_registry_create(NULL, &out->registry) != ISO_OK) {
        fprintf(stderr, "%s\n", iso_status_last()->text);
        return 1;
    }
    for (uint32_t i = 0; i < iso_registry_backend_count(out->registry); i++) {
        const char *reason, *name = iso_registry_backend(out->registry, i, &reason);
        if (reason)
            printf("backend %s is absent: %s\n", name, reason);
    }
    for (uint32_t i = 0; i < iso_registry_device_count(out->registry) && out->count < FLEET_MAX_DEVICES;
         i++) {
        const iso_device_info *info = iso_registry_device_info(out->registry, i);
        char name[32];
        bool only = strcmp(info->backend, "cpu") == 0;
        snprintf(name, sizeof name, only ? "%s" : "%s:%u", info->backend, info->ordinal);
        if (!wanted(info, name))
            continue;
        if (iso_device_open(out->registry, name, &(iso_device_options){.validate = true},
                            &out->devices[out->count])) {
            fprintf(stderr, "%s: %s\n", name, iso_status_last()->text);
            return 1;
        }
        printf("device %s: %s, %s\n", name, info->name, info->driver);
        out->count++;
    }
    return 0;
}

void fleet_close(fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->count; i++)
        iso_device_close(fleet->devices[i]);
    iso_registry_destroy(fleet->registry);
}
