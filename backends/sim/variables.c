// SPDX-License-Identifier: MIT
//
// Variables of a kernel's text: where each lives. Function and private ones are rows, shared ones words of
// the group's memory, the built-in ones rows that execute.c fills, and the push constants are the launch's
// arguments.
#include <stdio.h>
#include <string.h>

#include "backends/sim/decode.h"
#include "runtime/base/strings.h"

iso_status iso_sim_poison_rows(sim_decoder *d, uint32_t row, uint32_t count)
{
    sim_program *program = d->program;
    ISO_TRY(iso_grow(d->allocator, sizeof *program->poisoned, program->poisoned_count + count,
                     (void **)&program->poisoned, &program->poisoned_capacity));
    for (uint32_t i = 0; i < count; i++)
        program->poisoned[program->poisoned_count++] = row + i * program->width;
    return ISO_OK;
}

static iso_status read_builtin(sim_decoder *d, sim_id *id, const sim_type *type)
{
    sim_rows *rows = &d->program->builtin;
    uint32_t *target = NULL;
    switch (id->builtin) {
    case BUILTIN_NUM_WORKGROUPS:
        target = rows->group_count;
        break;
    case BUILTIN_WORKGROUP_ID:
        target = rows->group_id;
        break;
    case BUILTIN_LOCAL_ID:
        target = rows->local_id;
        break;
    case BUILTIN_GLOBAL_ID:
        target = rows->global_id;
        break;
    case BUILTIN_LOCAL_INDEX:
        target = &rows->local_index;
        break;
    default:
        return sim_fail(d, "an input that is no built-in variable in use: %u", id->builtin);
    }
    const uint32_t words = id->builtin == BUILTIN_LOCAL_INDEX ? 1 : 3;
    const sim_type *element = words == 3 ? iso_sim_type_of(d, type->element) : type;
    if (type->words != words || element->kind != SIM_TYPE_INT || target[0] != SIM_NONE)
        return sim_fail(d, "the built-in variable %u is there twice or has another type", id->builtin);
    ISO_TRY(iso_sim_take_rows(d, words, &id->pointer.at));
    for (uint32_t i = 0; i < words; i++)
        target[i] = id->pointer.at + i * d->program->width;
    return ISO_OK;
}

static iso_status read_shared(sim_decoder *d, sim_id *id, const sim_type *type)
{
    if (type->words > SIM_MAX_SHARED_WORDS - d->program->shared_words)
        return sim_fail(d, "more shared memory than the %d words of a simulated chip",
                        (int)SIM_MAX_SHARED_WORDS);
    id->pointer.at = d->program->shared_words;
    d->program->shared_words += type->words;
    return ISO_OK;
}

// ---- arguments ----

// The member must be what the launch passes, where the launch puts it.
static iso_status read_argument(sim_decoder *d, uint32_t block, uint32_t i, uint32_t *inout_bytes)
{
    static const char *const kinds[] = {"a buffer", "a uint", "a float"};
    sim_argument *argument = &d->program->arguments[i];
    const uint32_t member = iso_sim_member_type(d, block, i);
    const sim_type *type = iso_sim_type_of(d, member);
    uint32_t offset;
    iso_sim_get_member_name(d, block, i, argument->name);
    ISO_TRY(iso_sim_member_offset(d, block, i, &offset));
    argument->kind = type->kind == SIM_TYPE_POINTER && type->storage == STORAGE_BUFFER ? ISO_ARG_BUFFER
                     : type->kind == SIM_TYPE_FLOAT                                    ? ISO_ARG_F32
                                                                                       : ISO_ARG_U32;
    const iso_arg_kind given = d->source->arg_kinds[i];
    if (given > ISO_ARG_F32 || given != argument->kind ||
        (argument->kind == ISO_ARG_U32 && type->kind != SIM_TYPE_INT))
        return sim_fail(d, "argument %u, \"%s\", is %s in the text, %s is passed", i, argument->name,
                        kinds[argument->kind], given <= ISO_ARG_F32 ? kinds[given] : "something unknown");
    const uint32_t size = argument->kind == ISO_ARG_BUFFER ? 8 : 4;
    const uint32_t place = (*inout_bytes + size - 1) / size * size;
    if (offset != place)
        return sim_fail(d, "argument %u, \"%s\", is at byte %u in the text, it is passed at %u", i,
                        argument->name, offset, place);
    *inout_bytes = place + size;
    argument->is_float = type->kind == SIM_TYPE_FLOAT;
    return argument->kind == ISO_ARG_BUFFER ? ISO_OK : iso_sim_take_rows(d, 1, &argument->row);
}

static iso_status read_arguments(sim_decoder *d, uint32_t block)
{
    const sim_type *type = iso_sim_type_of(d, block);
    uint32_t bytes = 0;
    if (type->kind != SIM_TYPE_STRUCT || d->push_struct != 0)
        return sim_fail(d, "push constants that are no struct, or a second block of them");
    if (type->count != d->source->arg_count || type->count > ISO_MAX_KERNEL_ARGS)
        return sim_fail(d, "the text has %u arguments, %u are passed; allowed: %d", type->count,
                        d->source->arg_count, ISO_MAX_KERNEL_ARGS);
    d->push_struct = block;
    for (uint32_t i = 0; i < type->count; i++)
        ISO_TRY(read_argument(d, block, i, &bytes));
    d->program->argument_count = type->count;
    return ISO_OK;
}

// ---- all ----

iso_status iso_sim_read_variable(sim_decoder *d, const sim_op *op)
{
    if (op->length != 4)
        return sim_fail(d, "a variable with an initial value, which is not in use");
    const uint32_t storage = op->words[3];
    ISO_TRY(iso_sim_define(d, op->words[2], SIM_ID_POINTER, op->words[1]));
    sim_id *id = &d->ids[op->words[2]];
    id->owner = d->function;
    const sim_type *pointer = iso_sim_type_of(d, op->words[1]);
    if (pointer->kind != SIM_TYPE_POINTER || pointer->storage != storage)
        return sim_fail(d, "a variable whose type is no pointer to its storage class %u", storage);
    id->pointer = (sim_pointer){.storage = storage,
                                .root = op->words[2],
                                .pointee = pointer->element,
                                .argument = SIM_NONE,
                                .index = SIM_NONE};
    const sim_type *type = iso_sim_type_of(d, pointer->element);
    if (storage == STORAGE_PUSH_CONSTANT)
        return read_arguments(d, pointer->element);
    if (storage == STORAGE_INPUT)
        return read_builtin(d, id, type);
    if (type->words == 0)
        return sim_fail(d, "a variable of a type without a size");
    if (storage == STORAGE_WORKGROUP)
        return read_shared(d, id, type);
    if (storage != STORAGE_FUNCTION && storage != STORAGE_PRIVATE)
        return sim_fail(d, "the storage class %u is not understood", storage);
    ISO_TRY(iso_sim_take_rows(d, type->words, &id->pointer.at));
    return iso_sim_poison_rows(d, id->pointer.at, type->words);
}
