// SPDX-License-Identifier: MIT
//
// Gather: contract check, reference, cost, and test inputs.
//
// Bound: 0 where y's dtype holds every value of the table's dtype, and where the device rounds to nearest;
// else one rounding to y's dtype (bound.md).
#include "kernels/gather/op.h"

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_gather_check(const void *params)
{
    const iso_gather *p = params;
    ISO_TRY(iso_check_dtype("gather", "table", &p->table, ISO_DTYPES_WEIGHT));
    ISO_TRY(iso_check_dtype("gather", "index", &p->index, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("gather", "y", &p->y, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_shape("gather", "table", &p->table, 2, p->table.dims));
    ISO_TRY(iso_check_shape("gather", "index", &p->index, 1, p->index.dims));
    ISO_TRY(iso_check_contiguous("gather", "index", &p->index));
    return iso_check_shape("gather", "y", &p->y, 2, (const uint32_t[]){p->index.dims[0], p->table.dims[1]});
}

iso_status iso_gather_reference(const void *params, const iso_numerics *numerics,
                                const iso_reference_output *outputs)
{
    const iso_gather *p = params;
    uint32_t width = iso_tensor_width(&p->table);
    bool exact = p->y.dtype == ISO_DTYPE_F32 || p->y.dtype == p->table.dtype;
    for (uint32_t r = 0; r < p->index.dims[0]; r++) {
        int32_t entry = iso_index_at(&p->index, r);
        bool inside = entry >= 0 && (uint32_t)entry < p->table.dims[0];
        for (uint32_t i = 0; i < width; i++) {
            double *value = &outputs[0].value[(size_t)r * width + i];
            double *bound = &outputs[0].bound[(size_t)r * width + i];
            *value = inside ? iso_at(&p->table, (uint32_t)entry, i) : 0;
            *bound = 0;
            if (!exact)
                iso_store_bound(numerics, p->y.dtype, *value, 0, value, bound);
        }
    }
    return ISO_OK;
}

void iso_gather_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_gather *p = params;
    uint64_t elems = iso_tensor_elems(&p->y);
    out_cost->flops = 0;
    out_cost->read_bytes = elems * iso_dtype_bytes(p->table.dtype) + 4 * (uint64_t)p->index.dims[0];
    out_cost->written_bytes = elems * iso_dtype_bytes(p->y.dtype);
}

iso_status iso_gather_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_gather *p = params;
    uint32_t entries = numbers[0], width = numbers[1], rows = numbers[2], margin = numbers[3];
    ISO_TRY(iso_case_float(builder, &p->table, builder->dtypes[1], ISO_FILL_NORMAL,
                           ISO_DIMS(entries, width + 2 * margin)));
    p->table.dims[1] = width;
    p->table.view_offset = margin;
    ISO_TRY(iso_case_index(builder, &p->index, entries, ISO_DIMS(rows)));
    int32_t *index = p->index.host;
    index[0] = (int32_t)entries - 1; // the last entry, and both ways of being outside
    if (rows > 2) {
        index[1] = -1;
        index[2] = (int32_t)entries;
    }
    return iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, width));
}
