// SPDX-License-Identifier: MIT
//
// Gather: when the portable kernel fits, and how it is launched (one group for 1024 elements of a row).
#include "kernels/functions.h"
#include "kernels/gather/op.h"

bool iso_gather_portable_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                  char reason[ISO_REASON_BYTES])
{
    const iso_gather *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){NULL, &p->table, &p->y}, reason) &&
           iso_words_addressable(&p->table, "table", reason);
}

void iso_gather_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_gather *p = params;
    uint32_t rows = p->index.dims[0];
    out->groups[0] = rows;
    out->groups[1] = iso_div_up(iso_tensor_width(&p->y), 1024);
    out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->table, NULL);
    iso_launch_tensor(out, &p->index, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->table.dims[0]);
    iso_launch_u32(out, iso_tensor_width(&p->y));
    iso_launch_u32(out, p->table.view_offset);
    iso_launch_u32(out, p->table.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
