// SPDX-License-Identifier: MIT
//
// The worker of a run. The profile suite feeds the bounds of the others, so its units run in every worker; a
// worker that goes on behind a crash does not report them again.
#include "conformance/suite/worker.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conformance/device/expected.h"
#include "conformance/ops/modules.h"

// Units that fail faster than this run again.
#define RETRY_SECONDS 5.0
#define RETRIES       2

typedef struct worker {
    const conform_worker_job *job;
    conform_context context;
    conform_unit_list units; // of all suites
    bool *wanted;            // [units.count]
    conform_record *records; // of the current unit
    size_t count, capacity;
    iso_status status; // of collecting records
} worker;

double conform_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void conform_record_address(conform_record *record, const conform_unit *unit, const char *device)
{
    snprintf(record->unit, sizeof record->unit, "%s", unit->id);
    snprintf(record->suite, sizeof record->suite, "%s", conform_suite_at(unit->suite)->name);
    snprintf(record->device, sizeof record->device, "%s", device);
    record->level = unit->level;
}

// ---- records of one unit ----

static void collect(conform_context *context, const conform_result *result)
{
    worker *w = context->report_context;
    if (w->status == ISO_OK)
        w->status = iso_grow(NULL, sizeof *w->records, w->count + 1, (void **)&w->records, &w->capacity);
    if (w->status != ISO_OK) {
        json_decref(result->more);
        return;
    }
    w->records[w->count++] = (conform_record){.result = *result, .tries = 1};
}

static void drop_records(worker *w)
{
    for (size_t i = 0; i < w->count; i++)
        json_decref(w->records[i].result.more);
    w->count = 0;
}

// Runs a unit; what it says of itself by its status becomes a record as well.
static iso_status run_unit(worker *w, const conform_unit *unit, double *out_seconds)
{
    double start = conform_clock_seconds();
    iso_status status = conform_suite_at(unit->suite)->run(&w->context, unit);
    *out_seconds = conform_clock_seconds() - start;
    if (status != ISO_OK) {
        // A part of the unit that no kernel or device can do here is no failure of what was done.
        conform_result failure =
            conform_result_make(status == ISO_UNSUPPORTED ? CONFORM_UNSUPPORTED : CONFORM_FAIL,
                                "the unit itself", "%s", iso_status_last()->text);
        collect(&w->context, &failure);
    } else if (w->count == 0 && w->status == ISO_OK) {
        conform_result nothing = conform_result_make(CONFORM_FAIL, "the unit itself", "it checked nothing");
        collect(&w->context, &nothing);
    }
    return status == ISO_DEVICE_LOST ? status : w->status;
}

static bool is_failure(const conform_record *record)
{
    return record->result.outcome == CONFORM_FAIL;
}

// Counts in how many of further runs with the same seed each failing check fails again.
static iso_status measure_flakes(worker *w, const conform_unit *unit)
{
    conform_record *first = w->records;
    size_t count = w->count, capacity = w->capacity;
    iso_status status = ISO_OK;
    for (int round = 0; round < RETRIES && status == ISO_OK; round++) {
        double seconds;
        w->records = NULL;
        w->count = w->capacity = 0;
        w->job->state->started_seconds = conform_clock_seconds();
        status = run_unit(w, unit, &seconds);
        for (size_t i = 0; i < count; i++) {
            bool failed = false; // a unit may give several results of one name
            for (size_t again = 0; again < w->count; again++)
                failed = failed || (is_failure(&w->records[again]) &&
                                    strcmp(w->records[again].result.check, first[i].result.check) == 0);
            first[i].tries++;
            first[i].failures += failed;
        }
        drop_records(w);
        iso_free(NULL, w->records);
    }
    w->records = first;
    w->count = count;
    w->capacity = capacity;
    return status;
}

// A unit that is known to fail: its failures are expected ones; where it has none, the list is wrong.
static void expect_failure(worker *w, const char *reason)
{
    bool failed = false;
    for (size_t i = 0; i < w->count; i++) {
        conform_result *result = &w->records[i].result;
        if (result->outcome != CONFORM_FAIL)
            continue;
        failed = true;
        result->outcome = CONFORM_EXPECTED_FAIL;
        snprintf(result->detail, sizeof result->detail, "%s", reason);
    }
    for (size_t i = 0; i < w->count && !failed; i++)
        if (w->records[i].result.outcome == CONFORM_PASS)
            w->records[i].result.outcome = CONFORM_UNEXPECTED_PASS;
}

static iso_status emit_records(worker *w, const conform_unit *unit, double seconds)
{
    iso_status status = ISO_OK;
    for (size_t i = 0; i < w->count; i++) {
        conform_record *record = &w->records[i];
        conform_record_address(record, unit, w->job->state->device_name);
        record->seconds = i == 0 ? seconds : 0; // the unit's, once
        if (status == ISO_OK)
            status = w->job->emit(w->job->context, record);
    }
    drop_records(w);
    return status;
}

static iso_status refuse_unit(worker *w, const conform_unit *unit, const char *reason)
{
    conform_result refusal = conform_result_make(CONFORM_UNSUPPORTED, "the unit itself", "%s", reason);
    collect(&w->context, &refusal);
    return emit_records(w, unit, 0);
}

