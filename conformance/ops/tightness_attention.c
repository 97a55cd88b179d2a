// SPDX-License-Identifier: MIT
//
// Honest float32 attention over the paged cache, for tightness.c: scores, softmax and weighted average as the
// contracts of gqa_attention and mla_attention say, in two passes or with a running maximum over blocks of
// keys. Written from the contracts alone.
#include <math.h>
#include <string.h>

#include "conformance/ops/tightness_models.h"
#include "kernels/gqa_attention/op.h"
#include "kernels/mla_attention/op.h"

// One query over its keys. The scratch that is asked for holds all that lies behind these pointers.
typedef struct attention {
    const conform_order *order;
    uint32_t keys, key_width, value_width;
    float *query;  // [key_width]
    float *key;    // [key_width]
    float *score;  // [keys]
    float *weight; // [keys]
    float *value;  // [value_width][keys]: one element of all keys lies together
    float *sum;    // [value_width]
} attention;

static size_t scratch_floats(size_t keys, size_t key_width, size_t value_width)
{
    return 2 * key_width + 2 * keys + value_width * (keys + 1);
}

static attention attention_begin(const conform_order *order, float *scratch, uint32_t keys,
                                 uint32_t key_width, uint32_t value_width)
{
    attention a = {.order = order, .keys = keys, .key_width = key_width, .value_width = value_width};
    a.query = scratch;
    a.key = a.query + key_width;
    a.score = a.key + key_width;
    a.weight = a.score + keys;
    a.sum = a.weight + keys;
    a.value = a.sum + value_width;
    return a;
}

// Keys first … end-1 in one block; their weighted sums are added to what is there.
static void add_block(const attention *a, uint32_t first, uint32_t end, float *top, float *total)
{
    const conform_order *order = a->order;
    float new_top = *top;
    for (uint32_t k = first; k < end; k++)
        new_top = fmaxf(new_top, a->score[k]);
    float shrink = *top == -INFINITY ? 0 : conform_model_exp(order, *top - new_top);
    for (uint32_t k = first; k < end; k++) {
        a->weight[k] = conform_model_exp(order, a->score[k] - new_top);
        a->score[k] = 1; // from now on the other factors of the sum of weights
    }
    *total = *total * shrink + order->dot(a->weight + first, a->score + first, end - first, order->fused);
    for (uint32_t i = 0; i < a->value_width; i++)
        a->sum[i] = a->sum[i] * shrink + order->dot(a->weight + first, a->value + (size_t)i * a->keys + first,
                                                    end - first, order->fused);
    *top = new_top;
}

static void attend(const attention *a, iso_dtype dtype, double *y)
{
    float top = -INFINITY, total = 0;
    uint32_t block = a->order->block ? a->order->block : a->keys;
    memset(a->sum, 0, a->value_width * sizeof(float));
    for (uint32_t first = 0; first < a->keys; first += block)
        add_block(a, first, a->keys - first < block ? a->keys : first + block, &top, &total);
    for (uint32_t i = 0; i < a->value_width; i++)
        y[i] = a->keys ? conform_model_store(dtype, a->sum[i] / total) : 0;
}

static uint32_t keys_of(const iso_tensor *positions, const iso_tensor *sequence, uint32_t token)
{
    return iso_index_at(sequence, token) < 0 ? 0 : (uint32_t)iso_index_at(positions, token) + 1;
}

static uint32_t most_keys(const iso_tensor *positions, const iso_tensor *sequence)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < positions->dims[0]; t++)
        most = keys_of(positions, sequence, t) > most ? keys_of(positions, sequence, t) : most;
    return most;
}

static uint32_t cache_row(const iso_tensor *block_table, const iso_tensor *sequence, uint32_t token,
                          uint32_t position)
{
    size_t at = (size_t)iso_index_at(sequence, token) * block_table->dims[1] + position / ISO_KV_PAGE_TOKENS;
    return (uint32_t)iso_index_at(block_table, at) * ISO_KV_PAGE_TOKENS + position % ISO_KV_PAGE_TOKENS;
}

static void score_key(const attention *a, uint32_t k, float scale)
{
    a->score[k] = a->order->dot(a->query, a->key, a->key_width, a->order->fused) * scale;
}

uint32_t conform_model_gqa_terms(const void *params)
{
    const iso_gqa_attention *p = params;
    return most_keys(&p->positions, &p->sequence);
}

size_t conform_model_gqa_scratch(const void *params)
{
    const iso_gqa_attention *p = params;
    return scratch_floats(conform_model_gqa_terms(params), p->q.dims[2], p->q.dims[2]);
}

void conform_model_gqa(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    const iso_gqa_attention *p = params;
    uint32_t heads = p->q.dims[1], dim = p->q.dims[2], kv_heads = p->k_cache.dims[2];
    for (uint32_t row = 0; row < p->q.dims[0] * heads; row++) {
        uint32_t t = row / heads, head = row % heads / (heads / kv_heads);
        attention a = attention_begin(order, scratch, keys_of(&p->positions, &p->sequence, t), dim, dim);
        conform_model_row(&p->q, row, a.query);
        for (uint32_t k = 0; k < a.keys; k++) {
            uint32_t at = cache_row(&p->block_table, &p->sequence, t, k) * kv_heads + head;
            conform_model_row(&p->k_cache, at, a.key);
            score_key(&a, k, p->scale);
            conform_model_row(&p->v_cache, at, a.key);
            for (uint32_t i = 0; i < dim; i++)
                a.value[(size_t)i * a.keys + k] = a.key[i];
        }
        attend(&a, p->y.dtype, outputs[0] + (size_t)row * dim);
    }
}

uint32_t conform_model_mla_terms(const void *params)
{
    const iso_mla_attention *p = params;
    return most_keys(&p->positions, &p->sequence);
}

size_t conform_model_mla_scratch(const void *params)
{
    const iso_mla_attention *p = params;
    return scratch_floats(conform_model_mla_terms(params), iso_tensor_width(&p->cache), p->q_latent.dims[2]);
}

void conform_model_mla(const void *params, const conform_order *order, float *scratch, double *const *outputs)
{
    const iso_mla_attention *p = params;
    uint32_t heads = p->q_latent.dims[1], c = p->q_latent.dims[2], width = iso_tensor_width(&p->cache);
    for (uint32_t row = 0; row < p->q_latent.dims[0] * heads; row++) {
        uint32_t t = row / heads;
        attention a = attention_begin(order, scratch, keys_of(&p->positions, &p->sequence, t), width, c);
        conform_model_row(&p->q_latent, row, a.query);
        conform_model_row(&p->q_rope, row, a.query + c);
        for (uint32_t k = 0; k < a.keys; k++) {
            conform_model_row(&p->cache, cache_row(&p->block_table, &p->sequence, t, k), a.key);
            score_key(&a, k, p->scale);
            for (uint32_t i = 0; i < c; i++)
                a.value[(size_t)i * a.keys + k] = a.key[i];
        }
        attend(&a, p->y.dtype, outputs[0] + (size_t)row * c);
    }
}
