// SPDX-License-Identifier: MIT
//
// The part of the self-test that runs in a process of its own: opens one simulated chip and runs units on it.
// The result is a struct in memory that is shared with the parent.
#ifndef ISOMER_CONFORMANCE_SELFTEST_CHILD_H
#define ISOMER_CONFORMANCE_SELFTEST_CHILD_H

#include "conformance/selftest/selftest.h"

typedef struct conform_child_job {
    const char *chip_files;         // for ISOMER_SIM_CHIPS: the job's, and for a fault one without it behind
    const conform_unit_list *units; // of all suites, quick level
    uint64_t seed;
    uint32_t unit_count;         // of a chip
    conform_fault_result *fault; // either of the two; shared
    conform_chip_result *chip;
    uint32_t number; // of the job: honest chips begin at different units
} conform_child_job;

// The report with an entry for each fault and chip that the options ask for, in shared memory (catalogue.c).
iso_status conform_self_test_report_create(const conform_self_test_options *options,
                                           conform_self_test_report *report) ISO_MUST_USE;

// Fills job->fault or job->chip.
void conform_child_run(const conform_child_job *job);

#endif
