// SPDX-License-Identifier: MIT
//
// Unit tests of the CPU backend with kernels written for them (groups, arguments, order, threads, scratch),
// of runtime/device/validation.c, and of host memory that runs out: a replay must not want any.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "isomer/device.h"

static iso_registry *registry;

static int create_registry(void **state)
{
    (void)state;
    return iso_registry_create(NULL, &registry) != ISO_OK;
}

static int destroy_registry(void **state)
{
    (void)state;
    iso_registry_destroy(registry);
    return 0;
}

static void assert_text_has(const char *fragment)
{
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

// ---- kernels on the CPU ----

// out[i] = a[i] * factor + bias, one group for each 16 elements; uses its scratch so that
// sharing it would show.
static void run_scale(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t count = args[0].u32;
    const float *a = args[1].pointer;
    float *out = args[2].pointer;
    float *tile = group->scratch;
    uint32_t first = group->id[0] * 16;
    for (uint32_t i = first; i < first + 16 && i < count; i++)
        tile[i - first] = a[i] * args[3].f32;
    for (uint32_t i = first; i < first + 16 && i < count; i++)
        out[i] = tile[i - first] + (float)args[4].u32;
}

// Writes its own number into its own place, and counts how often it ran.
static void run_where(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t *out = args[1].pointer;
    uint64_t place =
        ((uint64_t)group->id[2] * group->count[1] + group->id[1]) * group->count[0] + group->id[0];
    out[2 * place] = group->id[0] | group->id[1] << 10 | group->id[2] << 20;
    out[2 * place + 1]++;
}

// A slow group: enough work that sharing pays.
static void run_busy(const iso_native_group *group, const iso_native_arg *args)
{
    volatile uint32_t sum = 0;
    for (uint32_t i = 0; i < args[0].u32; i++)
        sum += i;
    ((uint32_t *)args[1].pointer)[group->id[0]] += sum;
}

static const iso_native_kernel scale_kernel = {run_scale, 64};
static const iso_native_kernel where_kernel = {run_where, 0};
static const iso_native_kernel busy_kernel = {run_busy, 0};

static const iso_module_source scale_source = {
    .name = "scale.cpu.test",
    .entry = "scale",
    .format = ISO_CODE_NATIVE,
    .native = &scale_kernel,
    .group_size = 1,
    .arg_count = 5,
    .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER, ISO_ARG_BUFFER, ISO_ARG_F32, ISO_ARG_U32}};
static const iso_module_source where_source = {.name = "where.cpu.test",
                                               .entry = "where",
                                               .format = ISO_CODE_NATIVE,
                                               .native = &where_kernel,
                                               .group_size = 1,
                                               .arg_count = 2,
                                               .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER}};
static const iso_module_source busy_source = {.name = "busy.cpu.test",
                                              .entry = "busy",
                                              .format = ISO_CODE_NATIVE,
                                              .native = &busy_kernel,
                                              .group_size = 1,
                                              .arg_count = 2,
                                              .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER}};

static iso_arg buffer_arg(const iso_buffer *buffer, uint64_t offset_bytes)
{
    const iso_memory *memory = iso_buffer_memory(buffer);
    return (iso_arg){.kind = ISO_ARG_BUFFER,
                     .memory = memory,
                     .offset_bytes = offset_bytes,
                     .range_bytes = memory->bytes - offset_bytes};
}

static iso_arg u32_arg(uint32_t value)
{
    return (iso_arg){.kind = ISO_ARG_U32, .value.u32 = value};
}

static iso_arg f32_arg(float value)
{
    return (iso_arg){.kind = ISO_ARG_F32, .value.f32 = value};
}

static const uint32_t thread_counts[] = {1, 2, 5};
#define THREAD_CASES (sizeof thread_counts / sizeof thread_counts[0])

