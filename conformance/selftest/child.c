// SPDX-License-Identifier: MIT
//
// One fault or one honest chip, in a process of its own. A fault's units stop at the first catch; an honest
// chip's are taken from all over the list, the same ones in every run. Everything that is found goes into the
// shared result at once, so that the parent knows how far a process came that it had to end.
#include "conformance/selftest/child.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/profile/profile.h"
#include "conformance/suite/worker.h"

// The chip of the job, and behind it one without a fault: a unit that fails there, too, has caught nothing.
#define DEVICE  "sim:0"
#define CONTROL "sim:1"
// A prime: steps of it reach all units of a list whose length it does not divide.
#define STRIDE 7919

typedef struct child {
    const conform_child_job *job;
    conform_context context;
    iso_device *control; // only for faults
    bool caught;         // by the unit that runs now; the fault's outcome says so once the control has passed
    bool in_control;
    const char *unit; // that runs now
    double started;
} child;

// ---- results ----

// A guard has no score: it is never a matter of degree.
static double degree(const conform_result *result)
{
    return isnan(result->score) ? (double)INFINITY : result->score;
}

// A line of the catalogue that names what the kernel has not would look like a catch.
static bool is_broken(const conform_result *result)
{
    return strstr(result->detail, ": a fault at ") || strstr(result->detail, ": a fault's condition ");
}

static void take_fault_result(child *c, const conform_result *result)
{
    conform_fault_result *fault = c->job->fault;
    if (result->outcome != CONFORM_FAIL || fault->outcome == CONFORM_BROKEN)
        return;
    if (c->in_control) {
        fault->outcome = CONFORM_BROKEN;
        snprintf(fault->detail, sizeof fault->detail, "a chip without the fault fails it, too: %.200s",
                 result->detail);
        return;
    }
    if (c->caught)
        return;
    double score = degree(result);
    if (!is_broken(result) && !(score > fault->score))
        return;
    fault->score = score;
    snprintf(fault->unit, sizeof fault->unit, "%s", c->unit);
    snprintf(fault->check, sizeof fault->check, "%s", result->check);
    snprintf(fault->detail, sizeof fault->detail, "%s", result->detail);
    if (is_broken(result))
        fault->outcome = CONFORM_BROKEN;
    else if (score >= CONFORM_CATCH)
        c->caught = true;
}

static void take_chip_result(child *c, const conform_result *result)
{
    conform_chip_result *chip = c->job->chip;
    chip->pass_count += result->outcome == CONFORM_PASS;
    chip->unsupported_count += result->outcome == CONFORM_UNSUPPORTED || result->outcome == CONFORM_SKIP;
    bool bad = result->outcome == CONFORM_FAIL || result->outcome == CONFORM_UNEXPECTED_PASS;
    if (bad && chip->fail_count++ == 0) {
        snprintf(chip->unit, sizeof chip->unit, "%s", c->unit);
        snprintf(chip->detail, sizeof chip->detail, "%.60s: %.250s", result->check, result->detail);
    }
}

static void report(conform_context *context, const conform_result *result)
{
    child *c = context->report_context;
    if (c->job->fault)
        take_fault_result(c, result);
    else
        take_chip_result(c, result);
    json_decref(result->more);
}

// ---- units ----

static void run_unit(child *c, const conform_unit *unit)
{
    c->unit = unit->id;
    if (conform_suite_at(unit->suite)->run(&c->context, unit) == ISO_OK)
        return;
    conform_result failure =
        conform_result_make(CONFORM_FAIL, "the unit itself", "%s", iso_status_last()->text);
    report(&c->context, &failure);
}

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

// Which of the passes over the list runs the unit for a fault in `op` (""; in none): those that could see it
// first.
static int pass_of(const conform_unit *unit, const char *op)
{
    char cases[64], honesty[64];
    snprintf(cases, sizeof cases, "ops/%s/", op);
    snprintf(honesty, sizeof honesty, "ops/honesty/%s/", op);
    if (op[0])
        return begins_with(unit->id, cases) ? 0 : begins_with(unit->id, honesty) ? 1 : -1;
    return begins_with(unit->id, "device/") ? 0 : begins_with(unit->id, "ops/") ? 1 : -1;
}

