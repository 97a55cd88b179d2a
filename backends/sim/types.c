// SPDX-License-Identifier: MIT
//
// Types and constants of a SPIR-V module: how many rows a value of a type takes, and which rows hold what
// never changes. Only numbers of 32 bits and truths, and what is made of them.
#include "backends/sim/decode.h"

// ---- rows ----

iso_status iso_sim_take_rows(sim_decoder *d, uint32_t count, uint32_t *out_row)
{
    sim_program *program = d->program;
    const uint32_t used = program->row_words / program->width;
    if (count > SIM_MAX_ROWS - used)
        return sim_fail(d, "%u more values than the %d that a simulated chip holds", count,
                        (int)SIM_MAX_ROWS);
    *out_row = program->row_words;
    program->row_words += count * program->width;
    return ISO_OK;
}

iso_status iso_sim_constant_row(sim_decoder *d, uint32_t value, uint32_t *out_row)
{
    sim_program *program = d->program;
    ISO_TRY(iso_sim_take_rows(d, 1, out_row));
    ISO_TRY(iso_grow(d->allocator, sizeof *program->constants, program->constant_count + 1,
                     (void **)&program->constants, &program->constant_capacity));
    program->constants[program->constant_count].row = *out_row;
    program->constants[program->constant_count++].value = value;
    return ISO_OK;
}

// ---- types ----

// Vectors, arrays and structs of what has rows have the rows of all elements.
static iso_status size_type(sim_decoder *d, uint32_t id)
{
    sim_type *type = &d->ids[id].shape;
    uint64_t words = 0;
    if (type->kind == SIM_TYPE_STRUCT) {
        for (uint32_t i = 0; i < type->count; i++) {
            const uint32_t member = iso_sim_type_of(d, iso_sim_member_type(d, id, i))->words;
            if (member == 0) {
                type->words = 0; // pointers or a runtime array: a block, not a value
                return ISO_OK;
            }
            words += member;
        }
    } else {
        words = (uint64_t)iso_sim_type_of(d, type->element)->words * type->count;
    }
    if (words > SIM_MAX_ROWS)
        return sim_fail(d, "a type of %llu words; allowed: %d", (unsigned long long)words, (int)SIM_MAX_ROWS);
    type->words = (uint32_t)words;
    return ISO_OK;
}

static iso_status read_scalar_type(sim_decoder *d, const sim_op *op, sim_type *type)
{
    type->kind = op->code == OP_TYPE_BOOL  ? SIM_TYPE_BOOL
                 : op->code == OP_TYPE_INT ? SIM_TYPE_INT
                                           : SIM_TYPE_FLOAT;
    type->words = 1;
    if (op->code == OP_TYPE_BOOL)
        return ISO_OK;
    ISO_TRY(iso_sim_want(d, op->length == (op->code == OP_TYPE_INT ? 4u : 3u),
                         "a number type of the wrong length"));
    if (op->words[2] != 32)
        return sim_fail(d, "a number of %u bits; allowed: 32", op->words[2]);
    type->is_signed = op->code == OP_TYPE_INT && op->words[3] != 0;
    return ISO_OK;
}

static iso_status read_compound_type(sim_decoder *d, const sim_op *op, sim_type *type)
{
    const uint32_t *w = op->words;
    switch (op->code) {
    case OP_TYPE_VECTOR:
        type->kind = SIM_TYPE_VECTOR;
        ISO_TRY(iso_sim_want(d, op->length == 4 && w[3] >= 2 && w[3] <= 4, "a vector that is not of 2 to 4"));
        type->element = w[2];
        type->count = w[3];
        return iso_sim_want(d, iso_sim_type_of(d, w[2])->words == 1, "a vector of what is no number");
    case OP_TYPE_ARRAY:
        type->kind = SIM_TYPE_ARRAY;
        ISO_TRY(iso_sim_want(d, op->length == 4, "an array type of the wrong length"));
        ISO_TRY(iso_sim_check_id(d, w[3]));
        type->element = w[2];
        type->count = d->ids[w[3]].literal;
        return iso_sim_want(d,
                            d->ids[w[3]].constant && type->count >= 1 && iso_sim_type_of(d, w[2])->words >= 1,
                            "an array whose length or elements are not known");
    case OP_TYPE_RUNTIME_ARRAY:
        type->kind = SIM_TYPE_RUNTIME_ARRAY;
        ISO_TRY(iso_sim_want(d, op->length == 3, "an array type of the wrong length"));
        type->element = w[2];
        return iso_sim_want(d, iso_sim_type_of(d, w[2])->words == 1,
                            "a runtime array of what is no 32-bit number");
    default:
        type->kind = SIM_TYPE_STRUCT;
        type->count = op->length - 2;
        for (uint32_t i = 2; i < op->length; i++)
            ISO_TRY(iso_sim_check_id(d, w[i]));
        return ISO_OK;
    }
}

