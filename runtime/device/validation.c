// SPDX-License-Identifier: MIT
//
// The deep checks of a device opened with .validate: one function per descriptor. The backends trust what
// passed here; without .validate the callers have to be right.
#include "runtime/device/device_internal.h"

#include <inttypes.h>

// A quiet NaN as f32, and NaN again when read as bf16, f16 or E4M3.
#define POISON 0xffffffffu

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

// Facts that a backend reports: wrong ones are the backend's fault, not the caller's.
iso_status iso_validate_device_info(const iso_device_info *info)
{
    if (info->struct_bytes != sizeof *info)
        return iso_fail(ISO_INTERNAL, "device %s: struct_bytes is %zu, this runtime has %zu", info->name,
                        info->struct_bytes, sizeof *info);
    if (info->memory_bytes == 0 || info->max_allocation_bytes == 0)
        return iso_fail(ISO_INTERNAL, "device %s: memory_bytes and max_allocation_bytes must be above 0",
                        info->name);
    if (!is_power_of_two(info->buffer_alignment_bytes))
        return iso_fail(ISO_INTERNAL, "device %s: buffer_alignment_bytes is %u, which is no power of two",
                        info->name, info->buffer_alignment_bytes);
    if (info->code_formats[0] == ISO_CODE_NONE)
        return ISO_OK; // runs no kernels
    if (info->max_group_size == 0 || info->max_argument_bytes == 0)
        return iso_fail(ISO_INTERNAL, "device %s: max_group_size and max_argument_bytes must be above 0",
                        info->name);
    return ISO_OK;
}

iso_status iso_validate_module_source(const iso_device *device, const iso_module_source *source)
{
    const iso_device_info *info = iso_device_get_info(device);
    if (!source->entry)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: entry is missing", source->name);
    if (source->format == ISO_CODE_NATIVE) {
        if (!source->native || !source->native->run)
            return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: native code without a function", source->name);
    } else if (!source->code || source->code_bytes == 0) {
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: the code is empty", source->name);
    }
    if (source->group_size == 0 || source->group_size > info->max_group_size)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: group_size is %u, device %s allows 1 to %u",
                        source->name, source->group_size, iso_device_name(device), info->max_group_size);
    for (uint32_t i = 0; i < source->arg_count; i++)
        if ((unsigned)source->arg_kinds[i] > ISO_ARG_F32)
            return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: argument %u is of unknown kind %u",
                            source->name, i, (unsigned)source->arg_kinds[i]);
    return ISO_OK;
}

static bool memory_is_alive(const iso_device *device, const iso_memory *memory)
{
    for (const iso_buffer *buffer = device->buffers; buffer; buffer = buffer->next)
        if (&buffer->memory == memory)
            return true;
    return false;
}

static iso_status validate_buffer_arg(const iso_device *device, const char *kernel, uint32_t index,
                                      const iso_arg *arg)
{
    if (!arg->memory)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: argument %u has no buffer", kernel, index);
    if (!memory_is_alive(device, arg->memory))
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: argument %u is no living buffer of device %s",
                        kernel, index, iso_device_name(device));
    uint64_t size = arg->memory->bytes;
    if (arg->range_bytes == 0 || arg->offset_bytes > size || arg->range_bytes > size - arg->offset_bytes)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "kernel %s: argument %u is %" PRIu64 " bytes at offset %" PRIu64
                        " of a buffer of %" PRIu64 " bytes",
                        kernel, index, arg->range_bytes, arg->offset_bytes, size);
    uint32_t alignment = iso_device_get_info(device)->buffer_alignment_bytes;
    if (arg->offset_bytes % alignment != 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "kernel %s: argument %u has offset %" PRIu64 ", device %s needs multiples of %u",
                        kernel, index, arg->offset_bytes, iso_device_name(device), alignment);
    return ISO_OK;
}

iso_status iso_validate_dispatch(const iso_device *device, const iso_module *module,
                                 const iso_dispatch *dispatch)
{
    if (module->device != device)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s was built for device %s, the list is of device %s",
                        module->name, iso_device_name(module->device), iso_device_name(device));
    if (dispatch->groups[0] == 0 || dispatch->groups[1] == 0 || dispatch->groups[2] == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: %u x %u x %u groups, each must be at least 1",
                        module->name, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < dispatch->arg_count; i++) {
        const iso_arg *arg = &dispatch->args[i];
        if (arg->kind != module->arg_kinds[i])
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "kernel %s: argument %u is of kind %u, the kernel takes kind %u", module->name, i,
                            (unsigned)arg->kind, (unsigned)module->arg_kinds[i]);
        if (arg->kind == ISO_ARG_BUFFER) {
            ISO_TRY(validate_buffer_arg(device, module->name, i, arg));
            bytes = (bytes + 7) / 8 * 8 + 8;
        } else {
            bytes += 4;
        }
    }
    uint32_t limit = iso_device_get_info(device)->max_argument_bytes;
    if (bytes > limit)
        return iso_fail(ISO_INVALID_ARGUMENT, "kernel %s: arguments of %u bytes, device %s takes %u",
                        module->name, bytes, iso_device_name(device), limit);
    return ISO_OK;
}

iso_status iso_validate_poison(iso_buffer *buffer)
{
    uint64_t whole_words = buffer->memory.bytes / 4 * 4;
    return whole_words > 0 ? iso_buffer_fill(buffer, 0, whole_words, POISON) : ISO_OK;
}
