// SPDX-License-Identifier: MIT
//
// From a config's rope fields to the numbers that the rope and attention ops take: the frequency of each
// pair, what cos and sin are multiplied by, and the scale of the softmax. They do not depend on the length of
// a prompt: a model that was extended by YaRN wants its frequencies and its softmax scale at every length.
#ifndef ISOMER_MODEL_CHECKPOINT_ROPE_FREQUENCIES_H
#define ISOMER_MODEL_CHECKPOINT_ROPE_FREQUENCIES_H

#include "isomer/config.h"

// Pairs of elements that rotate in one head: half of qk_rope_head_dim with MLA, else half of head_dim.
uint32_t iso_rope_pair_count(const iso_model_config *config);

// The frequency of a pair below the pair count, in radians per position.
double iso_rope_frequency(const iso_model_config *config, uint32_t pair);

// The same in turns per position, as a binary fraction of 64 bits rounded to nearest: turns * 2^64, whole
// turns dropped.
uint64_t iso_rope_turns(const iso_model_config *config, uint32_t pair);

// What the rope op takes: out_turns [pair count, 2] holds the high and the low word of each pair's turns; cos
// and sin are multiplied by *out_scale.
void iso_rope_table(const iso_model_config *config, uint32_t *out_turns, float *out_scale);

// What cos and sin are multiplied by: 1 without YaRN and for all published DeepSeek models.
double iso_rope_scale(const iso_model_config *config);

// What scores are multiplied by before the softmax: head_dim^-0.5, times m(mscale_all_dim)^2 with MLA and
// YaRN.
double iso_softmax_scale(const iso_model_config *config);

#endif
