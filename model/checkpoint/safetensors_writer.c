// SPDX-License-Identifier: MIT
//
// Writes one safetensors file, whole or not at all: to a new file beside the target, flushed to the disk,
// renamed. It must not know what the tensors are for. Data lies in order of falling element size, so that
// every tensor is aligned.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/checkpoint/file.h"
#include "model/checkpoint/safetensors.h"
#include "runtime/base/strings.h"

// Where data begins, so that mapped tensors are aligned.
#define DATA_ALIGNMENT 64
#define MAX_ELEM_BYTES 8
// Names to try beside the target before giving up.
#define TEMPORARY_NAMES 1000

typedef struct pending {
    char *name;
    const void *data;
    iso_dtype dtype;
    uint32_t rank;
    uint64_t dims[ISO_CHECKPOINT_MAX_DIMS];
    uint64_t bytes;
} pending;

struct iso_safetensors_writer {
    const iso_allocator *allocator;
    char *path;
    pending *tensors;
    size_t capacity;
    uint32_t count;
    bool finished;
};

iso_status iso_safetensors_writer_create(const char *path, const iso_allocator *allocator,
                                         iso_safetensors_writer **out_writer)
{
    *out_writer = NULL;
    iso_safetensors_writer *w = NULL;
    ISO_TRY(ISO_NEW(allocator, 1, &w));
    w->allocator = allocator;
    iso_status status = iso_alloc_string(allocator, path, &w->path);
    if (status != ISO_OK) {
        iso_safetensors_writer_destroy(w);
        return status;
    }
    *out_writer = w;
    return ISO_OK;
}

void iso_safetensors_writer_destroy(iso_safetensors_writer *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < w->count; i++)
        iso_free(w->allocator, w->tensors[i].name);
    iso_free(w->allocator, w->tensors);
    iso_free(w->allocator, w->path);
    iso_free(w->allocator, w);
}

static iso_status check_name(const iso_safetensors_writer *w, const char *name)
{
    if (!name || name[0] == '\0' || strcmp(name, "__metadata__") == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: a tensor needs a name, other than \"__metadata__\"",
                        w->path);
    for (uint32_t i = 0; i < w->count; i++)
        if (strcmp(w->tensors[i].name, name) == 0)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor \"%s\" was added before", w->path, name);
    json_t *text = json_string(name);
    if (!text)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor name \"%s\" must be UTF-8", w->path, name);
    json_decref(text);
    return ISO_OK;
}

iso_status iso_safetensors_writer_add(iso_safetensors_writer *w, const iso_tensor_view *tensor)
{
    if (w->finished)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: was written already; create another writer", w->path);
    ISO_TRY(check_name(w, tensor->name));
    if (!iso_safetensors_dtype_name(tensor->dtype))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor \"%s\": dtype %s cannot be stored", w->path,
                        tensor->name, iso_dtype_name(tensor->dtype));
    if (tensor->rank > ISO_CHECKPOINT_MAX_DIMS)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor \"%s\": rank %" PRIu32 " must be at most %d",
                        w->path, tensor->name, tensor->rank, ISO_CHECKPOINT_MAX_DIMS);
    pending added = {.data = tensor->data, .dtype = tensor->dtype, .rank = tensor->rank};
    added.bytes = iso_dtype_bytes(tensor->dtype);
    bool overflow = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        added.dims[i] = tensor->dims[i];
        overflow |= __builtin_mul_overflow(added.bytes, tensor->dims[i], &added.bytes);
    }
    if (overflow || added.bytes > INT64_MAX / 2 || (added.bytes > 0 && !added.data))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor \"%s\" must have data and less than 2^62 bytes",
                        w->path, tensor->name);
    ISO_TRY(
        iso_grow(w->allocator, sizeof *w->tensors, (size_t)w->count + 1, (void **)&w->tensors, &w->capacity));
    ISO_TRY(iso_alloc_string(w->allocator, tensor->name, &added.name));
    w->tensors[w->count++] = added;
    return ISO_OK;
}

// Calls for every tensor in the order in which the data lies.
typedef iso_status (*visit_fn)(const pending *tensor, void *context);

static iso_status visit_in_order(const iso_safetensors_writer *w, visit_fn visit, void *context)
{
    for (size_t elem_bytes = MAX_ELEM_BYTES; elem_bytes > 0; elem_bytes--)
        for (uint32_t i = 0; i < w->count; i++)
            if (iso_dtype_bytes(w->tensors[i].dtype) == elem_bytes)
                ISO_TRY(visit(&w->tensors[i], context));
    return ISO_OK;
}

typedef struct header_text {
    iso_text text;
    uint64_t offset;
} header_text;

