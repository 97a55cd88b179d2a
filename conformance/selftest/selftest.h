// SPDX-License-Identifier: MIT
//
// The self-test: how many of the catalogue's faults (faults.def) the suite finds, and whether it takes what
// honest chips do (backends/sim/chips) for one. Each fault becomes a simulated chip in a process of its own,
// which runs the units that could see it until one does. A fault counts as caught where an element's error is
// at least CONFORM_CATCH times its bound, or a guard speaks: what was found with less was found by luck.
//
//     options -> self test (a process for each fault, several at once) -> report -> table in Markdown
//
// Call it before any thread is started: it forks.
#ifndef ISOMER_CONFORMANCE_SELFTEST_H
#define ISOMER_CONFORMANCE_SELFTEST_H

#include <stdio.h>

#include "conformance/suite/suite.h"

#define CONFORM_CATCH 2.0

// ---- types ----

// A line of the catalogue.
typedef struct conform_fault {
    const char *group, *name;
    const char *op;   // "": no op's
    const char *line; // of a chip file
} conform_fault;

typedef struct conform_self_test_options {
    const char
        *line; // this fault instead of the catalogue's ("fault add store low add 1"); NULL: the catalogue
    const char *op;         // of `line`; NULL: no op's
    const char *only;       // pattern of fault and chip names with * and ?; NULL: all
    uint32_t worker_count;  // processes at once; 0: 2
    uint32_t limit_seconds; // of one fault or chip; 0: 60
    uint32_t chip_units;    // of one honest chip, from all over the list; 0: 120
    uint64_t seed;          // of the inputs; 0: 1
    bool no_chips;          // faults only
    // After each fault and chip; NULL-able.
    void (*on_progress)(void *context, uint32_t done, uint32_t total, const char *text);
    void *context;
} conform_self_test_options;

typedef enum conform_catch {
    CONFORM_CAUGHT,
    CONFORM_MISSED,    // every unit passed, or none failed by enough
    CONFORM_TIMED_OUT, // counts as missed
    CONFORM_BROKEN,    // the fault's line or the simulator is wrong; counts as missed
    CONFORM_CATCH_COUNT
} conform_catch;

typedef struct conform_fault_result {
    const char *group, *name, *op, *line;
    const char *explanation; // of a known miss, or NULL
    conform_catch outcome;
    double score;                  // of the check that caught it, or the worst seen; infinite: a guard
    char unit[CONFORM_UNIT_BYTES]; // that caught it, or came nearest
    char check[CONFORM_UNIT_BYTES];
    char detail[CONFORM_DETAIL_BYTES];
    uint32_t unit_count; // units that ran
    double seconds;
} conform_fault_result;

typedef struct conform_chip_result {
    char name[128];
    char file[4096 + 256];
    uint32_t unit_count, pass_count, unsupported_count, fail_count;
    bool finished;                     // false: it crashed or could not be opened; `detail` says so
    char unit[CONFORM_UNIT_BYTES];     // of the first failure
    char detail[CONFORM_DETAIL_BYTES]; // of the first failure
    double seconds;
} conform_chip_result;

typedef struct conform_self_test_report {
    conform_fault_result *faults;
    uint32_t fault_count, caught_count;
    conform_chip_result *chips;
    uint32_t chip_count, chip_failure_count; // chips with at least one failure
    double seconds;
} conform_self_test_report;

// ---- calls ----

// The catalogue; NULL beyond its end.
const conform_fault *conform_fault_at(uint32_t index);

// ISO_OK when every fault and chip was tried, whatever came out. ISO_NOT_FOUND: `only` fits none, or the
// folder of chips is not there. `out_report` is released by conform_self_test_deinit.
iso_status conform_self_test(const conform_self_test_options *options,
                             conform_self_test_report *out_report) ISO_MUST_USE;
void conform_self_test_deinit(conform_self_test_report *report);

// The report as Markdown: totals, a line for each group, honest chips, each miss with its explanation, and
// with `all` each fault.
iso_status conform_self_test_print(const conform_self_test_report *report, bool all, FILE *file) ISO_MUST_USE;

// Whether it was good enough: at least 97 % caught, each miss explained, each explained one missed, no honest
// chip failed.
bool conform_self_test_passed(const conform_self_test_report *report);

#endif
