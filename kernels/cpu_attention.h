// SPDX-License-Identifier: MIT
//
// Attention of one token over the paged cache on the host, for up to 4 heads that share their keys and
// values: a page of 64 keys at a time, with the running maximum and sum of Milakov and Gimelshein 2018
// ("Online normalizer calculation for softmax"). Included by the cpu.c of the attention ops; knows neither
// MLA nor GQA.
#ifndef ISOMER_KERNELS_CPU_ATTENTION_H
#define ISOMER_KERNELS_CPU_ATTENTION_H

#include <math.h>

#include "kernels/cpu_vector.h"

#define ISO_ATTEND_HEADS     4   // as iso_sum_lanes_of_4
#define ISO_ATTEND_KEY_MAX   576 // elements of a key; a multiple of 16
#define ISO_ATTEND_VALUE_MAX 512 // elements of a value; a multiple of 16

typedef struct iso_attend_scratch {
    float query[ISO_ATTEND_HEADS][ISO_ATTEND_KEY_MAX];     // zero past the key's width, and for absent heads
    float average[ISO_ATTEND_HEADS][ISO_ATTEND_VALUE_MAX]; // the result
    float score[ISO_ATTEND_HEADS][ISO_KV_PAGE_TOKENS];
    float top[ISO_ATTEND_HEADS], sum[ISO_ATTEND_HEADS], shrink[ISO_ATTEND_HEADS];
} iso_attend_scratch;

typedef struct iso_attend {
    const void *keys; // first key of page 0
    const void *values;
    const int32_t *pages; // the sequence's row of the block table
    uint32_t key_count;   // >= 1
    uint32_t stride;      // elements from one token's key to the next, and the same for values
    uint32_t key_width, value_width;
    float scale;
} iso_attend;

// Elements i … i+15, all inside the row, of a dtype known when compiled.
static inline iso_vector iso_load_full(const void *row, iso_dtype dtype, uint32_t i)
{
    return iso_load_vector(row, dtype, i, i + ISO_LANES);
}

// The sums of four vectors' lanes at once, each in the tree of iso_sum_lanes.
static inline void iso_sum_lanes_of_4(const iso_vector v[4], float out[4])
{
    iso_vector a =
        __builtin_shufflevector(v[0], v[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
        __builtin_shufflevector(v[0], v[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    iso_vector b =
        __builtin_shufflevector(v[2], v[3], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
        __builtin_shufflevector(v[2], v[3], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    iso_vector c = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
                   __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    c += __builtin_shufflevector(c, c, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    for (uint32_t i = 0; i < 4; i++)
        out[i] = c[4 * i] + c[4 * i + 1];
}

static inline __attribute__((always_inline)) void iso_attend_scores(const iso_attend *a,
                                                                    iso_attend_scratch *s, const void *keys,
                                                                    uint32_t count, iso_dtype dtype)
{
    uint32_t full = a->key_width / ISO_LANES * ISO_LANES;
    for (uint32_t k = 0; k < count; k++) {
        const void *key = iso_row(keys, dtype, k, a->stride);
        iso_vector dot[ISO_ATTEND_HEADS] = {{0}};
        for (uint32_t i = 0; i < full; i += ISO_LANES) {
            iso_vector v = iso_load_full(key, dtype, i);
            for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
                dot[h] += v * iso_load_full(s->query[h], ISO_DTYPE_F32, i);
        }
        if (full < a->key_width) {
            iso_vector v = iso_load_vector(key, dtype, full, a->key_width);
            for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
                dot[h] += v * iso_load_full(s->query[h], ISO_DTYPE_F32, full);
        }
        float sums[ISO_ATTEND_HEADS];
        iso_sum_lanes_of_4(dot, sums);
        for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
            s->score[h][k] = sums[h] * a->scale;
    }
}

// Scores become weights against the new maximum; shrink is what earlier sums are multiplied by.
static inline void iso_attend_softmax(iso_attend_scratch *s, uint32_t count)
{
    for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++) {
        float top = s->top[h], sum = 0;
        for (uint32_t k = 0; k < count; k++)
            top = s->score[h][k] > top ? s->score[h][k] : top;
        for (uint32_t k = 0; k < count; k += ISO_LANES) {
            iso_vector w = iso_exp_vector(iso_load_vector(s->score[h], ISO_DTYPE_F32, k, count) - top);
            iso_store_vector(s->score[h], ISO_DTYPE_F32, k, count, w);
        }
        for (uint32_t k = 0; k < count; k++)
            sum += s->score[h][k];
        s->shrink[h] = expf(s->top[h] - top);
        s->sum[h] = s->sum[h] * s->shrink[h] + sum;
        s->top[h] = top;
    }
}

static inline __attribute__((always_inline)) void iso_attend_average(const iso_attend *a,
                                                                     iso_attend_scratch *s,
                                                                     const void *values, uint32_t count,
                                                                     iso_dtype dtype)
{
    for (uint32_t i = 0; i < a->value_width; i += ISO_LANES) {
        iso_vector sum[ISO_ATTEND_HEADS];
        for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
            sum[h] = iso_load_full(s->average[h], ISO_DTYPE_F32, i) * s->shrink[h];
        bool whole = a->value_width - i >= ISO_LANES;
        for (uint32_t k = 0; k < count; k++) {
            const void *value = iso_row(values, dtype, k, a->stride);
            iso_vector v =
                whole ? iso_load_full(value, dtype, i) : iso_load_vector(value, dtype, i, a->value_width);
            for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
                sum[h] += v * s->score[h][k];
        }
        for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
            iso_store_vector(s->average[h], ISO_DTYPE_F32, i, i + ISO_LANES, sum[h]);
    }
}

static inline __attribute__((always_inline)) void iso_attend_typed(const iso_attend *a, iso_attend_scratch *s,
                                                                   iso_dtype dtype)
{
    memset(s->average, 0, sizeof s->average);
    for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++) {
        s->top[h] = -INFINITY;
        s->sum[h] = 0;
    }
    for (uint32_t first = 0; first < a->key_count; first += ISO_KV_PAGE_TOKENS) {
        uint32_t left = a->key_count - first;
        uint32_t count = left < ISO_KV_PAGE_TOKENS ? left : ISO_KV_PAGE_TOKENS;
        size_t row = (size_t)a->pages[first / ISO_KV_PAGE_TOKENS] * ISO_KV_PAGE_TOKENS;
        iso_attend_scores(a, s, iso_row(a->keys, dtype, row, a->stride), count, dtype);
        iso_attend_softmax(s, count);
        iso_attend_average(a, s, iso_row(a->values, dtype, row, a->stride), count, dtype);
    }
}

// From scratch->query to scratch->average.
static inline void iso_attend_run(const iso_attend *a, iso_attend_scratch *s, iso_dtype dtype)
{
    if (dtype == ISO_DTYPE_BF16)
        iso_attend_typed(a, s, ISO_DTYPE_BF16);
    else
        iso_attend_typed(a, s, ISO_DTYPE_F32);
    for (uint32_t h = 0; h < ISO_ATTEND_HEADS; h++)
        for (uint32_t i = 0; i < a->value_width; i++)
            s->average[h][i] /= s->sum[h];
}

// `width` elements of one query row to row `at` of `query`, widened.
static inline void iso_attend_query(float *at, const void *row, iso_dtype dtype, uint32_t width)
{
    for (uint32_t i = 0; i < width; i += ISO_LANES)
        iso_store_vector(at, ISO_DTYPE_F32, i, width, iso_load_vector(row, dtype, i, width));
}

#endif
