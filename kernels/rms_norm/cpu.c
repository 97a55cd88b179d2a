// SPDX-License-Identifier: MIT
//
// RMSNorm on the host: one group a row. Sums run over 16 lanes folded in a fixed order, so that the compiler
// vectorises them and the result does not depend on the thread count.
#include "kernels/cpu_vector.h"
#include "kernels/rms_norm/op.h"

#include <math.h>

enum {
    ARG_X,
    ARG_WEIGHT,
    ARG_Y,
    ARG_X_DTYPE,
    ARG_WEIGHT_DTYPE,
    ARG_WIDTH,
    ARG_X_STRIDE,
    ARG_Y_STRIDE,
    ARG_EPS
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t width = args[ARG_WIDTH].u32;
    iso_dtype dtype = (iso_dtype)args[ARG_X_DTYPE].u32;
    const void *x = iso_row(args[ARG_X].pointer, dtype, group->id[0], args[ARG_X_STRIDE].u32);
    void *y = iso_row_out(args[ARG_Y].pointer, dtype, group->id[0], args[ARG_Y_STRIDE].u32);

    iso_vector sum = {0};
    for (uint32_t i = 0; i < width; i += ISO_LANES) {
        iso_vector v = iso_load_vector(x, dtype, i, width);
        sum += v * v;
    }
    float scale = 1.0f / sqrtf(iso_sum_lanes(sum) / (float)width + args[ARG_EPS].f32);
    for (uint32_t i = 0; i < width; i += ISO_LANES) {
        iso_vector w =
            iso_load_vector(args[ARG_WEIGHT].pointer, (iso_dtype)args[ARG_WEIGHT_DTYPE].u32, i, width);
        iso_store_vector(y, dtype, i, width, iso_load_vector(x, dtype, i, width) * scale * w);
    }
}

static bool supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                     char reason[ISO_REASON_BYTES])
{
    (void)kernel, (void)params, (void)device, (void)reason;
    return true; // every call that fits the op's contract
}

static void launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_rms_norm *p = params;
    out->groups[0] = iso_tensor_rows(&p->x);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_view(out, &p->weight);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->weight.dtype);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->eps);
}

ISO_DEFINE_CPU_KERNEL(rms_norm, run, supports, launch, 0)
