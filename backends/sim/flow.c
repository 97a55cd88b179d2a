// SPDX-License-Identifier: MIT
//
// Blocks, branches and calls. Steps keep the order of the text, in which a block where ways join stands
// behind all that leads there. In front of a block with phis stands an entry for each way in, which copies
// what that way brings.
#include <stdio.h>
#include <string.h>

#include "backends/sim/decode.h"

static iso_status add_fixup(sim_decoder *d, char field, uint32_t step, uint32_t label, bool function)
{
    ISO_TRY(iso_sim_check_id(d, label));
    ISO_TRY(iso_grow(d->allocator, sizeof *d->fixups, d->fixup_count + 1, (void **)&d->fixups,
                     &d->fixup_capacity));
    d->fixups[d->fixup_count++] = (sim_fixup){step, field, label, d->block, function};
    return ISO_OK;
}

static iso_status emit_jump(sim_decoder *d, uint32_t label)
{
    ISO_TRY(add_fixup(d, 'b', (uint32_t)d->program->step_count, label, false));
    return iso_sim_emit(d, iso_sim_run_jump, 0, 0, 0, 0);
}

// ---- phis ----

static iso_status next_phi(sim_decoder *d, size_t at, sim_op *out, bool *out_is_phi)
{
    const uint32_t here = d->at;
    *out_is_phi = false;
    while (at < d->count) {
        ISO_TRY(iso_sim_next_op(d, at, out));
        d->at = here;
        *out_is_phi = out->code == OP_PHI;
        if (out->code != OP_LINE && out->code != OP_NO_LINE)
            return ISO_OK;
        at += out->length;
    }
    return ISO_OK;
}

static iso_status phi_value(sim_decoder *d, const sim_op *phi, uint32_t from, uint32_t *out_value)
{
    *out_value = 0;
    for (uint32_t i = 3; i + 1 < phi->length; i += 2) {
        *out_value = phi->words[i];
        if (phi->words[i + 1] == from)
            return ISO_OK;
    }
    return sim_fail(d, "a phi without a value for the way from block %u", from);
}

// Values first all into rows of their own, then to the phis, since one phi may be another's value.
static iso_status emit_entry(sim_decoder *d, const sim_op *label, uint32_t from)
{
    ISO_TRY(
        iso_grow(d->allocator, sizeof *d->edges, d->edge_count + 1, (void **)&d->edges, &d->edge_capacity));
    d->edges[d->edge_count++] = (sim_edge){label->words[1], from, (uint32_t)d->program->step_count};
    for (uint32_t round = 0; round < 2; round++) {
        sim_op phi;
        bool is_phi;
        ISO_TRY(next_phi(d, label->at + label->length, &phi, &is_phi));
        while (is_phi) {
            uint32_t value;
            const uint32_t row = d->ids[phi.words[2]].row, buffer = row + d->program->width;
            ISO_TRY(phi_value(d, &phi, from, &value));
            if (iso_sim_type_of(d, d->ids[value].type)->words != 1)
                return sim_fail(d, "a phi of what is no number");
            if (round == 0)
                ISO_TRY(add_fixup(d, 'a', (uint32_t)d->program->step_count, value, false));
            ISO_TRY(round == 0 ? iso_sim_emit(d, iso_sim_run_copy, buffer, 0, 0, 0)
                               : iso_sim_emit(d, iso_sim_run_set, row, buffer, 0, 0));
            ISO_TRY(next_phi(d, phi.at + phi.length, &phi, &is_phi));
        }
    }
    return emit_jump(d, label->words[1]);
}

