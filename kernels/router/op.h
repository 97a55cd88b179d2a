// SPDX-License-Identifier: MIT
//
// The router of a mixture of experts: which k of E experts a token goes to, and with what weights.
//     score = softmax(logits) (DeepSeek-V2, V2-Lite) or sigmoid(logits) (V3); key = score + bias
//     group step (group_count > 1): a group's key is its largest key, or the sum of its two largest
//     (group_top2); only
//         experts of the group_keep best groups stay
//     index = the k best keys of those, in ascending order of expert; weight = their scores (without bias),
//     with
//         `normalise` divided by (their sum + 1e-20), times `scaling`
// DeepSeek-V2 section 2.2, DeepSeek-V3 section 2.1.2 and inference/model.py class Gate.
//
// Selection is by keys computed in float32; on ties the lowest index (of expert, of group) comes first. A NaN
// key ranks below all others; k experts are always chosen. With `forced` the given experts are used instead
// of choosing (one outside 0 … E-1 counts as E-1, so that padding rows may hold anything). Aliasing: none.
#ifndef ISOMER_KERNELS_ROUTER_H
#define ISOMER_KERNELS_ROUTER_H

#include "isomer/op.h"

#define ISO_ROUTER_MAX_EXPERTS 512
#define ISO_ROUTER_MAX_CHOSEN  16
#define ISO_ROUTER_MAX_GROUPS  16

typedef struct iso_router {
    iso_tensor logits;    // [T, E] f32; E at most 512
    iso_tensor bias;      // [E] f32, optional
    iso_tensor forced;    // [T, k] i32, distinct in a row; optional
    iso_tensor index;     // [T, k] i32; k at most 16
    iso_tensor weight;    // [T, k] f32
    bool sigmoid;         // else softmax
    uint32_t group_count; // divides E; 0 and 1: no group step; at most 16
    uint32_t group_keep;  // group_keep * (E / group_count) >= k
    bool group_top2;      // needs groups of 2 or more
    bool normalise;
    float scaling;
} iso_router;

#endif
