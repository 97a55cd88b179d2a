// SPDX-License-Identifier: MIT
//
// Loops over the 32 lanes that a compiler turns into vector instructions. Included by the files that are
// compiled once for each kind of host (PTX_VARIANT names the kind); every lane is computed, and those outside
// the mask keep their value.
#pragma once

#include "exec.h"

#define PTX_JOIN_(a, b)    a##_##b
#define PTX_JOIN(a, b)     PTX_JOIN_(a, b)
#define PTX_VARIANT_OF(fn) PTX_JOIN(fn, PTX_VARIANT)

ptx_run *PTX_VARIANT_OF(ptx_select_alu)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_float)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_approximate)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_convert)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_compare)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_memory)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_matrix)(const ptx_insn *insn);
ptx_run *PTX_VARIANT_OF(ptx_select_mma)(const ptx_insn *insn);
uint32_t PTX_VARIANT_OF(ptx_check_access)(ptx_warp *warp, const ptx_insn *insn, ptx_access *access,
                                          uint32_t mask);

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef float f32;
typedef double f64;

// A lane's operands have the same place as its result or another one altogether, never another lane's.
#ifdef __clang__
#define LANES _Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < PTX_LANES; l++)
#else
#define LANES _Pragma("GCC ivdep") for (int l = 0; l < PTX_LANES; l++)
#endif

#define PTX_STORE(T, expression)                                                                             \
    T r_ = (T)(expression);                                                                                  \
    d[l] = r_;
#define PTX_BLEND(T, expression)                                                                             \
    T r_ = (T)(expression);                                                                                  \
    d[l] = mask >> l & 1 ? r_ : d[l];

#define RUN0(name, T, body, expression)                                                                      \
    static void name(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)                                    \
    {                                                                                                        \
        T *d = ptx_place(warp, insn->o[0]);                                                                  \
        body;                                                                                                \
        if (mask == PTX_ALL) {                                                                               \
            LANES                                                                                            \
            {                                                                                                \
                PTX_STORE(T, expression)                                                                     \
            }                                                                                                \
        } else {                                                                                             \
            LANES                                                                                            \
            {                                                                                                \
                PTX_BLEND(T, expression)                                                                     \
            }                                                                                                \
        }                                                                                                    \
    }
#define PTX_IN(T, name, index) const T *name##_ = ptx_place(warp, insn->o[index])
// In the expression the operands are a_[l], b_[l], c_[l].
#define RUN1(name, T, A, expression)    RUN0(name, T, PTX_IN(A, a, 1), expression)
#define RUN2(name, T, A, B, expression) RUN0(name, T, PTX_IN(A, a, 1); PTX_IN(B, b, 2), expression)
#define RUN3(name, T, A, B, C, expression)                                                                   \
    RUN0(name, T, PTX_IN(A, a, 1); PTX_IN(B, b, 2); PTX_IN(C, c, 3), expression)
#define a (a_[l])
#define b (b_[l])
#define c (c_[l])
