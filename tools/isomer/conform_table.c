// SPDX-License-Identifier: MIT
//
// `conform --table`: one line an op for conformance/README.md: its bound, how near honest arithmetic comes to
// it, how many units try it and what they cost on a device.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/tightness.h"
#include "tools/isomer/conform.h"
#include "tools/isomer/progress.h"

// Calls with more terms than this take the reference too long for a table.
#define MOST_WORK 20000000u

typedef struct table_row {
    double tightness[CONFORM_TIGHTNESS_CLASS_COUNT]; // 0: no such sum
    uint32_t units, failed;
    double seconds, worst;
} table_row;

typedef struct table_state {
    table_row *rows; // [ops]
    cli_progress progress;
} table_state;

static iso_status measure_case(const conform_op_case *wanted, const conform_options *options, table_row *row)
{
    conform_built built = {0};
    conform_tightness tightness = {.float_score = (double)NAN};
    iso_status status = conform_built_init(&built, wanted, options->seed, true);
    bool small = status == ISO_OK && conform_case_work(wanted->op, built.params) <= MOST_WORK;
    conform_built_deinit(&built);
    if (status != ISO_OK || !small)
        return status;
    status = conform_built_init(&built, wanted, options->seed, false);
    if (status == ISO_OK)
        status = conform_tightness_measure(wanted->op, built.params, &iso_numerics_ieee, &tightness);
    conform_built_deinit(&built);
    // BF16's one rounding of the result would hide how near the sums before it come.
    double *reached = &row->tightness[conform_tightness_class_of(tightness.terms)];
    if (tightness.float_score > *reached)
        *reached = tightness.float_score;
    return status;
}

static iso_status measure_op(const iso_op_info *op, const conform_options *options, table_row *row)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t count = conform_triples(op, triples);
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t c = 0; c < op->case_count; c++) {
            conform_op_case wanted = {.op = op, .triple = triples[t], .number = c};
            if (!conform_stress_excluded(op, wanted.stress, &triples[t]))
                ISO_TRY(measure_case(&wanted, options, row));
        }
    return ISO_OK;
}

static iso_status take_record(void *context, const conform_record *record)
{
    table_state *state = context;
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        size_t length = strlen(iso_ops()->ops[o]->name);
        if (strncmp(record->unit + strlen("ops/"), iso_ops()->ops[o]->name, length) != 0 ||
            record->unit[strlen("ops/") + length] != '/')
            continue;
        table_row *row = &state->rows[o];
        row->units += record->seconds > 0; // a unit's first record carries its time
        row->seconds += record->seconds;
        row->failed += conform_outcome_is_bad(record->result.outcome);
        if (record->result.score > row->worst)
            row->worst = record->result.score;
    }
    return ISO_OK;
}

static void show_progress(void *context, uint32_t done, uint32_t total)
{
    table_state *state = context;
    cli_progress_update(&state->progress, done, total);
}

static void print_cell(double tightness)
{
    if (tightness > 0)
        printf(" %.3f |", tightness);
    else
        printf(" – |");
}

// A formula in a cell: its bars are no ends of cells.
static void print_formula(const char *formula)
{
    for (; *formula; formula++) {
        if (*formula == '|')
            putchar('\\');
        putchar(*formula);
    }
}

static void print_rows(const table_state *state, const conform_run_facts *facts,
                       const conform_options *options)
{
    printf("| op | bound of an element's error | version |");
    for (int k = 0; k < CONFORM_TIGHTNESS_CLASS_COUNT; k++)
        printf(" tightness, %s |", conform_tightness_class_name((conform_tightness_class)k));
    printf(" units | worst on %s | s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
           facts->device_name);
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        const table_row *row = &state->rows[o];
        printf("| %s | ", op->name);
        print_formula(op->bound);
        printf(" | %u |", op->bound_version);
        for (int k = 0; k < CONFORM_TIGHTNESS_CLASS_COUNT; k++)
            print_cell(row->tightness[k]);
        printf(" %u | %.3f%s | %.1f |\n", row->units, row->worst, row->failed ? " (failed)" : "",
               row->seconds);
    }
    printf("\nLevel %s, seed %llu.\n", conform_level_name((conform_level)options->level),
           (unsigned long long)options->seed);
}

iso_status cli_conform_table(const conform_options *options, bool *out_yes)
{
    table_state state = {0};
    conform_run_facts facts;
    ISO_TRY(ISO_NEW(NULL, iso_ops()->count, &state.rows));
    conform_run_options run = {.device = options->device,
                               .level = (conform_level)options->level,
                               .seed = options->seed,
                               .only = "ops/*",
                               .on_record = take_record,
                               .on_progress = show_progress,
                               .context = &state};
    cli_progress_begin(&state.progress, options->device);
    iso_status status = conform_run(&run, &facts);
    cli_progress_end(&state.progress);
    for (uint32_t o = 0; o < iso_ops()->count && status == ISO_OK; o++)
        status = measure_op(iso_ops()->ops[o], options, &state.rows[o]);
    if (status == ISO_OK) {
        print_rows(&state, &facts, options);
        for (uint32_t o = 0; o < iso_ops()->count; o++)
            *out_yes = *out_yes && state.rows[o].failed == 0;
    }
    conform_run_facts_deinit(&facts);
    iso_free(NULL, state.rows);
    return status;
}
