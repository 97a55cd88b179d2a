// SPDX-License-Identifier: MIT
//
// The golden models' exact answers (conformance/golden/models, whose README names the tensors), and how a
// difference from them is judged: by its margin against the error that is allowed there. Knows no device.
#ifndef ISOMER_CONFORMANCE_GOLDEN_DATA_H
#define ISOMER_CONFORMANCE_GOLDEN_DATA_H

#include "isomer/runner.h"

#define CONFORM_GOLDEN_FOLDER  ISOMER_SOURCE_DIR "/conformance/golden/models/"
#define CONFORM_GOLDEN_PROMPTS 3u
#define CONFORM_GREEDY_TOKENS  24u
#define CONFORM_GOLDEN_MOST    160u // tokens of a prompt

typedef struct conform_golden {
    iso_model *model;
    const iso_model_config *config;
    iso_checkpoint *expected;
} conform_golden;

// ISO_NOT_FOUND where this machine has no golden models.
iso_status conform_golden_open(const char *name, conform_golden *out) ISO_MUST_USE;
// Accepts a zeroed one.
void conform_golden_close(conform_golden *golden);
// A tensor of expected.safetensors; .data is NULL where there is none of that name.
iso_tensor_view conform_golden_tensor(const conform_golden *golden, const char *format, ...) ISO_PRINTF(2, 3);
double conform_golden_at(const iso_tensor_view *view, uint64_t index);
double conform_golden_rms(const iso_tensor_view *view);

// The distance of rows of floats from exact ones, over the RMS of the exact tensor. NaN counts as infinitely
// far.
typedef struct conform_distance {
    double worst, square_sum;
    uint64_t count;
} conform_distance;
// Adds row `row` of `want`.
void conform_distance_add(conform_distance *distance, const iso_tensor_view *want, uint64_t row,
                          const float *got);
double conform_distance_rms(const conform_distance *distance);

// Another token, or another expert, than the exact one.
typedef enum conform_flip {
    CONFORM_FLIP_NONE,
    CONFORM_FLIP_EXPLAINED,   // the exact margin is within what rounding may do to both sides
    CONFORM_FLIP_UNEXPLAINED, // it is not: what led here was further off than allowed
    CONFORM_FLIP_IMPOSSIBLE,  // the device's own numbers speak for the exact choice
} conform_flip;
// margin: by how much the exact choice is ahead of the next; own: by how much the device's choice is ahead of
// the exact one by the device's own numbers, negative where it is behind; allowed: the error of one number.
conform_flip conform_flip_of(double margin, double own, double allowed);
const char *conform_flip_name(conform_flip flip);

#endif
