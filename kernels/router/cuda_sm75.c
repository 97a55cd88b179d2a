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
    return iso_tuned_cuda_at_least(device, 75, reason) &&
           iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->logits, NULL, NULL}, reason);
}

void iso_router_cuda_sm75_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_router *p = params;
    iso_router_portable_launch(kernel, params, out); // whose arguments these are
    out->groups[0] = iso_div_up(p->logits.dims[0], kernel->group_size / 32);
}
