// SPDX-License-Identifier: MIT
//
// RoPE: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound of a * cos - b * sin: an absolute error of cos and sin, the roundings of their product with the
// scale, of two products and a sum, then one rounding to y's dtype. Angle 0 is exact (bound.md).
#include "kernels/rope/op.h"

#include <math.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

#define TRIGONOMETRIC 3.4 // units that cos and sin may be off
#define TWO_PI        6.283185307179586

iso_status iso_rope_check(const void *params)
{
    const iso_rope *p = params;
    uint32_t r = iso_tensor_width(&p->x);
    ISO_TRY(iso_check_dtype("rope", "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("rope", "positions", &p->positions, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("rope", "frequency", &p->frequency, 1u << ISO_DTYPE_U32));
    ISO_TRY(iso_check_dtype("rope", "y", &p->y, 1u << p->x.dtype));
    if (p->x.rank != 2 && p->x.rank != 3)
        return iso_fail(ISO_INVALID_ARGUMENT, "rope: x has %u dimensions; allowed: 2 or 3", p->x.rank);
    if (r == 0 || r % 2 || r > ISO_ROPE_MAX_WIDTH)
        return iso_fail(ISO_INVALID_ARGUMENT, "rope: x has width %u; allowed: even, 2 to %d", r,
                        ISO_ROPE_MAX_WIDTH);
    ISO_TRY(iso_check_shape("rope", "positions", &p->positions, 1, p->x.dims));
    ISO_TRY(iso_check_shape("rope", "frequency", &p->frequency, 2, (const uint32_t[]){r / 2, 2}));
    ISO_TRY(iso_check_contiguous("rope", "positions", &p->positions));
    ISO_TRY(iso_check_contiguous("rope", "frequency", &p->frequency));
    return iso_check_shape("rope", "y", &p->y, p->x.rank, p->x.dims);
}

// y = scale * (a c + b s)
typedef struct turn {
    double a, c, b, s;
} turn;

static double turn_error(const iso_numerics *numerics, const turn *t, double scale)
{
    double products = fabs(t->a * t->c) + fabs(t->b * t->s), y = fabs(t->a * t->c + t->b * t->s);
    double roundings = scale == 1 ? 1 : 2; // of each product, and of cos and sin times the scale
    double error = numerics->unit * (TRIGONOMETRIC * (fabs(t->a) + fabs(t->b)) + roundings * products + y);
    return fabs(scale) * (1.01 * error + iso_flushed(numerics, t->a) + iso_flushed(numerics, t->b)) +
           4 * iso_flush_bound(numerics);
}

// Of scale * a, where the angle is 0.
static double still_error(const iso_numerics *numerics, double a, double scale)
{
    double y = fabs(scale * a);
    return (scale == 1 ? 0 : 2 * numerics->unit * y + iso_underflow(numerics, y)) +
           fabs(scale) * iso_flushed(numerics, a);
}

iso_status iso_rope_reference(const void *params, const iso_numerics *numerics,
                              const iso_reference_output *outputs)
{
    const iso_rope *p = params;
    uint32_t r = iso_tensor_width(&p->x), rows = iso_tensor_rows(&p->x);
    uint32_t heads = p->x.rank == 3 ? p->x.dims[1] : 1;
    const uint32_t *frequency = p->frequency.host;
    double scale = (double)p->scale;
    for (uint32_t row = 0; row < rows; row++) {
        uint64_t position = (uint64_t)iso_index_at(&p->positions, row / heads);
        for (uint32_t i = 0; i < r / 2; i++) {
            uint64_t turns = position * ((uint64_t)frequency[2 * i] << 32 | frequency[2 * i + 1]);
            double angle = TWO_PI * (double)(turns >> 32) / 0x1p32;
            uint32_t first = p->interleaved ? 2 * i : i, second = p->interleaved ? 2 * i + 1 : i + r / 2;
            double a = iso_at(&p->x, row, first), b = iso_at(&p->x, row, second);
            double c = cos(angle), s = sin(angle);
            const turn turns_of[2] = {{a, c, -b, s}, {a, s, b, c}};
            for (int j = 0; j < 2; j++) {
                size_t at = (size_t)row * r + (j ? second : first);
                double y = scale * (turns_of[j].a * turns_of[j].c + turns_of[j].b * turns_of[j].s);
                double error = (uint32_t)(turns >> 32) == 0 ? still_error(numerics, j ? b : a, scale)
                                                            : turn_error(numerics, &turns_of[j], scale);
                iso_store_bound(numerics, p->y.dtype, y, error, &outputs[0].value[at], &outputs[0].bound[at]);
            }
        }
    }
    return ISO_OK;
}

void iso_rope_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_rope *p = params;
    uint64_t elems = iso_tensor_elems(&p->x);
    out_cost->flops = 3 * elems;
    out_cost->read_bytes = elems * iso_dtype_bytes(p->x.dtype) + 4 * (uint64_t)p->x.dims[0] +
                           4 * iso_tensor_elems(&p->frequency);
    out_cost->written_bytes = elems * iso_dtype_bytes(p->y.dtype);
}

// Base 10000, plain or stretched as in DeepSeek-V3 (YaRN: factor 40 over 4096 positions, beta 32 and 1).
static double case_frequency(uint32_t i, uint32_t r, bool yarn)
{
    double plain = pow(10000.0, -2.0 * i / r), per_turn = r / (2 * log(10000.0));
    if (!yarn)
        return plain;
    double low = floor(per_turn * log(4096 / (32 * TWO_PI))), high = ceil(per_turn * log(4096 / TWO_PI));
    double ramp = fmin(1, fmax(0, (i - low) / fmax(high - low, 0.001)));
    return plain / 40 * ramp + plain * (1 - ramp);
}

// numbers: tokens, heads (0: x of rank 2), r, interleaved, extra columns before x, in place, YaRN
iso_status iso_rope_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_rope *p = params;
    uint32_t tokens = numbers[0], heads = numbers[1], r = numbers[2], before = numbers[4];
    bool in_place = numbers[5] != 0;
    p->interleaved = numbers[3] != 0;
    p->scale = tokens % 2 ? 1.0f : 1.25f;
    iso_dtype dtype = builder->dtypes[0];
    if (heads == 0)
        ISO_TRY(iso_case_float(builder, &p->x, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, before + r)));
    else
        ISO_TRY(iso_case_float(builder, &p->x, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, heads, before + r)));
    p->x.dims[p->x.rank - 1] = r;
    p->x.view_offset = before;
    ISO_TRY(iso_case_empty(builder, &p->positions, ISO_DTYPE_I32, ISO_DIMS(tokens)));
    static const int32_t positions[] = {163839, 0, 1, 1048575, 4097, 2147483647, 65536, 4095, 163838};
    for (uint32_t t = 0; t < tokens; t++)
        ((int32_t *)p->positions.host)[t] = positions[t % 9];
    ISO_TRY(iso_case_empty(builder, &p->frequency, ISO_DTYPE_U32, ISO_DIMS(r / 2, 2)));
    uint32_t *frequency = p->frequency.host;
    for (uint32_t i = 0; i < r / 2; i++) {
        double turns = case_frequency(i, r, numbers[6] != 0) / TWO_PI * 0x1p32;
        frequency[2 * i] = (uint32_t)turns;
        frequency[2 * i + 1] = (uint32_t)((turns - floor(turns)) * 0x1p32);
    }
    if (in_place) {
        p->y = p->x;
        return ISO_OK;
    }
    return iso_case_empty(builder, &p->y, dtype, p->x.dims, p->x.rank);
}
