// SPDX-License-Identifier: MIT
//
// Argmax: when the portable kernel fits, and how it is launched (one group of 256 a row).
#include "kernels/argmax/op.h"
#include "kernels/functions.h"

bool iso_argmax_portable_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                  char reason[ISO_REASON_BYTES])
{
    const iso_argmax *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, NULL, NULL}, reason);
}

void iso_argmax_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_argmax *p = params;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, p->x.dims[0]);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->x.dims[1]);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
}
