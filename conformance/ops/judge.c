// SPDX-License-Identifier: MIT
//
// Judging outputs against values and bounds (judge.h).
#include "conformance/ops/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

// What an op's contract says beyond "within the bound".
typedef struct contract {
    const char *op;
    bool any_non_finite; // NaN and infinities may stand for each other
    bool bits;           // bits are copied: a zero keeps its sign where the types are the same
} contract;

static const contract contracts[] = {
    {"linear", true, false}, // "a NaN or Inf in a row of x gives NaN or Inf in that row"
    {"grouped_linear", true, false}, {"head_linear", true, false},
    {"kv_write", false, true}, // "bits are copied"
    {"gather", false, true},   // "none where y can hold it exactly"
};

static const contract *contract_of(const iso_op_info *op)
{
    static const contract plain = {"", false, false};
    for (size_t i = 0; i < sizeof contracts / sizeof contracts[0]; i++)
        if (strcmp(contracts[i].op, op->name) == 0)
            return &contracts[i];
    return &plain;
}

static double largest_of(iso_dtype dtype)
{
    switch (dtype) {
    case ISO_DTYPE_F16:
        return 65504.0;
    case ISO_DTYPE_BF16:
        return 0x1.fep127;
    case ISO_DTYPE_F8_E4M3:
        return 448.0;
    case ISO_DTYPE_F32:
        return 0x1.fffffep127;
    default:
        return (double)INFINITY;
    }
}

double conform_score_element(const iso_op_info *op, iso_dtype dtype, double want, double bound, double got)
{
    const contract *contract = contract_of(op);
    if (!isfinite(want)) {
        bool same = isnan(want) ? (bool)isnan(got) : got == want;
        return same || (contract->any_non_finite && !isfinite(got)) ? 0.0 : (double)INFINITY;
    }
    // Overflow is right where the bound reaches past the type's largest value.
    if (isinf(got) && fabs(want) + bound > largest_of(dtype) && signbit(got) == signbit(want))
        return 0.0;
    if (!isfinite(got) || isnan(bound))
        return (double)INFINITY;
    if (bound == 0.0 && contract->bits && want == 0.0 && signbit(want) != signbit(got))
        return (double)INFINITY;
    double error = fabs(got - want);
    if (error == 0.0)
        return 0.0;
    return bound > 0.0 ? error / bound : (double)INFINITY;
}

static conform_sample sample_at(const iso_op_info *op, const void *params,
                                const iso_reference_output *expected, const void *const *packed,
                                uint32_t output, uint64_t index)
{
    const iso_tensor *y = (const iso_tensor *)params + op->input_count + output;
    return (conform_sample){.output = output,
                            .index = index,
                            .got = iso_load_element(packed[output], y->dtype, index),
                            .want = expected[output].value[index],
                            .bound = expected[output].bound[index]};
}

// Elements drawn by the seed, the same for the same call: what verify compares with its own run.
static void draw_samples(const iso_op_info *op, const void *params, const iso_reference_output *expected,
                         const void *const *packed, uint64_t seed, conform_result *result)
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    for (uint64_t i = 0; result->sample_count < CONFORM_SAMPLES; i++) {
        uint64_t drawn = XXH3_64bits_withSeed(&i, sizeof i, seed);
        uint32_t output = (uint32_t)(drawn >> 48) % op->output_count;
        uint64_t elems = iso_tensor_elems(&outputs[output]);
        if (elems == 0)
            return;
        result->samples[result->sample_count++] =
            sample_at(op, params, expected, packed, output, (drawn & 0xffffffffffff) % elems);
    }
}

static uint64_t hash_outputs(const iso_op_info *op, const void *params, const void *const *packed)
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    uint64_t hash = 0;
    for (uint32_t o = 0; o < op->output_count; o++)
        hash = XXH3_64bits_withSeed(packed[o],
                                    iso_tensor_elems(&outputs[o]) * iso_dtype_bytes(outputs[o].dtype), hash);
    return hash;
}

void conform_judge(const iso_op_info *op, const void *params, const iso_reference_output *expected,
                   const void *const *packed, uint64_t seed, conform_result *result)
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    uint64_t wrong = 0, judged = 0;
    double worst = -1;
    for (uint32_t o = 0; o < op->output_count; o++) {
        for (uint64_t i = 0; i < iso_tensor_elems(&outputs[o]); i++, judged++) {
            double got = iso_load_element(packed[o], outputs[o].dtype, i);
            double score =
                conform_score_element(op, outputs[o].dtype, expected[o].value[i], expected[o].bound[i], got);
            wrong += !(score <= 1.0);
            if (score > worst) {
                worst = score;
                result->samples[0] = sample_at(op, params, expected, packed, o, i);
            }
        }
    }
    result->score = worst < 0 ? 0 : worst;
    result->sample_count = judged > 0;
    draw_samples(op, params, expected, packed, seed, result);
    result->output_hash = hash_outputs(op, params, packed);
    result->outcome = wrong ? CONFORM_FAIL : CONFORM_PASS;
    if (!wrong)
        return;
    const conform_sample *at = &result->samples[0];
    uint32_t width = iso_tensor_width(&outputs[at->output]);
    snprintf(
        result->detail, sizeof result->detail,
        "%llu of %llu elements wrong; the worst, output %u [%llu, %llu]: got %.9g, reference %.9g, bound "
        "%.3g",
        (unsigned long long)wrong, (unsigned long long)judged, at->output,
        (unsigned long long)(at->index / width), (unsigned long long)(at->index % width), at->got, at->want,
        at->bound);
}
