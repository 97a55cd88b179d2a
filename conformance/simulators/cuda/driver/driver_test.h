// SPDX-License-Identifier: MIT
//
// What the driver's tests share: the library opened by its path as any program opens libcuda.so.1, and a
// child process for each case, whose report is read back.
#pragma once

#include "api.h"
#include "driver_test_kernels.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
#define SIM_ENTRY(name, base, since, needs, parameters, call) CUresult(*name) parameters;
#include "exports.def"
#undef SIM_ENTRY
    CUresult (*cuGetErrorName)(CUresult error, const char **name);
    CUresult (*cuGetErrorString)(CUresult error, const char **text);
    CUresult (*cuGetProcAddress_v2)(const char *name, void **out, int version, uint64_t flags,
                                    CUdriverProcAddressQueryResult *status);
} cu;

static inline void load_symbol(void *library, const char *name, void *out)
{
    void *symbol = dlsym(library, name);
    if (!symbol) {
        fprintf(stderr, "no symbol %s: %s\n", name, dlerror());
        exit(2);
    }
    memcpy(out, &symbol, sizeof symbol);
}

static inline void load_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
        exit(2);
    }
#define SIM_ENTRY(name, base, since, needs, parameters, call) load_symbol(library, #name, &cu.name);
#include "exports.def"
#undef SIM_ENTRY
    load_symbol(library, "cuGetErrorName", &cu.cuGetErrorName);
    load_symbol(library, "cuGetErrorString", &cu.cuGetErrorString);
    load_symbol(library, "cuGetProcAddress_v2", &cu.cuGetProcAddress_v2);
}

// Ends the child with a message where something that must succeed does not.
#define OK(call)        require(call, CUDA_SUCCESS, #call, __LINE__)
#define IS(error, call) require(call, error, #call, __LINE__)

static inline void require(CUresult got, CUresult wanted, const char *what, int line)
{
    const char *name = "?";
    if (got == wanted)
        return;
    cu.cuGetErrorName(got, &name);
    fprintf(stderr, "line %d: %s gives %s (%d), not %d\n", line, what, name, (int)got, (int)wanted);
    exit(3);
}

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition);                            \
            exit(3);                                                                                         \
        }                                                                                                    \
    } while (0)

static char report_path[64];

static inline void make_report_path(void)
{
    snprintf(report_path, sizeof report_path, "/tmp/cudasim-%ld.txt", (long)getpid());
    setenv("ISOMER_CUDASIM_REPORT", report_path, 1);
    setenv("ISOMER_CUDASIM_QUIET", "1", 1);
    setenv("ISOMER_CUDASIM_THREADS", "2", 1);
}

// Runs `body` in a child that has the library, and gives what it wrote as its report (to be freed).
// *out_status: as waitpid.
static inline char *run_child(const char *library, int (*body)(void), int *out_status)
{
    enum { REPORT_BYTES = 1 << 16, SECONDS = 60 };
    unlink(report_path);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        load_library(library);
        exit(body());
    }
    *out_status = -1;
    if (child > 0)
        waitpid(child, out_status, 0);
    char *text = calloc(1, REPORT_BYTES);
    FILE *file = fopen(report_path, "r");
    if (text && file && fread(text, 1, REPORT_BYTES - 1, file) == 0)
        text[0] = '\0';
    if (file)
        fclose(file);
    unlink(report_path);
    return text;
}

// ---- programs that are to be reported, each for one thing ----

typedef struct test_program {
    const char *name;
    int (*body)(void);  // in a child, after `begin`
    const char *wanted; // NULL: no report
} test_program;

static void (*begin_program)(void);
static const test_program *current_program;

static inline int run_current_program(void)
{
    begin_program();
    return current_program->body();
}

// Every finding's line must hold the wanted text; a program that ends at once leaves things too, and a trap
// also stops.
static inline bool is_right(const char *report, const char *wanted)
{
    bool found = !wanted;
    for (const char *line = report; *line;) {
        const char *line_end = strchr(line, '\n');
        size_t length = line_end ? (size_t)(line_end - line) : strlen(line);
        char text[1200];
        snprintf(text, sizeof text, "%.*s", (int)length, line);
        bool follows = wanted && (strstr(text, ": leak: exit: ") || strstr(text, " stopped: "));
        if (wanted && strstr(text, wanted))
            found = true;
        else if (!strstr(text, ": summary: ") && !follows)
            return false;
        line += length + (line_end != NULL);
    }
    return found;
}

// The number of those that were not right.
static inline int run_programs(const char *library, void (*begin)(void), const test_program *programs,
                               size_t count)
{
    int failures = 0;
    begin_program = begin;
    for (size_t i = 0; i < count; i++) {
        int status;
        current_program = &programs[i];
        char *report = run_child(library, run_current_program, &status);
        bool spoke = report && (programs[i].wanted || strstr(report, ": summary: "));
        if (status || !spoke || !is_right(report, programs[i].wanted)) {
            printf("%s: status %d; wanted '%s', got\n%s", programs[i].name, status,
                   programs[i].wanted ? programs[i].wanted : "nothing", report ? report : "no report");
            failures++;
        }
        free(report);
    }
    printf("%zu programs, %d failures\n", count, failures);
    return failures;
}
