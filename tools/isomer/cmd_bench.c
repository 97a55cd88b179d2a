// SPDX-License-Identifier: MIT
//
// isomer bench: how fast devices read a prompt and generate, one device after the other, beside what their
// memory gives.
#include <stdlib.h>
#include <string.h>

#include "runtime/base/strings.h"
#include "tools/isomer/bench.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/clock.h"
#include "tools/isomer/device_list.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

// Different kernels in one step; there are as many as ops, about.
#define MAX_KERNELS 64

#define MAX_REPEATS 1000

// Kernels take more of a step than this, even where launches cost most of it.
#define LEAST_KERNEL_SHARE 0.005

typedef struct bench_options {
    const char *model;
    cli_device_options where;
    const char *devices;
    uint32_t prompt_tokens, new_tokens, repeats;
    bool profile, json;
} bench_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(bench_options, model),
     .positional = true,
     .required = true},
    CLI_DEVICES_ROW(bench_options, devices),
    {.name = "prompt-tokens",
     .value = "N",
     .letter = 'p',
     .help = "tokens of the prompt",
     .otherwise = "64",
     .kind = CLI_COUNT,
     .min = 1,
     .max = 10000000,
     .offset = offsetof(bench_options, prompt_tokens)},
    {.name = "new-tokens",
     .value = "N",
     .letter = 'n',
     .help = "tokens to generate after it",
     .otherwise = "32",
     .kind = CLI_COUNT,
     .min = 1,
     .max = 10000000,
     .offset = offsetof(bench_options, new_tokens)},
    {.name = "repeat",
     .value = "N",
     .letter = 'r',
     .help = "repetitions; one more goes before, unmeasured",
     .otherwise = "3",
     .kind = CLI_COUNT,
     .min = 1,
     .max = MAX_REPEATS,
     .offset = offsetof(bench_options, repeats)},
    {.name = "profile",
     .help = "show the slowest kernels too; taking their times makes steps slower on some drivers",
     .kind = CLI_FLAG,
     .offset = offsetof(bench_options, profile)},
    CLI_HOW_ROWS(bench_options, where),
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(bench_options, json)},
};

typedef struct bench_state {
    const bench_options *options;
    iso_model *model;
    cli_machine machine;
    uint64_t token_bytes;
    int32_t *ids;             // [prompt_tokens]
    double *prefill, *decode; // [repeats]: tokens per second
    bench_result *results;
    uint32_t result_count;
} bench_state;

// ---- before ----

static iso_status count_token_bytes(bench_state *s)
{
    iso_model_graph *graph;
    cli_needs needs;
    ISO_TRY(iso_model_graph_create(s->model, &(iso_build_options){0}, &graph));
    iso_status status = cli_needs_of(iso_model_graph_get(graph), iso_model_get_config(s->model),
                                     s->machine.activation, 1, &needs);
    iso_model_graph_destroy(graph);
    s->token_bytes = needs.active_weight_bytes;
    return status;
}

static iso_status prepare(bench_state *s)
{
    const bench_options *o = s->options;
    const iso_model_config *config = iso_model_get_config(s->model);
    uint32_t limit = o->where.context ? o->where.context : config->max_positions;
    if (o->prompt_tokens > limit || o->new_tokens > limit - o->prompt_tokens)
        return iso_fail(
            ISO_LIMIT,
            "bench: a prompt of %u tokens and %u new ones; the context holds %u (the model's limit is %u)",
            o->prompt_tokens, o->new_tokens, limit, config->max_positions);
    ISO_TRY(ISO_NEW(NULL, o->prompt_tokens, &s->ids));
    ISO_TRY(ISO_NEW(NULL, o->repeats, &s->prefill));
    ISO_TRY(ISO_NEW(NULL, o->repeats, &s->decode));
    // Any ids do; these are spread over the vocabulary, so that experts are met as they come.
    for (uint32_t i = 0; i < o->prompt_tokens; i++)
        s->ids[i] = (int32_t)(((uint64_t)i * 2654435761u + 17u) % config->vocab_size);
    return count_token_bytes(s);
}

// ---- one device ----

