// SPDX-License-Identifier: MIT
//
// Faults while a kernel runs: the steps that decoding puts at a site that a rule names. Slow and one lane at
// a time; a site without a rule has no such step. Where they stand in the text is decided in sites.c.
#include <math.h>
#include <string.h>

#include "backends/sim/program.h"
#include "isomer/dtype.h"

static float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t as_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ---- conditions ----

static double as_number(sim_kind kind, uint32_t bits)
{
    switch (kind) {
    case SIM_KIND_F32:
        return (double)as_float(bits);
    case SIM_KIND_I32:
        return (double)(int32_t)bits;
    case SIM_KIND_BOOL:
        return bits != 0;
    default:
        return (double)bits;
    }
}

static sim_passage passage_of(const sim_group *group, const sim_fault *fault)
{
    const uint64_t length =
        fault->argument == SIM_NONE ? fault->length : group->buffers[fault->argument].length;
    return (sim_passage){.group = group->id[0],
                         .launch = group->work->launch_number,
                         .last_lane = group->program->group_size - 1,
                         .last_group = group->work->groups[0] - 1,
                         .last_index = length > 0 ? (uint32_t)(length - 1) : 0,
                         .args = group->work->args};
}

bool iso_sim_fault_in_group(const sim_group *group, const sim_fault *fault)
{
    const sim_passage passage = passage_of(group, fault);
    return iso_sim_rule_applies(&fault->rule, &passage);
}

// `index`: of the element, or NULL where the site has none.
static bool in_lane(const sim_lanes *lanes, const sim_fault *fault, uint32_t lane, const uint32_t *index,
                    uint32_t value)
{
    if (!lanes->active[lane])
        return false;
    sim_passage passage = passage_of(lanes->group, fault);
    passage.lane = lanes->first + lane;
    passage.index = index ? index[lane] : 0;
    passage.value = as_number(fault->kind, value);
    return iso_sim_rule_applies(&fault->rule, &passage);
}

// ---- changes ----

// To the significant bits of the format, without its range.
static double rounded_number(const sim_rule *rule, double value)
{
    const int bits = rule->bits == 16 ? 8 : rule->bits == 11 ? 11 : 4;
    int exponent;
    const double fraction = frexp(value, &exponent);
    return ldexp(rint(ldexp(fraction, bits)), exponent - bits);
}

static uint32_t change_float(const sim_rule *rule, uint32_t bits)
{
    const float value = as_float(bits);
    switch (rule->change) {
    case SIM_ADD:
        return as_bits((float)((double)value + rule->amount));
    case SIM_MULTIPLY:
        return as_bits((float)((double)value * rule->amount));
    case SIM_SET:
        return as_bits((float)rule->amount);
    case SIM_ROUND:
        return as_bits(rule->bits == 16   ? iso_bf16_to_f32(iso_bf16_from_f32(value))
                       : rule->bits == 11 ? iso_f16_to_f32(iso_f16_from_f32(value))
                                          : iso_e4m3_to_f32(iso_e4m3_from_f32(value)));
    default:
        return bits ^ 0x80000000u; // SIM_NEGATE
    }
}

static uint32_t change_integer(const sim_rule *rule, sim_kind kind, uint32_t bits)
{
    const double value = as_number(kind, bits);
    switch (rule->change) {
    case SIM_ADD:
        return (uint32_t)(int64_t)fmod(trunc(value + rule->amount), 0x1p53); // where a double is exact
    case SIM_MULTIPLY:
        return (uint32_t)(int64_t)fmod(trunc(value * rule->amount), 0x1p53);
    case SIM_SET:
        return (uint32_t)(int64_t)fmod(trunc(rule->amount), 0x1p53);
    case SIM_ROUND:
        return (uint32_t)(int64_t)rounded_number(rule, value);
    default:
        return 0u - bits; // SIM_NEGATE
    }
}

static uint32_t changed(const sim_fault *fault, uint32_t bits)
{
    const sim_rule *rule = &fault->rule;
    switch (rule->change) {
    case SIM_XOR:
        return bits ^ rule->bits;
    case SIM_AND:
        return bits & rule->bits;
    case SIM_SWAP8:
        return bits >> 24 | (bits >> 8 & 0xff00u) | (bits << 8 & 0xff0000u) | bits << 24;
    case SIM_SWAP16:
        return bits >> 16 | bits << 16;
    default:
        return fault->kind == SIM_KIND_F32 ? change_float(rule, bits)
                                           : change_integer(rule, fault->kind, bits);
    }
}

