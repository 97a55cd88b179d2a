// SPDX-License-Identifier: MIT
//
// Steps for arithmetic, with what a chip does to it: products fused into sums, subnormals flushed, sums cut
// off.
#include <string.h>

#include "backends/sim/decode.h"

// ---- checks ----

// Whether a scalar type is what a letter of a form says.
static bool fits(const sim_type *type, char letter)
{
    switch (letter) {
    case 'i':
        return type->kind == SIM_TYPE_INT;
    case 'f':
        return type->kind == SIM_TYPE_FLOAT;
    case 'b':
        return type->kind == SIM_TYPE_BOOL;
    default:
        return type->kind == SIM_TYPE_INT || type->kind == SIM_TYPE_FLOAT || type->kind == SIM_TYPE_BOOL;
    }
}

// Scalars, or vectors of one length; words of each.
static iso_status check_form(sim_decoder *d, const sim_op *op, const sim_opcode *operation,
                             const uint32_t *operands, uint32_t *out_words)
{
    const sim_type *result = iso_sim_type_of(d, op->words[1]);
    *out_words = result->words;
    for (uint32_t i = 0; operation->form[i]; i++) {
        if (i > 0)
            ISO_TRY(iso_sim_check_id(d, operands[i - 1]));
        const uint32_t id = i == 0 ? op->words[1] : d->ids[operands[i - 1]].type;
        const sim_type *type = iso_sim_type_of(d, id);
        const sim_type *scalar = type->kind == SIM_TYPE_VECTOR ? iso_sim_type_of(d, type->element) : type;
        if (!fits(scalar, operation->form[i]) || type->words != result->words)
            return sim_fail(d, "%s: operand %u is not of the kind \"%c\" of its form %s", operation->name, i,
                            operation->form[i], operation->form);
        if (i > 1 && operation->form[i] == 'x' && id != op->words[1])
            return sim_fail(d, "%s: operand %u is not of the type of the result", operation->name, i);
    }
    return ISO_OK;
}

// ---- what a chip does ----

static bool is_float_result(const sim_opcode *operation)
{
    return operation->site != NULL || operation->run == iso_sim_run_u2f || operation->run == iso_sim_run_s2f;
}

static bool takes_floats(const sim_opcode *operation)
{
    return operation->run != iso_sim_run_fneg && operation->run != iso_sim_run_fabs &&
           strchr(operation->form + 1, 'f');
}

// A product that goes into one sum of its block and nowhere else is made there.
static bool is_deferred(sim_decoder *d, const sim_op *op)
{
    const sim_id *product = &d->ids[op->words[2]];
    const sim_place place = {.site = SIM_RESULT, .name = "fmul", .index = SIM_NONE, .argument = SIM_NONE};
    if (!d->program->chip->features.contract || op->code != OP_FMUL || product->uses != 1 ||
        product->escapes || product->no_contraction || iso_sim_type_of(d, op->words[1])->words != 1 ||
        iso_sim_has_rule(d, &place))
        return false;
    const uint32_t user = d->words[product->user] & 0xffff;
    return (user == OP_FADD || user == OP_FSUB) && !d->ids[d->words[product->user + 2]].no_contraction;
}

static sim_run cut_form(sim_run run)
{
    return run == iso_sim_run_fadd   ? iso_sim_run_fadd_cut
           : run == iso_sim_run_fsub ? iso_sim_run_fsub_cut
           : run == iso_sim_run_fma  ? iso_sim_run_fma_cut
           : run == iso_sim_run_fms  ? iso_sim_run_fms_cut
           : run == iso_sim_run_fnma ? iso_sim_run_fnma_cut
                                     : run;
}

// Only an accumulator is short: sums of a product. Other sums are those of any chip.
static bool is_accumulation(const sim_decoder *d, const sim_op *op)
{
    for (int i = 3; i <= 4 && (op->code == OP_FADD || op->code == OP_FSUB); i++)
        if ((d->words[d->ids[op->words[i]].at] & 0xffff) == OP_FMUL)
            return true;
    return false;
}

