// SPDX-License-Identifier: MIT
//
// Failures of driver calls: names of CUresult, the iso_status each means, and the latch of a lost device.
// Some errors stay with their context: every later call in it gives the same again, whatever it is about. The
// first text is kept, because it alone says what happened.
#include <stdio.h>

#include "backends/cuda/cuda.h"

static const struct {
    CUresult code;
    const char *name;
    iso_status status;
} errors[] = {
#define ISO_CUDA_ERROR(name, code, status) {code, #name, status},
#include "backends/cuda/errors.def"
#undef ISO_CUDA_ERROR
};

enum { ERROR_COUNT = sizeof errors / sizeof errors[0] };

const char *iso_cuda_result_name(CUresult result)
{
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == result)
            return errors[i].name;
    return "an unlisted CUresult";
}

iso_status iso_cuda_status(CUresult result, iso_status otherwise)
{
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == result && errors[i].status != ISO_OK)
            return errors[i].status;
    return otherwise;
}

iso_status iso_cuda_fail(CUresult result, iso_status otherwise, const char *subject, const char *call)
{
    return iso_fail(iso_cuda_status(result, otherwise), "%s: %s failed: %s (%d)", subject, call,
                    iso_cuda_result_name(result), result);
}

iso_status iso_cuda_device_fail(iso_cuda_device *device, CUresult result, iso_status otherwise,
                                const char *subject, const char *call)
{
    if (iso_cuda_status(result, otherwise) == ISO_DEVICE_LOST)
        return iso_cuda_lose(device, result, subject, call);
    return iso_cuda_fail(result, otherwise, subject, call);
}

iso_status iso_cuda_lose(iso_cuda_device *device, CUresult result, const char *subject, const char *call)
{
    if (!device->lost) {
        char work[256];
        iso_cuda_list_describe(device->latest, work, sizeof work);
        snprintf(device->lost_text, sizeof device->lost_text,
                 "%s is lost: %.160s: %s failed: %s (%d), after %s; restart the program (opening the device "
                 "again may do)",
                 device->name, subject, call, iso_cuda_result_name(result), result, work);
        device->lost = true;
    }
    return iso_cuda_check_alive(device);
}

iso_status iso_cuda_check_alive(const iso_cuda_device *device)
{
    return device->lost ? iso_fail(ISO_DEVICE_LOST, "%s", device->lost_text) : ISO_OK;
}