static iso_device *open_cpu(uint32_t thread_count, bool profile)
{
    iso_device *device = NULL;
    iso_device_options options = {.thread_count = thread_count, .validate = true, .profile = profile};
    if (iso_device_open(registry, "cpu", &options, &device) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    assert_string_equal(iso_device_name(device), "cpu");
    return device;
}

// Two dependent launches with a barrier between, replayed with changed input: y = (x * 2 + 1) * 3 + 5.
static void run_dependent_launches(iso_device *device)
{
    enum { COUNT = 1003, GROUPS = (COUNT + 15) / 16, OFFSET = 64 };
    static float values[COUNT];
    iso_buffer *x, *middle, *y;
    iso_module *module;
    iso_list *list;
    assert_int_equal(iso_buffer_create(device, sizeof values + OFFSET, &x), ISO_OK);
    assert_int_equal(iso_buffer_create(device, sizeof values, &middle), ISO_OK);
    assert_int_equal(iso_buffer_create(device, sizeof values, &y), ISO_OK);
    assert_int_equal(iso_module_create(device, &scale_source, &module), ISO_OK);
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    iso_dispatch first = {
        .label = "first",
        .groups = {GROUPS, 1, 1},
        .arg_count = 5,
        .args = {u32_arg(COUNT), buffer_arg(x, OFFSET), buffer_arg(middle, 0), f32_arg(2), u32_arg(1)}};
    iso_dispatch second = {
        .label = "second",
        .groups = {GROUPS, 1, 1},
        .arg_count = 5,
        .args = {u32_arg(COUNT), buffer_arg(middle, 0), buffer_arg(y, 0), f32_arg(3), u32_arg(5)}};
    assert_int_equal(iso_list_dispatch(list, module, &first), ISO_OK);
    memset(&first, 0xff, sizeof first); // the list has taken all it needs
    assert_int_equal(iso_list_barrier(list), ISO_OK);
    assert_int_equal(iso_list_dispatch(list, module, &second), ISO_OK);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < COUNT; i++)
            values[i] = (float)(i + round);
        assert_int_equal(iso_buffer_write(x, OFFSET, values, sizeof values), ISO_OK);
        assert_int_equal(iso_list_submit(list), ISO_OK);
        assert_int_equal(iso_buffer_read(y, 0, values, sizeof values), ISO_OK);
        for (int i = 0; i < COUNT; i++)
            assert_true(values[i] == (float)((i + round) * 6 + 8));
    }
    iso_list_destroy(list);
    iso_module_destroy(module);
    iso_buffer_release(x);
    iso_buffer_release(middle);
    iso_buffer_release(y);
}

static void test_cpu_dependent_launches(void **state)
{
    (void)state;
    for (size_t i = 0; i < THREAD_CASES; i++) {
        iso_device *device = open_cpu(thread_counts[i], false);
        run_dependent_launches(device);
        iso_device_close(device);
    }
}

// Every group of a 3-d launch runs once, with its own number; also shapes with less groups than threads.
static void run_shape(iso_device *device, iso_module *module, uint32_t x, uint32_t y, uint32_t z)
{
    enum { ROUNDS = 3 };
    uint32_t count = x * y * z;
    uint32_t *got = calloc(count, 2 * sizeof *got);
    assert_non_null(got);
    iso_buffer *buffer;
    iso_list *list;
    assert_int_equal(iso_buffer_create(device, 8ull * count, &buffer), ISO_OK);
    assert_int_equal(iso_buffer_fill(buffer, 0, 8ull * count, 0), ISO_OK);
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    iso_dispatch dispatch = {.label = "where",
                             .groups = {x, y, z},
                             .arg_count = 2,
                             .args = {u32_arg(count), buffer_arg(buffer, 0)}};
    assert_int_equal(iso_list_dispatch(list, module, &dispatch), ISO_OK);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    for (int round = 0; round < ROUNDS; round++)
        assert_int_equal(iso_list_submit(list), ISO_OK);
    assert_int_equal(iso_device_wait(device), ISO_OK);
    assert_int_equal(iso_buffer_read(buffer, 0, got, 8ull * count), ISO_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(got[2 * i], i % x | i / x % y << 10 | i / x / y << 20);
        assert_int_equal(got[2 * i + 1], ROUNDS);
    }
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    free(got);
}

static void test_cpu_three_dimensions(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {{1, 1, 1}, {2, 1, 1},   {1, 3, 1},   {1, 1, 5},
                                         {7, 5, 3}, {257, 2, 1}, {31, 37, 11}};
    for (size_t i = 0; i < THREAD_CASES; i++) {
        iso_device *device = open_cpu(thread_counts[i], false);
        iso_module *module;
        assert_int_equal(iso_module_create(device, &where_source, &module), ISO_OK);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            run_shape(device, module, shapes[s][0], shapes[s][1], shapes[s][2]);
        iso_module_destroy(module);
        iso_device_close(device);
    }
}

