// SPDX-License-Identifier: MIT
//
// Opens what --device, --place and --fallback name.
#include "tools/isomer/machine.h"

#include <stdio.h>
#include <string.h>

#include "tools/isomer/cli.h"

static void init(const cli_device_options *options, bool profile, cli_machine *out)
{
    memset(out, 0, sizeof *out);
    out->activation = options->activation == 0 ? ISO_DTYPE_F32 : ISO_DTYPE_BF16;
    out->w8a8 = options->w8a8;
    out->context_tokens = options->context;
    out->open_options = (iso_device_options){.thread_count = options->threads, .profile = profile};
}

iso_status cli_machine_open_empty(const cli_device_options *options, bool profile, cli_machine *out)
{
    init(options, profile, out);
    return iso_registry_create(NULL, &out->registry);
}

iso_status cli_machine_add(cli_machine *machine, const char *name, uint32_t *out_index)
{
    uint32_t found;
    *out_index = 0;
    ISO_TRY(iso_registry_find(machine->registry, name, &found));
    const iso_device_info *wanted = iso_registry_device_info(machine->registry, found);
    for (uint32_t i = 0; i < machine->device_count; i++) {
        const iso_device_info *open = iso_device_get_info(machine->devices[i]);
        if (strcmp(open->backend, wanted->backend) == 0 && open->ordinal == wanted->ordinal) {
            *out_index = i;
            return ISO_OK;
        }
    }
    if (machine->device_count == ISO_MAX_PLAN_DEVICES)
        return iso_fail(ISO_LIMIT, "device \"%.64s\" is one too many; allowed: %d at once", name,
                        ISO_MAX_PLAN_DEVICES);
    if (!cli_device_runs_kernels(wanted) && wanted->available && !machine->has_fallback)
        return iso_fail(ISO_UNAVAILABLE,
                        "device \"%.64s\" (%s) runs no kernels; isomer devices lists those that do", name,
                        wanted->name);
    ISO_TRY(iso_device_open(machine->registry, name, &machine->open_options,
                            &machine->devices[machine->device_count]));
    *out_index = machine->device_count++;
    return ISO_OK;
}

static iso_status open_place(cli_machine *machine, const cli_place *place)
{
    for (uint32_t i = 0; i < place->range_count; i++) {
        iso_layer_range *range = &machine->ranges[i];
        range->first_layer = (int32_t)place->ranges[i].first_layer;
        range->last_layer = (int32_t)place->ranges[i].last_layer;
        ISO_TRY(cli_machine_add(machine, place->ranges[i].device, &range->device));
        machine->range_count++;
    }
    return ISO_OK;
}

// Loads only the backends that are named: opening all drivers takes longer than a small model's answer.
static iso_status load_named(const cli_device_options *options, const cli_place *place, cli_machine *out)
{
    const char *names[CLI_MAX_RANGES + 2];
    uint32_t count = 0;
    for (uint32_t i = 0; i < place->range_count; i++)
        names[count++] = place->ranges[i].device;
    if (count == 0)
        names[count++] = options->device;
    if (options->fallback)
        names[count++] = options->fallback;
    return iso_registry_create_for(NULL, names, count, &out->registry);
}

iso_status cli_machine_open(const cli_device_options *options, const iso_model_config *config, bool profile,
                            cli_machine *out)
{
    cli_device_options wanted = *options;
    cli_place place = {.range_count = 0};
    uint32_t index;
    memset(out, 0, sizeof *out);
    if (options->device && options->place)
        return iso_fail(ISO_INVALID_ARGUMENT, "--device and --place are both given; name one of them");
    if (!options->device)
        wanted.device = "cpu";
    if (options->place)
        ISO_TRY(cli_place_parse(options->place, config->layer_count, &place));
    init(&wanted, profile, out);
    out->has_fallback = options->fallback != NULL;
    ISO_TRY(load_named(&wanted, &place, out));
    if (options->place)
        ISO_TRY(open_place(out, &place));
    else
        ISO_TRY(cli_machine_add(out, wanted.device, &index));
    if (options->fallback) {
        ISO_TRY(cli_machine_add(out, options->fallback, &index));
        out->fallback_device = index + 1;
    }
    return ISO_OK;
}

void cli_machine_close(cli_machine *machine)
{
    for (uint32_t i = 0; i < machine->device_count; i++)
        iso_device_close(machine->devices[i]);
    iso_registry_destroy(machine->registry);
    memset(machine, 0, sizeof *machine);
}

iso_runner_options cli_runner_options(const cli_machine *machine)
{
    return (iso_runner_options){
        .devices = machine->devices,
        .device_count = machine->device_count,
        .ranges = machine->range_count ? machine->ranges : NULL,
        .range_count = machine->range_count,
        .fallback_device = machine->fallback_device,
        .activation = machine->activation,
        .w8a8 = machine->w8a8,
        .context_tokens = machine->context_tokens,
    };
}

const char *cli_device_name(const iso_device_info *info, char out[CLI_DEVICE_NAME_BYTES])
{
    // As the registry names them: the host needs no number.
    if (strcmp(info->backend, "cpu") == 0 && info->ordinal == 0)
        snprintf(out, CLI_DEVICE_NAME_BYTES, "cpu");
    else
        snprintf(out, CLI_DEVICE_NAME_BYTES, "%s:%u", info->backend, info->ordinal);
    return out;
}

void cli_note_kernel_cache(void)
{
    const char *problem = iso_kernel_cache_problem();
    if (problem)
        cli_note("%s", problem);
}

bool cli_device_runs_kernels(const iso_device_info *info)
{
    return info->code_formats[0] != ISO_CODE_NONE;
}