iso_status iso_sim_emit_label(sim_decoder *d, const sim_op *op)
{
    sim_id *label = &d->ids[op->words[1]];
    d->block = op->words[1];
    if (label->has_phi) {
        sim_op phi, first;
        bool is_phi;
        ISO_TRY(next_phi(d, op->at + op->length, &first, &is_phi));
        if (!is_phi)
            return sim_fail(d, "a phi that does not stand at the beginning of its block");
        phi = first;
        while (is_phi) {
            if (iso_sim_type_of(d, phi.words[1])->words != 1)
                return sim_fail(d, "a phi of what is no number");
            ISO_TRY(iso_sim_take_rows(d, 2, &d->ids[phi.words[2]].row));
            ISO_TRY(next_phi(d, phi.at + phi.length, &phi, &is_phi));
        }
        d->block = 0; // entries leave for this block as from nowhere
        for (uint32_t i = 4; i < first.length; i += 2)
            ISO_TRY(emit_entry(d, op, first.words[i]));
        d->block = op->words[1];
    }
    label->step = (uint32_t)d->program->step_count;
    return ISO_OK;
}

// ---- branches ----

static void describe_operand(const sim_decoder *d, uint32_t id, char out[48])
{
    char name[SIM_NAME_BYTES] = "";
    const sim_id *value = id < d->bound ? &d->ids[id] : NULL;
    if (value && value->constant) {
        const bool is_float = iso_sim_type_of(d, value->type)->kind == SIM_TYPE_FLOAT;
        float number;
        memcpy(&number, &value->literal, sizeof number);
        if (is_float)
            snprintf(out, 48, "%g", (double)number);
        else
            snprintf(out, 48, "%u", value->literal);
        return;
    }
    if (value && value->source != 0) {
        const sim_pointer *pointer = &d->ids[value->source].pointer;
        if (pointer->argument != SIM_NONE)
            memcpy(name, d->program->arguments[pointer->argument].name, sizeof name);
        else
            iso_sim_get_name(d, pointer->root, name);
    }
    snprintf(out, 48, "%.40s", name[0] ? name : "...");
}

static void describe_condition(const sim_decoder *d, uint32_t id, char out[112])
{
    const uint32_t *made = d->words + d->ids[id].at;
    const sim_opcode *operation =
        d->ids[id].kind == SIM_ID_VALUE ? iso_sim_find_opcode(made[0] & 0xffff) : NULL;
    char left[48], right[48];
    if (operation && operation->sign) {
        describe_operand(d, made[3], left);
        describe_operand(d, made[4], right);
        snprintf(out, 112, "%s %s %s", left, operation->sign, right);
    } else {
        describe_operand(d, id, left);
        snprintf(out, 112, "%s", left);
    }
}

static iso_status add_side(sim_decoder *d, uint32_t branch, const char *condition, const char *way)
{
    sim_program *program = d->program;
    char function[SIM_NAME_BYTES];
    iso_sim_get_name(d, d->function, function);
    ISO_TRY(iso_grow(d->allocator, sizeof *program->sides, program->side_count + 1, (void **)&program->sides,
                     &program->side_capacity));
    sim_side *side = &program->sides[program->side_count++];
    snprintf(side->text, sizeof side->text, "%.24s, branch %u (%.48s): never %.10s", function, branch,
             condition, way);
    return ISO_OK;
}

static iso_status emit_conditional(sim_decoder *d, const sim_op *op)
{
    const uint32_t step = (uint32_t)d->program->step_count, side = (uint32_t)d->program->side_count;
    uint32_t row;
    char condition[112];
    ISO_TRY(iso_sim_value(d, op->words[1], &row));
    if (iso_sim_type_of(d, d->ids[op->words[1]].type)->kind != SIM_TYPE_BOOL)
        return sim_fail(d, "a branch on what is no truth");
    describe_condition(d, op->words[1], condition);
    ISO_TRY(add_side(d, d->branches, condition, "true"));
    ISO_TRY(add_side(d, d->branches++, condition, "false"));
    ISO_TRY(add_fixup(d, 'b', step, op->words[2], false));
    ISO_TRY(add_fixup(d, 'c', step, op->words[3], false));
    return iso_sim_emit(d, iso_sim_run_branch, side, row, 0, 0);
}

