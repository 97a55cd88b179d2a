// SPDX-License-Identifier: MIT
//
// The Vulkan backend through the public calls, on every Vulkan device of this machine: arguments and offsets,
// replay, order, time stamps, refusals of bad code and of what exceeds a limit, all devices at once.
//
// The kernel adds a * x to y, so that a dispatch that runs twice, never, or too early shows in the sum.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/unit/data/vulkan_saxpy.h"
#include "isomer/device.h"

enum { COUNT = 1000, BYTES = COUNT * sizeof(float), MOST_DEVICES = 16 };

// ---- fixture ----

static iso_registry *registry;

static int set_up(void **state)
{
    (void)state;
    return iso_registry_create(NULL, &registry) == ISO_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    iso_registry_destroy(registry);
    return 0;
}

// Names of the usable Vulkan devices; skips the test when there is none.
static uint32_t device_names(char names[MOST_DEVICES][32])
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < iso_registry_device_count(registry) && found < MOST_DEVICES; i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        if (strcmp(info->backend, "vulkan") == 0 && info->available)
            snprintf(names[found++], sizeof names[0], "vulkan:%u", info->ordinal);
    }
    if (found > 0)
        return found;
    for (uint32_t i = 0; i < iso_registry_backend_count(registry); i++) {
        const char *reason = NULL;
        const char *name = iso_registry_backend(registry, i, &reason);
        if (strcmp(name, "vulkan") == 0)
            printf("skipped: no Vulkan device can be used: %s\n", reason ? reason : "see isomer devices");
    }
    skip();
    return 0;
}

static void check(iso_status status)
{
    if (status != ISO_OK)
        fail_msg("%s: %s", iso_status_name(status), iso_status_last()->text);
}

// One device with two buffers, the kernel, and what the next dispatch gets.
typedef struct bench {
    iso_device *device;
    iso_buffer *x;
    iso_buffer *y;
    iso_module *module;
    iso_module_source source;
} bench;

static iso_module_source saxpy_source(void)
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

static void bench_open(bench *b, const char *name, bool profile)
{
    const iso_device_options options = {.validate = true, .profile = profile};
    *b = (bench){.source = saxpy_source()};
    check(iso_device_open(registry, name, &options, &b->device));
    check(iso_buffer_create(b->device, BYTES, &b->x));
    check(iso_buffer_create(b->device, BYTES, &b->y));
    check(iso_module_create(b->device, &b->source, &b->module));
}

static void bench_close(bench *b)
{
    iso_module_destroy(b->module);
    iso_buffer_release(b->x);
    iso_buffer_release(b->y);
    iso_device_close(b->device);
}

static void write_all(iso_buffer *buffer, float value)
{
    float data[COUNT];
    for (int i = 0; i < COUNT; i++)
        data[i] = value + (float)i;
    check(iso_buffer_write(buffer, 0, data, sizeof data));
}

// y[first .. first+count) += a * x[first ..)
static iso_dispatch saxpy(const iso_buffer *x, const iso_buffer *y, uint32_t first, uint32_t count, float a)
{
    return (iso_dispatch){
        .label = "test.saxpy",
        .groups = {(count + VULKAN_SAXPY_GROUP - 1) / VULKAN_SAXPY_GROUP, 1, 1},
        .arg_count = 4,
        .args = {{.kind = ISO_ARG_U32, .value.u32 = count},
                 {.kind = ISO_ARG_BUFFER,
                  .memory = iso_buffer_memory(x),
                  .offset_bytes = first * sizeof(float),
                  .range_bytes = count * sizeof(float)},
                 {.kind = ISO_ARG_BUFFER,
                  .memory = iso_buffer_memory(y),
                  .offset_bytes = first * sizeof(float),
                  .range_bytes = count * sizeof(float)},
                 {.kind = ISO_ARG_F32, .value.f32 = a}},
    };
}

static iso_list *record(bench *b, const iso_dispatch *dispatches, uint32_t count)
{
    iso_list *list = NULL;
    check(iso_list_create(b->device, &list));
    for (uint32_t i = 0; i < count; i++) {
        check(iso_list_dispatch(list, b->module, &dispatches[i]));
        check(iso_list_barrier(list));
    }
    check(iso_list_finish(list));
    return list;
}

