// SPDX-License-Identifier: MIT
//
// What the interpreter's tests share: running a text over buffers, counting failures, collecting reports.
#pragma once

#include "ptx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned failures, checks;

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        checks++;                                                                                            \
        if (!(condition)) {                                                                                  \
            if (++failures <= 40) {                                                                          \
                printf("%s:%d: ", __FILE__, __LINE__);                                                       \
                printf(__VA_ARGS__);                                                                         \
                printf("\n");                                                                                \
            }                                                                                                \
        }                                                                                                    \
    } while (0)

static inline int finish(const char *name)
{
    printf("%s: %u checks, %u failures\n", name, checks, failures);
    return failures != 0;
}

#define MAX_REPORTS 64
typedef struct reports {
    ptx_report list[MAX_REPORTS];
    unsigned count;
} reports;

static inline void collect(void *user, const ptx_report *report)
{
    reports *r = user;
    if (r->count < MAX_REPORTS)
        r->list[r->count++] = *report;
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

#define HEADER ".version 8.8\n.target sm_90a\n.address_size 64\n"

typedef struct run_options {
    uint64_t seed;
    ptx_mma mma;
    uint32_t chip;
} run_options;

// Runs kernel k(in, out) of the text in one block; nothing may be reported.
typedef struct buffer {
    void *data;
    size_t bytes;
} buffer;
#define BUFFER(array) ((buffer){array, sizeof array})

static inline bool run_text(const char *text, buffer in, buffer out, unsigned threads, run_options options)
{
    char message[PTX_MESSAGE_BYTES];
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    uint64_t params[2];
    reports found = {.count = 0};
    ptx_launch_result result;
    ptx_status status = ptx_module_load(memory, text, strlen(text), message, &module);
    CHECK(status == PTX_OK, "%s\n%s", message, text);
    if (status == PTX_OK) {
        ptx_memory_alloc(memory, in.bytes, "in", &params[0]);
        ptx_memory_alloc(memory, out.bytes, "out", &params[1]);
        ptx_memory_write(memory, params[0], in.data, in.bytes);
        ptx_launch launch = {.kernel = ptx_module_find_kernel(module, "k"),
                             .grid = {1, 1, 1},
                             .block = {threads, 1, 1},
                             .params = params,
                             .param_bytes = 16,
                             .approximation_seed = options.seed,
                             .mma = options.mma,
                             .chip = options.chip,
                             .report = collect,
                             .user = &found};
        status = ptx_launch_run(memory, &launch, &result);
        CHECK(status == PTX_OK && !found.count, "%s%s\n%s", result.message,
              found.count ? found.list[0].text : "", text);
        ptx_memory_read(memory, params[1], out.data, out.bytes, NULL);
    }
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
    return status == PTX_OK;
}