static iso_status emit_switch(sim_decoder *d, const sim_op *op)
{
    sim_program *program = d->program;
    const uint32_t first = (uint32_t)program->case_count, side = (uint32_t)program->side_count;
    const uint32_t count = (op->length - 3) / 2;
    uint32_t row;
    char condition[112], way[16];
    ISO_TRY(iso_sim_value(d, op->words[1], &row));
    if (op->length % 2 == 0 || iso_sim_type_of(d, d->ids[op->words[1]].type)->kind != SIM_TYPE_INT)
        return sim_fail(d, "a switch on what is no integer, or a case without a label");
    describe_condition(d, op->words[1], condition);
    for (uint32_t i = 0; i <= count; i++) {
        const uint32_t label = i < count ? op->words[4 + 2 * i] : op->words[2];
        const uint32_t value = i < count ? op->words[3 + 2 * i] : 0;
        ISO_TRY(add_fixup(d, 'k', (uint32_t)program->case_count, label, false));
        ISO_TRY(iso_grow(d->allocator, sizeof *program->cases, program->case_count + 1,
                         (void **)&program->cases, &program->case_capacity));
        program->cases[program->case_count++] = (sim_case){value, 0};
        snprintf(way, sizeof way, "%u", value);
        ISO_TRY(add_side(d, d->branches, condition, i < count ? way : "another"));
    }
    d->branches++;
    return iso_sim_emit(d, iso_sim_run_switch, side, row, first, count + 1);
}

static iso_status emit_return(sim_decoder *d, const sim_op *op)
{
    const sim_id *function = &d->ids[d->function];
    const uint32_t result = iso_sim_type_of(d, function->type)->element,
                   words = iso_sim_type_of(d, result)->words;
    if ((op->code == OP_RETURN_VALUE) != (words > 0))
        return sim_fail(d, "a return with a value from a function without one, or the other way round");
    if (words > 0) {
        uint32_t row;
        ISO_TRY(iso_sim_value(d, op->words[1], &row));
        if (d->ids[op->words[1]].type != result)
            return sim_fail(d, "a return of another type than the function's");
        for (uint32_t i = 0; i < words; i++)
            ISO_TRY(iso_sim_emit(d, iso_sim_run_set, function->result_row + i * d->program->width,
                                 row + i * d->program->width, 0, 0));
    }
    return iso_sim_emit(d, iso_sim_run_return, 0, 0, 0, 0);
}

iso_status iso_sim_emit_flow(sim_decoder *d, const sim_op *op)
{
    switch (op->code) {
    case OP_BRANCH:
        return emit_jump(d, op->words[1]);
    case OP_BRANCH_CONDITIONAL:
        return emit_conditional(d, op);
    case OP_SWITCH:
        return emit_switch(d, op);
    case OP_UNREACHABLE:
        return iso_sim_emit(d, iso_sim_run_unreachable, 0, 0, 0, 0);
    default:
        return emit_return(d, op);
    }
}

// ---- calls ----

// A pointer parameter is the callee's own variable: it is filled before the call and, where the callee writes
// it, given back after it, which is the same as long as two parameters are not one variable.
static iso_status pass_parameter(sim_decoder *d, uint32_t argument, const sim_id *parameter, bool back)
{
    const uint32_t width = d->program->width;
    uint32_t words, from;
    if (parameter->kind == SIM_ID_POINTER) {
        const sim_id *passed = &d->ids[argument];
        const sim_pointer *pointer = &passed->pointer;
        if (passed->kind != SIM_ID_POINTER || pointer->storage != STORAGE_FUNCTION || pointer->dynamic ||
            pointer->pointee != parameter->pointer.pointee)
            return sim_fail(d, "a pointer parameter that is no variable of the function, or of another type");
        words = iso_sim_type_of(d, pointer->pointee)->words;
        from = pointer->at;
        if (back && !parameter->changed)
            return ISO_OK;
    } else {
        if (back)
            return ISO_OK;
        ISO_TRY(iso_sim_value(d, argument, &from));
        if (d->ids[argument].type != parameter->type)
            return sim_fail(d, "a parameter of another type than the function's");
        words = iso_sim_type_of(d, parameter->type)->words;
    }
    for (uint32_t i = 0; i < words; i++)
        ISO_TRY(back ? iso_sim_emit(d, iso_sim_run_set, from + i * width, parameter->row + i * width, 0, 0)
                     : iso_sim_emit(d, iso_sim_run_copy, parameter->row + i * width, from + i * width, 0, 0));
    return ISO_OK;
}

