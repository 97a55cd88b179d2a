// SPDX-License-Identifier: MIT
//
// The sampler of isomer/sampler.h, in double precision throughout. Knows nothing of models, texts or devices.
// Nucleus (top-p) sampling: Holtzman et al., arXiv:1904.09751.
#include "isomer/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// ---- xoshiro256** 1.0, seeded by splitmix64 (both public domain, prng.di.unimi.it) ----

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t next_random(uint64_t state[4])
{
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

// In [0, 1), a multiple of 2^-53.
static double next_unit(uint64_t state[4])
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

// ---- picking ----

iso_status iso_sampler_init(iso_sampler *sampler, const iso_sampler_options *options, int32_t vocab_size,
                            const iso_allocator *allocator)
{
    memset(sampler, 0, sizeof *sampler);
    iso_sampler_options chosen = {0};
    if (options)
        chosen = *options;
    if (!isfinite(chosen.temperature) || chosen.temperature < 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "temperature is %g; it must be finite and 0 (greedy) or more",
                        chosen.temperature);
    if (!(chosen.top_p >= 0 && chosen.top_p <= 1))
        return iso_fail(ISO_INVALID_ARGUMENT, "top_p is %g; it must be above 0 and at most 1", chosen.top_p);
    if (vocab_size <= 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "vocab_size is %d; it must be above 0", vocab_size);
    sampler->temperature = chosen.temperature;
    sampler->top_p = chosen.top_p == 0 ? 1 : chosen.top_p;
    sampler->vocab_size = vocab_size;
    sampler->allocator = allocator;
    uint64_t seed = chosen.seed;
    for (int i = 0; i < 4; i++)
        sampler->state[i] = splitmix64(&seed);
    if (sampler->temperature == 0)
        return ISO_OK;
    return ISO_NEW(allocator, (size_t)vocab_size, &sampler->candidates);
}

void iso_sampler_deinit(iso_sampler *sampler)
{
    if (!sampler)
        return;
    iso_free(sampler->allocator, sampler->candidates);
    sampler->candidates = NULL;
}

// The index of the largest logit, the lowest on ties.
static iso_status find_best(const float *logits, int32_t count, int32_t *out)
{
    int32_t best = 0;
    for (int32_t i = 0; i < count; i++) {
        if (isnan(logits[i]) || (isinf(logits[i]) && logits[i] > 0))
            return iso_fail(
                ISO_INVALID_ARGUMENT,
                "logits[%d] is %f; the model computed something that is no number: try `isomer compare`", i,
                (double)logits[i]);
        if (logits[i] > logits[best])
            best = i;
    }
    if (isinf(logits[best]))
        return iso_fail(ISO_INVALID_ARGUMENT, "all %d logits are -inf; no token can be picked", count);
    *out = best;
    return ISO_OK;
}

static bool comes_before(iso_sampler_candidate a, iso_sampler_candidate b)
{
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

// Moves down in a heap whose top is the likeliest candidate.
static void sift_down(iso_sampler_candidate *heap, int32_t count, int32_t at)
{
    iso_sampler_candidate moving = heap[at];
    for (int64_t child = 2 * (int64_t)at + 1; child < count; child = 2 * (int64_t)at + 1) {
        if (child + 1 < count && comes_before(heap[child + 1], heap[child]))
            child++;
        if (!comes_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = (int32_t)child;
    }
    heap[at] = moving;
}

// Takes candidates from a heap, likeliest first, until they weigh `mass`; they are left at the end of the
// array, the likeliest last. Returns how many, and their weight.
static int32_t take_nucleus(iso_sampler_candidate *heap, int32_t count, double mass, double *out_weight)
{
    for (int32_t i = count / 2 - 1; i >= 0; i--)
        sift_down(heap, count, i);
    double weight = 0;
    int32_t left = count;
    do {
        iso_sampler_candidate top = heap[0];
        weight += top.weight;
        heap[0] = heap[--left];
        heap[left] = top;
        if (left > 1)
            sift_down(heap, left, 0);
    } while (left > 0 && weight < mass);
    *out_weight = weight;
    return count - left;
}

// The candidate at which the running weight first exceeds `target`, from `first` on in steps of `step`.
static int32_t find_at(const iso_sampler_candidate *first, int32_t count, int step, double target)
{
    double running = 0;
    for (int32_t i = 0; i + 1 < count; i++) {
        running += first[(ptrdiff_t)i * step].weight;
        if (target < running)
            return first[(ptrdiff_t)i * step].id;
    }
    return first[(ptrdiff_t)(count - 1) * step].id;
}

static int32_t sample(iso_sampler *sampler, const float *logits, int32_t count, float best)
{
    iso_sampler_candidate *candidates = sampler->candidates;
    int32_t used = 0;
    double total = 0;
    for (int32_t i = 0; i < count; i++) {
        double weight = exp(((double)logits[i] - best) / sampler->temperature);
        if (weight == 0)
            continue; // too unlikely for a double; keeps -inf out
        candidates[used++] = (iso_sampler_candidate){weight, i};
        total += weight;
    }
    double unit = next_unit(sampler->state);
    if (sampler->top_p >= 1)
        return find_at(candidates, used, 1, unit * total);
    double weight;
    int32_t taken = take_nucleus(candidates, used, sampler->top_p * total, &weight);
    return find_at(candidates + used - 1, taken, -1, unit * weight);
}

iso_status iso_sampler_pick(iso_sampler *sampler, const float *logits, int32_t count, int32_t *out_id)
{
    *out_id = -1;
    if (count <= 0 || count > sampler->vocab_size)
        return iso_fail(ISO_INVALID_ARGUMENT, "%d logits; between 1 and %d are expected", count,
                        sampler->vocab_size);
    int32_t best = 0;
    ISO_TRY(find_best(logits, count, &best));
    *out_id = sampler->temperature == 0 ? best : sample(sampler, logits, count, logits[best]);
    return ISO_OK;
}
