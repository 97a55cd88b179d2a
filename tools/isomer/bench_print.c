// SPDX-License-Identifier: MIT
//
// The report of `bench`, as a table and as JSON.
#include <stdio.h>

#include "tools/isomer/bench.h"
#include "tools/isomer/device_names.h"
#include "tools/isomer/output.h"

// The share of the measured memory bandwidth that the weights of the decoded tokens alone make use of.
static double memory_share(const bench_report *report, const bench_result *result)
{
    return result->memory_rate > 0 ? result->decode.median * (double)report->token_bytes / result->memory_rate
                                   : 0;
}

static const char *format_rate(const bench_rate *rate, char out[48])
{
    snprintf(out, 48, "%.1f (%.1f-%.1f)", rate->median, rate->least, rate->most);
    return out;
}

static void print_result(const bench_report *report, const bench_result *result)
{
    char prefill[48], decode[48], memory[CLI_SIZE_BYTES];
    if (result->problem[0]) {
        char clean[BENCH_PROBLEM_BYTES];
        cli_clean_text(result->problem, clean, sizeof clean);
        printf("%-11sFAILED: %s\n", result->device, clean);
        return;
    }
    printf("%-11s%-26s%-26s%8s/s  %7.2f %%\n", result->device, format_rate(&result->prefill, prefill),
           format_rate(&result->decode, decode), cli_format_bytes((uint64_t)result->memory_rate, memory),
           100 * memory_share(report, result));
}

static void print_profile(const char *device, const char *phase, const bench_profile *profile)
{
    if (profile->useless)
        printf("\n%s, %s: the driver's time stamps say nothing (%.4f ms for a step)\n", device, phase,
               (double)profile->ns / 1e6);
    if (profile->kernel_count == 0)
        return;
    printf("\n%s, %s: %.3f ms in kernels in a step of %u tokens, of which\n", device, phase,
           (double)profile->ns / 1e6, profile->tokens);
    for (uint32_t i = 0; i < profile->kernel_count; i++)
        printf("  %8.3f ms  %5.1f %%  %4u calls  %s\n", (double)profile->kernels[i].ns / 1e6,
               profile->ns ? 100.0 * (double)profile->kernels[i].ns / (double)profile->ns : 0.0,
               profile->kernels[i].calls, profile->kernels[i].name);
}

void bench_print(const bench_report *report)
{
    char bytes[CLI_SIZE_BYTES];
    printf("%s: prefill of %u tokens, decode of %u; median of %u (least-most), tokens per second\n"
           "a decoded token reads %s of weights\n",
           report->model, report->prompt_tokens, report->new_tokens, report->repeats,
           cli_format_bytes(report->token_bytes, bytes));
    for (uint32_t i = 0; i < report->result_count; i++)
        cli_print_device(stdout, report->results[i].device, report->results[i].info);
    printf("\n%-11s%-26s%-26s%-12s  %s\n", "device", "prefill", "decode", "memory sweep",
           "weights read, of it");
    for (uint32_t i = 0; i < report->result_count; i++)
        print_result(report, &report->results[i]);
    for (uint32_t i = 0; i < report->result_count; i++) {
        print_profile(report->results[i].device, "prefill", &report->results[i].prefill_profile);
        print_profile(report->results[i].device, "decode", &report->results[i].decode_profile);
    }
}

static json_t *rate_json(const bench_rate *rate)
{
    json_t *object = json_object();
    cli_json_put(&object, "median", json_real(rate->median));
    cli_json_put(&object, "least", json_real(rate->least));
    cli_json_put(&object, "most", json_real(rate->most));
    return object;
}

static json_t *profile_json(const bench_profile *profile)
{
    if (profile->useless)
        return json_null();
    json_t *object = json_object(), *kernels = json_array();
    for (uint32_t i = 0; i < profile->kernel_count; i++) {
        json_t *kernel = json_object();
        cli_json_put(&kernel, "kernel", json_string(profile->kernels[i].name));
        cli_json_put(&kernel, "seconds", json_real((double)profile->kernels[i].ns / 1e9));
        cli_json_put(&kernel, "calls", json_integer(profile->kernels[i].calls));
        cli_json_add(&kernels, kernel);
    }
    cli_json_put(&object, "step_tokens", json_integer(profile->tokens));
    cli_json_put(&object, "seconds", json_real((double)profile->ns / 1e9));
    cli_json_put(&object, "slowest", kernels);
    return object;
}

static json_t *result_json(const bench_report *report, const bench_result *result)
{
    json_t *entry = json_object();
    cli_put_device(&entry, result->device, result->info);
    cli_json_put(&entry, "problem", result->problem[0] ? cli_json_text(result->problem) : json_null());
    if (result->problem[0])
        return entry;
    cli_json_put(&entry, "prefill_tokens_per_second", rate_json(&result->prefill));
    cli_json_put(&entry, "decode_tokens_per_second", rate_json(&result->decode));
    cli_json_put(&entry, "memory_bytes_per_second", json_real(result->memory_rate));
    cli_json_put(&entry, "decode_share_of_memory", json_real(memory_share(report, result)));
    if (report->profile) {
        cli_json_put(&entry, "prefill_profile", profile_json(&result->prefill_profile));
        cli_json_put(&entry, "decode_profile", profile_json(&result->decode_profile));
    }
    return entry;
}

json_t *bench_json(const bench_report *report)
{
    json_t *root = json_object(), *devices = json_array();
    for (uint32_t i = 0; i < report->result_count; i++)
        cli_json_add(&devices, result_json(report, &report->results[i]));
    cli_json_put(&root, "model", cli_json_text(report->model));
    cli_json_put(&root, "prompt_tokens", json_integer(report->prompt_tokens));
    cli_json_put(&root, "new_tokens", json_integer(report->new_tokens));
    cli_json_put(&root, "repeats", json_integer(report->repeats));
    cli_json_put(&root, "weight_bytes_per_token", cli_json_count(report->token_bytes));
    cli_json_put(&root, "devices", devices);
    return root;
}
