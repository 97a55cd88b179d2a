// SPDX-License-Identifier: MIT
//
// KV write: when the portable kernel fits, and how it is launched (one group for 1024 words of a token).
#include "kernels/functions.h"
#include "kernels/kv_write/op.h"

bool iso_kv_write_portable_supports(const iso_kernel *kernel, const void *params,
                                    const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_kv_write *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->x, NULL, &p->cache}, reason);
}

void iso_kv_write_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_kv_write *p = params;
    uint32_t per_word = 4 / (uint32_t)iso_dtype_bytes(p->x.dtype);
    uint32_t words = p->x.dims[1] * p->x.dims[2] * p->x.dims[3] / per_word;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = iso_div_up(words, 1024);
    out->groups[2] = 1;
    iso_launch_u32(out, p->x.dims[0]);
    iso_launch_tensor(out, &p->x, NULL);
    iso_launch_tensor(out, &p->slots, NULL);
    iso_launch_tensor(out, &p->cache, NULL);
    iso_launch_u32(out, words);
    iso_launch_u32(out, p->x.view_offset / per_word);
    iso_launch_u32(out, p->x.rank == 2 ? p->x.row_stride / per_word : words);
}
