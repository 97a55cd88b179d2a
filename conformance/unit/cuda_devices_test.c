// SPDX-License-Identifier: MIT
//
// CUDA devices beside each other and beside a program that uses CUDA itself, on several threads; and the
// registry's option that names a driver's library.
#include <pthread.h>

#include "conformance/unit/cuda_fixture.h"
#include "conformance/unit/cuda_host.h"

// ---- several devices ----

// The same device opened twice: each has buffers, lists and a stream of its own.
static void test_two_devices(void **state)
{
    (void)state;
    cuda_bench first = cuda_open(&validating), second = {.registry = first.registry};
    check(iso_device_open(second.registry, "cuda:0", &validating, &second.device));
    iso_module *a = cuda_module(&first, "next"), *b = cuda_module(&second, "next");
    expect_next(&first, a);
    expect_next(&second, b);
    iso_module_destroy(a);
    iso_device_close(first.device);
    expect_next(&second, b); // the other's end takes nothing away
    iso_module_destroy(b);
    cuda_close(&second);
}

static void *run_thread(void *result)
{
    cuda_bench bench = cuda_open(&validating);
    for (int i = 0; i < 20; i++) {
        iso_module *next = cuda_module(&bench, "next");
        expect_next(&bench, next);
        iso_module_destroy(next);
    }
    cuda_close(&bench);
    *(bool *)result = true;
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    if (!cuda_driver_path())
        iso_registry_destroy(cuda_registry(NULL)); // skips
    pthread_t threads[THREADS];
    bool ran[THREADS] = {false};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, &ran[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(ran[i]);
    }
}

// A device made on one thread and used, never at once, on another.
static void *use_elsewhere(void *bench)
{
    iso_module *next = cuda_module(bench, "next");
    expect_next(bench, next);
    iso_module_destroy(next);
    return NULL;
}

static void test_other_thread(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&validating);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_elsewhere, &bench), 0);
    pthread_join(thread, NULL);
    use_elsewhere(&bench);
    cuda_close(&bench);
}

// ---- beside a program that uses CUDA itself ----

static void test_beside_a_program(void **state)
{
    (void)state;
    iso_registry_destroy(cuda_registry(NULL));
    host_program program = load_host_program();
    void *context = NULL, *current = NULL;
    unsigned long long address = 0;
    assert_int_equal(program.init(0), 0);
    assert_int_equal(program.retain(&context, 0), 0);
    assert_int_equal(program.set_current(context), 0);
    assert_int_equal(program.alloc(&address, 4096), 0);

    cuda_bench bench = cuda_open(&validating);
    iso_module *next = cuda_module(&bench, "next");
    expect_next(&bench, next);
    assert_int_equal(program.get_current(&current), 0);
    assert_ptr_equal(current, context);
    assert_int_equal(program.set_current(NULL), 0);
    expect_next(&bench, next);
    assert_int_equal(program.get_current(&current), 0);
    assert_null(current);
    iso_module_destroy(next);
    cuda_close(&bench);

    // The program's context and memory are still there.
    assert_int_equal(program.set_current(context), 0);
    assert_int_equal(program.release_memory(address), 0);
    assert_int_equal(program.set_current(NULL), 0);
    assert_int_equal(program.release(0), 0);
}

// ---- the registry's option ----

static void test_option(void **state)
{
    (void)state;
    const char *const names[] = {"cuda"};
    iso_backend_library library = {"cuda", "/nowhere/libcuda.so"};
    iso_registry_options options = {
        .names = names, .name_count = 1, .libraries = &library, .library_count = 1};
    iso_registry *registry = NULL;
    const char *reason = NULL;
    check(iso_registry_create_with(&options, &registry));
    for (uint32_t i = 0; i < iso_registry_backend_count(registry) && !reason; i++)
        if (strcmp(iso_registry_backend(registry, i, NULL), "cuda") == 0)
            iso_registry_backend(registry, i, &reason);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "the program: "));
    assert_non_null(strstr(reason, "/nowhere/libcuda.so"));
    iso_registry_destroy(registry);

    library.path = "";
    check_fails(iso_registry_create_with(&options, &registry), ISO_INVALID_ARGUMENT, "for cuda, has no path");
    library.path = NULL;
    check_fails(iso_registry_create_with(&options, &registry), ISO_INVALID_ARGUMENT, "for cuda, has no path");
    library = (iso_backend_library){"abacus", "/nowhere"};
    check_fails(iso_registry_create_with(&options, &registry), ISO_INVALID_ARGUMENT, "\"abacus\"");
    library = (iso_backend_library){NULL, "/nowhere"};
    check_fails(iso_registry_create_with(&options, &registry), ISO_INVALID_ARGUMENT, "libraries[0]");
    static const char *const without[] = {"cpu", "sim", "null"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        library = (iso_backend_library){without[i], "/nowhere"};
        options.names = &without[i];
        check_fails(iso_registry_create_with(&options, &registry), ISO_INVALID_ARGUMENT, "opens no library");
        assert_null(registry);
    }
    static const char *const with[][2] = {{"opencl", "/nowhere"}, {"vulkan", "named by the program"}};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        library = (iso_backend_library){with[i][0], "/nowhere"};
        options.names = &with[i][0];
        uint32_t index;
        check(iso_registry_create_with(&options, &registry));
        check_fails(iso_registry_find(registry, with[i][0], &index), ISO_NOT_FOUND, with[i][1]);
        iso_registry_destroy(registry);
    }
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_devices),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_other_thread), cmocka_unit_test(test_beside_a_program),
        cmocka_unit_test(test_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return cuda_run_watched(run_group);
}
