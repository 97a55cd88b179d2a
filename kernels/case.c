// SPDX-License-Identifier: MIT
//
// Inputs of op cases: a counter-based generator (splitmix64 of seed, stream and index), so that any element
// can be drawn on its own and every machine draws the same. A stress changes what is drawn, in this one
// place, for every op.
#include "kernels/case.h"

#include <math.h>

uint64_t iso_case_random(const iso_case_builder *builder, uint64_t index)
{
    uint64_t z = builder->seed * 0x9e3779b97f4a7c15u + builder->stream * 0xd1b54a32d192ed03u +
                 index * 0x8cb92ba72f3d8dd7u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// The sum of four uniform numbers, scaled to variance 1.
static double draw_normal(uint64_t bits)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(bits >> 16 * i & 0xffff) / 65536.0 - 0.5;
    return sum * 1.7320508075688772;
}

static double draw(uint64_t bits, iso_fill fill, uint32_t width)
{
    double normal = draw_normal(bits);
    switch (fill) {
    case ISO_FILL_NORMAL:
        return bits % 64 == 0 ? copysign(8.0 + (double)(bits >> 8 & 0xff) * 0.09375, normal) : normal;
    case ISO_FILL_WEIGHT:
        return normal / sqrt((double)width);
    case ISO_FILL_POSITIVE:
        return 0.5 + (double)(bits >> 40) / 0x1p24;
    case ISO_FILL_SCALE:
        return ldexp(1.0 + (double)(bits >> 40) / 0x1p24, -6 + (int)(bits % 3) - 1);
    case ISO_FILL_INTEGER:
        return (double)(int)(bits % 9) - 4.0;
    }
    return 0;
}

// ---- stresses: each a value for one element, in place of the fill's own ----

// The type's smallest normal magnitude is 2^lowest, a step below it 2^(lowest - digits); `reach` is how far
// from 1 magnitudes may go, so that the products of a row stay within float32.
typedef struct range {
    int lowest, digits, reach;
} range;

static range range_of(iso_dtype dtype)
{
    switch (dtype) {
    case ISO_DTYPE_F16:
        return (range){-14, 10, 8};
    case ISO_DTYPE_F8_E4M3:
        return (range){-6, 3, 3};
    case ISO_DTYPE_BF16:
        return (range){-126, 7, 20};
    default:
        return (range){-126, 23, 20};
    }
}

typedef struct place {
    uint64_t bits;
    uint32_t row, column, width, rows;
    iso_dtype dtype;
    iso_fill fill;
} place;

static double draw_integer(const place *at)
{
    switch (at->fill) {
    case ISO_FILL_POSITIVE:
        return at->bits % 2 ? 1.0 : 2.0;
    case ISO_FILL_SCALE:
        return ldexp(1.0, -5 - (int)(at->bits % 3));
    default:
        return draw(at->bits, ISO_FILL_INTEGER, at->width);
    }
}

// Magnitudes in blocks of 2 x 2, equal up to a little: the signs of the first tensor go by rows, those of
// the others like a chessboard's fields, so that neighbours cancel in sums of products along rows as well as
// down columns. Every fourth pair of columns is as the fill says.
static double draw_cancel(const iso_case_builder *builder, const place *at, double usual)
{
    if (at->fill == ISO_FILL_POSITIVE || at->fill == ISO_FILL_SCALE || at->column / 2 % 4 == 3)
        return usual;
    iso_case_builder shared = *builder;
    shared.stream = 0;
    uint64_t block = (uint64_t)(at->row / 2) * ((at->width + UINT64_C(1)) / 2) + at->column / 2;
    double large = 64.0 + (double)(iso_case_random(&shared, block) >> 58);
    if (at->fill == ISO_FILL_WEIGHT)
        large /= sqrt((double)at->width);
    uint32_t odd = builder->floats > 1 ? at->row + at->column : at->row;
    return (odd % 2 ? -large : large) + usual / 16;
}

// Partners are large for the wide types: the product of both is an ordinary number, which a device that
// drops the small one misses. The narrow types have whole rows of subnormals, so that their sums are small.
static double draw_denormal(const iso_case_builder *builder, const place *at, double usual)
{
    if (at->fill == ISO_FILL_POSITIVE || at->fill == ISO_FILL_SCALE)
        return usual;
    range range = range_of(at->dtype);
    bool wide = range.lowest == -126;
    if ((wide || at->row % 4 != 1) && (at->column + builder->floats) % 2)
        return wide ? ldexp(usual, at->fill == ISO_FILL_WEIGHT ? 60 : 30) : usual;
    double steps = 1.0 + (double)(at->bits >> 8 & 0xffff) / 0x1p16 * ldexp(1.0, range.digits);
    return copysign(ldexp(floor(steps), range.lowest - range.digits), usual);
}

