// SPDX-License-Identifier: MIT
//
// Linear layer: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the error of a float32 sum of the products in any order, the scales' roundings and the bias
// included, then one rounding to y's dtype (bound.md).
#include "kernels/linear/op.h"

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_linear_check(const void *params)
{
    const iso_linear *p = params;
    uint32_t k = iso_tensor_width(&p->x), rows = iso_tensor_rows(&p->x);
    uint32_t features = p->weight.dims[0], k_blocks = iso_div_up(k, ISO_FP8_BLOCK);
    if (k == 0 || rows == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "linear: x has %u rows of width %u; allowed: 1 or more of each",
                        rows, k);
    ISO_TRY(iso_check_dtype("linear", "x", &p->x, ISO_DTYPES_ACTIVATION | 1u << ISO_DTYPE_F8_E4M3));
    bool fp8_x = p->x.dtype == ISO_DTYPE_F8_E4M3, fp8 = p->weight.dtype == ISO_DTYPE_F8_E4M3;
    ISO_TRY(iso_check_dtype("linear", "weight", &p->weight,
                            fp8_x ? 1u << ISO_DTYPE_F8_E4M3 : ISO_DTYPES_WEIGHT | 1u << ISO_DTYPE_F8_E4M3));
    ISO_TRY(iso_check_shape("linear", "weight", &p->weight, 2, (uint32_t[2]){features, k}));
    ISO_TRY(
        iso_check_dtype("linear", "x_scale", &p->x_scale, 1u << (fp8_x ? ISO_DTYPE_F32 : ISO_DTYPE_NONE)));
    ISO_TRY(iso_check_dtype("linear", "weight_scale", &p->weight_scale,
                            1u << (fp8 ? ISO_DTYPE_F32 : ISO_DTYPE_NONE)));
    if (fp8)
        ISO_TRY(iso_check_shape("linear", "weight_scale", &p->weight_scale, 2,
                                (uint32_t[2]){iso_div_up(features, ISO_FP8_BLOCK), k_blocks}));
    if (fp8_x && (iso_tensor_rows(&p->x_scale) != rows || iso_tensor_width(&p->x_scale) != k_blocks))
        return iso_fail(ISO_INVALID_ARGUMENT, "linear: x_scale is %u x %u; x needs %u x %u",
                        iso_tensor_rows(&p->x_scale), iso_tensor_width(&p->x_scale), rows, k_blocks);
    if (iso_tensor_present(&p->bias)) {
        ISO_TRY(iso_check_dtype("linear", "bias", &p->bias, ISO_DTYPES_WEIGHT));
        ISO_TRY(iso_check_shape("linear", "bias", &p->bias, 1, &features));
    }
    ISO_TRY(iso_check_dtype("linear", "y", &p->y, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_contiguous("linear", "x_scale", &p->x_scale));
    ISO_TRY(iso_check_contiguous("linear", "weight", &p->weight));
    ISO_TRY(iso_check_contiguous("linear", "weight_scale", &p->weight_scale));
    ISO_TRY(iso_check_contiguous("linear", "bias", &p->bias));
    uint32_t dims[ISO_MAX_DIMS] = {p->x.dims[0], p->x.dims[1], p->x.dims[2], p->x.dims[3]};
    dims[p->x.rank - 1] = features;
    return iso_check_shape("linear", "y", &p->y, p->x.rank, dims);
}

static double scale_of(const iso_linear *p, uint32_t row, uint32_t feature, uint32_t k)
{
    double scale = 1;
    if (iso_tensor_present(&p->weight_scale))
        scale *= iso_at(&p->weight_scale, feature / ISO_FP8_BLOCK, k / ISO_FP8_BLOCK);
    if (iso_tensor_present(&p->x_scale))
        scale *= iso_at(&p->x_scale, row, k / ISO_FP8_BLOCK);
    return scale;
}

iso_status iso_linear_reference(const void *params, const iso_numerics *numerics,
                                const iso_reference_output *outputs)
{
    const iso_linear *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x),
             features = iso_tensor_width(&p->y);
    int scales = iso_tensor_present(&p->weight_scale) + iso_tensor_present(&p->x_scale);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t n = 0; n < features; n++) {
            iso_sum sum = iso_sum_begin(numerics);
            if (iso_tensor_present(&p->bias))
                iso_sum_add_apart(&sum, iso_at(&p->bias, 0, n));
            for (uint32_t k0 = 0; k0 < width; k0 += ISO_FP8_BLOCK) {
                double scale = scale_of(p, r, n, k0);
                for (uint32_t k = k0; k < width && k < k0 + ISO_FP8_BLOCK; k++)
                    iso_sum_add(&sum, iso_at(&p->x, r, k), iso_at(&p->weight, n, k), scale);
            }
            size_t at = (size_t)r * features + n;
            iso_store_bound(numerics, p->y.dtype, sum.value, iso_sum_error(&sum, scales),
                            &outputs[0].value[at], &outputs[0].bound[at]);
        }
    }
    return ISO_OK;
}

