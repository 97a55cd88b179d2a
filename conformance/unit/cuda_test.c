// SPDX-License-Identifier: MIT
//
// The CUDA backend through the public calls: facts, memory, modules in every form, lists with barriers,
// replay, times, several devices and threads. Against the simulator, or a real driver where
// ISOMER_CUDA_DRIVER names one.
#include "conformance/unit/cuda_fixture.h"

// ---- facts ----

static void test_facts(void **state)
{
    (void)state;
    iso_registry *registry = cuda_registry(NULL);
    uint32_t index;
    check(iso_registry_find(registry, "cuda:0", &index));
    const iso_device_info *info = iso_registry_device_info(registry, index);
    unsigned capability = 0, major = 0, minor = 0;
    assert_int_equal(sscanf(info->arch, "sm_%u", &capability), 1);
    assert_true(capability >= 75);
    assert_int_equal(sscanf(info->driver, "CUDA %u.%u", &major, &minor), 2);
    assert_true(major * 1000 + minor * 10 >= 11040);
    assert_true(info->available);
    assert_true(info->name[0] != '\0');
    assert_true(info->memory_bytes > 0);
    assert_int_equal(info->max_allocation_bytes, info->memory_bytes);
    assert_int_equal(info->buffer_alignment_bytes, 256);
    assert_int_equal(info->max_group_size, 1024);
    assert_int_equal(info->local_memory_bytes, 48 << 10);
    assert_int_equal(info->subgroup_size, 32);
    assert_true(info->compute_units > 0);
    assert_int_equal(info->max_argument_bytes, 4096);
    assert_int_equal(info->features, ISO_FEATURE_F16 | ISO_FEATURE_F64 | ISO_FEATURE_INT64 |
                                         ISO_FEATURE_STORAGE_8_16 | ISO_FEATURE_SUBGROUPS);
    const iso_code_format *formats = info->code_formats;
    formats += formats[0] == ISO_CODE_CUDA_C;
    assert_int_equal(formats[0], ISO_CODE_CUBIN);
    assert_int_equal(formats[1], ISO_CODE_PTX);
    assert_int_equal(formats[2], ISO_CODE_NONE);
    iso_registry_destroy(registry);
}

// ---- lists ----

// x -> y -> z by two dispatches with a barrier between, and the list again without a wait.
static void test_list(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&validating);
    iso_module *next = cuda_module(&bench, "next"), *add_to = cuda_module(&bench, "add_to");
    iso_buffer *x = cuda_floats(&bench, COUNT, index_of), *y = cuda_floats(&bench, COUNT, zero),
               *z = cuda_floats(&bench, COUNT, zero);
    iso_list *list = NULL;
    check(iso_list_create(bench.device, &list));
    const iso_dispatch first = cuda_dispatch("first", COUNT, x, y, 2),
                       second = cuda_dispatch("second", COUNT, y, z, 0);
    check(iso_list_dispatch(list, next, &first));
    check(iso_list_barrier(list));
    check(iso_list_dispatch(list, add_to, &second));
    check(iso_list_finish(list));
    for (int run = 0; run < 3; run++)
        check(iso_list_submit(list));
    check(iso_device_wait(bench.device));
    float values[COUNT];
    check(iso_buffer_read(z, 0, values, sizeof values));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(values[i] == 3 * (2 * (float)i + 1));
    iso_list_destroy(list);
    iso_buffer_release(z);
    iso_buffer_release(y);
    iso_buffer_release(x);
    iso_module_destroy(add_to);
    iso_module_destroy(next);
    cuda_close(&bench);
}

