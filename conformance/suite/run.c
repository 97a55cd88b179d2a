// SPDX-License-Identifier: MIT
//
// The parent of a run: forks workers, reads their records from a pipe, and notices when one dies or hangs.
// Loads no driver, so that forking is safe and a driver's crash is not its own.
#include "conformance/suite/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/suite/worker.h"

// Workers that die one after the other before the run gives up.
#define MAX_WORKERS 64
// For opening the device and listing the units.
#define OPEN_LIMIT_SECONDS 60.0

typedef struct run {
    const conform_run_options *options;
    conform_worker_state *state; // shared with the worker
    conform_run_facts *facts;
    double started;
    bool no_profile; // a unit of the profile suite ended a worker
    bool measured;   // `numerics` are those that the latest worker had
    iso_numerics numerics;
} run;

// A worker as its parent sees it.
typedef struct child {
    pid_t pid;
    FILE *records;
    bool hung;
    int exit_status;
} child;

// ---- in the worker ----

static iso_status write_record(void *context, const conform_record *record)
{
    FILE *pipe = context;
    json_t *json;
    ISO_TRY(conform_record_to_json(record, &json));
    bool written = json_dumpf(json, pipe, JSON_COMPACT) == 0 && fputc('\n', pipe) != EOF && fflush(pipe) == 0;
    json_decref(json);
    return written ? ISO_OK : iso_fail(ISO_IO, "the worker's pipe: %s", strerror(errno));
}

static void be_worker(const run *r, uint32_t first, int descriptor)
{
    FILE *pipe = fdopen(descriptor, "w");
    // A driver's own words must not get between the program's answers.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    conform_worker_job job = {.options = r->options,
                              .first = first,
                              .no_profile = r->no_profile,
                              .numerics = r->no_profile && r->measured ? &r->numerics : NULL,
                              .state = r->state,
                              .emit = write_record,
                              .context = pipe};
    iso_status status = pipe ? conform_worker_run(&job) : ISO_IO;
    // Drivers may hang or crash in their exit handlers; everything is written.
    _exit(status == ISO_OK ? 0 : 1);
}

// ---- in the parent ----

static iso_status start_worker(run *r, uint32_t first, child *out)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return iso_fail(ISO_IO, "no pipe for a worker process: %s", strerror(errno));
    fflush(NULL);
    memset(r->state, 0, sizeof *r->state);
    r->state->started_seconds = conform_clock_seconds();
    out->pid = fork();
    if (out->pid == 0) {
        close(ends[0]);
        be_worker(r, first, ends[1]);
    }
    close(ends[1]);
    out->records = out->pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (out->records) {
        r->facts->worker_count++;
        return ISO_OK;
    }
    iso_status status = iso_fail(ISO_IO, "no worker process: %s", strerror(errno));
    close(ends[0]);
    return status;
}

static iso_status take_line(run *r, const char *line)
{
    conform_record record;
    json_t *json = json_loads(line, 0, NULL);
    iso_status status = json ? conform_record_from_json(json, &record)
                             : iso_fail(ISO_INTERNAL, "a worker wrote a line that is no JSON");
    json_decref(json);
    if (status != ISO_OK)
        return status;
    json_t *profile = record.result.more ? json_object_get(record.result.more, "profile") : NULL;
    if (profile && !r->facts->profile)
        r->facts->profile = json_incref(profile);
    if (r->options->on_record)
        status = r->options->on_record(r->options->context, &record);
    conform_record_deinit(&record);
    return status;
}

static void show_progress(run *r)
{
    const conform_worker_state *state = r->state;
    if (!r->options->on_progress || state->unit_count == 0)
        return;
    r->options->on_progress(r->options->context, state->current, state->unit_count);
}

// Waits until the pipe has something. Kills a worker whose unit's time has run out.
static void wait_for_record(run *r, child *worker)
{
    struct pollfd entry = {.fd = fileno(worker->records), .events = POLLIN};
    while (poll(&entry, 1, 250) == 0) {
        double limit =
            r->state->opened && r->state->limit_seconds ? r->state->limit_seconds : OPEN_LIMIT_SECONDS;
        show_progress(r);
        if (worker->hung || conform_clock_seconds() - r->state->started_seconds <= limit)
            continue;
        worker->hung = true;
        kill(worker->pid, SIGKILL);
    }
}

static iso_status read_records(run *r, child *worker)
{
    char *line = NULL;
    size_t capacity = 0;
    iso_status status = ISO_OK;
    for (;;) {
        wait_for_record(r, worker);
        if (getline(&line, &capacity, worker->records) < 0)
            break;
        status = take_line(r, line);
        if (status != ISO_OK) {
            kill(worker->pid, SIGKILL);
            break;
        }
        show_progress(r);
    }
    free(line);
    fclose(worker->records);
    waitpid(worker->pid, &worker->exit_status, 0);
    return status;
}

