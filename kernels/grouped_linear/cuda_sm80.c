// SPDX-License-Identifier: MIT
//
// Grouped linear layer on tensor cores: when the kernels tuned for sm_80 fit, and how they are launched: a
// group for each of the router's tiles that there may be, and 16 features or 64.
#include "kernels/functions.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/tuned_cuda.h"

ISO_TUNED_PLAN(iso_grouped_linear_cuda_sm80)

enum { WIDE_FEATURES = 64, NARROW_FEATURES = 16, WIDE_FROM = 16 };

// Rows of one group. Wide tiles (MATMUL_WIDE_ROWS of cuda_matmul.kh) from as many rows an expert, on average,
// as the counts in README.md show them to take less of every unit.
static uint32_t group_rows(const iso_kernel *kernel, uint32_t rows, uint32_t experts)
{
    return rows / experts < WIDE_FROM ? 8 : kernel->dtypes[1] == ISO_DTYPE_F8_E4M3 ? 32 : 64;
}

bool iso_grouped_linear_cuda_sm80_supports(const iso_kernel *kernel, const void *params,
                                           const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_grouped_linear *p = params;
    return iso_tuned_cuda_matmul_fits(kernel, device, (const iso_tensor *const[3]){&p->x, &p->weight, &p->y},
                                      reason);
}

void iso_grouped_linear_cuda_sm80_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_grouped_linear *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), experts = p->weight.dims[0], features = iso_tensor_width(&p->y),
             tile = group_rows(kernel, rows, experts);
    // At most: one for the first row of each expert that has any, and one for each 8 rows more of it.
    uint32_t used = rows < experts ? rows : experts, tiles = used + (rows - used) / 8;
    out->groups[0] =
        tiles; // those of one expert side by side: they share its matrix in the second level cache
    out->groups[1] = iso_div_up(features, tile > 8 ? WIDE_FEATURES : NARROW_FEATURES);
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
    iso_launch_u32(out, tile);
}
