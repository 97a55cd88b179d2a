// SPDX-License-Identifier: MIT
//
// Short runs in which the n-th allocation fails, for all n: once that one alone, once with all that follow
// it. Each run must end in ISO_OUT_OF_MEMORY with a text, leave nothing allocated, and not crash; the run
// after the last allocation succeeds. Runs under the sanitizers as well, which see what the counts do not.
//
// What would be caught: an unchecked allocation, a failure that is swallowed and goes on with half an object,
// a leak on a way out that is otherwise never taken, a code that hides the cause.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/support/golden.h"
#include "conformance/support/tally.h"
#include "isomer/generate.h"

// Every n has its turn in the plain build. Sanitizers are an order of magnitude slower, so there every 7th
// has.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 7
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STRIDE 7
#endif
#endif
#ifndef STRIDE
#define STRIDE 1
#endif

// ---- the allocator ----

typedef struct failing {
    unsigned calls;   // allocations asked for
    unsigned fail_at; // number of the first that fails
    bool sticky;      // all after it fail too
    unsigned failed;  // how many did
    long living;      // blocks
    // Calls from here to there may fail without harm: PCRE2 translates expressions to machine code where it
    // can, and without it they are slower and match the same.
    unsigned spare_from, spare_until;
    int32_t answer[2];
} failing;

static void *failing_resize(void *context, void *memory, size_t bytes)
{
    failing *f = context;
    unsigned number = f->calls++;
    if (number == f->fail_at || (f->sticky && number > f->fail_at)) {
        f->failed++;
        return NULL;
    }
    void *resized = realloc(memory, bytes);
    f->living += memory == NULL;
    return resized;
}

static void failing_release(void *context, void *memory)
{
    failing *f = context;
    f->living -= memory != NULL;
    free(memory);
}

// ---- the runs ----

typedef struct objects {
    iso_registry *registry;
    iso_device *device;
    iso_model *model;
    iso_tokenizer *tokenizer;
    iso_token_list ids;
    iso_runner *runner;
    char *text;
} objects;

static iso_status open_objects(objects *o, const char *path, const iso_allocator *allocator)
{
    static const char *const names[] = {"cpu"};
    ISO_TRY(iso_registry_create_for(allocator, names, 1, &o->registry));
    ISO_TRY(iso_device_open(
        o->registry, "cpu",
        &(iso_device_options){.allocator = allocator, .thread_count = 2, .validate = true}, &o->device));
    return iso_model_open(path, allocator, &o->model);
}

static void close_objects(objects *o, const iso_allocator *allocator)
{
    iso_free(allocator, o->text);
    iso_token_list_deinit(&o->ids);
    iso_runner_destroy(o->runner);
    iso_tokenizer_close(o->tokenizer);
    iso_model_close(o->model);
    iso_device_close(o->device);
    iso_registry_destroy(o->registry);
}

static iso_status take_steps(objects *o)
{
    static const int32_t ids[] = {5, 4, 3, 2, 1, 6, 7, 8, 9, 10};
    uint32_t sequence;
    iso_step_result last;
    ISO_TRY(iso_runner_open_sequence(o->runner, &sequence));
    ISO_TRY(iso_runner_prefill(o->runner, sequence, ids, sizeof ids / sizeof ids[0], &last));
    iso_step_token token = {.id = last.picked, .sequence = sequence, .want_logits = true};
    return iso_runner_step(o->runner, &token, 1, &last);
}

// A checkpoint, a placement with transfers (the device stands for two), steps, and the plan as text.
static iso_status run_placed(objects *o, const iso_allocator *allocator)
{
    static const char *const passes[] = {"legalise", "place", "select", "layout"};
    ISO_TRY(open_objects(o, GOLDEN_MODELS "v3-bf16", allocator));
    iso_device *devices[] = {o->device, o->device};
    iso_layer_range ranges[] = {{0, 0, 0}, {1, 2, 1}};
    iso_runner_options options = {.allocator = allocator,
                                  .devices = devices,
                                  .device_count = 2,
                                  .ranges = ranges,
                                  .range_count = 2,
                                  .build = {.mtp = true},
                                  .context_tokens = 64,
                                  .chunk_tokens = 8};
    ISO_TRY(iso_runner_create(o->model, &options, &o->runner));
    ISO_TRY(take_steps(o));
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        iso_free(allocator, o->text);
        o->text = NULL;
        ISO_TRY(iso_plan_dump(iso_runner_plan(o->runner), passes[i], allocator, &o->text));
    }
    iso_free(allocator, o->text);
    o->text = NULL;
    return iso_graph_dump_dot(iso_plan_graph(iso_runner_plan(o->runner)), allocator, &o->text);
}

