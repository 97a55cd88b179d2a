// SPDX-License-Identifier: MIT
//
// Honest float32 implementations of the ops that are sums of products (tightness_models.h), written from
// their contracts alone.
#include <math.h>

#include "conformance/ops/tightness_models.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/head_linear/op.h"
#include "kernels/linear/op.h"
#include "kernels/rms_norm/op.h"
#include "kernels/unpermute/op.h"

static float at(const iso_tensor *tensor, uint32_t row, uint32_t column)
{
    return (float)iso_at(tensor, row, column);
}

void conform_model_rms_norm(const void *params, const conform_order *order, float *scratch,
                            double *const *outputs)
{
    const iso_rms_norm *p = params;
    uint32_t width = iso_tensor_width(&p->x);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->x); r++) {
        conform_model_row(&p->x, r, scratch);
        float mean = order->dot(scratch, scratch, width, order->fused) / (float)width;
        float scale = 1 / sqrtf(mean + p->eps);
        for (uint32_t i = 0; i < width; i++)
            outputs[0][(size_t)r * width + i] =
                conform_model_store(p->y.dtype, scratch[i] * scale * at(&p->weight, 0, i));
    }
}

// A row of x and one of the weight, with one scale for each 128 elements, counted from `origin` before the
// first.
typedef struct product {
    uint32_t width, origin;
    float *x, *w;
    float *scale; // NULL: none
    float *sums;  // of each block
} product;

static product product_begin(uint32_t width, bool scaled, float *scratch)
{
    uint32_t blocks = width / ISO_FP8_BLOCK + 2;
    product p = {.width = width, .x = scratch, .w = scratch + width, .sums = scratch + 2 * width};
    p.scale = scaled ? p.sums + blocks : NULL;
    return p;
}

static float product_sum(const product *p, const conform_order *order)
{
    if (!p->scale)
        return order->dot(p->x, p->w, p->width, order->fused);
    uint32_t blocks = 0;
    for (uint32_t k = 0; k < p->width; blocks++) {
        uint32_t end = (p->origin + k) / ISO_FP8_BLOCK * ISO_FP8_BLOCK + ISO_FP8_BLOCK - p->origin;
        end = end < p->width ? end : p->width;
        p->sums[blocks] = order->dot(p->x + k, p->w + k, end - k, order->fused);
        k = end;
    }
    return order->dot(p->sums, p->scale, blocks, order->fused);
}

void conform_model_linear(const void *params, const conform_order *order, float *scratch,
                          double *const *outputs)
{
    const iso_linear *p = params;
    uint32_t width = iso_tensor_width(&p->x), features = iso_tensor_width(&p->y);
    product row = product_begin(width, iso_tensor_present(&p->weight_scale), scratch);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->x); r++) {
        conform_model_row(&p->x, r, row.x);
        for (uint32_t n = 0; n < features; n++) {
            conform_model_row(&p->weight, n, row.w);
            for (uint32_t b = 0; row.scale && b < iso_tensor_width(&p->weight_scale); b++) {
                row.scale[b] = at(&p->weight_scale, n / ISO_FP8_BLOCK, b);
                if (iso_tensor_present(&p->x_scale))
                    row.scale[b] *= at(&p->x_scale, r, b);
            }
            float sum = product_sum(&row, order);
            if (iso_tensor_present(&p->bias))
                sum += at(&p->bias, 0, n);
            outputs[0][(size_t)r * features + n] = conform_model_store(p->y.dtype, sum);
        }
    }
}

