// SPDX-License-Identifier: MIT
//
// What the active lanes of a subgroup do together: memory, and flow. Lanes that go different ways wait at the
// step where they will go on; the lowest step runs first. Since a text puts the block where ways join behind
// all that leads there, lanes meet again at the first place where they can. No access leaves its array or its
// argument.
#include <string.h>

#include "backends/sim/program.h"

typedef uint32_t words __attribute__((vector_size(SIM_VECTOR * 4)));

#define VECTOR(pointer) ((words *)(void *)(pointer))

static bool any(words v)
{
    uint32_t bits = 0;
    for (int i = 0; i < SIM_VECTOR; i++)
        bits |= v[i];
    return bits != 0;
}

void iso_sim_lanes_set_mask(sim_lanes *lanes, const uint32_t *mask)
{
    words missing = {0};
    for (uint32_t i = 0; i < lanes->vectors; i++) {
        const words m = VECTOR(mask)[i];
        VECTOR(lanes->active)[i] = m;
        missing |= m ^ VECTOR(lanes->all)[i];
    }
    lanes->full = !any(missing);
}

const sim_step *iso_sim_run_set(sim_lanes *lanes, const sim_step *step)
{
    words *to = VECTOR(lanes->rows + step->to);
    const words *from = VECTOR(lanes->rows + step->a), *active = VECTOR(lanes->active);
    if (lanes->full) {
        for (uint32_t i = 0; i < lanes->vectors; i++)
            to[i] = from[i];
    } else {
        for (uint32_t i = 0; i < lanes->vectors; i++)
            to[i] = (from[i] & active[i]) | (to[i] & ~active[i]);
    }
    return step + 1;
}

// ---- memory ----

static const sim_step *fail_access(sim_lanes *lanes, const uint32_t *index, uint32_t skip, uint64_t length,
                                   const char *what)
{
    const sim_group *group = lanes->group;
    uint32_t lane = 0;
    while (lane + 1 < lanes->width && !(lanes->active[lane] && (uint64_t)index[lane] + skip >= length))
        lane++;
    const uint64_t element = (uint64_t)index[lane] + skip;
    lanes->status = iso_fail(
        ISO_DEVICE_LOST,
        "%s: group %u, %u, %u, lane %u: element %llu of %s (bytes from %llu) is outside: it has %llu",
        group->work->label, group->id[0], group->id[1], group->id[2], lanes->first + lane,
        (unsigned long long)element, what, (unsigned long long)(element * 4), (unsigned long long)length);
    return NULL;
}

// A chip with faults does with such an access what chips do: within the memory it happens, farther out a read
// gives 0 and a write is lost. So it is the suite that has to find the fault. On a chip without faults the
// kernel is wrong, and is stopped.
static bool forgives(const sim_lanes *lanes)
{
    return lanes->group->program->chip->rule_count > 0;
}

// One lane at a time, of memory with `room` words.
static void read_outside(const sim_lanes *lanes, uint32_t *to, const uint32_t *memory, const uint32_t *index,
                         uint64_t room)
{
    for (uint32_t i = 0; i < lanes->width; i++)
        if (lanes->active[i])
            to[i] = index[i] < room ? memory[index[i]] : 0;
}

static void write_outside(const sim_lanes *lanes, const uint32_t *from, uint32_t *memory,
                          const uint32_t *index, uint64_t room)
{
    for (uint32_t i = 0; i < lanes->width; i++)
        if (lanes->active[i] && index[i] < room)
            memory[index[i]] = from[i];
}

// Whether each active lane's index is below length - skip.
static bool within(const sim_lanes *lanes, const uint32_t *index, uint32_t skip, uint64_t length)
{
    if (length <= skip)
        return false;
    const uint32_t least_bad = length - skip > UINT32_MAX ? UINT32_MAX : (uint32_t)(length - skip);
    words bad = {0};
    for (uint32_t i = 0; i < lanes->vectors; i++)
        bad |= (words)(VECTOR(index)[i] >= least_bad) & VECTOR(lanes->active)[i];
    return !any(bad);
}

