// SPDX-License-Identifier: MIT
//
// Un-permute: when the portable kernel fits, and how it is launched (one group for 512 elements of a token).
#include "kernels/functions.h"
#include "kernels/unpermute/op.h"

bool iso_unpermute_portable_supports(const iso_kernel *kernel, const void *params,
                                     const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_unpermute *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, NULL, &p->y}, reason) &&
           iso_words_addressable(&p->base, "base", reason);
}

void iso_unpermute_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_unpermute *p = params;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = iso_div_up(p->x.dims[2], 512);
    out->groups[2] = 1;
    iso_launch_u32(out, p->x.dims[0]);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->slot, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->base, &p->x);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->x.dims[1]);
    iso_launch_u32(out, p->x.dims[2]);
    iso_launch_u32(out, iso_tensor_present(&p->base));
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->base.view_offset);
    iso_launch_u32(out, p->base.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
