// SPDX-License-Identifier: MIT
//
// Pointers, loads and stores. A pointer is known while decoding: a variable of the text or an argument of the
// launch, and at most one index that is not. A load from a variable that is not written before the value's
// last use is no step: the value is the variable's row.
#include <string.h>

#include "backends/sim/decode.h"

static bool in_rows(uint32_t storage)
{
    return storage == STORAGE_FUNCTION || storage == STORAGE_PRIVATE || storage == STORAGE_INPUT;
}

static iso_status pointer_of(sim_decoder *d, uint32_t id, sim_pointer *out)
{
    ISO_TRY(iso_sim_check_id(d, id));
    if (d->ids[id].kind != SIM_ID_POINTER || d->ids[id].pointer.storage == 0)
        return sim_fail(d, "the id %u, which is no pointer made before", id);
    *out = d->ids[id].pointer;
    return ISO_OK;
}

// ---- chains ----

static iso_status enter_struct(sim_decoder *d, uint32_t index, sim_pointer *pointer)
{
    const uint32_t type = pointer->pointee;
    const sim_id *constant = &d->ids[index];
    if (!constant->constant || constant->literal >= iso_sim_type_of(d, type)->count)
        return sim_fail(d, "a member of a struct that does not exist");
    const uint32_t member = constant->literal;
    pointer->pointee = iso_sim_member_type(d, type, member);
    if (pointer->storage == STORAGE_PUSH_CONSTANT) {
        pointer->argument = member;
        return ISO_OK;
    }
    if (pointer->storage == STORAGE_BUFFER) {
        uint32_t bytes;
        ISO_TRY(iso_sim_member_offset(d, type, member, &bytes));
        if (bytes % 4 != 0 || pointer->at > UINT32_MAX - bytes / 4)
            return sim_fail(d, "a member at byte %u, which is no multiple of 4", bytes);
        pointer->at += bytes / 4;
        return ISO_OK;
    }
    for (uint32_t i = 0; i < member; i++)
        pointer->at += iso_sim_type_of(d, iso_sim_member_type(d, type, i))->words *
                       (in_rows(pointer->storage) ? d->program->width : 1);
    return ISO_OK;
}

static iso_status enter_array(sim_decoder *d, uint32_t index, sim_pointer *pointer)
{
    const uint32_t type_id = pointer->pointee;
    const sim_type *type = iso_sim_type_of(d, type_id);
    const sim_id *value = &d->ids[index];
    const uint32_t words = iso_sim_type_of(d, type->element)->words;
    uint32_t row;
    ISO_TRY(iso_sim_value(d, index, &row));
    if (iso_sim_type_of(d, value->type)->kind != SIM_TYPE_INT)
        return sim_fail(d, "an index that is no integer");
    if (pointer->storage == STORAGE_BUFFER && (type->kind != SIM_TYPE_RUNTIME_ARRAY || type->stride != 4))
        return sim_fail(d, "an array in a buffer whose elements are not 4 bytes apart");
    const bool is_last = words == 1;
    if (pointer->dynamic || (!is_last && !value->constant))
        return sim_fail(d, "a chain with an index into an array of arrays that is not constant");
    pointer->pointee = type->element;
    if (is_last) {
        pointer->index = row;
        pointer->length = type->count;
    }
    pointer->dynamic = is_last && !(value->constant && in_rows(pointer->storage));
    if (pointer->dynamic)
        return ISO_OK;
    if (value->literal >= type->count)
        return sim_fail(d, "the constant index %u of an array of %u", value->literal, type->count);
    pointer->at += value->literal * words * (in_rows(pointer->storage) ? d->program->width : 1);
    return ISO_OK;
}

iso_status iso_sim_emit_chain(sim_decoder *d, const sim_op *op)
{
    sim_pointer pointer;
    ISO_TRY(pointer_of(d, op->words[3], &pointer));
    for (uint32_t i = 4; i < op->length; i++) {
        ISO_TRY(iso_sim_check_id(d, op->words[i]));
        const sim_type *type = iso_sim_type_of(d, pointer.pointee);
        if (type->kind == SIM_TYPE_STRUCT)
            ISO_TRY(enter_struct(d, op->words[i], &pointer));
        else if (type->kind == SIM_TYPE_ARRAY || type->kind == SIM_TYPE_RUNTIME_ARRAY ||
                 type->kind == SIM_TYPE_VECTOR)
            ISO_TRY(enter_array(d, op->words[i], &pointer));
        else
            return sim_fail(d, "an index into what is no array, vector or struct");
    }
    const sim_type *result = iso_sim_type_of(d, op->words[1]);
    if (result->kind != SIM_TYPE_POINTER || result->storage != pointer.storage ||
        result->element != pointer.pointee)
        return sim_fail(d, "a chain that ends at another type than its result");
    d->ids[op->words[2]].pointer = pointer;
    return ISO_OK;
}

