// SPDX-License-Identifier: MIT
#include "tools/isomer/device_names.h"

#include "tools/isomer/output.h"

void cli_print_device(FILE *to, const char *device, const iso_device_info *info)
{
    char name[sizeof info->name], driver[sizeof info->driver];
    cli_clean_text(info->name, name, sizeof name);
    cli_clean_text(info->driver, driver, sizeof driver);
    fprintf(to, "%s: %s; %s\n", device, name, driver);
}

void cli_put_device(json_t **object, const char *device, const iso_device_info *info)
{
    cli_json_put(object, "device", cli_json_text(device));
    cli_json_put(object, "name", cli_json_text(info->name));
    cli_json_put(object, "driver", cli_json_text(info->driver));
}
