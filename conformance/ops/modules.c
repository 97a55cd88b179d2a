// SPDX-License-Identifier: MIT
//
// Compiled kernels, kept from one unit to the next (modules.h).
#include "conformance/ops/modules.h"

#include "runtime/plan/plan_internal.h"

typedef struct kept_module {
    const iso_kernel *kernel;
    iso_module *module;
} kept_module;

struct conform_modules {
    iso_device *device;
    kept_module *kept;
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
        iso_module_destroy(modules->kept[i].module);
    iso_free(NULL, modules->kept);
    iso_free(NULL, modules);
}

static iso_status make(iso_device *device, const iso_kernel *kernel, const iso_launch *launch,
                       iso_module **out_module)
{
    const iso_kernel_code *code = iso_plan_kernel_code(kernel, iso_device_get_info(device));
    *out_module = NULL;
    if (!code)
        return iso_fail(ISO_UNSUPPORTED, "kernel %s has no code in a format of device %s", kernel->name,
                        iso_device_name(device));
    iso_module_source source = {.name = kernel->name,
                                .entry = code->format == ISO_CODE_SPIRV ? "main" : kernel->op,
                                .format = code->format,
                                .code = code->code,
                                .code_bytes = code->code_bytes,
                                .native = code->native,
                                .group_size = kernel->group_size,
                                .arg_count = launch->arg_count};
    for (uint32_t i = 0; i < launch->arg_count; i++)
        source.arg_kinds[i] = launch->args[i].kind;
    return iso_module_create(device, &source, out_module);
}

iso_status conform_module_take(conform_modules *modules, iso_device *device, const iso_kernel *kernel,
                               const iso_launch *launch, iso_module **out_module)
{
    if (!modules || modules->device != device)
        return make(device, kernel, launch, out_module);
    for (size_t i = 0; i < modules->count; i++)
        if (modules->kept[i].kernel == kernel) {
            *out_module = modules->kept[i].module;
            return ISO_OK;
        }
    *out_module = NULL;
    ISO_TRY(iso_grow(NULL, sizeof *modules->kept, modules->count + 1, (void **)&modules->kept,
                     &modules->capacity));
    ISO_TRY(make(device, kernel, launch, out_module));
    modules->kept[modules->count++] = (kept_module){kernel, *out_module};
    return ISO_OK;
}

void conform_module_return(conform_modules *modules, iso_module *module)
{
    bool kept = false;
    for (size_t i = 0; modules && i < modules->count; i++)
        kept = kept || modules->kept[i].module == module;
    if (!kept)
        iso_module_destroy(module);
}
