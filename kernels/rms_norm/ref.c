// SPDX-License-Identifier: MIT
//
// RMSNorm: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the root halves the error of the mean of squares; root, reciprocal and two products add theirs, then
// y is rounded to its dtype (bound.md).
#include "kernels/rms_norm/op.h"

#include <math.h>

#include "kernels/bound.h"
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

// Of y before it is stored: the mean, with its division or product with 1 / width, and eps stand under the
// root, which halves their errors; then the root, its reciprocal and two products.
static double relative_error(const iso_numerics *numerics, const iso_sum *squares, double mean, double eps,
                             uint32_t width)
{
    double mean_error = iso_sum_error(squares, 0) / width + mean * (numerics->root_unit + numerics->unit);
    double under_root = mean_error / (mean + eps) + numerics->unit;
    return 0.5 * under_root / (1 - under_root) + 2 * numerics->root_unit + iso_gamma(numerics, 2);
}

iso_status iso_rms_norm_reference(const void *params, const iso_numerics *numerics,
                                  const iso_reference_output *outputs)
{
    const iso_rms_norm *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    for (uint32_t r = 0; r < rows; r++) {
        iso_sum squares = iso_sum_begin(numerics);
        for (uint32_t i = 0; i < width; i++)
            iso_sum_add(&squares, iso_at(&p->x, r, i), iso_at(&p->x, r, i), 1);
        double mean = squares.value / width, scale = 1.0 / sqrt(mean + (double)p->eps);
        double relative = relative_error(numerics, &squares, mean, (double)p->eps, width);
        for (uint32_t i = 0; i < width; i++) {
            size_t at = (size_t)r * width + i;
            double x = iso_at(&p->x, r, i), weight = iso_at(&p->weight, 0, i), y = x * scale * weight;
            double error = fabs(y) * relative + iso_flushed(numerics, x) * scale * fabs(weight) +
                           iso_underflow(numerics, x * scale) * fabs(weight);
            iso_store_bound(numerics, p->y.dtype, y, error, &outputs[0].value[at], &outputs[0].bound[at]);
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
    // Every third row is so small that eps counts.
    for (uint32_t i = 0; i < rows * stride && builder->stress == ISO_STRESS_NORMAL; i++)
        if (i / stride % 3 == 1)
            iso_store_element(p->x.host, p->x.dtype, i,
                              ldexp(iso_load_element(p->x.host, p->x.dtype, i), -10));
    if (in_place) {
        p->y = p->x;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, width));
}
