// SPDX-License-Identifier: MIT
//
// Standalone cases: what is written is read and runs to the same verdict, for every op; a wrong expectation
// fails; and a file that was cut, edited or made up is refused by the name of the field, never run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "conformance/ops/case_layout.h"
#include "conformance/ops/cases.h"

static iso_registry *registry;
static iso_device *device;
static char folder[] = "/tmp/isomer-case-XXXXXX";

static int open_all(void **state)
{
    (void)state;
    const char *const names[] = {"cpu"};
    return !mkdtemp(folder) || iso_registry_create_for(NULL, names, 1, &registry) != ISO_OK ||
           iso_device_open(registry, "cpu", NULL, &device) != ISO_OK;
}

static int close_all(void **state)
{
    (void)state;
    iso_device_close(device);
    iso_registry_destroy(registry);
    return rmdir(folder);
}

// Writes a case of the op, its first expected value moved by `off`.
static void write_case(const char *id, double off, char path[256])
{
    conform_op_case wanted;
    conform_built built;
    char unit[128];
    assert_int_equal(conform_parse_case(id, &wanted), ISO_OK);
    assert_int_equal(conform_built_init(&built, &wanted, 1, false), ISO_OK);
    assert_int_equal(conform_built_refer(&built, &wanted, &iso_numerics_ieee), ISO_OK);
    built.expected[0].value[0] += off;
    snprintf(unit, sizeof unit, "ops/%s", id);
    const conform_case test_case = {.op = wanted.op,
                                    .params = built.params,
                                    .expected = built.expected,
                                    .kernel = "",
                                    .unit = unit,
                                    .detail = "made by a test",
                                    .seed = 1};
    if (conform_case_write(folder, &test_case, path, 256) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    conform_built_deinit(&built);
}

static void cases_run_as_written(void **state)
{
    (void)state;
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        conform_triple triples[CONFORM_MAX_TRIPLES];
        uint32_t count = conform_triples(op, triples);
        for (uint32_t c = 0; c < 4; c++) {
            char id[128], path[256];
            conform_result result;
            snprintf(id, sizeof id, "%s/%s/%u/normal", op->name, triples[c % count].name, c);
            write_case(id, c == 3 ? 1e3 : 0, path);
            if (conform_case_run(path, device, &result) != ISO_OK)
                fail_msg("%s: %s", id, iso_status_last()->text);
            if (result.outcome != (c == 3 ? CONFORM_FAIL : CONFORM_PASS))
                fail_msg("%s: %s", id, result.detail);
            assert_string_equal(result.op, op->name);
            assert_true(strncmp(result.check, op->name, strlen(op->name)) == 0);
            assert_int_equal(unlink(path), 0);
        }
    }
}

// ---- files of others ----

typedef struct file {
    uint8_t *bytes;
    size_t length;
} file;

static file read_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    file f = {.bytes = malloc(1 << 20)};
    f.length = fread(f.bytes, 1, 1 << 20, stream);
    fclose(stream);
    return f;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, length, stream), length);
    fclose(stream);
}

// Asserts that the file is refused with a text that has `part`.
static void expect_refused(const char *path, const char *part)
{
    conform_result result;
    iso_status status = conform_case_run(path, device, &result);
    if (status != ISO_CORRUPT || !strstr(iso_status_last()->text, part))
        fail_msg("wanted \"%s\", got %s: %s", part, iso_status_name(status), iso_status_last()->text);
}

