// SPDX-License-Identifier: MIT
//
// Judges one op of a model by its own reference on the inputs that it really saw: an output that is further
// from the reference than the op's bound is the op's guilt, whatever came before. A router's choice is judged
// by its margin: another expert is right where the keys' error bounds let it be. Large calls are judged by a
// sample of their rows. Knows no device.
#ifndef ISOMER_CONFORMANCE_VERDICT_H
#define ISOMER_CONFORMANCE_VERDICT_H

#include "conformance/suite/suite.h"

typedef struct conform_call {
    const iso_op_info *op;
    const void *params;       // all tensors with their host memory as the op found it, outputs too
    const void *const *after; // [output]: what the output's storage held afterwards
    const uint64_t *bytes;    // [output]: of that storage
    const iso_numerics *numerics;
    double flops_limit; // above: a sample of the rows is judged; 0: never
    uint32_t salt;      // which rows a sample takes
} conform_call;

typedef struct conform_verdict {
    double score;                    // worst error / bound; above 1 or infinite: guilty
    conform_sample worst;            // of output, element (rows packed)
    double square_sum;               // of (error / bound) over the judged elements, where finite
    uint64_t judged, elems;          // fewer judged than there are: a sample
    uint32_t rounded_choices;        // of a router: rows whose choice differs within what rounding allows
    bool failed;                     // the device reported a failure instead of a result
    char note[CONFORM_DETAIL_BYTES]; // of what the numbers do not show; "" otherwise
} conform_verdict;

iso_status conform_judge_call(const conform_call *call, conform_verdict *out) ISO_MUST_USE;

// Values and bounds for all outputs of a call, rows packed; elements that the op leaves alone have the bound
// -1. Released by conform_free_expected, which accepts what was zeroed.
iso_status conform_make_expected(const iso_op_info *op, const void *params, const iso_numerics *numerics,
                                 iso_reference_output *out) ISO_MUST_USE;
void conform_free_expected(const iso_op_info *op, iso_reference_output *expected);

// How a router's choices stand to the keys of its logits. `index` is what the device chose, [T, k].
typedef struct conform_choice {
    double
        score; // by how much a rejected expert or group was ahead, over what rounding allows; <= 1: allowed
    uint32_t token;        // of the worst
    uint32_t differ;       // tokens whose experts are not those of exact keys
    double ahead, allowed; // of the worst: difference of keys, and the error bound of that difference
} conform_choice;
// ISO_INVALID_ARGUMENT: the indices are no ascending experts.
iso_status conform_judge_choice(const void *router_params, const int32_t *index, const iso_numerics *numerics,
                                conform_choice *out) ISO_MUST_USE;

#endif
