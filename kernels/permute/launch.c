// SPDX-License-Identifier: MIT
//
// Permute: when the portable kernel fits, and how it is launched (one group of 256; count is T * k).
#include "kernels/functions.h"
#include "kernels/permute/op.h"

bool iso_permute_portable_supports(const iso_kernel *kernel, const void *params,
                                   const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    (void)params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){NULL, NULL, NULL}, reason);
}

void iso_permute_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_permute *p = params;
    out->groups[0] = out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, (uint32_t)iso_tensor_elems(&p->index));
    iso_launch_tensor(out, &p->index, NULL);
    iso_launch_tensor(out, &p->row, NULL);
    iso_launch_tensor(out, &p->slot, NULL);
    iso_launch_tensor(out, &p->tiles, NULL);
    iso_launch_u32(out, p->expert_count);
}