static void for_each_device(void (*body)(const char *name))
{
    char names[MOST_DEVICES][32];
    uint32_t count = device_names(names);
    for (uint32_t i = 0; i < count; i++)
        body(names[i]);
}

// ---- tests ----

static void test_info(void **state)
{
    (void)state;
    char names[MOST_DEVICES][32];
    device_names(names);
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        if (strcmp(info->backend, "vulkan") != 0)
            continue;
        assert_true(info->name[0] != '\0');
        assert_int_equal(info->available, info->reason[0] == '\0');
        if (!info->available)
            continue;
        assert_true(info->driver[0] != '\0');
        assert_true(info->memory_bytes >= info->max_allocation_bytes);
        assert_true(info->max_allocation_bytes >=
                    1 << 28); // the least that Vulkan allows is 1 GiB or the heap
        assert_true(info->max_group_size >= 128);
        assert_true(info->local_memory_bytes >= 16384);
        assert_true(info->max_argument_bytes >= 128);
        assert_true(info->buffer_alignment_bytes % 16 == 0);
        assert_int_equal(info->code_formats[0], ISO_CODE_SPIRV);
        assert_int_equal(info->code_formats[1], ISO_CODE_NONE);
    }
}

// Three ranges side by side; what lies outside a range stays as it was.
static void offsets_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    write_all(b.x, 1.0f);
    check(iso_buffer_fill(b.y, 0, BYTES, 0));
    // 4 floats = 16 bytes, the alignment that the device states; 65 and 1 end inside a group.
    const iso_dispatch parts[] = {saxpy(b.x, b.y, 4, 65, 2.0f), saxpy(b.x, b.y, 100, 1, -3.0f),
                                  saxpy(b.x, b.y, 512, 256, 0.5f)};
    iso_list *list = record(&b, parts, 3);
    check(iso_list_submit(list));
    float y[COUNT];
    check(iso_buffer_read(b.y, 0, y, sizeof y));
    for (int i = 0; i < COUNT; i++) {
        float a = i >= 4 && i < 69 ? 2.0f : i == 100 ? -3.0f : i >= 512 && i < 768 ? 0.5f : 0.0f;
        assert_true(y[i] == a * (1.0f + (float)i));
    }
    float two[2] = {0};
    check(iso_buffer_read(b.y, 512 * sizeof(float), two, sizeof two));
    assert_true(two[0] == y[512] && two[1] == y[513]);
    iso_list_destroy(list);
    bench_close(&b);
}

static void test_offsets(void **state)
{
    (void)state;
    for_each_device(offsets_on);
}

// One list, three runs, new input before each; then several runs with no wait between them.
static void replay_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    const iso_dispatch one = saxpy(b.x, b.y, 0, COUNT, 1.0f);
    iso_list *list = record(&b, &one, 1);
    float y[COUNT];
    for (int run = 0; run < 3; run++) {
        write_all(b.x, 100.0f * (float)run);
        check(iso_buffer_fill(b.y, 0, BYTES, 0));
        check(iso_list_submit(list));
        check(iso_buffer_read(b.y, 0, y, sizeof y));
        for (int i = 0; i < COUNT; i++)
            assert_true(y[i] == 100.0f * (float)run + (float)i);
    }
    check(iso_buffer_fill(b.y, 0, BYTES, 0));
    for (int run = 0; run < 7; run++)
        check(iso_list_submit(list));
    // The fill must wait for the runs, and the run after it for the fill.
    check(iso_buffer_fill(b.y, 0, 4, 0));
    check(iso_list_submit(list));
    check(iso_device_wait(b.device));
    check(iso_buffer_read(b.y, 0, y, sizeof y));
    assert_true(y[0] == 200.0f);
    for (int i = 1; i < COUNT; i++)
        assert_true(y[i] == 8.0f * (200.0f + (float)i));
    iso_list_destroy(list);
    bench_close(&b);
}

static void test_replay(void **state)
{
    (void)state;
    for_each_device(replay_on);
}

