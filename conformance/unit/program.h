// SPDX-License-Identifier: MIT
//
// Runs $ISOMER_PROGRAM as a process of its own, its streams going to files of a test's folder, and checks how
// it ended. For tests of the program from outside; a test file includes it once.
#ifndef ISOMER_CONFORMANCE_UNIT_PROGRAM_H
#define ISOMER_CONFORMANCE_UNIT_PROGRAM_H

#include "conformance/unit/checkpoint_files.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MAX_ARGS 24

// Made and removed by set_up and tear_down.
static test_folder folder;

extern char **environ;

// ---- running the program ----

typedef struct run_result {
    int exit_code; // -1: ended by a signal
    char *out, *err;
    size_t out_bytes;
    long peak_kib;
} run_result;

typedef struct run_streams {
    const char *input;  // file for standard input; NULL: /dev/null
    int output;         // descriptor for standard output; -1: a file that is read back
    bool output_closed; // none at all
} run_streams;

static inline char *program_read_all(const char *path, size_t *out_bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    *out_bytes = fread(text, 1, (size_t)size, file);
    text[*out_bytes] = '\0';
    fclose(file);
    return text;
}

static inline run_result run_with(const run_streams *streams, const char *const *arguments)
{
    const char *program = getenv("ISOMER_PROGRAM");
    char out_path[PATH_MAX], err_path[PATH_MAX];
    char *argv[MAX_ARGS + 2] = {(char *)(uintptr_t)program};
    for (int i = 0; arguments[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    snprintf(out_path, sizeof out_path, "%s/.out", folder.path);
    snprintf(err_path, sizeof err_path, "%s/.err", folder.path);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, streams->input ? streams->input : "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (streams->output_closed)
        posix_spawn_file_actions_addclose(&actions, 1);
    else if (streams->output >= 0)
        posix_spawn_file_actions_adddup2(&actions, streams->output, 1);
    pid_t child;
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    int state;
    struct rusage usage;
    assert_int_equal(wait4(child, &state, 0, &usage), child);
    run_result result = {.exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : -1,
                         .peak_kib = usage.ru_maxrss};
    size_t err_bytes;
    result.out = program_read_all(out_path, &result.out_bytes);
    result.err = program_read_all(err_path, &err_bytes);
    return result;
}

static inline run_result run(const char *const *arguments)
{
    return run_with(&(run_streams){.output = -1}, arguments);
}

#define RUN(...)         run((const char *const[]){__VA_ARGS__, NULL})
#define RUN_WITH(s, ...) run_with((s), (const char *const[]){__VA_ARGS__, NULL})

static inline void release(run_result *result)
{
    free(result->out);
    free(result->err);
}

static inline void show(const run_result *result, const char *wanted)
{
    fprintf(stderr, "wanted: %s\nexit code %d\nstandard output: %.400s\nstandard error: %.800s\n", wanted,
            result->exit_code, result->out, result->err);
}

static inline void expect_contains(const run_result *result, const char *text, const char *part)
{
    if (!strstr(text, part))
        show(result, part);
    assert_non_null(strstr(text, part));
}

// Exactly one line "isomer: …" that holds `part`, and nothing on standard output.
static inline void expect_failure(run_result result, int exit_code, const char *part)
{
    const char *newline = strchr(result.err, '\n');
    if (result.exit_code != exit_code || !newline || newline[1] != '\0')
        show(&result, part);
    assert_int_equal(result.exit_code, exit_code);
    assert_non_null(newline);
    assert_int_equal(newline[1], '\0');
    assert_memory_equal(result.err, "isomer: ", strlen("isomer: "));
    expect_contains(&result, result.err, part);
    assert_int_equal(result.out_bytes, 0);
    release(&result);
}

// Success without a word on standard error; the output is the caller's.
static inline run_result expect_success(run_result result)
{
    if (result.exit_code != 0 || result.err[0])
        show(&result, "success");
    assert_int_equal(result.exit_code, 0);
    assert_string_equal(result.err, "");
    return result;
}

static inline json_t *expect_json(run_result result, int exit_code)
{
    if (result.exit_code != exit_code)
        show(&result, "JSON");
    assert_int_equal(result.exit_code, exit_code);
    json_t *json = json_loads(result.out, 0, NULL);
    assert_non_null(json);
    release(&result);
    return json;
}

// A leak checker that tells which known leaks of drivers it passed over would add to standard error.
static inline void quiet_leak_checker(void)
{
    const char *options = getenv("LSAN_OPTIONS");
    char quiet[PATH_MAX];
    if (!options || strstr(options, "print_suppressions"))
        return;
    snprintf(quiet, sizeof quiet, "%s:print_suppressions=0", options);
    setenv("LSAN_OPTIONS", quiet, 1);
}

static inline int set_up(void **state)
{
    (void)state;
    quiet_leak_checker();
    test_folder_create(&folder);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    test_folder_destroy(&folder);
    return 0;
}

#endif
