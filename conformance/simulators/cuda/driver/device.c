// SPDX-License-Identifier: MIT
//
// What devices say of themselves: the chips of chips.def, each with a name that cannot be taken for a GPU's.
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

static size_t chip(const sim_device *device)
{
    size_t i = 0;
    while (i + 1 < CHIP_COUNT && chips[i].arch != device->arch)
        i++;
    return i;
}

sim_device *sim_device_at(CUdevice device)
{
    return device >= 0 && (uint32_t)device < sim.device_count ? &sim.devices[device] : NULL;
}

int sim_attribute(const sim_device *device, CUdevice_attribute attribute, bool *out_known)
{
    *out_known = (int)attribute > 0 && (int)attribute <= ATTRIBUTE_LAST;
    for (uint32_t i = 0; i < sim.changed_count; i++)
        if (sim.changed[i].attribute == (int)attribute &&
            (sim.changed[i].device < 0 || sim.changed[i].device == device->ordinal))
            return sim.changed[i].value;
    if (attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)
        return device->ordinal + 1;
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
        if (attributes[i].attribute == attribute)
            return attributes[i].values[chip(device)];
    return 0;
}

uint64_t sim_total_bytes(const sim_device *device)
{
    return device->memory_limit ? device->memory_limit : chips[chip(device)].total_bytes;
}

uint64_t sim_left_bytes(const sim_device *device)
{
    uint64_t total = sim_total_bytes(device);
    return device->used_bytes < total ? total - device->used_bytes : 0;
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
    if (!sim_device_at(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult sim_device_count(int *count)
{
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = (int)sim.device_count;
    return CUDA_SUCCESS;
}

CUresult sim_device_name(char *name, int length, CUdevice device)
{
    if (!name || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)length, "%s", chips[chip(found)].name);
    return CUDA_SUCCESS;
}

CUresult sim_device_uuid(CUuuid *uuid, CUdevice device)
{
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid, 0, sizeof *uuid);
    snprintf(uuid->bytes, sizeof uuid->bytes, "simulated sm_%u", found->arch);
    uuid->bytes[sizeof uuid->bytes - 1] = (char)device;
    return CUDA_SUCCESS;
}

CUresult sim_device_total(size_t *bytes, CUdevice device)
{
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    *bytes = sim_total_bytes(found);
    return CUDA_SUCCESS;
}

CUresult sim_device_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    bool known = false;
    const sim_device *found = sim_device_at(device);
    int answer = found ? sim_attribute(found, attribute, &known) : 0;
    if (!value || (found && !known))
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    *value = answer;
    return CUDA_SUCCESS;
}

CUresult sim_device_capability(int *major, int *minor, CUdevice device)
{
    const sim_device *found = sim_device_at(device);
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    bool known;
    *major = sim_attribute(found, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &known);
    *minor = sim_attribute(found, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &known);
    return CUDA_SUCCESS;
}

// ---- on the bus ----

#define BUS_ID_BYTES 13 // "0000:01:00.0" with its zero

static void write_bus_id(const sim_device *device, char out[BUS_ID_BYTES])
{
    bool known;
    unsigned bus = (unsigned)sim_attribute(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, &known);
    snprintf(out, BUS_ID_BYTES, "0000:%02x:00.0", bus & 0xff);
}

CUresult sim_device_bus_id(char *text, int bytes, CUdevice device)
{
    char id[BUS_ID_BYTES];
    const sim_device *found = sim_device_at(device);
    if (!text || bytes <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    write_bus_id(found, id);
    snprintf(text, (size_t)bytes, "%s", id);
    return CUDA_SUCCESS;
}

// With or without the domain in front and the function behind, as programs write it.
CUresult sim_device_by_bus_id(CUdevice *device, const char *text)
{
    char id[BUS_ID_BYTES];
    if (!device || !text)
        return CUDA_ERROR_INVALID_VALUE;
    size_t length = strnlen(text, BUS_ID_BYTES);
    for (uint32_t i = 0; i < sim.device_count; i++) {
        write_bus_id(&sim.devices[i], id);
        const char *at = length < strlen("0000:01:00") ? id + strlen("0000:") : id;
        if (length >= strlen("01:00") && strncmp(at, text, length) == 0) {
            *device = (CUdevice)i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}