static void grouped_row(const iso_grouped_linear *p, const conform_order *order, const product *row,
                        const uint32_t expert_and_x_row[2], double *y)
{
    uint32_t features = iso_tensor_width(&p->y), feature_blocks = iso_div_up(features, ISO_FP8_BLOCK);
    uint32_t expert = expert_and_x_row[0], x_row = expert_and_x_row[1];
    conform_model_row(&p->x, x_row, row->x);
    for (uint32_t n = 0; n < features; n++) {
        conform_model_row(&p->weight, expert * features + n, row->w);
        for (uint32_t b = 0; row->scale && b < iso_tensor_width(&p->weight_scale); b++) {
            row->scale[b] = at(&p->weight_scale, expert * feature_blocks + n / ISO_FP8_BLOCK, b);
            if (iso_tensor_present(&p->x_scale))
                row->scale[b] *= at(&p->x_scale, x_row, b);
        }
        y[n] = conform_model_store(p->y.dtype, product_sum(row, order));
    }
}

void conform_model_grouped_linear(const void *params, const conform_order *order, float *scratch,
                                  double *const *outputs)
{
    const iso_grouped_linear *p = params;
    const product row = product_begin(iso_tensor_width(&p->x), iso_tensor_present(&p->weight_scale), scratch);
    for (size_t t = 0; t < iso_tensor_rows(&p->tiles); t++) {
        int32_t expert = iso_index_at(&p->tiles, 4 * t), first = iso_index_at(&p->tiles, 4 * t + 1);
        if (expert < 0)
            break;
        for (int32_t s = first; s < first + iso_index_at(&p->tiles, 4 * t + 2); s++) {
            uint32_t x_row = p->rows_per_token
                                 ? (uint32_t)iso_index_at(&p->row, (size_t)s) / p->rows_per_token
                                 : (uint32_t)s;
            grouped_row(p, order, &row, (const uint32_t[2]){(uint32_t)expert, x_row},
                        outputs[0] + (size_t)s * iso_tensor_width(&p->y));
        }
    }
}

void conform_model_head_linear(const void *params, const conform_order *order, float *scratch,
                               double *const *outputs)
{
    const iso_head_linear *p = params;
    uint32_t width = iso_tensor_width(&p->x), features = iso_tensor_width(&p->y), heads = p->x.dims[1];
    product part = product_begin(width, iso_tensor_present(&p->weight_scale), scratch);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->x); r++) {
        uint32_t first = r % heads * p->head_rows + p->row_offset;
        part.origin = p->transposed ? first % ISO_FP8_BLOCK : 0;
        conform_model_row(&p->x, r, part.x);
        for (uint32_t n = 0; n < features; n++) {
            for (uint32_t k = 0; k < width; k++) {
                uint32_t row = first + (p->transposed ? k : n), column = p->transposed ? n : k;
                part.w[k] = at(&p->weight, row, column);
                if (part.scale)
                    part.scale[(part.origin + k) / ISO_FP8_BLOCK] =
                        at(&p->weight_scale, row / ISO_FP8_BLOCK, column / ISO_FP8_BLOCK);
            }
            outputs[0][(size_t)r * features + n] = conform_model_store(p->y.dtype, product_sum(&part, order));
        }
    }
}

void conform_model_unpermute(const void *params, const conform_order *order, float *scratch,
                             double *const *outputs)
{
    const iso_unpermute *p = params;
    uint32_t chosen = p->x.dims[1], width = p->x.dims[2], count = chosen + iso_tensor_present(&p->base);
    float *weight = scratch, *x = scratch + chosen + 1;
    for (uint32_t t = 0; t < p->x.dims[0]; t++)
        for (uint32_t i = 0; i < width; i++) {
            for (uint32_t j = 0; j < chosen; j++) {
                weight[count - chosen + j] = at(&p->weight, t, j);
                x[count - chosen + j] =
                    at(&p->x, (uint32_t)iso_index_at(&p->slot, (size_t)t * chosen + j), i);
            }
            if (count > chosen) {
                weight[0] = 1;
                x[0] = at(&p->base, t, i);
            }
            outputs[0][(size_t)t * width + i] =
                conform_model_store(p->y.dtype, order->dot(weight, x, count, order->fused));
        }
}

uint32_t conform_model_unpermute_terms(const void *params)
{
    const iso_unpermute *p = params;
    return p->x.dims[1] + iso_tensor_present(&p->base);
}
