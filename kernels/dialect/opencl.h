// SPDX-License-Identifier: MIT
// The kernel dialect in OpenCL C 1.2. See dialect/README.md for what each word means.
typedef float f32;
typedef uint u32;
typedef int i32;
#define FUNC static inline
#define KERNEL_BEGIN(name, group) \
    __kernel __attribute__((reqd_work_group_size(group, 1, 1))) void name(uint count
#define IN(t, n) IN_(t, n)
#define IN_(t, n) , __global const t *restrict n
#define IN_PLACE(t, n) IN_PLACE_(t, n)
#define IN_PLACE_(t, n) , __global const t *n
#define OUT(t, n) OUT_(t, n)
#define OUT_(t, n) , __global t *n
#define VALUE(t, n) , t n
#define KERNEL_SHARED ) {
#define SHARED(t, n, size) __local t n[size];
#define KERNEL_BODY
#define KERNEL_END }
#define AT(p, i) (p)[i]
#define LOCAL_ID ((uint)get_local_id(0))
#define GROUP_ID ((uint)get_group_id(0))
#define GROUP_ID_Y ((uint)get_group_id(1))
#define GROUP_ID_Z ((uint)get_group_id(2))
// Global memory too: an op in place writes where another thread of its group has read.
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define AS_FLOAT(u) as_float(u)
#define AS_UINT(f) as_uint(f)
#define TO_FLOAT(u) ((float)(u))
#define TO_UINT(x) ((uint)(x))
#define TO_INT(x) ((int)(x))
#define RSQRT(x) (1.0f / sqrt(x))
#define SQRT(x) sqrt(x)
#define FLOOR(x) floor(x)
#define ABS(x) fabs(x)
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define FMAX(a, b) fmax(a, b)
#define FMIN(a, b) fmin(a, b)
#define MUL_HIGH(a, b) mul_hi(a, b)
#define UNROLL