static iso_status run_once(const bench_state *s, iso_runner *runner, uint32_t new_tokens, double *out_prefill,
                           double *out_decode)
{
    uint32_t sequence;
    iso_step_result last;
    ISO_TRY(iso_runner_open_sequence(runner, &sequence));
    uint64_t start = cli_now_ns(), middle = start;
    iso_status status = iso_runner_prefill(runner, sequence, s->ids, s->options->prompt_tokens, &last);
    middle = cli_now_ns();
    for (uint32_t i = 0; status == ISO_OK && i < new_tokens; i++) {
        iso_step_token token = {.id = last.picked, .sequence = sequence, .want_logits = true};
        status = iso_runner_step(runner, &token, 1, &last);
    }
    *out_prefill = cli_rate(s->options->prompt_tokens, middle - start);
    *out_decode = cli_rate(new_tokens, cli_now_ns() - middle);
    iso_runner_close_sequence(runner, sequence);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bench_rate summarise(double *rates, uint32_t count)
{
    qsort(rates, count, sizeof *rates, compare_doubles);
    return (bench_rate){.median = (rates[(count - 1) / 2] + rates[count / 2]) / 2,
                        .least = rates[0],
                        .most = rates[count - 1]};
}

static int compare_kernels(const void *a, const void *b)
{
    const bench_kernel *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

// Sums up the latest step that had `tokens` tokens and one row of logits.
static iso_status profile_step(iso_runner *runner, uint32_t tokens, bench_profile *out)
{
    const iso_plan *plan = iso_runner_plan(runner);
    uint32_t node_count = iso_graph_node_count(iso_plan_graph(plan)), size, count = 0;
    bench_kernel kernels[MAX_KERNELS] = {{0}};
    uint64_t *ns;
    ISO_TRY(iso_session_find_size(iso_runner_session(runner), tokens, 1, &size));
    ISO_TRY(ISO_NEW(NULL, node_count, &ns));
    iso_status status = iso_session_node_times(iso_runner_session(runner), size, ns);
    out->tokens = iso_plan_size(plan, size).tokens;
    for (uint32_t n = 0; status == ISO_OK && n < node_count; n++) {
        const char *name = iso_plan_kernel(plan, size, n)->name;
        uint32_t k = 0;
        while (k < count && strcmp(kernels[k].name, name) != 0)
            k++;
        out->ns += ns[n];
        if (k == MAX_KERNELS)
            continue;
        count += k == count;
        kernels[k].name = name;
        kernels[k].ns += ns[n];
        kernels[k].calls++;
    }
    iso_free(NULL, ns);
    qsort(kernels, count, sizeof *kernels, compare_kernels);
    out->kernel_count = count < BENCH_SLOWEST ? count : BENCH_SLOWEST;
    memcpy(out->kernels, kernels, out->kernel_count * sizeof *kernels);
    return status;
}

// `rate`: tokens per second in steps of this size.
static void drop_useless(bench_profile *profile, double rate)
{
    double step_ns = rate > 0 ? profile->tokens * 1e9 / rate : 0;
    profile->useless = (double)profile->ns < LEAST_KERNEL_SHARE * step_ns;
    if (profile->useless)
        profile->kernel_count = 0;
}

static iso_status profile(const bench_state *s, iso_runner *runner, bench_result *result)
{
    uint32_t chunk = iso_runner_chunk_tokens(runner), rest = s->options->prompt_tokens % chunk;
    ISO_TRY(profile_step(runner, rest ? rest : chunk, &result->prefill_profile));
    ISO_TRY(profile_step(runner, 1, &result->decode_profile));
    drop_useless(&result->prefill_profile, result->prefill.median);
    drop_useless(&result->decode_profile, result->decode.median);
    return ISO_OK;
}

static iso_status measure(const bench_state *s, iso_runner *runner, bench_result *result)
{
    const bench_options *o = s->options;
    cli_progress progress;
    iso_status status = ISO_OK;
    double ignored;
    cli_progress_begin(&progress, result->device);
    ISO_TRY_GOTO(run_once(s, runner, 1, &ignored, &ignored), done);
    for (uint32_t i = 0; i < o->repeats; i++) {
        cli_progress_update(&progress, i, o->repeats);
        ISO_TRY_GOTO(run_once(s, runner, o->new_tokens, &s->prefill[i], &s->decode[i]), done);
    }
    result->prefill = summarise(s->prefill, o->repeats);
    result->decode = summarise(s->decode, o->repeats);
    if (o->profile)
        ISO_TRY_GOTO(profile(s, runner, result), done);
done:
    cli_progress_end(&progress);
    return status;
}

static iso_status run_device(const bench_state *s, bench_result *result)
{
    iso_device *device = NULL;
    iso_runner *runner = NULL;
    cli_progress progress;
    iso_status status = ISO_OK;
    iso_runner_options options = cli_runner_options(&s->machine);
    options.devices = &device;
    options.device_count = 1;
    options.progress = cli_progress_update;
    options.progress_context = &progress;
    if (!options.context_tokens)
        options.context_tokens = s->options->prompt_tokens + s->options->new_tokens;
    ISO_TRY(iso_device_open(s->machine.registry, result->device, &s->machine.open_options, &device));
    cli_progress_begin(&progress, result->device);
    ISO_TRY_GOTO(bench_memory(device, &result->memory_rate), done);
    ISO_TRY_GOTO(iso_runner_create(s->model, &options, &runner), done);
    cli_progress_end(&progress);
    ISO_TRY_GOTO(measure(s, runner, result), done);
done:
    cli_progress_end(&progress);
    iso_runner_destroy(runner);
    iso_device_close(device);
    return status;
}

// ---- all devices ----

static iso_status run_all(bench_state *s, bool *out_yes)
{
    cli_device_list devices;
    ISO_TRY(cli_device_list_read(s->machine.registry, s->options->devices, &devices));
    ISO_TRY(ISO_NEW(NULL, devices.count, &s->results));
    for (uint32_t i = 0; i < devices.count; i++) {
        bench_result *result = &s->results[s->result_count++];
        result->info = iso_registry_device_info(s->machine.registry, devices.indices[i]);
        cli_device_name(result->info, result->device);
        // A device that fails does not keep the others from their turn.
        if (run_device(s, result) == ISO_OK)
            continue;
        iso_copy_text(result->problem, sizeof result->problem, iso_status_last()->text);
        *out_yes = false;
    }
    return ISO_OK;
}

static iso_status print_report(const bench_state *s)
{
    const bench_options *o = s->options;
    bench_report report = {.model = o->model,
                           .prompt_tokens = o->prompt_tokens,
                           .new_tokens = o->new_tokens,
                           .repeats = o->repeats,
                           .token_bytes = s->token_bytes,
                           .profile = o->profile,
                           .results = s->results,
                           .result_count = s->result_count};
    cli_note_kernel_cache();
    if (o->json)
        return cli_print_json(bench_json(&report));
    bench_print(&report);
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    bench_state s = {.options = opaque};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(iso_model_open(s.options->model, NULL, &s.model), done);
    ISO_TRY_GOTO(cli_machine_open_empty(&s.options->where, s.options->profile, &s.machine), done);
    ISO_TRY_GOTO(prepare(&s), done);
    ISO_TRY_GOTO(run_all(&s, out_yes), done);
    ISO_TRY_GOTO(print_report(&s), done);
done:
    iso_free(NULL, s.results);
    iso_free(NULL, s.ids);
    iso_free(NULL, s.prefill);
    iso_free(NULL, s.decode);
    cli_machine_close(&s.machine);
    iso_model_close(s.model);
    return status;
}

const cli_command cli_command_bench = {
    .synopsis = "MODEL [--devices A,B,...] [-p N] [-n N] [-r N] [options]",
    .about = "Tokens per second of prefill (the prompt, in chunks) and of decode (one token a step, read "
             "back each time).\n"
             "The memory sweep is y = x + x over 64 MiB arrays by the device's own kernel. Decoding is "
             "limited by memory\n"
             "where the weights that a token reads are a good part of it, and by kernels and launches where "
             "they are not.",
    .examples = "  isomer bench tiny-r1\n"
                "  isomer bench tiny-r1 --devices cpu,opencl:pocl -p 128 -n 64 -r 5\n"
                "  isomer bench tiny-r1 --devices vulkan:0 --profile\n",
    .no_means = "a device failed",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(bench_options),
    .run = run,
};