// The file with its header changed by text replacement and its hash made right again.
static void rewrite(const char *path, const file *good, const char *from, const char *to)
{
    uint64_t length;
    memcpy(&length, good->bytes + CASE_MAGIC_BYTES, sizeof length);
    char *header = strndup((const char *)good->bytes + CASE_HEAD_BYTES, length), *at = strstr(header, from);
    assert_non_null(at);
    size_t body = good->length - CASE_HEAD_BYTES - length, room = length + strlen(to) + 64;
    uint8_t *out = calloc(1, CASE_HEAD_BYTES + room + body);
    memcpy(out, CASE_MAGIC, CASE_MAGIC_BYTES);
    snprintf((char *)out + CASE_HEAD_BYTES, room, "%.*s%s%s", (int)(at - header), header, to,
             at + strlen(from));
    uint64_t now = strlen((char *)out + CASE_HEAD_BYTES), padded = case_aligned(now);
    memset(out + CASE_HEAD_BYTES + now, ' ', padded - now);
    memcpy(out + CASE_MAGIC_BYTES, &padded, sizeof padded);
    memcpy(out + CASE_HEAD_BYTES + padded, good->bytes + CASE_HEAD_BYTES + length, body);
    write_file(path, out, CASE_HEAD_BYTES + padded + body);
    free(out);
    free(header);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    char path[256];
    write_case("linear/f32_bf16_f32/1/normal", 0, path);
    file good = read_file(path);
    for (size_t length = 0; length < good.length; length += length < 64 ? 1 : 37) {
        conform_result result;
        write_file(path, good.bytes, length);
        assert_int_equal(conform_case_run(path, device, &result), ISO_CORRUPT);
    }
    write_file(path, good.bytes, 10);
    expect_refused(path, "length is 10 bytes");
    write_file(path, good.bytes, good.length - 8);
    expect_refused(path, "bounds[0] has 8 bytes; the file has 0 left");
    good.bytes[good.length - 3] ^= 1;
    write_file(path, good.bytes, good.length);
    expect_refused(path, "hash is");
    good.bytes[0] ^= 1;
    write_file(path, good.bytes, good.length);
    expect_refused(path, "magic is not ISOCASE1");
    free(good.bytes);
    unlink(path);
}

static void edited_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
    } edits[] = {
        {"\"suite\":1", "\"suite\":9", "suite is 9; this one reads 1"},
        {"\"op\":\"linear\"", "\"op\":\"nop\"", "op is \"nop\""},
        {"\"op\":\"linear\"", "\"op\":\"add\"", "tensors has 6 entries; op add has 3"},
        {"\"op\":\"linear\"", "\"op\":7", "op is missing or no text"},
        {"\"seed\":\"1\"", "\"seed\":\"one\"", "seed is \"one\""},
        {"\"seed\":\"1\"", "\"seed\":\" 1\"", "seed is \" 1\"; it must be digits"},
        {"\"seed\":\"1\"", "\"seed\":\"-1\"", "seed is \"-1\""},
        {"\"seed\":\"1\"", "\"seed\":\"18446744073709551616\"", "seed is \"18446744073709551616\""},
        {"\"dims\":[3,37],\"row_stride\":37", "\"dims\":[3,37],\"row_stride\":4294967295",
         "tensors[5].row_stride is 4294967295"},
        {"\"dtype\":\"f32\"", "\"dtype\":\"f64\"", "tensors[0].dtype is \"f64\""},
        {"\"dims\":[3,53]", "\"dims\":[3000000000,3000000000,3]", "tensors[0].dims is 3000000000"},
        {"\"dims\":[3,53]", "\"dims\":[3,-53]", "tensors[0].dims is -53"},
        {"\"dims\":[3,53]", "\"dims\":[]", "tensors[0].dims has 0 entries"},
        {"\"dims\":[3,53]", "\"dims\":[4,53]", "tensors[0].elements is 159; its shape needs 212"},
        {"\"dims\":[3,53]", "\"dims\":[1,159]", "tensors[0].row_stride is 53; allowed: 159"},
        {"\"row_stride\":53", "\"row_stride\":52", "tensors[0].row_stride is 52; allowed: 53"},
        {"\"view_offset\":0", "\"view_offset\":4000000000", "tensors[0].elements is 159"},
        {"\"elements\":159", "\"elements\":160", "tensors[0].elements is 160; its shape needs 159"},
        {"\"shares\":0", "\"shares\":5", "tensors[0].shares is 5; allowed: 0 to 0"},
        {"\"expected\":[111]", "\"expected\":[112]", "expected[0] is 112; the output has 111"},
        {"\"expected\":[111]", "\"expected\":[111,1]", "expected has 2 entries; op linear has 1"},
        {"\"attributes\":{}", "\"attributes\":{\"eps\":1}", "attributes has 1 fields; op linear has 0"},
        {"\"attributes\":{}", "\"attributes\":0", "attributes is missing or no object"},
        {"{\"suite\"", "[\"suite\"", "header is no JSON object"},
    };
    char path[256];
    write_case("linear/f32_f32_f32/5/normal", 0, path);
    file good = read_file(path);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        rewrite(path, &good, edits[i].from, edits[i].to);
        expect_refused(path, edits[i].part);
    }
    free(good.bytes);
    unlink(path);
}

