// SPDX-License-Identifier: MIT
//
// Inputs of op cases: a counter-based generator (splitmix64 of seed, stream and index), so that any element
// can be drawn on its own and every machine draws the same.
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
    uint64_t elems = iso_tensor_elems(out);
    for (uint64_t i = 0; i < elems; i++)
        iso_store_element(out->host, dtype, i,
                          draw(iso_case_random(builder, i), fill, iso_tensor_width(out)));
    return ISO_OK;
}

iso_status iso_case_index(iso_case_builder *builder, iso_tensor *out, uint32_t limit, const uint32_t *dims,
                          uint32_t rank)
{
    ISO_TRY(iso_case_empty(builder, out, ISO_DTYPE_I32, dims, rank));
    uint64_t elems = iso_tensor_elems(out);
    for (uint64_t i = 0; i < elems; i++)
        ((int32_t *)out->host)[i] = (int32_t)(iso_case_random(builder, i) % limit);
    return ISO_OK;
}

void iso_case_end(iso_case_builder *builder)
{
    for (uint32_t i = 0; i < builder->memory_count; i++)
        iso_free(builder->allocator, builder->memory[i]);
    builder->memory_count = 0;
}
