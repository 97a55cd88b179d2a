// SPDX-License-Identifier: MIT
//
// The self-test's parent: the catalogue as a table, the honest chips as a folder, and a pool of processes
// that try them. Knows nothing of what a fault does.
#include "conformance/selftest/selftest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance/selftest/child.h"
#include "conformance/suite/worker.h"

#define PATH_BYTES  4096
#define MAX_WORKERS 16
// The chip that a fault's unit must pass on.
#define CONTROL_NAME "no-fault"

// ---- processes ----

typedef struct worker {
    pid_t process; // 0: free
    uint32_t job;
    double deadline;
} worker;

typedef struct pool {
    const conform_self_test_options *options;
    conform_self_test_report *report;
    conform_unit_list units;
    char folder[64]; // of the faults' chip files
    worker workers[MAX_WORKERS];
    uint32_t worker_count;
    uint32_t next, done; // jobs: faults, then chips
} pool;

static uint32_t job_count(const pool *p)
{
    return p->report->fault_count + p->report->chip_count;
}

static void fault_file(const pool *p, const char *name, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s/%s.chip", p->folder, name);
}

static iso_status write_chip(const pool *p, const char *name, const char *line)
{
    char path[PATH_BYTES];
    fault_file(p, name, path, sizeof path);
    FILE *file = fopen(path, "we");
    if (!file)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    fprintf(file, "name %s\n%s\n", name, line);
    if (fclose(file) != 0)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    return ISO_OK;
}

static void run_job(const pool *p, uint32_t number)
{
    conform_self_test_report *report = p->report;
    char path[sizeof report->chips->file];
    conform_child_job job = {.units = &p->units,
                             .seed = p->options->seed ? p->options->seed : 1,
                             .number = number,
                             .chip_files = path};
    if (number < report->fault_count) {
        job.fault = &report->faults[number];
        snprintf(path, sizeof path, "%s/%s.chip:%s/" CONTROL_NAME ".chip", p->folder, job.fault->name,
                 p->folder);
    } else {
        job.chip = &report->chips[number - report->fault_count];
        job.unit_count = p->options->chip_units ? p->options->chip_units : 120;
        snprintf(path, sizeof path, "%s", job.chip->file);
    }
    conform_child_run(&job);
}

static iso_status start_job(pool *p, worker *free_worker)
{
    uint32_t number = p->next++;
    bool is_fault = number < p->report->fault_count;
    if (is_fault)
        ISO_TRY(write_chip(p, p->report->faults[number].name, p->report->faults[number].line));
    fflush(NULL);
    pid_t process = fork();
    if (process < 0)
        return iso_fail(ISO_LIMIT, "a process cannot be started: %s", strerror(errno));
    if (process == 0) {
        run_job(p, number);
        _exit(0);
    }
    uint32_t limit = p->options->limit_seconds ? p->options->limit_seconds : 60;
    *free_worker = (worker){.process = process, .job = number, .deadline = conform_clock_seconds() + limit};
    return ISO_OK;
}

// What a process left behind that did not end by itself with 0.
static void note_end(const pool *p, uint32_t number, int how)
{
    char text[96] = "";
    bool by_us = WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
    if (WIFSIGNALED(how) && !by_us)
        snprintf(text, sizeof text, "the process ended with signal %d (%s)", WTERMSIG(how),
                 strsignal(WTERMSIG(how)));
    else if (!by_us && (!WIFEXITED(how) || WEXITSTATUS(how) != 0))
        snprintf(text, sizeof text, "the process ended with status 0x%x", (unsigned)how);
    if (number < p->report->fault_count) {
        conform_fault_result *fault = &p->report->faults[number];
        if (text[0] && fault->outcome != CONFORM_CAUGHT) {
            fault->outcome = CONFORM_BROKEN;
            snprintf(fault->detail, sizeof fault->detail, "%s", text);
        }
    } else {
        conform_chip_result *chip = &p->report->chips[number - p->report->fault_count];
        if (text[0] || by_us) {
            chip->finished = false;
            snprintf(chip->detail, sizeof chip->detail, "%s", by_us ? "it did not end in time" : text);
        }
    }
}

static void tell_progress(pool *p, uint32_t number)
{
    static const char *const words[CONFORM_CATCH_COUNT] = {"caught", "MISSED", "TIMED OUT", "BROKEN"};
    char text[400];
    p->done++;
    if (!p->options->on_progress)
        return;
    if (number < p->report->fault_count) {
        const conform_fault_result *fault = &p->report->faults[number];
        snprintf(text, sizeof text, "%s %s/%s, %.1f s, %u units, score %.3g: %.120s", words[fault->outcome],
                 fault->group, fault->name, fault->seconds, fault->unit_count, fault->score, fault->detail);
    } else {
        const conform_chip_result *chip = &p->report->chips[number - p->report->fault_count];
        snprintf(text, sizeof text, "%s chip %.60s, %.1f s, %u units, %u failures: %.60s %.120s",
                 chip->fail_count || !chip->finished ? "ALARM" : "passed", chip->name, chip->seconds,
                 chip->unit_count, chip->fail_count, chip->unit, chip->detail);
    }
    p->options->on_progress(p->options->context, p->done, job_count(p), text);
}

static void end_late(pool *p)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i].process && conform_clock_seconds() > p->workers[i].deadline)
            kill(p->workers[i].process, SIGKILL);
}

