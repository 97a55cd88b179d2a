// SPDX-License-Identifier: MIT
//
// Collecting, grouping and printing tensors. Grouping sorts, so that a file with many different names stays
// cheap.
#include "tools/isomer/tensor_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/isomer/output.h"

#define NAME_BYTES  256
#define SHAPE_BYTES 176
#define MAX_DTYPES  16

// ---- collecting ----

static iso_status append(cli_tensor_list *list, const cli_tensor *tensor)
{
    ISO_TRY(iso_grow(NULL, sizeof *list->items, list->count + 1, (void **)&list->items, &list->capacity));
    list->items[list->count++] = *tensor;
    return ISO_OK;
}

iso_status cli_tensor_list_add_checkpoint(cli_tensor_list *list, const iso_checkpoint *checkpoint)
{
    iso_checkpoint_summary summary;
    iso_checkpoint_summarize(checkpoint, &summary);
    for (uint32_t i = 0; i < summary.tensor_count; i++) {
        iso_tensor_view view;
        ISO_TRY(iso_checkpoint_tensor_at(checkpoint, i, &view));
        cli_tensor tensor = {.name = view.name,
                             .dtype = view.dtype_name,
                             .file = view.file,
                             .rank = view.rank,
                             .bytes = view.bytes};
        memcpy(tensor.dims, view.dims, sizeof tensor.dims);
        ISO_TRY(append(list, &tensor));
    }
    return ISO_OK;
}

iso_status cli_tensor_list_add_weights(cli_tensor_list *list, const iso_graph *graph)
{
    iso_dim_values none = {{0}}; // weights have constant shapes
    for (iso_value v = 1; v < iso_graph_value_count(graph); v++) {
        const iso_value_info *info = iso_graph_value_info(graph, v);
        if (info->kind != ISO_VALUE_WEIGHT || info->base != v)
            continue;
        cli_tensor tensor = {.name = info->name,
                             .dtype = iso_dtype_name(info->dtype),
                             .rank = info->rank,
                             .bytes = iso_graph_storage_bytes(graph, v, &none)};
        for (uint32_t i = 0; i < info->rank; i++)
            tensor.dims[i] = (uint64_t)info->dims[i];
        ISO_TRY(append(list, &tensor));
    }
    return ISO_OK;
}

void cli_tensor_list_deinit(cli_tensor_list *list)
{
    iso_free(NULL, list->items);
    *list = (cli_tensor_list){0};
}

// ---- grouping ----

// Length of a number that stands alone between dots at name[at], else 0.
static size_t number_length(const char *name, size_t at)
{
    if (at > 0 && name[at - 1] != '.')
        return 0;
    size_t digits = strspn(name + at, "0123456789");
    return name[at + digits] == '.' || name[at + digits] == '\0' ? digits : 0;
}

// Compares names with every such number read as '*'.
static int compare_patterns(const char *a, const char *b)
{
    for (size_t i = 0, j = 0;; i++, j++) {
        size_t a_digits = number_length(a, i), b_digits = number_length(b, j);
        int left = a_digits ? '*' : (unsigned char)a[i], right = b_digits ? '*' : (unsigned char)b[j];
        if (left != right)
            return left - right;
        if (left == '\0')
            return 0;
        i += a_digits ? a_digits - 1 : 0;
        j += b_digits ? b_digits - 1 : 0;
    }
}

static int compare_groups(const void *left, const void *right)
{
    const cli_tensor *a = left, *b = right;
    int order = compare_patterns(a->name, b->name);
    if (order == 0)
        order = strcmp(a->dtype, b->dtype);
    if (order == 0)
        order = (a->rank > b->rank) - (a->rank < b->rank);
    return order ? order : memcmp(a->dims, b->dims, sizeof a->dims);
}

// The end of the group that begins at `first`.
static size_t group_end(const cli_tensor_list *list, size_t first, bool all)
{
    size_t end = first + 1;
    while (!all && end < list->count && compare_groups(&list->items[first], &list->items[end]) == 0)
        end++;
    return end;
}

static void prepare(cli_tensor_list *list, bool all)
{
    if (!all && list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_groups);
}

static void format_name(const char *name, bool pattern, char out[NAME_BYTES])
{
    char text[NAME_BYTES];
    size_t at = 0;
    for (size_t i = 0; name[i] && at + 1 < sizeof text; at++) {
        size_t digits = pattern ? number_length(name, i) : 0;
        text[at] = digits ? '*' : name[i];
        i += digits ? digits : 1;
    }
    text[at] = '\0';
    cli_clean_text(text, out, NAME_BYTES);
}