static uint32_t changed_truth(const sim_rule *rule, uint32_t truth)
{
    if (rule->change == SIM_SET)
        return rule->amount != 0 ? UINT32_MAX : 0;
    return rule->change == SIM_DROP ? 0 : ~truth; // SIM_NEGATE
}

// ---- steps ----

static const uint32_t *index_row(const sim_lanes *lanes, const sim_step *step)
{
    return step->a == SIM_NONE ? NULL : lanes->rows + step->a;
}

// What the site had the time before, of the same lane, whichever group that was in.
static void keep(sim_lanes *lanes, const sim_fault *fault, uint32_t lane, uint32_t *value, bool acts)
{
    uint32_t *before = lanes->rows + fault->kept + lane, *known = before + lanes->width;
    const uint32_t now = *value;
    if (acts && *known)
        *value = *before;
    *before = now;
    *known = 1;
}

const sim_step *iso_sim_run_fault(sim_lanes *lanes, const sim_step *step)
{
    const sim_fault *fault = &lanes->group->program->faults[step->c];
    for (uint32_t i = 0; i < lanes->width; i++) {
        uint32_t *value = lanes->rows + step->to + i;
        const bool acts = in_lane(lanes, fault, i, index_row(lanes, step), *value);
        if (fault->rule.change == SIM_KEEP && lanes->active[i])
            keep(lanes, fault, i, value, acts);
        else if (acts)
            *value =
                fault->kind == SIM_KIND_BOOL ? changed_truth(&fault->rule, *value) : changed(fault, *value);
    }
    return step + 1;
}

const sim_step *iso_sim_run_fault_other(sim_lanes *lanes, const sim_step *step)
{
    const sim_fault *fault = &lanes->group->program->faults[step->c];
    for (uint32_t i = 0; i < lanes->width; i++)
        if (in_lane(lanes, fault, i, index_row(lanes, step), lanes->rows[step->to + i]))
            lanes->rows[step->to + i] = lanes->rows[step->b + i];
    return step + 1;
}

const sim_step *iso_sim_run_fault_hole(sim_lanes *lanes, const sim_step *step)
{
    const sim_fault *fault = &lanes->group->program->faults[step->c];
    if (step->b != 0) { // the first of a store's
        memcpy(lanes->saved, lanes->active, lanes->width * sizeof *lanes->saved);
        lanes->saved_full = lanes->full;
    }
    for (uint32_t i = 0; i < lanes->width; i++) {
        if (!in_lane(lanes, fault, i, index_row(lanes, step), lanes->rows[step->to + i]))
            continue;
        lanes->active[i] = 0;
        lanes->full = false;
    }
    return step + 1;
}

const sim_step *iso_sim_run_fault_heal(sim_lanes *lanes, const sim_step *step)
{
    memcpy(lanes->active, lanes->saved, lanes->width * sizeof *lanes->saved);
    lanes->full = lanes->saved_full;
    return step + 1;
}

// The word behind the argument; beyond the memory itself there is nothing to be had.
static uint32_t *word_past(const sim_buffer *buffer)
{
    return buffer->length < buffer->room ? buffer->words + buffer->length : NULL;
}

static bool is_last(const sim_buffer *buffer, const sim_step *step, const uint32_t *index, uint32_t lane)
{
    return (uint64_t)index[lane] + step->b == buffer->length - 1;
}

const sim_step *iso_sim_run_fault_past_read(sim_lanes *lanes, const sim_step *step)
{
    const sim_fault *fault = &lanes->group->program->faults[step->c];
    const sim_buffer *buffer = &lanes->group->buffers[fault->argument];
    const uint32_t *index = index_row(lanes, step), *past = word_past(buffer);
    uint32_t *value = lanes->rows + step->to;
    for (uint32_t i = 0; i < lanes->width; i++)
        if (in_lane(lanes, fault, i, index, value[i]) && is_last(buffer, step, index, i))
            value[i] = past ? *past : SIM_POISON;
    return step + 1;
}

const sim_step *iso_sim_run_fault_past_write(sim_lanes *lanes, const sim_step *step)
{
    const sim_fault *fault = &lanes->group->program->faults[step->c];
    const sim_buffer *buffer = &lanes->group->buffers[fault->argument];
    const uint32_t *index = index_row(lanes, step), *value = lanes->rows + step->to;
    uint32_t *past = word_past(buffer);
    for (uint32_t i = 0; past && i < lanes->width; i++)
        if (in_lane(lanes, fault, i, index, value[i]) && is_last(buffer, step, index, i))
            *past = value[i];
    return step + 1;
}