// One operation on scalars, from rows to a row.
static iso_status emit_scalar(sim_decoder *d, const sim_opcode *operation, sim_run run, uint32_t to,
                              const uint32_t rows[3])
{
    const sim_features *features = &d->program->chip->features;
    uint32_t in[3] = {rows[0], rows[1], rows[2]}, taken = 0;
    const bool flush = features->flush_subnormals && takes_floats(operation);
    const uint32_t operands = run == iso_sim_run_fma || run == iso_sim_run_fms || run == iso_sim_run_fnma
                                  ? 3
                                  : (uint32_t)strlen(operation->form) - 1;
    for (; flush && taken < operands; taken++) {
        ISO_TRY(iso_sim_take_temporary(d, &in[taken]));
        ISO_TRY(iso_sim_emit(d, iso_sim_run_flush, in[taken], rows[taken], 0, 0));
    }
    ISO_TRY(iso_sim_emit(d, features->truncate_sums && operands == 3 ? cut_form(run) : run, to, in[0], in[1],
                         in[2]));
    for (uint32_t i = 0; i < taken; i++)
        ISO_TRY(iso_sim_give_temporary(d, in[i]));
    if (features->flush_subnormals && is_float_result(operation) && run != iso_sim_run_fabs)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_flush, to, to, 0, 0));
    return ISO_OK;
}

// ---- products and sums ----

static iso_status product_rows(sim_decoder *d, uint32_t id, uint32_t rows[2])
{
    const uint32_t *product = d->words + d->ids[id].at;
    ISO_TRY(iso_sim_value(d, product[3], &rows[0]));
    return iso_sim_value(d, product[4], &rows[1]);
}

// The operand's row; a deferred product is made now, in a row that the caller gives back.
static iso_status sum_operand(sim_decoder *d, uint32_t id, uint32_t *out_row, bool *out_taken)
{
    uint32_t rows[3] = {0};
    *out_taken = d->ids[id].deferred;
    if (!*out_taken)
        return iso_sim_value(d, id, out_row);
    ISO_TRY(product_rows(d, id, rows));
    ISO_TRY(iso_sim_take_temporary(d, out_row));
    return emit_scalar(d, iso_sim_find_opcode(OP_FMUL), iso_sim_run_fmul, *out_row, rows);
}

// a * b + c, a * b - c or c - a * b, where an operand is a deferred product; the first of two is the one that
// is fused.
static iso_status emit_fused(sim_decoder *d, const sim_op *op, const sim_opcode *operation, uint32_t to)
{
    const bool first = d->ids[op->words[3]].deferred;
    uint32_t rows[3];
    bool taken;
    ISO_TRY(product_rows(d, op->words[first ? 3 : 4], rows));
    ISO_TRY(sum_operand(d, op->words[first ? 4 : 3], &rows[2], &taken));
    const sim_run run = op->code == OP_FADD ? iso_sim_run_fma : first ? iso_sim_run_fms : iso_sim_run_fnma;
    ISO_TRY(emit_scalar(d, operation, run, to, rows));
    return taken ? iso_sim_give_temporary(d, rows[2]) : ISO_OK;
}

// ---- comparisons ----

static iso_status emit_flip(sim_decoder *d, const sim_op *op, const sim_opcode *operation, uint32_t to,
                            const sim_place *place)
{
    uint32_t fault, other, rows[3] = {0};
    ISO_TRY(iso_sim_find_fault(d, place, SIM_FLIP, &fault));
    if (fault == SIM_NONE)
        return ISO_OK;
    const sim_opcode *flipped = iso_sim_find_opcode(operation->flipped);
    ISO_TRY(iso_sim_take_temporary(d, &other));
    if (flipped) {
        ISO_TRY(iso_sim_value(d, op->words[flipped->swapped ? 4 : 3], &rows[0]));
        ISO_TRY(iso_sim_value(d, op->words[flipped->swapped ? 3 : 4], &rows[1]));
        ISO_TRY(emit_scalar(d, flipped, flipped->run, other, rows));
    } else { // == becomes true, != false
        uint32_t constant;
        ISO_TRY(iso_sim_constant_row(d, operation->sign[0] == '=' ? UINT32_MAX : 0, &constant));
        ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, other, constant, 0, 0));
    }
    ISO_TRY(iso_sim_emit(d, iso_sim_run_fault_other, to, SIM_NONE, other, fault));
    return iso_sim_give_temporary(d, other);
}