// ---- places ----

static void describe_place(sim_decoder *d, sim_site site, const sim_pointer *pointer,
                           char name[SIM_NAME_BYTES], sim_place *out)
{
    *out = (sim_place){
        .site = site, .name = name, .argument = SIM_NONE, .index = pointer->index, .length = pointer->length};
    if (pointer->argument != SIM_NONE) {
        memcpy(name, d->program->arguments[pointer->argument].name, SIM_NAME_BYTES);
        out->argument = pointer->storage == STORAGE_BUFFER ? pointer->argument : SIM_NONE;
    } else {
        iso_sim_get_name(d, pointer->root, name);
    }
}

// The array that a step with an index names, one entry for each.
static iso_status find_variable(sim_decoder *d, const sim_pointer *pointer, uint32_t *out)
{
    sim_program *program = d->program;
    sim_variable wanted = {.base = pointer->at, .length = pointer->dynamic ? pointer->length : 1};
    iso_sim_get_name(d, pointer->root, wanted.name);
    for (*out = 0; *out < program->variable_count; ++*out)
        if (memcmp(&program->variables[*out], &wanted, sizeof wanted) == 0)
            return ISO_OK;
    ISO_TRY(iso_grow(d->allocator, sizeof *program->variables, program->variable_count + 1,
                     (void **)&program->variables, &program->variable_capacity));
    program->variables[program->variable_count++] = wanted;
    return ISO_OK;
}

// ---- loads ----

// The variable that a pointer leads back to, made or not yet; scan.c checked ids and the depth of chains.
static uint32_t root_of(const sim_decoder *d, uint32_t id)
{
    while (d->ids[id].block != 0) {
        const uint32_t *op = d->words + d->ids[id].at;
        const uint32_t code = op[0] & 0xffff;
        if (code != OP_ACCESS_CHAIN && code != OP_IN_BOUNDS_ACCESS_CHAIN)
            break;
        id = op[3];
    }
    return id;
}

// Whether the variable's row still has this value at the value's last use: nothing in between writes it.
static iso_status stays(sim_decoder *d, const sim_op *load, const sim_pointer *pointer, bool *out_stays)
{
    const sim_id *value = &d->ids[load->words[2]];
    const uint32_t here = d->at;
    *out_stays = false;
    if (pointer->storage == STORAGE_INPUT) {
        *out_stays = true;
        return ISO_OK;
    }
    for (size_t at = load->at + load->length; at < value->last_use && !value->escapes;) {
        sim_op op;
        ISO_TRY(iso_sim_next_op(d, at, &op));
        d->at = here;
        at += op.length;
        const uint32_t first = op.code == OP_STORE ? 1 : op.code == OP_FUNCTION_CALL ? 4 : op.length;
        const uint32_t end = op.code == OP_STORE ? 2 : op.length;
        if (op.code == OP_FUNCTION_CALL && pointer->storage == STORAGE_PRIVATE)
            return ISO_OK;
        for (uint32_t i = first; i < end; i++)
            if (root_of(d, op.words[i]) == pointer->root)
                return ISO_OK;
    }
    *out_stays = true;
    return ISO_OK;
}

static iso_status load_rows(sim_decoder *d, const sim_op *op, const sim_pointer *pointer,
                            const sim_place *place)
{
    const uint32_t id = op->words[2], words = iso_sim_type_of(d, pointer->pointee)->words;
    uint32_t to, variable;
    bool same;
    ISO_TRY(stays(d, op, pointer, &same));
    if (same && !pointer->dynamic && !iso_sim_has_rule(d, place)) {
        d->ids[id].row = pointer->at;
        return iso_sim_finish_result(d, id);
    }
    ISO_TRY(iso_sim_result(d, id, pointer->pointee, &to));
    if (pointer->dynamic) {
        ISO_TRY(find_variable(d, pointer, &variable));
        ISO_TRY(iso_sim_emit(d, iso_sim_run_get_at, to, pointer->index, 0, variable));
    } else {
        for (uint32_t i = 0; i < words; i++)
            ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, to + i * d->program->width,
                                 pointer->at + i * d->program->width, 0, 0));
    }
    if (words == 1)
        ISO_TRY(iso_sim_emit_faults(d, place, to));
    return iso_sim_finish_result(d, id);
}

