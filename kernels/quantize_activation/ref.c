// SPDX-License-Identifier: MIT
//
// Quantisation to FP8: contract check, double-precision reference with its error bound, cost, and test
// inputs.
//
// Bound: the scale is a float32 division of an exact maximum by 448. The quotient x / scale has the errors of
// two divisions: q may be any E4M3 value that a quotient within that distance rounds to. Mostly that is one
// value, and the bound is 0 (bound.md).
#include "kernels/quantize_activation/op.h"

#include <math.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_quantize_activation_check(const void *params)
{
    static const char op[] = "quantize_activation";
    const iso_quantize_activation *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    if (rows == 0 || width == 0 || width % 4 != 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%s: x is %u rows of width %u; allowed: 1 row or more, a multiple of 4", op, rows,
                        width);
    ISO_TRY(iso_check_dtype(op, "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype(op, "q", &p->q, 1u << ISO_DTYPE_F8_E4M3));
    ISO_TRY(iso_check_dtype(op, "scale", &p->scale, 1u << ISO_DTYPE_F32));
    ISO_TRY(iso_check_shape(op, "q", &p->q, p->x.rank, p->x.dims));
    ISO_TRY(iso_check_contiguous(op, "q", &p->q));
    ISO_TRY(iso_check_contiguous(op, "scale", &p->scale));
    if (iso_tensor_rows(&p->scale) != rows || iso_tensor_width(&p->scale) != iso_div_up(width, ISO_FP8_BLOCK))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: scale is %u x %u; x needs %u x %u", op,
                        iso_tensor_rows(&p->scale), iso_tensor_width(&p->scale), rows,
                        iso_div_up(width, ISO_FP8_BLOCK));
    return ISO_OK;
}

static double round_e4m3(double value)
{
    uint8_t bits;
    iso_store_element(&bits, ISO_DTYPE_F8_E4M3, 0, value);
    return iso_load_element(&bits, ISO_DTYPE_F8_E4M3, 0);
}

iso_status iso_quantize_activation_reference(const void *params, const iso_numerics *numerics,
                                             const iso_reference_output *outputs)
{
    const iso_quantize_activation *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x),
             k_blocks = iso_tensor_width(&p->scale);
    // Compilers may turn a division by 448 into a product with its rounded reciprocal.
    double off = fmax(numerics->root_unit, 2 * numerics->unit);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t k0 = 0; k0 < width; k0 += ISO_FP8_BLOCK) {
            uint32_t end = width - k0 < ISO_FP8_BLOCK ? width : k0 + ISO_FP8_BLOCK;
            double largest = (double)1e-4f;
            for (uint32_t k = k0; k < end; k++)
                largest = fmax(largest, fabs(iso_at(&p->x, r, k)));
            double scale = largest / 448;
            size_t block = (size_t)r * k_blocks + k0 / ISO_FP8_BLOCK;
            iso_store_bound(numerics, p->scale.dtype, scale, scale * off, &outputs[1].value[block],
                            &outputs[1].bound[block]);
            for (uint32_t k = k0; k < end; k++) {
                double quotient = iso_at(&p->x, r, k) / scale, spread = 1.01 * (off + numerics->root_unit);
                double q = round_e4m3(quotient);
                size_t at = (size_t)r * width + k;
                outputs[0].value[at] = q;
                outputs[0].bound[at] = fmax(fabs(q - round_e4m3(quotient * (1 - spread))),
                                            fabs(q - round_e4m3(quotient * (1 + spread))));
            }
        }
    }
    return ISO_OK;
}

void iso_quantize_activation_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_quantize_activation *p = params;
    uint64_t elems = iso_tensor_elems(&p->x);
    out_cost->flops = 2 * elems;
    out_cost->read_bytes = elems * iso_dtype_bytes(p->x.dtype);
    out_cost->written_bytes = elems + iso_tensor_elems(&p->scale) * iso_dtype_bytes(p->scale.dtype);
}

// numbers: rows, width, margin around x
iso_status iso_quantize_activation_build_case(const uint32_t *numbers, iso_case_builder *builder,
                                              void *params)
{
    iso_quantize_activation *p = params;
    uint32_t rows = numbers[0], width = numbers[1], margin = numbers[2];
    ISO_TRY(iso_case_float(builder, &p->x, builder->dtypes[0], ISO_FILL_NORMAL,
                           ISO_DIMS(rows, width + 2 * margin)));
    p->x.dims[1] = width;
    p->x.view_offset = margin;
    // The first block of every fourth row is so small that the floor of 1e-4 counts, that of the one after is
    // 0.
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t k = 0; k < width && k < ISO_FP8_BLOCK && r % 4 < 2 && rows > 1; k++)
            iso_store_element(p->x.host, p->x.dtype, iso_elem(&p->x, r, k),
                              r % 4 ? 0.0 : iso_at(&p->x, r, k) * 1e-6);
    ISO_TRY(iso_case_empty(builder, &p->q, ISO_DTYPE_F8_E4M3, ISO_DIMS(rows, width)));
    return iso_case_empty(builder, &p->scale, ISO_DTYPE_F32,
                          ISO_DIMS(rows, iso_div_up(width, ISO_FP8_BLOCK)));
}
