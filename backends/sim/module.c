// SPDX-License-Identifier: MIT
//
// Modules of a simulated chip: a decoded kernel, whether the chip takes it at all, and the state of a device
// that outlives launches (how often each kernel ran, which module is newest).
#include <stdio.h>
#include <string.h>

#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

// ---- state ----

iso_status iso_sim_state_create(sim_device *sim)
{
    sim_state *state;
    ISO_TRY(ISO_NEW(sim->allocator, 1, &state));
    sim->state = state;
    return ISO_OK;
}

static void release_code(sim_device *sim, sim_code *code)
{
    if (!code || --code->references > 0)
        return;
    iso_sim_program_destroy(code->program);
    iso_free(sim->allocator, code);
}

void iso_sim_state_destroy(sim_device *sim)
{
    sim_state *state = sim->state;
    if (!state)
        return;
    release_code(sim, state->newest);
    iso_sim_before_forget(sim);
    iso_sim_late_arrive(sim);
    iso_free(sim->allocator, state->late);
    iso_free(sim->allocator, state->launches);
    iso_free(sim->allocator, state);
    sim->state = NULL;
}

const sim_rule *iso_sim_find_rule(const sim_device *sim, sim_site site, sim_change change, const char *target)
{
    for (uint32_t i = 0; i < sim->chip->rule_count; i++) {
        const sim_rule *rule = &sim->chip->rules[i];
        if (rule->site == site && rule->change == change && (!target || strcmp(rule->target, target) == 0))
            return rule;
    }
    return NULL;
}

iso_status iso_sim_take_failure(sim_device *sim)
{
    sim_state *state = sim_state_of(sim);
    iso_status status = state->failure;
    state->failure = ISO_OK;
    return status == ISO_OK ? ISO_OK : iso_fail(status, "%s", state->failure_text);
}

// ---- what a chip takes ----

// Whether the kernel's name says that it was compiled for the type: "linear.portable.f32_e4m3_f32" and
// "e4m3".
static bool compiled_for(const char *kernel, const char *type)
{
    const char *variant = strrchr(kernel, '.');
    size_t length = strlen(type);
    for (const char *at = variant; at && *at; at = at[1] ? at + 1 + strcspn(at + 1, "_") : NULL)
        if (strncmp(at + 1, type, length) == 0 && (at[1 + length] == '_' || at[1 + length] == '\0'))
            return true;
    return false;
}

static iso_status check_taken(const sim_features *features, const iso_module_source *source)
{
    if (source->group_size > features->group_limit)
        return iso_fail(ISO_UNSUPPORTED, "it has groups of %u threads, the chip allows %u",
                        source->group_size, features->group_limit);
    if (features->no_fp8 && compiled_for(source->name, "e4m3"))
        return iso_fail(ISO_UNSUPPORTED, "it is compiled for E4M3, the chip has no FP8");
    if (features->fnuz_fp8 && compiled_for(source->name, "e4m3"))
        return iso_fail(ISO_UNSUPPORTED,
                        "it is compiled for E4M3, the chip's FP8 is FNUZ: half the value, 0x80 is NaN");
    if (features->no_f16 && compiled_for(source->name, "f16"))
        return iso_fail(ISO_UNSUPPORTED, "it is compiled for F16, the chip has no F16");
    return ISO_OK;
}

// ---- module ----

static iso_status count_launches_of(sim_device *sim, const char *kernel, uint32_t *out_place)
{
    sim_state *state = sim_state_of(sim);
    char op[SIM_NAME_BYTES];
    iso_copy_text(op, sizeof op, kernel);
    op[strcspn(op, ".")] = '\0';
    for (*out_place = 0; *out_place < state->launch_count; ++*out_place)
        if (strcmp(state->launches[*out_place].kernel, op) == 0)
            return ISO_OK;
    ISO_TRY(iso_grow(sim->allocator, sizeof *state->launches, state->launch_count + 1,
                     (void **)&state->launches, &state->launch_capacity));
    sim_launch_count *entry = &state->launches[state->launch_count++];
    *entry = (sim_launch_count){.count = 0};
    memcpy(entry->kernel, op, sizeof op);
    return ISO_OK;
}

