// SPDX-License-Identifier: MIT
//
// Gate of an MLP on the host: a group takes some rows.
#include "kernels/cpu_vector.h"
#include "kernels/silu_mul/op.h"

enum {
    ARG_GATE,
    ARG_UP,
    ARG_Y,
    ARG_DTYPE,
    ARG_ROWS,
    ARG_WIDTH,
    ARG_GATE_STRIDE,
    ARG_UP_STRIDE,
    ARG_Y_STRIDE,
    ARG_GROUP_ROWS
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t rows = args[ARG_ROWS].u32, width = args[ARG_WIDTH].u32, per_group = args[ARG_GROUP_ROWS].u32;
    iso_dtype dtype = (iso_dtype)args[ARG_DTYPE].u32;
    uint32_t r = group->id[0] * per_group, end = rows - r < per_group ? rows : r + per_group;
    for (; r < end; r++) {
        const void *gate = iso_row(args[ARG_GATE].pointer, dtype, r, args[ARG_GATE_STRIDE].u32);
        const void *up = iso_row(args[ARG_UP].pointer, dtype, r, args[ARG_UP_STRIDE].u32);
        void *y = iso_row_out(args[ARG_Y].pointer, dtype, r, args[ARG_Y_STRIDE].u32);
        for (uint32_t i = 0; i < width; i += ISO_LANES) {
            iso_vector z = iso_load_vector(gate, dtype, i, width);
            iso_vector silu = z / (1.0f + iso_exp_vector(-z));
            iso_store_vector(y, dtype, i, width, silu * iso_load_vector(up, dtype, i, width));
        }
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
    const iso_silu_mul *p = params;
    const uint32_t worth_while = 16384; // elements, some microseconds
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    uint32_t per_group = width < worth_while ? worth_while / width : 1;
    out->groups[0] = iso_div_up(rows, per_group);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->gate);
    iso_launch_view(out, &p->up);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->y.dtype);
    iso_launch_u32(out, rows);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->gate.row_stride);
    iso_launch_u32(out, p->up.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_u32(out, per_group);
}

ISO_DEFINE_CPU_KERNEL(silu_mul, run, supports, launch, 0)
