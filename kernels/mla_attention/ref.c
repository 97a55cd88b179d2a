// SPDX-License-Identifier: MIT
//
// MLA: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound: the errors of the scores, float32 sums of c + r products with the scale, go into those of the
// weighted average (bound.md, kernels/attention.c).
#include "kernels/mla_attention/op.h"

#include <math.h>

#include "kernels/attention.h"
#include "kernels/functions.h"

static iso_paging paging_of(const iso_mla_attention *p)
{
    return (iso_paging){&p->block_table, &p->positions, &p->sequence};
}

static iso_status check_limit(const char *field, uint32_t value, uint32_t limit, uint32_t multiple)
{
    if (value > 0 && value <= limit && value % multiple == 0)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT, "mla_attention: %s is %u; allowed: multiples of %u up to %u", field,
                    value, multiple, limit);
}

iso_status iso_mla_attention_check(const void *params)
{
    const iso_mla_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint32_t tokens = p->q_latent.dims[0], heads = p->q_latent.dims[1];
    uint32_t c = p->q_latent.dims[2], r = p->q_rope.dims[2], same = 1u << p->q_latent.dtype;
    ISO_TRY(iso_check_dtype("mla_attention", "q_latent", &p->q_latent, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("mla_attention", "q_rope", &p->q_rope, same));
    ISO_TRY(iso_check_dtype("mla_attention", "cache", &p->cache, same));
    ISO_TRY(iso_check_dtype("mla_attention", "y", &p->y, same));
    ISO_TRY(iso_check_shape("mla_attention", "q_latent", &p->q_latent, 3, p->q_latent.dims));
    ISO_TRY(check_limit("heads", heads, ISO_MLA_MAX_HEADS, 1));
    ISO_TRY(check_limit("the latent's width", c, ISO_MLA_MAX_LATENT, 2));
    ISO_TRY(check_limit("the rope key's width", r, ISO_MLA_MAX_ROPE, 2));
    ISO_TRY(iso_check_shape("mla_attention", "q_rope", &p->q_rope, 3, (const uint32_t[]){tokens, heads, r}));
    ISO_TRY(iso_check_cache("mla_attention", "cache", &p->cache));
    ISO_TRY(iso_check_shape("mla_attention", "cache", &p->cache, 3,
                            (const uint32_t[]){p->cache.dims[0], ISO_KV_PAGE_TOKENS, c + r}));
    ISO_TRY(iso_check_paging("mla_attention", &paging, tokens));
    return iso_check_shape("mla_attention", "y", &p->y, 3, p->q_latent.dims);
}

static iso_sum score_key(const iso_mla_attention *p, const iso_numerics *numerics, uint32_t q_row,
                         uint32_t key_row)
{
    uint32_t c = iso_tensor_width(&p->q_latent), r = iso_tensor_width(&p->q_rope);
    iso_sum sum = iso_sum_begin(numerics);
    for (uint32_t i = 0; i < c + r; i++) {
        double q = i < c ? iso_at(&p->q_latent, q_row, i) : iso_at(&p->q_rope, q_row, i - c);
        iso_sum_add(&sum, q, iso_at(&p->cache, key_row, i), (double)p->scale);
    }
    return sum;
}

iso_status iso_mla_attention_reference(const void *params, const iso_numerics *numerics,
                                       const iso_reference_output *outputs)
{
    const iso_mla_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint32_t tokens = p->q_latent.dims[0], heads = p->q_latent.dims[1], c = p->q_latent.dims[2];
    iso_tensor latent = p->cache; // the first c columns of each row are the values
    latent.dims[2] = c;
    iso_average average;
    ISO_TRY(iso_average_create(&average, numerics, &latent, iso_most_keys(&paging)));
    for (uint32_t row = 0; row < tokens * heads; row++) {
        average.count = iso_key_count(&paging, row / heads);
        for (uint32_t k = 0; k < average.count; k++) {
            uint32_t key_row = iso_key_row(&paging, row / heads, k);
            iso_sum score = score_key(p, numerics, row, key_row);
            average.keys[k] = (iso_average_key){key_row, score.value, iso_sum_error(&score, 2), 0};
        }
        iso_average_store(&average, p->y.dtype, outputs[0].value + (size_t)row * c,
                          outputs[0].bound + (size_t)row * c);
    }
    iso_average_destroy(&average);
    return ISO_OK;
}

void iso_mla_attention_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_mla_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint64_t width = iso_tensor_width(&p->cache), c = iso_tensor_width(&p->q_latent),
             keys = iso_all_keys(&paging);
    out_cost->flops = 2 * keys * p->q_latent.dims[1] * (width + c);
    out_cost->read_bytes = (keys * width + iso_tensor_elems(&p->q_latent) + iso_tensor_elems(&p->q_rope)) *
                           iso_dtype_bytes(p->cache.dtype);
    out_cost->written_bytes = iso_tensor_elems(&p->y) * iso_dtype_bytes(p->y.dtype);
}

// The first token's last key is its first query: the largest score comes last. Among very many keys it is
// longer, so that it still decides the average.
static void plant_last(const iso_case_builder *builder, iso_mla_attention *p, const iso_paging *paging)
{
    uint32_t keys = iso_key_count(paging, 0);
    double longer = keys > 256 * ISO_KV_PAGE_TOKENS ? 16 : 1;
    for (uint32_t i = 0; i < p->q_latent.dims[2] && keys > 1 && builder->stress == ISO_STRESS_NORMAL; i++)
        iso_store_element(p->cache.host, p->cache.dtype,
                          iso_elem(&p->cache, iso_key_row(paging, 0, keys - 1), i),
                          longer * iso_at(&p->q_latent, 0, i));
}

iso_status iso_mla_attention_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_mla_attention *p = params;
    uint32_t tokens = numbers[0], heads = numbers[1], c = numbers[2], r = numbers[3], before = numbers[7];
    const iso_paging_case paging_case = {tokens, numbers[4], numbers[5], numbers[6]};
    iso_dtype dtype = builder->dtypes[0];
    uint32_t pages;
    ISO_TRY(iso_case_paging(builder, &paging_case, &p->block_table, &p->positions, &p->sequence, &pages));
    ISO_TRY(iso_case_float(builder, &p->q_latent, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, heads, c)));
    ISO_TRY(iso_case_float(builder, &p->q_rope, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, heads, before + r)));
    p->q_rope.dims[2] = r;
    p->q_rope.view_offset = before;
    ISO_TRY(iso_case_float(builder, &p->cache, dtype, ISO_FILL_NORMAL,
                           ISO_DIMS(pages, ISO_KV_PAGE_TOKENS, c + r)));
    const iso_paging paging = paging_of(p);
    if (!builder->blank) {
        plant_last(builder, p, &paging);
        iso_case_poison_unseen(&paging, &p->cache);
    }
    p->scale = 0.5f / sqrtf((float)(c + r));
    return iso_case_empty(builder, &p->y, dtype, ISO_DIMS(tokens, heads, c));
}