void iso_linear_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_linear *p = params;
    out_cost->flops = 2 * iso_tensor_elems(&p->x) * iso_tensor_width(&p->y);
    out_cost->read_bytes = 0;
    for (const iso_tensor *t = &p->x; t < &p->y; t++) // the inputs, as they stand in the struct
        out_cost->read_bytes += iso_tensor_elems(t) * iso_dtype_bytes(t->dtype);
    out_cost->written_bytes = iso_tensor_elems(&p->y) * iso_dtype_bytes(p->y.dtype);
}

// numbers: rows, features, width, margin around x and y, bias (0 none, 1 f32, 2 bf16, 3 f16), integers
iso_status iso_linear_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    static const iso_dtype bias_dtypes[4] = {ISO_DTYPE_NONE, ISO_DTYPE_F32, ISO_DTYPE_BF16, ISO_DTYPE_F16};
    iso_linear *p = params;
    uint32_t rows = numbers[0], features = numbers[1], width = numbers[2], margin = numbers[3];
    uint32_t k_blocks = iso_div_up(width, ISO_FP8_BLOCK);
    iso_dtype bias = bias_dtypes[numbers[4]];
    bool fp8 = builder->dtypes[1] == ISO_DTYPE_F8_E4M3, integers = numbers[5] != 0;
    iso_fill x_fill = integers ? ISO_FILL_INTEGER : ISO_FILL_NORMAL;
    iso_fill w_fill = integers ? ISO_FILL_INTEGER : fp8 ? ISO_FILL_NORMAL : ISO_FILL_WEIGHT;
    ISO_TRY(iso_case_float(builder, &p->x, builder->dtypes[0], x_fill, ISO_DIMS(rows, width + 2 * margin)));
    p->x.dims[1] = width;
    p->x.view_offset = margin;
    ISO_TRY(iso_case_float(builder, &p->weight, builder->dtypes[1], w_fill, ISO_DIMS(features, width)));
    if (builder->dtypes[0] == ISO_DTYPE_F8_E4M3)
        ISO_TRY(
            iso_case_float(builder, &p->x_scale, ISO_DTYPE_F32, ISO_FILL_SCALE, ISO_DIMS(rows, k_blocks)));
    if (fp8)
        ISO_TRY(iso_case_float(builder, &p->weight_scale, ISO_DTYPE_F32, ISO_FILL_SCALE,
                               ISO_DIMS(iso_div_up(features, ISO_FP8_BLOCK), k_blocks)));
    if (bias != ISO_DTYPE_NONE)
        ISO_TRY(iso_case_float(builder, &p->bias, bias, x_fill, ISO_DIMS(features)));
    ISO_TRY(iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, features + 2 * margin)));
    p->y.dims[1] = features;
    p->y.view_offset = margin;
    return ISO_OK;
}
