// SPDX-License-Identifier: MIT
//
// What the device says of itself: the chips of chips.def, each with a name that cannot be taken for a GPU's.
#include "calls.h"

#include <stdio.h>

static const struct {
    uint32_t arch;
    const char *name;
    uint64_t total_bytes;
} chips[] = {
    {75, "Tesla T4 (simulated sm_75)", 15655829504ull},
    {80, "NVIDIA A100-SXM4-80GB (simulated sm_80)", 84987740160ull},
    {89, "NVIDIA L4 (simulated sm_89)", 23659151360ull},
    {90, "NVIDIA H100 80GB HBM3 (simulated sm_90)", 84942979072ull},
};

static const struct {
    CUdevice_attribute attribute;
    int values[4];
} attributes[] = {
#define SIM_ATTRIBUTE(name, value, sm_75, sm_80, sm_89, sm_90)                                               \
    {CU_DEVICE_ATTRIBUTE_##name, {sm_75, sm_80, sm_89, sm_90}},
#include "chips.def"
#undef SIM_ATTRIBUTE
};

#define CHIP_COUNT      (sizeof chips / sizeof chips[0])
#define ATTRIBUTE_COUNT (sizeof attributes / sizeof attributes[0])
#define ATTRIBUTE_LAST  147 // of interface version 13.0: those not in the table are 0

static size_t chip(void)
{
    size_t i = 0;
    while (i + 1 < CHIP_COUNT && chips[i].arch != sim.arch)
        i++;
    return i;
}

int sim_attribute(CUdevice_attribute attribute, bool *out_known)
{
    *out_known = (int)attribute > 0 && (int)attribute <= ATTRIBUTE_LAST;
    for (uint32_t i = 0; i < sim.changed_count; i++)
        if (sim.changed[i].attribute == (int)attribute)
            return sim.changed[i].value;
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
        if (attributes[i].attribute == attribute)
            return attributes[i].values[chip()];
    return 0;
}

uint64_t sim_total_bytes(void)
{
    return sim.memory_limit ? sim.memory_limit : chips[chip()].total_bytes;
}

CUresult sim_init(unsigned flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    sim.initialised = true;
    return CUDA_SUCCESS;
}

CUresult sim_version(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = (int)sim.version;
    return CUDA_SUCCESS;
}

CUresult sim_device_get(CUdevice *device, int ordinal)
{
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (ordinal != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult sim_device_count(int *count)
{
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult sim_device_name(char *name, int length, CUdevice device)
{
    if (!name || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)length, "%s", chips[chip()].name);
    return CUDA_SUCCESS;
}

CUresult sim_device_uuid(CUuuid *uuid, CUdevice device)
{
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid, 0, sizeof *uuid);
    snprintf(uuid->bytes, sizeof uuid->bytes, "simulated sm_%u", sim.arch);
    return CUDA_SUCCESS;
}

CUresult sim_device_total(size_t *bytes, CUdevice device)
{
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *bytes = sim_total_bytes();
    return CUDA_SUCCESS;
}

CUresult sim_device_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    bool known;
    int answer = sim_attribute(attribute, &known);
    if (!value || !known)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *value = answer;
    return CUDA_SUCCESS;
}

CUresult sim_device_capability(int *major, int *minor, CUdevice device)
{
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    bool known;
    *major = sim_attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &known);
    *minor = sim_attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &known);
    return CUDA_SUCCESS;
}
