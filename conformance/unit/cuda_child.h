// SPDX-License-Identifier: MIT
//
// For tests of the CUDA backend that want a fresh process: the simulator reads its environment when it is
// opened, and judges when the process ends. A child runs a body that writes lines to the parent and counts
// host memory; the parent reads the lines and the simulator's report.
#ifndef ISO_CONFORMANCE_CUDA_CHILD_H
#define ISO_CONFORMANCE_CUDA_CHILD_H

#include "conformance/unit/cuda_fixture.h"

// For tests that make every call fail: under the address sanitizer, where the end of a process takes long,
// every second one.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPREAD 2
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SPREAD 2
#endif
#ifndef SPREAD
#define SPREAD 1
#endif

typedef struct cuda_child {
    int status;        // of waitpid
    char said[8192];   // what the body wrote
    char report[8192]; // of the simulator
} cuda_child;

typedef struct cuda_setting {
    const char *variable, *value;
} cuda_setting;

// ---- in the child ----

// Living blocks; several threads of a test may make some.
static _Atomic int64_t child_living;

static void *child_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    void *grown = realloc(memory, bytes);
    child_living += grown != NULL && memory == NULL;
    return grown;
}

static void child_release(void *context, void *memory)
{
    (void)context;
    child_living -= memory != NULL;
    free(memory);
}

static const iso_allocator child_allocator = {.resize = child_resize, .release = child_release};

// Ends the child where something is not so.
#define CHILD_REQUIRE(condition)                                                                             \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(out, "line %d: not so: %s; last: %s\n", __LINE__, #condition, iso_status_last()->text);  \
            fflush(out);                                                                                     \
            _exit(3);                                                                                        \
        }                                                                                                    \
    } while (0)

// A registry with the driver under test alone.
static inline iso_status child_registry(iso_registry **out_registry)
{
    static const char *const names[] = {"cuda"};
    const iso_backend_library library = {"cuda", cuda_driver_path()};
    const iso_registry_options options = {.allocator = &child_allocator,
                                          .names = names,
                                          .name_count = 1,
                                          .libraries = &library,
                                          .library_count = 1};
    return iso_registry_create_with(&options, out_registry);
}

// ---- in the parent ----

static inline void child_read(FILE *file, char *text, size_t bytes)
{
    size_t used = 0, got = 1;
    while (used < bytes - 1 && got > 0) {
        got = fread(text + used, 1, bytes - 1 - used, file);
        used += got;
    }
    text[used] = '\0';
}

// Settings end with a NULL variable. The child ends with the body's answer, or with 4 where host memory is
// left.
static inline cuda_child cuda_run_child(int (*body)(FILE *out), const cuda_setting *settings)
{
    static cuda_child child;
    char report[] = "/tmp/isomer-cuda-report-XXXXXX";
    int file = mkstemp(report), ends[2];
    assert_true(file >= 0 && pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        FILE *out = fdopen(ends[1], "w");
        setenv("ISOMER_CUDASIM_REPORT", report, 1);
        setenv("ISOMER_CUDASIM_QUIET", "1", 1);
        setenv("ISOMER_CUDASIM_THREADS", "1", 1);
        for (const cuda_setting *s = settings; s->variable; s++)
            setenv(s->variable, s->value, 1);
        int answer = body(out);
        if (child_living != 0)
            fprintf(out, "%lld blocks of host memory are left\n", (long long)child_living);
        fclose(out);
        exit(child_living != 0 ? 4 : answer);
    }
    assert_true(pid > 0);
    close(ends[1]);
    FILE *said = fdopen(ends[0], "r"), *lines = fdopen(file, "r");
    child_read(said, child.said, sizeof child.said);
    fclose(said);
    assert_int_equal(waitpid(pid, &child.status, 0), pid);
    child_read(lines, child.report, sizeof child.report);
    fclose(lines);
    unlink(report);
    return child;
}

static inline bool child_ended_well(const cuda_child *child)
{
    return WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

// The first line of the report that is a finding and has none of the words (NULL-terminated); NULL: none.
static inline const char *child_finding(const cuda_child *child, const char *const *allowed, char line[512])
{
    for (const char *at = child->report; *at;) {
        size_t length = strcspn(at, "\n");
        snprintf(line, 512, "%.*s", (int)(length < 511 ? length : 511), at);
        bool fine = strstr(line, ": summary: ") != NULL;
        for (size_t i = 0; allowed[i] && !fine; i++)
            fine = strstr(line, allowed[i]) != NULL;
        if (!fine)
            return line;
        at += length + (at[length] == '\n');
    }
    return NULL;
}

// Calls that the simulator counted.
static inline unsigned long child_calls(const cuda_child *child)
{
    const char *summary = strstr(child->report, ": summary: ");
    return summary ? strtoul(summary + strlen(": summary: "), NULL, 10) : 0;
}

// The tests need the simulator: a real driver cannot be told to fail.
static inline void cuda_need_simulator(void)
{
    const char *simulator = getenv("ISOMER_CUDA_SIMULATOR");
    if (!simulator || !*simulator) {
        print_message("skipped: no CUDA simulator (not built under the thread sanitizer)\n");
        skip();
    }
    unsetenv("ISOMER_CUDA_DRIVER");
}

#endif
