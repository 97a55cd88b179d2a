// SPDX-License-Identifier: MIT
//
// Un-permute: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the error of a float32 sum of base and k products, then one rounding to y's dtype (bound.md).
#include "kernels/unpermute/op.h"

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_unpermute_check(const void *params)
{
    const iso_unpermute *p = params;
    const uint32_t *x = p->x.dims, same = 1u << p->x.dtype;
    const uint32_t rows[] = {x[0], x[1]}, out[] = {x[0], x[2]};
    ISO_TRY(iso_check_dtype("unpermute", "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("unpermute", "slot", &p->slot, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("unpermute", "weight", &p->weight, 1u << ISO_DTYPE_F32));
    ISO_TRY(iso_check_dtype("unpermute", "base", &p->base, same | 1u << ISO_DTYPE_NONE));
    ISO_TRY(iso_check_dtype("unpermute", "y", &p->y, same));
    ISO_TRY(iso_check_shape("unpermute", "x", &p->x, 3, x));
    ISO_TRY(iso_check_shape("unpermute", "slot", &p->slot, 2, rows));
    ISO_TRY(iso_check_contiguous("unpermute", "slot", &p->slot));
    ISO_TRY(iso_check_shape("unpermute", "weight", &p->weight, 2, rows));
    ISO_TRY(iso_check_contiguous("unpermute", "weight", &p->weight));
    if (iso_tensor_present(&p->base))
        ISO_TRY(iso_check_shape("unpermute", "base", &p->base, 2, out));
    return iso_check_shape("unpermute", "y", &p->y, 2, out);
}

iso_status iso_unpermute_reference(const void *params, const iso_numerics *numerics,
                                   const iso_reference_output *outputs)
{
    const iso_unpermute *p = params;
    uint32_t chosen = p->x.dims[1], width = p->x.dims[2];
    for (uint32_t t = 0; t < p->x.dims[0]; t++)
        for (uint32_t i = 0; i < width; i++) {
            iso_sum sum = iso_sum_begin(numerics);
            if (iso_tensor_present(&p->base))
                iso_sum_add(&sum, iso_at(&p->base, t, i), 1, 1);
            for (uint32_t j = 0; j < chosen; j++) {
                uint32_t row = (uint32_t)iso_index_at(&p->slot, (size_t)t * chosen + j);
                iso_sum_add(&sum, iso_at(&p->weight, t, j), iso_at(&p->x, row, i), 1);
            }
            size_t at = (size_t)t * width + i;
            iso_store_bound(numerics, p->y.dtype, sum.value, iso_sum_error(&sum, 0), &outputs[0].value[at],
                            &outputs[0].bound[at]);
        }
    return ISO_OK;
}

void iso_unpermute_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_unpermute *p = params;
    uint64_t elems = iso_tensor_elems(&p->x), bytes = iso_dtype_bytes(p->x.dtype);
    out_cost->flops = 2 * elems;
    out_cost->read_bytes = (elems + iso_tensor_elems(&p->base)) * bytes + 8 * iso_tensor_elems(&p->slot);
    out_cost->written_bytes = iso_tensor_elems(&p->y) * bytes;
}

iso_status iso_unpermute_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_unpermute *p = params;
    uint32_t tokens = numbers[0], chosen = numbers[1], width = numbers[2], base = numbers[3];
    iso_dtype dtype = builder->dtypes[0];
    ISO_TRY(iso_case_float(builder, &p->x, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, chosen, width)));
    ISO_TRY(iso_case_empty(builder, &p->slot, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
    uint32_t count = tokens * chosen;
    for (uint32_t i = 0; i < count; i++) // a permutation: backwards
        ((int32_t *)p->slot.host)[i] = (int32_t)(count - 1 - i);
    ISO_TRY(iso_case_float(builder, &p->weight, ISO_DTYPE_F32, ISO_FILL_POSITIVE, ISO_DIMS(tokens, chosen)));
    if (base > 0)
        ISO_TRY(iso_case_float(builder, &p->base, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, width)));
    if (base == 2) {
        p->y = p->base;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, dtype, ISO_DIMS(tokens, width));
}
