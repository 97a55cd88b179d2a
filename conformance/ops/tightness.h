// SPDX-License-Identifier: MIT
//
// How near honest arithmetic comes to the bounds that the references give: the worst score (error / bound) of
// one call over plain float32 implementations of the op that differ in the order of their sums and in fused
// multiply-adds. A worst score above 1 means that the bound wrongs honest kernels; one that stays below
// CONFORM_TIGHTNESS_LEAST over all cases of an op, that the bound is too loose to find anything. Knows
// nothing of the kernels: tightness_models.c and tightness_attention.c are written from the contracts in
// kernels/<op>/op.h alone.
#ifndef ISOMER_CONFORMANCE_TIGHTNESS_H
#define ISOMER_CONFORMANCE_TIGHTNESS_H

#include "isomer/ops.h"

// ---- types ----

#define CONFORM_TIGHTNESS_LEAST 0.02

// By the number of terms of the call's longest sums.
typedef enum conform_tightness_class {
    CONFORM_TIGHTNESS_SHORT,  // at most 64
    CONFORM_TIGHTNESS_MIDDLE, // at most 1024
    CONFORM_TIGHTNESS_LONG,
    CONFORM_TIGHTNESS_CLASS_COUNT
} conform_tightness_class;

typedef struct conform_tightness {
    // NAN where every bound is 0 and every model gives that value: the op is exact. INFINITY where a model
    // misses a bound of 0.
    double score;
    double float_score; // the same of float32 outputs alone: BF16's one rounding hides what comes before it
    uint32_t terms;     // of the call's longest sums
    char order[24];     // of the worst model: "pairwise, fused"
} conform_tightness;

// ---- calls ----

// Runs every model on the call's host tensors, whose outputs are not touched, and judges it by the reference
// under `numerics`. Elements whose value is not finite or may overflow are not judged.
iso_status conform_tightness_measure(const iso_op_info *op, const void *params, const iso_numerics *numerics,
                                     conform_tightness *out_tightness) ISO_MUST_USE;

conform_tightness_class conform_tightness_class_of(uint32_t terms);
const char *conform_tightness_class_name(conform_tightness_class which); // "K <= 64", …

#endif
