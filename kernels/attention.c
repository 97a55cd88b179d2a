// SPDX-License-Identifier: MIT
//
// What the attention ops share (attention.h).
//
// Error of softmax-weighted averages. A kernel computes weight i as exp(s_i - m) times products of exp(m_old
// - m_new) as the running maximum m grows by tiles. With an absolute error e_i of s_i, the argument's
// roundings sum to |s_i - max| u over all factors, each factor has the error of exp (EXP) and its product one
// rounding, and there is at most one factor a tile and one more: the weight's relative error is
//     d_i = expm1(e_i + |s_i - max| u + (tiles + 1) (EXP + u)).
// For out = sum w_i v_i / sum w_i both sums add gamma(n + tiles + 1), the numerator changes by at most sum
// p_i d_i |v_i|, the denominator by sum p_i d_i relative; weights below e^-87.3 may become 0, an absolute
// 2^-125 (FLUSHED).
#include "kernels/attention.h"

#include <math.h>

#define EXP     (4 * ISO_U_F32)
#define FLUSHED 0x1p-125

iso_status iso_check_paging(const char *op, const iso_paging *paging, uint32_t tokens)
{
    const iso_tensor *table = paging->block_table;
    ISO_TRY(iso_check_dtype(op, "block_table", table, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype(op, "positions", paging->positions, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype(op, "sequence", paging->sequence, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_shape(op, "block_table", table, 2, table->dims));
    ISO_TRY(iso_check_shape(op, "positions", paging->positions, 1, &tokens));
    ISO_TRY(iso_check_shape(op, "sequence", paging->sequence, 1, &tokens));
    ISO_TRY(iso_check_contiguous(op, "block_table", table));
    ISO_TRY(iso_check_contiguous(op, "positions", paging->positions));
    return iso_check_contiguous(op, "sequence", paging->sequence);
}

iso_status iso_check_cache(const char *op, const char *operand, const iso_tensor *cache)
{
    if (cache->rank < 3 || cache->dims[1] != ISO_KV_PAGE_TOKENS)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%s: %s has %u dimensions, %u rows a page; allowed: [pages, %d, …]", op, operand,
                        cache->rank, cache->dims[1], ISO_KV_PAGE_TOKENS);
    return iso_check_contiguous(op, operand, cache);
}

uint32_t iso_key_count(const iso_paging *paging, uint32_t token)
{
    return iso_index_at(paging->sequence, token) < 0 ? 0
                                                     : (uint32_t)iso_index_at(paging->positions, token) + 1;
}

uint64_t iso_all_keys(const iso_paging *paging)
{
    uint64_t keys = 0;
    bool known = paging->positions->host && paging->sequence->host;
    for (uint32_t t = 0; t < paging->positions->dims[0]; t++)
        keys += known ? iso_key_count(paging, t) : 1;
    return keys;
}

uint32_t iso_key_row(const iso_paging *paging, uint32_t token, uint32_t position)
{
    size_t entry = (size_t)iso_index_at(paging->sequence, token) * paging->block_table->dims[1] +
                   position / ISO_KV_PAGE_TOKENS;
    return (uint32_t)iso_index_at(paging->block_table, entry) * ISO_KV_PAGE_TOKENS +
           position % ISO_KV_PAGE_TOKENS;
}

void iso_average_add(iso_average *average, double score, double error, const iso_tensor *values, uint32_t row)
{
    double below = average->top - score, tiles = iso_div_up(average->count, ISO_KV_PAGE_TOKENS);
    double weight = exp(-below);
    double relative = expm1(error + below * ISO_U_F32 + (tiles + 1) * (EXP + ISO_U_F32));
    for (uint32_t i = 0; i < average->width; i++) {
        double v = iso_at(values, row, i);
        average->value[i] += weight * v;
        average->bound[i] +=
            (weight * (relative + 2 * iso_gamma_f32(average->count + tiles + 2)) + FLUSHED) * fabs(v);
    }
    average->sum += weight;
    average->drift += weight * relative + FLUSHED;
}

void iso_average_finish(iso_average *average, iso_dtype dtype)
{
    if (average->count == 0)
        return;
    double drift = average->drift / average->sum;
    for (uint32_t i = 0; i < average->width; i++) {
        average->value[i] /= average->sum;
        double y = fabs(average->value[i]),
               bound = (average->bound[i] / average->sum + y * drift) / (1 - drift);
        average->bound[i] = bound + iso_rounding_bound(dtype, y + bound);
    }
}

iso_status iso_case_paging(iso_case_builder *builder, const iso_paging_case *numbers, iso_tensor *block_table,
                           iso_tensor *positions, iso_tensor *sequence, uint32_t *out_pages)
{
    uint32_t used = iso_div_up(numbers->keys, ISO_KV_PAGE_TOKENS), pages = used * numbers->sequences;
    ISO_TRY(iso_case_empty(builder, block_table, ISO_DTYPE_I32, ISO_DIMS(numbers->sequences, used + 2)));
    ISO_TRY(iso_case_empty(builder, positions, ISO_DTYPE_I32, ISO_DIMS(numbers->tokens)));
    ISO_TRY(iso_case_empty(builder, sequence, ISO_DTYPE_I32, ISO_DIMS(numbers->tokens)));
    int32_t *table = block_table->host;
    for (uint32_t s = 0; s < numbers->sequences; s++)
        for (uint32_t i = 0; i < used + 2;
             i++) // the last page first, the sequences' pages between each other
            table[s * (used + 2) + i] =
                i < used ? (int32_t)((used - 1 - i) * numbers->sequences + s) : INT32_MAX;
    for (uint32_t t = 0; t < numbers->tokens; t++) {
        uint32_t s = t % numbers->sequences, back = 7 * s + t / numbers->sequences;
        ((int32_t *)positions->host)[t] = back < numbers->keys ? (int32_t)(numbers->keys - 1 - back) : 0;
        ((int32_t *)sequence->host)[t] = t + numbers->padding >= numbers->tokens ? -1 : (int32_t)s;
    }
    *out_pages = pages + 1; // one page belongs to nobody
    return ISO_OK;
}

// Rows of a page that some token sees.
static uint32_t seen_rows(const iso_paging *paging, uint32_t page)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < paging->positions->dims[0]; t++)
        for (uint32_t first = 0, keys = iso_key_count(paging, t); first < keys; first += ISO_KV_PAGE_TOKENS) {
            uint32_t here = keys - first < ISO_KV_PAGE_TOKENS ? keys - first : ISO_KV_PAGE_TOKENS;
            if (iso_key_row(paging, t, first) / ISO_KV_PAGE_TOKENS == page && here > most)
                most = here;
        }
    return most;
}

void iso_case_poison_unseen(const iso_paging *paging, iso_tensor *cache)
{
    uint32_t pages = cache->dims[0];
    uint64_t row_elems = iso_tensor_elems(cache) / ((uint64_t)pages * ISO_KV_PAGE_TOKENS);
    for (uint32_t page = 0; page < pages; page++) {
        uint64_t first = ((uint64_t)page * ISO_KV_PAGE_TOKENS + seen_rows(paging, page)) * row_elems;
        uint64_t end = (page + UINT64_C(1)) * ISO_KV_PAGE_TOKENS * row_elems;
        for (uint64_t i = first; i < end; i++)
            iso_store_element(cache->host, cache->dtype, i, (double)NAN);
    }
}
