// SPDX-License-Identifier: MIT
//
// Reading standalone cases. A file may come from anyone: every number is checked against the file's length
// and the op's contract before it is used, and what is wrong is named by its field.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "conformance/ops/attributes.h"
#include "conformance/ops/case_indices.h"
#include "conformance/ops/case_layout.h"
#include "runtime/base/strings.h"

#define MOST_BYTES (UINT64_C(4) << 30)
#define MOST_ELEMS (UINT64_C(4) * 1000 * 1000 * 1000) // below what 32 bits count
// Of one output with the gaps between its rows: a short file must not ask for all of a machine's memory.
#define MOST_STORAGE (UINT64_C(1) << 30)

// Takes a file's blocks one after the other.
typedef struct reader {
    case_content *content;
    uint64_t at; // of the next block
} reader;

// Without O_NONBLOCK a pipe with no writer would be waited for.
static iso_status open_file(const char *path, FILE **out)
{
    struct stat facts;
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return iso_fail(ISO_NOT_FOUND, "%s: %s", path, strerror(errno));
    bool known = fstat(descriptor, &facts) == 0, regular = known && S_ISREG(facts.st_mode);
    *out = regular ? fdopen(descriptor, "rb") : NULL;
    if (*out)
        return ISO_OK;
    int error = errno;
    close(descriptor);
    return known && !regular ? iso_fail(ISO_CORRUPT, "it is no regular file")
                             : iso_fail(ISO_IO, "it cannot be read: %s", strerror(error));
}

static iso_status read_whole(const char *path, case_content *content)
{
    FILE *file;
    iso_status status = ISO_OK;
    ISO_TRY(open_file(path, &file));
    errno = 0;
    long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (end < CASE_HEAD_BYTES || (uint64_t)end > MOST_BYTES)
        status = iso_fail(ISO_CORRUPT, "length is %ld bytes; allowed: %d to %" PRIu64, end, CASE_HEAD_BYTES,
                          MOST_BYTES);
    if (status == ISO_OK)
        status = iso_alloc(NULL, (size_t)end, (void **)&content->data);
    content->bytes = status == ISO_OK ? (uint64_t)end : 0;
    if (status == ISO_OK &&
        (fseek(file, 0, SEEK_SET) != 0 || fread(content->data, (size_t)end, 1, file) != 1))
        status = iso_fail(ISO_IO, "it cannot be read: %s", errno ? strerror(errno) : "it ends early");
    fclose(file);
    return status;
}

static iso_status parse_header(reader *reader)
{
    case_content *content = reader->content;
    uint64_t length;
    json_error_t error;
    if (memcmp(content->data, CASE_MAGIC, CASE_MAGIC_BYTES) != 0)
        return iso_fail(ISO_CORRUPT, "magic is not %s", CASE_MAGIC);
    memcpy(&length, content->data + CASE_MAGIC_BYTES, sizeof length);
    if (length == 0 || length % CASE_ALIGNMENT != 0 || length > content->bytes - CASE_HEAD_BYTES)
        return iso_fail(ISO_CORRUPT,
                        "header length is %" PRIu64 "; allowed: multiples of %d up to %" PRIu64 " (the file)",
                        length, CASE_ALIGNMENT, content->bytes - CASE_HEAD_BYTES);
    content->header = json_loadb((const char *)content->data + CASE_HEAD_BYTES, (size_t)length,
                                 JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(content->header))
        return iso_fail(ISO_CORRUPT, "header is no JSON object: %s", error.text);
    reader->at = CASE_HEAD_BYTES + length;
    return ISO_OK;
}

static iso_status text_of(const json_t *object, const char *field, const char **out)
{
    *out = json_string_value(json_object_get(object, field));
    return *out ? ISO_OK : iso_fail(ISO_CORRUPT, "%s is missing or no text", field);
}

// A whole number from `least` to `most`; `field` is for messages.
static iso_status number_of(const json_t *value, const char *field, uint32_t operand, uint64_t least,
                            uint64_t most, uint64_t *out)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number < least || (uint64_t)number > most)
        return iso_fail(ISO_CORRUPT,
                        "tensors[%u].%s is %" JSON_INTEGER_FORMAT "; allowed: %" PRIu64 " to %" PRIu64,
                        operand, field, number, least, most);
    *out = (uint64_t)number;
    return ISO_OK;
}

