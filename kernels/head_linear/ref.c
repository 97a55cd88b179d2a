// SPDX-License-Identifier: MIT
//
// Linear layer of each head: contract check, double-precision reference with its error bound, cost, and test
// inputs.
//
// Bound as in kernels/linear: the error of a float32 sum of the products in any order, the scales' roundings
// included, then one rounding to y's dtype (bound.md).
#include "kernels/head_linear/op.h"

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_head_linear_check(const void *params)
{
    static const char op[] = "head_linear";
    const iso_head_linear *p = params;
    if (p->x.rank != 3 || iso_tensor_elems(&p->x) == 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%s: x has %u dimensions and %u rows; allowed: 3, and 1 row or more", op, p->x.rank,
                        iso_tensor_rows(&p->x));
    uint32_t heads = p->x.dims[1], k = p->x.dims[2], columns = iso_tensor_width(&p->weight);
    uint32_t n = p->y.dims[2], used = p->transposed ? k : n;
    ISO_TRY(iso_check_dtype(op, "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype(op, "weight", &p->weight, ISO_DTYPES_WEIGHT | 1u << ISO_DTYPE_F8_E4M3));
    ISO_TRY(iso_check_shape(op, "weight", &p->weight, 2,
                            (uint32_t[2]){heads * p->head_rows, p->transposed ? columns : k}));
    bool fp8 = p->weight.dtype == ISO_DTYPE_F8_E4M3;
    ISO_TRY(
        iso_check_dtype(op, "weight_scale", &p->weight_scale, 1u << (fp8 ? ISO_DTYPE_F32 : ISO_DTYPE_NONE)));
    if (fp8)
        ISO_TRY(iso_check_shape(op, "weight_scale", &p->weight_scale, 2,
                                (uint32_t[2]){iso_div_up(heads * p->head_rows, ISO_FP8_BLOCK),
                                              iso_div_up(columns, ISO_FP8_BLOCK)}));
    ISO_TRY(iso_check_dtype(op, "y", &p->y, 1u << p->x.dtype));
    ISO_TRY(
        iso_check_shape(op, "y", &p->y, 3, (uint32_t[3]){p->x.dims[0], heads, p->transposed ? columns : n}));
    ISO_TRY(iso_check_contiguous(op, "weight", &p->weight));
    ISO_TRY(iso_check_contiguous(op, "weight_scale", &p->weight_scale));
    if (p->row_offset > p->head_rows || used > p->head_rows - p->row_offset)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: row_offset %u and %u rows pass head_rows, which is %u", op,
                        p->row_offset, used, p->head_rows);
    return ISO_OK;
}

// Row r of x times feature n of the part of the weight that begins at row w_row.
static iso_sum product(const iso_head_linear *p, const iso_numerics *numerics, uint32_t r, uint32_t w_row,
                       uint32_t n)
{
    uint32_t width = iso_tensor_width(&p->x);
    iso_sum sum = iso_sum_begin(numerics);
    for (uint32_t k = 0; k < width; k++) {
        uint32_t row = w_row + (p->transposed ? k : n), column = p->transposed ? n : k;
        double scale = 1;
        if (iso_tensor_present(&p->weight_scale))
            scale = iso_at(&p->weight_scale, row / ISO_FP8_BLOCK, column / ISO_FP8_BLOCK);
        iso_sum_add(&sum, iso_at(&p->x, r, k), iso_at(&p->weight, row, column), scale);
    }
    return sum;
}

iso_status iso_head_linear_reference(const void *params, const iso_numerics *numerics,
                                     const iso_reference_output *outputs)
{
    const iso_head_linear *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), heads = p->x.dims[1];
    uint32_t features = iso_tensor_width(&p->y), scales = iso_tensor_present(&p->weight_scale);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t w_row = r % heads * p->head_rows + p->row_offset;
        for (uint32_t n = 0; n < features; n++) {
            iso_sum sum = product(p, numerics, r, w_row, n);
            size_t at = (size_t)r * features + n;
            iso_store_bound(numerics, p->y.dtype, sum.value, iso_sum_error(&sum, scales),
                            &outputs[0].value[at], &outputs[0].bound[at]);
        }
    }
    return ISO_OK;
}

void iso_head_linear_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_head_linear *p = params;
    uint64_t features = iso_tensor_width(&p->y), weights = p->x.dims[1] * features * iso_tensor_width(&p->x);
    out_cost->flops = 2 * p->x.dims[0] * weights;
    out_cost->read_bytes =
        iso_tensor_elems(&p->x) * iso_dtype_bytes(p->x.dtype) + weights * iso_dtype_bytes(p->weight.dtype);
    out_cost->written_bytes = iso_tensor_elems(&p->y) * iso_dtype_bytes(p->y.dtype);
}

// numbers: tokens, heads, rows used, columns, rows before, rows after, transposed, margin around x and y
iso_status iso_head_linear_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_head_linear *p = params;
    uint32_t tokens = numbers[0], heads = numbers[1], used = numbers[2], columns = numbers[3],
             margin = numbers[7];
    p->head_rows = numbers[4] + used + numbers[5];
    p->row_offset = numbers[4];
    p->transposed = numbers[6] != 0;
    uint32_t width = p->transposed ? used : columns, features = p->transposed ? columns : used;
    uint32_t w_rows = heads * p->head_rows;
    bool fp8 = builder->dtypes[1] == ISO_DTYPE_F8_E4M3;
    ISO_TRY(iso_case_float(builder, &p->x, builder->dtypes[0], ISO_FILL_NORMAL,
                           ISO_DIMS(tokens, heads, width + 2 * margin)));
    ISO_TRY(iso_case_float(builder, &p->weight, builder->dtypes[1], fp8 ? ISO_FILL_NORMAL : ISO_FILL_WEIGHT,
                           ISO_DIMS(w_rows, columns)));
    if (fp8)
        ISO_TRY(
            iso_case_float(builder, &p->weight_scale, ISO_DTYPE_F32, ISO_FILL_SCALE,
                           ISO_DIMS(iso_div_up(w_rows, ISO_FP8_BLOCK), iso_div_up(columns, ISO_FP8_BLOCK))));
    ISO_TRY(
        iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(tokens, heads, features + 2 * margin)));
    p->x.dims[2] = width;
    p->y.dims[2] = features;
    p->x.view_offset = p->y.view_offset = margin;
    return ISO_OK;
}
