// SPDX-License-Identifier: MIT
//
// Judges outputs, element by element in place, never sorted and never by a mean: the error against the bound
// that the reference gave for that very element. What is not finite is compared first, by the op's contract.
// Pairs (an expert and its weight) stay pairs, because both stand at the same place of their rows.
#ifndef ISOMER_CONFORMANCE_JUDGE_H
#define ISOMER_CONFORMANCE_JUDGE_H

#include "conformance/suite/suite.h"

// Error / bound of one element; INFINITY where bound 0 demands equality and there is none, where only one of
// both is finite, or where the bound itself is no number.
double conform_score_element(const iso_op_info *op, iso_dtype dtype, double want, double bound, double got);

// Judges all outputs of a call: `packed` holds each output's rows in its own type. Sets outcome, score,
// samples (the worst element first, then some drawn by `seed`), detail and output_hash of `result`.
void conform_judge(const iso_op_info *op, const void *params, const iso_reference_output *expected,
                   const void *const *packed, uint64_t seed, conform_result *result);

#endif
