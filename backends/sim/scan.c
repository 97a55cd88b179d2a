// SPDX-License-Identifier: MIT
//
// The first pass over the functions: their parameters, blocks and calls, and how long each value lives. A
// value that only its own block uses gets a row that is used again afterwards; one that other blocks use
// keeps a row of its own, written only for active lanes. Products that a sum may take in live until the sum.
#include <string.h>

#include "backends/sim/decode.h"

// ---- uses ----

static iso_status use(sim_decoder *d, uint32_t id, uint32_t depth);

// The operands of an instruction that are ids; `depth` bounds chains of pointers.
static iso_status use_operands(sim_decoder *d, const sim_op *op, uint32_t depth)
{
    const sim_shape *shape = iso_sim_find_shape(op->code);
    const uint32_t first = op->code == OP_LABEL ? 2 : !shape || shape->has_result ? 3 : 1;
    const uint32_t most = shape ? shape->ids : 255;
    for (uint32_t i = first; i < op->length && i - first < most; i++) {
        if (op->code == OP_EXT_INST && i == 4)
            continue; // the instruction's number
        if (op->code == OP_PHI && (i - first) % 2 == 1)
            continue; // a label
        ISO_TRY(use(d, op->words[i], depth));
        if (op->code == OP_PHI)
            d->ids[op->words[i]].escapes = true; // it is read on the way out of its block
    }
    return ISO_OK;
}

static iso_status use_chain(sim_decoder *d, uint32_t at, uint32_t depth)
{
    sim_op op;
    const uint32_t here = d->at;
    ISO_TRY(iso_sim_next_op(d, at, &op));
    d->at = here; // what a pointer was made of lives as long as the pointer
    if (op.code != OP_ACCESS_CHAIN && op.code != OP_IN_BOUNDS_ACCESS_CHAIN && op.code != OP_FMUL)
        return ISO_OK;
    if (depth > SIM_MAX_CALL_DEPTH)
        return sim_fail(d, "a pointer made of more than %d others", (int)SIM_MAX_CALL_DEPTH);
    return use_operands(d, &op, depth + 1);
}

static iso_status use(sim_decoder *d, uint32_t id, uint32_t depth)
{
    ISO_TRY(iso_sim_check_id(d, id));
    sim_id *used = &d->ids[id];
    if (depth == 0) {
        used->uses++;
        used->user = d->at;
    }
    if (d->at > used->last_use)
        used->last_use = d->at;
    const bool here = used->kind != SIM_ID_NONE && used->block == d->block;
    if (!here && !used->constant)
        used->escapes = true;
    if (used->kind == SIM_ID_POINTER && used->block != 0)
        return use_chain(d, used->at, depth);
    const bool product =
        depth == 0 && used->kind == SIM_ID_VALUE && here && d->program->chip->features.contract;
    return product ? use_chain(d, used->at, depth) : ISO_OK;
}

// What is written through a parameter comes back to the caller.
static iso_status note_change(sim_decoder *d, uint32_t pointer)
{
    for (uint32_t depth = 0; depth <= SIM_MAX_CALL_DEPTH; depth++) {
        ISO_TRY(iso_sim_check_id(d, pointer));
        sim_op op;
        const uint32_t here = d->at;
        d->ids[pointer].changed = true;
        if (d->ids[pointer].kind != SIM_ID_POINTER || d->ids[pointer].block == 0)
            return ISO_OK;
        ISO_TRY(iso_sim_next_op(d, d->ids[pointer].at, &op));
        d->at = here;
        if (op.code != OP_ACCESS_CHAIN && op.code != OP_IN_BOUNDS_ACCESS_CHAIN)
            return ISO_OK;
        pointer = op.words[3];
    }
    return sim_fail(d, "a pointer made of more than %d others", (int)SIM_MAX_CALL_DEPTH);
}

// ---- functions ----

static iso_status scan_function(sim_decoder *d, const sim_op *op)
{
    if (d->function != 0)
        return sim_fail(d, "a function inside of another");
    ISO_TRY(iso_sim_define(d, op->words[2], SIM_ID_FUNCTION, op->words[4]));
    const sim_type *type = iso_sim_type_of(d, op->words[4]);
    const sim_type *result = iso_sim_type_of(d, op->words[1]);
    if (type->kind != SIM_TYPE_FUNCTION || type->element != op->words[1] ||
        (result->kind != SIM_TYPE_VOID && result->words == 0))
        return sim_fail(d, "a function whose type does not say what it returns");
    d->function = op->words[2];
    d->block = 0;
    sim_id *function = &d->ids[d->function];
    function->first_parameter = (uint32_t)d->parameter_count;
    function->depth = 1;
    return result->words > 0 ? iso_sim_take_rows(d, result->words, &function->result_row) : ISO_OK;
}