// Each dispatch needs the result of the one before, over buffers that alternate.
static void chain_on(const char *name)
{
    enum { LENGTH = 20 };
    bench b;
    bench_open(&b, name, false);
    iso_dispatch chain[LENGTH];
    for (int i = 0; i < LENGTH; i++)
        chain[i] = i % 2 == 0 ? saxpy(b.x, b.y, 0, COUNT, 1.0f) : saxpy(b.y, b.x, 0, COUNT, 1.0f);
    const float ones[2] = {1.0f, 0.0f};
    uint32_t bits[2];
    memcpy(bits, ones, sizeof bits);
    check(iso_buffer_fill(b.x, 0, BYTES, bits[0]));
    check(iso_buffer_fill(b.y, 0, BYTES, bits[1]));
    iso_list *list = record(&b, chain, LENGTH);
    check(iso_list_submit(list));
    float x[COUNT], y[COUNT];
    check(iso_buffer_read(b.x, 0, x, sizeof x));
    check(iso_buffer_read(b.y, 0, y, sizeof y));
    // Fibonacci numbers: x, y = 1, 0; y += x; x += y; …
    float want_x = 1.0f, want_y = 0.0f;
    for (int i = 0; i < LENGTH; i++) {
        if (i % 2 == 0)
            want_y += want_x;
        else
            want_x += want_y;
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(x[i] == want_x && y[i] == want_y);
    iso_list_destroy(list);
    bench_close(&b);
}

static void test_barriers(void **state)
{
    (void)state;
    for_each_device(chain_on);
}

// Two kernels by turns in one list. The second is the first with its product made a sum: y += a + x.
static void two_kernels_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    enum { F_MUL = 5 << 16 | 133, F_ADD = 5 << 16 | 129 };
    uint32_t code[sizeof vulkan_saxpy / 4];
    uint32_t changed = 0;
    memcpy(code, vulkan_saxpy, sizeof code);
    for (size_t i = 0; i < sizeof code / 4; i++) {
        if (code[i] == F_MUL) {
            code[i] = F_ADD;
            changed++;
        }
    }
    assert_int_equal(changed, 1);
    iso_module_source source = saxpy_source();
    source.name = "test.sum";
    source.code = code;
    iso_module *sum = NULL;
    check(iso_module_create(b.device, &source, &sum));
    write_all(b.x, 0.0f);
    check(iso_buffer_fill(b.y, 0, BYTES, 0));
    const iso_dispatch dispatch = saxpy(b.x, b.y, 0, COUNT, 10.0f);
    iso_list *list = NULL;
    check(iso_list_create(b.device, &list));
    for (int i = 0; i < 5; i++) {
        check(iso_list_dispatch(list, i % 2 == 0 ? b.module : sum, &dispatch));
        check(iso_list_barrier(list));
    }
    check(iso_list_finish(list));
    check(iso_list_submit(list));
    float y[COUNT];
    check(iso_buffer_read(b.y, 0, y, sizeof y));
    for (int i = 0; i < COUNT; i++)
        assert_true(y[i] == 3.0f * 10.0f * (float)i + 2.0f * (10.0f + (float)i));
    iso_list_destroy(list);
    iso_module_destroy(sum);
    bench_close(&b);
}

static void test_two_kernels(void **state)
{
    (void)state;
    for_each_device(two_kernels_on);
}

// 300 dispatches need more than one query pool; a replay must reset them.
static void times_on(const char *name)
{
    enum { DISPATCHES = 300 };
    bench b;
    bench_open(&b, name, true);
    write_all(b.x, 0.0f);
    check(iso_buffer_fill(b.y, 0, BYTES, 0));
    static iso_dispatch dispatches[DISPATCHES];
    for (int i = 0; i < DISPATCHES; i++)
        dispatches[i] = saxpy(b.x, b.y, 0, COUNT, 1.0f);
    iso_list *list = record(&b, dispatches, DISPATCHES);
    uint64_t ns[DISPATCHES];
    uint32_t count = DISPATCHES;
    assert_int_equal(iso_list_times(list, ns, &count), ISO_INVALID_ARGUMENT); // never ran
    for (int run = 0; run < 2; run++) {
        check(iso_list_submit(list));
        memset(ns, 0xff, sizeof ns);
        count = DISPATCHES;
        check(iso_list_times(list, ns, &count));
        assert_int_equal(count, DISPATCHES);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            assert_true(ns[i] < UINT64_C(10000000000)); // also finds stamps in the wrong order
            sum += ns[i];
        }
        assert_true(sum > 0);
    }
    iso_list_destroy(list);
    bench_close(&b);

    bench_open(&b, name, false);
    const iso_dispatch one = saxpy(b.x, b.y, 0, COUNT, 1.0f);
    list = record(&b, &one, 1);
    check(iso_list_submit(list));
    count = 1;
    assert_int_equal(iso_list_times(list, ns, &count), ISO_INVALID_ARGUMENT);
    iso_list_destroy(list);
    bench_close(&b);
}

