// SPDX-License-Identifier: MIT
//
// Compiled kernels, kept from one unit to the next (modules.h).
#include "conformance/ops/modules.h"

#include "runtime/base/strings.h"

struct conform_modules {
    iso_device *device;
    iso_program *kept;
    size_t count, capacity;
};

iso_status conform_modules_create(iso_device *device, conform_modules **out_modules)
{
    ISO_TRY(ISO_NEW(NULL, 1, out_modules));
    (*out_modules)->device = device;
    return ISO_OK;
}

void conform_modules_destroy(conform_modules *modules)
{
    if (!modules)
        return;
    for (size_t i = 0; i < modules->count; i++)
        iso_program_deinit(&modules->kept[i]);
    iso_free(NULL, modules->kept);
    iso_free(NULL, modules);
}

iso_status conform_program_take(conform_modules *modules, iso_device *device, const iso_kernel *kernel,
                                const void *params, iso_program *out_program)
{
    *out_program = (iso_program){0};
    if (!modules || modules->device != device)
        return iso_program_init(out_program, device, kernel, params);
    for (size_t i = 0; i < modules->count; i++)
        if (modules->kept[i].kernel == kernel) {
            *out_program = modules->kept[i];
            return ISO_OK;
        }
    ISO_TRY(iso_grow(NULL, sizeof *modules->kept, modules->count + 1, (void **)&modules->kept,
                     &modules->capacity));
    ISO_TRY(iso_program_init(out_program, device, kernel, params));
    modules->kept[modules->count++] = *out_program;
    return ISO_OK;
}

void conform_program_return(conform_modules *modules, iso_program *program)
{
    bool kept = false;
    for (size_t i = 0; modules && i < modules->count; i++)
        kept = kept || modules->kept[i].modules[0] == program->modules[0];
    if (kept)
        *program = (iso_program){0};
    else
        iso_program_deinit(program);
}