// Tiny and heavy launches in turns: workers sleep, spin and join late; no group may be lost or run twice.
static void test_cpu_mixed_launches(void **state)
{
    (void)state;
    enum { LAUNCHES = 60, GROUPS = 12, ROUNDS = 40 };
    for (size_t t = 0; t < THREAD_CASES; t++) {
        iso_device *device = open_cpu(thread_counts[t], true);
        iso_module *module;
        iso_buffer *buffer;
        iso_list *list;
        uint32_t got[GROUPS], expected = 0;
        assert_int_equal(iso_module_create(device, &busy_source, &module), ISO_OK);
        assert_int_equal(iso_buffer_create(device, sizeof got, &buffer), ISO_OK);
        assert_int_equal(iso_buffer_fill(buffer, 0, sizeof got, 0), ISO_OK);
        assert_int_equal(iso_list_create(device, &list), ISO_OK);
        for (uint32_t i = 0; i < LAUNCHES; i++) {
            uint32_t loops = i % 7 == 0 ? 5000 : 10 + i;
            iso_dispatch dispatch = {.label = "busy",
                                     .groups = {GROUPS, 1, 1},
                                     .arg_count = 2,
                                     .args = {u32_arg(loops), buffer_arg(buffer, 0)}};
            expected += loops * (loops - 1) / 2;
            assert_int_equal(iso_list_dispatch(list, module, &dispatch), ISO_OK);
            assert_int_equal(iso_list_barrier(list), ISO_OK);
        }
        assert_int_equal(iso_list_finish(list), ISO_OK);
        for (int round = 0; round < ROUNDS; round++)
            assert_int_equal(iso_list_submit(list), ISO_OK);
        assert_int_equal(iso_buffer_read(buffer, 0, got, sizeof got), ISO_OK);
        for (int i = 0; i < GROUPS; i++)
            assert_int_equal(got[i], expected * ROUNDS);
        uint64_t ns[LAUNCHES];
        uint32_t count = LAUNCHES - 1;
        assert_int_equal(iso_list_times(list, ns, &count), ISO_INVALID_ARGUMENT);
        count = LAUNCHES;
        assert_int_equal(iso_list_times(list, ns, &count), ISO_OK);
        assert_int_equal(count, LAUNCHES);
        assert_true(ns[0] > 0 && ns[7] > 0);
        iso_list_destroy(list);
        iso_module_destroy(module);
        iso_buffer_release(buffer);
        iso_device_close(device);
    }
}

// ---- several threads, without leaving it to chance ----

static pthread_t calling_thread;
static atomic_int arrived;

static bool wait_for_arrivals(int count)
{
    const struct timespec nap = {.tv_nsec = 200000};
    for (int i = 0; i < 25000 && atomic_load(&arrived) < count; i++)
        nanosleep(&nap, NULL);
    return atomic_load(&arrived) >= count;
}

// Holds its thread until all groups have begun, each then on a thread of its own, and looks whether another
// one has written into its scratch.
static void run_meet(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t *out = args[0].pointer;
    uint32_t *scratch = group->scratch;
    for (int i = 0; i < 16; i++)
        scratch[i] = group->id[0];
    atomic_fetch_add(&arrived, 1);
    bool together = wait_for_arrivals((int)group->count[0]);
    for (int i = 0; i < 16; i++)
        together = together && scratch[i] == group->id[0];
    out[group->id[0]] = together && (uintptr_t)scratch % 64 == 0;
}

// Quick on the calling thread, late on a worker: submit must not return before the worker is done. The first
// group on the calling thread waits for a worker to have one.
static void run_late(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t *out = args[0].pointer;
    if (pthread_equal(pthread_self(), calling_thread)) {
        (void)wait_for_arrivals(1);
    } else {
        const struct timespec late = {.tv_nsec = 20000000};
        atomic_fetch_add(&arrived, 1);
        nanosleep(&late, NULL);
    }
    out[group->id[0]] = 1;
}

static const iso_native_kernel meet_kernel = {run_meet, 64};
static const iso_native_kernel late_kernel = {run_late, 0};

static void check_threads(const iso_native_kernel *kernel, uint32_t groups)
{
    enum { ROUNDS = 3, MOST = 8 };
    iso_device *device = open_cpu(4, false);
    iso_module_source source = {.name = "threads.cpu.test",
                                .entry = "threads",
                                .format = ISO_CODE_NATIVE,
                                .native = kernel,
                                .group_size = 1,
                                .arg_count = 1,
                                .arg_kinds = {ISO_ARG_BUFFER}};
    iso_module *module;
    iso_buffer *buffer;
    iso_list *list;
    uint32_t got[MOST];
    assert_int_equal(iso_module_create(device, &source, &module), ISO_OK);
    assert_int_equal(iso_buffer_create(device, sizeof got, &buffer), ISO_OK);
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    iso_dispatch dispatch = {
        .label = "threads", .groups = {groups, 1, 1}, .arg_count = 1, .args = {buffer_arg(buffer, 0)}};
    assert_int_equal(iso_list_dispatch(list, module, &dispatch), ISO_OK);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    calling_thread = pthread_self();
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(iso_buffer_fill(buffer, 0, sizeof got, 0), ISO_OK);
        atomic_store(&arrived, 0);
        assert_int_equal(iso_list_submit(list), ISO_OK);
        assert_int_equal(iso_buffer_read(buffer, 0, got, sizeof got), ISO_OK);
        for (uint32_t i = 0; i < groups; i++)
            assert_int_equal(got[i], 1);
    }
    iso_list_destroy(list);
    iso_module_destroy(module);
    iso_buffer_release(buffer);
    iso_device_close(device);
}