static void test_times(void **state)
{
    (void)state;
    for_each_device(times_on);
}

// ---- bad input ----

enum { WORDS = sizeof vulkan_saxpy / 4, HEADER_WORDS = 5 };

// A change to the good code: `bytes` of it are kept, and word `at` becomes `value`.
static const struct damage {
    const char *what;
    size_t bytes;
    size_t at;
    uint32_t value;
    const char *words; // in the text of the failure
} damages[] = {
    {"wrong magic", sizeof vulkan_saxpy, 0, 0xdeadbeef, "0xdeadbeef"},
    {"other byte order", sizeof vulkan_saxpy, 0, 0x03022307, "0x03022307"},
    {"too new", sizeof vulkan_saxpy, 1, 0x00010600, "version"},
    {"one word", 4, 0, 0x07230203, "header"},
    {"only a header", 20, 0, 0x07230203, "entry point"},
    {"odd length", sizeof vulkan_saxpy - 1, 0, 0x07230203, "multiple of 4"},
    {"cut in an instruction", sizeof vulkan_saxpy - 12, 0, 0x07230203, "damaged"},
    {"instruction of no length", sizeof vulkan_saxpy, HEADER_WORDS, 0x00000011, "damaged"},
    {"instruction beyond the end", sizeof vulkan_saxpy, HEADER_WORDS, 0xffff0011, "damaged"},
    {"capability not in use", sizeof vulkan_saxpy, HEADER_WORDS + 1, 2, "capability 2"},
    {"entry point of another kind", sizeof vulkan_saxpy, 19, 4, "entry point"},
    {"other group size", sizeof vulkan_saxpy, 28, 32, "32 x 1 x 1"},
};

static void damage_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        uint32_t code[WORDS];
        memcpy(code, vulkan_saxpy, sizeof code);
        code[damages[i].at] = damages[i].value;
        iso_module_source source = saxpy_source();
        source.code = code;
        source.code_bytes = damages[i].bytes;
        iso_module *module = NULL;
        iso_status status = iso_module_create(b.device, &source, &module);
        const char *text = iso_status_last()->text;
        if (status != ISO_BUILD_FAILED || module != NULL || !strstr(text, damages[i].words) ||
            !strstr(text, "test.saxpy") || !strstr(text, name))
            fail_msg("%s on %s: %s: %s", damages[i].what, name, iso_status_name(status), text);
    }
    bench_close(&b);
}

static void test_damaged_code(void **state)
{
    (void)state;
    for_each_device(damage_on);
}

// Code that begins at an odd address is taken; a capability is taken where the device has the feature.
static void code_forms_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    static unsigned char bytes[sizeof vulkan_saxpy + 1];
    memcpy(bytes + 1, vulkan_saxpy, sizeof vulkan_saxpy);
    iso_module_source source = saxpy_source();
    source.code = bytes + 1;
    iso_module *module = NULL;
    check(iso_module_create(b.device, &source, &module));
    iso_module_destroy(module);

    uint32_t code[WORDS + 2];
    memcpy(code, vulkan_saxpy, HEADER_WORDS * 4);
    code[HEADER_WORDS] = 2u << 16 | 17; // OpCapability Int64
    code[HEADER_WORDS + 1] = 11;
    memcpy(code + HEADER_WORDS + 2, vulkan_saxpy + HEADER_WORDS, sizeof vulkan_saxpy - HEADER_WORDS * 4);
    source.code = code;
    source.code_bytes = sizeof code;
    iso_status status = iso_module_create(b.device, &source, &module);
    if (iso_device_get_info(b.device)->features & ISO_FEATURE_INT64) {
        check(status);
    } else {
        assert_int_equal(status, ISO_BUILD_FAILED);
        assert_non_null(strstr(iso_status_last()->text, "Int64"));
    }
    iso_module_destroy(module);
    bench_close(&b);
}

