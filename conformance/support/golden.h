// SPDX-License-Identifier: MIT
//
// A golden model (conformance/golden/models) opened for a test: the model, its config and the exact results
// that its README describes.
#ifndef ISOMER_CONFORMANCE_GOLDEN_H
#define ISOMER_CONFORMANCE_GOLDEN_H

#include "isomer/runner.h"

#define GOLDEN_MODELS        ISOMER_SOURCE_DIR "/conformance/golden/models/"
#define GOLDEN_PROMPTS       3
#define GOLDEN_GREEDY_TOKENS 24
#define GOLDEN_MAX_PROMPT    160

typedef struct golden {
    const char *name;
    iso_model *model;
    const iso_model_config *config;
    iso_checkpoint *expected;
} golden;

// 0, or prints the failure and returns 1.
int golden_open(golden *out, const char *name);
void golden_close(golden *golden);

// A tensor of expected.safetensors; .data is NULL where there is none of that name.
iso_tensor_view golden_tensor(const golden *golden, const char *format, ...) ISO_PRINTF(2, 3);
// Copies an I32 tensor of up to `capacity` elements; returns how many there are.
uint32_t golden_ids(const iso_tensor_view *view, int32_t *out, uint32_t capacity);
double golden_rms(const iso_tensor_view *view);
// The worst difference between a row of floats and row `row` of the F32 tensor, and their RMS difference
// (NULL-able). NaN counts as infinitely far.
double golden_distance(const iso_tensor_view *want, uint64_t row, const float *got, double *out_rms);

#endif
