// SPDX-License-Identifier: MIT
//
// The honest float32 implementations that tightness.c measures the bounds with: one for each op, with the
// order of its sums as a parameter. They round where the op's contract says that a kernel rounds.
#ifndef ISOMER_CONFORMANCE_TIGHTNESS_MODELS_H
#define ISOMER_CONFORMANCE_TIGHTNESS_MODELS_H

#include "isomer/ops.h"
#include "kernels/kernel.h"

// ---- types ----

// How a model adds up.
typedef struct conform_order {
    const char *name;
    bool fused;
    uint32_t block; // of keys that share a running maximum; 0: the maximum of all is found first
    float (*dot)(const float *a, const float *b, size_t count, bool fused);
    float exp_error; // relative, that exp has to one side or the other
} conform_order;

// Writes each output's values, rows packed. `scratch` has room for conform_model.scratch floats.
typedef void (*conform_model_fn)(const void *params, const conform_order *order, float *scratch,
                                 double *const *outputs);

typedef struct conform_model {
    const char *op;
    conform_model_fn run;
    uint32_t (*terms)(const void *params);        // of the longest sums
    size_t (*scratch_floats)(const void *params); // NULL: none
} conform_model;

// ---- calls ----

// The model of that op, or NULL.
const conform_model *conform_model_find(const char *op);

void conform_model_grouped_linear(const void *params, const conform_order *order, float *scratch,
                                  double *const *outputs);
void conform_model_head_linear(const void *params, const conform_order *order, float *scratch,
                               double *const *outputs);
void conform_model_linear(const void *params, const conform_order *order, float *scratch,
                          double *const *outputs);
void conform_model_rms_norm(const void *params, const conform_order *order, float *scratch,
                            double *const *outputs);
void conform_model_router(const void *params, const conform_order *order, float *scratch,
                          double *const *outputs);
void conform_model_unpermute(const void *params, const conform_order *order, float *scratch,
                             double *const *outputs);
uint32_t conform_model_unpermute_terms(const void *params);

void conform_model_gqa(const void *params, const conform_order *order, float *scratch,
                       double *const *outputs);
void conform_model_mla(const void *params, const conform_order *order, float *scratch,
                       double *const *outputs);
uint32_t conform_model_gqa_terms(const void *params);
uint32_t conform_model_mla_terms(const void *params);
size_t conform_model_gqa_scratch(const void *params);
size_t conform_model_mla_scratch(const void *params);

// e^x, off by the order's exp_error, upwards or downwards as x falls; 1 at 0, as on every device.
float conform_model_exp(const conform_order *order, float x);
// A float as it is stored in `dtype`, F32 or BF16.
double conform_model_store(iso_dtype dtype, float value);
// Row `row` of a tensor as floats.
void conform_model_row(const iso_tensor *tensor, uint32_t row, float *out);

#endif
