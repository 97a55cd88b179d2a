// SPDX-License-Identifier: MIT
//
// Reads the header of one safetensors file and believes nothing in it: lengths against the file, types,
// shapes without overflow, byte ranges inside the file, of the right size and apart from each other. It must
// not touch the tensors' data. Format: huggingface/safetensors, README.md, "Format".
#include "model/checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/checkpoint/file.h"

typedef struct element_type {
    const char *name;
    iso_dtype dtype;
    uint32_t bits;
} element_type;

static const element_type element_types[] = {
    {"F32", ISO_DTYPE_F32, 32},        {"F16", ISO_DTYPE_F16, 16},     {"BF16", ISO_DTYPE_BF16, 16},
    {"F8_E4M3", ISO_DTYPE_F8_E4M3, 8}, {"I32", ISO_DTYPE_I32, 32},     {"U32", ISO_DTYPE_U32, 32},
    {"F64", ISO_DTYPE_NONE, 64},       {"I64", ISO_DTYPE_NONE, 64},    {"U64", ISO_DTYPE_NONE, 64},
    {"I16", ISO_DTYPE_NONE, 16},       {"U16", ISO_DTYPE_NONE, 16},    {"I8", ISO_DTYPE_NONE, 8},
    {"U8", ISO_DTYPE_NONE, 8},         {"BOOL", ISO_DTYPE_NONE, 8},    {"F8_E5M2", ISO_DTYPE_NONE, 8},
    {"F8_E8M0", ISO_DTYPE_NONE, 8},    {"F6_E2M3", ISO_DTYPE_NONE, 6}, {"F6_E3M2", ISO_DTYPE_NONE, 6},
    {"F4", ISO_DTYPE_NONE, 4},         {"C64", ISO_DTYPE_NONE, 64},
};
#define ELEMENT_TYPE_COUNT (sizeof element_types / sizeof element_types[0])

static const char metadata_key[] = "__metadata__";

// What the checks of one file share.
typedef struct parser {
    const char *file;
    const iso_allocator *allocator;
    uint64_t data_begin; // offset in the file
    uint64_t data_bytes;
    iso_safetensors_header *header;
    size_t texts_used;
} parser;

static const element_type *find_element_type(const char *name)
{
    for (size_t i = 0; i < ELEMENT_TYPE_COUNT; i++)
        if (strcmp(element_types[i].name, name) == 0)
            return &element_types[i];
    return NULL;
}

const char *iso_safetensors_dtype_name(iso_dtype dtype)
{
    if (dtype == ISO_DTYPE_NONE)
        return NULL;
    for (size_t i = 0; i < ELEMENT_TYPE_COUNT; i++)
        if (element_types[i].dtype == dtype)
            return element_types[i].name;
    return NULL;
}

// A non-negative integer of a JSON array.
static bool array_number(const json_t *array, size_t index, uint64_t *out)
{
    const json_t *value = json_array_get(array, index);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static iso_status read_shape(const parser *p, const json_t *shape, iso_safetensors_entry *entry)
{
    if (!json_is_array(shape))
        return iso_fail(ISO_CORRUPT,
                        "%s: tensor \"%s\": \"shape\" must be an array of integers; " ISO_REMEDY_DOWNLOAD,
                        p->file, entry->name);
    if (json_array_size(shape) > ISO_CHECKPOINT_MAX_DIMS)
        return iso_fail(ISO_UNSUPPORTED, "%s: tensor \"%s\" has %zu dimensions; at most %d can be read",
                        p->file, entry->name, json_array_size(shape), ISO_CHECKPOINT_MAX_DIMS);
    entry->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < ISO_CHECKPOINT_MAX_DIMS; i++) {
        entry->dims[i] = 1;
        if (i < entry->rank && !array_number(shape, i, &entry->dims[i]))
            return iso_fail(
                ISO_CORRUPT,
                "%s: tensor \"%s\": \"shape\"[%u] must be an integer from 0; " ISO_REMEDY_DOWNLOAD, p->file,
                entry->name, i);
    }
    return ISO_OK;
}