// to = memory[index], for the active lanes; the others get element 0.
static void gather(const sim_lanes *lanes, uint32_t *to, const uint32_t *memory, const uint32_t *index)
{
    if (lanes->full && index[0] == index[lanes->width - 1]) { // very often all lanes read the same
        words differ = {0};
        const words first = VECTOR(index)[0] - VECTOR(index)[0] + index[0];
        for (uint32_t i = 0; i < lanes->vectors; i++)
            differ |= VECTOR(index)[i] ^ first;
        if (!any(differ)) {
            const words value = first - first + memory[index[0]];
            for (uint32_t i = 0; i < lanes->vectors; i++)
                VECTOR(to)[i] = value;
            return;
        }
    }
    for (uint32_t i = 0; i < lanes->width; i++)
        to[i] = memory[index[i] & lanes->active[i]];
}

static void scatter(const sim_lanes *lanes, const uint32_t *from, uint32_t *memory, const uint32_t *index)
{
    for (uint32_t i = 0; i < lanes->width; i++)
        if (lanes->active[i])
            memory[index[i]] = from[i];
}

const sim_step *iso_sim_run_get_at(sim_lanes *lanes, const sim_step *step)
{
    const sim_variable *variable = &lanes->group->program->variables[step->c];
    const uint32_t *index = lanes->rows + step->a;
    const bool inside = within(lanes, index, 0, variable->length);
    if (!inside && !forgives(lanes))
        return fail_access(lanes, index, 0, variable->length, variable->name);
    for (uint32_t i = 0; i < lanes->width; i++) {
        const uint32_t element = index[i] & lanes->active[i];
        lanes->rows[step->to + i] = inside || element < variable->length
                                        ? lanes->rows[variable->base + element * lanes->width + i]
                                        : 0;
    }
    return step + 1;
}

const sim_step *iso_sim_run_set_at(sim_lanes *lanes, const sim_step *step)
{
    const sim_variable *variable = &lanes->group->program->variables[step->c];
    const uint32_t *index = lanes->rows + step->a;
    if (!within(lanes, index, 0, variable->length) && !forgives(lanes))
        return fail_access(lanes, index, 0, variable->length, variable->name);
    for (uint32_t i = 0; i < lanes->width; i++)
        if (lanes->active[i] && index[i] < variable->length)
            lanes->rows[variable->base + index[i] * lanes->width + i] = lanes->rows[step->to + i];
    return step + 1;
}

const sim_step *iso_sim_run_get_shared(sim_lanes *lanes, const sim_step *step)
{
    const sim_variable *variable = &lanes->group->program->variables[step->c];
    const uint32_t *index = lanes->rows + step->a;
    uint32_t *memory = lanes->group->shared + variable->base;
    if (within(lanes, index, 0, variable->length))
        gather(lanes, lanes->rows + step->to, memory, index);
    else if (forgives(lanes))
        read_outside(lanes, lanes->rows + step->to, memory, index, variable->length);
    else
        return fail_access(lanes, index, 0, variable->length, variable->name);
    return step + 1;
}

const sim_step *iso_sim_run_set_shared(sim_lanes *lanes, const sim_step *step)
{
    const sim_variable *variable = &lanes->group->program->variables[step->c];
    const uint32_t *index = lanes->rows + step->a;
    uint32_t *memory = lanes->group->shared + variable->base;
    if (within(lanes, index, 0, variable->length))
        scatter(lanes, lanes->rows + step->to, memory, index);
    else if (forgives(lanes))
        write_outside(lanes, lanes->rows + step->to, memory, index, variable->length);
    else
        return fail_access(lanes, index, 0, variable->length, variable->name);
    return step + 1;
}

