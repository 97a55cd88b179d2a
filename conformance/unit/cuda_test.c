// SPDX-License-Identifier: MIT
//
// The CUDA backend through the public calls: facts, memory, modules in every form, lists with barriers,
// replay, times, several devices and threads. Against the simulator, or a real driver where
// ISOMER_CUDA_DRIVER names one.
#include <pthread.h>

#include "conformance/unit/cuda_fixture.h"

enum { COUNT = 1000 };

static float index_of(uint32_t i)
{
    return (float)i;
}

static float zero(uint32_t i)
{
    (void)i;
    return 0;
}

static const iso_device_options validating = {.validate = true};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