static iso_status load_argument(sim_decoder *d, const sim_op *op, const sim_pointer *pointer,
                                const sim_place *place)
{
    const uint32_t id = op->words[2];
    if (pointer->argument == SIM_NONE)
        return sim_fail(d, "a load of all push constants at once");
    const sim_argument *argument = &d->program->arguments[pointer->argument];
    const sim_type *type = iso_sim_type_of(d, pointer->pointee);
    if (argument->kind == ISO_ARG_BUFFER) {
        d->ids[id].kind = SIM_ID_POINTER;
        d->ids[id].pointer = (sim_pointer){.storage = STORAGE_BUFFER,
                                           .root = pointer->root,
                                           .pointee = type->element,
                                           .argument = pointer->argument,
                                           .index = SIM_NONE};
        return ISO_OK;
    }
    uint32_t to;
    if (!iso_sim_has_rule(d, place)) {
        d->ids[id].row = argument->row;
        return iso_sim_finish_result(d, id);
    }
    ISO_TRY(iso_sim_result(d, id, pointer->pointee, &to));
    ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, to, argument->row, 0, 0));
    ISO_TRY(iso_sim_emit_faults(d, place, to));
    return iso_sim_finish_result(d, id);
}

// The index row of a shared or buffer access, changed by rules for `index`: a row that the caller gives back.
static iso_status access_index(sim_decoder *d, const sim_pointer *pointer, uint32_t *out_row, bool *out_taken)
{
    char name[SIM_NAME_BYTES];
    sim_place place;
    *out_row = pointer->dynamic ? pointer->index : d->zero;
    *out_taken = false;
    describe_place(d, SIM_INDEX, pointer, name, &place);
    place.kind = SIM_KIND_U32;
    if (pointer->storage != STORAGE_BUFFER || !iso_sim_has_rule(d, &place))
        return ISO_OK;
    const uint32_t before = *out_row;
    ISO_TRY(iso_sim_take_temporary(d, out_row));
    *out_taken = true;
    ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, *out_row, before, 0, 0));
    return iso_sim_emit_faults(d, &place, *out_row);
}

static iso_status load_memory(sim_decoder *d, const sim_op *op, const sim_pointer *pointer,
                              const sim_place *place)
{
    const bool is_buffer = pointer->storage == STORAGE_BUFFER;
    uint32_t to, index, variable = pointer->argument;
    bool taken;
    if (iso_sim_type_of(d, pointer->pointee)->words != 1 || (is_buffer && !pointer->dynamic))
        return sim_fail(d, "a load from memory that is no element of an array of numbers");
    ISO_TRY(access_index(d, pointer, &index, &taken));
    ISO_TRY(iso_sim_result(d, op->words[2], pointer->pointee, &to));
    if (!is_buffer)
        ISO_TRY(find_variable(d, pointer, &variable));
    ISO_TRY(iso_sim_emit(d, is_buffer ? iso_sim_run_get_buffer : iso_sim_run_get_shared, to, index,
                         is_buffer ? pointer->at : 0, variable));
    sim_place after = *place;
    after.index = pointer->index; // as the text has it
    if (is_buffer)
        ISO_TRY(iso_sim_emit_past(d, &after, to, pointer->at));
    ISO_TRY(iso_sim_emit_faults(d, &after, to));
    if (taken)
        ISO_TRY(iso_sim_give_temporary(d, index));
    return iso_sim_finish_result(d, op->words[2]);
}

// Of the memory operands only alignment and volatility are known; neither changes anything here.
static iso_status check_memory_operands(sim_decoder *d, const sim_op *op, uint32_t at)
{
    enum { VOLATILE = 1, ALIGNED = 2, NONTEMPORAL = 4 };
    if (op->length == at)
        return ISO_OK;
    const uint32_t bits = op->words[at];
    if ((bits & ~(uint32_t)(VOLATILE | ALIGNED | NONTEMPORAL)) != 0 ||
        op->length != at + 1 + (bits & ALIGNED ? 1u : 0u))
        return sim_fail(d, "the memory operands 0x%x are not understood", bits);
    return ISO_OK;
}

iso_status iso_sim_emit_load(sim_decoder *d, const sim_op *op)
{
    sim_pointer pointer;
    sim_place place;
    char name[SIM_NAME_BYTES];
    ISO_TRY(check_memory_operands(d, op, 4));
    ISO_TRY(pointer_of(d, op->words[3], &pointer));
    if (pointer.pointee != op->words[1])
        return sim_fail(d, "a load of another type than its pointer points to");
    const sim_type *type = iso_sim_type_of(d, pointer.pointee);
    describe_place(d, pointer.storage == STORAGE_BUFFER ? SIM_READ : SIM_LOAD, &pointer, name, &place);
    if (type->kind == SIM_TYPE_BOOL || type->kind == SIM_TYPE_INT || type->kind == SIM_TYPE_FLOAT)
        ISO_TRY(iso_sim_kind_of(d, pointer.pointee, &place.kind));
    d->ids[op->words[2]].source = op->words[3];
    if (pointer.storage == STORAGE_PUSH_CONSTANT)
        return load_argument(d, op, &pointer, &place);
    if (in_rows(pointer.storage))
        return type->words > 0 ? load_rows(d, op, &pointer, &place)
                               : sim_fail(d, "a load of a type without a size");
    return load_memory(d, op, &pointer, &place);
}