static iso_status read_other_type(sim_decoder *d, const sim_op *op, sim_type *type)
{
    switch (op->code) {
    case OP_TYPE_VOID:
        type->kind = SIM_TYPE_VOID;
        return ISO_OK;
    case OP_TYPE_POINTER:
        type->kind = SIM_TYPE_POINTER;
        ISO_TRY(iso_sim_want(d, op->length == 4, "a pointer type of the wrong length"));
        type->storage = op->words[2];
        type->element = op->words[3];
        return iso_sim_check_id(d, op->words[3]);
    default:
        type->kind = SIM_TYPE_FUNCTION;
        ISO_TRY(iso_sim_want(d, op->length >= 3, "a function type of the wrong length"));
        type->element = op->words[2];
        type->count = op->length - 3;
        for (uint32_t i = 2; i < op->length; i++)
            ISO_TRY(iso_sim_check_id(d, op->words[i]));
        return ISO_OK;
    }
}

iso_status iso_sim_read_type(sim_decoder *d, const sim_op *op)
{
    ISO_TRY(iso_sim_want(d, op->length >= 2, "a type without an id"));
    const uint32_t id = op->words[1];
    ISO_TRY(iso_sim_define(d, id, SIM_ID_TYPE, 0));
    sim_type *type = &d->ids[id].shape;
    if (op->code == OP_TYPE_BOOL || op->code == OP_TYPE_INT || op->code == OP_TYPE_FLOAT)
        return read_scalar_type(d, op, type);
    if (op->code >= OP_TYPE_VECTOR && op->code <= OP_TYPE_STRUCT) {
        ISO_TRY(read_compound_type(d, op, type));
        return size_type(d, id);
    }
    return read_other_type(d, op, type);
}

// ---- constants ----

static iso_status read_composite(sim_decoder *d, const sim_op *op, sim_id *made)
{
    const sim_type *type = iso_sim_type_of(d, op->words[1]);
    ISO_TRY(iso_sim_want(d, type->kind == SIM_TYPE_VECTOR && op->length == 3 + type->count,
                         "a constant that is no vector"));
    for (uint32_t i = 0; i < type->count; i++) {
        const uint32_t part = op->words[3 + i];
        ISO_TRY(iso_sim_check_id(d, part));
        ISO_TRY(iso_sim_want(d, d->ids[part].constant && d->ids[part].type == type->element,
                             "a vector of other than constants"));
        uint32_t row;
        ISO_TRY(iso_sim_constant_row(d, d->ids[part].literal, &row));
        made->row = i == 0 ? row : made->row;
    }
    return ISO_OK;
}

iso_status iso_sim_read_constant(sim_decoder *d, const sim_op *op)
{
    ISO_TRY(iso_sim_want(d, op->length >= 3, "a constant without an id"));
    ISO_TRY(iso_sim_define(d, op->words[2], SIM_ID_VALUE, op->words[1]));
    const sim_type *type = iso_sim_type_of(d, op->words[1]);
    sim_id *made = &d->ids[op->words[2]];
    if (op->code == OP_CONSTANT_COMPOSITE)
        return read_composite(d, op, made);
    const bool truth = op->code == OP_CONSTANT_TRUE || op->code == OP_CONSTANT_FALSE;
    ISO_TRY(iso_sim_want(d, type->words == 1, "a constant that is no 32-bit number"));
    ISO_TRY(iso_sim_want(d, op->code == OP_CONSTANT_NULL || truth == (type->kind == SIM_TYPE_BOOL),
                         "a constant that is not of its type"));
    ISO_TRY(
        iso_sim_want(d, op->length == (op->code == OP_CONSTANT ? 4u : 3u), "a constant of the wrong length"));
    made->literal = op->code == OP_CONSTANT ? op->words[3] : op->code == OP_CONSTANT_TRUE ? UINT32_MAX : 0;
    made->constant = true;
    return iso_sim_constant_row(d, made->literal, &made->row);
}