static void test_code_forms(void **state)
{
    (void)state;
    for_each_device(code_forms_on);
}

static void limits_on(const char *name)
{
    bench b;
    bench_open(&b, name, false);
    const iso_device_info *info = iso_device_get_info(b.device);
    iso_buffer *buffer = NULL;
    assert_int_equal(iso_buffer_create(b.device, info->max_allocation_bytes + 1, &buffer), ISO_UNSUPPORTED);
    assert_null(buffer);

    iso_module_source source = saxpy_source();
    source.arg_count = ISO_MAX_KERNEL_ARGS;
    for (uint32_t i = 0; i < source.arg_count; i++)
        source.arg_kinds[i] = ISO_ARG_BUFFER;
    iso_module *module = NULL;
    if (info->max_argument_bytes < 8 * ISO_MAX_KERNEL_ARGS) {
        assert_int_equal(iso_module_create(b.device, &source, &module), ISO_UNSUPPORTED);
        assert_non_null(strstr(iso_status_last()->text, "192 bytes"));
        assert_null(module);
    }
    bench_close(&b);
}

static void test_limits(void **state)
{
    (void)state;
    for_each_device(limits_on);
}

// ---- several devices ----

// All devices at once in one process, each adding to what the one before it gave.
static void test_all_devices(void **state)
{
    (void)state;
    char names[MOST_DEVICES][32];
    uint32_t count = device_names(names);
    bench benches[MOST_DEVICES];
    iso_list *lists[MOST_DEVICES];
    float y[COUNT] = {0};
    for (uint32_t i = 0; i < count; i++) {
        bench_open(&benches[i], names[i], false);
        write_all(benches[i].x, (float)i);
        const iso_dispatch one = saxpy(benches[i].x, benches[i].y, 0, COUNT, 1.0f);
        lists[i] = record(&benches[i], &one, 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        check(iso_buffer_write(benches[i].y, 0, y, sizeof y));
        check(iso_list_submit(lists[i]));
        check(iso_buffer_read(benches[i].y, 0, y, sizeof y));
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(y[i] == (float)(count * (count - 1) / 2) + (float)count * (float)i);
    for (uint32_t i = 0; i < count; i++) {
        iso_list_destroy(lists[i]);
        bench_close(&benches[i]);
    }
}

// cmocka's assertions belong to its own thread, so this one only counts what went wrong.
static void *run_alone(void *argument)
{
    bench *b = argument;
    uintptr_t errors = 0;
    iso_list *list = NULL;
    const iso_dispatch one = saxpy(b->x, b->y, 0, COUNT, 1.0f);
    errors += iso_list_create(b->device, &list) != ISO_OK;
    errors += iso_list_dispatch(list, b->module, &one) != ISO_OK;
    errors += iso_list_finish(list) != ISO_OK;
    for (int run = 0; run < 20; run++) {
        float y[COUNT];
        errors += iso_buffer_fill(b->y, 0, BYTES, 0) != ISO_OK;
        errors += iso_list_submit(list) != ISO_OK;
        errors += iso_buffer_read(b->y, 0, y, sizeof y) != ISO_OK;
        for (int i = 0; i < COUNT; i++)
            errors += y[i] != 5.0f + (float)i;
    }
    iso_list_destroy(list);
    return (void *)errors;
}

static void test_threads(void **state)
{
    (void)state;
    char names[MOST_DEVICES][32];
    uint32_t count = device_names(names);
    bench benches[MOST_DEVICES];
    pthread_t threads[MOST_DEVICES];
    for (uint32_t i = 0; i < count; i++) {
        bench_open(&benches[i], names[i], false);
        write_all(benches[i].x, 5.0f);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_alone, &benches[i]), 0);
    for (uint32_t i = 0; i < count; i++) {
        void *errors = NULL;
        pthread_join(threads[i], &errors);
        assert_null(errors);
        bench_close(&benches[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),         cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_replay),       cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_two_kernels),  cmocka_unit_test(test_times),
        cmocka_unit_test(test_damaged_code), cmocka_unit_test(test_code_forms),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_all_devices),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