const sim_step *iso_sim_run_get_buffer(sim_lanes *lanes, const sim_step *step)
{
    const sim_buffer *buffer = &lanes->group->buffers[step->c];
    const uint32_t *index = lanes->rows + step->a;
    if (within(lanes, index, step->b, buffer->length))
        gather(lanes, lanes->rows + step->to, buffer->words + step->b, index);
    else if (forgives(lanes))
        read_outside(lanes, lanes->rows + step->to, buffer->words + step->b, index,
                     buffer->room > step->b ? buffer->room - step->b : 0);
    else
        return fail_access(lanes, index, step->b, buffer->length,
                           lanes->group->program->arguments[step->c].name);
    return step + 1;
}

const sim_step *iso_sim_run_set_buffer(sim_lanes *lanes, const sim_step *step)
{
    const sim_buffer *buffer = &lanes->group->buffers[step->c];
    const uint32_t *index = lanes->rows + step->a;
    if (within(lanes, index, step->b, buffer->length))
        scatter(lanes, lanes->rows + step->to, buffer->words + step->b, index);
    else if (forgives(lanes))
        write_outside(lanes, lanes->rows + step->to, buffer->words + step->b, index,
                      buffer->room > step->b ? buffer->room - step->b : 0);
    else
        return fail_access(lanes, index, step->b, buffer->length,
                           lanes->group->program->arguments[step->c].name);
    return step + 1;
}

// ---- flow ----

static const sim_step *fail_loop(sim_lanes *lanes)
{
    lanes->status = iso_fail(ISO_DEVICE_LOST, "%s: group %u, %u, %u: a loop did not end within %d rounds",
                             lanes->group->work->label, lanes->group->id[0], lanes->group->id[1],
                             lanes->group->id[2], (int)SIM_MAX_ROUNDS);
    return NULL;
}

// Lanes of `mask` will go on at `at`. There is one entry for a step and frame, so the labels bound their
// number.
static void wait_at(sim_lanes *lanes, const sim_step *at, const uint32_t *mask)
{
    uint32_t i = lanes->waiting_count;
    while (i > lanes->base && lanes->waiting[i - 1].at < at)
        i--;
    if (i > lanes->base && lanes->waiting[i - 1].at == at) {
        for (uint32_t v = 0; v < lanes->vectors; v++)
            VECTOR(lanes->waiting[i - 1].mask)[v] |= VECTOR(mask)[v];
        return;
    }
    uint32_t *room = lanes->waiting[lanes->waiting_count].mask; // masks change places, none is lost
    for (uint32_t k = lanes->waiting_count; k > i; k--)
        lanes->waiting[k] = lanes->waiting[k - 1];
    memcpy(room, mask, lanes->width * sizeof *room);
    lanes->waiting[i] = (sim_waiting){at, room};
    lanes->waiting_count++;
}

// The lowest of what waits runs.
static const sim_step *take_lowest(sim_lanes *lanes)
{
    const sim_waiting *lowest = &lanes->waiting[--lanes->waiting_count];
    iso_sim_lanes_set_mask(lanes, lowest->mask);
    return lowest->at;
}

// All active lanes go to `at`.
static const sim_step *go(sim_lanes *lanes, const sim_step *from, const sim_step *at)
{
    if (at <= from && ++lanes->rounds > SIM_MAX_ROUNDS)
        return fail_loop(lanes);
    if (lanes->waiting_count == lanes->base || lanes->waiting[lanes->waiting_count - 1].at > at)
        return at;
    wait_at(lanes, at, lanes->active);
    return take_lowest(lanes);
}

const sim_step *iso_sim_run_jump(sim_lanes *lanes, const sim_step *step)
{
    return go(lanes, step, lanes->group->program->steps + step->b);
}