static iso_status emit_compare_faults(sim_decoder *d, const sim_op *op, const sim_opcode *operation,
                                      uint32_t to)
{
    const sim_place place = {.site = SIM_COMPARE,
                             .ordinal = d->compares++,
                             .kind = SIM_KIND_BOOL,
                             .index = SIM_NONE,
                             .argument = SIM_NONE};
    if (!iso_sim_has_rule(d, &place))
        return ISO_OK;
    if (iso_sim_type_of(d, op->words[1])->words != 1)
        return sim_fail(d, "a rule for a comparison of vectors, which is not in use");
    ISO_TRY(emit_flip(d, op, operation, to, &place));
    return iso_sim_emit_faults(d, &place, to);
}

// ---- all operations ----

iso_status iso_sim_emit_operation(sim_decoder *d, const sim_op *op, const sim_opcode *operation,
                                  const uint32_t *operands)
{
    const uint32_t width = d->program->width, id = op->words[2];
    const uint32_t count = (uint32_t)strlen(operation->form) - 1;
    uint32_t words, to;
    ISO_TRY(check_form(d, op, operation, operands, &words));
    d->ids[id].deferred = is_deferred(d, op);
    if (d->ids[id].deferred)
        return ISO_OK;
    ISO_TRY(iso_sim_result(d, id, op->words[1], &to));
    if ((op->code == OP_FADD || op->code == OP_FSUB) &&
        (d->ids[op->words[3]].deferred || d->ids[op->words[4]].deferred)) {
        ISO_TRY(emit_fused(d, op, operation, to));
    } else {
        const bool cut = d->program->chip->features.truncate_sums && is_accumulation(d, op);
        const sim_run run = cut ? cut_form(operation->run) : operation->run;
        uint32_t rows[3] = {0};
        for (uint32_t i = 0; i < count; i++)
            ISO_TRY(iso_sim_value(d, operands[operation->swapped ? 1 - i : i], &rows[i]));
        for (uint32_t i = 0; i < words; i++) {
            const uint32_t part[3] = {rows[0] + i * width, rows[1] + i * width, rows[2] + i * width};
            ISO_TRY(emit_scalar(d, operation, run, to + i * width, part));
        }
    }
    if (operation->site && words == 1) {
        const sim_place place = {.site = SIM_RESULT,
                                 .name = operation->site,
                                 .kind = SIM_KIND_F32,
                                 .index = SIM_NONE,
                                 .argument = SIM_NONE};
        ISO_TRY(iso_sim_emit_faults(d, &place, to));
    }
    if (operation->compare && d->in_main)
        ISO_TRY(emit_compare_faults(d, op, operation, to));
    return iso_sim_finish_result(d, id);
}

static iso_status emit_extended(sim_decoder *d, const sim_op *op)
{
    ISO_TRY(iso_sim_check_id(d, op->words[3]));
    if (d->ids[op->words[3]].kind != SIM_ID_INSTRUCTIONS)
        return sim_fail(d, "an instruction of a set that was not imported");
    const sim_opcode *operation = iso_sim_find_extended(op->words[4]);
    if (!operation)
        return sim_fail(d, "the GLSL.std.450 instruction %u is not understood", op->words[4]);
    if (op->length != 4 + strlen(operation->form))
        return sim_fail(d, "%s with %u words; wanted: %zu", operation->name, op->length,
                        4 + strlen(operation->form));
    return iso_sim_emit_operation(d, op, operation, op->words + 5);
}

