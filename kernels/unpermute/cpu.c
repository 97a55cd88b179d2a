// SPDX-License-Identifier: MIT
//
// Un-permute on the host: one group a token.
#include "kernels/cpu_vector.h"
#include "kernels/unpermute/op.h"

enum {
    ARG_X,
    ARG_SLOT,
    ARG_WEIGHT,
    ARG_BASE,
    ARG_Y,
    ARG_DTYPE,
    ARG_CHOSEN,
    ARG_WIDTH,
    ARG_HAS_BASE,
    ARG_X_STRIDE,
    ARG_BASE_STRIDE,
    ARG_Y_STRIDE
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    iso_dtype dtype = (iso_dtype)args[ARG_DTYPE].u32;
    uint32_t width = args[ARG_WIDTH].u32, chosen = args[ARG_CHOSEN].u32;
    size_t token = group->id[0];
    const int32_t *slot = (const int32_t *)args[ARG_SLOT].pointer + token * chosen;
    const float *weight = (const float *)args[ARG_WEIGHT].pointer + token * chosen;
    const void *base = iso_row(args[ARG_BASE].pointer, dtype, token, args[ARG_BASE_STRIDE].u32);
    void *y = iso_row_out(args[ARG_Y].pointer, dtype, token, args[ARG_Y_STRIDE].u32);
    for (uint32_t i = 0; i < width; i += ISO_LANES) {
        iso_vector sum = {0};
        if (args[ARG_HAS_BASE].u32)
            sum = iso_load_vector(base, dtype, i, width);
        for (uint32_t j = 0; j < chosen; j++) {
            const void *x = iso_row(args[ARG_X].pointer, dtype, (size_t)slot[j], args[ARG_X_STRIDE].u32);
            sum += iso_load_vector(x, dtype, i, width) * weight[j];
        }
        iso_store_vector(y, dtype, i, width, sum);
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
    const iso_unpermute *p = params;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_view(out, &p->slot);
    iso_launch_view(out, &p->weight);
    iso_launch_view(out, iso_tensor_present(&p->base) ? &p->base : &p->x);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->x.dims[1]);
    iso_launch_u32(out, p->x.dims[2]);
    iso_launch_u32(out, iso_tensor_present(&p->base));
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->base.row_stride);
    iso_launch_u32(out, p->y.row_stride);
}

ISO_DEFINE_CPU_KERNEL(unpermute, run, supports, launch, 0)
