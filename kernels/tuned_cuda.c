// SPDX-License-Identifier: MIT
//
// What the launch plans of kernels tuned for CUDA share.
#include "kernels/tuned_cuda.h"

#include <stdlib.h>
#include <string.h>

bool iso_tuned_cuda_at_least(const iso_device_info *device, uint32_t sm, char reason[ISO_REASON_BYTES])
{
    if (strcmp(device->backend, "cuda") != 0)
        return iso_refuse(reason, "tuned for cuda devices of sm_%u and later; this is a device of %s", sm,
                          device->backend[0] ? device->backend : "no backend");
    unsigned long arch = strncmp(device->arch, "sm_", 3) == 0 ? strtoul(device->arch + 3, NULL, 10) : 0;
    if (arch < sm)
        return iso_refuse(reason, "tuned for sm_%u and later; the device is %s", sm,
                          device->arch[0] ? device->arch : "of unknown architecture");
    return true;
}

bool iso_rows_of_16_bytes(const iso_tensor *tensor, const char *name, char reason[ISO_REASON_BYTES])
{
    uint32_t bytes = (uint32_t)iso_dtype_bytes(tensor->dtype), each = 16 / bytes;
    uint32_t width = iso_tensor_width(tensor);
    if (width % each || tensor->row_stride % each || tensor->view_offset % each)
        return iso_refuse(
            reason, "%s: width %u, stride %u, offset %u of %s must be multiples of %u for 16-byte copies",
            name, width, tensor->row_stride, tensor->view_offset, iso_dtype_name(tensor->dtype), each);
    return true;
}

bool iso_tuned_cuda_matmul_fits(const iso_kernel *kernel, const iso_device_info *device,
                                const iso_tensor *const xwy[3], char reason[ISO_REASON_BYTES])
{
    return iso_tuned_cuda_at_least(device, 80, reason) && iso_portable_fits(kernel, device, xwy, reason) &&
           iso_rows_of_16_bytes(xwy[0], "x", reason) && iso_rows_of_16_bytes(xwy[1], "weight", reason);
}
