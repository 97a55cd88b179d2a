// SPDX-License-Identifier: MIT
//
// From a module's SPIR-V to a program that execute.c can run, and what is known of a program afterwards:
// which sides of its branches ever ran.
#include "backends/sim/program.h"

#include <string.h>

#include "backends/sim/decode.h"
#include "runtime/base/strings.h"

static void release_decoder(sim_decoder *d, uint32_t *words)
{
    iso_free(d->allocator, d->ids);
    iso_free(d->allocator, d->parameters);
    iso_free(d->allocator, d->calls);
    iso_free(d->allocator, d->fixups);
    iso_free(d->allocator, d->edges);
    iso_free(d->allocator, d->live);
    iso_free(d->allocator, d->spare);
    iso_free(d->allocator, words);
}

static iso_status decode(sim_decoder *d)
{
    sim_program *program = d->program;
    ISO_TRY(iso_sim_read_module(d));
    ISO_TRY(iso_sim_scan_functions(d));
    ISO_TRY(iso_sim_emit_functions(d));
    ISO_TRY(iso_sim_check_rules(d));
    ISO_TRY(ISO_NEW(d->allocator, program->side_count ? program->side_count : 1, &program->taken));
    return ISO_NEW(d->allocator, 1, &program->lane_steps);
}

static void size_lanes(sim_program *program, const sim_chip *chip)
{
    const uint32_t subgroup = chip->features.subgroup ? chip->features.subgroup : 32;
    program->subgroup = subgroup < program->group_size ? subgroup : program->group_size;
    program->width = (program->subgroup + SIM_VECTOR - 1) / SIM_VECTOR * SIM_VECTOR;
    memset(&program->builtin, 0xff, sizeof program->builtin);
}

iso_status iso_sim_program_create(const iso_allocator *allocator, const sim_chip *chip,
                                  const iso_module_source *source, sim_program **out_program)
{
    sim_decoder d = {.allocator = allocator, .source = source};
    uint32_t *words = NULL;
    iso_status status;
    *out_program = NULL;
    if (source->group_size == 0 || source->group_size > 1024)
        return iso_fail(ISO_UNSUPPORTED, "groups of %u threads; allowed: 1 to 1024", source->group_size);
    if (source->code_bytes % 4 != 0)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V has %zu bytes, not a multiple of 4",
                        source->code_bytes);
    ISO_TRY(ISO_NEW(allocator, 1, &d.program));
    d.program->allocator = allocator;
    d.program->chip = chip;
    d.program->group_size = source->group_size;
    iso_copy_text(d.program->name, sizeof d.program->name, source->name);
    size_lanes(d.program, chip);
    d.count = source->code_bytes / 4;
    // A copy, since embedded code has the alignment of bytes.
    ISO_TRY_GOTO(ISO_NEW(allocator, d.count, &words), done);
    if (d.count > 0)
        memcpy(words, source->code, source->code_bytes);
    d.words = words;
    status = decode(&d);
done:
    release_decoder(&d, words);
    if (status != ISO_OK)
        iso_sim_program_destroy(d.program);
    else
        *out_program = d.program;
    return status;
}

void iso_sim_program_destroy(sim_program *program)
{
    if (!program)
        return;
    const iso_allocator *allocator = program->allocator;
    iso_free(allocator, program->steps);
    iso_free(allocator, program->constants);
    iso_free(allocator, program->poisoned);
    iso_free(allocator, program->variables);
    iso_free(allocator, program->faults);
    iso_free(allocator, program->cases);
    iso_free(allocator, program->sides);
    iso_free(allocator, program->taken);
    iso_free(allocator, program->lane_steps);
    iso_free(allocator, program);
}

int iso_sim_program_argument(const sim_program *program, const char *name)
{
    for (uint32_t i = 0; i < program->argument_count; i++)
        if (strcmp(program->arguments[i].name, name) == 0)
            return (int)i;
    return -1;
}
