// SPDX-License-Identifier: MIT
//
// RoPE: when the portable kernel fits, and how it is launched (one group for 256 units of two pairs of a
// token).
#include "kernels/functions.h"
#include "kernels/rope/op.h"

bool iso_rope_portable_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                char reason[ISO_REASON_BYTES])
{
    const iso_rope *p = params;
    if (p->x.dtype == ISO_DTYPE_BF16 && !p->interleaved && iso_tensor_width(&p->x) % 4)
        return iso_refuse(reason, "x: width %u of bf16 in halves must be a multiple of 4",
                          iso_tensor_width(&p->x));
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, NULL, &p->y}, reason);
}

void iso_rope_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_rope *p = params;
    uint32_t pairs = iso_tensor_width(&p->x) / 2, heads = p->x.rank == 3 ? p->x.dims[1] : 1;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = iso_div_up(heads * iso_div_up(pairs, 2), 256);
    out->groups[2] = 1;
    iso_launch_u32(out, p->x.dims[0]);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->positions, NULL);
    iso_launch_tensor(out, &p->frequency, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, heads);
    iso_launch_u32(out, pairs);
    iso_launch_u32(out, p->interleaved);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}
