// SPDX-License-Identifier: MIT
//
// Linear layer on tensor cores: when the kernels tuned for sm_80 fit, and how they are launched. The tile is
// chosen by the number of rows; every choice gives the same bits (cuda_sm80.cu).
#include "kernels/functions.h"
#include "kernels/linear/op.h"
#include "kernels/tuned_cuda.h"

ISO_TUNED_PLAN(iso_linear_cuda_sm80)

enum { WIDE_FEATURES = 64, NARROW_FEATURES = 16 };

// Rows of one group, from the number of rows of the call. The largest is MATMUL_WIDE_ROWS of cuda_matmul.kh.
static uint32_t group_rows(const iso_kernel *kernel, uint32_t rows)
{
    return rows <= 8 ? 8 : rows <= 16 ? 16 : kernel->dtypes[1] == ISO_DTYPE_F8_E4M3 ? 32 : 64;
}

bool iso_linear_cuda_sm80_supports(const iso_kernel *kernel, const void *params,
                                   const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_linear *p = params;
    return iso_tuned_cuda_matmul_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y},
                                      reason);
}

void iso_linear_cuda_sm80_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_linear *p = params;
    static const uint32_t bias_kinds[ISO_DTYPE_COUNT] = {
        [ISO_DTYPE_F32] = 1, [ISO_DTYPE_F16] = 2, [ISO_DTYPE_BF16] = 3}; // as in cuda_matmul.kh; 0: none
    uint32_t rows = iso_tensor_rows(&p->x), features = iso_tensor_width(&p->y),
             tile = group_rows(kernel, rows);
    // Groups of the same features run side by side and share the weight in the second level cache.
    out->groups[0] = iso_div_up(rows, tile);
    out->groups[1] = iso_div_up(features, tile > 16 ? WIDE_FEATURES : NARROW_FEATURES);
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
    iso_launch_u32(out, bias_kinds[p->bias.dtype]);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_u32(out, tile);
}