static iso_status scan_parameter(sim_decoder *d, const sim_op *op)
{
    sim_id *function = &d->ids[d->function];
    if (d->function == 0 || d->block != 0)
        return sim_fail(d, "a parameter outside of a function's head");
    const sim_type *type = iso_sim_type_of(d, op->words[1]);
    const bool is_pointer = type->kind == SIM_TYPE_POINTER;
    const uint32_t words = is_pointer ? iso_sim_type_of(d, type->element)->words : type->words;
    if (words == 0 || (is_pointer && type->storage != STORAGE_FUNCTION))
        return sim_fail(d, "a parameter that is neither a number nor a pointer to a function's variable");
    ISO_TRY(iso_sim_define(d, op->words[2], is_pointer ? SIM_ID_POINTER : SIM_ID_VALUE, op->words[1]));
    sim_id *id = &d->ids[op->words[2]];
    ISO_TRY(iso_sim_take_rows(d, words, &id->row));
    if (is_pointer)
        id->pointer = (sim_pointer){.storage = STORAGE_FUNCTION,
                                    .root = op->words[2],
                                    .pointee = type->element,
                                    .argument = SIM_NONE,
                                    .at = id->row,
                                    .index = SIM_NONE};
    ISO_TRY(iso_grow(d->allocator, sizeof *d->parameters, d->parameter_count + 1, (void **)&d->parameters,
                     &d->parameter_capacity));
    d->parameters[d->parameter_count++] = op->words[2];
    function->parameter_count++;
    return ISO_OK;
}

static iso_status scan_call(sim_decoder *d, const sim_op *op)
{
    for (uint32_t i = 4; i < op->length; i++)
        ISO_TRY(note_change(d, op->words[i]));
    ISO_TRY(
        iso_grow(d->allocator, sizeof *d->calls, d->call_count + 1, (void **)&d->calls, &d->call_capacity));
    d->calls[d->call_count++] = (sim_call){d->function, op->words[3]};
    return ISO_OK;
}

static iso_status scan_body(sim_decoder *d, const sim_op *op)
{
    const sim_shape *shape = iso_sim_find_shape(op->code);
    if (!shape && !iso_sim_find_opcode(op->code))
        return sim_fail(d, "the instruction %u is not understood", op->code);
    if (op->length < (shape ? shape->least : 4))
        return sim_fail(d, "%s of %u words; at least %u",
                        shape ? shape->name : iso_sim_find_opcode(op->code)->name, op->length,
                        shape ? shape->least : 4);
    if (op->code == OP_FUNCTION)
        return scan_function(d, op);
    if (op->code == OP_FUNCTION_PARAMETER)
        return scan_parameter(d, op);
    if (d->function == 0)
        return sim_fail(d, "an instruction outside of functions");
    if (op->code == OP_LABEL) {
        ISO_TRY(iso_sim_define(d, op->words[1], SIM_ID_LABEL, d->function));
        d->block = op->words[1];
        d->program->label_count++;
        return ISO_OK;
    }
    if (op->code == OP_FUNCTION_END) {
        d->function = d->block = 0;
        return ISO_OK;
    }
    if (d->block == 0)
        return sim_fail(d, "an instruction outside of blocks");
    if (op->code == OP_VARIABLE)
        return iso_sim_read_variable(d, op);
    ISO_TRY(use_operands(d, op, 0));
    if (op->code == OP_STORE)
        ISO_TRY(note_change(d, op->words[1]));
    if (op->code == OP_FUNCTION_CALL)
        ISO_TRY(scan_call(d, op));
    if (op->code == OP_PHI) {
        d->ids[d->block].has_phi = true;
        d->program->label_count += (op->length - 3) / 2; // each way in is a place to wait at
    }
    if (shape && !shape->has_result)
        return ISO_OK;
    // What it is, a value or a pointer, is told when it is made.
    const bool chain = op->code == OP_ACCESS_CHAIN || op->code == OP_IN_BOUNDS_ACCESS_CHAIN;
    ISO_TRY(iso_sim_define(d, op->words[2], chain ? SIM_ID_POINTER : SIM_ID_VALUE, op->words[1]));
    d->ids[op->words[2]].block = d->block;
    return ISO_OK;
}

// Frames are as many as calls are deep; a text that calls itself would go beyond any depth.
static iso_status check_calls(sim_decoder *d)
{
    for (uint32_t round = 0; round <= SIM_MAX_CALL_DEPTH; round++) {
        bool changed = false;
        for (size_t i = 0; i < d->call_count; i++) {
            sim_id *caller = &d->ids[d->calls[i].caller];
            const sim_id *callee = &d->ids[d->calls[i].callee];
            if (callee->kind != SIM_ID_FUNCTION)
                return sim_fail(d, "a call of %u, which is no function", d->calls[i].callee);
            if (callee->depth + 1 > caller->depth) {
                caller->depth = callee->depth + 1;
                changed = true;
            }
        }
        if (!changed)
            return ISO_OK;
    }
    return sim_fail(d, "a function that calls itself, or calls deeper than %d", (int)SIM_MAX_CALL_DEPTH);
}

iso_status iso_sim_scan_functions(sim_decoder *d)
{
    for (size_t at = d->functions_at; at < d->count;) {
        sim_op op;
        ISO_TRY(iso_sim_next_op(d, at, &op));
        ISO_TRY(scan_body(d, &op));
        at += op.length;
    }
    if (d->function != 0)
        return sim_fail(d, "the module ends inside of a function");
    if (d->ids[d->main].kind != SIM_ID_FUNCTION || d->ids[d->main].parameter_count != 0)
        return sim_fail(d, "the entry point %u is no function without parameters", d->main);
    return check_calls(d);
}
