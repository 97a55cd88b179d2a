// SPDX-License-Identifier: MIT
//
// Unit tests of runtime/base/allocator.c: zeroing over dirty memory, overflow, growth that keeps content, and
// failure that leaves everything as it was; with malloc and with a caller's allocator.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/allocator.h"

// Hands out dirty memory, counts what lives, and fails when told to.
typedef struct test_heap {
    int living;
    int failing;
} test_heap;

static void *heap_resize(void *context, void *memory, size_t bytes)
{
    test_heap *heap = context;
    assert_true(bytes > 0);
    if (heap->failing)
        return NULL;
    void *resized = realloc(memory, bytes);
    if (!memory && resized) {
        memset(resized, 0xa5, bytes);
        heap->living++;
    }
    return resized;
}

static void heap_release(void *context, void *memory)
{
    test_heap *heap = context;
    if (memory)
        heap->living--;
    free(memory);
}

static void check_allocator(const iso_allocator *allocator)
{
    unsigned char *bytes;
    assert_int_equal(ISO_NEW(allocator, 1000, &bytes), ISO_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bytes[i], 0);
    iso_free(allocator, bytes);

    void *none = &none;
    assert_int_equal(iso_alloc_array(allocator, 0, 8, &none), ISO_OK);
    assert_null(none);
    iso_free(allocator, NULL);

    char *text;
    assert_int_equal(iso_alloc_string(allocator, "latent", &text), ISO_OK);
    assert_string_equal(text, "latent");
    iso_free(allocator, text);

    void *huge = &huge;
    assert_int_equal(iso_alloc_array(allocator, SIZE_MAX / 4, 8, &huge), ISO_OUT_OF_MEMORY);
    assert_null(huge);
    assert_non_null(strstr(iso_status_last()->text, "8 bytes"));

    uint32_t *numbers = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(iso_grow(allocator, sizeof *numbers, i + 1, (void **)&numbers, &capacity), ISO_OK);
        assert_true(capacity >= i + 1);
        numbers[i] = i;
    }
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(numbers[i], i);
    size_t before = capacity;
    uint32_t *kept = numbers;
    assert_int_equal(iso_grow(allocator, sizeof *numbers, SIZE_MAX / 2, (void **)&numbers, &capacity),
                     ISO_OUT_OF_MEMORY);
    assert_int_equal(capacity, before);
    assert_ptr_equal(numbers, kept);
    assert_int_equal(numbers[4999], 4999);
    iso_free(allocator, numbers);
}

static void test_default_heap(void **state)
{
    (void)state;
    check_allocator(NULL);
}

static void test_callers_heap(void **state)
{
    (void)state;
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    check_allocator(&allocator);
    assert_int_equal(heap.living, 0);
}

static void test_growth_is_geometric(void **state)
{
    (void)state;
    void *memory = NULL;
    size_t capacity = 0;
    int changes = 0;
    for (size_t i = 1; i <= 100000; i++) {
        size_t before = capacity;
        assert_int_equal(iso_grow(NULL, 1, i, &memory, &capacity), ISO_OK);
        changes += capacity != before;
    }
    assert_in_range(changes, 1, 40);
    iso_free(NULL, memory);
}

static void test_failure_changes_nothing(void **state)
{
    (void)state;
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    void *memory = NULL;
    size_t capacity = 0;
    assert_int_equal(iso_grow(&allocator, 4, 10, &memory, &capacity), ISO_OK);
    void *kept = memory;
    size_t before = capacity;
    heap.failing = 1;
    assert_int_equal(iso_grow(&allocator, 4, 1000, &memory, &capacity), ISO_OUT_OF_MEMORY);
    assert_ptr_equal(memory, kept);
    assert_int_equal(capacity, before);
    char *text = (char *)&heap;
    assert_int_equal(iso_alloc_string(&allocator, "x", &text), ISO_OUT_OF_MEMORY);
    assert_null(text);
    iso_free(&allocator, memory);
    assert_int_equal(heap.living, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_heap),
        cmocka_unit_test(test_callers_heap),
        cmocka_unit_test(test_growth_is_geometric),
        cmocka_unit_test(test_failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
