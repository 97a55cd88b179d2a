// SPDX-License-Identifier: MIT
//
// The weight table: checks when a weight is added, and uploads that let go of each part's pages behind them,
// so that host memory stays near what the device itself needs.
#include "model/checkpoint/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONVERT_ELEMS 4096
#define PIECE_BYTES   (UINT64_C(32) << 20)

void iso_weight_table_init(iso_weight_table *table, const iso_allocator *allocator,
                           const iso_checkpoint *checkpoint)
{
    *table = (iso_weight_table){.allocator = allocator, .checkpoint = checkpoint};
}

void iso_weight_table_deinit(iso_weight_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        iso_free(table->allocator, table->entries[i].constant);
    iso_free(table->allocator, table->entries);
    *table = (iso_weight_table){0};
}

// The name of one part: "{expert}" becomes its number.
static void part_name(const char *pattern, uint32_t part, char out[ISO_WEIGHT_NAME_BYTES])
{
    static const char mark[] = "{expert}";
    const char *at = strstr(pattern, mark);
    if (!at)
        snprintf(out, ISO_WEIGHT_NAME_BYTES, "%s", pattern);
    else
        snprintf(out, ISO_WEIGHT_NAME_BYTES, "%.*s%u%s", (int)(at - pattern), pattern, part,
                 at + sizeof mark - 1);
}

iso_dtype iso_weight_table_stored_dtype(const iso_weight_table *table, const char *name, iso_dtype otherwise)
{
    char first[ISO_WEIGHT_NAME_BYTES];
    iso_tensor_view view;
    part_name(name, 0, first);
    if (!table->checkpoint || !iso_checkpoint_has(table->checkpoint, first) ||
        iso_checkpoint_find(table->checkpoint, first, &view) != ISO_OK)
        return otherwise;
    return view.dtype;
}

static uint64_t part_elems(const iso_weight_entry *entry)
{
    return (uint64_t)entry->rows * (entry->columns ? entry->columns : 1);
}

static iso_status check_part(const iso_weight_entry *entry, const iso_tensor_view *view)
{
    uint32_t rank = entry->columns ? 2 : 1;
    if (view->rank != rank || view->dims[0] != entry->rows ||
        (rank == 2 && view->dims[1] != entry->columns)) {
        char is[160] = "", want[48];
        size_t at = 0;
        for (uint32_t i = 0; i < view->rank && at < sizeof is; i++)
            at += (size_t)snprintf(is + at, sizeof is - at, "%s%" PRIu64, i ? ", " : "", view->dims[i]);
        snprintf(want, sizeof want, rank == 2 ? "%u, %u" : "%u", entry->rows, entry->columns);
        return iso_fail(
            ISO_CORRUPT,
            "%s: tensor %s is [%s]; config.json asks for [%s]; config and weights are not of one model",
            view->file, view->name, is, want);
    }
    bool convertible =
        entry->dtype == ISO_DTYPE_F32 && (view->dtype == ISO_DTYPE_BF16 || view->dtype == ISO_DTYPE_F16);
    if (view->dtype != entry->dtype && !convertible)
        return iso_fail(ISO_CORRUPT, "%s: tensor %s is stored as %s; expected here: %s", view->file,
                        view->name, view->dtype_name, iso_dtype_name(entry->dtype));
    return ISO_OK;
}

iso_status iso_weight_table_add(iso_weight_table *table, const iso_weight_entry *entry, uint32_t *out_tag)
{
    char name[ISO_WEIGHT_NAME_BYTES];
    *out_tag = 0;
    for (uint32_t part = 0; part < entry->part_count && table->checkpoint && !entry->constant; part++) {
        iso_tensor_view view;
        part_name(entry->name, part, name);
        ISO_TRY(iso_checkpoint_find(table->checkpoint, name, &view));
        ISO_TRY(check_part(entry, &view));
    }
    ISO_TRY(iso_grow(table->allocator, sizeof *table->entries, table->count + 1, (void **)&table->entries,
                     &table->capacity));
    *out_tag = (uint32_t)table->count;
    table->entries[table->count++] = *entry;
    return ISO_OK;
}