// A struct of two uints: low words, high words.
static iso_status emit_wide_product(sim_decoder *d, const sim_op *op)
{
    uint32_t to, a, b;
    const sim_type *type = iso_sim_type_of(d, op->words[1]);
    if (type->kind != SIM_TYPE_STRUCT || type->words != 2 || op->length != 5)
        return sim_fail(d, "OpUMulExtended whose result is not two numbers");
    ISO_TRY(iso_sim_value(d, op->words[3], &a));
    ISO_TRY(iso_sim_value(d, op->words[4], &b));
    ISO_TRY(iso_sim_result(d, op->words[2], op->words[1], &to));
    ISO_TRY(iso_sim_emit(d, iso_sim_run_umul_extended, to, a, b, to + d->program->width));
    return iso_sim_finish_result(d, op->words[2]);
}

iso_status iso_sim_emit_arithmetic(sim_decoder *d, const sim_op *op)
{
    if (op->code == OP_EXT_INST)
        return emit_extended(d, op);
    if (op->code == OP_UMUL_EXTENDED)
        return emit_wide_product(d, op);
    const sim_opcode *operation = iso_sim_find_opcode(op->code);
    if (!operation)
        return sim_fail(d, "the instruction %u is not understood", op->code);
    if (op->length != 2 + strlen(operation->form))
        return sim_fail(d, "%s with %u words; wanted: %zu", operation->name, op->length,
                        2 + strlen(operation->form));
    return iso_sim_emit_operation(d, op, operation, op->words + 3);
}

// ---- values of several words ----

static iso_status emit_construct(sim_decoder *d, const sim_op *op)
{
    const uint32_t width = d->program->width;
    uint32_t to, filled = 0;
    ISO_TRY(iso_sim_result(d, op->words[2], op->words[1], &to));
    const uint32_t words = iso_sim_type_of(d, op->words[1])->words;
    for (uint32_t i = 3; i < op->length; i++) {
        uint32_t from;
        ISO_TRY(iso_sim_value(d, op->words[i], &from));
        const uint32_t part = iso_sim_type_of(d, d->ids[op->words[i]].type)->words;
        if (part > words - filled)
            return sim_fail(d, "OpCompositeConstruct of more than the %u words of its type", words);
        for (uint32_t k = 0; k < part; k++, filled++)
            ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, to + filled * width, from + k * width, 0, 0));
    }
    if (filled != words)
        return sim_fail(d, "OpCompositeConstruct of %u words for a type of %u", filled, words);
    return iso_sim_finish_result(d, op->words[2]);
}

iso_status iso_sim_emit_composite(sim_decoder *d, const sim_op *op)
{
    if (op->code == OP_COMPOSITE_CONSTRUCT)
        return emit_construct(d, op);
    uint32_t from, to;
    ISO_TRY(iso_sim_value(d, op->words[3], &from));
    uint32_t type = d->ids[op->words[3]].type;
    for (uint32_t i = 4; i < op->length; i++) {
        const sim_type *shape = iso_sim_type_of(d, type);
        const bool is_struct = shape->kind == SIM_TYPE_STRUCT;
        if (op->words[i] >= shape->count || shape->words == 0)
            return sim_fail(d, "OpCompositeExtract of part %u of %u", op->words[i], shape->count);
        for (uint32_t k = 0; k < op->words[i]; k++)
            from += d->program->width *
                    iso_sim_type_of(d, is_struct ? iso_sim_member_type(d, type, k) : shape->element)->words;
        type = is_struct ? iso_sim_member_type(d, type, op->words[i]) : shape->element;
    }
    if (type != op->words[1])
        return sim_fail(d, "OpCompositeExtract of another type than its result");
    ISO_TRY(iso_sim_result(d, op->words[2], type, &to));
    for (uint32_t i = 0; i < iso_sim_type_of(d, type)->words; i++)
        ISO_TRY(iso_sim_emit(d, iso_sim_run_copy, to + i * d->program->width, from + i * d->program->width, 0,
                             0));
    return iso_sim_finish_result(d, op->words[2]);
}
