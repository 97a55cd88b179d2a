// SPDX-License-Identifier: MIT
//
// Runs the suites on one device. The device is opened in a worker process that is forked before any driver is
// loaded; the worker tells the parent over a pipe what it starts and what it finds. A unit that crashes or
// hangs its worker is recorded, and a new worker goes on behind it. Units that failed within five seconds run
// twice more with the same seed, which gives a flake rate and changes no verdict.
#ifndef ISOMER_CONFORMANCE_RUN_H
#define ISOMER_CONFORMANCE_RUN_H

#include "conformance/report/record.h"
#include "conformance/suite/suite.h"

typedef struct conform_run_options {
    const char *device; // any name that iso_registry_find takes
    conform_level level;
    uint64_t seed;
    const char *only;        // pattern of unit ids with * and ?, or NULL: all of the level
    const char *case_folder; // an existing folder, or NULL
    bool in_process;         // no worker: for debuggers and sanitizers; a crash is then the caller's
    // Units with these ids have been done before (an interrupted run goes on); may be NULL.
    bool (*skip)(void *context, const char *unit);
    // Called in the parent; NULL-able. `record` is lent.
    iso_status (*on_record)(void *context, const conform_record *record);
    // After each unit.
    void (*on_progress)(void *context, uint32_t done, uint32_t total);
    void *context;
} conform_run_options;

// What is known about the device once a worker has opened it.
typedef struct conform_run_facts {
    iso_device_info device;
    char device_name[CONFORM_DEVICE_BYTES]; // canonical
    iso_numerics numerics;                  // of the bounds
    json_t *profile;                        // what the profile suite measured, or NULL; owned
    uint32_t unit_count;
    uint32_t worker_count; // workers started: 1 and one more for each crash or hang
    double seconds;
} conform_run_facts;

// ISO_OK when every unit was run or is recorded as crashed or hung; failures of units are records, not
// failures of the call. ISO_NOT_FOUND, ISO_UNAVAILABLE: there is no such device. ISO_INVALID_ARGUMENT: `only`
// fits no unit.
iso_status conform_run(const conform_run_options *options, conform_run_facts *out_facts) ISO_MUST_USE;
// Whether a run of `level` narrowed by `only` (NULL: not) includes the unit.
bool conform_unit_wanted(const conform_unit *unit, conform_level level, const char *only);
void conform_run_facts_deinit(conform_run_facts *facts);

#endif
