// SPDX-License-Identifier: MIT
//
// Guarded buffers (guarded.h).
#include "conformance/ops/guarded.h"

#include <stdio.h>
#include <string.h>

#define MARGIN_BYTES 256

// As whole words: NaN as F32, as two BF16, as two F16 and as four E4M3; and finite in all of them.
static const uint32_t output_poison[GUARD_PATTERN_COUNT] = {0x7fff7fffu, 0x5a5a5a5au};

// What one element outside of the views holds, by its type.
static void wild_element(void *at, iso_dtype dtype, uint64_t index, guard_pattern pattern)
{
    static const uint32_t words[GUARD_PATTERN_COUNT] = {0x7fc00000u, 0x7f7fffffu};
    static const uint16_t bf16[GUARD_PATTERN_COUNT] = {0x7fc0u, 0x7f7fu};
    static const uint16_t f16[GUARD_PATTERN_COUNT] = {0x7e00u, 0x7bffu};
    static const uint8_t e4m3[GUARD_PATTERN_COUNT] = {0x7fu, 0x7eu};
    static const int32_t integers[GUARD_PATTERN_COUNT] = {0x3fffff00, -7};
    uint32_t integer = (uint32_t)integers[pattern] + (uint32_t)(index % 5);
    switch (dtype) {
    case ISO_DTYPE_BF16:
        memcpy(at, &bf16[pattern], 2);
        break;
    case ISO_DTYPE_F16:
        memcpy(at, &f16[pattern], 2);
        break;
    case ISO_DTYPE_F8_E4M3:
        memcpy(at, &e4m3[pattern], 1);
        break;
    case ISO_DTYPE_I32:
    case ISO_DTYPE_U32:
        memcpy(at, &integer, 4);
        break;
    default:
        memcpy(at, &words[pattern], 4);
        break;
    }
}

uint64_t guarded_extent(const iso_tensor *tensor)
{
    uint64_t rows = iso_tensor_rows(tensor);
    return tensor->view_offset + (rows ? (rows - 1) * tensor->row_stride + iso_tensor_width(tensor) : 0);
}

bool guarded_keeps(const iso_op_info *op, uint32_t output)
{
    return output == 0 && strcmp(op->name, "kv_write") == 0; // rows that no slot names
}

static const iso_tensor *tensors_of(const guarded *guarded)
{
    return (const iso_tensor *)guarded->params;
}

static uint32_t operand_count(const guarded *guarded)
{
    return guarded->op->input_count + guarded->op->output_count;
}

// Copies the rows of a view between two images of its storage.
static void copy_view(const iso_tensor *t, void *target, const void *source)
{
    size_t element = iso_dtype_bytes(t->dtype), row_bytes = iso_tensor_width(t) * element;
    for (uint32_t r = 0; r < iso_tensor_rows(t); r++) {
        size_t at = ((size_t)t->view_offset + (size_t)r * t->row_stride) * element;
        memcpy((uint8_t *)target + at, (const uint8_t *)source + at, row_bytes);
    }
}

static void clear_view(const iso_tensor *t, void *target)
{
    size_t element = iso_dtype_bytes(t->dtype);
    for (uint32_t r = 0; r < iso_tensor_rows(t); r++)
        memset((uint8_t *)target + ((size_t)t->view_offset + (size_t)r * t->row_stride) * element, 0,
               iso_tensor_width(t) * element);
}

static iso_status make_storage(guarded *guarded, guarded_storage *storage)
{
    uint64_t alignment = iso_device_get_info(guarded->device)->buffer_alignment_bytes;
    alignment = alignment > MARGIN_BYTES ? alignment : MARGIN_BYTES;
    storage->margin = alignment;
    storage->bytes = alignment + (storage->bytes + 3) / 4 * 4 + MARGIN_BYTES;
    ISO_TRY(iso_alloc(NULL, storage->bytes, (void **)&storage->image));
    ISO_TRY(iso_alloc(NULL, storage->bytes, (void **)&storage->now));
    return iso_buffer_create(guarded->device, storage->bytes, &storage->buffer);
}

iso_status guarded_init(guarded *guarded, const iso_op_info *op, const void *params, iso_device *device)
{
    *guarded = (struct guarded){.op = op, .device = device};
    memcpy(guarded->params, params, op->params_bytes);
    iso_tensor *tensors = (iso_tensor *)guarded->params;
    for (uint32_t i = 0; i < operand_count(guarded); i++) {
        if (!iso_tensor_present(&tensors[i]))
            continue;
        uint32_t s = 0;
        while (s < guarded->storage_count && tensors[guarded->storages[s].operand].host != tensors[i].host)
            s++;
        guarded_storage *storage = &guarded->storages[s];
        if (s == guarded->storage_count) {
            storage->operand = i;
            guarded->storage_count++;
        }
        uint64_t bytes = guarded_extent(&tensors[i]) * iso_dtype_bytes(tensors[i].dtype);
        storage->bytes = bytes > storage->bytes ? bytes : storage->bytes;
        storage->written = storage->written || i >= op->input_count;
        guarded->storage_of[i] = s;
    }
    iso_status status = ISO_OK;
    for (uint32_t s = 0; s < guarded->storage_count && status == ISO_OK; s++)
        status = make_storage(guarded, &guarded->storages[s]);
    for (uint32_t i = 0; i < operand_count(guarded) && status == ISO_OK; i++) {
        if (!iso_tensor_present(&tensors[i]))
            continue;
        tensors[i].memory = iso_buffer_memory(guarded->storages[guarded->storage_of[i]].buffer);
        tensors[i].offset_bytes = guarded->storages[guarded->storage_of[i]].margin;
    }
    if (status != ISO_OK)
        guarded_deinit(guarded);
    return status;
}

