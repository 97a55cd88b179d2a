// SPDX-License-Identifier: MIT
//
// RMSNorm: when the portable kernel fits, and how it is launched (one group of 64 a row).
#include "kernels/functions.h"
#include "kernels/rms_norm/op.h"

bool iso_rms_norm_portable_supports(const iso_kernel *kernel, const void *params,
                                    const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_rms_norm *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y}, reason);
}

void iso_rms_norm_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_rms_norm *p = params;
    uint32_t rows = iso_tensor_rows(&p->x);
    out->groups[0] = rows;
    out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->eps);
}
