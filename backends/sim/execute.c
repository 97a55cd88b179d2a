// SPDX-License-Identifier: MIT
//
// Runs a launch: one group after the other. The lanes of a subgroup go together (lanes.c), the subgroups of a
// group one after the other from barrier to barrier, in an order that changes, so that a missing barrier
// always shows.
#include <string.h>

#include "backends/sim/program.h"

// Memory of one launch. One subgroup's part: register file, masks, waiting lanes.
typedef struct launch {
    const iso_allocator *allocator;
    const sim_program *program;
    sim_group group;
    sim_lanes *lanes;
    uint32_t lanes_count;
    uint32_t *rows, *masks;
    sim_waiting *waiting;
} launch;

enum { MASKS_FIXED = 3 }; // active, all, saved; then frames, then waiting lanes

// ---- memory ----

static iso_status allocate(launch *l)
{
    const sim_program *program = l->program;
    const uint32_t width = program->width, waits = program->label_count + 2;
    const uint32_t masks = MASKS_FIXED + SIM_MAX_CALL_DEPTH + waits;
    l->lanes_count = (program->group_size + program->subgroup - 1) / program->subgroup;
    ISO_TRY(ISO_NEW(l->allocator, l->lanes_count, &l->lanes));
    ISO_TRY(ISO_NEW(l->allocator, (size_t)l->lanes_count * program->row_words, &l->rows));
    ISO_TRY(ISO_NEW(l->allocator, (size_t)l->lanes_count * masks * width, &l->masks));
    ISO_TRY(ISO_NEW(l->allocator, (size_t)l->lanes_count * waits, &l->waiting));
    ISO_TRY(ISO_NEW(l->allocator, program->shared_words ? program->shared_words : 1, &l->group.shared));
    for (uint32_t i = 0; i < l->lanes_count; i++) {
        uint32_t *mask = l->masks + (size_t)i * masks * width;
        sim_lanes *lanes = &l->lanes[i];
        *lanes = (sim_lanes){.group = &l->group,
                             .rows = l->rows + (size_t)i * program->row_words,
                             .vectors = width / SIM_VECTOR,
                             .width = width,
                             .first = i * program->subgroup,
                             .active = mask,
                             .all = mask + width,
                             .saved = mask + 2 * width,
                             .waiting = l->waiting + (size_t)i * waits};
        mask += MASKS_FIXED * width;
        for (uint32_t f = 0; f < SIM_MAX_CALL_DEPTH; f++, mask += width)
            lanes->frames[f].mask = mask;
        for (uint32_t w = 0; w < waits; w++, mask += width)
            lanes->waiting[w].mask = mask;
        for (uint32_t lane = 0; lane < program->subgroup && lanes->first + lane < program->group_size; lane++)
            lanes->all[lane] = UINT32_MAX;
    }
    return ISO_OK;
}

static void release(launch *l)
{
    iso_free(l->allocator, l->lanes);
    iso_free(l->allocator, l->rows);
    iso_free(l->allocator, l->masks);
    iso_free(l->allocator, l->waiting);
    iso_free(l->allocator, l->group.shared);
}

// ---- what is the same in all groups ----

static void fill_row(sim_lanes *lanes, uint32_t row, uint32_t value)
{
    if (row == SIM_NONE)
        return;
    for (uint32_t i = 0; i < lanes->width; i++)
        lanes->rows[row + i] = value;
}

static void fill_numbers(sim_lanes *lanes, uint32_t row, uint32_t first)
{
    if (row == SIM_NONE)
        return;
    for (uint32_t i = 0; i < lanes->width; i++)
        lanes->rows[row + i] = first + i;
}

static void prepare_lanes(launch *l, sim_lanes *lanes)
{
    const sim_program *program = l->program;
    const sim_rows *builtin = &program->builtin;
    for (size_t i = 0; i < program->constant_count; i++)
        fill_row(lanes, program->constants[i].row, program->constants[i].value);
    for (uint32_t i = 0; i < program->argument_count; i++)
        if (program->arguments[i].kind != ISO_ARG_BUFFER)
            fill_row(lanes, program->arguments[i].row, l->group.work->args[i].value.u32);
    for (int axis = 0; axis < 3; axis++)
        fill_row(lanes, builtin->group_count[axis], l->group.work->groups[axis]);
    fill_numbers(lanes, builtin->local_id[0], lanes->first);
    fill_row(lanes, builtin->local_id[1], 0);
    fill_row(lanes, builtin->local_id[2], 0);
    fill_numbers(lanes, builtin->local_index, lanes->first);
}