// ---- stores ----

// The value to be stored, in a row that rules may change; given back by the caller.
static iso_status stored_value(sim_decoder *d, uint32_t value, const sim_place *place, uint32_t *out_row,
                               bool *out_taken)
{
    uint32_t row;
    ISO_TRY(iso_sim_value(d, value, &row));
    *out_taken = iso_sim_has_rule(d, place) && iso_sim_type_of(d, d->ids[value].type)->words == 1;
    *out_row = row;
    if (!*out_taken)
        return ISO_OK;
    ISO_TRY(iso_sim_take_temporary(d, out_row));
    ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, *out_row, row, 0, 0));
    return iso_sim_emit_faults(d, place, *out_row);
}

static iso_status store_rows(sim_decoder *d, const sim_pointer *pointer, uint32_t from)
{
    const uint32_t width = d->program->width, words = iso_sim_type_of(d, pointer->pointee)->words;
    uint32_t variable;
    if (pointer->storage == STORAGE_INPUT)
        return sim_fail(d, "a store to an input");
    if (pointer->dynamic) {
        ISO_TRY(find_variable(d, pointer, &variable));
        return iso_sim_emit(d, iso_sim_run_set_at, from, pointer->index, 0, variable);
    }
    for (uint32_t i = 0; i < words; i++)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_set, pointer->at + i * width, from + i * width, 0, 0));
    return ISO_OK;
}

static iso_status store_memory(sim_decoder *d, const sim_pointer *pointer, const sim_place *place,
                               uint32_t from)
{
    const bool is_buffer = pointer->storage == STORAGE_BUFFER;
    uint32_t index, variable = pointer->argument;
    bool taken;
    if (iso_sim_type_of(d, pointer->pointee)->words != 1 || (is_buffer && !pointer->dynamic))
        return sim_fail(d, "a store to memory that is no element of an array of numbers");
    ISO_TRY(access_index(d, pointer, &index, &taken));
    if (!is_buffer)
        ISO_TRY(find_variable(d, pointer, &variable));
    ISO_TRY(iso_sim_emit(d, is_buffer ? iso_sim_run_set_buffer : iso_sim_run_set_shared, from, index,
                         is_buffer ? pointer->at : 0, variable));
    if (is_buffer)
        ISO_TRY(iso_sim_emit_past(d, place, from, pointer->at));
    return taken ? iso_sim_give_temporary(d, index) : ISO_OK;
}

iso_status iso_sim_emit_store(sim_decoder *d, const sim_op *op)
{
    sim_pointer pointer;
    sim_place place;
    char name[SIM_NAME_BYTES];
    uint32_t from;
    bool taken, hole;
    ISO_TRY(check_memory_operands(d, op, 3));
    ISO_TRY(pointer_of(d, op->words[1], &pointer));
    ISO_TRY(iso_sim_check_id(d, op->words[2]));
    const sim_type *type = iso_sim_type_of(d, pointer.pointee);
    if (d->ids[op->words[2]].type != pointer.pointee || type->words == 0 ||
        pointer.storage == STORAGE_PUSH_CONSTANT)
        return sim_fail(d, "a store of another type than its pointer points to, or to push constants");
    describe_place(d, pointer.storage == STORAGE_BUFFER ? SIM_WRITE : SIM_STORE, &pointer, name, &place);
    if (type->words == 1 && type->kind != SIM_TYPE_ARRAY && type->kind != SIM_TYPE_STRUCT)
        ISO_TRY(iso_sim_kind_of(d, pointer.pointee, &place.kind));
    ISO_TRY(stored_value(d, op->words[2], &place, &from, &taken));
    ISO_TRY(iso_sim_emit_holes(d, &place, from, &hole));
    if (in_rows(pointer.storage))
        ISO_TRY(store_rows(d, &pointer, from));
    else
        ISO_TRY(store_memory(d, &pointer, &place, from));
    if (hole)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_fault_heal, 0, 0, 0, 0));
    return taken ? iso_sim_give_temporary(d, from) : ISO_OK;
}
