// SPDX-License-Identifier: MIT
//
// Gate of an MLP: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the error of e^-z, as far as it counts in 1 + e^-z, the roundings of that sum, of the division and
// of the product, then one rounding to y's dtype (bound.md). Where e^-z nears the largest float, silu(z) is
// below 1e-35 in magnitude and may come out as 0.
#include "kernels/silu_mul/op.h"

#include <math.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

#define NEAR_OVERFLOW -85.0 // of e^-z, and its reciprocal near the subnormals

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

// Of y before it is stored.
static double relative_error(const iso_numerics *numerics, double gate)
{
    if (gate < NEAR_OVERFLOW)
        return 1;
    double weight = 1 / (1 + exp(gate)); // of e^-z in 1 + e^-z
    return 1.01 * (weight * numerics->exp_unit + 2 * numerics->unit + numerics->root_unit);
}

iso_status iso_silu_mul_reference(const void *params, const iso_numerics *numerics,
                                  const iso_reference_output *outputs)
{
    const iso_silu_mul *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t i = 0; i < width; i++) {
            size_t at = (size_t)r * width + i;
            double gate = iso_at(&p->gate, r, i), up = iso_at(&p->up, r, i);
            double silu = gate / (1 + exp(-gate)), y = silu * up;
            double error = fabs(y) * relative_error(numerics, gate) + iso_flushed(numerics, gate) * fabs(up) +
                           iso_flushed(numerics, up) * fabs(silu) + iso_underflow(numerics, silu) * fabs(up);
            iso_store_bound(numerics, p->y.dtype, y, error, &outputs[0].value[at], &outputs[0].bound[at]);
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
