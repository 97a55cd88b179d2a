// SPDX-License-Identifier: MIT
// The kernel dialect in GLSL 4.5 for Vulkan. See dialect/README.md for what each word means.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer f32_ptr { float at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer u32_ptr { uint at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer i32_ptr { int at[]; };
#define FUNC
#define KERNEL_BEGIN(name, group) \
    layout(local_size_x = group) in; layout(push_constant, scalar) uniform Args { uint count;
#define IN(t, n) IN_(t, n)
#define IN_(t, n) t##_ptr n;
#define IN_PLACE(t, n) IN_(t, n)
#define OUT(t, n) IN_(t, n)
#define VALUE(t, n) t n;
#define KERNEL_SHARED };
#define SHARED(t, n, size) shared t n[size];
#define KERNEL_BODY void main() {
#define KERNEL_END }
#define AT(p, i) p.at[i]
#define LOCAL_ID gl_LocalInvocationID.x
#define GROUP_ID gl_WorkGroupID.x
#define GROUP_ID_Y gl_WorkGroupID.y
#define GROUP_ID_Z gl_WorkGroupID.z
#define BARRIER() barrier()
#define AS_FLOAT(u) uintBitsToFloat(u)
#define AS_UINT(f) floatBitsToUint(f)
#define TO_FLOAT(u) float(u)
#define TO_UINT(x) uint(x)
#define TO_INT(x) int(x)
#define RSQRT(x) (1.0f / sqrt(x))
#define SQRT(x) sqrt(x)
#define FLOOR(x) floor(x)
#define ABS(x) abs(x)
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define FMAX(a, b) max(a, b)
#define FMIN(a, b) min(a, b)
uint mul_high_(uint a, uint b) { uint hi, lo; umulExtended(a, b, hi, lo); return hi; }
#define MUL_HIGH(a, b) mul_high_(a, b)
#define UNROLL [[unroll]]
