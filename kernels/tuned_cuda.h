// SPDX-License-Identifier: MIT
//
// What the launch plans of kernels tuned for CUDA share: whether a device is one that they run on, and
// whether copies of 16 bytes reach a tensor's rows. Knows no op.
#ifndef ISOMER_KERNELS_TUNED_CUDA_H
#define ISOMER_KERNELS_TUNED_CUDA_H

#include "kernels/kernel.h"

// Whether the device is a CUDA one whose architecture (iso_device_info.arch, "sm_90" or "sm_90a") is `sm`, as
// 80 for sm_80, or later.
bool iso_tuned_cuda_at_least(const iso_device_info *device, uint32_t sm, char reason[ISO_REASON_BYTES]);

// Whether every row of the tensor begins at a multiple of 16 bytes and is a multiple of 16 bytes wide, as
// 16-byte copies want it, given that the storage begins at one (buffer_alignment_bytes is that much or more).
bool iso_rows_of_16_bytes(const iso_tensor *tensor, const char *name, char reason[ISO_REASON_BYTES]);

// Whether the tile of dialect/cuda_matmul.kh, from sm_80 on, can compute y of these x and weight.
bool iso_tuned_cuda_matmul_fits(const iso_kernel *kernel, const iso_device_info *device,
                                const iso_tensor *const xwy[3], char reason[ISO_REASON_BYTES]);

#endif
