// SPDX-License-Identifier: MIT
//
// Picks the next token from logits: greedy, or by temperature and top-p with a seeded generator.
//
// The same options and the same logits give the same ids on every machine with IEEE-754 doubles and the same
// exp(): the generator is xoshiro256** (Blackman and Vigna, 2018), its 256 bits filled from `seed` by
// splitmix64, and one number is drawn per sampled token (none for a greedy one).
#ifndef ISOMER_SAMPLER_H
#define ISOMER_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_sampler_options {
    double temperature; // 0 (greedy) or more, finite; probabilities are softmax(logits / temperature)
    double top_p; // > 0 and <= 1; 0 is read as 1. Sample among the likeliest tokens that reach this mass
    uint64_t seed;
} iso_sampler_options;

typedef struct iso_sampler_candidate {
    double weight;
    int32_t id;
} iso_sampler_candidate;

// Caller's storage; one thread at a time.
typedef struct iso_sampler {
    double temperature;
    double top_p;
    uint64_t state[4];
    iso_sampler_candidate *candidates; // [vocab_size], NULL when greedy
    int32_t vocab_size;
    const iso_allocator *allocator;
} iso_sampler;

// ---- calls ----

// Prepares for logits of up to `vocab_size` (> 0) tokens; picking allocates nothing. `options` NULL: greedy.
// ISO_INVALID_ARGUMENT names the option out of range. Safe to deinit after failure.
ISO_API iso_status iso_sampler_init(iso_sampler *sampler, const iso_sampler_options *options,
                                    int32_t vocab_size, const iso_allocator *allocator) ISO_MUST_USE;

// Accepts NULL and a zeroed sampler.
ISO_API void iso_sampler_deinit(iso_sampler *sampler);

// Picks from `logits` [count], count at most the vocab_size given at init. Of equal logits the lowest index
// wins (greedy) or comes first (top-p). -inf is never sampled. ISO_INVALID_ARGUMENT: a NaN or +inf (its index
// is named), or nothing but -inf. *out_id is ISO_NO_TOKEN (-1) on failure, and the generator has not moved.
ISO_API iso_status iso_sampler_pick(iso_sampler *sampler, const float *logits, int32_t count,
                                    int32_t *out_id) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