static bool count_failures(worker *w)
{
    bool failed = false;
    for (size_t i = 0; i < w->count; i++) {
        w->records[i].failures = is_failure(&w->records[i]);
        failed = failed || is_failure(&w->records[i]);
    }
    return failed;
}

static iso_status do_unit(worker *w, const conform_unit *unit, bool tell)
{
    const char *reason = "";
    double seconds;
    conform_expectation_kind expected = conform_expectation(&w->job->state->device, unit->id, &reason);
    if (expected == CONFORM_EXPECT_UNSUPPORTED)
        return tell ? refuse_unit(w, unit, reason) : ISO_OK;
    iso_status status = run_unit(w, unit, &seconds);
    if (!tell) {
        drop_records(w);
        return status;
    }
    if (count_failures(w) && expected != CONFORM_EXPECT_FAILURE && status == ISO_OK &&
        seconds < RETRY_SECONDS)
        status = measure_flakes(w, unit);
    if (expected == CONFORM_EXPECT_FAILURE)
        expect_failure(w, reason);
    iso_status emitted = emit_records(w, unit, seconds);
    return status == ISO_OK ? emitted : status;
}

// ---- all units ----

bool conform_unit_wanted(const conform_unit *unit, conform_level level, const char *only)
{
    return unit->level <= level && (!only || fnmatch(only, unit->id, 0) == 0);
}

static bool is_wanted(const conform_run_options *options, const conform_unit *unit)
{
    if (!conform_unit_wanted(unit, options->level, options->only))
        return false;
    return !options->skip || !options->skip(options->context, unit->id);
}

static iso_status list_units(worker *w)
{
    const conform_run_options *options = w->job->options;
    for (uint32_t s = 0; s < conform_suite_count(); s++)
        ISO_TRY(conform_suite_at(s)->list(&w->units, &w->job->state->device));
    ISO_TRY(ISO_NEW(NULL, w->units.count ? w->units.count : 1, &w->wanted));
    size_t fitting = 0;
    for (size_t i = 0; i < w->units.count; i++) {
        fitting += conform_unit_wanted(&w->units.units[i], options->level, options->only);
        w->wanted[i] = is_wanted(options, &w->units.units[i]);
        w->job->state->unit_count += w->wanted[i];
    }
    if (fitting > 0)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT,
                    "no unit of level %s fits \"%s\"; isomer conform --list prints the units' names",
                    conform_level_name(options->level), options->only ? options->only : "*");
}

static iso_status open_device(worker *w)
{
    const conform_run_options *options = w->job->options;
    uint32_t index;
    ISO_TRY(iso_registry_create(NULL, &w->context.registry));
    ISO_TRY(iso_registry_find(w->context.registry, options->device, &index));
    const iso_device_info *info = iso_registry_device_info(w->context.registry, index);
    ISO_TRY(iso_device_open(w->context.registry, options->device,
                            &(iso_device_options){.validate = true, .profile = true}, &w->context.device));
    ISO_TRY(conform_modules_create(w->context.device, &w->context.modules));
    w->job->state->device = *info;
    snprintf(w->job->state->device_name, sizeof w->job->state->device_name, "%s",
             iso_device_name(w->context.device));
    w->context.level = options->level;
    w->context.seed = options->seed;
    w->context.numerics = w->job->numerics ? *w->job->numerics : iso_numerics_ieee;
    w->job->state->numerics = w->context.numerics;
    w->context.case_folder = options->case_folder;
    w->context.report = collect;
    w->context.report_context = w;
    w->job->state->opened = true;
    return ISO_OK;
}

static iso_status run_units(worker *w)
{
    conform_worker_state *state = w->job->state;
    uint32_t profile = 0, position = 0;
    while (strcmp(conform_suite_at(profile)->name, "profile") != 0)
        profile++;
    for (size_t i = 0; i < w->units.count; i++) {
        const conform_unit *unit = &w->units.units[i];
        bool mine = w->wanted[i] && position >= w->job->first;
        bool feeds = unit->suite == profile && unit->level <= w->job->options->level && !w->job->no_profile;
        if (mine)
            state->current = position;
        position += w->wanted[i];
        if (!mine && !feeds)
            continue;
        state->unit = *unit;
        state->feeding = !mine;
        // The start first: a parent that looks in between must not see a new limit beside an old start.
        state->started_seconds = conform_clock_seconds();
        state->limit_seconds = unit->limit_seconds ? unit->limit_seconds : 60;
        ISO_TRY(do_unit(w, unit, mine));
        state->numerics = w->context.numerics;
    }
    return ISO_OK;
}

iso_status conform_worker_run(const conform_worker_job *job)
{
    worker w = {.job = job};
    job->state->unit_count = 0;
    iso_status status = open_device(&w);
    if (status == ISO_OK)
        status = list_units(&w);
    if (status == ISO_OK)
        status = run_units(&w);
    job->state->status = status;
    job->state->finished = status == ISO_OK;
    job->state->started_seconds = conform_clock_seconds(); // closing has its own time
    if (status != ISO_OK)
        snprintf(job->state->text, sizeof job->state->text, "%s", iso_status_last()->text);
    drop_records(&w);
    iso_free(NULL, w.records);
    iso_free(NULL, w.wanted);
    conform_unit_list_deinit(&w.units);
    conform_modules_destroy(w.context.modules);
    iso_device_close(w.context.device);
    iso_registry_destroy(w.context.registry);
    return status;
}
