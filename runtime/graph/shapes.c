// SPDX-License-Identifier: MIT
//
// Symbolic dimensions: what a value's shape is once T and the other symbols are known.
#include "runtime/graph/graph_internal.h"

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

uint64_t iso_graph_storage_bytes(const iso_graph *graph, iso_value value, const iso_dim_values *dims)
{
    iso_tensor tensor = iso_graph_tensor(graph, graph->values[value].base, dims);
    return (iso_tensor_elems(&tensor) * iso_dtype_bytes(tensor.dtype) + 3) / 4 * 4;
}
