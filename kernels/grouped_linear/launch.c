// SPDX-License-Identifier: MIT
//
// Grouped linear layer: when the portable kernel fits, and how it is launched (one group of 64 for 64
// features of one tile; there is room for one tile a row, and groups of unused tiles end at once).
#include "kernels/functions.h"
#include "kernels/grouped_linear/op.h"

enum { TILE_FEATURES = 64 };

bool iso_grouped_linear_portable_supports(const iso_kernel *kernel, const void *params,
                                          const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_grouped_linear *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y}, reason);
}

void iso_grouped_linear_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_grouped_linear *p = params;
    uint32_t tiles = iso_tensor_rows(&p->tiles), features = iso_tensor_width(&p->y);
    out->groups[0] = iso_div_up(features, TILE_FEATURES);
    out->groups[1] = tiles;
    out->groups[2] = 1;
    iso_launch_u32(out, tiles);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->x_scale, &p->x);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_tensor(out, &p->row, NULL);
    iso_launch_tensor(out, &p->tiles, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, features);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, iso_tensor_width(&p->weight) * (uint32_t)iso_dtype_bytes(p->weight.dtype) / 4);
    iso_launch_u32(out, p->rows_per_token);
}