static iso_status emit_call_result(sim_decoder *d, const sim_op *op, const sim_id *callee)
{
    const uint32_t id = op->words[2], words = iso_sim_type_of(d, op->words[1])->words;
    uint32_t to;
    char name[SIM_NAME_BYTES];
    if (words == 0)
        return ISO_OK;
    ISO_TRY(iso_sim_result(d, id, op->words[1], &to));
    for (uint32_t i = 0; i < words; i++)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, to + i * d->program->width,
                             callee->result_row + i * d->program->width, 0, 0));
    if (words == 1) {
        iso_sim_get_name(d, op->words[3], name);
        sim_place place = {.site = SIM_RESULT, .name = name, .index = SIM_NONE, .argument = SIM_NONE};
        ISO_TRY(iso_sim_kind_of(d, op->words[1], &place.kind));
        ISO_TRY(iso_sim_emit_faults(d, &place, to));
    }
    return iso_sim_finish_result(d, id);
}

iso_status iso_sim_emit_call(sim_decoder *d, const sim_op *op)
{
    const sim_id *callee = &d->ids[op->words[3]]; // a function: scan.c
    if (iso_sim_type_of(d, callee->type)->element != op->words[1] ||
        op->length != 4 + callee->parameter_count)
        return sim_fail(d, "a call with %u parameters of a function with %u, or of another type",
                        op->length - 4, callee->parameter_count);
    for (uint32_t i = 0; i < callee->parameter_count; i++)
        ISO_TRY(
            pass_parameter(d, op->words[4 + i], &d->ids[d->parameters[callee->first_parameter + i]], false));
    ISO_TRY(add_fixup(d, 'b', (uint32_t)d->program->step_count, op->words[3], true));
    ISO_TRY(iso_sim_emit(d, iso_sim_run_call, 0, 0, 0, 0));
    for (uint32_t i = 0; i < callee->parameter_count; i++)
        ISO_TRY(
            pass_parameter(d, op->words[4 + i], &d->ids[d->parameters[callee->first_parameter + i]], true));
    return emit_call_result(d, op, callee);
}

// ---- labels ----

static iso_status find_target(sim_decoder *d, const sim_fixup *fixup, uint32_t *out_step)
{
    const sim_id *label = &d->ids[fixup->label];
    *out_step = label->step;
    if (!fixup->function && label->kind != SIM_ID_LABEL)
        return sim_fail(d, "a branch to %u, which is no block", fixup->label);
    if (!fixup->function && fixup->from != 0 && d->ids[fixup->from].type != label->type)
        return sim_fail(d, "a branch to block %u of another function", fixup->label);
    if (fixup->function || !label->has_phi || fixup->from == 0)
        return ISO_OK;
    for (size_t i = 0; i < d->edge_count; i++) {
        if (d->edges[i].label != fixup->label || d->edges[i].from != fixup->from)
            continue;
        *out_step = d->edges[i].step;
        return ISO_OK;
    }
    return sim_fail(d, "a branch from block %u to %u, whose phis do not know it", fixup->from, fixup->label);
}

iso_status iso_sim_fix_labels(sim_decoder *d)
{
    sim_program *program = d->program;
    for (size_t i = 0; i < d->fixup_count; i++) {
        const sim_fixup *fixup = &d->fixups[i];
        uint32_t step;
        if (fixup->field == 'a') {
            ISO_TRY(iso_sim_value(d, fixup->label, &program->steps[fixup->step].a));
            continue;
        }
        ISO_TRY(find_target(d, fixup, &step));
        if (fixup->field == 'k')
            program->cases[fixup->step].target = step;
        else if (fixup->field == 'b')
            program->steps[fixup->step].b = step;
        else
            program->steps[fixup->step].c = step;
    }
    return ISO_OK;
}