// The rules of whole launches and lists for this kernel, with their names found among its arguments. A "*"
// rule is not for kernels that lack the name. Copies belong to no kernel: their rules are the device's.
static iso_status bind_rules(sim_device *sim, sim_module *module)
{
    for (uint32_t i = 0; i < sim->chip->rule_count; i++) {
        const sim_rule *rule = &sim->chip->rules[i];
        if (rule->site == SIM_COPY || iso_sim_rule_is_inside(rule) || !iso_sim_rule_names(rule, module->name))
            continue;
        sim_bound_rule bound = {.rule = *rule, .argument = -1};
        bool wants_buffer = rule->change == SIM_STALE || rule->change == SIM_CLOBBER;
        const char *missing = NULL;
        if (wants_buffer &&
            (bound.argument = iso_sim_program_argument(module->code->program, rule->target)) < 0)
            missing = rule->target;
        for (uint32_t t = 0; t < rule->term_count; t++) {
            sim_term *term = &bound.rule.terms[t];
            int number = term->subject == SIM_ARGUMENT
                             ? iso_sim_program_argument(module->code->program, term->arg)
                             : 0;
            if (number < 0)
                missing = term->arg;
            term->arg_number = number < 0 ? 0 : (uint32_t)number;
        }
        if (!missing)
            module->rules[module->rule_count++] = bound;
        else if (strcmp(rule->kernel, "*") != 0)
            return iso_fail(ISO_BUILD_FAILED, "a fault at argument %s of %s, which has no such place",
                            missing, module->name);
    }
    return ISO_OK;
}

static bool same_arguments(const sim_code *a, const sim_code *b)
{
    return a->arg_count == b->arg_count &&
           memcmp(a->arg_kinds, b->arg_kinds, a->arg_count * sizeof a->arg_kinds[0]) == 0;
}

// SIM_OTHER: the code of the module before takes the place of this one's.
static void mistake(sim_device *sim, sim_module *module)
{
    sim_state *state = sim_state_of(sim);
    sim_code *own = module->code, *before = state->newest;
    own->references++;
    state->newest = own;
    for (uint32_t i = 0; before && i < module->rule_count; i++) {
        if (module->rules[i].rule.change != SIM_OTHER || !same_arguments(own, before))
            continue;
        before->references++;
        module->code = before;
        release_code(sim, own);
        break;
    }
    release_code(sim, before);
}

iso_status iso_sim_module_create(void *device, const iso_module_source *source, void **out_module)
{
    sim_device *sim = device;
    sim_module *module;
    iso_status status = ISO_OK;
    *out_module = NULL;
    ISO_TRY(ISO_NEW(sim->allocator, 1, &module));
    module->device = sim;
    module->name = source->name;
    ISO_TRY_GOTO(ISO_NEW(sim->allocator, 1, &module->code), fail);
    module->code->references = 1;
    module->code->arg_count = source->arg_count;
    memcpy(module->code->arg_kinds, source->arg_kinds, sizeof source->arg_kinds);
    ISO_TRY_GOTO(check_taken(&sim->chip->features, source), fail);
    ISO_TRY_GOTO(iso_sim_program_create(sim->allocator, sim->chip, source, &module->code->program), fail);
    ISO_TRY_GOTO(bind_rules(sim, module), fail);
    ISO_TRY_GOTO(count_launches_of(sim, source->name, &module->count_place), fail);
    mistake(sim, module);
    *out_module = module;
    return ISO_OK;
fail:
    iso_sim_module_destroy(device, module);
    return status;
}

void iso_sim_module_destroy(void *device, void *module)
{
    sim_device *sim = device;
    sim_module *own = module;
    if (!own)
        return;
    if (own->code && own->code->program)
        iso_sim_coverage_append(own->code->program, own->name);
    release_code(sim, own->code);
    iso_free(sim->allocator, own);
}