// Spans of several dispatches between barriers: each span reads what all of the one before wrote. Barriers
// with nothing between them, first and last, change nothing.
static void test_barriers(void **state)
{
    (void)state;
    enum { WIDTH = 5, DEPTH = 6 };
    cuda_bench bench = cuda_open(&validating);
    iso_module *next = cuda_module(&bench, "next"), *add_to = cuda_module(&bench, "add_to");
    iso_buffer *lanes[WIDTH], *sum = cuda_floats(&bench, COUNT, zero);
    iso_list *list = NULL;
    check(iso_list_create(bench.device, &list));
    check(iso_list_barrier(list));
    check(iso_list_barrier(list));
    for (uint32_t i = 0; i < WIDTH; i++)
        lanes[i] = cuda_floats(&bench, COUNT, zero);
    for (uint32_t d = 0; d < DEPTH; d++) {
        for (uint32_t i = 0; i < WIDTH; i++) {
            const iso_dispatch dispatch = cuda_dispatch("lane", COUNT, lanes[i], lanes[i], 2);
            check(iso_list_dispatch(list, next, &dispatch));
        }
        check(iso_list_barrier(list));
        for (uint32_t i = 0; i < WIDTH; i++) { // one kernel a span
            const iso_dispatch dispatch = cuda_dispatch("sum", COUNT, lanes[i], sum, 0);
            check(iso_list_dispatch(list, add_to, &dispatch));
            check(iso_list_barrier(list));
        }
        check(iso_list_barrier(list));
    }
    check(iso_list_finish(list));
    check(iso_list_submit(list));
    float values[COUNT], wanted = 0, lane = 0;
    for (uint32_t d = 0; d < DEPTH; d++) {
        lane = 2 * lane + 1;
        wanted += WIDTH * lane;
    }
    check(iso_buffer_read(sum, 0, values, sizeof values));
    for (uint32_t i = 0; i < COUNT; i++)
        if (values[i] != wanted)
            fail_msg("element %u is %g, %g is right", i, (double)values[i], (double)wanted);
    iso_list_destroy(list);
    for (uint32_t i = 0; i < WIDTH; i++)
        iso_buffer_release(lanes[i]);
    iso_buffer_release(sum);
    iso_module_destroy(add_to);
    iso_module_destroy(next);
    cuda_close(&bench);
}

static void test_empty_list(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&(iso_device_options){.profile = true});
    iso_list *list = NULL;
    check(iso_list_create(bench.device, &list));
    check(iso_list_barrier(list));
    check(iso_list_finish(list));
    check(iso_list_submit(list));
    check(iso_list_submit(list));
    check(iso_device_wait(bench.device));
    uint64_t times[1];
    uint32_t count = 1;
    check(iso_list_times(list, times, &count));
    assert_int_equal(count, 0);
    iso_list_destroy(list);
    check(iso_list_create(bench.device, &list)); // never finished
    iso_list_destroy(list);
    cuda_close(&bench);
}

static void test_group_limits(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&validating);
    iso_module *next = cuda_module(&bench, "next");
    iso_buffer *x = cuda_floats(&bench, COUNT, index_of);
    iso_list *list = NULL;
    check(iso_list_create(bench.device, &list));
    iso_dispatch dispatch = cuda_dispatch("the.kernel", COUNT, x, x, 2);
    dispatch.groups[1] = 65536;
    check_fails(iso_list_dispatch(list, next, &dispatch), ISO_UNSUPPORTED, "the.kernel");
    check_fails(iso_list_dispatch(list, next, &dispatch), ISO_UNSUPPORTED, "65535 groups along y");
    dispatch.groups[1] = 1;
    dispatch.groups[2] = 65536;
    check_fails(iso_list_dispatch(list, next, &dispatch), ISO_UNSUPPORTED, "65535 groups along z");
    dispatch.groups[2] = 1;
    dispatch.groups[0] = UINT32_C(1) << 31;
    check_fails(iso_list_dispatch(list, next, &dispatch), ISO_UNSUPPORTED, "2147483647 groups along x");
    iso_list_destroy(list);
    iso_buffer_release(x);
    iso_module_destroy(next);
    cuda_close(&bench);
}

static void test_times(void **state)
{
    (void)state;
    enum { DISPATCHES = 7 };
    cuda_bench bench = cuda_open(&(iso_device_options){.profile = true});
    iso_module *next = cuda_module(&bench, "next");
    iso_buffer *x = cuda_floats(&bench, COUNT, index_of);
    iso_list *list = NULL;
    check(iso_list_create(bench.device, &list));
    for (int i = 0; i < DISPATCHES; i++) {
        const iso_dispatch dispatch = cuda_dispatch("next", COUNT, x, x, 1);
        check(iso_list_dispatch(list, next, &dispatch));
        if (i % 3 == 0)
            check(iso_list_barrier(list));
    }
    check(iso_list_finish(list));
    uint64_t times[DISPATCHES];
    uint32_t count = DISPATCHES;
    check_fails(iso_list_times(list, times, &count), ISO_INVALID_ARGUMENT, "never submitted");
    check(iso_list_submit(list));
    check(iso_list_submit(list));
    memset(times, 0, sizeof times);
    count = DISPATCHES;
    check(iso_list_times(list, times, &count));
    assert_int_equal(count, DISPATCHES);
    for (int i = 0; i < DISPATCHES; i++)
        assert_true(times[i] > 0 && times[i] < UINT64_C(60000000000));
    float values[COUNT];
    check(iso_buffer_read(x, 0, values, sizeof values));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(values[i] == (float)i + 2 * DISPATCHES);
    iso_list_destroy(list);
    iso_buffer_release(x);
    iso_module_destroy(next);
    cuda_close(&bench);

    bench = cuda_open(&validating);
    check(iso_list_create(bench.device, &list));
    check(iso_list_finish(list));
    check(iso_list_submit(list));
    count = 0;
    check_fails(iso_list_times(list, times, &count), ISO_INVALID_ARGUMENT, "profile");
    iso_list_destroy(list);
    cuda_close(&bench);
}