static iso_status parse_top(case_content *content)
{
    const char *op, *hash, *seed;
    conform_case *out = &content->test_case;
    json_int_t version = json_integer_value(json_object_get(content->header, "suite"));
    if (version != CONFORM_CASE_VERSION)
        return iso_fail(ISO_CORRUPT, "suite is %" JSON_INTEGER_FORMAT "; this one reads %d", version,
                        CONFORM_CASE_VERSION);
    ISO_TRY(text_of(content->header, "op", &op));
    ISO_TRY(text_of(content->header, "kernel", &out->kernel));
    ISO_TRY(text_of(content->header, "unit", &out->unit));
    ISO_TRY(text_of(content->header, "detail", &out->detail));
    ISO_TRY(text_of(content->header, "seed", &seed));
    ISO_TRY(text_of(content->header, "hash", &hash));
    errno = 0;
    out->seed = strtoull(seed, NULL, 10);
    if (*seed == 0 || seed[strspn(seed, "0123456789")] || errno != 0)
        return iso_fail(ISO_CORRUPT, "seed is \"%s\"; it must be digits, up to 18446744073709551615", seed);
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        if (strcmp(iso_ops()->ops[o]->name, op) == 0)
            out->op = iso_ops()->ops[o];
    if (!out->op)
        return iso_fail(ISO_CORRUPT, "op is \"%s\"; there is no such op", op);
    return ISO_OK;
}

static iso_status parse_dtype(const char *name, uint32_t operand, iso_dtype *out)
{
    for (int d = 0; d < ISO_DTYPE_COUNT; d++)
        if (d != ISO_DTYPE_ACTIVATION && strcmp(name, iso_dtype_name((iso_dtype)d)) == 0) {
            *out = (iso_dtype)d;
            return ISO_OK;
        }
    return iso_fail(ISO_CORRUPT, "tensors[%u].dtype is \"%s\"; there is no such type", operand, name);
}

static iso_status parse_dims(const json_t *described, uint32_t operand, iso_tensor *t)
{
    const json_t *dims = json_object_get(described, "dims");
    uint64_t number, elems = 1;
    t->rank = (uint32_t)json_array_size(dims);
    if (!json_is_array(dims) || t->rank < 1 || t->rank > ISO_MAX_DIMS)
        return iso_fail(ISO_CORRUPT, "tensors[%u].dims has %zu entries; allowed: 1 to %d", operand,
                        json_array_size(dims), ISO_MAX_DIMS);
    for (uint32_t i = 0; i < ISO_MAX_DIMS; i++) {
        t->dims[i] = 1;
        if (i >= t->rank)
            continue;
        ISO_TRY(number_of(json_array_get(dims, i), "dims", operand, 1, MOST_ELEMS / elems, &number));
        elems *= number;
        t->dims[i] = (uint32_t)(number <= UINT32_MAX ? number : 0);
        if (t->dims[i] == 0)
            return iso_fail(ISO_CORRUPT, "tensors[%u].dims is %" PRIu64 "; allowed: up to 4294967295",
                            operand, number);
    }
    ISO_TRY(number_of(json_object_get(described, "row_stride"), "row_stride", operand, iso_tensor_width(t),
                      UINT32_MAX, &number));
    t->row_stride = (uint32_t)number;
    ISO_TRY(
        number_of(json_object_get(described, "view_offset"), "view_offset", operand, 0, UINT32_MAX, &number));
    t->view_offset = (uint32_t)number;
    return ISO_OK;
}

static iso_status take_block(reader *reader, const char *what, uint32_t number, uint64_t bytes, void **out)
{
    uint64_t left = reader->content->bytes - reader->at;
    if (bytes > left || case_aligned(bytes) > left)
        return iso_fail(ISO_CORRUPT, "%s[%u] has %" PRIu64 " bytes; the file has %" PRIu64 " left", what,
                        number, bytes, left);
    *out = reader->content->data + reader->at;
    reader->at += case_aligned(bytes);
    return ISO_OK;
}

// The storage is an earlier operand's, the file's next block, or (an output's) nothing.
static iso_status bind_tensor(reader *reader, const json_t *described, uint32_t operand, iso_tensor *tensors)
{
    iso_tensor *t = &tensors[operand];
    uint64_t elems, shares;
    ISO_TRY(number_of(json_object_get(described, "shares"), "shares", operand, 0, operand, &shares));
    ISO_TRY(number_of(json_object_get(described, "elements"), "elements", operand, 0, MOST_BYTES, &elems));
    const iso_op_info *op = reader->content->test_case.op;
    if (shares < operand) {
        const iso_tensor *first = &tensors[shares];
        if (operand < op->input_count || first->dtype != t->dtype || first->row_stride != t->row_stride ||
            first->view_offset != t->view_offset || iso_tensor_elems(first) != iso_tensor_elems(t) ||
            iso_tensor_width(first) != iso_tensor_width(t) || elems != 0)
            return iso_fail(ISO_CORRUPT, "tensors[%u].shares is %" PRIu64 ", which is another kind of tensor",
                            operand, shares);
        t->host = first->host;
        return ISO_OK;
    }
    bool stored = operand < op->input_count || guarded_keeps(op, operand - op->input_count);
    if (elems != (stored ? guarded_extent(t) : 0))
        return iso_fail(ISO_CORRUPT, "tensors[%u].elements is %" PRIu64 "; its shape needs %" PRIu64, operand,
                        elems, stored ? guarded_extent(t) : 0);
    // What is stored is bounded by the file itself.
    if (!stored && guarded_extent(t) > MOST_STORAGE / iso_dtype_bytes(t->dtype))
        return iso_fail(ISO_CORRUPT,
                        "tensors[%u].row_stride is %u and view_offset %u, storage of %" PRIu64
                        " elements; allowed: up to %" PRIu64,
                        operand, t->row_stride, t->view_offset, guarded_extent(t),
                        MOST_STORAGE / iso_dtype_bytes(t->dtype));
    t->host = reader->content->blank + operand;
    return stored ? take_block(reader, "tensors", operand, elems * iso_dtype_bytes(t->dtype), &t->host)
                  : ISO_OK;
}

