// SPDX-License-Identifier: MIT
//
// Command lists of a simulated chip: launches with their arguments, run one after the other when the list is
// submitted, and the faults that change a launch as a whole. A failure is kept for the next wait or read, and
// ends the list.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

typedef struct sim_command {
    const sim_module *module;
    sim_work work;
    uint64_t elapsed_ns;
} sim_command;

// What SIM_STALE keeps of one argument of one launch.
typedef struct sim_stale {
    size_t command;
    uint32_t argument;
    uint64_t host_writes; // of its buffer, when it was kept
    unsigned char *content;
} sim_stale;

typedef struct sim_list {
    sim_device *device;
    sim_command *commands;
    size_t count, capacity;
    sim_stale *stale;
    size_t stale_count, stale_capacity;
    uint32_t submissions;
} sim_list;

// ---- recording ----

iso_status iso_sim_list_create(void *device, void **out_list)
{
    sim_device *sim = device;
    sim_list *list;
    *out_list = NULL;
    ISO_TRY(ISO_NEW(sim->allocator, 1, &list));
    list->device = sim;
    *out_list = list;
    return ISO_OK;
}

iso_status iso_sim_list_dispatch(void *list, void *module, const iso_dispatch *dispatch)
{
    sim_list *own = list;
    const sim_module *kernel = module;
    ISO_TRY(iso_grow(own->device->allocator, sizeof *own->commands, own->count + 1, (void **)&own->commands,
                     &own->capacity));
    sim_command *command = &own->commands[own->count++];
    memset(command, 0, sizeof *command);
    command->module = kernel;
    command->work.program = kernel->code->program;
    command->work.label = dispatch->label;
    command->work.arg_count = dispatch->arg_count;
    memcpy(command->work.groups, dispatch->groups, sizeof dispatch->groups);
    memcpy(command->work.args, dispatch->args, dispatch->arg_count * sizeof dispatch->args[0]);
    return ISO_OK;
}

iso_status iso_sim_list_barrier(void *list)
{
    (void)list; // launches never overlap
    return ISO_OK;
}

// Room for what a fault keeps at the first submission: submit must not allocate.
static iso_status reserve_stale(sim_list *list, size_t number)
{
    const sim_command *command = &list->commands[number];
    for (uint32_t i = 0; i < command->module->rule_count; i++) {
        const sim_bound_rule *bound = &command->module->rules[i];
        if (bound->rule.change != SIM_STALE)
            continue;
        ISO_TRY(iso_grow(list->device->allocator, sizeof *list->stale, list->stale_count + 1,
                         (void **)&list->stale, &list->stale_capacity));
        sim_stale *stale = &list->stale[list->stale_count];
        *stale = (sim_stale){.command = number, .argument = (uint32_t)bound->argument};
        ISO_TRY(ISO_NEW(list->device->allocator, command->work.args[bound->argument].range_bytes,
                        &stale->content));
        list->stale_count++;
    }
    return ISO_OK;
}

iso_status iso_sim_list_finish(void *list)
{
    sim_list *own = list;
    for (size_t i = 0; i < own->count; i++)
        ISO_TRY(reserve_stale(own, i));
    return ISO_OK;
}

void iso_sim_list_destroy(void *list)
{
    sim_list *own = list;
    if (!own)
        return;
    const iso_allocator *allocator = own->device->allocator;
    for (size_t i = 0; i < own->stale_count; i++)
        iso_free(allocator, own->stale[i].content);
    iso_free(allocator, own->stale);
    iso_free(allocator, own->commands);
    iso_free(allocator, own);
}

// ---- faults of launches ----

// The module's rule of this kind that holds for the launch, or NULL.
static const sim_bound_rule *find_bound(const sim_command *command, sim_change change)
{
    sim_passage passage = {.launch = command->work.launch_number, .args = command->work.args};
    for (uint32_t i = 0; i < command->module->rule_count; i++) {
        const sim_bound_rule *bound = &command->module->rules[i];
        if (bound->rule.change == change && iso_sim_rule_applies(&bound->rule, &passage))
            return bound;
    }
    return NULL;
}

static unsigned char *argument_data(const sim_command *command, uint32_t argument)
{
    const iso_arg *arg = &command->work.args[argument];
    return iso_sim_memory_data(arg->memory) + arg->offset_bytes;
}

static uint64_t host_writes(const sim_command *command, uint32_t argument)
{
    const sim_memory *memory = command->work.args[argument].memory->handle;
    return memory->host_writes;
}

