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
