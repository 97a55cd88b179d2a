// SPDX-License-Identifier: MIT
//
// Sum of two tensors: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: one float32 addition, none where the sum is a float, then one rounding to y's dtype (bound.md).
#include "kernels/add/op.h"

#include <math.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_add_check(const void *params)
{
    const iso_add *p = params;
    if (iso_tensor_elems(&p->a) == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "add: a has no elements; allowed: 1 or more");
    ISO_TRY(iso_check_dtype("add", "a", &p->a, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("add", "b", &p->b, 1u << p->a.dtype));
    ISO_TRY(iso_check_dtype("add", "y", &p->y, 1u << p->a.dtype));
    ISO_TRY(iso_check_shape("add", "b", &p->b, p->a.rank, p->a.dims));
    return iso_check_shape("add", "y", &p->y, p->a.rank, p->a.dims);
}

iso_status iso_add_reference(const void *params, const iso_numerics *numerics,
                             const iso_reference_output *outputs)
{
    const iso_add *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t i = 0; i < width; i++) {
            size_t at = (size_t)r * width + i;
            double a = iso_at(&p->a, r, i), b = iso_at(&p->b, r, i), y = a + b;
            bool exact = y == (double)(float)y && y - a == b && y - b == a;
            double error = exact ? 0 : fabs(y) * numerics->unit;
            error += iso_flushed(numerics, a) + iso_flushed(numerics, b);
            iso_store_bound(numerics, p->y.dtype, y, error, &outputs[0].value[at], &outputs[0].bound[at]);
        }
    }
    return ISO_OK;
}

void iso_add_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_add *p = params;
    uint64_t elems = iso_tensor_elems(&p->y), bytes = elems * iso_dtype_bytes(p->y.dtype);
    *out_cost = (iso_op_cost){.flops = elems, .read_bytes = 2 * bytes, .written_bytes = bytes};
}

// numbers: rows, width, margin around a and b, in place
iso_status iso_add_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_add *p = params;
    uint32_t rows = numbers[0], width = numbers[1], margin = numbers[2], stride = width + 2 * margin;
    bool in_place = numbers[3] != 0;
    ISO_TRY(iso_case_float(builder, &p->a, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(rows, stride)));
    ISO_TRY(iso_case_float(builder, &p->b, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(rows, stride)));
    p->a.dims[1] = p->b.dims[1] = width;
    p->a.view_offset = p->b.view_offset = margin;
    if (in_place) {
        p->y = p->a;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, width));
}
