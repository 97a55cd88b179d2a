// SPDX-License-Identifier: MIT
//
// Unit tests of model/checkpoint/safetensors.c and checkpoint.c: every lie that a header or an index can
// tell, files that end too soon, shards, pages that are given back, failing allocations, and the
// published-form checkpoints of conformance/golden/models.
#include "conformance/unit/checkpoint_files.h"

#include <inttypes.h>

#include "isomer/checkpoint.h"
#include "isomer/config.h"
#include "model/checkpoint/safetensors.h"

#ifndef ISO_SOURCE_DIR
#define ISO_SOURCE_DIR "."
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void expect_failure(iso_status status, iso_status wanted, const char *fragment)
{
    const char *text = iso_status_last()->text;
    if (status != wanted || !strstr(text, fragment))
        print_error("wanted %s with \"%s\", got %s: %s\n", iso_status_name(wanted), fragment,
                    iso_status_name(status), text);
    assert_int_equal(status, wanted);
    assert_non_null(strstr(text, fragment));
}

// ---- one header ----

typedef struct header_case {
    const char *header;
    size_t data_bytes;
    iso_status wanted;
    const char *fragment; // of the message
} header_case;

static const header_case bad_headers[] = {
    {"", 0, ISO_CORRUPT, "must be a JSON object"},
    {" {}", 0, ISO_CORRUPT, "must be a JSON object"},
    {"[]", 0, ISO_CORRUPT, "must be a JSON object"},
    {"{\"a\":", 0, ISO_CORRUPT, "not valid JSON"},
    {"{} {}", 0, ISO_CORRUPT, "not valid JSON"},
    {"{\"\xff\":{}}", 0, ISO_CORRUPT, "not valid JSON"},
    {"{\"a\\u0000\":{}}", 0, ISO_CORRUPT, "not valid JSON"},
    {"{\"a\":1}", 0, ISO_CORRUPT, "\"a\" must be a JSON object"},
    {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT, "\"dtype\" must be a string"},
    {"{\"a\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT,
     "\"dtype\" must be a string"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT, "\"shape\" must be an array"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT, "\"shape\"[0]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1.0],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT, "\"shape\"[1]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, ISO_UNSUPPORTED,
     "9 dimensions"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ISO_CORRUPT, "two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, ISO_CORRUPT, "two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 4, ISO_CORRUPT, "two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, ISO_CORRUPT, "must ascend"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 4, ISO_CORRUPT, "file's 4 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT,
     "span 4 bytes, but 2 elements of F32 need 8"},
    {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[1,1],\"data_offsets\":[0,4]}}", 4, ISO_CORRUPT, "need 2"},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, ISO_CORRUPT, "F4 need 2"},
    // 2^32 * 2^32 elements wrap to 0, 2^62 elements of 32 bits wrap to 0 bits.
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, ISO_CORRUPT,
     "2^64"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, ISO_CORRUPT,
     "2^64"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0, ISO_CORRUPT,
     "not valid JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[3,7]}}",
     8, ISO_CORRUPT, "\"a\" and \"b\" share bytes"},
    {"{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},"
     "\"empty\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, ISO_CORRUPT, "\"a\" and \"b\" share bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, ISO_CORRUPT, "duplicate"},
};

static void test_bad_headers(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    for (size_t i = 0; i < COUNT_OF(bad_headers); i++) {
        const header_case *c = &bad_headers[i];
        test_folder_write_safetensors(&folder, "model.safetensors", c->header, c->data_bytes);
        iso_checkpoint *checkpoint = (iso_checkpoint *)&folder;
        expect_failure(iso_checkpoint_open(folder.path, NULL, &checkpoint), c->wanted, c->fragment);
        assert_null(checkpoint);
        assert_non_null(strstr(iso_status_last()->text, "model.safetensors"));
    }
    test_folder_destroy(&folder);
}

