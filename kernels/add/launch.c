// SPDX-License-Identifier: MIT
//
// Sum of two tensors: when the portable kernel fits, and how it is launched (one group of 64 for 1024
// elements of a row).
#include "kernels/functions.h"
#include "kernels/add/op.h"

enum { GROUP_ELEMS = 1024 };

bool iso_add_portable_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                               char reason[ISO_REASON_BYTES])
{
    const iso_add *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->a, NULL, &p->y}, reason) &&
           iso_words_addressable(&p->b, "b", reason);
}

void iso_add_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_add *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    out->groups[0] = iso_div_up(width, GROUP_ELEMS);
    out->groups[1] = rows;
    out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->a, NULL);
    iso_launch_tensor(out, &p->b, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->a.view_offset);
    iso_launch_u32(out, p->a.row_stride);
    iso_launch_u32(out, p->b.view_offset);
    iso_launch_u32(out, p->b.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
