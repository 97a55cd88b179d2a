// SPDX-License-Identifier: MIT
//
// Symbolic dimensions: what a value's shape is once T and the other symbols are known, and whether that can
// be had.
#include "runtime/graph/graph_internal.h"

#include <inttypes.h>

static const char *const symbol_names[ISO_DIM_SYMBOL_COUNT] = {"tokens", "rows", "pages", "sequences",
                                                               "pages per sequence"};

uint32_t iso_dim_resolve(iso_dim dim, const iso_dim_values *dims)
{
    return dim >= 0 ? (uint32_t)dim : dims->value[-dim - 1];
}

iso_tensor iso_graph_tensor(const iso_graph *graph, iso_value value, const iso_dim_values *dims)
{
    const iso_value_info *info = &graph->values[value];
    iso_tensor tensor = {.dtype = info->dtype, .rank = info->rank, .view_offset = info->view_offset};
    if (value == ISO_NO_VALUE)
        return tensor;
    for (uint32_t i = 0; i < ISO_MAX_DIMS; i++)
        tensor.dims[i] = i < info->rank ? iso_dim_resolve(info->dims[i], dims) : 1;
    tensor.row_stride = info->row_stride ? info->row_stride : tensor.dims[info->rank - 1];
    return tensor;
}

// Product of all dimensions but the last; UINT64_MAX when it does not fit.
static uint64_t row_count(const iso_value_info *info, const iso_dim_values *dims)
{
    uint64_t rows = 1;
    for (uint32_t i = 0; i + 1 < info->rank; i++)
        if (__builtin_mul_overflow(rows, iso_dim_resolve(info->dims[i], dims), &rows))
            return UINT64_MAX;
    return rows;
}

uint64_t iso_graph_storage_bytes(const iso_graph *graph, iso_value value, const iso_dim_values *dims)
{
    const iso_value_info *root = &graph->values[graph->values[value].base];
    if (root->rank == 0)
        return 0;
    uint64_t elems = row_count(root, dims) * iso_dim_resolve(root->dims[root->rank - 1], dims);
    return (elems * iso_dtype_bytes(root->dtype) + 3) / 4 * 4;
}

static iso_status check_dims(const iso_value_info *info, const iso_dim_values *dims)
{
    for (uint32_t i = 0; i < info->rank; i++)
        if (iso_dim_resolve(info->dims[i], dims) == 0)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s: dimension %u is the number of %s, which is 0",
                            info->name, i, symbol_names[-info->dims[i] - 1]);
    uint64_t rows = row_count(info, dims), bytes;
    if (rows > UINT32_MAX)
        return iso_fail(ISO_LIMIT,
                        "%s would have more than %u rows; shorten the context, or have fewer sequences or "
                        "smaller steps",
                        info->name, UINT32_MAX);
    // 4 is the widest element.
    if (__builtin_mul_overflow(rows * 4, iso_dim_resolve(info->dims[info->rank - 1], dims), &bytes) ||
        bytes > INT64_MAX)
        return iso_fail(ISO_LIMIT, "%s would be larger than any memory", info->name);
    return ISO_OK;
}

static iso_status check_view(const iso_graph *graph, const iso_value_info *info, const iso_dim_values *dims)
{
    const iso_value_info *base = &graph->values[info->base];
    uint64_t width = iso_dim_resolve(info->dims[info->rank - 1], dims);
    uint64_t stride = info->row_stride ? info->row_stride : width;
    uint64_t end = info->view_offset + (row_count(info, dims) - 1) * stride + width;
    uint64_t elems = row_count(base, dims) * iso_dim_resolve(base->dims[base->rank - 1], dims);
    if (end > elems)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "view %s ends at element %" PRIu64 " of %s, which has %" PRIu64 " (tokens: %u)",
                        info->name, end, base->name, elems, dims->value[-ISO_DIM_TOKENS - 1]);
    return ISO_OK;
}

iso_status iso_graph_check_sizes(const iso_graph *graph, const iso_dim_values *dims)
{
    for (size_t v = 1; v < graph->value_count; v++)
        ISO_TRY(check_dims(&graph->values[v], dims));
    for (size_t v = 1; v < graph->value_count; v++)
        if (graph->values[v].base != v)
            ISO_TRY(check_view(graph, &graph->values[v], dims));
    return ISO_OK;
}
