// SPDX-License-Identifier: MIT
//
// Kernels to modules and dispatches (program.h).
#include "runtime/plan/program.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/strings.h"

const iso_kernel_code *iso_kernel_find_code(const iso_kernel *kernel, const iso_device_info *device,
                                            char reason[ISO_REASON_BYTES])
{
    iso_copy_text(reason, ISO_REASON_BYTES, "no code in a format of this device");
    for (int wanted = 0; wanted < ISO_MAX_CODE_FORMATS && device->code_formats[wanted] != ISO_CODE_NONE;
         wanted++)
        for (int have = 0; have < ISO_MAX_CODE_FORMATS && kernel->codes[have].format != ISO_CODE_NONE;
             have++) {
            const iso_kernel_code *code = &kernel->codes[have];
            const uint32_t needs = code->needs_version, version = device->code_versions[wanted];
            if (code->format != device->code_formats[wanted])
                continue;
            if (version == 0 || needs <= version)
                return code;
            snprintf(reason, ISO_REASON_BYTES,
                     "its code is for version %u.%u and later; \"%.100s\" takes %u.%u", needs / 1000,
                     needs % 1000 / 10, device->driver, version / 1000, version % 1000 / 10);
        }
    return NULL;
}

static void plan_launch(const iso_kernel *kernel, uint32_t index, const void *params, const iso_arg *scratch,
                        iso_launch *out_launch)
{
    *out_launch = (iso_launch){.scratch = {.kind = ISO_ARG_BUFFER}};
    if (scratch)
        out_launch->scratch = *scratch;
    (index == 0 ? kernel->launch : kernel->combine_launch)(kernel, params, out_launch);
}

uint32_t iso_kernel_launch_count(const iso_kernel *kernel, const void *params)
{
    iso_launch combine;
    if (!kernel->combine_entry)
        return 1;
    plan_launch(kernel, 1, params, NULL, &combine);
    return combine.groups[0] > 0 ? 2 : 1;
}

bool iso_kernel_groups_fit(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                           char reason[ISO_REASON_BYTES])
{
    const uint32_t *limits = device->max_groups;
    // A host's kernels are planned by code for that host, which only a device of it may be asked.
    if (limits[0] == 0 && limits[1] == 0 && limits[2] == 0)
        return true;
    const uint32_t count = iso_kernel_launch_count(kernel, params);
    for (uint32_t i = 0; i < count; i++) {
        iso_launch launch;
        plan_launch(kernel, i, params, NULL, &launch);
        for (int axis = 0; axis < 3; axis++) {
            const uint32_t groups = launch.groups[axis], most = limits[axis];
            if (most > 0 && groups > most) {
                snprintf(reason, ISO_REASON_BYTES, "has %u groups along %c, the device allows %u", groups,
                         'x' + axis, most);
                return false;
            }
        }
    }
    return true;
}

iso_status iso_program_init(iso_program *program, iso_device *device, const iso_kernel *kernel,
                            const void *params)
{
    char reason[ISO_REASON_BYTES];
    const iso_kernel_code *code = iso_kernel_find_code(kernel, iso_device_get_info(device), reason);
    *program = (iso_program){.kernel = kernel};
    if (!code)
        return iso_fail(ISO_UNSUPPORTED, "kernel %s on device %s: %s", kernel->name, iso_device_name(device),
                        reason);
    for (uint32_t i = 0; i < (kernel->combine_entry ? 2 : 1); i++) {
        iso_launch launch;
        plan_launch(kernel, i, params, NULL, &launch);
        const char *entry = i == 0 ? kernel->op : kernel->combine_entry;
        iso_module_source source = {
            .name = kernel->name,
            .entry = code->format == ISO_CODE_SPIRV ? "main" : entry,
            .format = code->format,
            .code = code->code,
            .code_bytes = code->code_bytes,
            .native = code->native,
            .group_size = i == 0 ? kernel->group_size : kernel->combine_group_size,
            .arg_count = launch.arg_count,
        };
        for (uint32_t a = 0; a < launch.arg_count; a++)
            source.arg_kinds[a] = launch.args[a].kind;
        iso_status status = iso_module_create(device, &source, &program->modules[i]);
        if (status != ISO_OK) {
            iso_program_deinit(program);
            return status;
        }
    }
    return ISO_OK;
}

void iso_program_deinit(iso_program *program)
{
    for (uint32_t i = 0; i < ISO_MAX_LAUNCHES; i++)
        iso_module_destroy(program->modules[i]);
    *program = (iso_program){0};
}

iso_status iso_program_record(const iso_program *program, const void *params, const iso_arg *scratch,
                              iso_list *list)
{
    for (uint32_t i = 0; i < iso_kernel_launch_count(program->kernel, params); i++) {
        iso_launch launch;
        plan_launch(program->kernel, i, params, scratch, &launch);
        iso_dispatch dispatch = {.label = program->kernel->name, .arg_count = launch.arg_count};
        memcpy(dispatch.groups, launch.groups, sizeof dispatch.groups);
        memcpy(dispatch.args, launch.args, launch.arg_count * sizeof *launch.args);
        if (i > 0)
            ISO_TRY(iso_list_barrier(list));
        ISO_TRY(iso_list_dispatch(list, program->modules[i], &dispatch));
    }
    return ISO_OK;
}
