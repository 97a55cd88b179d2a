// SPDX-License-Identifier: MIT
//
// Unit tests of the registry, and of what every backend promises: the same contract is run on each device
// that is here. Kernels are tested elsewhere: on the CPU by cpu_test.c, on all devices by the op suite.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "isomer/device.h"
#include "runtime/device/device_internal.h"

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

// ---- registry ----

static void test_backends_say_why(void **state)
{
    (void)state;
    assert_true(iso_registry_backend_count(registry) >= 2);
    for (uint32_t i = 0; i < iso_registry_backend_count(registry); i++) {
        const char *reason = "unset";
        const char *name = iso_registry_backend(registry, i, &reason);
        assert_non_null(name);
        if (reason) {
            assert_true(strlen(reason) > 0);
            print_message("%s: %s\n", name, reason);
        }
    }
    assert_null(iso_registry_backend(registry, 1000, NULL));
    assert_null(iso_registry_device_info(registry, 1000));
}

static void test_find_by_name(void **state)
{
    (void)state;
    uint32_t index, again;
    assert_int_equal(iso_registry_find(registry, "cpu", &index), ISO_OK);
    assert_string_equal(iso_registry_device_info(registry, index)->backend, "cpu");
    assert_int_equal(iso_registry_find(registry, "cpu:0", &again), ISO_OK);
    assert_int_equal(again, index);
    assert_int_equal(iso_registry_find(registry, "null:0", &index), ISO_OK);
    assert_int_equal(iso_registry_find(registry, "null:nULL DEV", &again), ISO_OK);
    assert_int_equal(again, index);
    assert_int_equal(iso_registry_find(registry, "null", &again), ISO_OK);
    assert_int_equal(again, index);
}

static void test_find_refuses(void **state)
{
    (void)state;
    static const char *const absent[] = {"gpu",
                                         "cpu:1",
                                         "cpu:00000000000000000000001",
                                         "null:4294967296",
                                         "null:no such words",
                                         "cp",
                                         "a-backend-whose-name-is-longer-than-any:0"};
    uint32_t index;
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        assert_int_equal(iso_registry_find(registry, absent[i], &index), ISO_NOT_FOUND);
        assert_text_has("null:0 (Null device)");
        assert_text_has("cpu (");
    }
    assert_int_equal(iso_registry_find(registry, "", &index), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_registry_find(registry, NULL, &index), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_registry_find(registry, "cpu:", &index), ISO_INVALID_ARGUMENT);
}

// A machine with several drivers, made up: names that fit several devices, and devices that cannot be used.
static void test_find_among_several(void **state)
{
    (void)state;
    static const iso_backend cl = {.name = "cl"}, vk = {.name = "vk"}, gone = {.name = "gone"};
    iso_registry_backend_entry backends[] = {{.table = &cl, .loaded = true},
                                             {.table = &vk, .loaded = true},
                                             {.table = &gone, .reason = "no libgone.so"}};
    iso_registry_device_entry devices[] = {
        {.info = {.backend = "cl", .name = "pthread", .driver = "PoCL 3.1", .available = true},
         .name = "cl:0"},
        {.info = {.backend = "cl", .ordinal = 1, .name = "llvmpipe", .driver = "Mesa", .available = true},
         .name = "cl:1"},
        {.info = {.backend = "cl", .ordinal = 2, .name = "old", .driver = "Mesa", .reason = "no device"},
         .name = "cl:2"},
        {.info = {.backend = "vk", .name = "llvmpipe", .driver = "Mesa", .reason = "too old"},
         .name = "vk:0"},
    };
    const iso_registry many = {
        .backends = backends, .backend_count = 3, .devices = devices, .device_count = 4};
    static const struct {
        const char *name;
        iso_status status;
        uint32_t index;
        const char *text; // of the failure
    } cases[] = {
        {"cl:0", ISO_OK, 0, ""},
        {"cl:pocl", ISO_OK, 0, ""},
        {"cl:LLVM", ISO_OK, 1, ""},
        {"cl:mesa", ISO_OK, 1, ""}, // the other one cannot be used
        {"cl:2", ISO_OK, 2, ""},
        {"cl:old", ISO_OK, 2, ""},
        {"vk", ISO_OK, 3, ""},
        {"cl", ISO_INVALID_ARGUMENT, 0,
         "\"cl\" fits 3 devices, name one of them: cl:0 (pthread), cl:1 (llvmpipe), cl:2 (old; cannot be "
         "used)"},
        {"cl:p", ISO_INVALID_ARGUMENT, 0, "cl:0 (pthread), cl:1 (llvmpipe)"},
        {"cl:3", ISO_NOT_FOUND, 0, "vk:0"},
        {"gone:0", ISO_NOT_FOUND, 0, "no libgone.so"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t index = 99;
        assert_int_equal(iso_registry_find(&many, cases[i].name, &index), cases[i].status);
        assert_int_equal(index, cases[i].index);
        if (cases[i].status != ISO_OK)
            assert_text_has(cases[i].text);
    }
}

static void test_each_device_is_found_by_its_name(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        char name[64];
        uint32_t index;
        snprintf(name, sizeof name, "%.15s:%u", info->backend, info->ordinal);
        assert_int_equal(iso_registry_find(registry, name, &index), ISO_OK);
        assert_int_equal(index, i);
        assert_int_equal(info->available, info->reason[0] == '\0');
    }
}