static void fill_image(guarded_storage *storage, iso_dtype dtype, guard_pattern pattern, bool output)
{
    size_t element = iso_dtype_bytes(dtype);
    for (uint64_t i = 0; !output && i < storage->bytes / element; i++)
        wild_element(storage->image + i * element, dtype, i, pattern);
    for (uint64_t i = 0; output && i < storage->bytes; i += 4)
        memcpy(storage->image + i, &output_poison[pattern], 4);
}

iso_status guarded_upload(guarded *guarded, guard_pattern pattern, bool decoy)
{
    const iso_tensor *tensors = tensors_of(guarded);
    const uint32_t inputs = guarded->op->input_count;
    for (uint32_t s = 0; s < guarded->storage_count; s++) {
        uint32_t first = guarded->storages[s].operand;
        fill_image(&guarded->storages[s], tensors[first].dtype, pattern, first >= inputs);
    }
    for (uint32_t i = 0; i < operand_count(guarded); i++) {
        if (!iso_tensor_present(&tensors[i]) || (i >= inputs && !guarded_keeps(guarded->op, i - inputs)))
            continue;
        const guarded_storage *storage = &guarded->storages[guarded->storage_of[i]];
        // Two rows of one launch in one slot would be a race of the caller's: a decoy keeps the slots.
        bool slots = guarded_keeps(guarded->op, 0) && tensors[i].dtype == ISO_DTYPE_I32;
        if (decoy && !slots)
            clear_view(&tensors[i], storage->image + storage->margin);
        else
            copy_view(&tensors[i], storage->image + storage->margin, tensors[i].host);
    }
    for (uint32_t s = 0; s < guarded->storage_count; s++)
        ISO_TRY(iso_buffer_write(guarded->storages[s].buffer, 0, guarded->storages[s].image,
                                 guarded->storages[s].bytes));
    return ISO_OK;
}

iso_status guarded_download(guarded *guarded)
{
    for (uint32_t s = 0; s < guarded->storage_count; s++)
        ISO_TRY(iso_buffer_read(guarded->storages[s].buffer, 0, guarded->storages[s].now,
                                guarded->storages[s].bytes));
    return ISO_OK;
}

static void describe_change(const guarded *guarded, const guarded_storage *storage, uint64_t byte,
                            char *detail, size_t detail_bytes)
{
    const iso_tensor *t = &tensors_of(guarded)[storage->operand];
    uint64_t element = iso_dtype_bytes(t->dtype), end = guarded_extent(t) * element;
    const char *side = storage->operand < guarded->op->input_count ? "input" : "output";
    uint32_t number = storage->operand < guarded->op->input_count
                          ? storage->operand
                          : storage->operand - guarded->op->input_count;
    int64_t at = (int64_t)byte - (int64_t)storage->margin;
    const char *where = at < 0 ? "before its start" : (uint64_t)at >= end ? "past its end" : "inside it";
    snprintf(detail, detail_bytes, "%s %u was changed %s, at byte %lld of %llu: %02x became %02x", side,
             number, where, (long long)at, (unsigned long long)end, storage->image[byte], storage->now[byte]);
}

bool guarded_intact(guarded *guarded, char *detail, size_t detail_bytes)
{
    const iso_tensor *tensors = tensors_of(guarded);
    for (uint32_t s = 0; s < guarded->storage_count; s++) {
        guarded_storage *storage = &guarded->storages[s];
        // The outputs' views may have changed: the expected image takes them over.
        for (uint32_t i = guarded->op->input_count; i < operand_count(guarded); i++)
            if (iso_tensor_present(&tensors[i]) && guarded->storage_of[i] == s)
                copy_view(&tensors[i], storage->image + storage->margin, storage->now + storage->margin);
        if (memcmp(storage->image, storage->now, storage->bytes) == 0)
            continue;
        uint64_t byte = 0;
        while (storage->image[byte] == storage->now[byte])
            byte++;
        describe_change(guarded, storage, byte, detail, detail_bytes);
        return false;
    }
    return true;
}

void guarded_output(const guarded *guarded, uint32_t output, void *packed)
{
    uint32_t operand = guarded->op->input_count + output;
    const iso_tensor *t = &tensors_of(guarded)[operand];
    const guarded_storage *storage = &guarded->storages[guarded->storage_of[operand]];
    size_t element = iso_dtype_bytes(t->dtype), row_bytes = iso_tensor_width(t) * element;
    for (uint32_t r = 0; r < iso_tensor_rows(t); r++)
        memcpy((uint8_t *)packed + r * row_bytes,
               storage->now + storage->margin +
                   ((size_t)t->view_offset + (size_t)r * t->row_stride) * element,
               row_bytes);
}

void guarded_deinit(guarded *guarded)
{
    for (uint32_t s = 0; s < guarded->storage_count; s++) {
        iso_buffer_release(guarded->storages[s].buffer);
        iso_free(NULL, guarded->storages[s].image);
        iso_free(NULL, guarded->storages[s].now);
    }
    *guarded = (struct guarded){0};
}
