// SPDX-License-Identifier: MIT
//
// What `bench` measures on one device, and the parts of the command: the memory sweep (bench_memory.c) and
// printing (bench_print.c).
#ifndef ISOMER_TOOLS_BENCH_H
#define ISOMER_TOOLS_BENCH_H

#include <jansson.h>

#include "isomer/runner.h"
#include "tools/isomer/machine.h"

#define BENCH_PROBLEM_BYTES 512
#define BENCH_SLOWEST       5

// Tokens per second over the repetitions.
typedef struct bench_rate {
    double median, least, most;
} bench_rate;

// All calls of one kernel within a step.
typedef struct bench_kernel {
    const char *name; // lent by the kernel
    uint64_t ns;
    uint32_t calls;
} bench_kernel;

// Where a step's time goes; the slowest kernels first.
typedef struct bench_profile {
    uint32_t tokens; // of the recorded step
    uint64_t ns;     // all kernels together
    bench_kernel kernels[BENCH_SLOWEST];
    uint32_t kernel_count;
    bool useless; // the driver's time stamps are far from the time that the step took: there are no kernels
                  // then
} bench_profile;

typedef struct bench_result {
    char device[CLI_DEVICE_NAME_BYTES];
    const iso_device_info *info;       // lent by the registry
    char problem[BENCH_PROBLEM_BYTES]; // why nothing was measured; "" otherwise
    bench_rate prefill, decode;
    double memory_rate; // bytes per second of a sweep through the device's memory, read and written together
    bench_profile prefill_profile, decode_profile; // with --profile
} bench_result;

typedef struct bench_report {
    const char *model;
    uint32_t prompt_tokens, new_tokens, repeats;
    uint64_t token_bytes; // weights that one decoded token reads
    bool profile;
    const bench_result *results;
    uint32_t result_count;
} bench_report;

// Bytes per second of y = x + x over arrays that no cache holds, on the device, by its own kernel: what it
// can be had for, not what the data sheet says.
iso_status bench_memory(iso_device *device, double *out_bytes_per_second) ISO_MUST_USE;

void bench_print(const bench_report *report);
json_t *bench_json(const bench_report *report);

#endif