static iso_status parse_tensors(reader *reader)
{
    case_content *content = reader->content;
    const json_t *list = json_object_get(content->header, "tensors");
    const iso_op_info *op = content->test_case.op;
    iso_tensor *tensors = (iso_tensor *)content->params;
    uint32_t count = op->input_count + op->output_count;
    if (!json_is_array(list) || json_array_size(list) != count)
        return iso_fail(ISO_CORRUPT, "tensors has %zu entries; op %s has %u operands", json_array_size(list),
                        op->name, count);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *described = json_array_get(list, i);
        const char *dtype;
        ISO_TRY(text_of(described, "dtype", &dtype));
        ISO_TRY(parse_dtype(dtype, i, &tensors[i].dtype));
        if (tensors[i].dtype == ISO_DTYPE_NONE)
            continue;
        ISO_TRY(parse_dims(described, i, &tensors[i]));
        ISO_TRY(bind_tensor(reader, described, i, tensors));
    }
    return ISO_OK;
}

static iso_status parse_expected(reader *reader)
{
    case_content *content = reader->content;
    const iso_op_info *op = content->test_case.op;
    const iso_tensor *outputs = (const iso_tensor *)content->params + op->input_count;
    const json_t *list = json_object_get(content->header, "expected");
    if (!json_is_array(list) || json_array_size(list) != op->output_count)
        return iso_fail(ISO_CORRUPT, "expected has %zu entries; op %s has %u outputs", json_array_size(list),
                        op->name, op->output_count);
    for (uint32_t o = 0; o < op->output_count; o++) {
        uint64_t elems = iso_tensor_elems(&outputs[o]);
        if (json_integer_value(json_array_get(list, o)) != (json_int_t)elems)
            return iso_fail(ISO_CORRUPT, "expected[%u] is %" JSON_INTEGER_FORMAT "; the output has %" PRIu64,
                            o, json_integer_value(json_array_get(list, o)), elems);
        void *block;
        ISO_TRY(take_block(reader, "expected", o, elems * sizeof(double), &block));
        content->expected[o].value = block;
        ISO_TRY(take_block(reader, "bounds", o, elems * sizeof(double), &block));
        content->expected[o].bound = block;
    }
    if (reader->at != content->bytes)
        return iso_fail(ISO_CORRUPT, "length is %" PRIu64 "; the header describes %" PRIu64, content->bytes,
                        reader->at);
    return ISO_OK;
}

static iso_status check_hash(const case_content *content, uint64_t from)
{
    char hash[17];
    const char *wanted = json_string_value(json_object_get(content->header, "hash"));
    snprintf(hash, sizeof hash, "%016" PRIx64,
             XXH3_64bits(content->data + from, (size_t)(content->bytes - from)));
    if (strcmp(hash, wanted) != 0)
        return iso_fail(ISO_CORRUPT, "hash is %s; the tensors have %s: they were changed", wanted, hash);
    return ISO_OK;
}

static iso_status parse(case_content *content, const char *path)
{
    reader reader = {.content = content};
    ISO_TRY(read_whole(path, content));
    ISO_TRY(parse_header(&reader));
    uint64_t body = reader.at;
    ISO_TRY(parse_top(content));
    ISO_TRY(iso_alloc(NULL, ISO_MAX_OPERANDS, (void **)&content->blank));
    ISO_TRY(parse_tensors(&reader));
    ISO_TRY(parse_expected(&reader));
    ISO_TRY(check_hash(content, body));
    const iso_op_info *op = content->test_case.op;
    ISO_TRY(conform_attributes_set(op, json_object_get(content->header, "attributes"), content->params));
    if (op->check(content->params) != ISO_OK)
        return iso_fail(ISO_CORRUPT, "%s", iso_status_last()->text);
    return conform_indices_check(op, content->params);
}

iso_status conform_case_read(const char *path, case_content *out_content)
{
    *out_content = (case_content){0};
    iso_status status = parse(out_content, path);
    if (status != ISO_OK) {
        conform_case_content_deinit(out_content);
        return status == ISO_NOT_FOUND ? status : iso_status_prefix("%s", path);
    }
    out_content->test_case.params = out_content->params;
    out_content->test_case.expected = out_content->expected;
    return ISO_OK;
}

void conform_case_content_deinit(case_content *content)
{
    json_decref(content->header);
    iso_free(NULL, content->data);
    iso_free(NULL, content->blank);
    *content = (case_content){0};
}
