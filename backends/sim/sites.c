// SPDX-License-Identifier: MIT
//
// Where the rules of a chip act in a kernel's text: found once, while decoding. A name of a variable means
// the one of the kernel's main text; where there is none, those of its functions.
#include <stdio.h>
#include <string.h>

#include "backends/sim/decode.h"
#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

static bool is_for_kernel(const sim_decoder *d, const sim_rule *rule)
{
    return iso_sim_rule_is_inside(rule) && iso_sim_rule_names(rule, d->program->name);
}

static bool main_has_variable(const sim_decoder *d, const char *name)
{
    char other[SIM_NAME_BYTES];
    for (uint32_t id = 1; id < d->bound; id++) {
        if (d->ids[id].kind != SIM_ID_POINTER || d->ids[id].owner != d->main || d->ids[id].name == 0)
            continue;
        iso_sim_get_name(d, id, other);
        if (strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static bool fits(const sim_decoder *d, const sim_rule *rule, const sim_place *place)
{
    if (rule->site != place->site || !is_for_kernel(d, rule))
        return false;
    if (!place->name)
        return rule->ordinal == place->ordinal;
    if (strcmp(rule->target, place->name) != 0)
        return false;
    const bool is_variable = place->site == SIM_STORE || place->site == SIM_LOAD;
    return !is_variable || d->in_main || !main_has_variable(d, place->name);
}

// The next rule that acts at the place, from number *inout on.
static const sim_rule *next_rule(const sim_decoder *d, const sim_place *place, uint32_t *inout)
{
    const sim_chip *chip = d->program->chip;
    for (; *inout < chip->rule_count; ++*inout)
        if (fits(d, &chip->rules[*inout], place))
            return &chip->rules[(*inout)++];
    return NULL;
}

bool iso_sim_has_rule(sim_decoder *d, const sim_place *place)
{
    uint32_t at = 0;
    return next_rule(d, place, &at) != NULL;
}

// ---- faults ----

// The arguments that the rule's conditions ask for. A rule for every kernel does not act in one that has them
// not.
static iso_status bind_terms(sim_decoder *d, sim_rule *rule, bool *out_bound)
{
    const sim_program *program = d->program;
    *out_bound = true;
    for (uint32_t t = 0; t < rule->term_count; t++) {
        sim_term *term = &rule->terms[t];
        if (term->subject != SIM_ARGUMENT)
            continue;
        term->arg_number = 0;
        while (term->arg_number < program->argument_count &&
               (program->arguments[term->arg_number].kind == ISO_ARG_BUFFER ||
                strcmp(program->arguments[term->arg_number].name, term->arg) != 0))
            term->arg_number++;
        if (term->arg_number < program->argument_count)
            continue;
        *out_bound = false;
        if (strcmp(rule->kernel, "*") != 0)
            return sim_fail(d, "a fault's condition on \"%s\", which is no value argument of the kernel",
                            term->arg);
    }
    return ISO_OK;
}

static iso_status add_fault(sim_decoder *d, const sim_rule *rule, const sim_place *place, uint32_t *out_fault)
{
    sim_program *program = d->program;
    sim_fault fault = {
        .rule = *rule, .kind = place->kind, .argument = place->argument, .length = place->length};
    bool bound;
    *out_fault = SIM_NONE;
    ISO_TRY(bind_terms(d, &fault.rule, &bound));
    d->matched |= UINT32_C(1) << (rule - program->chip->rules);
    if (!bound)
        return ISO_OK;
    if (rule->change == SIM_KEEP)
        ISO_TRY(iso_sim_take_rows(d, 2, &fault.kept));
    ISO_TRY(iso_grow(d->allocator, sizeof *program->faults, program->fault_count + 1,
                     (void **)&program->faults, &program->fault_capacity));
    *out_fault = (uint32_t)program->fault_count;
    program->faults[program->fault_count++] = fault;
    return ISO_OK;
}

// Changes that are no change of the value that passes.
static bool is_special(const sim_rule *rule)
{
    return rule->change == SIM_FLIP || rule->change == SIM_PAST ||
           (rule->change == SIM_DROP && rule->site != SIM_COMPARE);
}

iso_status iso_sim_emit_faults(sim_decoder *d, const sim_place *place, uint32_t row)
{
    const sim_rule *rule;
    uint32_t fault;
    for (uint32_t at = 0; (rule = next_rule(d, place, &at));) {
        if (is_special(rule))
            continue;
        ISO_TRY(add_fault(d, rule, place, &fault));
        if (fault != SIM_NONE)
            ISO_TRY(iso_sim_emit(d, iso_sim_run_fault, row, place->index, 0, fault));
    }
    return ISO_OK;
}

iso_status iso_sim_emit_holes(sim_decoder *d, const sim_place *place, uint32_t row, bool *out_hole)
{
    const sim_rule *rule;
    uint32_t fault;
    *out_hole = false;
    for (uint32_t at = 0; (rule = next_rule(d, place, &at));) {
        if (rule->change != SIM_DROP)
            continue;
        ISO_TRY(add_fault(d, rule, place, &fault));
        if (fault == SIM_NONE)
            continue;
        ISO_TRY(iso_sim_emit(d, iso_sim_run_fault_hole, row, place->index, !*out_hole, fault));
        *out_hole = true;
    }
    return ISO_OK;
}

iso_status iso_sim_emit_past(sim_decoder *d, const sim_place *place, uint32_t row, uint32_t offset)
{
    const sim_rule *rule;
    uint32_t fault;
    for (uint32_t at = 0; (rule = next_rule(d, place, &at));) {
        if (rule->change != SIM_PAST)
            continue;
        ISO_TRY(add_fault(d, rule, place, &fault));
        if (fault != SIM_NONE)
            ISO_TRY(iso_sim_emit(
                d, place->site == SIM_READ ? iso_sim_run_fault_past_read : iso_sim_run_fault_past_write, row,
                place->index, offset, fault));
    }
    return ISO_OK;
}

iso_status iso_sim_find_fault(sim_decoder *d, const sim_place *place, sim_change change, uint32_t *out_fault)
{
    const sim_rule *rule;
    *out_fault = SIM_NONE;
    for (uint32_t at = 0; *out_fault == SIM_NONE && (rule = next_rule(d, place, &at));)
        if (rule->change == change)
            ISO_TRY(add_fault(d, rule, place, out_fault));
    return ISO_OK;
}

// ---- rules without a place ----

static void append_name(char *text, size_t bytes, const char *name)
{
    const size_t length = strlen(text);
    if (name[0] != 0 && length + strlen(name) + 3 < bytes)
        snprintf(text + length, bytes - length, "%s%s", length ? ", " : "", name);
}

// The names that a site of this kind may have in this kernel.
static void list_names(const sim_decoder *d, sim_site site, char *out, size_t bytes)
{
    const sim_program *program = d->program;
    const bool buffers = site == SIM_INDEX || site == SIM_READ || site == SIM_WRITE;
    char name[SIM_NAME_BYTES];
    out[0] = 0;
    for (uint32_t i = 0; (buffers || site == SIM_LOAD) && i < program->argument_count; i++)
        if ((program->arguments[i].kind == ISO_ARG_BUFFER) == buffers)
            append_name(out, bytes, program->arguments[i].name);
    for (uint32_t id = 1; !buffers && id < d->bound; id++) {
        const sim_id *one = &d->ids[id];
        const bool is_variable = one->kind == SIM_ID_POINTER && one->block == 0 &&
                                 one->pointer.storage != STORAGE_PUSH_CONSTANT &&
                                 one->pointer.storage != STORAGE_INPUT;
        if (one->name == 0 || !(site == SIM_RESULT ? one->kind == SIM_ID_FUNCTION : is_variable))
            continue;
        iso_sim_get_name(d, id, name);
        append_name(out, bytes, name);
    }
    if (site == SIM_RESULT)
        append_name(out, bytes, "and the instructions in use of fadd, fsub, fmul, fdiv, sqrt, floor, fmax");
}

iso_status iso_sim_check_rules(sim_decoder *d)
{
    const sim_chip *chip = d->program->chip;
    for (uint32_t i = 0; i < chip->rule_count; i++) {
        const sim_rule *rule = &chip->rules[i];
        char names[400];
        if (!is_for_kernel(d, rule) || (d->matched >> i & 1u) != 0 || strcmp(rule->kernel, "*") == 0)
            continue;
        if (rule->site == SIM_COMPARE || rule->site == SIM_BARRIER)
            return iso_fail(ISO_BUILD_FAILED,
                            "a fault at %s %u of %s; its text has %u of them, counted from 0",
                            iso_sim_site_name(rule->site), rule->ordinal, d->program->name,
                            rule->site == SIM_COMPARE ? d->compares : d->barriers);
        list_names(d, rule->site, names, sizeof names);
        return iso_fail(ISO_BUILD_FAILED, "a fault at %s %s of %s, which has no such place; it has %s",
                        iso_sim_site_name(rule->site), rule->target, d->program->name, names);
    }
    return ISO_OK;
}
