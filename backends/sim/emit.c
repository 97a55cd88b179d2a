// SPDX-License-Identifier: MIT
//
// The second pass over the functions: hands each instruction to the file that makes its steps, and gives
// values their rows.
#include <string.h>

#include "backends/sim/decode.h"

iso_status iso_sim_emit(sim_decoder *d, sim_run run, uint32_t to, uint32_t a, uint32_t b, uint32_t c)
{
    sim_program *program = d->program;
    ISO_TRY(iso_grow(d->allocator, sizeof *program->steps, program->step_count + 1, (void **)&program->steps,
                     &program->step_capacity));
    program->steps[program->step_count++] = (sim_step){run, to, a, b, c};
    return ISO_OK;
}

// ---- rows of values ----

iso_status iso_sim_value(sim_decoder *d, uint32_t id, uint32_t *out_row)
{
    ISO_TRY(iso_sim_check_id(d, id));
    const sim_id *value = &d->ids[id];
    if (value->kind != SIM_ID_VALUE || value->row == SIM_NONE)
        return sim_fail(d, "the id %u, which is no value made before", id);
    *out_row = value->row;
    return ISO_OK;
}

iso_status iso_sim_take_temporary(sim_decoder *d, uint32_t *out_row)
{
    if (d->spare_count > 0) {
        *out_row = d->spare[--d->spare_count];
        return ISO_OK;
    }
    return iso_sim_take_rows(d, 1, out_row);
}

iso_status iso_sim_give_temporary(sim_decoder *d, uint32_t row)
{
    ISO_TRY(
        iso_grow(d->allocator, sizeof *d->spare, d->spare_count + 1, (void **)&d->spare, &d->spare_capacity));
    d->spare[d->spare_count++] = row;
    return ISO_OK;
}

iso_status iso_sim_result(sim_decoder *d, uint32_t id, uint32_t type, uint32_t *out_row)
{
    const uint32_t words = iso_sim_type_of(d, type)->words;
    sim_id *value = &d->ids[id];
    if (words == 0)
        return sim_fail(d, "a result of a type that is no number");
    if (words > 1) { // rare: keeps its rows
        ISO_TRY(iso_sim_take_rows(d, words, &value->row));
        *out_row = value->row;
        return ISO_OK;
    }
    ISO_TRY(iso_sim_take_temporary(d, &value->row));
    value->temporary = true;
    ISO_TRY(iso_grow(d->allocator, sizeof *d->live, d->live_count + 1, (void **)&d->live, &d->live_capacity));
    d->live[d->live_count++] = id;
    *out_row = value->row;
    return ISO_OK;
}

// Other lanes may need what they have in a value that leaves its block.
iso_status iso_sim_finish_result(sim_decoder *d, uint32_t id)
{
    sim_id *value = &d->ids[id];
    if (!value->escapes)
        return ISO_OK;
    const uint32_t words = iso_sim_type_of(d, value->type)->words, from = value->row;
    uint32_t row;
    ISO_TRY(iso_sim_take_rows(d, words, &row));
    for (uint32_t i = 0; i < words; i++)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_set, row + i * d->program->width, from + i * d->program->width, 0,
                             0));
    if (value->temporary) {
        ISO_TRY(iso_sim_give_temporary(d, from));
        value->temporary = false;
        for (size_t i = 0; i < d->live_count; i++)
            if (d->live[i] == id)
                d->live[i--] = d->live[--d->live_count];
    }
    value->row = row;
    return ISO_OK;
}

static iso_status release_temporaries(sim_decoder *d)
{
    for (size_t i = 0; i < d->live_count; i++) {
        sim_id *value = &d->ids[d->live[i]];
        if (value->last_use > d->at)
            continue;
        ISO_TRY(iso_sim_give_temporary(d, value->row));
        value->temporary = false;
        value->row = SIM_NONE; // a use after the last one would be a mistake of scan.c
        d->live[i--] = d->live[--d->live_count];
    }
    return ISO_OK;
}

iso_status iso_sim_kind_of(sim_decoder *d, uint32_t type, sim_kind *out)
{
    const sim_type *shape = iso_sim_type_of(d, type);
    switch (shape->kind) {
    case SIM_TYPE_BOOL:
        *out = SIM_KIND_BOOL;
        return ISO_OK;
    case SIM_TYPE_INT:
        *out = shape->is_signed ? SIM_KIND_I32 : SIM_KIND_U32;
        return ISO_OK;
    case SIM_TYPE_FLOAT:
        *out = SIM_KIND_F32;
        return ISO_OK;
    default:
        return sim_fail(d, "a value that is no 32-bit number or truth");
    }
}

// ---- instructions ----

