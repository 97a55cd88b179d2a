// SPDX-License-Identifier: MIT
//
// What the command `conform` was asked for, and its parts: running the suites (conform_suites.c) and what it
// prints (conform_print.c). The suite itself is conformance/; here are only words for people.
#ifndef ISOMER_TOOLS_CONFORM_H
#define ISOMER_TOOLS_CONFORM_H

#include "conformance/suite/run.h"
#include "conformance/suite/verdict.h"

typedef struct conform_options {
    const char *action, *first,
        *second; // positional: verify DIR, diff A B, keygen FILE; NULL: run the suites
    const char *device;
    uint32_t level;
    const char *profile, *unit, *out, *key, *public_key, *case_file;
    uint64_t seed;
    uint32_t samples;
    bool list, self_test, branches, table, json, in_process, resume;
} conform_options;

// Everything that one run found, as the text report wants it.
typedef struct conform_findings {
    conform_run_facts facts;
    conform_summary summary;
    conform_verdict_count count;
    conform_record *notable; // records that are neither pass nor plain skips; owned
    size_t notable_count, notable_capacity;
    struct {
        uint32_t outcomes[CONFORM_OUTCOME_COUNT];
        double seconds, worst; // of all scores
    } suites[8];
} conform_findings;

// Runs the suites and writes the bundle where --out asks for one.
iso_status cli_conform_suites(const conform_options *options, bool *out_yes) ISO_MUST_USE;

// Prints a line an op: bound, tightness, units, time on options->device.
iso_status cli_conform_table(const conform_options *options, bool *out_yes) ISO_MUST_USE;

// conform_print.c
void cli_conform_print(const conform_options *options, const conform_findings *findings);
json_t *cli_conform_json(const conform_options *options, const conform_findings *findings);

#endif
