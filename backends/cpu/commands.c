// SPDX-License-Identifier: MIT
//
// Command lists of the CPU backend: an array of launches whose arguments were resolved to pointers when they
// were recorded, so that a replay allocates nothing and follows no names. Launches run one after the other,
// each over all threads; a barrier therefore has nothing to do.
#include <string.h>

#include "backends/cpu/cpu_internal.h"

typedef struct cpu_command {
    iso_cpu_work work;
    size_t first_arg; // into the list's args; work.args is set when the list is finished
    uint64_t elapsed_ns;
} cpu_command;

typedef struct cpu_list {
    iso_cpu_device *device;
    cpu_command *commands;
    size_t command_count, command_capacity;
    iso_native_arg *args;
    size_t arg_count, arg_capacity;
} cpu_list;

// A module is its native kernel: the source promises that it lives as long as the module.
iso_status iso_cpu_module_create(void *device, const iso_module_source *source, void **out_module)
{
    iso_cpu_device *cpu = device;
    *out_module = NULL;
    ISO_TRY(iso_cpu_pool_reserve_scratch(cpu->pool, source->native->scratch_bytes));
    *out_module = (void *)(uintptr_t)source->native;
    return ISO_OK;
}

void iso_cpu_module_destroy(void *device, void *module)
{
    (void)device;
    (void)module;
}

iso_status iso_cpu_list_create(void *device, void **out_list)
{
    iso_cpu_device *cpu = device;
    cpu_list *list;
    *out_list = NULL;
    ISO_TRY(ISO_NEW(cpu->allocator, 1, &list));
    list->device = cpu;
    *out_list = list;
    return ISO_OK;
}

static iso_native_arg resolve(const iso_arg *arg)
{
    iso_native_arg native = {NULL};
    switch (arg->kind) {
    case ISO_ARG_BUFFER:
        native.pointer = (char *)arg->memory->host + arg->offset_bytes;
        break;
    case ISO_ARG_U32:
        native.u32 = arg->value.u32;
        break;
    case ISO_ARG_F32:
        native.f32 = arg->value.f32;
        break;
    }
    return native;
}

iso_status iso_cpu_list_dispatch(void *list, void *module, const iso_dispatch *dispatch)
{
    cpu_list *cpu = list;
    const iso_allocator *allocator = cpu->device->allocator;
    uint64_t plane = (uint64_t)dispatch->groups[0] * dispatch->groups[1];
    uint64_t group_count;
    if (__builtin_mul_overflow(plane, (uint64_t)dispatch->groups[2], &group_count))
        return iso_fail(ISO_UNSUPPORTED, "%u x %u x %u groups in one launch", dispatch->groups[0],
                        dispatch->groups[1], dispatch->groups[2]);
    ISO_TRY(iso_grow(allocator, sizeof *cpu->commands, cpu->command_count + 1, (void **)&cpu->commands,
                     &cpu->command_capacity));
    ISO_TRY(iso_grow(allocator, sizeof *cpu->args, cpu->arg_count + dispatch->arg_count, (void **)&cpu->args,
                     &cpu->arg_capacity));
    cpu_command *command = &cpu->commands[cpu->command_count++];
    memset(command, 0, sizeof *command);
    command->work.kernel = module;
    memcpy(command->work.groups, dispatch->groups, sizeof command->work.groups);
    command->work.group_count = group_count;
    command->first_arg = cpu->arg_count;
    for (uint32_t i = 0; i < dispatch->arg_count; i++)
        cpu->args[cpu->arg_count++] = resolve(&dispatch->args[i]);
    return ISO_OK;
}

iso_status iso_cpu_list_barrier(void *list)
{
    (void)list;
    return ISO_OK;
}

iso_status iso_cpu_list_finish(void *list)
{
    cpu_list *cpu = list;
    // The argument array has reached its last place now.
    for (size_t i = 0; i < cpu->command_count; i++)
        if (cpu->args)
            cpu->commands[i].work.args = cpu->args + cpu->commands[i].first_arg;
    return ISO_OK;
}

void iso_cpu_list_destroy(void *list)
{
    cpu_list *cpu = list;
    if (!cpu)
        return;
    const iso_allocator *allocator = cpu->device->allocator;
    iso_free(allocator, cpu->commands);
    iso_free(allocator, cpu->args);
    iso_free(allocator, cpu);
}

iso_status iso_cpu_submit(void *device, void *list)
{
    iso_cpu_device *cpu = device;
    cpu_list *commands = list;
    for (size_t i = 0; i < commands->command_count; i++) {
        cpu_command *command = &commands->commands[i];
        uint64_t start_ns = cpu->profile ? iso_cpu_clock_ns() : 0;
        iso_cpu_pool_run(cpu->pool, &command->work);
        if (cpu->profile)
            command->elapsed_ns = iso_cpu_clock_ns() - start_ns;
    }
    return ISO_OK;
}

iso_status iso_cpu_wait(void *device)
{
    (void)device;
    return ISO_OK;
}

iso_status iso_cpu_times(void *list, uint64_t *out_ns, uint32_t *inout_count)
{
    cpu_list *cpu = list;
    if (!cpu->device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT, "the device was opened without profile, it keeps no times");
    for (size_t i = 0; i < cpu->command_count; i++)
        out_ns[i] = cpu->commands[i].elapsed_ns;
    *inout_count = (uint32_t)cpu->command_count;
    return ISO_OK;
}