static void test_cpu_threads_have_their_own_scratch(void **state)
{
    (void)state;
    check_threads(&meet_kernel, 4);
}

static void test_cpu_submit_waits_for_all(void **state)
{
    (void)state;
    check_threads(&late_kernel, 8);
}

static void test_cpu_isa_variable(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint32_t forbidden; // features that must not be there
    } cases[] = {{"generic", ISO_FEATURE_NATIVE_AVX2 | ISO_FEATURE_NATIVE_AVX512},
                 {"avx2", ISO_FEATURE_NATIVE_AVX512}};
    iso_registry *other;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("ISOMER_CPU_ISA", cases[i].value, 1);
        assert_int_equal(iso_registry_create(NULL, &other), ISO_OK);
        const iso_device_info *info = iso_registry_device_info(other, 0);
        assert_int_equal(info->features & cases[i].forbidden, 0);
        assert_true(info->available || i > 0);
        iso_registry_destroy(other);
    }
    setenv("ISOMER_CPU_ISA", "sse9", 1);
    assert_int_equal(iso_registry_create(NULL, &other), ISO_OK);
    iso_device *device;
    assert_int_equal(iso_device_open(other, "cpu", NULL, &device), ISO_UNAVAILABLE);
    assert_text_has("sse9");
    assert_text_has("generic, avx2 or avx512");
    iso_registry_destroy(other);
    unsetenv("ISOMER_CPU_ISA");
    iso_device_options many = {.thread_count = 100000};
    assert_int_equal(iso_device_open(registry, "cpu", &many, &device), ISO_INVALID_ARGUMENT);
    assert_text_has("thread_count is 100000");
}

// ---- validation ----

static void test_validation_refuses(void **state)
{
    (void)state;
    iso_device *device = open_cpu(1, false), *other = open_cpu(1, false);
    iso_module *module, *bad;
    iso_buffer *buffer, *foreign, *dead;
    iso_list *list;
    assert_int_equal(iso_module_create(device, &where_source, &module), ISO_OK);
    assert_int_equal(iso_buffer_create(device, 256, &buffer), ISO_OK);
    assert_int_equal(iso_buffer_create(other, 256, &foreign), ISO_OK);
    assert_int_equal(iso_list_create(device, &list), ISO_OK);

    iso_module_source source = where_source;
    source.group_size = 0;
    assert_int_equal(iso_module_create(device, &source, &bad), ISO_INVALID_ARGUMENT);
    source = where_source;
    source.native = NULL;
    assert_int_equal(iso_module_create(device, &source, &bad), ISO_INVALID_ARGUMENT);
    source = where_source;
    source.arg_count = ISO_MAX_KERNEL_ARGS + 1;
    assert_int_equal(iso_module_create(device, &source, &bad), ISO_INVALID_ARGUMENT);

    const iso_dispatch good = {
        .label = "where", .groups = {1, 1, 1}, .arg_count = 2, .args = {u32_arg(1), buffer_arg(buffer, 64)}};
    assert_int_equal(iso_list_dispatch(list, module, &good), ISO_OK);
    iso_dispatch wrong = good;
    wrong.arg_count = 1;
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    wrong = good;
    wrong.groups[1] = 0;
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    wrong = good;
    wrong.args[0] = f32_arg(1);
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    assert_text_has("argument 0");
    wrong = good;
    wrong.args[1].memory = NULL;
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    wrong = good;
    wrong.args[1].range_bytes = 193;
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    wrong.args[1].range_bytes = 0;
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    wrong.args[1] = buffer_arg(foreign, 0);
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);
    assert_text_has("no living buffer");
    assert_int_equal(iso_buffer_create(device, 256, &dead), ISO_OK);
    wrong.args[1] = buffer_arg(dead, 0);
    iso_buffer_release(dead);
    assert_int_equal(iso_list_dispatch(list, module, &wrong), ISO_INVALID_ARGUMENT);

    iso_list_destroy(list);
    iso_module_destroy(module);
    iso_buffer_release(buffer);
    iso_buffer_release(foreign);
    iso_device_close(device);
    iso_device_close(other);
}

