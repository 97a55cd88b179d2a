// SPDX-License-Identifier: MIT
//
// Linear layer of each head: when the portable kernel fits, and how it is launched (one group of 64 for 64
// features of 8 tokens of one head).
#include "kernels/functions.h"
#include "kernels/head_linear/op.h"

enum { TILE_ROWS = 8, TILE_FEATURES = 64 };

bool iso_head_linear_portable_supports(const iso_kernel *kernel, const void *params,
                                       const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_head_linear *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y}, reason);
}

void iso_head_linear_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_head_linear *p = params;
    uint32_t tokens = p->x.dims[0], heads = p->x.dims[1], features = iso_tensor_width(&p->y);
    out->groups[0] = iso_div_up(features, TILE_FEATURES);
    out->groups[1] = iso_div_up(tokens, TILE_ROWS);
    out->groups[2] = heads;
    iso_launch_u32(out, tokens);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, heads);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, features);
    iso_launch_u32(out, iso_tensor_width(&p->weight));
    iso_launch_u32(out, p->head_rows);
    iso_launch_u32(out, p->row_offset);
    iso_launch_u32(out, p->transposed);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
