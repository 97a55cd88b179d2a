// SPDX-License-Identifier: MIT
//
// Reads what stands before the functions of a SPIR-V module: settings, names and decorations; types.c and
// variables.c read the rest. Nothing is trusted: lengths, ids and texts are checked before use.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "backends/sim/decode.h"
#include "runtime/base/strings.h"

enum {
    MAGIC = 0x07230203,
    HEADER_WORDS = 5,
    VERSION_MOST = 0x00010500,
    MODEL_GL_COMPUTE = 5,
    MODE_LOCAL_SIZE = 17,
    ADDRESSES_LOGICAL = 0,
    ADDRESSES_PHYSICAL_64 = 5348,
    MEMORY_GLSL450 = 1,
    CAPABILITY_SHADER = 1,
    CAPABILITY_ADDRESSES = 5347,
};

// ---- words and ids ----

iso_status iso_sim_next_op(sim_decoder *d, size_t at, sim_op *out)
{
    d->at = (uint32_t)at;
    *out = (sim_op){d->words + at, d->words[at] & 0xffff, d->words[at] >> 16, (uint32_t)at};
    if (out->length == 0 || out->length > d->count - at)
        return sim_fail(d, "the module is damaged or cut: an instruction of %u words in a module of %zu",
                        out->length, d->count);
    return ISO_OK;
}

iso_status iso_sim_check_id(sim_decoder *d, uint32_t id)
{
    if (id == 0 || id >= d->bound)
        return sim_fail(d, "the id %u; ids of this module are 1 to %u", id, d->bound - 1);
    return ISO_OK;
}

iso_status iso_sim_define(sim_decoder *d, uint32_t id, sim_id_kind kind, uint32_t type)
{
    ISO_TRY(iso_sim_check_id(d, id));
    if (d->ids[id].kind != SIM_ID_NONE)
        return sim_fail(d, "the id %u is made twice, before at word %u", id, d->ids[id].at);
    d->ids[id].kind = kind;
    d->ids[id].type = type;
    d->ids[id].at = d->at;
    d->ids[id].row = SIM_NONE;
    return ISO_OK;
}

const sim_type *iso_sim_type_of(const sim_decoder *d, uint32_t type)
{
    static const sim_type none = {.kind = SIM_TYPE_NONE};
    return type < d->bound && d->ids[type].kind == SIM_ID_TYPE ? &d->ids[type].shape : &none;
}

// A text must end inside of its instruction.
static iso_status check_text(sim_decoder *d, const sim_op *op, uint32_t from)
{
    if (from < op->length && memchr(&op->words[from], 0, (op->length - from) * sizeof op->words[0]))
        return ISO_OK;
    return sim_fail(d, "a text without an end");
}

