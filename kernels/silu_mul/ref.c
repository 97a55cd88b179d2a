// SPDX-License-Identifier: MIT
//
// Gate of an MLP: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: e^-z has a relative error of 2 units in the last place, 4 u; 1 + e^-z has no more, as both terms are
// positive, and one rounding; a division may err by 5 u, the product by one more: 12 u in all are allowed.
// Where e^-z overflows, silu(z) is below 2.7e-37 in magnitude and may come out as 0; a device may
// flush a subnormal product. Then one rounding to y's dtype.
#include "kernels/silu_mul/op.h"

#include <math.h>

#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_silu_mul_check(const void *params)
{
    const iso_silu_mul *p = params;
    if (iso_tensor_elems(&p->gate) == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "silu_mul: gate has no elements; allowed: 1 or more");
    ISO_TRY(iso_check_dtype("silu_mul", "gate", &p->gate, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("silu_mul", "up", &p->up, 1u << p->gate.dtype));
    ISO_TRY(iso_check_dtype("silu_mul", "y", &p->y, 1u << p->gate.dtype));
    ISO_TRY(iso_check_shape("silu_mul", "up", &p->up, p->gate.rank, p->gate.dims));
    return iso_check_shape("silu_mul", "y", &p->y, p->gate.rank, p->gate.dims);
}

iso_status iso_silu_mul_reference(const void *params, const iso_reference_output *outputs)
{
    const iso_silu_mul *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t i = 0; i < width; i++) {
            size_t at = (size_t)r * width + i;
            double gate = iso_at(&p->gate, r, i), up = iso_at(&p->up, r, i);
            double y = gate / (1 + exp(-gate)) * up;
            outputs[0].value[at] = y;
            outputs[0].bound[at] = fabs(y) * iso_gamma_f32(12) + fabs(up) * 2.7e-37 + 0x1p-126 +
                                   iso_rounding_bound(p->y.dtype, y);
        }
    }
    return ISO_OK;
}

void iso_silu_mul_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_silu_mul *p = params;
    uint64_t elems = iso_tensor_elems(&p->y), bytes = elems * iso_dtype_bytes(p->y.dtype);
    *out_cost = (iso_op_cost){.flops = 4 * elems, .read_bytes = 2 * bytes, .written_bytes = bytes};
}

// numbers: rows, width, margin around gate and up, in place
iso_status iso_silu_mul_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    // Where e^-z nears the largest float, passes it, and where z itself does.
    static const double planted[] = {-87.0, 88.5, -88.0, -89.0, 1e-30, 200.0, -1e30, 0.0, 1e30};
    iso_silu_mul *p = params;
    uint32_t rows = numbers[0], width = numbers[1], margin = numbers[2], stride = width + 2 * margin;
    bool in_place = numbers[3] != 0;
    ISO_TRY(iso_case_float(builder, &p->gate, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(rows, stride)));
    ISO_TRY(iso_case_float(builder, &p->up, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(rows, stride)));
    p->gate.dims[1] = p->up.dims[1] = width;
    p->gate.view_offset = p->up.view_offset = margin;
    for (uint32_t i = 0; i < sizeof planted / sizeof planted[0] && 7 * i + 1 < width; i++)
        iso_store_element(p->gate.host, p->gate.dtype, iso_elem(&p->gate, i % rows, 7 * i + 1), planted[i]);
    if (in_place) {
        p->y = p->gate;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(rows, width));
}