// Integers that kernels would follow out of the call.
static void wild_indices_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        uint32_t operand;
        int32_t value;
        const char *part;
    } wild[] = {
        {"kv_write/f32_none_f32/0/normal", 1, 64, "slots[0] is 64"},
        {"gqa_attention/f32_none_f32/1/normal", 3, 999, "block_table[0] is 999"},
        {"gqa_attention/f32_none_f32/1/normal", 4, 9999, "positions[0] is 9999"},
        {"mla_attention/f32_none_f32/1/normal", 5, 1, "sequence[0] is 1; allowed: -1 to 0"},
        {"grouped_linear/f32_bf16_f32/2/normal", 5, 8, "tiles[0] is expert 8"},
        {"grouped_linear/f32_bf16_f32/2/normal", 4, -1, "row[0] is -1"},
        {"permute/none_none_none/2/normal", 0, 4, "index[0] is 4; allowed: 0 to 3"},
        {"rope/f32_none_f32/0/normal", 1, -1, "positions[0] is -1"},
        {"unpermute/f32_none_f32/0/normal", 1, 1, "slot[0] is 1; allowed: 0 to 0"},
    };
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        conform_op_case wanted;
        conform_built built;
        char path[256];
        assert_int_equal(conform_parse_case(wild[i].id, &wanted), ISO_OK);
        assert_int_equal(conform_built_init(&built, &wanted, 1, false), ISO_OK);
        assert_int_equal(conform_built_refer(&built, &wanted, &iso_numerics_ieee), ISO_OK);
        ((int32_t *)((iso_tensor *)built.params)[wild[i].operand].host)[0] = wild[i].value;
        const conform_case test_case = {wanted.op, built.params, built.expected, "", wild[i].id, "", 1};
        assert_int_equal(conform_case_write(folder, &test_case, path, sizeof path), ISO_OK);
        expect_refused(path, wild[i].part);
        conform_built_deinit(&built);
        unlink(path);
    }
}

// A pipe without a writer must not be waited for.
static void other_kinds_of_files_are_refused(void **state)
{
    (void)state;
    char path[256];
    expect_refused(folder, "it is no regular file");
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(path, "it is no regular file");
    unlink(path);
}

static void impossible_folders_are_named(void **state)
{
    (void)state;
    const iso_reference_output none[ISO_MAX_OPERANDS] = {{0}};
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8))) = {0};
    const conform_case test_case = {iso_ops()->ops[0], params, none, "", "a/b", "", 1};
    conform_result result;
    assert_int_equal(conform_case_write("/proc/none/here", &test_case, NULL, 0), ISO_IO);
    assert_non_null(strstr(iso_status_last()->text, "/proc/none/here"));
    assert_int_equal(conform_case_run("/proc/none/here.case", device, &result), ISO_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_run_as_written),         cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(edited_headers_are_refused),   cmocka_unit_test(wild_indices_are_refused),
        cmocka_unit_test(impossible_folders_are_named), cmocka_unit_test(other_kinds_of_files_are_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
