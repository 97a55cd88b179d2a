// SPDX-License-Identifier: MIT
//
// Unit tests of runtime/base/status.c and strings.c: the record is per thread, one line, survives arguments
// that point into itself, and is cut rather than overrun.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "isomer/status.h"
#include "runtime/base/strings.h"

static void test_starts_empty(void **state)
{
    (void)state;
    assert_int_equal(iso_status_last()->code, ISO_OK);
    assert_string_equal(iso_status_last()->text, "");
}

static void test_fail_fills_record(void **state)
{
    (void)state;
    int line = __LINE__ + 1;
    assert_int_equal(iso_fail(ISO_LIMIT, "context is %d, at most %d", 9, 8), ISO_LIMIT);
    const iso_status_record *record = iso_status_last();
    assert_int_equal(record->code, ISO_LIMIT);
    assert_int_equal(record->line, line);
    assert_non_null(strstr(record->file, "status_test.c"));
    assert_string_equal(record->text, "context is 9, at most 8");
}

static void test_arguments_may_be_the_record(void **state)
{
    (void)state;
    (void)iso_fail(ISO_IO, "disk");
    (void)iso_fail(ISO_IO, "a %s b %s", iso_status_last()->text, iso_status_last()->text);
    assert_string_equal(iso_status_last()->text, "a disk b disk");
    assert_int_equal(iso_status_prefix("[%s]", iso_status_last()->text), ISO_IO);
    assert_string_equal(iso_status_last()->text, "[a disk b disk]: a disk b disk");
}

static void test_one_line(void **state)
{
    (void)state;
    (void)iso_fail(ISO_BUILD_FAILED, "first\nsecond\r\n");
    assert_string_equal(iso_status_last()->text, "first second");
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    (void)iso_fail(ISO_IO, "%s", long_text);
    size_t length = strlen(iso_status_last()->text);
    assert_in_range(length, 500, sizeof long_text - 2);
    (void)iso_status_prefix("file %s", "weights");
    assert_memory_equal(iso_status_last()->text, "file weights: xxx", 17);
    assert_in_range(strlen(iso_status_last()->text), 500, length);
    (void)iso_status_prefix("%s", long_text);
    assert_in_range(strlen(iso_status_last()->text), 500, length);
}

static void *other_thread(void *argument)
{
    *(iso_status *)argument = iso_status_last()->code;
    (void)iso_fail(ISO_INTERNAL, "other");
    return NULL;
}

static void test_record_is_per_thread(void **state)
{
    (void)state;
    (void)iso_fail(ISO_CORRUPT, "mine");
    pthread_t thread;
    iso_status seen = ISO_INTERNAL;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen, ISO_OK);
    assert_string_equal(iso_status_last()->text, "mine");
}

static void test_names_are_all_there_and_differ(void **state)
{
    (void)state;
    for (int i = 0; i < ISO_STATUS_COUNT; i++) {
        assert_non_null(iso_status_name((iso_status)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(iso_status_name((iso_status)i), iso_status_name((iso_status)j));
    }
    assert_string_equal(iso_status_name(ISO_OUT_OF_MEMORY), "out-of-memory");
    assert_string_equal(iso_status_name((iso_status)999), "unknown-status");
}

static void test_text_append(void **state)
{
    (void)state;
    iso_text text = {0};
    assert_string_equal(iso_text_get(&text), "");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(iso_text_append(&text, "%d,", i), ISO_OK);
    assert_int_equal(text.length, strlen(text.data));
    assert_int_equal(text.length, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(text.data, "0,1,2,", 6);
    assert_string_equal(text.data + text.length - 4, "999,");
    assert_int_equal(iso_text_append_bytes(&text, "a\0b", 3), ISO_OK);
    assert_memory_equal(text.data + text.length - 3, "a\0b", 4);
    iso_text_deinit(&text);
    assert_int_equal(text.length, 0);
    iso_text_deinit(&text);
}

static void test_fragment(void **state)
{
    (void)state;
    assert_true(iso_contains_fragment("llvmpipe (LLVM 15.0.6)", "LlvmPipe"));
    assert_true(iso_contains_fragment("aab", "ab"));
    assert_true(iso_contains_fragment("x", ""));
    assert_true(iso_contains_fragment("", ""));
    assert_false(iso_contains_fragment("", "a"));
    assert_false(iso_contains_fragment("ab", "abc"));
    assert_false(iso_contains_fragment("a[b", "a{b")); // differ by the case bit, but are no letters
}

static void test_copy_is_cut(void **state)
{
    (void)state;
    char target[4] = "???";
    iso_copy_text(target, sizeof target, "abcdef");
    assert_string_equal(target, "abc");
    iso_copy_text(target, sizeof target, "x");
    assert_string_equal(target, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_empty), // first: nothing may have failed before
        cmocka_unit_test(test_fail_fills_record),
        cmocka_unit_test(test_arguments_may_be_the_record),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_record_is_per_thread),
        cmocka_unit_test(test_names_are_all_there_and_differ),
        cmocka_unit_test(test_text_append),
        cmocka_unit_test(test_fragment),
        cmocka_unit_test(test_copy_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