// The unit that caught the fault, on a chip without one.
static void run_control(child *c, const conform_unit *unit)
{
    iso_device *faulty = c->context.device;
    c->context.device = c->control;
    c->in_control = true;
    run_unit(c, unit);
    c->in_control = false;
    c->context.device = faulty;
}

static void run_fault(child *c)
{
    conform_fault_result *fault = c->job->fault;
    const conform_unit_list *units = c->job->units;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < units->count; i++) {
            if (fault->outcome != CONFORM_TIMED_OUT) // caught, or broken
                return;
            if (pass_of(&units->units[i], fault->op) != pass)
                continue;
            run_unit(c, &units->units[i]);
            fault->unit_count++;
            if (c->caught)
                run_control(c, &units->units[i]);
            if (c->caught && fault->outcome != CONFORM_BROKEN)
                fault->outcome = CONFORM_CAUGHT;
            fault->seconds = conform_clock_seconds() - c->started;
        }
    }
    if (fault->outcome == CONFORM_TIMED_OUT)
        fault->outcome = CONFORM_MISSED;
}

// Coverage counts what a whole run reached, which this is not.
static bool is_partial(const conform_unit *unit)
{
    const char *suite = conform_suite_at(unit->suite)->name;
    bool wanted = strcmp(suite, "ops") == 0 || strcmp(suite, "device") == 0 || strcmp(suite, "profile") == 0;
    return wanted && strcmp(unit->id, "ops/coverage") != 0;
}

static iso_status run_chip(child *c)
{
    conform_chip_result *chip = c->job->chip;
    const conform_unit_list *units = c->job->units;
    size_t at = c->job->number * 101;
    ISO_TRY(conform_profile_measure(&c->context));
    for (size_t i = 0; i < units->count && chip->unit_count < c->job->unit_count; i++, at += STRIDE) {
        const conform_unit *unit = &units->units[at % units->count];
        if (!is_partial(unit))
            continue;
        run_unit(c, unit);
        chip->unit_count++;
        chip->seconds = conform_clock_seconds() - c->started;
    }
    chip->finished = true;
    return ISO_OK;
}

// ---- device ----

static iso_status open_device(child *c)
{
    static const char *const names[] = {DEVICE, CONTROL};
    static const iso_device_options checked = {.validate = true, .profile = true};
    if (setenv("ISOMER_SIM_CHIPS", c->job->chip_files, 1) != 0)
        return iso_fail(ISO_INTERNAL, "the environment variable ISOMER_SIM_CHIPS cannot be set");
    ISO_TRY(iso_registry_create_for(NULL, names, 2, &c->context.registry));
    if (c->job->fault)
        ISO_TRY(iso_device_open(c->context.registry, CONTROL, &checked, &c->control));
    return iso_device_open(c->context.registry, DEVICE, &checked, &c->context.device);
}

void conform_child_run(const conform_child_job *job)
{
    child c = {.job = job, .started = conform_clock_seconds()};
    c.context.level = CONFORM_QUICK;
    c.context.seed = job->seed;
    c.context.numerics = iso_numerics_ieee; // the faults are those of a plain chip
    c.context.report = report;
    c.context.report_context = &c;
    iso_status status = open_device(&c);
    if (status == ISO_OK && job->fault)
        run_fault(&c);
    else if (status == ISO_OK)
        status = run_chip(&c);
    if (status != ISO_OK && job->fault) {
        job->fault->outcome = CONFORM_BROKEN;
        snprintf(job->fault->detail, sizeof job->fault->detail, "%s", iso_status_last()->text);
    } else if (status != ISO_OK) {
        job->chip->finished = false;
        snprintf(job->chip->detail, sizeof job->chip->detail, "%s", iso_status_last()->text);
    }
    iso_device_close(c.context.device);
    iso_device_close(c.control);
    iso_registry_destroy(c.context.registry);
}
