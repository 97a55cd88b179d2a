// SPDX-License-Identifier: MIT
//
// Honest float32 implementations of the ops without attention (tightness_models.h), as short as their
// contracts allow and written from these alone.
#include "conformance/ops/tightness_models.h"

#include <math.h>
#include <string.h>

#include "kernels/add/op.h"
#include "kernels/argmax/op.h"
#include "kernels/gather/op.h"
#include "kernels/kv_write/op.h"
#include "kernels/permute/op.h"
#include "kernels/quantize_activation/op.h"
#include "kernels/rope/op.h"
#include "kernels/silu_mul/op.h"

// ---- shared ----

double conform_model_store(iso_dtype dtype, float value)
{
    return (double)(dtype == ISO_DTYPE_BF16 ? iso_bf16_to_f32(iso_bf16_from_f32(value)) : value);
}

float conform_model_exp(const conform_order *order, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float error = bits * 2654435761u >> 31 ? order->exp_error : -order->exp_error;
    if (x == 0 || x > 88.8f)
        return x == 0 ? 1 : (float)INFINITY; // also where expf, cutting off, stays at the largest float
    return expf(x) * (1 + error);
}

static float at(const iso_tensor *tensor, uint32_t row, uint32_t column)
{
    return (float)iso_at(tensor, row, column);
}

void conform_model_row(const iso_tensor *tensor, uint32_t row, float *out)
{
    for (uint32_t i = 0; i < iso_tensor_width(tensor); i++)
        out[i] = at(tensor, row, i);
}

// ---- element by element ----

static void run_add(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_add *p = params;
    uint32_t width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->y); r++)
        for (uint32_t i = 0; i < width; i++)
            outputs[0][(size_t)r * width + i] =
                conform_model_store(p->y.dtype, at(&p->a, r, i) + at(&p->b, r, i));
}

static void run_silu_mul(const void *params, const conform_order *order, float *scratch,
                         double *const *outputs)
{
    (void)scratch;
    const iso_silu_mul *p = params;
    uint32_t width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->y); r++)
        for (uint32_t i = 0; i < width; i++) {
            float gate = at(&p->gate, r, i), silu = gate / (1 + conform_model_exp(order, -gate));
            outputs[0][(size_t)r * width + i] = conform_model_store(p->y.dtype, silu * at(&p->up, r, i));
        }
}

static void run_gather(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_gather *p = params;
    uint32_t width = iso_tensor_width(&p->y);
    for (uint32_t r = 0; r < p->index.dims[0]; r++)
        for (uint32_t i = 0; i < width; i++) {
            int32_t entry = iso_index_at(&p->index, r);
            float value =
                entry >= 0 && (uint32_t)entry < p->table.dims[0] ? at(&p->table, (uint32_t)entry, i) : 0;
            outputs[0][(size_t)r * width + i] = conform_model_store(p->y.dtype, value);
        }
}

static void run_rope(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    (void)scratch;
    const iso_rope *p = params;
    uint32_t r = iso_tensor_width(&p->x), heads = p->x.rank == 3 ? p->x.dims[1] : 1;
    for (uint32_t row = 0; row < iso_tensor_rows(&p->x); row++)
        for (uint32_t i = 0; i < r / 2; i++) {
            const uint32_t *frequency = (const uint32_t *)p->frequency.host + 2 * (size_t)i;
            uint64_t per_position = (uint64_t)frequency[0] << 32 | frequency[1];
            uint64_t turns = (uint64_t)iso_index_at(&p->positions, row / heads) * per_position;
            double angle = (double)(uint32_t)(turns >> 32) * (0x1p-31 * 3.14159265358979323846);
            float c = (float)cos(angle) * p->scale, s = (float)sin(angle) * p->scale;
            uint32_t first = p->interleaved ? 2 * i : i, second = p->interleaved ? 2 * i + 1 : i + r / 2;
            float a = at(&p->x, row, first), b = at(&p->x, row, second);
            const float into_first[2] = {c, -s}, into_second[2] = {s, c}, pair[2] = {a, b};
            outputs[0][(size_t)row * r + first] =
                conform_model_store(p->y.dtype, order->dot(pair, into_first, 2, order->fused));
            outputs[0][(size_t)row * r + second] =
                conform_model_store(p->y.dtype, order->dot(pair, into_second, 2, order->fused));
        }
}