static iso_status append_entry(const pending *tensor, void *context)
{
    header_text *header = context;
    json_t *name = json_string(tensor->name);
    char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    json_decref(name);
    if (!quoted)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory while writing JSON");
    iso_status status = iso_text_append(&header->text, "%s%s:{\"dtype\":\"%s\",\"shape\":[",
                                        header->text.length > 1 ? "," : "", quoted,
                                        iso_safetensors_dtype_name(tensor->dtype));
    free(quoted);
    ISO_TRY(status);
    for (uint32_t i = 0; i < tensor->rank; i++)
        ISO_TRY(iso_text_append(&header->text, "%s%" PRIu64, i > 0 ? "," : "", tensor->dims[i]));
    uint64_t begin = header->offset;
    if (__builtin_add_overflow(header->offset, tensor->bytes, &header->offset) ||
        header->offset > INT64_MAX / 2)
        return iso_fail(ISO_INVALID_ARGUMENT, "tensor \"%s\": all tensors must have less than 2^62 bytes",
                        tensor->name);
    return iso_text_append(&header->text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin,
                           header->offset);
}

static iso_status build_header(const iso_safetensors_writer *w, header_text *header)
{
    ISO_TRY(iso_text_append(&header->text, "{"));
    ISO_TRY(visit_in_order(w, append_entry, header));
    ISO_TRY(iso_text_append(&header->text, "}"));
    size_t end = ISO_SAFETENSORS_LENGTH_BYTES + header->text.length;
    int padding = (int)((DATA_ALIGNMENT - end % DATA_ALIGNMENT) % DATA_ALIGNMENT);
    ISO_TRY(iso_text_append(&header->text, "%*s", padding, ""));
    if (header->text.length > ISO_SAFETENSORS_MAX_HEADER_BYTES)
        return iso_fail(ISO_INVALID_ARGUMENT, "%zu bytes of tensor names and shapes must be at most %u",
                        header->text.length, ISO_SAFETENSORS_MAX_HEADER_BYTES);
    return ISO_OK;
}

typedef struct output {
    int descriptor;
    const char *path; // for messages: the target, not the temporary file
} output;

static iso_status write_all(const output *out, const void *data, uint64_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t written = write(out->descriptor, at, bytes < (1u << 30) ? bytes : (1u << 30));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return iso_fail(ISO_IO, "%s: cannot be written: %s", out->path, strerror(errno));
        at += written;
        bytes -= (uint64_t)written;
    }
    return ISO_OK;
}

static iso_status write_tensor(const pending *tensor, void *context)
{
    return write_all(context, tensor->data, tensor->bytes);
}

static iso_status write_content(const iso_safetensors_writer *w, const output *out, const iso_text *header)
{
    uint8_t length[ISO_SAFETENSORS_LENGTH_BYTES];
    for (uint32_t i = 0; i < ISO_SAFETENSORS_LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)header->length >> (8 * i));
    ISO_TRY(write_all(out, length, sizeof length));
    ISO_TRY(write_all(out, header->data, header->length));
    ISO_TRY(visit_in_order(w, write_tensor, (void *)out));
    if (fsync(out->descriptor) != 0)
        return iso_fail(ISO_IO, "%s: cannot be flushed to the disk: %s", w->path, strerror(errno));
    return ISO_OK;
}

// Creates a file that did not exist; out_path is freed by the caller whatever happens.
static iso_status create_temporary(const iso_safetensors_writer *w, iso_text *out_path, int *out_descriptor)
{
    *out_descriptor = -1;
    for (int i = 0; i < TEMPORARY_NAMES && *out_descriptor < 0; i++) {
        iso_text_deinit(out_path);
        ISO_TRY(iso_text_append(out_path, "%s.tmp-%ld-%d", w->path, (long)getpid(), i));
        *out_descriptor = open(out_path->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*out_descriptor < 0 && errno != EEXIST)
            break;
    }
    if (*out_descriptor < 0)
        return iso_fail(ISO_IO, "%s: cannot be created: %s", w->path, strerror(errno));
    return ISO_OK;
}

static iso_status write_aside_and_rename(const iso_safetensors_writer *w, const iso_text *header)
{
    iso_text temporary = {.allocator = w->allocator};
    int descriptor;
    iso_status status = create_temporary(w, &temporary, &descriptor);
    if (status != ISO_OK)
        goto done;
    status = write_content(w, &(output){descriptor, w->path}, header);
    if (close(descriptor) != 0 && status == ISO_OK)
        status = iso_fail(ISO_IO, "%s: cannot be written: %s", w->path, strerror(errno));
    if (status == ISO_OK && rename(temporary.data, w->path) != 0)
        status = iso_fail(ISO_IO, "%s: cannot be put in place: %s", w->path, strerror(errno));
    if (status != ISO_OK)
        (void)unlink(temporary.data);
done:
    iso_text_deinit(&temporary);
    return status;
}

iso_status iso_safetensors_writer_finish(iso_safetensors_writer *w)
{
    if (w->finished)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: was written already; create another writer", w->path);
    // A device or a pipe must not be replaced by a file.
    struct stat info;
    if (stat(w->path, &info) == 0 && !S_ISREG(info.st_mode))
        return iso_fail(ISO_IO, "%s: is not a regular file and would be replaced; give another name",
                        w->path);
    header_text header = {.text.allocator = w->allocator};
    iso_status status = build_header(w, &header);
    if (status == ISO_INVALID_ARGUMENT)
        status = iso_status_prefix("%s", w->path);
    if (status == ISO_OK)
        status = write_aside_and_rename(w, &header.text);
    iso_text_deinit(&header.text);
    w->finished = status == ISO_OK;
    return status;
}
