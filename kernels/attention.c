// SPDX-License-Identifier: MIT
//
// What the attention ops share (attention.h).
//
// Error of softmax-weighted averages, y = sum p_k v_k. A kernel computes weight k as exp(s_k - top) times
// exp(old top - new top) wherever the running maximum grew after it. Its relative error is
//     e_k, the score's,  and  c_k = |s_k - top| u + EXP + rescalings (EXP + u),
// arguments rounding by |s_k - top| u in all over such a product. Errors that all weights share cancel: what
// is left of them in y is sum p_k (e_k + c_k) (v_k - y). The e_k are roundings of different sums and average
// out over keys as sums do (bound.c); c_k, which may be systematic, does not. Numerator and denominator add
// the errors of their sums, the end a division and a product. No average strays farther than its farthest
// value.
#include "kernels/attention.h"

#include <math.h>

#define NEAR_UNDERFLOW 1e-35 // of exp, which may give 0 there
#define LAMBDA         6.0   // as in bound.c

// One element of the average under construction.
typedef struct iso_average_element {
    iso_sum sum;
    double steady;   // error of the weights that may be systematic
    double linear;   // error of the scores, all to one side
    double squares;  // the same, squared: as they average out
    double farthest; // largest |v - y|
} iso_average_element;

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

uint32_t iso_most_keys(const iso_paging *paging)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < paging->positions->dims[0]; t++)
        most = iso_key_count(paging, t) > most ? iso_key_count(paging, t) : most;
    return most;
}

iso_status iso_average_create(iso_average *average, const iso_numerics *numerics, const iso_tensor *values,
                              uint32_t most_keys)
{
    *average = (iso_average){.numerics = numerics, .values = values};
    ISO_TRY(ISO_NEW(NULL, most_keys, &average->keys));
    iso_status status = ISO_NEW(NULL, iso_tensor_width(values), &average->elements);
    if (status != ISO_OK)
        iso_average_destroy(average);
    return status;
}

void iso_average_destroy(iso_average *average)
{
    iso_free(NULL, average->keys);
    iso_free(NULL, average->elements);
}

// How often the running maximum grows along the keys, forwards or backwards.
static uint32_t count_rescalings(const iso_average *average)
{
    uint32_t forwards = 0, backwards = 0;
    double top = -INFINITY, last = -INFINITY;
    for (uint32_t k = 0; k < average->count; k++) {
        double there = average->keys[average->count - 1 - k].score, here = average->keys[k].score;
        forwards += here > top;
        backwards += there > last;
        top = fmax(top, here);
        last = fmax(last, there);
    }
    return forwards > backwards ? forwards : backwards;
}

// Sets the keys' weights, and returns the largest score.
static double weigh_keys(iso_average *average)
{
    double top = -INFINITY, total = 0;
    for (uint32_t k = 0; k < average->count; k++)
        top = fmax(top, average->keys[k].score);
    for (uint32_t k = 0; k < average->count; k++)
        total += average->keys[k].weight = exp(average->keys[k].score - top);
    for (uint32_t k = 0; k < average->count; k++)
        average->keys[k].weight /= total;
    return top;
}

// What the weights' errors do to each element, whose values are known. Returns the largest relative error of
// the weights' sum.
static double add_weight_errors(iso_average *average, double top, double rescalings)
{
    const iso_numerics *numerics = average->numerics;
    double drift = 0, rescaling = iso_gamma_averaged(numerics, rescalings) / numerics->unit;
    for (uint32_t k = 0; k < average->count; k++) {
        const iso_average_key *key = &average->keys[k];
        double steady = (top - key->score) * numerics->unit + numerics->exp_unit +
                        rescaling * (numerics->exp_unit + numerics->unit);
        if (key->weight < NEAR_UNDERFLOW)
            steady = 1;
        double scores = expm1(key->error);
        drift += key->weight * (steady + scores);
        for (uint32_t i = 0; i < iso_tensor_width(average->values); i++) {
            iso_average_element *at = &average->elements[i];
            double away = fabs(iso_at(average->values, key->row, i) - at->sum.value);
            at->steady += key->weight * steady * away;
            at->linear += key->weight * scores * away;
            at->squares += key->weight * scores * away * (key->weight * scores * away);
            at->farthest = fmax(at->farthest, away);
        }
    }
    return drift;
}

void iso_average_store(iso_average *average, iso_dtype dtype, double *value, double *bound)
{
    const iso_numerics *numerics = average->numerics;
    uint32_t width = iso_tensor_width(average->values);
    double top = weigh_keys(average), rescalings = count_rescalings(average);
    for (uint32_t i = 0; i < width; i++) {
        average->elements[i] = (iso_average_element){.sum = iso_sum_begin(numerics)};
        average->elements[i].sum.pieces = 3; // a weight is a float32: three BF16 multiply it without loss
    }
    for (uint32_t k = 0; k < average->count; k++)
        for (uint32_t i = 0; i < width; i++)
            iso_sum_add(&average->elements[i].sum, average->keys[k].weight,
                        iso_at(average->values, average->keys[k].row, i), 1);
    double drift = add_weight_errors(average, top, rescalings);
    double ends =
        iso_gamma_averaged(numerics, average->count + rescalings) + numerics->root_unit + numerics->unit;
    bool cuts = numerics->biased || numerics->matrix_unit > 0; // errors of different scores are alike, then
    for (uint32_t i = 0; i < width; i++) {
        const iso_average_element *at = &average->elements[i];
        double scores = cuts ? at->linear : fmin(at->linear, LAMBDA * sqrt(at->squares));
        double moved = (at->steady + scores) / fmax(1 - drift, 0);
        double error =
            fmin(moved, at->farthest) + iso_sum_error(&at->sum, rescalings) + fabs(at->sum.value) * ends;
        iso_store_bound(numerics, dtype, at->sum.value, average->count ? 1.01 * error : 0, &value[i],
                        &bound[i]);
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
    // One page belongs to nobody, except where a sequence ends with its page: then the cache does, too, and
    // a read past its last row leaves the buffer.
    *out_pages = pages + (numbers->keys % ISO_KV_PAGE_TOKENS != 0);
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
