// SPDX-License-Identifier: MIT
//
// What the tests of the CUDA backend share: the driver to test with, kernels as PTX and as CUDA C++, and a
// few lines to run them through the public calls. The driver is ISOMER_CUDA_DRIVER's where that is set, else
// the simulator that was built beside the test (ISOMER_CUDA_SIMULATOR); without either the tests are skipped.
#ifndef ISO_CONFORMANCE_CUDA_FIXTURE_H
#define ISO_CONFORMANCE_CUDA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isomer/device.h"

enum { GROUP = 64, COUNT = 1000 };

static const iso_device_options validating = {.validate = true};

static inline const char *cuda_driver_path(void)
{
    const char *real = getenv("ISOMER_CUDA_DRIVER"), *simulator = getenv("ISOMER_CUDA_SIMULATOR");
    if (real && *real)
        return real;
    return simulator && *simulator ? simulator : NULL;
}

static inline void check(iso_status status)
{
    if (status != ISO_OK)
        fail_msg("%s: %s", iso_status_name(status), iso_status_last()->text);
}

static inline void check_fails(iso_status status, iso_status want, const char *words)
{
    const char *text = status == ISO_OK ? "" : iso_status_last()->text;
    if (status != want || !strstr(text, words))
        fail_msg("got %s (%s), want %s with \"%s\"", iso_status_name(status), text, iso_status_name(want),
                 words);
}

// ---- kernels ----

// Every entry has (count, x, y, value) and thread i of all is element i. `next`: y[i] = x[i] * value + 1.
// `add_to`: y[i] += x[i]. `wild` writes far outside of y. `stop` traps. `narrow` is compiled for groups
// of 32.
#define CUDA_PTX_HEAD(version, target) ".version " version "\n.target " target "\n.address_size 64\n"
#define CUDA_PTX_ENTRY(name, limit, body)                                                                    \
    ".visible .entry " name "(.param .u32 a, .param .u64 b, .param .u64 c, .param .f32 d)" limit "\n"        \
    "{\n"                                                                                                    \
    ".reg .pred %p<2>;\n.reg .b32 %r<6>;\n.reg .f32 %f<4>;\n.reg .b64 %rd<8>;\n"                             \
    "ld.param.u32 %r1, [a];\nld.param.u64 %rd1, [b];\nld.param.u64 %rd2, [c];\nld.param.f32 %f1, [d];\n"     \
    "mov.u32 %r2, %ctaid.x;\nmov.u32 %r3, %ntid.x;\nmov.u32 %r4, %tid.x;\nmad.lo.s32 %r5, %r2, %r3, %r4;\n"  \
    "setp.ge.u32 %p1, %r5, %r1;\n@%p1 bra END;\n"                                                            \
    "mul.wide.u32 %rd3, %r5, 4;\n"                                                                           \
    "cvta.to.global.u64 %rd4, %rd1;\ncvta.to.global.u64 %rd5, %rd2;\n"                                       \
    "add.s64 %rd6, %rd4, %rd3;\nadd.s64 %rd7, %rd5, %rd3;\n" body "END:\nret;\n}\n"
#define CUDA_PTX_NEXT                                                                                        \
    "ld.global.f32 %f2, [%rd6];\nfma.rn.f32 %f3, %f2, %f1, 0f3F800000;\nst.global.f32 [%rd7], %f3;\n"
#define CUDA_PTX_BODY                                                                                        \
    CUDA_PTX_ENTRY("next", "", CUDA_PTX_NEXT)                                                                \
    CUDA_PTX_ENTRY("narrow", " .maxntid 32, 1, 1", CUDA_PTX_NEXT)                                            \
    CUDA_PTX_ENTRY("add_to", "",                                                                             \
                   "ld.global.f32 %f2, [%rd6];\nld.global.f32 %f3, [%rd7];\nadd.f32 %f3, %f3, %f2;\n"        \
                   "st.global.f32 [%rd7], %f3;\n")                                                           \
    CUDA_PTX_ENTRY("waits", "", "bar.sync 0, %r1;\n")                                                        \
    CUDA_PTX_ENTRY("stop", "", "trap;\n")

static const char cuda_ptx[] = CUDA_PTX_HEAD("6.4", "sm_75") CUDA_PTX_BODY;

static const char cuda_text[] = "extern \"C\" __global__ void __launch_bounds__(64)\n"
                                "next(unsigned count, const float *__restrict__ x, float *y, float value)\n"
                                "{\n"
                                "    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                                "    if (i < count)\n"
                                "        y[i] = x[i] * value + 1.0f;\n"
                                "}\n";

static inline iso_module_source cuda_source(const char *entry)
{
    return (iso_module_source){
        .name = "test.kernel",
        .entry = entry,
        .format = ISO_CODE_PTX,
        .code = cuda_ptx,
        .code_bytes = sizeof cuda_ptx - 1,
        .group_size = GROUP,
        .arg_count = 4,
        .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER, ISO_ARG_BUFFER, ISO_ARG_F32},
    };
}