// ---- memory ----

static unsigned char byte_of(uint64_t index, uint32_t seed)
{
    return (unsigned char)((index * 2654435761u >> 7) + seed);
}

// Sizes around the pinned chunks', at odd offsets; what lies beside a write stays as it was.
static void test_transfers(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {
        1, 3, 4096, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 8 << 20, (8 << 20) + 5, (13 << 20) + 7};
    enum { ROOM = 16 << 20, OFFSET = 12345 };
    cuda_bench bench = cuda_open(&validating);
    iso_buffer *buffer = NULL;
    check(iso_buffer_create(bench.device, ROOM, &buffer));
    unsigned char *source = malloc(ROOM), *target = malloc(ROOM);
    assert_non_null(source);
    assert_non_null(target);
    for (uint32_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        check(iso_buffer_fill(buffer, 0, ROOM, 0x5a5a5a5a));
        for (uint64_t i = 0; i < sizes[s]; i++)
            source[i] = byte_of(i, s);
        check(iso_buffer_write(buffer, OFFSET, source, sizes[s]));
        memset(source, 0, sizes[s]); // may be reused at once
        memset(target, 0xee, ROOM);
        check(iso_buffer_read(buffer, OFFSET, target, sizes[s]));
        for (uint64_t i = 0; i < sizes[s]; i++)
            assert_int_equal(target[i], byte_of(i, s));
        assert_int_equal(target[sizes[s]], 0xee);
        unsigned char beside[2];
        check(iso_buffer_read(buffer, OFFSET - 1, &beside[0], 1));
        check(iso_buffer_read(buffer, OFFSET + sizes[s], &beside[1], 1));
        assert_int_equal(beside[0], 0x5a);
        assert_int_equal(beside[1], 0x5a);
    }
    check(iso_buffer_fill(buffer, 8, 12, 0x01020304));
    check(iso_buffer_read(buffer, 4, target, 20));
    static const unsigned char wanted[20] = {0x5a, 0x5a, 0x5a, 0x5a, 4, 3, 2,    1,    4,    3,
                                             2,    1,    4,    3,    2, 1, 0x5a, 0x5a, 0x5a, 0x5a};
    assert_memory_equal(target, wanted, sizeof wanted);
    free(target);
    free(source);
    iso_buffer_release(buffer);
    cuda_close(&bench);
}

// Buffers that lists in flight use may go as soon as their list is destroyed.
static void test_release_in_flight(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&validating);
    for (int i = 0; i < 3; i++) {
        iso_module *next = cuda_module(&bench, "next");
        iso_buffer *x = cuda_floats(&bench, COUNT, index_of);
        const iso_dispatch dispatch = cuda_dispatch("next", COUNT, x, x, 1);
        iso_list *list = NULL;
        check(iso_list_create(bench.device, &list));
        check(iso_list_dispatch(list, next, &dispatch));
        check(iso_list_finish(list));
        check(iso_list_submit(list));
        if (i == 1)
            iso_module_destroy(next);
        iso_list_destroy(list);
        iso_buffer_release(x);
        if (i != 1)
            iso_module_destroy(next);
    }
    cuda_close(&bench);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_list),
        cmocka_unit_test(test_barriers),     cmocka_unit_test(test_empty_list),
        cmocka_unit_test(test_group_limits), cmocka_unit_test(test_times),
        cmocka_unit_test(test_transfers),    cmocka_unit_test(test_release_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return cuda_run_watched(run_group);
}