static void swap_bytes(unsigned char *a, unsigned char *b, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        unsigned char kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

// Exchanges what the host wrote since the first submission for what was there then, and back after the
// launch.
static void exchange_stale(sim_list *list, size_t number)
{
    for (size_t i = 0; i < list->stale_count; i++) {
        const sim_stale *stale = &list->stale[i];
        const sim_command *command = &list->commands[number];
        if (stale->command == number && stale->host_writes != host_writes(command, stale->argument))
            swap_bytes(argument_data(command, stale->argument), stale->content,
                       command->work.args[stale->argument].range_bytes);
    }
}

static void keep_stale(sim_list *list)
{
    for (size_t i = 0; i < list->stale_count; i++) {
        sim_stale *stale = &list->stale[i];
        const sim_command *command = &list->commands[stale->command];
        memcpy(stale->content, argument_data(command, stale->argument),
               command->work.args[stale->argument].range_bytes);
        stale->host_writes = host_writes(command, stale->argument);
    }
}

static void clobber(const sim_command *command)
{
    const sim_bound_rule *bound = find_bound(command, SIM_CLOBBER);
    if (bound) {
        uint32_t argument = (uint32_t)bound->argument;
        argument_data(command, argument)[command->work.args[argument].range_bytes / 2] ^= 0x10;
    }
}

static void cut_groups(const sim_command *command, sim_work *work)
{
    const sim_bound_rule *bound = find_bound(command, SIM_CUT);
    if (bound)
        work->groups[bound->rule.target[0] - 'x']--;
}

// ---- running ----

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static iso_status run_command(sim_list *list, size_t number)
{
    sim_device *sim = list->device;
    sim_command *command = &list->commands[number];
    uint64_t start_ns = sim->profile ? clock_ns() : 0;
    command->work.launch_number = sim_state_of(sim)->launches[command->module->count_place].count++;
    sim_work work = command->work;
    cut_groups(command, &work);
    uint32_t times = find_bound(command, SIM_DROP) ? 0 : find_bound(command, SIM_TWICE) ? 2 : 1;
    if (work.groups[0] == 0 || work.groups[1] == 0 || work.groups[2] == 0)
        times = 0;
    exchange_stale(list, number);
    iso_status status = ISO_OK;
    for (uint32_t i = 0; i < times && status == ISO_OK; i++)
        status = iso_sim_execute(sim, &work);
    exchange_stale(list, number);
    if (status == ISO_OK)
        clobber(command);
    if (sim->profile)
        command->elapsed_ns = clock_ns() - start_ns;
    return status;
}

// A launch under SIM_EARLY goes before the one recorded before it.
static iso_status run_all(sim_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        bool next_is_early = i + 1 < list->count && find_bound(&list->commands[i + 1], SIM_EARLY) != NULL;
        if (next_is_early)
            ISO_TRY(run_command(list, i + 1));
        ISO_TRY(run_command(list, i));
        i += next_is_early;
    }
    return ISO_OK;
}

static iso_status keep_before(sim_list *list)
{
    if (!iso_sim_find_rule(list->device, SIM_COPY, SIM_LATE, "read"))
        return ISO_OK;
    iso_sim_before_forget(list->device);
    for (size_t i = 0; i < list->count; i++) {
        const sim_work *work = &list->commands[i].work;
        for (uint32_t a = 0; a < work->arg_count; a++)
            if (work->args[a].kind == ISO_ARG_BUFFER)
                ISO_TRY(iso_sim_before_keep(list->device, work->args[a].memory->handle));
    }
    return ISO_OK;
}

iso_status iso_sim_submit(void *device, void *list)
{
    sim_device *sim = device;
    sim_list *own = list;
    sim_state *state = sim_state_of(sim);
    if (own->submissions++ == 0)
        keep_stale(own);
    ISO_TRY(keep_before(own));
    if (run_all(own) != ISO_OK && state->failure == ISO_OK) {
        state->failure = iso_status_last()->code;
        iso_copy_text(state->failure_text, sizeof state->failure_text, iso_status_last()->text);
    }
    iso_sim_late_arrive(sim);
    return ISO_OK;
}

iso_status iso_sim_wait(void *device)
{
    sim_device *sim = device;
    iso_sim_late_arrive(sim);
    iso_sim_before_forget(sim);
    return iso_sim_take_failure(sim);
}

iso_status iso_sim_times(void *list, uint64_t *out_ns, uint32_t *inout_count)
{
    const sim_list *own = list;
    if (!own->device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT, "the device was opened without profile, it keeps no times");
    for (size_t i = 0; i < own->count; i++)
        out_ns[i] = own->commands[i].elapsed_ns;
    *inout_count = (uint32_t)own->count;
    return ISO_OK;
}