static double draw_scaled(const iso_case_builder *builder, const place *at, double usual)
{
    int reach = range_of(at->dtype).reach;
    if (builder->spread && (int)builder->spread < reach)
        reach = (int)builder->spread;
    if (at->fill == ISO_FILL_POSITIVE || at->fill == ISO_FILL_SCALE)
        reach = reach < 4 ? reach : 4;
    return ldexp(usual, (int)(at->bits >> 20 & 0xff) % (2 * reach + 1) - reach);
}

// One of a few values, as it is, or its neighbour above or below in the type.
static double draw_tie(const place *at, double usual)
{
    static const double values[] = {1.0, 1.5, -1.0, 0.75, 1.0, 3.0, -2.0, 1.5};
    if (at->fill == ISO_FILL_SCALE)
        return usual;
    double value = fabs(values[at->bits >> 8 & 7]),
           step = ldexp(1.0, ilogb(value) - range_of(at->dtype).digits);
    value += step * (double)((int)(at->bits >> 16 & 3) % 3 - 1);
    bool negative = values[at->bits >> 8 & 7] < 0 && at->fill != ISO_FILL_POSITIVE;
    return (negative ? -value : value) / (at->fill == ISO_FILL_WEIGHT ? exp2(floor(log2(at->width) / 2)) : 1);
}

static double draw_stressed(const iso_case_builder *builder, const place *at)
{
    double usual = draw(at->bits, at->fill, at->width);
    bool positive = at->fill == ISO_FILL_POSITIVE || at->fill == ISO_FILL_SCALE;
    switch (builder->stress) {
    case ISO_STRESS_INTEGER:
        return draw_integer(at);
    case ISO_STRESS_CANCEL:
        return draw_cancel(builder, at, usual);
    case ISO_STRESS_DENORMAL:
        return draw_denormal(builder, at, usual);
    case ISO_STRESS_SCALES:
        return draw_scaled(builder, at, usual);
    case ISO_STRESS_TIES:
        return draw_tie(at, usual);
    case ISO_STRESS_ZEROS:
        return positive || at->bits >> 9 & 1 ? usual : copysign(0.0, usual);
    case ISO_STRESS_INFINITE:
        return builder->floats == 1 && at->row == at->rows / 2 ? (double)-INFINITY : usual;
    default:
        return usual;
    }
}

const char *iso_stress_name(iso_stress stress)
{
    static const char *const names[ISO_STRESS_COUNT] = {"normal", "integer", "cancel", "denormal",
                                                        "scales", "ties",    "zeros",  "infinite"};
    return (unsigned)stress < ISO_STRESS_COUNT ? names[stress] : "unknown";
}

iso_status iso_case_empty(iso_case_builder *builder, iso_tensor *out, iso_dtype dtype, const uint32_t *dims,
                          uint32_t rank)
{
    *out = iso_tensor_describe(dtype, dims, rank);
    if (builder->memory_count == sizeof builder->memory / sizeof builder->memory[0])
        return iso_fail(ISO_INTERNAL, "an op case has more than %u tensors", builder->memory_count);
    size_t bytes = (size_t)iso_tensor_elems(out) * iso_dtype_bytes(dtype);
    ISO_TRY(iso_alloc(builder->allocator, bytes ? bytes : 1, &out->host));
    builder->memory[builder->memory_count++] = out->host;
    builder->stream++;
    return ISO_OK;
}

iso_status iso_case_float(iso_case_builder *builder, iso_tensor *out, iso_dtype dtype, iso_fill fill,
                          const uint32_t *dims, uint32_t rank)
{
    ISO_TRY(iso_case_empty(builder, out, dtype, dims, rank));
    builder->floats++;
    place at = {.width = iso_tensor_width(out), .rows = iso_tensor_rows(out), .dtype = dtype, .fill = fill};
    for (uint64_t i = 0; i < iso_tensor_elems(out) && !builder->blank; i++) {
        at.bits = iso_case_random(builder, i);
        at.row = (uint32_t)(i / at.width);
        at.column = (uint32_t)(i % at.width);
        iso_store_element(out->host, dtype, i, draw_stressed(builder, &at));
    }
    return ISO_OK;
}

iso_status iso_case_index(iso_case_builder *builder, iso_tensor *out, uint32_t limit, const uint32_t *dims,
                          uint32_t rank)
{
    ISO_TRY(iso_case_empty(builder, out, ISO_DTYPE_I32, dims, rank));
    uint64_t elems = iso_tensor_elems(out);
    for (uint64_t i = 0; i < elems && !builder->blank; i++)
        ((int32_t *)out->host)[i] = (int32_t)(iso_case_random(builder, i) % limit);
    return ISO_OK;
}

void iso_case_end(iso_case_builder *builder)
{
    for (uint32_t i = 0; i < builder->memory_count; i++)
        iso_free(builder->allocator, builder->memory[i]);
    builder->memory_count = 0;
}
