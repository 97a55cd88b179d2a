// SPDX-License-Identifier: MIT
//
// Gate of an MLP: when the portable kernel fits, and how it is launched (one group of 64 for 1024 elements of
// a row).
#include "kernels/functions.h"
#include "kernels/silu_mul/op.h"

enum { GROUP_ELEMS = 1024 };

bool iso_silu_mul_portable_supports(const iso_kernel *kernel, const void *params,
                                    const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_silu_mul *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->gate, NULL, &p->y}, reason) &&
           iso_words_addressable(&p->up, "up", reason);
}

void iso_silu_mul_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_silu_mul *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->y);
    out->groups[0] = iso_div_up(width, GROUP_ELEMS);
    out->groups[1] = rows;
    out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->gate, NULL);
    iso_launch_tensor(out, &p->up, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->gate.view_offset);
    iso_launch_u32(out, p->gate.row_stride);
    iso_launch_u32(out, p->up.view_offset);
    iso_launch_u32(out, p->up.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
