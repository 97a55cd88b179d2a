// SPDX-License-Identifier: MIT
//
// Rope frequencies in long double, rounded once at the end: at position 163839 an error of one float32
// rounding in a frequency would turn a pair by a hundredth of a radian. Must not know positions or tensors.
//
// YaRN: Peng et al. 2023, section 3; DeepSeek-V3 inference/model.py, precompute_freqs_cis. llama3:
// transformers modeling_rope_utils.py, _compute_llama3_parameters. MLA's softmax scale: DeepSeek-V3
// inference/model.py, class MLA.
#include "model/checkpoint/rope_frequencies.h"

#include <math.h>

#define TWO_PI 6.283185307179586476925286766559005768L

static uint32_t rope_width(const iso_model_config *config)
{
    return config->kv_lora_rank > 0 ? config->qk_rope_head_dim : config->head_dim;
}

uint32_t iso_rope_pair_count(const iso_model_config *config)
{
    return rope_width(config) / 2;
}

// The pair, as a fraction, that makes `rotations` turns within the original length.
static long double pair_of_rotations(const iso_model_config *config, double rotations)
{
    long double length = config->rope_scaling.original_max_position;
    return rope_width(config) * logl(length / (TWO_PI * rotations)) / (2 * logl(config->rope_theta));
}

// Fast pairs stay, slow ones are interpolated, between `low` and `high` it fades.
static long double yarn_frequency(const iso_model_config *config, uint32_t pair, long double plain)
{
    const iso_rope_scaling *s = &config->rope_scaling;
    long double low = fmaxl(floorl(pair_of_rotations(config, s->beta_fast)), 0);
    long double high =
        fminl(ceill(pair_of_rotations(config, s->beta_slow)), (long double)rope_width(config) - 1);
    if (low == high)
        high += 0.001L;
    long double ramp = fminl(fmaxl((pair - low) / (high - low), 0), 1);
    return plain / s->factor * ramp + plain * (1 - ramp);
}

// The same by wavelengths instead of pair numbers.
static long double llama3_frequency(const iso_model_config *config, long double plain)
{
    const iso_rope_scaling *s = &config->rope_scaling;
    long double length = s->original_max_position;
    long double wavelength = TWO_PI / plain;
    if (wavelength < length / s->high_freq_factor)
        return plain;
    if (wavelength > length / s->low_freq_factor)
        return plain / s->factor;
    long double smooth =
        (length / wavelength - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return (1 - smooth) * plain / s->factor + smooth * plain;
}

static long double frequency(const iso_model_config *config, uint32_t pair)
{
    long double plain = powl(config->rope_theta, -2.0L * pair / rope_width(config));
    switch (config->rope_scaling.type) {
    case ISO_ROPE_SCALING_YARN:
        return yarn_frequency(config, pair, plain);
    case ISO_ROPE_SCALING_LLAMA3:
        return llama3_frequency(config, plain);
    default:
        return plain;
    }
}

double iso_rope_frequency(const iso_model_config *config, uint32_t pair)
{
    return (double)frequency(config, pair);
}

uint64_t iso_rope_turns(const iso_model_config *config, uint32_t pair)
{
    long double turns = frequency(config, pair) / TWO_PI;
    turns -= floorl(turns);
    // In two steps, so that it is also right where long double has fewer than 64 bits.
    long double scaled = turns * 0x1p32L;
    uint64_t high = (uint64_t)scaled;
    uint64_t low = (uint64_t)roundl((scaled - (long double)high) * 0x1p32L);
    return (high << 32) + low;
}

// How much YaRN sharpens attention for a model extended `factor` times.
static double magnitude(const iso_rope_scaling *scaling, double mscale)
{
    return scaling->factor <= 1 ? 1 : 0.1 * mscale * log(scaling->factor) + 1;
}

double iso_rope_scale(const iso_model_config *config)
{
    const iso_rope_scaling *s = &config->rope_scaling;
    if (s->type != ISO_ROPE_SCALING_YARN)
        return 1;
    if (s->attention_factor > 0)
        return s->attention_factor;
    return magnitude(s, s->mscale) / magnitude(s, s->mscale_all_dim) * s->attn_factor;
}

double iso_softmax_scale(const iso_model_config *config)
{
    double scale = 1 / sqrt(config->head_dim);
    if (config->kv_lora_rank == 0 || config->rope_scaling.type != ISO_ROPE_SCALING_YARN)
        return scale;
    double m = magnitude(&config->rope_scaling, config->rope_scaling.mscale_all_dim);
    return scale * m * m;
}

void iso_rope_table(const iso_model_config *config, uint32_t *out_turns, float *out_scale)
{
    for (uint32_t pair = 0; pair < iso_rope_pair_count(config); pair++) {
        uint64_t turns = iso_rope_turns(config, pair);
        out_turns[2 * pair] = (uint32_t)(turns >> 32);
        out_turns[2 * pair + 1] = (uint32_t)turns;
    }
    *out_scale = (float)iso_rope_scale(config);
}
