// SPDX-License-Identifier: MIT
//
// Argmax: contract check, reference, cost, and test inputs. The bound is 0: the answer is exact.
#include "kernels/argmax/op.h"

#include <math.h>

#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_argmax_check(const void *params)
{
    const iso_argmax *p = params;
    ISO_TRY(iso_check_dtype("argmax", "x", &p->x, 1u << ISO_DTYPE_F32));
    ISO_TRY(iso_check_dtype("argmax", "y", &p->y, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_shape("argmax", "x", &p->x, 2, p->x.dims));
    if (iso_tensor_width(&p->x) == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "argmax: x has width 0; allowed: 1 or more");
    ISO_TRY(iso_check_contiguous("argmax", "y", &p->y));
    return iso_check_shape("argmax", "y", &p->y, 1, p->x.dims);
}

iso_status iso_argmax_reference(const void *params, const iso_numerics *numerics,
                                const iso_reference_output *outputs)
{
    (void)numerics; // exact
    const iso_argmax *p = params;
    for (uint32_t r = 0; r < p->x.dims[0]; r++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < p->x.dims[1]; i++)
            if (iso_at(&p->x, r, i) > iso_at(&p->x, r, best) ||
                (isnan(iso_at(&p->x, r, best)) && !isnan(iso_at(&p->x, r, i))))
                best = i;
        outputs[0].value[r] = isnan(iso_at(&p->x, r, best)) ? 0 : best;
        outputs[0].bound[r] = 0;
    }
    return ISO_OK;
}

void iso_argmax_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_argmax *p = params;
    out_cost->flops = iso_tensor_elems(&p->x);
    out_cost->read_bytes = 4 * iso_tensor_elems(&p->x);
    out_cost->written_bytes = 4 * (uint64_t)p->x.dims[0];
}

iso_status iso_argmax_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_argmax *p = params;
    uint32_t rows = numbers[0], width = numbers[1];
    iso_fill fill = numbers[2] ? ISO_FILL_INTEGER : ISO_FILL_NORMAL;
    ISO_TRY(iso_case_float(builder, &p->x, ISO_DTYPE_F32, fill, ISO_DIMS(rows, width)));
    float *x = p->x.host;
    for (uint32_t i = 0; i < width && rows >= 3; i++)
        x[width + i] = NAN;
    if (rows >= 3)
        x[2 * width] = NAN;
    for (uint32_t i = 0; i < width && rows >= 4; i++)
        x[3 * width + i] = i % 2 ? -INFINITY : NAN;
    if (width > UINT16_MAX) // the largest stands twice, both beyond what 16 bits count
        x[width - 5] = x[width - 2] = 1e6f;
    return iso_case_empty(builder, &p->y, ISO_DTYPE_I32, ISO_DIMS(rows));
}