uint64_t iso_weight_table_bytes(const iso_weight_table *table)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < table->count; i++)
        bytes += part_elems(&table->entries[i]) * table->entries[i].part_count *
                 iso_dtype_bytes(table->entries[i].dtype);
    return bytes;
}

static iso_status check_scales(const iso_tensor_view *view)
{
    for (uint64_t i = 0; i < view->bytes / iso_dtype_bytes(view->dtype); i++) {
        double scale = iso_load_element(view->data, view->dtype, i);
        if (!(scale > 0.0) || !isfinite(scale))
            return iso_fail(ISO_CORRUPT,
                            "%s: tensor %s has the scale %g at element %" PRIu64
                            "; allowed: finite and above 0; fetch the file again",
                            view->file, view->name, scale, i);
    }
    return ISO_OK;
}

// Widens to F32 on the way.
static iso_status upload_converted(const iso_tensor_view *view, uint64_t offset_bytes, uint64_t elems,
                                   const iso_weight_sink *sink)
{
    float block[CONVERT_ELEMS];
    for (uint64_t begin = 0; begin < elems; begin += CONVERT_ELEMS) {
        uint64_t count = elems - begin < CONVERT_ELEMS ? elems - begin : CONVERT_ELEMS;
        for (uint64_t i = 0; i < count; i++)
            block[i] = (float)iso_load_element(view->data, view->dtype, begin + i);
        ISO_TRY(
            sink->write(sink->context, offset_bytes + begin * sizeof(float), block, count * sizeof(float)));
    }
    return ISO_OK;
}

// Lets go of each piece behind it, so that an embedding of half a gigabyte is not in memory twice.
static iso_status upload_in_pieces(const iso_weight_table *table, const iso_tensor_view *view,
                                   uint64_t offset_bytes, const iso_weight_sink *sink)
{
    iso_tensor_view piece = *view;
    for (uint64_t begin = 0; begin < view->bytes; begin += PIECE_BYTES) {
        piece.data = (const char *)view->data + begin;
        piece.bytes = view->bytes - begin < PIECE_BYTES ? view->bytes - begin : PIECE_BYTES;
        ISO_TRY(sink->write(sink->context, offset_bytes + begin, piece.data, piece.bytes));
        iso_checkpoint_release_pages(table->checkpoint, &piece);
    }
    return ISO_OK;
}

static iso_status upload_part(const iso_weight_table *table, const iso_weight_entry *entry, uint32_t part,
                              const iso_weight_sink *sink)
{
    char name[ISO_WEIGHT_NAME_BYTES];
    iso_tensor_view view;
    uint64_t bytes = part_elems(entry) * iso_dtype_bytes(entry->dtype);
    part_name(entry->name, part, name);
    ISO_TRY(iso_checkpoint_find(table->checkpoint, name, &view));
    if (entry->positive_finite)
        ISO_TRY(check_scales(&view));
    if (view.dtype == entry->dtype)
        return upload_in_pieces(table, &view, part * bytes, sink);
    ISO_TRY(upload_converted(&view, part * bytes, part_elems(entry), sink));
    iso_checkpoint_release_pages(table->checkpoint, &view);
    return ISO_OK;
}

static iso_status upload(void *context, uint32_t tag, const iso_weight_sink *sink)
{
    const iso_weight_table *table = context;
    const iso_weight_entry *entry = &table->entries[tag];
    if (entry->constant)
        return sink->write(sink->context, 0, entry->constant,
                           part_elems(entry) * iso_dtype_bytes(entry->dtype));
    if (!table->checkpoint)
        return iso_fail(ISO_NOT_FOUND,
                        "the model has a config.json but no weights; needed: model.safetensors, or "
                        "model.safetensors.index.json and its shards");
    for (uint32_t part = 0; part < entry->part_count; part++)
        ISO_TRY(upload_part(table, entry, part, sink));
    return ISO_OK;
}

iso_weight_source iso_weight_table_source(iso_weight_table *table)
{
    return (iso_weight_source){.context = table, .upload = upload};
}
