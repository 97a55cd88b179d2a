// SPDX-License-Identifier: MIT
//
// Grouped linear layer on tensor cores: when the kernels tuned for sm_80 fit, and how they are launched: a
// group for 16 features of each tile that there may be.
#include "kernels/functions.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/tuned_cuda.h"

ISO_TUNED_PLAN(iso_grouped_linear_cuda_sm80)

enum { TILE_FEATURES = 16 };

bool iso_grouped_linear_cuda_sm80_supports(const iso_kernel *kernel, const void *params,
                                           const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_grouped_linear *p = params;
    return iso_cuda_matmul_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y},
                                reason);
}

void iso_grouped_linear_cuda_sm80_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_grouped_linear *p = params;
    uint32_t tiles = iso_tensor_rows(&p->tiles), features = iso_tensor_width(&p->y);
    out->groups[0] =
        tiles; // those of one expert side by side: they share its matrix in the second level cache
    out->groups[1] = iso_div_up(features, TILE_FEATURES);
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
    iso_launch_u32(out, p->rows_per_token);
}