static void copy_clean(char out[SIM_NAME_BYTES], const void *text)
{
    iso_copy_text(out, SIM_NAME_BYTES, text);
    out[strcspn(out, "(")] = 0;
    for (char *c = out; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
}

void iso_sim_get_name(const sim_decoder *d, uint32_t id, char out[SIM_NAME_BYTES])
{
    out[0] = 0;
    if (id < d->bound && d->ids[id].name != 0)
        copy_clean(out, &d->words[d->ids[id].name]);
}

// The OpMemberName or OpMemberDecorate of a member: word of the instruction, or 0. All were checked when
// read.
static size_t find_member(const sim_decoder *d, uint32_t code, uint32_t type, uint32_t member,
                          uint32_t decoration)
{
    for (size_t at = HEADER_WORDS; at < d->functions_at; at += d->words[at] >> 16) {
        const uint32_t *op = d->words + at;
        if ((op[0] & 0xffff) == code && op[1] == type && op[2] == member &&
            (code == OP_MEMBER_NAME || op[3] == decoration))
            return at;
    }
    return 0;
}

void iso_sim_get_member_name(const sim_decoder *d, uint32_t type, uint32_t member, char out[SIM_NAME_BYTES])
{
    const size_t at = find_member(d, OP_MEMBER_NAME, type, member, 0);
    out[0] = 0;
    if (at != 0)
        copy_clean(out, &d->words[at + 3]);
}

iso_status iso_sim_member_offset(sim_decoder *d, uint32_t type, uint32_t member, uint32_t *out_bytes)
{
    const size_t at = find_member(d, OP_MEMBER_DECORATE, type, member, DECORATION_OFFSET);
    if (at == 0 || d->words[at] >> 16 != 5)
        return sim_fail(d, "member %u of the struct %u has no Offset", member, type);
    *out_bytes = d->words[at + 4];
    return ISO_OK;
}

uint32_t iso_sim_member_type(const sim_decoder *d, uint32_t type, uint32_t member)
{
    return d->words[d->ids[type].at + 2 + member];
}

// ---- what stands before the functions ----

iso_status iso_sim_want(sim_decoder *d, bool right, const char *what)
{
    return right ? ISO_OK : sim_fail(d, "%s", what);
}

// Decorations that change nothing here, with their length.
static bool is_harmless(uint32_t decoration)
{
    // RelaxedPrecision, Block, Restrict, Aliased, Volatile, Coherent, NonWritable, NonReadable,
    // RestrictPointer, AliasedPointer
    static const uint32_t harmless[] = {0, 2, 19, 20, 21, 23, 24, 25, 5355, 5356};
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (harmless[i] == decoration)
            return true;
    return false;
}

static iso_status read_decoration(sim_decoder *d, const sim_op *op)
{
    enum { NO_CONTRACTION = 42 };
    const uint32_t skip = op->code == OP_MEMBER_DECORATE ? 3 : 2;
    ISO_TRY(iso_sim_want(d, op->length > skip, "a decoration without a name"));
    ISO_TRY(iso_sim_check_id(d, op->words[1]));
    const uint32_t decoration = op->words[skip], left = op->length - skip - 1;
    sim_id *id = &d->ids[op->words[1]];
    if (is_harmless(decoration) && left == 0)
        return ISO_OK;
    if (decoration == DECORATION_OFFSET && left == 1 && op->code == OP_MEMBER_DECORATE)
        return ISO_OK; // read by iso_sim_member_offset
    if (op->code == OP_DECORATE && left == 1 && decoration == DECORATION_BUILTIN) {
        id->builtin = op->words[3];
        return ISO_OK;
    }
    if (op->code == OP_DECORATE && left == 1 && decoration == DECORATION_ARRAY_STRIDE) {
        id->shape.stride = op->words[3];
        return ISO_OK;
    }
    if (op->code == OP_DECORATE && left == 0 && decoration == NO_CONTRACTION) {
        id->no_contraction = true;
        return ISO_OK;
    }
    return sim_fail(d, "the decoration %u is not understood", decoration);
}

static iso_status read_names(sim_decoder *d, const sim_op *op)
{
    ISO_TRY(iso_sim_want(d, op->length >= 3, "a name without an id"));
    ISO_TRY(iso_sim_check_id(d, op->words[1]));
    ISO_TRY(check_text(d, op, op->code == OP_NAME ? 2 : 3));
    if (op->code == OP_NAME)
        d->ids[op->words[1]].name = op->at + 2;
    return ISO_OK;
}

static iso_status read_entry_point(sim_decoder *d, const sim_op *op)
{
    static const char name[] = "main";
    ISO_TRY(iso_sim_want(d, op->length >= 5 && op->words[1] == MODEL_GL_COMPUTE,
                         "an entry point that is no compute kernel"));
    ISO_TRY(check_text(d, op, 3));
    ISO_TRY(iso_sim_check_id(d, op->words[2]));
    ISO_TRY(iso_sim_want(d, d->main == 0 && memcmp(&op->words[3], name, sizeof name) == 0,
                         "an entry point that is not the only one or not called \"main\""));
    d->main = op->words[2];
    return ISO_OK;
}

static iso_status read_execution_mode(sim_decoder *d, const sim_op *op)
{
    ISO_TRY(iso_sim_want(d, op->length == 6 && op->words[2] == MODE_LOCAL_SIZE,
                         "an execution mode other than LocalSize"));
    const uint32_t *size = op->words + 3;
    if (size[0] != d->source->group_size || size[1] != 1 || size[2] != 1)
        return sim_fail(d, "groups of %u x %u x %u threads, group_size says %u", size[0], size[1], size[2],
                        d->source->group_size);
    return ISO_OK;
}

static iso_status read_import(sim_decoder *d, const sim_op *op)
{
    static const char name[] = "GLSL.std.450";
    ISO_TRY(iso_sim_want(
        d, op->length == 2 + (sizeof name + 3) / 4 && memcmp(&op->words[2], name, sizeof name) == 0,
        "a set of instructions other than GLSL.std.450"));
    return iso_sim_define(d, op->words[1], SIM_ID_INSTRUCTIONS, 0);
}

static iso_status read_settings(sim_decoder *d, const sim_op *op)
{
    const uint32_t *w = op->words;
    switch (op->code) {
    case OP_CAPABILITY:
        if (op->length == 2 && (w[1] == CAPABILITY_SHADER || w[1] == CAPABILITY_ADDRESSES))
            return ISO_OK;
        return sim_fail(d, "the capability %u, which a simulated chip lacks", op->length > 1 ? w[1] : 0);
    case OP_MEMORY_MODEL:
        return iso_sim_want(d,
                            op->length == 3 && w[2] == MEMORY_GLSL450 &&
                                (w[1] == ADDRESSES_PHYSICAL_64 || w[1] == ADDRESSES_LOGICAL),
                            "a memory model other than GLSL450 with 64-bit addresses");
    case OP_ENTRY_POINT:
        return read_entry_point(d, op);
    case OP_EXECUTION_MODE:
        return read_execution_mode(d, op);
    default:
        return read_import(d, op);
    }
}

static iso_status read_op(sim_decoder *d, const sim_op *op)
{
    switch (op->code) {
    case OP_NOP:
    case OP_SOURCE_CONTINUED:
    case OP_SOURCE:
    case OP_SOURCE_EXTENSION:
    case OP_STRING:
    case OP_LINE:
    case OP_NO_LINE:
    case OP_MODULE_PROCESSED:
    case OP_TYPE_FORWARD_POINTER:
        return ISO_OK;
    case OP_CAPABILITY:
    case OP_MEMORY_MODEL:
    case OP_ENTRY_POINT:
    case OP_EXECUTION_MODE:
    case OP_EXT_INST_IMPORT:
        return read_settings(d, op);
    case OP_NAME:
    case OP_MEMBER_NAME:
        return read_names(d, op);
    case OP_DECORATE:
    case OP_MEMBER_DECORATE:
        return read_decoration(d, op);
    case OP_CONSTANT_TRUE:
    case OP_CONSTANT_FALSE:
    case OP_CONSTANT:
    case OP_CONSTANT_COMPOSITE:
    case OP_CONSTANT_NULL:
        return iso_sim_read_constant(d, op);
    case OP_VARIABLE:
        return iso_sim_read_variable(d, op);
    default:
        if ((op->code >= OP_TYPE_VOID && op->code <= OP_TYPE_VECTOR) ||
            (op->code >= OP_TYPE_ARRAY && op->code <= OP_TYPE_STRUCT) || op->code == OP_TYPE_POINTER ||
            op->code == OP_TYPE_FUNCTION)
            return iso_sim_read_type(d, op);
        return sim_fail(d, "the instruction %u is not understood here", op->code);
    }
}

iso_status iso_sim_read_module(sim_decoder *d)
{
    if (d->count < HEADER_WORDS)
        return sim_fail(d, "the module has %zu words, a header alone has %d", d->count, (int)HEADER_WORDS);
    if (d->words[0] != MAGIC || d->words[1] > VERSION_MOST)
        return sim_fail(d, "the module begins with 0x%08x, version 0x%08x; wanted: 0x%08x, at most 0x%08x",
                        d->words[0], d->words[1], (unsigned)MAGIC, (unsigned)VERSION_MOST);
    d->bound = d->words[3];
    if (d->bound == 0 || d->bound > d->count)
        return sim_fail(d, "the module claims %u ids in %zu words", d->bound, d->count);
    ISO_TRY(ISO_NEW(d->allocator, d->bound, &d->ids));
    ISO_TRY(iso_sim_constant_row(d, 0, &d->zero));
    for (size_t at = HEADER_WORDS; at < d->count;) {
        sim_op op;
        ISO_TRY(iso_sim_next_op(d, at, &op));
        if (op.code == OP_FUNCTION)
            break;
        ISO_TRY(read_op(d, &op));
        at += op.length;
        d->functions_at = at;
    }
    if (d->main == 0)
        return sim_fail(d, "the module has no entry point \"main\"");
    if (d->program->argument_count != d->source->arg_count)
        return sim_fail(d, "the text has no arguments, %u are passed", d->source->arg_count);
    return ISO_OK;
}
