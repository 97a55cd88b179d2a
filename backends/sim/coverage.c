// SPDX-License-Identifier: MIT
//
// Which sides of a kernel's branches ran on a simulated chip: counted by the program while it runs, told
// here.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sim/program.h"
#include "backends/sim/sim.h"
#include "runtime/base/strings.h"

#define COVERAGE_VARIABLE "ISOMER_SIM_COVERAGE"

void iso_sim_program_coverage(const sim_program *program, sim_coverage *out)
{
    *out = (sim_coverage){.sides = (uint32_t)program->side_count};
    for (size_t i = 0; i < program->side_count; i++)
        out->sides_taken += program->taken[i] != 0;
}

iso_status iso_sim_program_describe_untaken(const sim_program *program, char **out_text)
{
    iso_text text = {.allocator = program->allocator};
    iso_status status = ISO_OK;
    *out_text = NULL;
    for (size_t i = 0; i < program->side_count && status == ISO_OK; i++)
        if (program->taken[i] == 0)
            status = iso_text_append(&text, "%s\n", program->sides[i].text);
    if (status == ISO_OK)
        status = iso_alloc_string(program->allocator, iso_text_get(&text), out_text);
    iso_text_deinit(&text);
    return status;
}

void iso_sim_coverage_append(const sim_program *program, const char *kernel)
{
    const char *path = getenv(COVERAGE_VARIABLE);
    FILE *file = path && *path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    sim_coverage coverage;
    iso_sim_program_coverage(program, &coverage);
    fprintf(file, "%s\t%u\t%u\n", kernel, coverage.sides, coverage.sides_taken);
    for (size_t i = 0; i < program->side_count; i++)
        if (program->taken[i] == 0)
            fprintf(file, "%s\t%s\n", kernel, program->sides[i].text);
    fclose(file);
}
