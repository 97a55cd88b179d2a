// SPDX-License-Identifier: MIT
//
// The part of a run that touches the device: opens it, runs the wanted units in order, and hands out records.
// Called in a process of its own by run.c, or in the caller's where isolation is not wanted.
#ifndef ISOMER_CONFORMANCE_WORKER_H
#define ISOMER_CONFORMANCE_WORKER_H

#include "conformance/suite/run.h"

// Lies in memory that the worker and its parent share, so that the parent knows what a worker did when it
// died.
typedef struct conform_worker_state {
    bool opened, finished;
    bool feeding;           // the current unit only feeds the bounds of the others
    uint32_t unit_count;    // units wanted in all
    uint32_t current;       // position among them
    double started_seconds; // of the current unit, monotonic clock
    uint32_t limit_seconds; // of the current unit
    conform_unit unit;      // the current one
    iso_device_info device;
    char device_name[CONFORM_DEVICE_BYTES]; // canonical
    iso_numerics numerics;                  // that the profile suite measured
    iso_status status;                      // where it ended without finishing
    char text[512];
} conform_worker_state;

typedef struct conform_worker_job {
    const conform_run_options *options;
    uint32_t first;               // units before this one were run by another worker
    bool no_profile;              // a profile unit ended a worker before: do not run them again
    const iso_numerics *numerics; // what was measured before that; NULL: nothing
    conform_worker_state *state;
    iso_status (*emit)(void *context, const conform_record *record);
    void *context;
} conform_worker_job;

// Runs units `first` to the last. state->status and text repeat a failure.
iso_status conform_worker_run(const conform_worker_job *job) ISO_MUST_USE;

// Fills a record's unit, suite, level and device.
void conform_record_address(conform_record *record, const conform_unit *unit, const char *device);

double conform_clock_seconds(void);

#endif
