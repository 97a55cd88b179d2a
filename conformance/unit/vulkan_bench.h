// SPDX-License-Identifier: MIT
//
// What the tests of the Vulkan backend's own table share: a driver, and a device on it that is ready to run
// one small list. They replace single Vulkan functions of an open device, or facts of the loaded driver, and
// look at what the backend makes of it.
#ifndef ISO_CONFORMANCE_VULKAN_BENCH_H
#define ISO_CONFORMANCE_VULKAN_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/vulkan/vulkan.h"
#include "conformance/unit/data/vulkan_saxpy.h"

enum { COUNT = 1000, BYTES = COUNT * sizeof(float) };

extern const iso_backend iso_vulkan_backend;
static const iso_backend *const backend = &iso_vulkan_backend;

typedef struct bench {
    iso_vulkan_driver *driver;
    iso_vulkan_device *device;
    void *module;
    void *list;
    iso_memory x, y;
} bench;

static inline void check(iso_status status)
{
    if (status != ISO_OK)
        fail_msg("%s: %s", iso_status_name(status), iso_status_last()->text);
}

static inline void check_fails(iso_status status, iso_status want, const char *words)
{
    const char *text = iso_status_last()->text;
    if (status != want || !strstr(text, words))
        fail_msg("got %s (%s), want %s with \"%s\"", iso_status_name(status), text, iso_status_name(want),
                 words);
}

// Skips the test when the machine has no Vulkan device.
static inline iso_vulkan_driver *load(void)
{
    void *driver = NULL;
    if (backend->load(NULL, NULL, &driver) == ISO_OK)
        return driver;
    printf("skipped: no Vulkan driver: %s\n", iso_status_last()->text);
    skip();
    return NULL;
}

static inline iso_module_source saxpy_source(void)
{
    return (iso_module_source){
        .name = "test.saxpy",
        .entry = "main",
        .format = ISO_CODE_SPIRV,
        .code = vulkan_saxpy,
        .code_bytes = sizeof vulkan_saxpy,
        .group_size = VULKAN_SAXPY_GROUP,
        .arg_count = 4,
        .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER, ISO_ARG_BUFFER, ISO_ARG_F32},
    };
}

// y += x
static inline iso_dispatch saxpy(const bench *b)
{
    return (iso_dispatch){
        .label = "test.saxpy",
        .groups = {(COUNT + VULKAN_SAXPY_GROUP - 1) / VULKAN_SAXPY_GROUP, 1, 1},
        .arg_count = 4,
        .args = {{.kind = ISO_ARG_U32, .value.u32 = COUNT},
                 {.kind = ISO_ARG_BUFFER, .memory = &b->x, .range_bytes = BYTES},
                 {.kind = ISO_ARG_BUFFER, .memory = &b->y, .range_bytes = BYTES},
                 {.kind = ISO_ARG_F32, .value.f32 = 1.0f}},
    };
}

// A list of one dispatch over two buffers; forwards the first failure.
static inline iso_status prepare(bench *b, uint32_t ordinal, const iso_device_options *options)
{
    const iso_module_source source = saxpy_source();
    void *device = NULL;
    ISO_TRY(backend->open_device(b->driver, ordinal, options, &device));
    b->device = device;
    ISO_TRY(backend->alloc(device, BYTES, &b->x));
    ISO_TRY(backend->alloc(device, BYTES, &b->y));
    ISO_TRY(backend->module_create(device, &source, &b->module));
    ISO_TRY(backend->list_create(device, &b->list));
    const iso_dispatch dispatch = saxpy(b);
    ISO_TRY(backend->list_dispatch(b->list, b->module, &dispatch));
    return backend->list_finish(b->list);
}

// Destroys what prepare made, however far it came.
static inline void clear(bench *b)
{
    if (b->device != NULL) {
        backend->list_destroy(b->list);
        backend->module_destroy(b->device, b->module);
        backend->free(b->device, &b->x);
        backend->free(b->device, &b->y);
        backend->close_device(b->device);
    }
    iso_vulkan_driver *driver = b->driver;
    *b = (bench){.driver = driver};
}

// Fills x and y, runs the list once, and looks at the sum.
static inline void check_sum(bench *b)
{
    float x[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)i;
    check(backend->write(b->device, &b->x, 0, x, BYTES));
    check(backend->fill(b->device, &b->y, 0, BYTES, 0x3f800000)); // 1.0f
    check(backend->submit(b->device, b->list));
    check(backend->read(b->device, &b->y, 0, y, BYTES));
    for (int i = 0; i < COUNT; i++)
        assert_true(y[i] == 1.0f + (float)i);
}

// Runs `body` with each usable device of a freshly loaded driver, prepared.
static inline void for_each_device(void (*body)(bench *b))
{
    bench b = {.driver = load()};
    const iso_device_options options = {0};
    for (uint32_t i = 0; i < b.driver->physical_count; i++) {
        if (!b.driver->physical[i].info.available)
            continue;
        check(prepare(&b, i, &options));
        body(&b);
        clear(&b);
    }
    backend->unload(b.driver);
}

#endif
