// SPDX-License-Identifier: MIT
//
// Gather on the host: one group a row.
#include "kernels/cpu_vector.h"
#include "kernels/gather/op.h"

enum {
    ARG_TABLE,
    ARG_INDEX,
    ARG_Y,
    ARG_TABLE_DTYPE,
    ARG_Y_DTYPE,
    ARG_ENTRIES,
    ARG_WIDTH,
    ARG_TABLE_STRIDE,
    ARG_Y_STRIDE
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    iso_dtype from = (iso_dtype)args[ARG_TABLE_DTYPE].u32, to = (iso_dtype)args[ARG_Y_DTYPE].u32;
    uint32_t width = args[ARG_WIDTH].u32;
    int32_t entry = ((const int32_t *)args[ARG_INDEX].pointer)[group->id[0]];
    void *y = iso_row_out(args[ARG_Y].pointer, to, group->id[0], args[ARG_Y_STRIDE].u32);
    if (entry < 0 || (uint32_t)entry >= args[ARG_ENTRIES].u32) {
        memset(y, 0, width * iso_dtype_bytes(to));
        return;
    }
    const void *row = iso_row(args[ARG_TABLE].pointer, from, (size_t)entry, args[ARG_TABLE_STRIDE].u32);
    if (from == to) {
        memcpy(y, row, width * iso_dtype_bytes(to));
        return;
    }
    for (uint32_t i = 0; i < width; i += ISO_LANES)
        iso_store_vector(y, to, i, width, iso_load_vector(row, from, i, width));
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
    const iso_gather *p = params;
    out->groups[0] = p->index.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->table);
    iso_launch_view(out, &p->index);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->table.dtype);
    iso_launch_u32(out, p->y.dtype);
    iso_launch_u32(out, p->table.dims[0]);
    iso_launch_u32(out, iso_tensor_width(&p->y));
    iso_launch_u32(out, p->table.row_stride);
    iso_launch_u32(out, p->y.row_stride);
}

ISO_DEFINE_CPU_KERNEL(gather, run, supports, launch, 0)