static inline iso_dispatch cuda_dispatch(const char *label, uint32_t count, const iso_buffer *x,
                                         const iso_buffer *y, float value)
{
    return (iso_dispatch){
        .label = label,
        .groups = {(count + GROUP - 1) / GROUP, 1, 1},
        .arg_count = 4,
        .args = {{.kind = ISO_ARG_U32, .value.u32 = count},
                 {.kind = ISO_ARG_BUFFER,
                  .memory = iso_buffer_memory(x),
                  .range_bytes = (uint64_t)count * sizeof(float)},
                 {.kind = ISO_ARG_BUFFER,
                  .memory = iso_buffer_memory(y),
                  .range_bytes = (uint64_t)count * sizeof(float)},
                 {.kind = ISO_ARG_F32, .value.f32 = value}},
    };
}

// ---- a bench ----

typedef struct cuda_bench {
    iso_registry *registry;
    iso_device *device;
} cuda_bench;

// The registry with the driver under test alone; skips the test where there is none.
static inline iso_registry *cuda_registry(const iso_allocator *allocator)
{
    const char *path = cuda_driver_path(), *const names[] = {"cuda"};
    if (!path) {
        print_message(
            "skipped: no CUDA driver: neither ISOMER_CUDA_DRIVER nor a simulator (not built under the "
            "thread sanitizer)\n");
        skip();
    }
    const iso_backend_library library = {"cuda", path};
    const iso_registry_options options = {
        .allocator = allocator, .names = names, .name_count = 1, .libraries = &library, .library_count = 1};
    iso_registry *registry = NULL;
    check(iso_registry_create_with(&options, &registry));
    return registry;
}

static inline cuda_bench cuda_open(const iso_device_options *options)
{
    cuda_bench bench = {.registry = cuda_registry(options->allocator)};
    check(iso_device_open(bench.registry, "cuda:0", options, &bench.device));
    return bench;
}

static inline void cuda_close(cuda_bench *bench)
{
    iso_device_close(bench->device);
    iso_registry_destroy(bench->registry);
}

static inline iso_module *cuda_module(cuda_bench *bench, const char *entry)
{
    const iso_module_source source = cuda_source(entry);
    iso_module *module = NULL;
    check(iso_module_create(bench->device, &source, &module));
    return module;
}

static inline iso_buffer *cuda_floats(cuda_bench *bench, uint32_t count, float (*value)(uint32_t index))
{
    iso_buffer *buffer = NULL;
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = value(i);
    check(iso_buffer_create(bench->device, count * sizeof *values, &buffer));
    check(iso_buffer_write(buffer, 0, values, count * sizeof *values));
    free(values);
    return buffer;
}

static inline void cuda_expect(const iso_buffer *buffer, uint32_t count, float (*value)(uint32_t index))
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    check(iso_buffer_read(buffer, 0, values, count * sizeof *values));
    for (uint32_t i = 0; i < count; i++)
        if (values[i] != value(i))
            fail_msg("element %u of %u is %g, %g is right", i, count, (double)values[i], (double)value(i));
    free(values);
}

static inline float index_of(uint32_t i)
{
    return (float)i;
}

static inline float zero(uint32_t i)
{
    (void)i;
    return 0;
}

// Whether y is x * 2 + 1 after one run of the module "next".
static inline void expect_next(cuda_bench *bench, iso_module *next)
{
    iso_buffer *x = cuda_floats(bench, COUNT, index_of), *y = cuda_floats(bench, COUNT, zero);
    const iso_dispatch dispatch = cuda_dispatch("next", COUNT, x, y, 2);
    iso_list *list = NULL;
    check(iso_list_create(bench->device, &list));
    check(iso_list_dispatch(list, next, &dispatch));
    check(iso_list_finish(list));
    check(iso_list_submit(list));
    float values[COUNT];
    check(iso_buffer_read(y, 0, values, sizeof values)); // waits for the list
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(values[i] == 2 * (float)i + 1);
    iso_list_destroy(list);
    iso_buffer_release(y);
    iso_buffer_release(x);
}

// ---- the simulator's findings ----

// Runs the tests in a child, because the simulator gives its verdict when a process ends: any finding of it
// is a failure.
static inline int cuda_run_watched(int (*group)(void))
{
    char report[] = "/tmp/isomer-cuda-report-XXXXXX", line[512];
    int file = mkstemp(report), status = 0;
    if (file < 0)
        return 1;
    close(file);
    setenv("ISOMER_CUDASIM_REPORT", report, 1);
    setenv("ISOMER_CUDASIM_QUIET", "1", 1);
    pid_t child = fork();
    if (child == 0)
        exit(group());
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    FILE *lines = fopen(report, "r");
    while (lines && fgets(line, sizeof line, lines)) {
        bool clean = strstr(line, ": summary: ") && strstr(line, ", 0 findings");
        if (!clean)
            printf("the simulator: %s", line);
        failed = failed || !clean;
    }
    if (lines)
        fclose(lines);
    unlink(report);
    return failed;
}

#endif
