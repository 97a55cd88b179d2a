// SPDX-License-Identifier: MIT
// What the CUDA form of the kernel dialect (dialect/cuda.h) takes from NVIDIA's headers, said with clang's
// own builtins, so that clang compiles it with -nocudainc -nocudalib. Included before the dialect's text;
// knows nothing of any kernel. Square roots and divisions are the correctly rounded instructions, as nvcc's
// defaults give them.
#define __device__             __attribute__((device))
#define __global__             __attribute__((global))
#define __shared__             __attribute__((shared))
#define __constant__           __attribute__((constant))
#define __forceinline__        __inline__ __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))

struct iso_clang_index {
    unsigned x, y, z;
};
#define threadIdx                                                                                            \
    (iso_clang_index{(unsigned)__nvvm_read_ptx_sreg_tid_x(), (unsigned)__nvvm_read_ptx_sreg_tid_y(),         \
                     (unsigned)__nvvm_read_ptx_sreg_tid_z()})
#define blockIdx                                                                                             \
    (iso_clang_index{(unsigned)__nvvm_read_ptx_sreg_ctaid_x(), (unsigned)__nvvm_read_ptx_sreg_ctaid_y(),     \
                     (unsigned)__nvvm_read_ptx_sreg_ctaid_z()})

__device__ __forceinline__ float __uint_as_float(unsigned u)
{
    return __builtin_bit_cast(float, u);
}
__device__ __forceinline__ unsigned __float_as_uint(float f)
{
    return __builtin_bit_cast(unsigned, f);
}
__device__ __forceinline__ unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)(((unsigned long long)a * b) >> 32);
}
__device__ __forceinline__ float sqrtf(float x)
{
    return __nvvm_sqrt_rn_f(x);
}
__device__ __forceinline__ float floorf(float x)
{
    return __builtin_floorf(x);
}
__device__ __forceinline__ float fabsf(float x)
{
    return __builtin_fabsf(x);
}
__device__ __forceinline__ float fmaxf(float a, float b)
{
    return __builtin_fmaxf(a, b);
}
__device__ __forceinline__ float fminf(float a, float b)
{
    return __builtin_fminf(a, b);
}
#define ISO_CLANG_MIN_MAX(type)                                                                              \
    __device__ __forceinline__ type min(type a, type b)                                                      \
    {                                                                                                        \
        return b < a ? b : a;                                                                                \
    }                                                                                                        \
    __device__ __forceinline__ type max(type a, type b)                                                      \
    {                                                                                                        \
        return a < b ? b : a;                                                                                \
    }
ISO_CLANG_MIN_MAX(int)
ISO_CLANG_MIN_MAX(unsigned)
