// SPDX-License-Identifier: MIT
// The kernel dialect in CUDA C++ (nvcc, NVRTC). See dialect/README.md for what each word means.
typedef unsigned int uint;
typedef float f32;
typedef unsigned int u32;
typedef int i32;
#define FUNC __device__ __forceinline__
// One group on a multiprocessor is enough: unasked, the assembler spills registers to fit in as many as shared memory allows.
// A tuned text may ask for more.
#define LAUNCH_BOUNDS(group) __launch_bounds__(group, 1)
#define KERNEL_BEGIN(name, group) \
    extern "C" __global__ void LAUNCH_BOUNDS(group) name(uint count
#define IN(t, n) IN_(t, n)
#define IN_(t, n) , const t *__restrict__ n
#define IN_PLACE(t, n) IN_PLACE_(t, n)
#define IN_PLACE_(t, n) , const t *n
#define OUT(t, n) OUT_(t, n)
#define OUT_(t, n) , t *n
#define VALUE(t, n) , t n
#define KERNEL_SHARED ) {
#define SHARED(t, n, size) __shared__ t n[size];
#define KERNEL_BODY
#define KERNEL_END }
#define AT(p, i) (p)[i]
#define LOCAL_ID threadIdx.x
#define GROUP_ID blockIdx.x
#define GROUP_ID_Y blockIdx.y
#define GROUP_ID_Z blockIdx.z
#define BARRIER() __syncthreads()
#define AS_FLOAT(u) __uint_as_float(u)
#define AS_UINT(f) __float_as_uint(f)
#define TO_FLOAT(u) ((float)(u))
#define TO_UINT(x) ((uint)(x))
#define TO_INT(x) ((int)(x))
#define RSQRT(x) (1.0f / sqrtf(x))
#define SQRT(x) sqrtf(x)
#define FLOOR(x) floorf(x)
#define ABS(x) fabsf(x)
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define FMAX(a, b) fmaxf(a, b)
#define FMIN(a, b) fminf(a, b)
#define MUL_HIGH(a, b) __umulhi(a, b)
#define UNROLL _Pragma("unroll")
