// SPDX-License-Identifier: MIT
//
// Quantisation to FP8: when the portable kernel fits, and how it is launched (one group of 64 for two blocks
// of a row).
#include "kernels/functions.h"
#include "kernels/quantize_activation/op.h"

bool iso_quantize_activation_portable_supports(const iso_kernel *kernel, const void *params,
                                               const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_quantize_activation *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, NULL, &p->q}, reason);
}

void iso_quantize_activation_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_quantize_activation *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    out->groups[0] = iso_div_up(width, 2 * ISO_FP8_BLOCK);
    out->groups[1] = rows;
    out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->q, NULL);
    iso_launch_tensor(out, &p->scale, NULL);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, iso_tensor_width(&p->scale));
}