static const char two_tensors[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                  "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
                                  "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                  "\"c\":{\"dtype\":\"F8_NEW\",\"shape\":[5],\"data_offsets\":[36,40]}}   ";

static void test_every_truncation(void **state)
{
    (void)state;
    // Exactly-sized copies: address sanitizer sees a read past any of them.
    size_t header_bytes = strlen(two_tensors), bytes = 8 + header_bytes + 40;
    for (size_t cut = 0; cut <= bytes; cut++) {
        uint8_t *content = calloc(1, cut ? cut : 1);
        assert_non_null(content);
        if (cut > 0)
            content[0] = (uint8_t)header_bytes;
        if (cut > 1)
            content[1] = (uint8_t)(header_bytes >> 8);
        if (cut > 8)
            memcpy(content + 8, two_tensors, cut - 8 < header_bytes ? cut - 8 : header_bytes);
        iso_safetensors_header header;
        iso_status status = iso_safetensors_parse(content, cut, "cut", NULL, &header);
        assert_int_equal(status, cut == bytes ? ISO_OK : ISO_CORRUPT);
        iso_safetensors_header_deinit(&header, NULL);
        free(content);
    }
}

static void test_lying_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {1, 3, 100000001, UINT64_MAX, UINT64_MAX - 8, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        uint8_t content[10] = {0};
        memcpy(content + 8, "{}", 2);
        for (int b = 0; b < 8; b++)
            content[b] = (uint8_t)(lengths[i] >> (8 * b));
        iso_safetensors_header header;
        assert_int_equal(iso_safetensors_parse(content, sizeof content, "lie", NULL, &header), ISO_CORRUPT);
    }
}

static void test_views(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    test_folder_write_safetensors(&folder, "any.safetensors", two_tensors, 44);
    iso_checkpoint *checkpoint;
    assert_int_equal(iso_checkpoint_open(test_folder_file(&folder, "any.safetensors"), NULL, &checkpoint),
                     ISO_OK);

    iso_tensor_view view;
    assert_int_equal(iso_checkpoint_find(checkpoint, "a", &view), ISO_OK);
    assert_string_equal(view.name, "a");
    assert_int_equal(view.dtype, ISO_DTYPE_F32);
    assert_int_equal(view.rank, 2);
    assert_int_equal(view.dims[0], 2);
    assert_int_equal(view.dims[1], 3);
    assert_int_equal(view.dims[2], 1);
    assert_int_equal(view.bytes, 24);
    for (int i = 0; i < 24; i++)
        assert_int_equal(((const uint8_t *)view.data)[i], 8 + i);
    assert_non_null(strstr(view.file, "/any.safetensors"));

    // Types that are not computed with are still listed, known to the format or not.
    assert_int_equal(iso_checkpoint_find(checkpoint, "b", &view), ISO_OK);
    assert_int_equal(view.dtype, ISO_DTYPE_NONE);
    assert_string_equal(view.dtype_name, "I64");
    assert_int_equal(view.rank, 0);
    assert_int_equal(iso_checkpoint_find(checkpoint, "c", &view), ISO_OK);
    assert_int_equal(view.dtype, ISO_DTYPE_NONE);
    assert_string_equal(view.dtype_name, "F8_NEW");

    expect_failure(iso_checkpoint_find(checkpoint, "__metadata__", &view), ISO_NOT_FOUND, "__metadata__");
    assert_null(view.data);
    assert_false(iso_checkpoint_has(checkpoint, ""));
    assert_int_equal(iso_checkpoint_tensor_at(checkpoint, 2, &view), ISO_OK);
    expect_failure(iso_checkpoint_tensor_at(checkpoint, 3, &view), ISO_INVALID_ARGUMENT, "below 3");

    iso_checkpoint_summary summary;
    iso_checkpoint_summarize(checkpoint, &summary);
    assert_int_equal(summary.file_count, 1);
    assert_int_equal(summary.tensor_count, 3);
    assert_int_equal(summary.tensor_bytes, 36);
    assert_int_equal(summary.hole_bytes, 8); // 32 to 36 and 40 to 44
    iso_checkpoint_close(checkpoint);
    iso_checkpoint_close(NULL);
    test_folder_destroy(&folder);
}

