// SPDX-License-Identifier: MIT
//
// Argmax on the host, one group a row: the maximum first, then the first element that equals it. A comparison
// with NaN is false, so NaN drops out of both.
#include "kernels/argmax/op.h"
#include "kernels/cpu_vector.h"

#include <math.h>

enum { ARG_X, ARG_Y, ARG_WIDTH, ARG_STRIDE };

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t width = args[ARG_WIDTH].u32, full = width / ISO_LANES * ISO_LANES;
    const float *x = iso_row(args[ARG_X].pointer, ISO_DTYPE_F32, group->id[0], args[ARG_STRIDE].u32);
    iso_vector lanes = iso_splat(-INFINITY);
    for (uint32_t i = 0; i < full; i += ISO_LANES) {
        iso_vector v = iso_load_vector(x, ISO_DTYPE_F32, i, width);
        iso_vector_u32 larger = (iso_vector_u32)(v > lanes);
        lanes = (iso_vector)(((iso_vector_u32)v & larger) | ((iso_vector_u32)lanes & ~larger));
    }
    float best = -INFINITY;
    for (uint32_t i = 0; i < ISO_LANES; i++)
        best = lanes[i] > best ? lanes[i] : best;
    for (uint32_t i = full; i < width; i++)
        best = x[i] > best ? x[i] : best;
    uint32_t place = 0;
    while (place < width && !(x[place] == best))
        place++;
    ((int32_t *)args[ARG_Y].pointer)[group->id[0]] = place < width ? (int32_t)place : 0;
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
    const iso_argmax *p = params;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dims[1]);
    iso_launch_u32(out, p->x.row_stride);
}

ISO_DEFINE_CPU_KERNEL(argmax, run, supports, launch, 0)