const sim_step *iso_sim_run_branch(sim_lanes *lanes, const sim_step *step)
{
    const sim_program *program = lanes->group->program;
    const sim_step *yes = program->steps + step->b, *no = program->steps + step->c;
    const words *truth = VECTOR(lanes->rows + step->a);
    words *active = VECTOR(lanes->active), *rest = VECTOR(lanes->saved);
    words any_yes = {0}, any_no = {0};
    for (uint32_t i = 0; i < lanes->vectors; i++) {
        any_yes |= active[i] & truth[i];
        any_no |= rest[i] = active[i] & ~truth[i];
    }
    const bool some_yes = any(any_yes), some_no = any(any_no);
    program->taken[step->to] |= some_yes;
    program->taken[step->to + 1] |= some_no;
    if (!some_no)
        return go(lanes, step, yes);
    if (!some_yes)
        return go(lanes, step, no);
    if (yes == no)
        return go(lanes, step, yes);
    wait_at(lanes, no, lanes->saved);
    for (uint32_t i = 0; i < lanes->vectors; i++)
        active[i] &= truth[i];
    lanes->full = false;
    if (no <= step && ++lanes->rounds > SIM_MAX_ROUNDS)
        return fail_loop(lanes);
    return go(lanes, step, yes);
}

const sim_step *iso_sim_run_switch(sim_lanes *lanes, const sim_step *step)
{
    const sim_program *program = lanes->group->program;
    const uint32_t *selector = lanes->rows + step->a;
    // Case by case; the last stands for all other values.
    for (uint32_t k = 0; k < step->c; k++) {
        const sim_case *one = &program->cases[step->b + k];
        uint32_t found = 0;
        for (uint32_t i = 0; i < lanes->width; i++) {
            const bool here = lanes->active[i] && (k + 1 == step->c || selector[i] == one->value);
            lanes->saved[i] = here ? UINT32_MAX : 0;
            lanes->active[i] &= ~lanes->saved[i];
            found |= lanes->saved[i];
        }
        if (found == 0)
            continue;
        program->taken[step->to + k] = 1;
        wait_at(lanes, program->steps + one->target, lanes->saved);
    }
    if (++lanes->rounds > SIM_MAX_ROUNDS)
        return fail_loop(lanes);
    return take_lowest(lanes);
}

const sim_step *iso_sim_run_call(sim_lanes *lanes, const sim_step *step)
{
    sim_frame *frame = &lanes->frames[lanes->depth++]; // the depth was checked while decoding
    frame->back = step + 1;
    frame->base = lanes->base;
    frame->full = lanes->full;
    memcpy(frame->mask, lanes->active, lanes->width * sizeof *frame->mask);
    lanes->base = lanes->waiting_count;
    return lanes->group->program->steps + step->b;
}

const sim_step *iso_sim_run_return(sim_lanes *lanes, const sim_step *step)
{
    (void)step;
    if (lanes->waiting_count > lanes->base)
        return take_lowest(lanes);
    if (lanes->depth == 0) {
        lanes->resume = NULL;
        return NULL;
    }
    const sim_frame *frame = &lanes->frames[--lanes->depth];
    memcpy(lanes->active, frame->mask, lanes->width * sizeof *frame->mask);
    lanes->full = frame->full;
    lanes->base = frame->base;
    return frame->back;
}

const sim_step *iso_sim_run_barrier(sim_lanes *lanes, const sim_step *step)
{
    const sim_group *group = lanes->group;
    if (!lanes->full) {
        uint32_t lane = 0;
        while (lanes->active[lane] == lanes->all[lane])
            lane++;
        lanes->status = iso_fail(
            ISO_DEVICE_LOST, "%s: group %u, %u, %u: lane %u does not reach barrier %u with the others",
            group->work->label, group->id[0], group->id[1], group->id[2], lanes->first + lane, step->to);
        return NULL;
    }
    if (step->c != SIM_NONE && iso_sim_fault_in_group(group, &group->program->faults[step->c]))
        return step + 1;
    lanes->barrier = step;
    lanes->resume = step + 1;
    return NULL;
}

const sim_step *iso_sim_run_unreachable(sim_lanes *lanes, const sim_step *step)
{
    lanes->status = iso_fail(ISO_DEVICE_LOST, "%s: step %u, which no lane should reach, was reached",
                             lanes->group->work->label, (unsigned)(step - lanes->group->program->steps));
    return NULL;
}