static void test_validation_poisons(void **state)
{
    (void)state;
    iso_device *device = open_cpu(1, false);
    iso_buffer *buffer;
    float value = 0;
    assert_int_equal(iso_buffer_create(device, 7, &buffer), ISO_OK);
    assert_int_equal(iso_buffer_read(buffer, 0, &value, 4), ISO_OK);
    assert_true(value != value);
    iso_buffer_release(buffer);
    iso_device_close(device);
}

// ---- memory that runs out ----

typedef struct limited_heap {
    long left; // allocations until one fails; negative: none fails
    long living;
} limited_heap;

static void *limited_resize(void *context, void *memory, size_t bytes)
{
    limited_heap *heap = context;
    if (heap->left == 0)
        return NULL;
    heap->left--;
    void *resized = realloc(memory, bytes);
    if (resized && !memory)
        __atomic_fetch_add(&heap->living, 1, __ATOMIC_SEQ_CST);
    return resized;
}

static void limited_release(void *context, void *memory)
{
    limited_heap *heap = context;
    if (memory)
        __atomic_fetch_sub(&heap->living, 1, __ATOMIC_SEQ_CST);
    free(memory);
}

static iso_status short_run(iso_registry *used, const iso_allocator *allocator, limited_heap *heap)
{
    iso_device *device = NULL;
    iso_buffer *buffer = NULL;
    iso_module *module = NULL;
    iso_list *list = NULL;
    iso_device_options options = {.allocator = allocator, .thread_count = 3, .validate = true};
    iso_status status = iso_device_open(used, "cpu", &options, &device);
    if (status == ISO_OK)
        status = iso_buffer_create(device, 4096, &buffer);
    if (status == ISO_OK)
        status = iso_module_create(device, &scale_source, &module);
    if (status == ISO_OK)
        status = iso_list_create(device, &list);
    for (int i = 0; i < 20 && status == ISO_OK; i++) {
        iso_dispatch dispatch = {
            .label = "scale",
            .groups = {4, 1, 1},
            .arg_count = 5,
            .args = {u32_arg(64), buffer_arg(buffer, 0), buffer_arg(buffer, 1024), f32_arg(1), u32_arg(0)}};
        status = iso_list_dispatch(list, module, &dispatch);
    }
    if (status == ISO_OK)
        status = iso_list_finish(list);
    if (status == ISO_OK) {
        // A replay allocates nothing: it works when nothing is left.
        long left = heap->left;
        heap->left = 0;
        for (int i = 0; i < 3 && status == ISO_OK; i++)
            status = iso_list_submit(list);
        heap->left = left;
    }
    iso_list_destroy(list);
    iso_module_destroy(module);
    iso_buffer_release(buffer);
    iso_device_close(device);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    long n = 0;
    for (;; n++) {
        limited_heap heap = {.left = n};
        iso_allocator allocator = {&heap, limited_resize, limited_release};
        iso_status status = short_run(registry, &allocator, &heap);
        assert_int_equal(heap.living, 0);
        if (status == ISO_OK)
            break;
        assert_int_equal(status, ISO_OUT_OF_MEMORY);
        assert_true(n < 1000);
    }
    assert_true(n > 10); // or the allocator was not used
}

static void test_registry_without_memory(void **state)
{
    (void)state;
    for (long n = 0; n < 6; n++) {
        limited_heap heap = {.left = n};
        iso_allocator allocator = {&heap, limited_resize, limited_release};
        iso_registry *other;
        iso_status status = iso_registry_create(&allocator, &other);
        assert_true(status == ISO_OK || status == ISO_OUT_OF_MEMORY);
        iso_registry_destroy(other);
        assert_int_equal(heap.living, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_dependent_launches),
        cmocka_unit_test(test_cpu_three_dimensions),
        cmocka_unit_test(test_cpu_mixed_launches),
        cmocka_unit_test(test_cpu_threads_have_their_own_scratch),
        cmocka_unit_test(test_cpu_submit_waits_for_all),
        cmocka_unit_test(test_cpu_isa_variable),
        cmocka_unit_test(test_validation_refuses),
        cmocka_unit_test(test_validation_poisons),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_registry_without_memory),
    };
    return cmocka_run_group_tests(tests, create_registry, destroy_registry);
}
