// SPDX-License-Identifier: MIT
// One matrix instruction a group: y = a b + c, 16 x 8, with as much of K as 32 bytes hold. Words of a and b hold neighbours
// along K.
#include "cuda_sm89.kh"

KERNEL_BEGIN(probe_matrix, 32)
    IN(u32, a)  // [count, 16, 8] words: rows
    IN(u32, b)  // [count, 8, 8] words: columns
    IN(f32, c)  // [count, 16, 8]
    OUT(f32, y) // [count, 16, 8]
KERNEL_SHARED
KERNEL_BODY
    uint g = LOCAL_ID / 4u;
    uint t = LOCAL_ID % 4u;
    uint at = GROUP_ID * 128u + g * 8u;
    uint column = GROUP_ID * 64u + g * 8u + t;
    uint left[4] = {AT(a, at + t), AT(a, at + 64u + t), AT(a, at + t + 4u), AT(a, at + 68u + t)};
    float sum[4];
    UNROLL
    for (uint i = 0u; i < 4u; i++)
        sum[i] = AT(c, at + 2u * t + (i & 1u) + (i >> 1) * 64u);
#if defined(X_E4M3)
    mma_e4m3(sum, left, AT(b, column), AT(b, column + 4u));
#else
    mma_bf16(sum, left, AT(b, column), AT(b, column + 4u));
#endif
    UNROLL
    for (uint i = 0u; i < 4u; i++)
        AT(y, at + 2u * t + (i & 1u) + (i >> 1) * 64u) = sum[i];
KERNEL_END