static void run_quantize(const void *params, const conform_order *order, float *scratch,
                         double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_quantize_activation *p = params;
    uint32_t width = iso_tensor_width(&p->x), blocks = iso_tensor_width(&p->scale);
    for (uint32_t r = 0; r < iso_tensor_rows(&p->x); r++)
        for (uint32_t b = 0; b < blocks; b++) {
            uint32_t first = b * ISO_FP8_BLOCK,
                     end = width - first < ISO_FP8_BLOCK ? width : first + ISO_FP8_BLOCK;
            float largest = 1e-4f;
            for (uint32_t i = first; i < end; i++)
                largest = fmaxf(largest, fabsf(at(&p->x, r, i)));
            float scale = largest / 448;
            outputs[1][(size_t)r * blocks + b] = (double)scale;
            for (uint32_t i = first; i < end; i++)
                outputs[0][(size_t)r * width + i] =
                    (double)iso_e4m3_to_f32(iso_e4m3_from_f32(at(&p->x, r, i) / scale));
        }
}

// ---- copies and choices ----

static void run_argmax(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_argmax *p = params;
    for (uint32_t r = 0; r < p->x.dims[0]; r++) {
        bool found = false;
        float best = 0;
        outputs[0][r] = 0;
        for (uint32_t i = 0; i < p->x.dims[1]; i++) {
            float x = at(&p->x, r, i);
            if (isnan(x) || (found && x <= best))
                continue;
            found = true;
            best = x;
            outputs[0][r] = i;
        }
    }
}

static void run_kv_write(const void *params, const conform_order *order, float *scratch,
                         double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_kv_write *p = params;
    size_t row = iso_tensor_elems(&p->cache) / ((size_t)p->cache.dims[0] * ISO_KV_PAGE_TOKENS);
    uint32_t width = iso_tensor_width(&p->x);
    for (uint32_t t = 0; t < p->x.dims[0]; t++)
        for (size_t i = 0; i < row && iso_index_at(&p->slots, t) >= 0; i++)
            outputs[0][(size_t)iso_index_at(&p->slots, t) * row + i] =
                iso_at(&p->x, (uint32_t)(t * (row / width) + i / width), (uint32_t)(i % width));
}

static void run_permute(const void *params, const conform_order *order, float *scratch,
                        double *const *outputs)
{
    (void)order, (void)scratch;
    const iso_permute *p = params;
    uint32_t count = (uint32_t)iso_tensor_elems(&p->index), before[ISO_PERMUTE_MAX_EXPERTS + 1] = {0},
             tile = 0;
    for (uint32_t i = 0; i < count; i++)
        before[iso_index_at(&p->index, i) + 1]++;
    for (uint32_t e = 0; e < p->expert_count; e++) {
        for (uint32_t done = 0; done < before[e + 1]; done += ISO_PERMUTE_TILE_ROWS, tile++) {
            uint32_t left = before[e + 1] - done;
            const double entry[4] = {e, before[e] + done,
                                     left < ISO_PERMUTE_TILE_ROWS ? left : ISO_PERMUTE_TILE_ROWS, 0};
            memcpy(outputs[2] + 4 * (size_t)tile, entry, sizeof entry);
        }
        before[e + 1] += before[e];
    }
    for (; tile < count; tile++)
        memcpy(outputs[2] + 4 * (size_t)tile, (const double[4]){-1, 0, 0, 0}, sizeof(double[4]));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = before[iso_index_at(&p->index, i)]++;
        outputs[0][place] = i;
        outputs[1][i] = place;
    }
}

// ---- table ----

static uint32_t one_term(const void *params)
{
    (void)params;
    return 1;
}

// Of the first input's rows.
static uint32_t row_terms(const void *params)
{
    return iso_tensor_width(params);
}

// Room for four of them, and for what goes with blocks of 128.
static size_t row_scratch(const void *params)
{
    return 4 * (size_t)iso_tensor_width(params) + 16;
}

static size_t unpermute_scratch(const void *params)
{
    return 2 * (size_t)conform_model_unpermute_terms(params) + 2;
}

static const conform_model models[] = {
    {"add", run_add, one_term, NULL},
    {"argmax", run_argmax, one_term, NULL},
    {"gather", run_gather, one_term, NULL},
    {"gqa_attention", conform_model_gqa, conform_model_gqa_terms, conform_model_gqa_scratch},
    {"grouped_linear", conform_model_grouped_linear, row_terms, row_scratch},
    {"head_linear", conform_model_head_linear, row_terms, row_scratch},
    {"kv_write", run_kv_write, one_term, NULL},
    {"linear", conform_model_linear, row_terms, row_scratch},
    {"mla_attention", conform_model_mla, conform_model_mla_terms, conform_model_mla_scratch},
    {"permute", run_permute, one_term, NULL},
    {"quantize_activation", run_quantize, one_term, NULL},
    {"rms_norm", conform_model_rms_norm, row_terms, row_scratch},
    {"rope", run_rope, one_term, NULL},
    {"router", conform_model_router, row_terms, row_scratch},
    {"silu_mul", run_silu_mul, one_term, NULL},
    {"unpermute", conform_model_unpermute, conform_model_unpermute_terms, unpermute_scratch},
};

const conform_model *conform_model_find(const char *op)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strcmp(models[i].op, op) == 0)
            return &models[i];
    return NULL;
}