// ---- the contract, on every device ----

typedef void (*device_check)(iso_device *device);

static void on_every_device(device_check check, bool validate)
{
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        char name[64];
        snprintf(name, sizeof name, "%.15s:%u", info->backend, info->ordinal);
        iso_device *device = NULL;
        iso_device_options options = {.validate = validate};
        if (!info->available) {
            print_message("%s is skipped: %s\n", name, info->reason);
            assert_int_equal(iso_device_open(registry, name, &options, &device), ISO_UNAVAILABLE);
            assert_null(device);
            continue;
        }
        if (iso_device_open(registry, name, &options, &device) != ISO_OK)
            fail_msg("%s: %s", name, iso_status_last()->text);
        print_message("on %s (%s)\n", iso_device_name(device), info->name);
        check(device);
        assert_int_equal(iso_device_wait(device), ISO_OK);
        assert_int_equal(iso_device_allocated_bytes(device, NULL), 0);
        iso_device_close(device);
    }
}

static void check_write_and_read(iso_device *device)
{
    enum { BYTES = 70001 };
    static unsigned char sent[BYTES], got[BYTES];
    for (int i = 0; i < BYTES; i++)
        sent[i] = (unsigned char)(i * 7 + i / 256);
    iso_buffer *buffer;
    assert_int_equal(iso_buffer_create(device, BYTES, &buffer), ISO_OK);
    assert_int_equal(iso_buffer_bytes(buffer), BYTES);
    assert_int_equal(iso_buffer_memory(buffer)->bytes, BYTES);
    if (iso_buffer_memory(buffer)->host)
        assert_int_equal((uintptr_t)iso_buffer_memory(buffer)->host %
                             iso_device_get_info(device)->buffer_alignment_bytes,
                         0);
    assert_int_equal(iso_buffer_write(buffer, 0, sent, BYTES), ISO_OK);
    assert_int_equal(iso_buffer_read(buffer, 0, got, BYTES), ISO_OK);
    assert_memory_equal(got, sent, BYTES);
    // Odd offsets and sizes, up to the last byte; the bytes beside stay.
    memcpy(sent + 13, "latent", 6);
    assert_int_equal(iso_buffer_write(buffer, 13, "latent", 6), ISO_OK);
    sent[BYTES - 1] ^= 0xff;
    assert_int_equal(iso_buffer_write(buffer, BYTES - 1, sent + BYTES - 1, 1), ISO_OK);
    memset(got, 0, sizeof got);
    assert_int_equal(iso_buffer_read(buffer, 3, got, BYTES - 3), ISO_OK);
    assert_memory_equal(got, sent + 3, BYTES - 3);
    iso_buffer_release(buffer);
}

static void check_fill(iso_device *device)
{
    enum { WORDS = 1000 };
    uint32_t got[WORDS];
    iso_buffer *buffer;
    assert_int_equal(iso_buffer_create(device, sizeof got, &buffer), ISO_OK);
    assert_int_equal(iso_buffer_fill(buffer, 0, sizeof got, 0x01020304), ISO_OK);
    assert_int_equal(iso_buffer_fill(buffer, 12, 4 * 500, 0x80ff7f01), ISO_OK);
    assert_int_equal(iso_buffer_fill(buffer, sizeof got - 4, 4, 5), ISO_OK);
    assert_int_equal(iso_buffer_read(buffer, 0, got, sizeof got), ISO_OK);
    for (int i = 0; i < WORDS; i++)
        assert_int_equal(got[i], i == WORDS - 1 ? 5u : i >= 3 && i < 503 ? 0x80ff7f01u : 0x01020304u);
    assert_int_equal(iso_buffer_fill(buffer, 2, 4, 0), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_buffer_fill(buffer, 0, 6, 0), ISO_INVALID_ARGUMENT);
    iso_buffer_release(buffer);
}