static iso_status emit_function(sim_decoder *d, const sim_op *op)
{
    d->function = op->words[2];
    d->block = 0;
    d->branches = 0;
    d->spare_count = 0; // a call keeps the rows of its caller
    d->in_main = d->function == d->main;
    sim_id *function = &d->ids[d->function];
    function->step = (uint32_t)d->program->step_count;
    if (function->parameter_count != iso_sim_type_of(d, function->type)->count)
        return sim_fail(d, "a function of %u parameters whose type has %u", function->parameter_count,
                        iso_sim_type_of(d, function->type)->count);
    return ISO_OK;
}

static iso_status emit_undefined(sim_decoder *d, const sim_op *op)
{
    uint32_t row;
    const uint32_t words = iso_sim_type_of(d, op->words[1])->words;
    if (words == 0)
        return sim_fail(d, "an undefined value of a type that is no number");
    ISO_TRY(iso_sim_take_rows(d, words, &row));
    d->ids[op->words[2]].row = row;
    return iso_sim_poison_rows(d, row, words);
}

static iso_status emit_barrier(sim_decoder *d)
{
    const sim_place place = {
        .site = SIM_BARRIER, .ordinal = d->barriers, .index = SIM_NONE, .argument = SIM_NONE};
    uint32_t fault;
    ISO_TRY(iso_sim_find_fault(d, &place, SIM_DROP, &fault));
    return iso_sim_emit(d, iso_sim_run_barrier, d->barriers++, 0, 0, fault);
}

static iso_status emit_op(sim_decoder *d, const sim_op *op)
{
    switch (op->code) {
    case OP_NOP:
    case OP_LINE:
    case OP_NO_LINE:
    case OP_LOOP_MERGE:
    case OP_SELECTION_MERGE:
    case OP_MEMORY_BARRIER: // lanes see each other's memory at once
    case OP_VARIABLE:
    case OP_FUNCTION_PARAMETER:
    case OP_PHI: // made at the label
        return ISO_OK;
    case OP_FUNCTION:
        return emit_function(d, op);
    case OP_FUNCTION_END: // no block runs on into the next function
        return iso_sim_emit(d, iso_sim_run_unreachable, 0, 0, 0, 0);
    case OP_LABEL:
        return iso_sim_emit_label(d, op);
    case OP_UNDEF:
        return emit_undefined(d, op);
    case OP_LOAD:
        return iso_sim_emit_load(d, op);
    case OP_STORE:
        return iso_sim_emit_store(d, op);
    case OP_ACCESS_CHAIN:
    case OP_IN_BOUNDS_ACCESS_CHAIN:
        return iso_sim_emit_chain(d, op);
    case OP_CONTROL_BARRIER:
        return emit_barrier(d);
    case OP_FUNCTION_CALL:
        return iso_sim_emit_call(d, op);
    case OP_COMPOSITE_CONSTRUCT:
    case OP_COMPOSITE_EXTRACT:
        return iso_sim_emit_composite(d, op);
    case OP_BRANCH:
    case OP_BRANCH_CONDITIONAL:
    case OP_SWITCH:
    case OP_RETURN:
    case OP_RETURN_VALUE:
    case OP_UNREACHABLE:
        return iso_sim_emit_flow(d, op);
    default:
        return iso_sim_emit_arithmetic(d, op);
    }
}

static bool ends_block(uint32_t code)
{
    return code == OP_BRANCH || code == OP_BRANCH_CONDITIONAL || code == OP_SWITCH || code == OP_RETURN ||
           code == OP_RETURN_VALUE || code == OP_UNREACHABLE;
}

iso_status iso_sim_emit_functions(sim_decoder *d)
{
    bool open = false; // a block has begun and not ended
    for (size_t at = d->functions_at; at < d->count;) {
        sim_op op;
        ISO_TRY(iso_sim_next_op(d, at, &op));
        const bool inside = op.code != OP_FUNCTION && op.code != OP_FUNCTION_PARAMETER &&
                            op.code != OP_LABEL && op.code != OP_FUNCTION_END && op.code != OP_LINE &&
                            op.code != OP_NO_LINE && op.code != OP_NOP;
        if ((inside && !open) || (open && (op.code == OP_LABEL || op.code == OP_FUNCTION_END)))
            return sim_fail(d, "a block that does not end in a branch, or an instruction behind it");
        ISO_TRY(emit_op(d, &op));
        open = op.code == OP_LABEL || (open && !ends_block(op.code));
        if (!open)
            d->at = UINT32_MAX; // nothing temporary outlives its block
        ISO_TRY(release_temporaries(d));
        at += op.length;
    }
    d->program->main_step = d->ids[d->main].step;
    return iso_sim_fix_labels(d);
}
