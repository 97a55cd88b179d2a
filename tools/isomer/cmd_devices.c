// SPDX-License-Identifier: MIT
//
// isomer devices: every device that was found with its facts, and for every backend that was not, why and
// what to do about it.
#include <stdio.h>
#include <string.h>

#include "isomer/device.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/machine.h"
#include "tools/isomer/output.h"

#define FEATURE_TEXT_BYTES 128
#define MAX_COLUMN         44

typedef struct devices_options {
    bool json;
} devices_options;

static const cli_option options_table[] = {
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(devices_options, json)},
};

static const struct {
    uint32_t bit;
    const char *name;
} features[] = {
    {ISO_FEATURE_NATIVE_AVX2, "avx2"},
    {ISO_FEATURE_NATIVE_AVX512, "avx512"},
    {ISO_FEATURE_F16, "f16"},
    {ISO_FEATURE_F64, "f64"},
    {ISO_FEATURE_INT64, "int64"},
    {ISO_FEATURE_STORAGE_8_16, "storage8+16"},
    {ISO_FEATURE_SUBGROUPS, "subgroups"},
    {ISO_FEATURE_HOST_VISIBLE, "host-visible"},
};

static const char *const format_names[ISO_CODE_FORMAT_COUNT] = {
    [ISO_CODE_NATIVE] = "native", [ISO_CODE_SPIRV] = "spirv", [ISO_CODE_OPENCL_C] = "opencl-c",
    [ISO_CODE_PTX] = "ptx",       [ISO_CODE_CUBIN] = "cubin", [ISO_CODE_HSACO] = "hsaco",
    [ISO_CODE_CUDA_C] = "cuda-c",
};

// ---- JSON ----

static json_t *device_json(const iso_device_info *info)
{
    char name[CLI_DEVICE_NAME_BYTES];
    json_t *device = json_object(), *feature_list = json_array(), *formats = json_array();
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (info->features & features[i].bit)
            cli_json_add(&feature_list, json_string(features[i].name));
    for (int i = 0; i < ISO_MAX_CODE_FORMATS && info->code_formats[i] != ISO_CODE_NONE; i++)
        cli_json_add(&formats, json_string(format_names[info->code_formats[i]]));
    cli_json_put(&device, "name", json_string(cli_device_name(info, name)));
    cli_json_put(&device, "backend", json_string(info->backend));
    cli_json_put(&device, "description", cli_json_text(info->name));
    cli_json_put(&device, "driver", cli_json_text(info->driver));
    cli_json_put(&device, "available", json_boolean(info->available));
    cli_json_put(&device, "reason", info->available ? json_null() : cli_json_text(info->reason));
    cli_json_put(&device, "runs_kernels", json_boolean(info->available && cli_device_runs_kernels(info)));
    cli_json_put(&device, "arch", cli_json_text(info->arch));
    cli_json_put(&device, "memory_bytes", cli_json_count(info->memory_bytes));
    cli_json_put(&device, "max_allocation_bytes", cli_json_count(info->max_allocation_bytes));
    cli_json_put(&device, "max_group_size", cli_json_count(info->max_group_size));
    cli_json_put(&device, "local_memory_bytes", cli_json_count(info->local_memory_bytes));
    cli_json_put(&device, "subgroup_size", cli_json_count(info->subgroup_size));
    cli_json_put(&device, "compute_units", cli_json_count(info->compute_units));
    cli_json_put(&device, "features", feature_list);
    cli_json_put(&device, "code_formats", formats);
    return device;
}

static iso_status print_json(const iso_registry *registry)
{
    json_t *root = json_object(), *devices = json_array(), *backends = json_array();
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++)
        cli_json_add(&devices, device_json(iso_registry_device_info(registry, i)));
    for (uint32_t i = 0; i < iso_registry_backend_count(registry); i++) {
        const char *reason;
        json_t *backend = json_object();
        cli_json_put(&backend, "name", json_string(iso_registry_backend(registry, i, &reason)));
        cli_json_put(&backend, "available", json_boolean(reason == NULL));
        cli_json_put(&backend, "reason", cli_json_text(reason));
        cli_json_add(&backends, backend);
    }
    cli_json_put(&root, "devices", devices);
    cli_json_put(&root, "backends", backends);
    return cli_print_json(root);
}

// ---- the table ----

static void format_features(const iso_device_info *info, char out[FEATURE_TEXT_BYTES])
{
    size_t at = 0;
    out[0] = '\0';
    if (!cli_device_runs_kernels(info)) {
        snprintf(out, FEATURE_TEXT_BYTES, "no kernels");
        return;
    }
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if ((info->features & features[i].bit) && at < FEATURE_TEXT_BYTES)
            at +=
                (size_t)snprintf(out + at, FEATURE_TEXT_BYTES - at, "%s%s", at ? " " : "", features[i].name);
}

static int column_width(size_t widest)
{
    return widest < MAX_COLUMN ? (int)widest : MAX_COLUMN;
}

static void print_table(const iso_registry *registry)
{
    size_t device_width = strlen("device"), driver_width = strlen("driver");
    uint32_t count = iso_registry_device_count(registry);
    for (uint32_t i = 0; i < count; i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        device_width = strlen(info->name) > device_width ? strlen(info->name) : device_width;
        driver_width = strlen(info->driver) > driver_width ? strlen(info->driver) : driver_width;
    }
    int device_column = column_width(device_width), driver_column = column_width(driver_width);
    printf("%-10s  %-*s  %-*s  %10s  %s\n", "name", device_column, "device", driver_column, "driver",
           "memory", "features");
    for (uint32_t i = 0; i < count; i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        char name[CLI_DEVICE_NAME_BYTES], memory[CLI_SIZE_BYTES], text[FEATURE_TEXT_BYTES];
        char device[sizeof info->name], driver[sizeof info->driver], reason[sizeof info->reason];
        cli_clean_text(info->name, device, sizeof device);
        cli_clean_text(info->driver, driver, sizeof driver);
        cli_clean_text(info->reason, reason, sizeof reason);
        format_features(info, text);
        printf("%-10s  %-*.*s  %-*.*s  %10s  %s%s\n", cli_device_name(info, name), device_column,
               device_column, device, driver_column, driver_column, driver,
               cli_format_bytes(info->memory_bytes, memory),
               info->available ? "" : "cannot be used: ", info->available ? text : reason);
    }
}

static void print_absent(const iso_registry *registry)
{
    bool any = false;
    for (uint32_t i = 0; i < iso_registry_backend_count(registry); i++) {
        const char *reason, *name = iso_registry_backend(registry, i, &reason);
        char clean[512];
        if (!reason)
            continue;
        cli_clean_text(reason, clean, sizeof clean);
        printf("%s%-10s  %s\n", any ? "" : "\nnot here:\n", name, clean);
        any = true;
    }
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const devices_options *options = opaque;
    iso_registry *registry;
    iso_status status = ISO_OK;
    (void)out_yes;
    ISO_TRY(iso_registry_create(NULL, &registry));
    if (options->json) {
        status = print_json(registry);
    } else {
        print_table(registry);
        print_absent(registry);
    }
    iso_registry_destroy(registry);
    return status;
}

const cli_command cli_command_devices = {
    .synopsis = "[--json]",
    .about = "Lists every device of every backend. Other commands take a device by the name in the first "
             "column, or by\n"
             "a part of its own or its driver's name: vulkan:llvmpipe, opencl:pocl.",
    .examples = "  isomer devices\n"
                "  isomer devices --json | jq -r '.devices[] | select(.runs_kernels) | .name'\n",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(devices_options),
    .run = run,
};
