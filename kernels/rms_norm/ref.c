// SPDX-License-Identifier: MIT
//
// RMSNorm: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: with S = sum x^2 (all terms >= 0) the float32 sum has relative error gamma(width + 1); the root
// halves it; division, eps, root, reciprocal and the two products add at most 6 roundings. Then one rounding
// to y's dtype.
#include "kernels/rms_norm/op.h"

#include <math.h>

#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_rms_norm_check(const void *params)
{
    const iso_rms_norm *p = params;
    uint32_t width = iso_tensor_width(&p->x);
    if (width == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "rms_norm: x has width 0; allowed: 1 or more");
    if (!(p->eps > 0.0f))
        return iso_fail(ISO_INVALID_ARGUMENT, "rms_norm: eps is %g; allowed: above 0", (double)p->eps);
    ISO_TRY(iso_check_dtype("rms_norm", "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("rms_norm", "weight", &p->weight, ISO_DTYPES_WEIGHT));
    ISO_TRY(iso_check_dtype("rms_norm", "y", &p->y, 1u << p->x.dtype));
    ISO_TRY(iso_check_shape("rms_norm", "weight", &p->weight, 1, &width));
    ISO_TRY(iso_check_contiguous("rms_norm", "weight", &p->weight));
    return iso_check_shape("rms_norm", "y", &p->y, p->x.rank, p->x.dims);
}

iso_status iso_rms_norm_reference(const void *params, const iso_reference_output *outputs)
{
    const iso_rms_norm *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    double relative = 0.5 * iso_gamma_f32(width + 1.0) + iso_gamma_f32(6.0);
    for (uint32_t r = 0; r < rows; r++) {
        double sum = 0;
        for (uint32_t i = 0; i < width; i++)
            sum += iso_at(&p->x, r, i) * iso_at(&p->x, r, i);
        double scale = 1.0 / sqrt(sum / width + (double)p->eps);
        for (uint32_t i = 0; i < width; i++) {
            size_t at = (size_t)r * width + i;
            double y = iso_at(&p->x, r, i) * scale * iso_at(&p->weight, 0, i);
            outputs[0].value[at] = y;
            outputs[0].bound[at] = fabs(y) * relative + iso_rounding_bound(p->y.dtype, y);
        }
    }
    return ISO_OK;
}

void iso_rms_norm_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_rms_norm *p = params;
    uint64_t elems = iso_tensor_elems(&p->x);
    out_cost->flops = 4 * elems;
    out_cost->read_bytes =
        elems * iso_dtype_bytes(p->x.dtype) + iso_tensor_elems(&p->weight) * iso_dtype_bytes(p->weight.dtype);
    out_cost->written_bytes = elems * iso_dtype_bytes(p->y.dtype);
}

iso_status iso_rms_norm_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_rms_norm *p = params;
    uint32_t rows = numbers[0], width = numbers[1], margin = numbers[2];
    bool in_place = numbers[3] != 0;
    p->eps = 1e-6f;
    uint32_t stride = width + 2 * margin;
    ISO_TRY(iso_case_float(builder, &p->x, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(rows, stride)));
    ISO_TRY(iso_case_float(builder, &p->weight, builder->dtypes[1], ISO_FILL_POSITIVE, ISO_DIMS(width)));
    p->x.dims[1] = width;
    p->x.view_offset = margin;
    if (in_place) {
        p->y = p->x;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, width));
}
