// SPDX-License-Identifier: MIT
//
// Grouped linear layer on tensor cores that multiply E4M3: launched as the kernels of sm_80 are.
#include "kernels/functions.h"
#include "kernels/tuned_cuda.h"

ISO_TUNED_PLAN(iso_grouped_linear_cuda_sm80)
ISO_TUNED_PLAN(iso_grouped_linear_cuda_sm89)

bool iso_grouped_linear_cuda_sm89_supports(const iso_kernel *kernel, const void *params,
                                           const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    return iso_tuned_cuda_at_least(device, 89, reason) &&
           iso_grouped_linear_cuda_sm80_supports(kernel, params, device, reason);
}

void iso_grouped_linear_cuda_sm89_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    iso_grouped_linear_cuda_sm80_launch(kernel, params, out);
}
