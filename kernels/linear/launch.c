// SPDX-License-Identifier: MIT
//
// Linear layer: when the portable kernel fits, and how it is launched (one group of 64 for 64 features of 8
// rows).
#include "kernels/functions.h"
#include "kernels/linear/op.h"

enum { TILE_ROWS = 8, TILE_FEATURES = 64 };

bool iso_linear_portable_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                  char reason[ISO_REASON_BYTES])
{
    const iso_linear *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y}, reason);
}

void iso_linear_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_linear *p = params;
    static const uint32_t bias_kinds[ISO_DTYPE_COUNT] = {
        [ISO_DTYPE_F32] = 1, [ISO_DTYPE_F16] = 2, [ISO_DTYPE_BF16] = 3}; // as in linear.k; 0: none
    uint32_t rows = iso_tensor_rows(&p->x), features = iso_tensor_width(&p->y);
    out->groups[0] = iso_div_up(features, TILE_FEATURES);
    out->groups[1] = iso_div_up(rows, TILE_ROWS);
    out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->x_scale, &p->x);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_tensor(out, &p->bias, &p->weight);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, features);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, iso_tensor_width(&p->weight) * (uint32_t)iso_dtype_bytes(p->weight.dtype) / 4);
    iso_launch_u32(out, bias_kinds[p->bias.dtype]);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
