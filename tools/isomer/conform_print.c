// SPDX-License-Identifier: MIT
//
// The text report of `conform`: verdicts first, then what each suite found, then every failure with the line
// that runs it again.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tools/isomer/conform.h"
#include "tools/isomer/device_names.h"
#include "tools/isomer/output.h"

static void print_verdicts(const conform_summary *summary)
{
    printf("\n");
    for (uint32_t i = 0; i < summary->verdict_count; i++) {
        const conform_verdict *verdict = &summary->verdicts[i];
        printf("  %-14s %-12s%s\n", verdict->profile, verdict->verdict, verdict->missing);
    }
}

static void print_suites(const conform_findings *findings)
{
    printf("\n  %-10s %7s %7s %12s %8s %10s %9s\n", "suite", "passed", "failed", "unsupported", "skipped",
           "worst/bound", "seconds");
    for (uint32_t s = 0; s < conform_suite_count(); s++) {
        const uint32_t *n = findings->suites[s].outcomes;
        uint32_t bad = n[CONFORM_FAIL] + n[CONFORM_UNEXPECTED_PASS] + n[CONFORM_CRASH] + n[CONFORM_HANG];
        if (n[CONFORM_PASS] + bad + n[CONFORM_UNSUPPORTED] + n[CONFORM_SKIP] + n[CONFORM_EXPECTED_FAIL] == 0)
            continue;
        printf("  %-10s %7u %7u %12u %8u %10.3f %9.1f\n", conform_suite_at(s)->name, n[CONFORM_PASS], bad,
               n[CONFORM_UNSUPPORTED], n[CONFORM_SKIP] + n[CONFORM_EXPECTED_FAIL], findings->suites[s].worst,
               findings->suites[s].seconds);
    }
}

static void print_record(const conform_options *options, const conform_record *record)
{
    char detail[CONFORM_DETAIL_BYTES];
    cli_clean_text(record->result.detail, detail, sizeof detail);
    printf("\n  %s %s: %s: %s\n", conform_outcome_name(record->result.outcome), record->unit,
           record->result.check, detail);
    if (!conform_outcome_is_bad(record->result.outcome))
        return;
    if (!isnan(record->result.score))
        printf("      error / bound %.3g\n", record->result.score);
    printf("      failed %u of %u runs with this seed\n", record->failures, record->tries);
    printf("      isomer conform --device %s --unit '%s' --seed %" PRIu64 "%s%s\n", record->device,
           record->unit, options->seed, record->level > CONFORM_QUICK ? " --level " : "",
           record->level > CONFORM_QUICK ? conform_level_name(record->level) : "");
}

void cli_conform_print(const conform_options *options, const conform_findings *findings)
{
    cli_print_device(stdout, findings->facts.device_name, &findings->facts.device);
    printf("level %s, seed %" PRIu64 ", %u units, %.1f s\n",
           conform_level_name((conform_level)options->level), options->seed, findings->summary.unit_count,
           findings->summary.seconds);
    if (!options->unit || options->profile) // a part of the units says nothing about all profiles
        print_verdicts(&findings->summary);
    print_suites(findings);
    for (size_t i = 0; i < findings->notable_count; i++)
        print_record(options, &findings->notable[i]);
    const uint32_t *n = findings->count.outcomes;
    printf("\nconform %s: %u passed, %u failed, %u skipped\n", findings->facts.device_name, n[CONFORM_PASS],
           n[CONFORM_FAIL] + n[CONFORM_UNEXPECTED_PASS] + n[CONFORM_CRASH] + n[CONFORM_HANG],
           n[CONFORM_UNSUPPORTED] + n[CONFORM_SKIP] + n[CONFORM_EXPECTED_FAIL]);
}

json_t *cli_conform_json(const conform_options *options, const conform_findings *findings)
{
    json_t *root = json_object(), *verdicts = json_array(), *failures = json_array();
    for (uint32_t i = 0; i < findings->summary.verdict_count; i++) {
        const conform_verdict *verdict = &findings->summary.verdicts[i];
        json_t *entry = json_object();
        cli_json_put(&entry, "profile", cli_json_text(verdict->profile));
        cli_json_put(&entry, "verdict", cli_json_text(verdict->verdict));
        cli_json_put(&entry, "missing", cli_json_text(verdict->missing));
        cli_json_add(&verdicts, entry);
    }
    for (size_t i = 0; i < findings->notable_count; i++) {
        json_t *entry = NULL;
        if (conform_record_to_json(&findings->notable[i], &entry) != ISO_OK)
            entry = NULL;
        cli_json_add(&failures, entry);
    }
    cli_json_put(&root, "device", cli_json_text(findings->facts.device_name));
    cli_json_put(&root, "name", cli_json_text(findings->facts.device.name));
    cli_json_put(&root, "level", cli_json_text(conform_level_name((conform_level)options->level)));
    cli_json_put(&root, "seconds", json_real(findings->summary.seconds));
    for (int o = 0; o < CONFORM_OUTCOME_COUNT; o++)
        cli_json_put(&root, conform_outcome_name((conform_outcome)o),
                     cli_json_count(findings->count.outcomes[o]));
    cli_json_put(&root, "verdicts", verdicts);
    cli_json_put(&root, "records", failures);
    return root;
}