// ---- shards ----

static const char shard_one[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                "\"shared\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]}}";
static const char shard_two[] = "{\"shared\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                                "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}";

static void write_shards(const test_folder *folder, const char *index)
{
    test_folder_write_safetensors(folder, "one.safetensors", shard_one, 5);
    test_folder_write_safetensors(folder, "two.safetensors", shard_two, 6);
    test_folder_write(folder, "model.safetensors.index.json", index, strlen(index));
}

static const char good_index[] =
    "{\"metadata\":{\"total_size\":11},\"weight_map\":{\"b\":\"two.safetensors\","
    "\"a\":\"one.safetensors\",\"shared\":\"two.safetensors\"}}";

static void test_shards(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    write_shards(&folder, good_index);
    iso_checkpoint *checkpoint;
    assert_int_equal(iso_checkpoint_open(folder.path, NULL, &checkpoint), ISO_OK);
    iso_tensor_view view;
    assert_int_equal(iso_checkpoint_find(checkpoint, "shared", &view), ISO_OK);
    assert_int_equal(view.dims[0], 2); // the index says two.safetensors
    assert_non_null(strstr(view.file, "two.safetensors"));
    assert_int_equal(iso_checkpoint_find(checkpoint, "a", &view), ISO_OK);
    assert_non_null(strstr(view.file, "one.safetensors"));
    iso_checkpoint_summary summary;
    iso_checkpoint_summarize(checkpoint, &summary);
    assert_int_equal(summary.file_count, 2);
    assert_int_equal(summary.tensor_count, 3);
    assert_int_equal(summary.unindexed_count, 1);
    assert_int_equal(summary.tensor_bytes, 10);
    iso_checkpoint_close(checkpoint);
    test_folder_destroy(&folder);
}

typedef struct index_case {
    const char *index;
    iso_status wanted;
    const char *fragment;
} index_case;

static const index_case bad_indices[] = {
    {"", ISO_CORRUPT, "index.json: line 1: empty"},
    {"[]", ISO_CORRUPT, "\"weight_map\" must be"},
    {"{\"weight_map\":{}}", ISO_CORRUPT, "\"weight_map\" must be"},
    {"{\"weight_map\":[\"a\"]}", ISO_CORRUPT, "\"weight_map\" must be"},
    {"{\"weight_map\":{\"a\":1}}", ISO_CORRUPT, "weight_map[\"a\"]"},
    {"{\"weight_map\":{\"a\":\"\"}}", ISO_CORRUPT, "weight_map[\"a\"]"},
    {"{\"weight_map\":{\"a\":\"..\"}}", ISO_CORRUPT, "weight_map[\"a\"]"},
    {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", ISO_CORRUPT, "weight_map[\"a\"]"},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", ISO_CORRUPT, "weight_map[\"a\"]"},
    {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"}}", ISO_CORRUPT, "duplicate"},
    {"{\"weight_map\":{\"a\":\"three.safetensors\"}}", ISO_NOT_FOUND,
     "three.safetensors: the shard is missing"},
    {"{\"weight_map\":{\"a\":\"two.safetensors\"}}", ISO_CORRUPT, "does not have it"},
    {"{\"weight_map\":{\"nowhere\":\"two.safetensors\"}}", ISO_CORRUPT, "\"nowhere\""},
    {"{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", ISO_CORRUPT, "header length"},
};

static void test_bad_indices(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    for (size_t i = 0; i < COUNT_OF(bad_indices); i++) {
        write_shards(&folder, bad_indices[i].index);
        iso_checkpoint *checkpoint;
        expect_failure(iso_checkpoint_open(folder.path, NULL, &checkpoint), bad_indices[i].wanted,
                       bad_indices[i].fragment);
        assert_null(checkpoint);
    }
    test_folder_destroy(&folder);
}

static void test_nothing_there(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    iso_checkpoint *checkpoint;
    expect_failure(iso_checkpoint_open(folder.path, NULL, &checkpoint), ISO_NOT_FOUND,
                   "model.safetensors.index.json");
    expect_failure(iso_checkpoint_open(test_folder_file(&folder, "none"), NULL, &checkpoint), ISO_NOT_FOUND,
                   "none");
    expect_failure(iso_checkpoint_open("/dev/null", NULL, &checkpoint), ISO_IO, "not a regular file");
    test_folder_destroy(&folder);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    write_shards(&folder, good_index);
    iso_status status = ISO_OUT_OF_MEMORY;
    int calls = 0;
    for (; status != ISO_OK; calls++) {
        test_heap heap = {.calls_left = calls};
        iso_allocator allocator = test_heap_allocator(&heap);
        iso_checkpoint *checkpoint;
        status = iso_checkpoint_open(folder.path, &allocator, &checkpoint);
        assert_true(status == ISO_OK || status == ISO_OUT_OF_MEMORY);
        iso_checkpoint_close(checkpoint);
        assert_int_equal(heap.living, 0);
    }
    assert_true(calls > 10);
    test_folder_destroy(&folder);
}

// ---- pages ----

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    uint64_t total, resident;
    assert_int_equal(fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sum_bytes(const iso_tensor_view *view)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < view->bytes; i++)
        sum += ((const uint8_t *)view->data)[i];
    return sum;
}