// Bytes of shape x type; a type that is not in the table has no known size and is only checked against the
// file.
static iso_status check_size(const parser *p, const iso_safetensors_entry *entry, const element_type *type)
{
    uint64_t elems = 1;
    bool overflow = false;
    for (uint32_t i = 0; i < entry->rank; i++)
        overflow |= __builtin_mul_overflow(elems, entry->dims[i], &elems);
    uint64_t bits = 0;
    if (type)
        overflow |= __builtin_mul_overflow(elems, (uint64_t)type->bits, &bits);
    if (overflow)
        return iso_fail(
            ISO_CORRUPT,
            "%s: tensor \"%s\": its shape has more than 2^64 elements or bits; " ISO_REMEDY_DOWNLOAD, p->file,
            entry->name);
    if (type && (bits % 8 != 0 || bits / 8 != entry->bytes))
        return iso_fail(ISO_CORRUPT,
                        "%s: tensor \"%s\": data_offsets span %" PRIu64 " bytes, but %" PRIu64
                        " elements of %s need %" PRIu64 "; " ISO_REMEDY_DOWNLOAD,
                        p->file, entry->name, entry->bytes, elems, type->name, bits / 8 + (bits % 8 != 0));
    return ISO_OK;
}

static iso_status read_offsets(const parser *p, const json_t *offsets, iso_safetensors_entry *entry)
{
    uint64_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !array_number(offsets, 0, &begin) ||
        !array_number(offsets, 1, &end))
        return iso_fail(
            ISO_CORRUPT,
            "%s: tensor \"%s\": \"data_offsets\" must be two integers from 0; " ISO_REMEDY_DOWNLOAD, p->file,
            entry->name);
    if (begin > end || end > p->data_bytes)
        return iso_fail(ISO_CORRUPT,
                        "%s: tensor \"%s\": data_offsets [%" PRIu64 ", %" PRIu64
                        "] must ascend and lie within the "
                        "file's %" PRIu64 " bytes of data; " ISO_REMEDY_DOWNLOAD,
                        p->file, entry->name, begin, end, p->data_bytes);
    entry->begin = p->data_begin + begin;
    entry->bytes = end - begin;
    return ISO_OK;
}

static const char *keep_text(parser *p, const char *text)
{
    char *kept = p->header->texts + p->texts_used;
    size_t bytes = strlen(text) + 1;
    memcpy(kept, text, bytes);
    p->texts_used += bytes;
    return kept;
}

static iso_status read_entry(parser *p, const char *name, const json_t *value, iso_safetensors_entry *entry)
{
    entry->name = keep_text(p, name);
    if (!json_is_object(value))
        return iso_fail(ISO_CORRUPT, "%s: tensor \"%s\" must be a JSON object; " ISO_REMEDY_DOWNLOAD, p->file,
                        name);
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return iso_fail(ISO_CORRUPT, "%s: tensor \"%s\": \"dtype\" must be a string; " ISO_REMEDY_DOWNLOAD,
                        p->file, name);
    const element_type *type = find_element_type(dtype);
    entry->dtype = type ? type->dtype : ISO_DTYPE_NONE;
    entry->dtype_name = type ? type->name : keep_text(p, dtype);
    ISO_TRY(read_shape(p, json_object_get(value, "shape"), entry));
    ISO_TRY(read_offsets(p, json_object_get(value, "data_offsets"), entry));
    return check_size(p, entry, type);
}

static int compare_begin(const void *left, const void *right)
{
    const iso_safetensors_entry *a = *(const iso_safetensors_entry *const *)left;
    const iso_safetensors_entry *b = *(const iso_safetensors_entry *const *)right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes); // empty tensors first: they overlap nothing
}