static iso_status count_text(void *context, const char *text, size_t bytes, bool thinking)
{
    (void)text;
    (void)thinking;
    *(size_t *)context += bytes;
    return ISO_OK;
}

// A question to the built-in model: tokenizer, chat template, sampler, text.
static iso_status run_question(objects *o, const iso_allocator *allocator)
{
    ISO_TRY(open_objects(o, "tiny-r1", allocator));
    failing *f = allocator->context;
    f->spare_from = f->calls;
    ISO_TRY(iso_tokenizer_open(iso_model_folder(o->model), allocator, &o->tokenizer));
    f->spare_until = f->calls;
    o->ids.allocator = allocator;
    ISO_TRY(iso_prompt_encode(o->tokenizer, "1 + 1", true, allocator, &o->ids));
    iso_runner_options options = {.allocator = allocator,
                                  .devices = &o->device,
                                  .device_count = 1,
                                  .activation = ISO_DTYPE_BF16,
                                  .w8a8 = true,
                                  .context_tokens = 64,
                                  .chunk_tokens = 8};
    ISO_TRY(iso_runner_create(o->model, &options, &o->runner));
    size_t written = 0;
    iso_generate_options generate = {.prompt_ids = o->ids.ids,
                                     .prompt_count = o->ids.count,
                                     .max_tokens = 2,
                                     .out_ids = f->answer,
                                     .sampler = {.temperature = 0.7, .top_p = 0.9, .seed = 1},
                                     .sink = count_text,
                                     .sink_context = &written};
    iso_generate_result result;
    return iso_generate(o->runner, o->tokenizer, &generate, &result);
}

typedef iso_status (*short_run)(objects *o, const iso_allocator *allocator);

// ---- all n ----

static failing run_once(short_run run, unsigned fail_at, bool sticky, iso_status *out_status)
{
    failing f = {.fail_at = fail_at, .sticky = sticky};
    iso_allocator allocator = {&f, failing_resize, failing_release};
    objects o = {0};
    *out_status = run(&o, &allocator);
    close_objects(&o, &allocator);
    return f;
}

static void run_all(tally *counts, const char *name, short_run run, bool sticky)
{
    struct timespec start, end;
    iso_status status = ISO_INTERNAL;
    clock_gettime(CLOCK_MONOTONIC, &start);
    failing plain = run_once(run, UINT32_MAX, false, &status);
    if (!tally_call(counts, status, "%s, no failure", name) ||
        !tally_check(counts, plain.living == 0, "%s, no failure: %ld blocks leak", name, plain.living))
        return;
    for (unsigned n = 0; n < plain.calls; n += STRIDE) {
        failing f = run_once(run, n, sticky, &status);
        bool spared = status == ISO_OK && !sticky && n >= f.spare_from && n < f.spare_until &&
                      memcmp(f.answer, plain.answer, sizeof f.answer) == 0;
        bool said = status == ISO_OUT_OF_MEMORY && iso_status_last()->text[0];
        tally_check(counts, f.failed > 0 && (said || spared),
                    "%s: allocation %u of %u failed, the run gave %s (%s)", name, n, plain.calls,
                    iso_status_name(status), iso_status_last()->text);
        tally_check(counts, f.living == 0, "%s: allocation %u of %u failed, and %ld blocks leak (%s)", name,
                    n, plain.calls, f.living, iso_status_last()->text);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%s, %s: %u allocations, each failed once, %.1f s\n", name, sticky ? "then all" : "that one alone",
           plain.calls, (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9);
    fflush(stdout);
}

int main(void)
{
    tally counts = {0};
    static const struct {
        const char *name;
        short_run run;
    } runs[] = {{"placed v3-bf16", run_placed}, {"question to tiny-r1", run_question}};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        for (int sticky = 0; sticky < 2; sticky++)
            run_all(&counts, runs[i].name, runs[i].run, sticky);
    return tally_close(&counts, "alloc failure");
}
