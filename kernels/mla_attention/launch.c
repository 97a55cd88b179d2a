// SPDX-License-Identifier: MIT
//
// MLA: when the portable kernel fits, and how it is launched (one group a token and head).
#include "kernels/functions.h"
#include "kernels/mla_attention/op.h"

bool iso_mla_attention_portable_supports(const iso_kernel *kernel, const void *params,
                                         const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_mla_attention *p = params;
    return iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->q_latent, NULL, &p->y},
                             reason) &&
           iso_words_addressable(&p->q_rope, "q_rope", reason) &&
           iso_words_addressable(&p->cache, "cache", reason);
}

void iso_mla_attention_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_mla_attention *p = params;
    out->groups[0] = p->q_latent.dims[0];
    out->groups[1] = p->q_latent.dims[1];
    out->groups[2] = 1;
    iso_launch_u32(out, p->q_latent.dims[0]);
    iso_launch_tensor(out, &p->q_latent, NULL);
    iso_launch_tensor(out, &p->q_rope, NULL);
    iso_launch_tensor(out, &p->cache, NULL);
    iso_launch_tensor(out, &p->block_table, NULL);
    iso_launch_tensor(out, &p->positions, NULL);
    iso_launch_tensor(out, &p->sequence, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->q_latent.dims[1]);
    iso_launch_u32(out, p->q_latent.dims[2]);
    iso_launch_u32(out, p->q_rope.dims[2]);
    iso_launch_u32(out, p->block_table.dims[1]);
    iso_launch_u32(out, p->q_latent.view_offset);
    iso_launch_u32(out, p->q_latent.row_stride);
    iso_launch_u32(out, p->q_rope.view_offset);
    iso_launch_u32(out, p->q_rope.row_stride);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}
