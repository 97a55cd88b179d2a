// SPDX-License-Identifier: MIT
//
// RMSNorm on CUDA: when the kernel for warps fits, and how it is launched (a warp a row up to NARROW
// elements, which a warp holds in registers; a group a row beyond).
#include "kernels/functions.h"
#include "kernels/rms_norm/op.h"
#include "kernels/tuned_cuda.h"

#define NARROW 1024u

ISO_TUNED_PLAN(iso_rms_norm_cuda_sm75)

bool iso_rms_norm_cuda_sm75_supports(const iso_kernel *kernel, const void *params,
                                     const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_rms_norm *p = params;
    return iso_tuned_cuda_at_least(device, 75, reason) &&
           iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y}, reason);
}

static bool rows_are_aligned(const iso_tensor *tensor)
{
    uint32_t each = 16 / (uint32_t)iso_dtype_bytes(tensor->dtype);
    return tensor->row_stride % each == 0 && tensor->view_offset % each == 0;
}

void iso_rms_norm_cuda_sm75_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_rms_norm *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    uint32_t lanes = width <= NARROW ? 32 : kernel->group_size;
    out->groups[0] = iso_div_up(rows, kernel->group_size / lanes);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, rows);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->x.view_offset);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->eps);
    iso_launch_u32(out, lanes);
    iso_launch_u32(out, rows_are_aligned(&p->x) && rows_are_aligned(&p->y));
}
