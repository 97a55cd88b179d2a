// SPDX-License-Identifier: MIT
//
// MLA: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound of a score: gamma(c + r + 2) * |scale| * sum |q||k|. What follows is in kernels/attention.c.
#include "kernels/mla_attention/op.h"

#include <math.h>
#include <string.h>

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

static double score_key(const iso_mla_attention *p, uint32_t q_row, uint32_t key_row, double *out_error)
{
    uint32_t c = iso_tensor_width(&p->q_latent), r = iso_tensor_width(&p->q_rope);
    double dot = 0, absolute = 0;
    for (uint32_t i = 0; i < c + r; i++) {
        double q = i < c ? iso_at(&p->q_latent, q_row, i) : iso_at(&p->q_rope, q_row, i - c);
        double product = q * iso_at(&p->cache, key_row, i);
        dot += product;
        absolute += fabs(product);
    }
    *out_error = iso_gamma_f32(c + r + 2.0) * fabs((double)p->scale) * absolute;
    return dot * (double)p->scale;
}

iso_status iso_mla_attention_reference(const void *params, const iso_reference_output *outputs)
{
    const iso_mla_attention *p = params;
    const iso_paging paging = paging_of(p);
    uint32_t tokens = p->q_latent.dims[0], heads = p->q_latent.dims[1], c = p->q_latent.dims[2];
    memset(outputs[0].value, 0, iso_tensor_elems(&p->y) * sizeof(double));
    memset(outputs[0].bound, 0, iso_tensor_elems(&p->y) * sizeof(double));
    for (uint32_t row = 0; row < tokens * heads; row++) {
        uint32_t t = row / heads, keys = iso_key_count(&paging, t);
        double error, top = -INFINITY;
        for (uint32_t k = 0; k < keys; k++)
            top = fmax(top, score_key(p, row, iso_key_row(&paging, t, k), &error));
        iso_average average = {
            outputs[0].value + (size_t)row * c, outputs[0].bound + (size_t)row * c, c, top, keys, 0, 0};
        for (uint32_t k = 0; k < keys; k++) {
            uint32_t key_row = iso_key_row(&paging, t, k);
            double score = score_key(p, row, key_row, &error);
            iso_average_add(&average, score, error, &p->cache, key_row);
        }
        iso_average_finish(&average, p->y.dtype);
    }
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
    iso_case_poison_unseen(&paging, &p->cache);
    p->scale = 0.5f / sqrtf((float)(c + r));
    return iso_case_empty(builder, &p->y, dtype, ISO_DIMS(tokens, heads, c));
}
