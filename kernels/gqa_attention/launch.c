// SPDX-License-Identifier: MIT
//
// GQA: when the portable kernel fits, and how it is launched (one group a token and head).
#include "kernels/functions.h"
#include "kernels/gqa_attention/op.h"

bool iso_gqa_attention_portable_supports(const iso_kernel *kernel, const void *params,
                                         const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_gqa_attention *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->q, NULL, &p->y}, reason) &&
           iso_words_addressable(&p->k_cache, "k_cache", reason) &&
           iso_words_addressable(&p->v_cache, "v_cache", reason);
}

void iso_gqa_attention_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_gqa_attention *p = params;
    out->groups[0] = p->q.dims[0];
    out->groups[1] = p->q.dims[1];
    out->groups[2] = 1;
    iso_launch_u32(out, p->q.dims[0]);
    iso_launch_tensor(out, &p->q, NULL);
    iso_launch_tensor(out, &p->k_cache, NULL);
    iso_launch_tensor(out, &p->v_cache, NULL);
    iso_launch_tensor(out, &p->block_table, NULL);
    iso_launch_tensor(out, &p->positions, NULL);
    iso_launch_tensor(out, &p->sequence, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->q.dims[1]);
    iso_launch_u32(out, p->k_cache.dims[2]);
    iso_launch_u32(out, p->q.dims[2]);
    iso_launch_u32(out, p->block_table.dims[1]);
    iso_launch_u32(out, p->q.view_offset);
    iso_launch_u32(out, p->q.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}
