// SPDX-License-Identifier: MIT
//
// Router on CUDA: when the kernel for warps fits, and how it is launched (a warp a token).
#include "kernels/functions.h"
#include "kernels/router/op.h"
#include "kernels/tuned_cuda.h"

ISO_TUNED_PLAN(iso_router_cuda_sm75)

bool iso_router_cuda_sm75_supports(const iso_kernel *kernel, const void *params,
                                   const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_router *p = params;
    return iso_cuda_at_least(device, 75, reason) &&
           iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->logits, NULL, NULL}, reason);
}

void iso_router_cuda_sm75_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_router *p = params;
    out->groups[0] = iso_div_up(p->logits.dims[0], kernel->group_size / 32);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, p->logits.dims[0]);
    iso_launch_tensor(out, &p->logits, NULL);
    iso_launch_tensor(out, &p->bias, &p->logits);
    iso_launch_tensor(out, &p->forced, &p->logits);
    iso_launch_tensor(out, &p->index, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_u32(out, p->logits.dims[1]);
    iso_launch_u32(out, p->index.dims[1]);
    iso_launch_u32(out, iso_tensor_present(&p->bias));
    iso_launch_u32(out, iso_tensor_present(&p->forced));
    iso_launch_u32(out, p->sigmoid);
    iso_launch_u32(out, p->group_count);
    iso_launch_u32(out, p->group_keep);
    iso_launch_u32(out, p->group_top2);
    iso_launch_u32(out, p->normalise);
    iso_launch_f32(out, p->scaling);
}
