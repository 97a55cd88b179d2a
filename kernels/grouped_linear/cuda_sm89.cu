// SPDX-License-Identifier: MIT
// Grouped linear layer of E4M3 x and weights: the text of sm_80, with the products of E4M3 that sm_89 brings.
#include "cuda_sm89.kh"
// Ahead of the line of sm_80 for the same types: the first one counts.
KERNEL_MATRIX(E4M3, E4M3, E4M3, 128)
#include "cuda_sm80.cu"
