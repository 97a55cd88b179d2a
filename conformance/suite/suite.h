// SPDX-License-Identifier: MIT
//
// The conformance suite's own contract: what a suite is, what it runs on, and what a result is. A suite lists
// units of work without opening a device, and runs one unit at a time on an open one; run.c drives them, each
// device in a process of its own, so that a crash or a hang costs one unit. Results are records that stand
// alone: report/ writes and checks them and knows nothing of how they came about.
//
//   options -> list (host only) -> worker process: open, run unit by unit -> results -> report
//
// May know everything but tools/. Threads: a process runs one unit at a time.
#ifndef ISOMER_CONFORMANCE_SUITE_H
#define ISOMER_CONFORMANCE_SUITE_H

#include <jansson.h>

#include "isomer/device.h"
#include "isomer/ops.h"

// ---- types: what is asked ----

typedef enum conform_level {
    CONFORM_QUICK,      // under a minute on two cores
    CONFORM_STANDARD,   // under ten minutes
    CONFORM_EXHAUSTIVE, // hours; resumable
    CONFORM_LEVEL_COUNT
} conform_level;

#define CONFORM_UNIT_BYTES   128
#define CONFORM_DETAIL_BYTES 320
#define CONFORM_DEVICE_BYTES 64

// One unit of work. Its id says all that is needed to run it again: "ops/linear/f32_bf16_f32/7/cancel".
typedef struct conform_unit {
    char id[CONFORM_UNIT_BYTES];
    uint32_t suite;         // position in suites.def
    conform_level level;    // the least level that runs it
    uint32_t limit_seconds; // after which it counts as hung; 0: 60
} conform_unit;

typedef struct conform_unit_list {
    conform_unit *units;
    size_t count, capacity;
} conform_unit_list;

// ---- types: what is found ----

typedef enum conform_outcome {
    CONFORM_PASS,
    CONFORM_FAIL,
    CONFORM_SKIP,            // could not be tried here; the reason says why
    CONFORM_UNSUPPORTED,     // the device or kernel says no, with its reason
    CONFORM_EXPECTED_FAIL,   // listed in conformance/expected.def with a reason
    CONFORM_UNEXPECTED_PASS, // listed there, and passes: a failure of the list
    CONFORM_CRASH,           // the process ended
    CONFORM_HANG,            // the unit's time ran out
    CONFORM_OUTCOME_COUNT
} conform_outcome;

// A judged element, kept so that a stranger can judge it again.
typedef struct conform_sample {
    uint32_t output; // number of the op's output
    uint64_t index;  // element, rows packed
    double got, want, bound;
} conform_sample;

#define CONFORM_SAMPLES 6

// One check of a unit. A unit gives one or more. Texts are copied; absent ones are "".
typedef struct conform_result {
    conform_outcome outcome;
    char check[CONFORM_UNIT_BYTES];    // what within the unit: a kernel's name, "copies", "layer 3"
    char op[32];                       // "" outside the op and model suites
    char detail[CONFORM_DETAIL_BYTES]; // of a failure: what and where; of a skip or a "no": why
    double score;                      // worst error / bound; NAN where nothing is measured; may be infinite
    uint64_t input_hash, output_hash;  // XXH3 of all input and output bytes; 0 where there are none
    conform_sample samples[CONFORM_SAMPLES]; // the worst element first, then some drawn by the seed
    uint32_t sample_count;
    json_t *more; // an object with whatever else the suite reports, or NULL; taken
} conform_result;

// ---- types: what a unit runs with ----

typedef struct conform_context {
    iso_registry *registry;
    iso_device *device;
    conform_level level;
    uint64_t seed; // of every input; printed, 1 unless given
    // What the profile suite measured on this device, or IEEE where it has not run.
    iso_numerics numerics;
    // All of what it measured (conformance/profile/profile.h), or NULL where it has not run.
    const struct conform_device_profile *profile;
    struct conform_modules *modules; // compiled kernels (conformance/ops/modules.h), or NULL: none is kept
    const char
        *case_folder; // failing cases are written here as <unit>_<kernel>.case, '_' for '/'; NULL: nowhere
    // Takes a result: copies texts, takes `more`.
    void (*report)(struct conform_context *context, const conform_result *result);
    void *report_context;
} conform_context;

// A suite: one line in suites.def, one of these in its folder, called conform_suite_<name>.
typedef struct conform_suite {
    const char *name;
    const char *about; // one line
    // Appends the units of all levels, cheapest first. `device` may be NULL: no facts known.
    iso_status (*list)(conform_unit_list *list, const iso_device_info *device);
    // ISO_OK when the unit ran to its end, whatever it found; a failure here counts as the unit's failure,
    // with the thread's record as its detail (ISO_UNSUPPORTED: as refused). ISO_DEVICE_LOST ends the worker.
    iso_status (*run)(conform_context *context, const conform_unit *unit);
} conform_suite;

// ---- calls ----

// Appends a unit; `format` is the id without the suite's name.
iso_status conform_add_unit(conform_unit_list *list, const char *suite, conform_level level,
                            uint32_t limit_seconds, const char *format, ...) ISO_PRINTF(5, 6) ISO_MUST_USE;
void conform_unit_list_deinit(conform_unit_list *list);

// The suite of that name, or NULL.
const conform_suite *conform_find_suite(const char *name);
uint32_t conform_suite_count(void);
const conform_suite *conform_suite_at(uint32_t index);

// A result with outcome, check and detail set, score NAN, all else zero.
conform_result conform_result_make(conform_outcome outcome, const char *check, const char *format, ...)
    ISO_PRINTF(3, 4);

const char *conform_outcome_name(conform_outcome outcome); // "pass", "expected-fail", ...
const char *conform_level_name(conform_level level);

#endif
