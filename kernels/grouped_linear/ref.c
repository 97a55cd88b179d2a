// SPDX-License-Identifier: MIT
//
// Grouped linear layer: contract check, double-precision reference with its error bound, cost, and test
// inputs.
//
// Bound as in kernels/linear: the error of a float32 sum of the products in any order, the scales' roundings
// included, then one rounding to y's dtype (bound.md).
#include "kernels/grouped_linear/op.h"

#include <string.h>

#include "kernels/bound.h"
#include "kernels/case.h"
#include "kernels/functions.h"

#define OP         "grouped_linear"
#define TILE_WORDS 4
#define TILE_LIMIT 8 // rows

static iso_status check_routing(const iso_grouped_linear *p)
{
    uint32_t tokens = p->y.dims[0], choices = p->y.dims[1];
    ISO_TRY(iso_check_dtype(OP, "row", &p->row, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype(OP, "tiles", &p->tiles, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_shape(OP, "row", &p->row, 2, (uint32_t[2]){tokens, choices}));
    ISO_TRY(iso_check_shape(OP, "tiles", &p->tiles, 3, (uint32_t[3]){tokens, choices, TILE_WORDS}));
    if (p->rows_per_token != 0 && p->rows_per_token != choices)
        return iso_fail(ISO_INVALID_ARGUMENT, OP ": rows_per_token is %u; allowed: 0 or %u",
                        p->rows_per_token, choices);
    uint32_t rows = p->rows_per_token ? tokens : tokens * choices;
    if (iso_tensor_rows(&p->x) != rows)
        return iso_fail(ISO_INVALID_ARGUMENT, OP ": x has %u rows; row and rows_per_token need %u",
                        iso_tensor_rows(&p->x), rows);
    const iso_tensor *const contiguous[] = {&p->x_scale, &p->weight, &p->weight_scale,
                                            &p->row,     &p->tiles,  &p->y};
    static const char *const names[] = {"x_scale", "weight", "weight_scale", "row", "tiles", "y"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ISO_TRY(iso_check_contiguous(OP, names[i], contiguous[i]));
    return ISO_OK;
}

iso_status iso_grouped_linear_check(const void *params)
{
    const iso_grouped_linear *p = params;
    uint32_t k = iso_tensor_width(&p->x), rows = iso_tensor_rows(&p->x),
             k_blocks = iso_div_up(k, ISO_FP8_BLOCK);
    uint32_t experts = p->weight.dims[0], features = p->weight.dims[1];
    if (k == 0 || rows == 0 || experts == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, OP ": x is %u x %u with %u experts; allowed: 1 or more of each",
                        rows, k, experts);
    ISO_TRY(iso_check_dtype(OP, "x", &p->x, ISO_DTYPES_ACTIVATION | 1u << ISO_DTYPE_F8_E4M3));
    bool fp8_x = p->x.dtype == ISO_DTYPE_F8_E4M3, fp8 = p->weight.dtype == ISO_DTYPE_F8_E4M3;
    ISO_TRY(iso_check_dtype(OP, "weight", &p->weight,
                            fp8_x ? 1u << ISO_DTYPE_F8_E4M3 : ISO_DTYPES_WEIGHT | 1u << ISO_DTYPE_F8_E4M3));
    ISO_TRY(iso_check_shape(OP, "weight", &p->weight, 3, (uint32_t[3]){experts, features, k}));
    ISO_TRY(iso_check_dtype(OP, "x_scale", &p->x_scale, 1u << (fp8_x ? ISO_DTYPE_F32 : ISO_DTYPE_NONE)));
    ISO_TRY(
        iso_check_dtype(OP, "weight_scale", &p->weight_scale, 1u << (fp8 ? ISO_DTYPE_F32 : ISO_DTYPE_NONE)));
    if (fp8)
        ISO_TRY(iso_check_shape(OP, "weight_scale", &p->weight_scale, 3,
                                (uint32_t[3]){experts, iso_div_up(features, ISO_FP8_BLOCK), k_blocks}));
    if (fp8_x && (iso_tensor_rows(&p->x_scale) != rows || iso_tensor_width(&p->x_scale) != k_blocks))
        return iso_fail(ISO_INVALID_ARGUMENT, OP ": x_scale is %u x %u; x needs %u x %u",
                        iso_tensor_rows(&p->x_scale), iso_tensor_width(&p->x_scale), rows, k_blocks);
    ISO_TRY(iso_check_dtype(OP, "y", &p->y, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_shape(OP, "y", &p->y, 3, (uint32_t[3]){p->y.dims[0], p->y.dims[1], features}));
    return check_routing(p);
}

// One row of x times one expert's feature.
static iso_sum product(const iso_grouped_linear *p, const iso_numerics *numerics, uint32_t x_row,
                       uint32_t expert, uint32_t feature)
{
    uint32_t width = iso_tensor_width(&p->x), features = iso_tensor_width(&p->y);
    uint32_t scale_row = expert * iso_div_up(features, ISO_FP8_BLOCK) + feature / ISO_FP8_BLOCK;
    iso_sum sum = iso_sum_begin(numerics);
    for (uint32_t k = 0; k < width; k++) {
        double scale = 1;
        if (iso_tensor_present(&p->weight_scale))
            scale *= iso_at(&p->weight_scale, scale_row, k / ISO_FP8_BLOCK);
        if (iso_tensor_present(&p->x_scale))
            scale *= iso_at(&p->x_scale, x_row, k / ISO_FP8_BLOCK);
        iso_sum_add(&sum, iso_at(&p->x, x_row, k), iso_at(&p->weight, expert * features + feature, k), scale);
    }
    return sum;
}

iso_status iso_grouped_linear_reference(const void *params, const iso_numerics *numerics,
                                        const iso_reference_output *outputs)
{
    const iso_grouped_linear *p = params;
    uint32_t features = iso_tensor_width(&p->y);
    int scales = iso_tensor_present(&p->weight_scale) + iso_tensor_present(&p->x_scale);
    for (uint32_t t = 0; t < iso_tensor_rows(&p->tiles); t++) {
        int32_t expert = iso_index_at(&p->tiles, t * TILE_WORDS),
                first = iso_index_at(&p->tiles, t * TILE_WORDS + 1);
        int32_t count = iso_index_at(&p->tiles, t * TILE_WORDS + 2);
        for (int32_t s = first; expert >= 0 && s < first + count; s++) {
            uint32_t x_row = (uint32_t)s;
            if (p->rows_per_token)
                x_row = (uint32_t)iso_index_at(&p->row, (size_t)s) / p->rows_per_token;
            for (uint32_t n = 0; n < features; n++) {
                iso_sum sum = product(p, numerics, x_row, (uint32_t)expert, n);
                size_t at = (size_t)s * features + n;
                iso_store_bound(numerics, p->y.dtype, sum.value, iso_sum_error(&sum, scales),
                                &outputs[0].value[at], &outputs[0].bound[at]);
            }
        }
    }
    return ISO_OK;
}

void iso_grouped_linear_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_grouped_linear *p = params;
    uint64_t rows = iso_tensor_rows(&p->y), experts = p->weight.dims[0];
    uint64_t used =
        rows < experts ? rows : experts; // at most: how many experts were chosen is not known here
    uint64_t weight_bytes = iso_tensor_elems(&p->weight) * iso_dtype_bytes(p->weight.dtype) +
                            iso_tensor_elems(&p->weight_scale) * iso_dtype_bytes(p->weight_scale.dtype);
    out_cost->flops = 2 * rows * iso_tensor_width(&p->y) * iso_tensor_width(&p->x);
    out_cost->read_bytes =
        iso_tensor_elems(&p->x) * iso_dtype_bytes(p->x.dtype) + weight_bytes / experts * used;
    out_cost->written_bytes = iso_tensor_elems(&p->y) * iso_dtype_bytes(p->y.dtype);
}

// The expert of a (token, choice): drawn from first_expert on, or so that experts get as many rows as stand
// here, the last of them all that are left.
static uint32_t draw_expert(const iso_case_builder *builder, const iso_grouped_linear *p,
                            uint32_t first_expert, bool listed, uint32_t i)
{
    static const uint32_t rows_of[] = {0, 31, 7, 33, 1, 8, 65, 9, 32};
    uint32_t experts = p->weight.dims[0], e = 0, most = sizeof rows_of / sizeof rows_of[0];
    if (!listed)
        return first_expert + (uint32_t)(iso_case_random(builder, i) % (experts - first_expert));
    uint32_t place = (uint32_t)((uint64_t)i * 61 % iso_tensor_rows(&p->y));
    for (; e + 1 < experts && e + 1 < most && place >= rows_of[e]; e++)
        place -= rows_of[e];
    return e;
}

// Rows are sorted by expert and cut into tiles.
static void draw_routing(iso_case_builder *builder, iso_grouped_linear *p, uint32_t first_expert, bool listed)
{
    uint32_t rows = iso_tensor_rows(&p->y), experts = p->weight.dims[0], sorted = 0, tile = 0;
    int32_t *row = p->row.host, *tiles = p->tiles.host;
    for (uint32_t e = first_expert; e < experts; e++) {
        uint32_t begin = sorted;
        for (uint32_t i = 0; i < rows; i++)
            if (draw_expert(builder, p, first_expert, listed, i) == e)
                row[sorted++] = (int32_t)i;
        for (; begin < sorted; begin += TILE_LIMIT, tile++) {
            uint32_t count = sorted - begin < TILE_LIMIT ? sorted - begin : TILE_LIMIT;
            memcpy(tiles + tile * TILE_WORDS,
                   (int32_t[TILE_WORDS]){(int32_t)e, (int32_t)begin, (int32_t)count, 0},
                   sizeof(int32_t[TILE_WORDS]));
        }
    }
    for (; tile < rows; tile++)
        memcpy(tiles + tile * TILE_WORDS, (int32_t[TILE_WORDS]){-1, 0, 0, 0}, sizeof(int32_t[TILE_WORDS]));
}

// numbers: tokens, choices, experts, features, width, one row a token, experts without rows, rows as listed
iso_status iso_grouped_linear_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_grouped_linear *p = params;
    uint32_t tokens = numbers[0], choices = numbers[1], experts = numbers[2], features = numbers[3],
             width = numbers[4];
    uint32_t k_blocks = iso_div_up(width, ISO_FP8_BLOCK), n_blocks = iso_div_up(features, ISO_FP8_BLOCK);
    uint32_t x_rows = numbers[5] ? tokens : tokens * choices;
    bool fp8 = builder->dtypes[1] == ISO_DTYPE_F8_E4M3;
    p->rows_per_token = numbers[5] ? choices : 0;
    ISO_TRY(iso_case_float(builder, &p->x, builder->dtypes[0], ISO_FILL_NORMAL, ISO_DIMS(x_rows, width)));
    ISO_TRY(iso_case_float(builder, &p->weight, builder->dtypes[1], fp8 ? ISO_FILL_NORMAL : ISO_FILL_WEIGHT,
                           ISO_DIMS(experts, features, width)));
    if (builder->dtypes[0] == ISO_DTYPE_F8_E4M3)
        ISO_TRY(
            iso_case_float(builder, &p->x_scale, ISO_DTYPE_F32, ISO_FILL_SCALE, ISO_DIMS(x_rows, k_blocks)));
    if (fp8)
        ISO_TRY(iso_case_float(builder, &p->weight_scale, ISO_DTYPE_F32, ISO_FILL_SCALE,
                               ISO_DIMS(experts, n_blocks, k_blocks)));
    ISO_TRY(iso_case_empty(builder, &p->row, ISO_DTYPE_I32, ISO_DIMS(tokens, choices)));
    ISO_TRY(iso_case_empty(builder, &p->tiles, ISO_DTYPE_I32, ISO_DIMS(tokens, choices, TILE_WORDS)));
    ISO_TRY(iso_case_empty(builder, &p->y, builder->dtypes[2], ISO_DIMS(tokens, choices, features)));
    draw_routing(builder, p, numbers[6], numbers[7]);
    return ISO_OK;
}