static iso_status prepare(launch *l, const sim_work *work)
{
    const sim_program *program = l->program;
    if (work->arg_count != program->argument_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: %u arguments for a kernel of %u", work->label,
                        work->arg_count, program->argument_count);
    for (uint32_t i = 0; i < work->arg_count; i++) {
        const iso_arg *arg = &work->args[i];
        sim_buffer *buffer = &l->group.buffers[i];
        if (arg->kind != program->arguments[i].kind)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "%s: argument %u, \"%s\", is of another kind than in the text", work->label, i,
                            program->arguments[i].name);
        if (arg->kind != ISO_ARG_BUFFER)
            continue;
        const iso_memory *memory = arg->memory;
        if (!memory || arg->offset_bytes % 4 != 0 || arg->offset_bytes > memory->bytes ||
            arg->range_bytes > memory->bytes - arg->offset_bytes)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "%s: argument %u, \"%s\", leaves its memory or is not aligned to 4", work->label,
                            i, program->arguments[i].name);
        buffer->words = (uint32_t *)(void *)(iso_sim_memory_data(memory) + arg->offset_bytes);
        buffer->length = arg->range_bytes / 4;
        buffer->room = (memory->bytes - arg->offset_bytes + SIM_SLACK_BYTES) / 4;
    }
    for (uint32_t i = 0; i < l->lanes_count; i++)
        prepare_lanes(l, &l->lanes[i]);
    return ISO_OK;
}

// ---- groups ----

static void begin_group(launch *l)
{
    const sim_program *program = l->program;
    for (uint32_t i = 0; i < program->shared_words; i++)
        l->group.shared[i] = SIM_POISON;
    for (uint32_t s = 0; s < l->lanes_count; s++) {
        sim_lanes *lanes = &l->lanes[s];
        for (size_t i = 0; i < program->poisoned_count; i++)
            fill_row(lanes, program->poisoned[i], SIM_POISON);
        for (int axis = 0; axis < 3; axis++)
            fill_row(lanes, program->builtin.group_id[axis], l->group.id[axis]);
        fill_numbers(lanes, program->builtin.global_id[0],
                     l->group.id[0] * program->group_size + lanes->first);
        fill_row(lanes, program->builtin.global_id[1], l->group.id[1]);
        fill_row(lanes, program->builtin.global_id[2], l->group.id[2]);
        iso_sim_lanes_set_mask(lanes, lanes->all);
        lanes->waiting_count = lanes->base = lanes->depth = lanes->rounds = 0;
        lanes->resume = program->steps + program->main_step;
    }
}

// To the next barrier, or to the end.
static iso_status run_lanes(launch *l, sim_lanes *lanes)
{
    const sim_step *step = lanes->resume;
    uint64_t steps = 0;
    lanes->barrier = NULL;
    lanes->resume = NULL;
    for (; step; steps++)
        step = step->run(lanes, step);
    *l->program->lane_steps += steps * l->program->subgroup;
    return lanes->status;
}

// Whether all subgroups wait at one barrier (*out_ended: have ended).
static iso_status check_barrier(const launch *l, bool *out_ended)
{
    const sim_lanes *first = &l->lanes[0];
    *out_ended = first->resume == NULL;
    for (uint32_t i = 1; i < l->lanes_count; i++) {
        const sim_lanes *other = &l->lanes[i];
        if (other->barrier == first->barrier)
            continue;
        const sim_lanes *waits = first->barrier ? first : other, *left = first->barrier ? other : first;
        return iso_fail(ISO_DEVICE_LOST,
                        "%s: group %u, %u, %u: lanes from %u wait at barrier %u, lanes from %u %s",
                        l->group.work->label, l->group.id[0], l->group.id[1], l->group.id[2], waits->first,
                        waits->barrier->to, left->first, left->barrier ? "at another" : "have ended");
    }
    return ISO_OK;
}

// Each phase, launch and group turns the order of the subgroups round: what a missing barrier lets one
// subgroup see of another then differs from what it should, in one order or the other.
static iso_status run_group(launch *l, uint32_t number)
{
    bool ended = false;
    begin_group(l);
    for (uint32_t phase = 0; !ended; phase++) {
        const bool backwards = (number + l->group.work->launch_number + phase) % 2 != 0;
        for (uint32_t i = 0; i < l->lanes_count; i++)
            ISO_TRY(run_lanes(l, &l->lanes[backwards ? l->lanes_count - 1 - i : i]));
        ISO_TRY(check_barrier(l, &ended));
    }
    return ISO_OK;
}

static iso_status run_groups(launch *l)
{
    const uint32_t *groups = l->group.work->groups;
    uint32_t number = 0;
    for (uint32_t z = 0; z < groups[2]; z++)
        for (uint32_t y = 0; y < groups[1]; y++)
            for (uint32_t x = 0; x < groups[0]; x++) {
                l->group.id[0] = x;
                l->group.id[1] = y;
                l->group.id[2] = z;
                ISO_TRY(run_group(l, number++));
            }
    return ISO_OK;
}

iso_status iso_sim_execute(sim_device *device, const sim_work *work)
{
    launch l = {.allocator = device->allocator, .program = work->program};
    iso_status status;
    l.group.work = work;
    l.group.program = work->program;
    ISO_TRY_GOTO(allocate(&l), done);
    ISO_TRY_GOTO(prepare(&l, work), done);
    status = run_groups(&l);
done:
    release(&l);
    return status;
}
