// SPDX-License-Identifier: MIT
//
// Runs the models of an op in every order of summation and finds the worst score (tightness.h).
#include "conformance/ops/tightness.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/tightness_models.h"

// ---- orders of summation ----

static float multiply_add(float a, float b, float sum, bool fused)
{
    return fused ? fmaf(a, b, sum) : a * b + sum;
}

static float dot_sequential(const float *a, const float *b, size_t count, bool fused)
{
    float sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = multiply_add(a[i], b[i], sum, fused);
    return sum;
}

static float dot_reversed(const float *a, const float *b, size_t count, bool fused)
{
    float sum = 0;
    for (size_t i = count; i-- > 0;)
        sum = multiply_add(a[i], b[i], sum, fused);
    return sum;
}

static float dot_pairwise(const float *a, const float *b, size_t count, bool fused)
{
    if (count <= 2)
        return dot_sequential(a, b, count, fused);
    size_t half = count / 2;
    return dot_pairwise(a, b, half, fused) + dot_pairwise(a + half, b + half, count - half, fused);
}

static float dot_blocked(const float *a, const float *b, size_t count, bool fused, size_t block)
{
    float sum = 0;
    for (size_t i = 0; i < count; i += block)
        sum += dot_sequential(a + i, b + i, count - i < block ? count - i : block, fused);
    return sum;
}

static float dot_blocked_8(const float *a, const float *b, size_t count, bool fused)
{
    return dot_blocked(a, b, count, fused, 8);
}

static float dot_blocked_64(const float *a, const float *b, size_t count, bool fused)
{
    return dot_blocked(a, b, count, fused, 64);
}

// The last two with an exp as far off as the device's numerics allow; set for each call.
static const conform_order orders[] = {
    {"sequential", false, 1, dot_sequential, 0},
    {"sequential, fused", true, 1, dot_sequential, 0},
    {"reversed", false, 0, dot_reversed, 0},
    {"reversed, fused", true, 0, dot_reversed, 0},
    {"pairwise", false, 0, dot_pairwise, 0},
    {"pairwise, fused", true, 0, dot_pairwise, 0},
    {"blocked by 8", false, 8, dot_blocked_8, 0},
    {"blocked by 8, fused", true, 8, dot_blocked_8, 0},
    {"blocked by 64", false, 64, dot_blocked_64, 0},
    {"blocked by 64, fused", true, 64, dot_blocked_64, 0},
    {"sequential, exp off", false, 1, dot_sequential, 1},
    {"pairwise, exp off", false, 0, dot_pairwise, 1},
};

// ---- scores ----

// What one call needs beside its tensors: the reference's outputs and a model's.
typedef struct bench {
    iso_reference_output references[ISO_MAX_OPERANDS];
    double *outputs[ISO_MAX_OPERANDS];
    float *scratch;
} bench;

static void bench_deinit(bench *b)
{
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        iso_free(NULL, b->references[o].value);
        iso_free(NULL, b->references[o].bound);
        iso_free(NULL, b->outputs[o]);
    }
    iso_free(NULL, b->scratch);
}

static iso_status bench_init(bench *b, const iso_op_info *op, const conform_model *model, const void *params)
{
    const iso_tensor *y = (const iso_tensor *)params + op->input_count;
    *b = (bench){0};
    for (uint32_t o = 0; o < op->output_count; o++) {
        size_t elems = iso_tensor_elems(&y[o]);
        ISO_TRY(ISO_NEW(NULL, elems, &b->references[o].value));
        ISO_TRY(ISO_NEW(NULL, elems, &b->references[o].bound));
        ISO_TRY(ISO_NEW(NULL, elems, &b->outputs[o]));
    }
    return ISO_NEW(NULL, model->scratch_floats ? model->scratch_floats(params) : 0, &b->scratch);
}

// The worst score of an output; NAN where all its bounds are 0 and met. A bound that only lets a device flush
// a subnormal says nothing of how it was derived.
static double score_output(const iso_reference_output *reference, const double *got, size_t elems,
                           double flush)
{
    double worst = (double)NAN;
    for (size_t i = 0; i < elems; i++) {
        double want = reference->value[i], bound = reference->bound[i];
        if (!isfinite(want) || !(bound <= (double)FLT_MAX))
            continue;
        double error = fabs(got[i] - want), score = error == 0 ? 0 : error / bound;
        if (score <= 1 && bound <= 4 * flush)
            continue;
        if (!(score <= worst)) // also while worst is NAN
            worst = isnan(score) ? (double)INFINITY : score;
    }
    return worst;
}

static void score_model(const iso_op_info *op, const void *params, const bench *b, double flush,
                        const conform_order *order, conform_tightness *worst)
{
    const iso_tensor *y = (const iso_tensor *)params + op->input_count;
    for (uint32_t o = 0; o < op->output_count; o++) {
        double score = score_output(&b->references[o], b->outputs[o], iso_tensor_elems(&y[o]), flush);
        if (isnan(score))
            continue;
        if (y[o].dtype == ISO_DTYPE_F32 && !(score <= worst->float_score))
            worst->float_score = score;
        if (score <= worst->score)
            continue;
        worst->score = score;
        snprintf(worst->order, sizeof worst->order, "%s", order->name);
    }
}

iso_status conform_tightness_measure(const iso_op_info *op, const void *params, const iso_numerics *numerics,
                                     conform_tightness *out_tightness)
{
    *out_tightness = (conform_tightness){.score = (double)NAN, .float_score = (double)NAN};
    const conform_model *model = conform_model_find(op->name);
    if (!model)
        return iso_fail(ISO_NOT_FOUND, "%s: no honest model of this op is in tightness_models.c", op->name);
    out_tightness->terms = model->terms(params);
    bench b;
    iso_status status = bench_init(&b, op, model, params);
    if (status == ISO_OK)
        status = op->reference(params, numerics, b.references);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0] && status == ISO_OK; i++) {
        // What a model leaves alone is what the op leaves alone.
        for (uint32_t o = 0; o < op->output_count; o++)
            memcpy(b.outputs[o], b.references[o].value,
                   iso_tensor_elems((const iso_tensor *)params + op->input_count + o) * sizeof(double));
        conform_order order = orders[i];
        // Less what is rounded away from the float that expf gives.
        order.exp_error *= (float)fmax(numerics->exp_unit - 2 * numerics->unit, 0);
        int rounding = fegetround();
        if (numerics->biased) // a device that cuts off
            fesetround(FE_TOWARDZERO);
        model->run(params, &order, b.scratch, b.outputs);
        fesetround(rounding);
        score_model(op, params, &b, numerics->flush, &orders[i], out_tightness);
    }
    bench_deinit(&b);
    return status;
}

conform_tightness_class conform_tightness_class_of(uint32_t terms)
{
    return terms <= 64     ? CONFORM_TIGHTNESS_SHORT
           : terms <= 1024 ? CONFORM_TIGHTNESS_MIDDLE
                           : CONFORM_TIGHTNESS_LONG;
}

const char *conform_tightness_class_name(conform_tightness_class which)
{
    static const char *const names[] = {"K <= 64", "K <= 1024", "K > 1024"};
    return which < CONFORM_TIGHTNESS_CLASS_COUNT ? names[which] : "?";
}