static void format_dims(const cli_tensor *tensor, char out[SHAPE_BYTES])
{
    size_t at = (size_t)snprintf(out, SHAPE_BYTES, "[");
    for (uint32_t i = 0; i < tensor->rank && at < SHAPE_BYTES; i++)
        at += (size_t)snprintf(out + at, SHAPE_BYTES - at, "%s%" PRIu64, i ? ", " : "", tensor->dims[i]);
    if (at < SHAPE_BYTES)
        snprintf(out + at, SHAPE_BYTES - at, "]");
}

static uint64_t sum_bytes(const cli_tensor_list *list, size_t first, size_t end)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < end; i++)
        bytes += list->items[i].bytes;
    return bytes;
}

void cli_tensor_list_print(cli_tensor_list *list, bool all)
{
    prepare(list, all);
    printf("  %6s  %-8s  %-20s  %10s  %s\n", "count", "dtype", "shape", "bytes", "name");
    for (size_t first = 0, end; first < list->count && !cli_output_broken(); first = end) {
        char name[NAME_BYTES], shape[SHAPE_BYTES], size[CLI_SIZE_BYTES];
        end = group_end(list, first, all);
        format_name(list->items[first].name, end - first > 1, name);
        format_dims(&list->items[first], shape);
        printf("  %6zu  %-8s  %-20s  %10s  %s\n", end - first, list->items[first].dtype, shape,
               cli_format_bytes(sum_bytes(list, first, end), size), name);
    }
}

json_t *cli_tensor_list_json(cli_tensor_list *list, bool all)
{
    json_t *tensors = json_array();
    prepare(list, all);
    for (size_t first = 0, end; first < list->count; first = end) {
        char name[NAME_BYTES];
        const cli_tensor *tensor = &list->items[first];
        json_t *entry = json_object(), *shape = json_array();
        end = group_end(list, first, all);
        format_name(tensor->name, end - first > 1, name);
        for (uint32_t i = 0; i < tensor->rank; i++)
            cli_json_add(&shape, cli_json_count(tensor->dims[i]));
        cli_json_put(&entry, "name", all ? cli_json_text(tensor->name) : cli_json_text(name));
        if (!all)
            cli_json_put(&entry, "count", cli_json_count(end - first));
        cli_json_put(&entry, "dtype", cli_json_text(tensor->dtype));
        cli_json_put(&entry, "shape", shape);
        cli_json_put(&entry, "bytes", cli_json_count(sum_bytes(list, first, end)));
        if (all)
            cli_json_put(&entry, "file", cli_json_text(tensor->file));
        cli_json_add(&tensors, entry);
    }
    return tensors;
}

// ---- dtypes ----

typedef struct dtype_sum {
    const char *dtype;
    uint64_t tensors, elems, bytes;
} dtype_sum;

// Formats know fewer types than MAX_DTYPES; were there more, the last entry would hold the rest.
static size_t sum_dtypes(const cli_tensor_list *list, dtype_sum sums[MAX_DTYPES])
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const cli_tensor *tensor = &list->items[i];
        size_t at = 0;
        while (at < count && strcmp(sums[at].dtype, tensor->dtype) != 0)
            at++;
        if (at == MAX_DTYPES)
            at--;
        else if (at == count)
            sums[count++] = (dtype_sum){.dtype = tensor->dtype};
        uint64_t elems = 1;
        for (uint32_t d = 0; d < tensor->rank; d++)
            elems *= tensor->dims[d];
        sums[at].tensors++;
        sums[at].elems += elems;
        sums[at].bytes += tensor->bytes;
    }
    return count;
}

void cli_tensor_list_print_dtypes(const cli_tensor_list *list)
{
    dtype_sum sums[MAX_DTYPES];
    size_t count = sum_dtypes(list, sums);
    for (size_t i = 0; i < count; i++) {
        char elems[CLI_SIZE_BYTES], bytes[CLI_SIZE_BYTES];
        printf("  %-8s  %6" PRIu64 " tensors  %10s elements  %10s\n", sums[i].dtype, sums[i].tensors,
               cli_format_count(sums[i].elems, elems), cli_format_bytes(sums[i].bytes, bytes));
    }
}

json_t *cli_tensor_list_dtypes_json(const cli_tensor_list *list)
{
    dtype_sum sums[MAX_DTYPES];
    size_t count = sum_dtypes(list, sums);
    json_t *dtypes = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *entry = json_object();
        cli_json_put(&entry, "dtype", cli_json_text(sums[i].dtype));
        cli_json_put(&entry, "tensors", cli_json_count(sums[i].tensors));
        cli_json_put(&entry, "elements", cli_json_count(sums[i].elems));
        cli_json_put(&entry, "bytes", cli_json_count(sums[i].bytes));
        cli_json_add(&dtypes, entry);
    }
    return dtypes;
}
