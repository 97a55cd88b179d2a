// SPDX-License-Identifier: MIT
//
// GQA: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the errors of the scores, float32 sums of dim products with the scale, go into those of the weighted
// average (bound.md, kernels/attention.c).
#include "kernels/gqa_attention/op.h"

#include <math.h>

#include "kernels/attention.h"
#include "kernels/functions.h"

static iso_paging paging_of(const iso_gqa_attention *p)
{
    return (iso_paging){&p->block_table, &p->positions, &p->sequence};
}

iso_status iso_gqa_attention_check(const void *params)
{
    const iso_gqa_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint32_t tokens = p->q.dims[0], heads = p->q.dims[1], dim = p->q.dims[2], same = 1u << p->q.dtype;
    uint32_t kv_heads = p->k_cache.dims[2];
    ISO_TRY(iso_check_dtype("gqa_attention", "q", &p->q, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("gqa_attention", "k_cache", &p->k_cache, same));
    ISO_TRY(iso_check_dtype("gqa_attention", "v_cache", &p->v_cache, same));
    ISO_TRY(iso_check_dtype("gqa_attention", "y", &p->y, same));
    ISO_TRY(iso_check_shape("gqa_attention", "q", &p->q, 3, p->q.dims));
    if (dim == 0 || dim % 2 || dim > ISO_GQA_MAX_DIM)
        return iso_fail(ISO_INVALID_ARGUMENT, "gqa_attention: the head's width is %u; allowed: even, 2 to %d",
                        dim, ISO_GQA_MAX_DIM);
    if (kv_heads == 0 || heads % kv_heads)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "gqa_attention: %u heads over %u key heads; allowed: a multiple of them", heads,
                        kv_heads);
    ISO_TRY(iso_check_cache("gqa_attention", "k_cache", &p->k_cache));
    ISO_TRY(iso_check_cache("gqa_attention", "v_cache", &p->v_cache));
    ISO_TRY(iso_check_shape("gqa_attention", "k_cache", &p->k_cache, 4,
                            (const uint32_t[]){p->k_cache.dims[0], ISO_KV_PAGE_TOKENS, kv_heads, dim}));
    ISO_TRY(iso_check_shape("gqa_attention", "v_cache", &p->v_cache, 4, p->k_cache.dims));
    ISO_TRY(iso_check_paging("gqa_attention", &paging, tokens));
    return iso_check_shape("gqa_attention", "y", &p->y, 3, p->q.dims);
}

static iso_sum score_key(const iso_gqa_attention *p, const iso_numerics *numerics, uint32_t q_row,
                         uint32_t key_row)
{
    iso_sum sum = iso_sum_begin(numerics);
    for (uint32_t i = 0; i < iso_tensor_width(&p->q); i++)
        iso_sum_add(&sum, iso_at(&p->q, q_row, i), iso_at(&p->k_cache, key_row, i), (double)p->scale);
    return sum;
}

iso_status iso_gqa_attention_reference(const void *params, const iso_numerics *numerics,
                                       const iso_reference_output *outputs)
{
    const iso_gqa_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint32_t tokens = p->q.dims[0], heads = p->q.dims[1], dim = p->q.dims[2], kv_heads = p->k_cache.dims[2];
    iso_average average;
    ISO_TRY(iso_average_create(&average, numerics, &p->v_cache, iso_most_keys(&paging)));
    for (uint32_t row = 0; row < tokens * heads; row++) {
        uint32_t t = row / heads, kv_head = row % heads / (heads / kv_heads);
        average.count = iso_key_count(&paging, t);
        for (uint32_t k = 0; k < average.count; k++) {
            uint32_t key_row = iso_key_row(&paging, t, k) * kv_heads + kv_head;
            iso_sum score = score_key(p, numerics, row, key_row);
            average.keys[k] = (iso_average_key){key_row, score.value, iso_sum_error(&score, 2), 0};
        }
        iso_average_store(&average, p->y.dtype, outputs[0].value + (size_t)row * dim,
                          outputs[0].bound + (size_t)row * dim);
    }
    iso_average_destroy(&average);
    return ISO_OK;
}

void iso_gqa_attention_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_gqa_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint64_t dim = iso_tensor_width(&p->q), keys = iso_all_keys(&paging);
    out_cost->flops = 4 * keys * p->q.dims[1] * dim;
    out_cost->read_bytes =
        (2 * keys * p->k_cache.dims[2] * dim + iso_tensor_elems(&p->q)) * iso_dtype_bytes(p->q.dtype);
    out_cost->written_bytes = iso_tensor_elems(&p->y) * iso_dtype_bytes(p->y.dtype);
}

// The first token's last key is its first query: the largest score comes last.
static void plant_last(const iso_case_builder *builder, iso_gqa_attention *p, const iso_paging *paging)
{
    uint32_t keys = iso_key_count(paging, 0), heads = p->k_cache.dims[2];
    for (uint32_t i = 0; i < p->q.dims[2] && keys > 1 && builder->stress == ISO_STRESS_NORMAL; i++)
        iso_store_element(p->k_cache.host, p->k_cache.dtype,
                          iso_elem(&p->k_cache, iso_key_row(paging, 0, keys - 1) * heads, i),
                          iso_at(&p->q, 0, i));
}

iso_status iso_gqa_attention_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_gqa_attention *p = params;
    uint32_t tokens = numbers[0], heads = numbers[1], kv_heads = numbers[2], dim = numbers[3],
             margin = numbers[7];
    const iso_paging_case paging_case = {tokens, numbers[4], numbers[5], numbers[6]};
    iso_dtype dtype = builder->dtypes[0];
    uint32_t pages;
    ISO_TRY(iso_case_paging(builder, &paging_case, &p->block_table, &p->positions, &p->sequence, &pages));
    ISO_TRY(
        iso_case_float(builder, &p->q, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, heads, dim + 2 * margin)));
    p->q.dims[2] = dim;
    p->q.view_offset = margin;
    const uint32_t cache[] = {pages, ISO_KV_PAGE_TOKENS, kv_heads, dim};
    ISO_TRY(iso_case_float(builder, &p->k_cache, dtype, ISO_FILL_NORMAL, cache, 4));
    ISO_TRY(iso_case_float(builder, &p->v_cache, dtype, ISO_FILL_NORMAL, cache, 4));
    const iso_paging paging = paging_of(p);
    if (!builder->blank) {
        plant_last(builder, p, &paging);
        iso_case_poison_unseen(&paging, &p->k_cache);
        iso_case_poison_unseen(&paging, &p->v_cache);
    }
    p->scale = 0.5f / sqrtf((float)dim);
    return iso_case_empty(builder, &p->y, dtype, ISO_DIMS(tokens, heads, dim));
}