// A record for the unit in which the worker ended.
static iso_status record_death(run *r, const child *worker, const char *check)
{
    conform_record record = {.tries = 1, .failures = 1};
    if (worker->hung)
        record.result =
            conform_result_make(CONFORM_HANG, check, "no answer after %u s", r->state->limit_seconds);
    else if (WIFSIGNALED(worker->exit_status))
        record.result =
            conform_result_make(CONFORM_CRASH, check, "the process ended by signal %d (%s)",
                                WTERMSIG(worker->exit_status), strsignal(WTERMSIG(worker->exit_status)));
    else
        record.result = conform_result_make(CONFORM_CRASH, check, "the process ended with code %d: %s",
                                            WEXITSTATUS(worker->exit_status), r->state->text);
    conform_record_address(&record, &r->state->unit, r->state->device_name);
    record.seconds = conform_clock_seconds() - r->state->started_seconds;
    return r->options->on_record ? r->options->on_record(r->options->context, &record) : ISO_OK;
}

static iso_status failed_to_open(const run *r, const child *worker)
{
    if (r->state->status != ISO_OK)
        return iso_fail(r->state->status, "%s", r->state->text);
    return iso_fail(ISO_UNAVAILABLE, "the driver of %s %s while the device was opened", r->options->device,
                    worker->hung ? "did not answer" : "ended the process");
}

static void take_facts(run *r)
{
    r->facts->device = r->state->device;
    memcpy(r->facts->device_name, r->state->device_name, sizeof r->facts->device_name);
    r->facts->numerics = r->state->numerics;
    r->facts->unit_count = r->state->unit_count;
}

// Whether another worker has to go on, and from which unit.
static iso_status follow_up(run *r, const child *worker, uint32_t *inout_first, bool *out_done)
{
    const conform_worker_state *state = r->state;
    bool clean = !worker->hung && WIFEXITED(worker->exit_status) && WEXITSTATUS(worker->exit_status) == 0;
    *out_done = state->finished;
    if (state->finished)
        return clean ? ISO_OK : record_death(r, worker, "closing the device");
    bool profile = strcmp(conform_suite_at(state->unit.suite)->name, "profile") == 0;
    r->no_profile = r->no_profile || profile;
    r->measured = !profile;
    r->numerics = state->numerics;
    if (state->feeding)
        return ISO_OK; // nobody asked for this unit; the wanted ones begin where they would have
    // A lost device has been told of by the unit that found out.
    if (worker->hung || state->status != ISO_DEVICE_LOST)
        ISO_TRY(record_death(r, worker, "the unit itself"));
    *inout_first = state->current + 1;
    *out_done = *inout_first >= state->unit_count;
    return ISO_OK;
}

static iso_status run_workers(run *r)
{
    uint32_t first = 0;
    while (r->facts->worker_count < MAX_WORKERS) {
        child worker = {0};
        bool done = false;
        ISO_TRY(start_worker(r, first, &worker));
        ISO_TRY(read_records(r, &worker));
        bool began = r->state->unit.id[0] != 0;
        if (!r->state->opened || (!began && !r->state->finished))
            return failed_to_open(r, &worker);
        take_facts(r);
        if (!began)
            return ISO_OK; // nothing was left to do
        ISO_TRY(follow_up(r, &worker, &first, &done));
        if (done)
            return ISO_OK;
    }
    return iso_fail(ISO_DEVICE_LOST, "%s ended %u worker processes; what was found until unit %s is recorded",
                    r->options->device, MAX_WORKERS, r->state->unit.id);
}

static iso_status emit_here(void *context, const conform_record *record)
{
    run *r = context;
    json_t *profile = record->result.more ? json_object_get(record->result.more, "profile") : NULL;
    if (profile && !r->facts->profile)
        r->facts->profile = json_incref(profile);
    show_progress(r);
    return r->options->on_record ? r->options->on_record(r->options->context, record) : ISO_OK;
}

static iso_status run_here(run *r)
{
    conform_worker_job job = {.options = r->options, .state = r->state, .emit = emit_here, .context = r};
    iso_status status = conform_worker_run(&job);
    take_facts(r);
    return status;
}

iso_status conform_run(const conform_run_options *options, conform_run_facts *out_facts)
{
    *out_facts = (conform_run_facts){0};
    run r = {.options = options, .facts = out_facts, .started = conform_clock_seconds()};
    r.state = mmap(NULL, sizeof *r.state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.state == MAP_FAILED)
        return iso_fail(ISO_OUT_OF_MEMORY, "%zu bytes shared with a worker: %s", sizeof *r.state,
                        strerror(errno));
    memset(r.state, 0, sizeof *r.state);
    iso_status status = options->in_process ? run_here(&r) : run_workers(&r);
    out_facts->seconds = conform_clock_seconds() - r.started;
    munmap(r.state, sizeof *r.state);
    if (status != ISO_OK)
        conform_run_facts_deinit(out_facts);
    return status;
}

void conform_run_facts_deinit(conform_run_facts *facts)
{
    json_decref(facts->profile);
    *facts = (conform_run_facts){0};
}