static iso_status check_overlaps(parser *p)
{
    iso_safetensors_header *header = p->header;
    const iso_safetensors_entry **sorted = NULL;
    ISO_TRY(ISO_NEW(p->allocator, header->count, &sorted));
    for (uint32_t i = 0; i < header->count; i++)
        sorted[i] = &header->entries[i];
    if (header->count > 1)
        qsort(sorted, header->count, sizeof *sorted, compare_begin);
    uint64_t end = p->data_begin;
    const iso_safetensors_entry *last = NULL; // the one that ends at `end`
    iso_status status = ISO_OK;
    for (uint32_t i = 0; i < header->count && status == ISO_OK; i++) {
        const iso_safetensors_entry *entry = sorted[i];
        if (last && entry->begin < end && entry->bytes > 0)
            status = iso_fail(ISO_CORRUPT, "%s: tensors \"%s\" and \"%s\" share bytes; " ISO_REMEDY_DOWNLOAD,
                              p->file, last->name, entry->name);
        if (entry->begin > end)
            header->hole_bytes += entry->begin - end;
        if (entry->begin + entry->bytes > end) {
            end = entry->begin + entry->bytes;
            last = entry;
        }
        header->tensor_bytes += entry->bytes;
    }
    header->hole_bytes += p->data_begin + p->data_bytes - end;
    iso_free(p->allocator, sorted);
    return status;
}

static bool is_tensor(const char *key)
{
    return strcmp(key, metadata_key) != 0;
}

static iso_status read_entries(parser *p, json_t *root)
{
    iso_safetensors_header *header = p->header;
    size_t count = 0;
    size_t text_bytes = 0;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (!is_tensor(key))
            continue;
        const char *dtype = json_string_value(json_object_get(value, "dtype"));
        text_bytes += strlen(key) + 1 + (dtype ? strlen(dtype) + 1 : 0);
        count++;
    }
    ISO_TRY(ISO_NEW(p->allocator, count, &header->entries));
    ISO_TRY(ISO_NEW(p->allocator, text_bytes, &header->texts));
    json_object_foreach(root, key, value)
    {
        if (!is_tensor(key))
            continue;
        ISO_TRY(read_entry(p, key, value, &header->entries[header->count]));
        header->count++;
    }
    return check_overlaps(p);
}

static uint64_t read_length(const uint8_t *data)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < ISO_SAFETENSORS_LENGTH_BYTES; i++)
        length |= (uint64_t)data[i] << (8 * i);
    return length;
}

iso_status iso_safetensors_parse(const uint8_t *data, size_t bytes, const char *file,
                                 const iso_allocator *allocator, iso_safetensors_header *out_header)
{
    *out_header = (iso_safetensors_header){0};
    if (bytes < ISO_SAFETENSORS_LENGTH_BYTES)
        return iso_fail(ISO_CORRUPT, "%s: %zu bytes are too few for a safetensors file; " ISO_REMEDY_DOWNLOAD,
                        file, bytes);
    uint64_t length = read_length(data);
    uint64_t room = bytes - ISO_SAFETENSORS_LENGTH_BYTES;
    if (length > ISO_SAFETENSORS_MAX_HEADER_BYTES || length > room)
        return iso_fail(ISO_CORRUPT,
                        "%s: header length %" PRIu64
                        " must be at most %u and fit in the file's %zu bytes; the file is "
                        "cut short or not safetensors: " ISO_REMEDY_DOWNLOAD,
                        file, length, ISO_SAFETENSORS_MAX_HEADER_BYTES, bytes);
    const uint8_t *text = data + ISO_SAFETENSORS_LENGTH_BYTES;
    if (length == 0 || text[0] != '{')
        return iso_fail(ISO_CORRUPT, "%s: the header must be a JSON object; " ISO_REMEDY_DOWNLOAD, file);
    json_t *root;
    ISO_TRY(iso_json_parse(text, length, 0, file, &root));
    parser p = {.file = file,
                .allocator = allocator,
                .data_begin = ISO_SAFETENSORS_LENGTH_BYTES + length,
                .data_bytes = room - length,
                .header = out_header};
    iso_status status = read_entries(&p, root);
    json_decref(root);
    if (status != ISO_OK)
        iso_safetensors_header_deinit(out_header, allocator);
    return status;
}

void iso_safetensors_header_deinit(iso_safetensors_header *header, const iso_allocator *allocator)
{
    iso_free(allocator, header->entries);
    iso_free(allocator, header->texts);
    *header = (iso_safetensors_header){0};
}
