// SPDX-License-Identifier: MIT
//
// Linear layer of each attention head, with a part of a weight whose rows belong to heads: rows h * head_rows
// + row_offset and on, for head h. It absorbs the key and value up-projections of multi-head latent attention
// (kv_b_proj) into query and output: DeepSeek-V2 paper, section 2.1.2 and appendix C.
//   transposed:      y[t, h, j] = sum over i < K of x[t, h, i] * weight[row of h + i, j]    N columns
//   not transposed:  y[t, h, i] = sum over j < K of x[t, h, j] * weight[row of h + i, j]    K columns
// FP8 as in kernels/linear: the sum over the part of K that shares a scale is multiplied by it.
//
// Rounding: y is rounded once, to its dtype; float32 accumulation at least. Aliasing: none. The bits of a
// token do not depend on the other tokens.
#ifndef ISOMER_KERNELS_HEAD_LINEAR_H
#define ISOMER_KERNELS_HEAD_LINEAR_H

#include "isomer/op.h"

typedef struct iso_head_linear {
    iso_tensor x;      // [tokens, heads, K] f32 or bf16; may be a view
    iso_tensor weight; // [heads * head_rows, columns] f32, f16, bf16 or e4m3
    iso_tensor
        weight_scale;    // [ceil(heads * head_rows / 128), ceil(columns / 128)] f32, with an e4m3 weight only
    iso_tensor y;        // [tokens, heads, N] as x; may be a view
    uint32_t head_rows;  // rows of the weight that belong to one head
    uint32_t row_offset; // the first one used; row_offset + K (transposed) or + N is at most head_rows
    bool transposed;
} iso_head_linear;

#endif
