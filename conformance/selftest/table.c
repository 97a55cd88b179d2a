// SPDX-License-Identifier: MIT
//
// The self-test's report as Markdown, for people and for conformance/README.md.
#include <errno.h>
#include <math.h>
#include <string.h>

#include "conformance/selftest/selftest.h"

static const char *const outcome_words[CONFORM_CATCH_COUNT] = {"caught", "missed", "timed out", "broken"};

// Texts from kernels and drivers: a table's cell must stay one.
static void print_cell(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", file);
        else
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, file);
    }
}

static void print_score(FILE *file, double score)
{
    if (isinf(score))
        fputs("∞", file);
    else
        fprintf(file, "%.3g", score);
}

static void print_groups(const conform_self_test_report *report, FILE *file)
{
    fputs("| group | faults | caught | missed |\n| --- | --- | --- | --- |\n", file);
    for (uint32_t i = 0; i < report->fault_count; i++) {
        const char *group = report->faults[i].group;
        if (i > 0 && strcmp(report->faults[i - 1].group, group) == 0)
            continue;
        uint32_t count = 0, caught = 0;
        for (uint32_t f = 0; f < report->fault_count; f++) {
            bool same = strcmp(report->faults[f].group, group) == 0;
            count += same;
            caught += same && report->faults[f].outcome == CONFORM_CAUGHT;
        }
        fprintf(file, "| %s | %u | %u | %u |\n", group, count, caught, count - caught);
    }
    fputc('\n', file);
}

static void print_fault(const conform_fault_result *fault, FILE *file)
{
    fprintf(file, "| %s | `", fault->name);
    print_cell(file, fault->line);
    fprintf(file, "` | %s | ", outcome_words[fault->outcome]);
    if (fault->score > 0)
        print_score(file, fault->score);
    fputs(" | ", file);
    if (fault->outcome == CONFORM_CAUGHT && fault->explanation)
        fputs("listed as a known miss, which it is not: ", file);
    print_cell(file, fault->outcome == CONFORM_CAUGHT ? fault->unit
                     : fault->explanation             ? fault->explanation
                     : fault->detail[0]               ? fault->detail
                                                      : "no explanation");
    fputs(" |\n", file);
}

// Not caught as it should be.
static bool is_noteworthy(const conform_fault_result *fault)
{
    return fault->outcome != CONFORM_CAUGHT || fault->explanation != NULL;
}

static void print_faults(const conform_self_test_report *report, bool all, FILE *file)
{
    uint32_t left = all ? report->fault_count : 0;
    for (uint32_t i = 0; i < report->fault_count; i++)
        left += is_noteworthy(&report->faults[i]);
    if (left == 0)
        return;
    fprintf(file,
            "| fault | the chip file's line | | error / bound | %s |\n| --- | --- | --- | --- | --- |\n",
            all ? "caught by, or why not" : "why");
    for (uint32_t i = 0; i < report->fault_count; i++)
        if (all || is_noteworthy(&report->faults[i]))
            print_fault(&report->faults[i], file);
    fputc('\n', file);
}

static void print_chips(const conform_self_test_report *report, FILE *file)
{
    if (report->chip_count == 0)
        return;
    fputs("| honest chip | units | passed | unsupported | failed |\n| --- | --- | --- | --- | --- |\n", file);
    for (uint32_t i = 0; i < report->chip_count; i++) {
        const conform_chip_result *chip = &report->chips[i];
        fprintf(file, "| %s | %u | %u | %u | %u", chip->name, chip->unit_count, chip->pass_count,
                chip->unsupported_count, chip->fail_count);
        if (chip->fail_count > 0 || !chip->finished) {
            fprintf(file, ": %s ", chip->unit);
            print_cell(file, chip->detail);
        }
        fputs(" |\n", file);
    }
    fputc('\n', file);
}

iso_status conform_self_test_print(const conform_self_test_report *report, bool all, FILE *file)
{
    uint32_t missed = report->fault_count - report->caught_count;
    fprintf(file, "%u faults, %u caught at %.0f times the bound or by a guard, %u missed",
            report->fault_count, report->caught_count, CONFORM_CATCH, missed);
    if (report->fault_count > 0)
        fprintf(file, ": %.1f %%", 100.0 * report->caught_count / report->fault_count);
    fprintf(file, ". %u honest chips, %u taken for faulty. %.0f s.\n\n", report->chip_count,
            report->chip_failure_count, report->seconds);
    if (report->fault_count > 0)
        print_groups(report, file);
    print_faults(report, all, file);
    print_chips(report, file);
    if (fflush(file) != 0 || ferror(file))
        return iso_fail(ISO_IO, "the self-test's table cannot be written: %s", strerror(errno));
    return ISO_OK;
}