// Waits until a worker is free; false: none was running.
static bool collect(pool *p)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    for (;;) {
        bool any = false;
        for (uint32_t i = 0; i < p->worker_count; i++) {
            worker *w = &p->workers[i];
            int how;
            if (!w->process)
                continue;
            any = true;
            if (waitpid(w->process, &how, WNOHANG) != w->process)
                continue;
            uint32_t number = w->job;
            w->process = 0;
            note_end(p, number, how);
            tell_progress(p, number);
            return true;
        }
        if (!any)
            return false;
        end_late(p);
        nanosleep(&pause, NULL);
    }
}

static void kill_all(pool *p)
{
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (!p->workers[i].process)
            continue;
        kill(p->workers[i].process, SIGKILL);
        waitpid(p->workers[i].process, NULL, 0);
        p->workers[i].process = 0;
    }
}

static iso_status run_all(pool *p)
{
    while (p->next < job_count(p)) {
        worker *free_worker = NULL;
        for (uint32_t i = 0; i < p->worker_count && !free_worker; i++)
            free_worker = p->workers[i].process ? NULL : &p->workers[i];
        if (free_worker)
            ISO_TRY(start_job(p, free_worker));
        else
            collect(p);
    }
    while (collect(p))
        continue;
    return ISO_OK;
}

// ---- the whole ----

// The number of the case in "ops/linear/f32_bf16_f32/7/cancel"; of other units 0.
static unsigned long case_number(const conform_unit *unit)
{
    const char *at = unit->id;
    for (int i = 0; i < 3 && at; i++)
        at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL;
    return at && *at >= '0' && *at <= '9' ? strtoul(at, NULL, 10) : 0;
}

// Small cases of all types come before large ones of the first: a fault of any type is met soon.
static iso_status take_quick(const conform_unit_list *all, conform_unit_list *out)
{
    unsigned long last = 0;
    for (size_t i = 0; i < all->count; i++)
        last = case_number(&all->units[i]) > last ? case_number(&all->units[i]) : last;
    for (unsigned long number = 0; number <= last; number++) {
        for (size_t i = 0; i < all->count; i++) {
            const conform_unit *unit = &all->units[i];
            if (unit->level != CONFORM_QUICK || case_number(unit) != number)
                continue;
            ISO_TRY(iso_grow(NULL, sizeof *out->units, out->count + 1, (void **)&out->units, &out->capacity));
            out->units[out->count++] = *unit;
        }
    }
    return ISO_OK;
}

static iso_status list_units(conform_unit_list *out)
{
    conform_unit_list all = {0};
    iso_status status = ISO_OK;
    for (uint32_t s = 0; s < conform_suite_count(); s++)
        ISO_TRY_GOTO(conform_suite_at(s)->list(&all, NULL), done);
    ISO_TRY_GOTO(take_quick(&all, out), done);
done:
    conform_unit_list_deinit(&all);
    return status;
}

static void remove_files(pool *p)
{
    char path[PATH_BYTES];
    for (uint32_t i = 0; i < p->report->fault_count; i++) {
        fault_file(p, p->report->faults[i].name, path, sizeof path);
        unlink(path);
    }
    fault_file(p, CONTROL_NAME, path, sizeof path);
    unlink(path);
    rmdir(p->folder);
}

static void sum_up(conform_self_test_report *report)
{
    for (uint32_t i = 0; i < report->fault_count; i++)
        report->caught_count += report->faults[i].outcome == CONFORM_CAUGHT;
    for (uint32_t i = 0; i < report->chip_count; i++)
        report->chip_failure_count += report->chips[i].fail_count > 0 || !report->chips[i].finished;
}

iso_status conform_self_test(const conform_self_test_options *options, conform_self_test_report *out_report)
{
    *out_report = (conform_self_test_report){0};
    pool p = {.options = options, .report = out_report};
    p.worker_count = options->worker_count ? options->worker_count : 2;
    if (p.worker_count > MAX_WORKERS)
        return iso_fail(ISO_INVALID_ARGUMENT, "worker_count is %u; allowed: 1 to %d", p.worker_count,
                        MAX_WORKERS);
    double started = conform_clock_seconds();
    iso_status status = conform_self_test_report_create(options, out_report);
    if (status == ISO_OK)
        status = list_units(&p.units);
    snprintf(p.folder, sizeof p.folder, "/tmp/isomer-selftest-XXXXXX");
    if (status == ISO_OK && !mkdtemp(p.folder))
        status = iso_fail(ISO_IO, "%s: %s", p.folder, strerror(errno));
    else if (status == ISO_OK) {
        status = write_chip(&p, CONTROL_NAME, "");
        if (status == ISO_OK)
            status = run_all(&p);
        kill_all(&p);
        remove_files(&p);
    }
    conform_unit_list_deinit(&p.units);
    sum_up(out_report);
    out_report->seconds = conform_clock_seconds() - started;
    if (status != ISO_OK)
        conform_self_test_deinit(out_report);
    return status;
}

bool conform_self_test_passed(const conform_self_test_report *report)
{
    for (uint32_t i = 0; i < report->fault_count; i++) {
        const conform_fault_result *fault = &report->faults[i];
        // A known miss that is caught is no longer one: its line in faults.def must go.
        conform_catch expected = fault->explanation ? CONFORM_MISSED : CONFORM_CAUGHT;
        if (fault->outcome != expected)
            return false;
    }
    return 100 * (uint64_t)report->caught_count >= 97 * (uint64_t)report->fault_count &&
           report->chip_failure_count == 0;
}