static void test_released_pages(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message(
        "skipped: the thread sanitizer keeps memory of its own for each page, which hides those let go\n");
    skip();
#endif
    test_folder folder;
    test_folder_create(&folder);
    const uint64_t bytes = 32u << 20;
    test_folder_write_safetensors(
        &folder, "model.safetensors",
        "{\"big\":{\"dtype\":\"U8\",\"shape\":[33554432],\"data_offsets\":[3,33554435]}}", bytes + 3);
    iso_checkpoint *checkpoint;
    assert_int_equal(iso_checkpoint_open(folder.path, NULL, &checkpoint), ISO_OK);
    iso_tensor_view view;
    assert_int_equal(iso_checkpoint_find(checkpoint, "big", &view), ISO_OK);
    uint64_t before = resident_bytes();
    uint64_t sum = sum_bytes(&view);
    assert_true(resident_bytes() > before + bytes / 2);
    iso_checkpoint_release_pages(checkpoint, &view);
    assert_true(resident_bytes() < before + bytes / 4);
    assert_int_equal(sum_bytes(&view), sum); // it can be read again
    iso_checkpoint_close(checkpoint);
    test_folder_destroy(&folder);
}

// ---- published form ----

static const char *const golden_models[] = {
    "v2",        "v2-lite",         "v3-bf16",          "v3-fp8",
    "moonlight", "r1-distill-qwen", "r1-distill-llama", "r1-0528-qwen3"};

static void test_golden_checkpoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(golden_models); i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, ISO_SOURCE_DIR "/conformance/golden/models/%s", golden_models[i]);
        iso_model_config config;
        assert_int_equal(iso_config_load(path, &config), ISO_OK);
        iso_checkpoint *checkpoint;
        assert_int_equal(iso_checkpoint_open(path, NULL, &checkpoint), ISO_OK);
        iso_checkpoint_summary summary;
        iso_checkpoint_summarize(checkpoint, &summary);
        assert_int_equal(summary.hole_bytes, 0);
        iso_tensor_view view;
        assert_int_equal(iso_checkpoint_find(checkpoint, "model.embed_tokens.weight", &view), ISO_OK);
        assert_int_equal(view.dtype, config.weight_dtype);
        assert_int_equal(view.rank, 2);
        assert_int_equal(view.dims[0], config.vocab_size);
        assert_int_equal(view.dims[1], config.hidden_size);
        assert_true(iso_checkpoint_has(checkpoint, "model.norm.weight"));
        iso_checkpoint_close(checkpoint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_headers),    cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_lying_lengths),  cmocka_unit_test(test_views),
        cmocka_unit_test(test_shards),         cmocka_unit_test(test_bad_indices),
        cmocka_unit_test(test_nothing_there),  cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_released_pages), cmocka_unit_test(test_golden_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