static void check_ranges(iso_device *device)
{
    unsigned char bytes[64] = {0};
    iso_buffer *buffer = (iso_buffer *)bytes;
    assert_int_equal(iso_buffer_create(device, 0, &buffer), ISO_INVALID_ARGUMENT);
    assert_null(buffer);
    assert_int_equal(iso_buffer_create(device, 32, &buffer), ISO_OK);
    static const struct {
        uint64_t offset, bytes;
    } bad[] = {{0, 0}, {0, 36}, {32, 4}, {33, 1}, {UINT64_MAX, 4}, {4, UINT64_MAX}, {UINT64_MAX - 3, 8}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(iso_buffer_write(buffer, bad[i].offset, bytes, bad[i].bytes), ISO_INVALID_ARGUMENT);
        assert_int_equal(iso_buffer_read(buffer, bad[i].offset, bytes, bad[i].bytes), ISO_INVALID_ARGUMENT);
        assert_int_equal(iso_buffer_fill(buffer, bad[i].offset, bad[i].bytes, 0), ISO_INVALID_ARGUMENT);
    }
    iso_buffer_release(buffer);
}

static void check_too_large(iso_device *device)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 56};
    iso_buffer *buffer;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        iso_status status = iso_buffer_create(device, sizes[i], &buffer);
        assert_true(status == ISO_OUT_OF_MEMORY || status == ISO_UNSUPPORTED);
        assert_text_has(iso_device_name(device));
        assert_null(buffer);
    }
    assert_int_equal(iso_device_allocated_bytes(device, NULL), 0);
    // The device still works.
    assert_int_equal(iso_buffer_create(device, 4096, &buffer), ISO_OK);
    iso_buffer_release(buffer);
}

static void check_counting(iso_device *device)
{
    uint64_t peak;
    iso_buffer *first, *second;
    assert_int_equal(iso_buffer_create(device, 1000, &first), ISO_OK);
    assert_int_equal(iso_buffer_create(device, 500, &second), ISO_OK);
    assert_int_equal(iso_device_allocated_bytes(device, &peak), 1500);
    assert_int_equal(peak, 1500);
    assert_ptr_equal(iso_buffer_retain(first), first);
    iso_buffer_release(first);
    assert_int_equal(iso_device_allocated_bytes(device, NULL), 1500);
    iso_buffer_release(first);
    assert_int_equal(iso_device_allocated_bytes(device, &peak), 500);
    assert_int_equal(peak, 1500);
    iso_buffer_release(second);
    iso_buffer_release(NULL);
}

static void check_empty_list(iso_device *device)
{
    iso_list *list;
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    assert_int_equal(iso_list_barrier(list), ISO_OK);
    assert_int_equal(iso_list_submit(list), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    assert_int_equal(iso_list_finish(list), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_list_barrier(list), ISO_INVALID_ARGUMENT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(iso_list_submit(list), ISO_OK);
    assert_int_equal(iso_device_wait(device), ISO_OK);
    iso_list_destroy(list);
    assert_int_equal(iso_list_create(device, &list), ISO_OK); // never finished
    iso_list_destroy(list);
    iso_list_destroy(NULL);
}

static void check_unknown_format(iso_device *device)
{
    static const iso_code_format formats[] = {ISO_CODE_NONE, ISO_CODE_HSACO, (iso_code_format)77};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        iso_module_source source = {.name = "k.test",
                                    .entry = "k",
                                    .format = formats[i],
                                    .code = "x",
                                    .code_bytes = 1,
                                    .group_size = 1};
        iso_module *module = (iso_module *)&source;
        assert_int_equal(iso_module_create(device, &source, &module), ISO_UNSUPPORTED);
        assert_null(module);
        assert_text_has("k.test");
        assert_text_has(iso_device_name(device));
    }
    iso_module_destroy(NULL);
}

static void test_write_and_read(void **state)
{
    (void)state;
    on_every_device(check_write_and_read, false);
}

static void test_fill(void **state)
{
    (void)state;
    on_every_device(check_fill, false);
}

static void test_ranges(void **state)
{
    (void)state;
    on_every_device(check_ranges, false);
}

static void test_too_large(void **state)
{
    (void)state;
    on_every_device(check_too_large, false);
}

static void test_counting(void **state)
{
    (void)state;
    on_every_device(check_counting, true);
}

static void test_empty_list(void **state)
{
    (void)state;
    on_every_device(check_empty_list, true);
}

static void test_unknown_format(void **state)
{
    (void)state;
    on_every_device(check_unknown_format, false);
}

static void test_default_options(void **state)
{
    (void)state;
    iso_device *device;
    assert_int_equal(iso_device_open(registry, "null:null", NULL, &device), ISO_OK);
    assert_string_equal(iso_device_name(device), "null:0");
    assert_int_equal(iso_device_get_info(device)->code_formats[0], ISO_CODE_NONE);
    iso_device_close(device);
    iso_device_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backends_say_why),
        cmocka_unit_test(test_find_by_name),
        cmocka_unit_test(test_find_refuses),
        cmocka_unit_test(test_find_among_several),
        cmocka_unit_test(test_each_device_is_found_by_its_name),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_empty_list),
        cmocka_unit_test(test_unknown_format),
        cmocka_unit_test(test_default_options),
    };
    return cmocka_run_group_tests(tests, create_registry, destroy_registry);
}
