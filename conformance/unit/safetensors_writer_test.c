// SPDX-License-Identifier: MIT
//
// Unit tests of model/checkpoint/safetensors_writer.c: what is written reads back the same, refusals, and
// that a failure of any kind leaves the target as it was and no other file behind.
#include "conformance/unit/checkpoint_files.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "isomer/checkpoint.h"

static const float floats[6] = {1, -2, 3.5f, 0, 1e-20f, -0.0f};
static const uint16_t halves[3] = {0x3f80, 0x4000, 0xc000};
static const int32_t ids[2] = {7, -7};

static iso_status add(iso_safetensors_writer *writer, const char *name, iso_dtype dtype, uint64_t rows,
                      uint64_t columns, const void *data)
{
    iso_tensor_view tensor = {.name = name, .dtype = dtype, .rank = 2, .dims = {rows, columns}, .data = data};
    return iso_safetensors_writer_add(writer, &tensor);
}

static iso_status write_three(const char *path, const iso_allocator *allocator)
{
    iso_safetensors_writer *writer;
    iso_status status = iso_safetensors_writer_create(path, allocator, &writer);
    if (status == ISO_OK)
        status = add(writer, "half \"quoted\" \xc3\xa9", ISO_DTYPE_BF16, 1, 3, halves);
    if (status == ISO_OK)
        status = add(writer, "logits", ISO_DTYPE_F32, 2, 3, floats);
    if (status == ISO_OK)
        status = add(writer, "experts.0", ISO_DTYPE_I32, 2, 1, ids);
    if (status == ISO_OK)
        status = add(writer, "empty", ISO_DTYPE_F32, 0, 4, NULL);
    if (status == ISO_OK)
        status = iso_safetensors_writer_finish(writer);
    iso_safetensors_writer_destroy(writer);
    return status;
}

static void check_tensor(const iso_checkpoint *checkpoint, const char *name, iso_dtype dtype,
                         const void *data, uint64_t bytes)
{
    iso_tensor_view view;
    assert_int_equal(iso_checkpoint_find(checkpoint, name, &view), ISO_OK);
    assert_int_equal(view.dtype, dtype);
    assert_int_equal(view.rank, 2);
    assert_int_equal(view.bytes, bytes);
    if (bytes > 0) {
        assert_memory_equal(view.data, data, bytes);
        assert_int_equal((uintptr_t)view.data % iso_dtype_bytes(dtype), 0);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    const char *path = test_folder_file(&folder, "out.safetensors");
    assert_int_equal(write_three(path, NULL), ISO_OK);
    assert_int_equal(write_three(path, NULL), ISO_OK); // replaces the first one
    assert_int_equal(test_folder_each(&folder, false), 1);
    iso_checkpoint *checkpoint;
    assert_int_equal(iso_checkpoint_open(path, NULL, &checkpoint), ISO_OK);
    check_tensor(checkpoint, "half \"quoted\" \xc3\xa9", ISO_DTYPE_BF16, halves, sizeof halves);
    check_tensor(checkpoint, "logits", ISO_DTYPE_F32, floats, sizeof floats);
    check_tensor(checkpoint, "experts.0", ISO_DTYPE_I32, ids, sizeof ids);
    check_tensor(checkpoint, "empty", ISO_DTYPE_F32, NULL, 0);
    iso_checkpoint_summary summary;
    iso_checkpoint_summarize(checkpoint, &summary);
    assert_int_equal(summary.tensor_count, 4);
    assert_int_equal(summary.hole_bytes, 0);
    iso_checkpoint_close(checkpoint);
    test_folder_destroy(&folder);
}

static void test_refusals(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    iso_safetensors_writer *writer;
    const char *path = test_folder_file(&folder, "out.safetensors");
    assert_int_equal(iso_safetensors_writer_create(path, NULL, &writer), ISO_OK);
    assert_int_equal(add(writer, "a", ISO_DTYPE_F32, 2, 3, floats), ISO_OK);
    assert_int_equal(add(writer, "a", ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "", ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, NULL, ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "__metadata__", ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "\xff", ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "b", ISO_DTYPE_ACTIVATION, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "b", ISO_DTYPE_NONE, 2, 3, floats), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "b", ISO_DTYPE_F32, 2, 3, NULL), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "b", ISO_DTYPE_F32, UINT64_MAX / 2, 3, floats), ISO_INVALID_ARGUMENT);
    iso_tensor_view deep = {.name = "b", .dtype = ISO_DTYPE_F32, .rank = 9, .data = floats};
    assert_int_equal(iso_safetensors_writer_add(writer, &deep), ISO_INVALID_ARGUMENT);
    assert_int_equal(test_folder_each(&folder, false), 0); // nothing yet
    assert_int_equal(iso_safetensors_writer_finish(writer), ISO_OK);
    assert_int_equal(iso_safetensors_writer_finish(writer), ISO_INVALID_ARGUMENT);
    assert_int_equal(add(writer, "late", ISO_DTYPE_F32, 2, 3, floats), ISO_INVALID_ARGUMENT);
    iso_safetensors_writer_destroy(writer);
    iso_safetensors_writer_destroy(NULL);
    test_folder_destroy(&folder);
}

static void test_full_disk(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    const char *path = test_folder_file(&folder, "out.safetensors");
    test_folder_write(&folder, "out.safetensors", "old", 3);
    // A file size limit stops the write part way, as a full disk does.
    struct rlimit old_limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    struct rlimit limit = {.rlim_cur = 300, .rlim_max = old_limit.rlim_max};
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    iso_status status = write_three(path, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
    signal(SIGXFSZ, old_handler);
    assert_int_equal(status, ISO_IO);
    assert_non_null(strstr(iso_status_last()->text, "out.safetensors"));
    assert_non_null(strstr(iso_status_last()->text, strerror(EFBIG)));
    assert_int_equal(test_folder_each(&folder, false), 1);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 3);
    test_folder_destroy(&folder);
}

static void test_bad_places(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    assert_int_equal(write_three(test_folder_file(&folder, "no/such/folder"), NULL), ISO_IO);
    assert_non_null(strstr(iso_status_last()->text, "no/such/folder"));
    assert_int_equal(write_three(folder.path, NULL), ISO_IO);
    // Would be replaced by a file, or swallow the data.
    assert_int_equal(write_three("/dev/null", NULL), ISO_IO);
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(test_folder_each(&folder, false), 0);
    test_folder_destroy(&folder);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    const char *path = test_folder_file(&folder, "out.safetensors");
    iso_status status = ISO_OUT_OF_MEMORY;
    int calls = 0;
    for (; status != ISO_OK; calls++) {
        assert_int_equal(test_folder_each(&folder, false), 0);
        test_heap heap = {.calls_left = calls};
        iso_allocator allocator = test_heap_allocator(&heap);
        status = write_three(path, &allocator);
        assert_true(status == ISO_OK || status == ISO_OUT_OF_MEMORY);
        assert_int_equal(heap.living, 0);
    }
    assert_true(calls > 5);
    test_folder_destroy(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_full_disk),           cmocka_unit_test(test_bad_places),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
