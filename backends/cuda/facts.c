// SPDX-License-Identifier: MIT
//
// What one CUDA device says of itself, turned into iso_device_info: a table of queries, and the reasons for
// not using a device.
#include <stdio.h>

#include "backends/cuda/cuda.h"

// Every device of capability 7.5 and above takes 4096 bytes of kernel parameters, or more where the code
// asks.
#define ARGUMENT_BYTES 4096
// cuMemAlloc and pools align to at least this (CUDA C++ Programming Guide, "Device Memory Accesses").
#define ALIGNMENT_BYTES 256

typedef struct device_facts {
    int max_threads, max_block_x, shared_bytes, warp_size, multiprocessors, compute_mode, major, minor, pools;
    int max_grid_x, max_grid_y, max_grid_z;
} device_facts;

#define FACT(attribute, field)                                                                               \
    {                                                                                                        \
        CU_DEVICE_ATTRIBUTE_##attribute, offsetof(device_facts, field), #attribute                           \
    }
static const struct {
    int attribute;
    size_t offset;
    const char *name;
} queries[] = {
    FACT(COMPUTE_CAPABILITY_MAJOR, major),
    FACT(COMPUTE_CAPABILITY_MINOR, minor),
    FACT(MAX_THREADS_PER_BLOCK, max_threads),
    FACT(MAX_BLOCK_DIM_X, max_block_x),
    FACT(MAX_SHARED_MEMORY_PER_BLOCK, shared_bytes),
    FACT(WARP_SIZE, warp_size),
    FACT(MULTIPROCESSOR_COUNT, multiprocessors),
    FACT(COMPUTE_MODE, compute_mode),
    FACT(MAX_GRID_DIM_X, max_grid_x),
    FACT(MAX_GRID_DIM_Y, max_grid_y),
    FACT(MAX_GRID_DIM_Z, max_grid_z),
    FACT(MEMORY_POOLS_SUPPORTED, pools),
};

static iso_status get_facts(const iso_cuda_driver *driver, iso_cuda_entry *entry, device_facts *facts)
{
    iso_device_info *info = &entry->info;
    size_t bytes = 0;
    CUresult result = driver->api.cuDeviceGetName(info->name, sizeof info->name, entry->device);
    if (result != CUDA_SUCCESS)
        return iso_cuda_fail(result, ISO_UNAVAILABLE, "device", "cuDeviceGetName");
    result = driver->api.cuDeviceTotalMem(&bytes, entry->device);
    if (result != CUDA_SUCCESS)
        return iso_cuda_fail(result, ISO_UNAVAILABLE, info->name, "cuDeviceTotalMem");
    info->memory_bytes = bytes;
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        int *field = (int *)((char *)facts + queries[i].offset);
        char call[96];
        snprintf(call, sizeof call, "cuDeviceGetAttribute of %s", queries[i].name);
        result = driver->api.cuDeviceGetAttribute(field, queries[i].attribute, entry->device);
        if (result != CUDA_SUCCESS)
            return iso_cuda_fail(result, ISO_UNAVAILABLE, info->name, call);
    }
    return ISO_OK;
}

static void set_reason(iso_device_info *info, const device_facts *facts, int capability)
{
    if (capability < ISO_CUDA_OLDEST)
        snprintf(info->reason, sizeof info->reason,
                 "the device has compute capability %d.%d, at least %d.%d is needed", facts->major,
                 facts->minor, ISO_CUDA_OLDEST / 10, ISO_CUDA_OLDEST % 10);
    else if (facts->compute_mode == CU_COMPUTEMODE_PROHIBITED)
        snprintf(info->reason, sizeof info->reason,
                 "the device's compute mode is 'prohibited'; set it by nvidia-smi --compute-mode=DEFAULT");
    info->available = info->reason[0] == '\0';
}

iso_status iso_cuda_find_entry(const iso_cuda_driver *driver, uint32_t ordinal,
                               const iso_cuda_entry **out_entry)
{
    if (ordinal >= driver->entry_count)
        return iso_fail(ISO_NOT_FOUND, "there are %u CUDA devices, %u is not among them", driver->entry_count,
                        ordinal);
    *out_entry = &driver->entries[ordinal];
    return ISO_OK;
}

static void set_formats(const iso_cuda_driver *driver, iso_cuda_entry *entry)
{
    iso_device_info *info = &entry->info;
    const iso_nvrtc *nvrtc = &driver->nvrtc;
    int major = driver->version / 1000, minor = driver->version % 1000 / 10, count = 0;
    if (iso_nvrtc_knows(nvrtc, entry->capability)) {
        info->code_versions[count] = (uint32_t)(nvrtc->major * 1000 + nvrtc->minor * 10);
        info->code_formats[count++] = ISO_CODE_CUDA_C;
        snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, NVRTC %d.%d", major, minor, nvrtc->major,
                 nvrtc->minor);
    } else if (nvrtc->found) {
        snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, NVRTC %d.%d not used: it does not know %s",
                 major, minor, nvrtc->major, nvrtc->minor, info->arch);
    } else {
        snprintf(info->driver, sizeof info->driver, "CUDA %d.%d, without NVRTC: %.80s", major, minor,
                 nvrtc->reason);
    }
    info->code_versions[count] = info->code_versions[count + 1] = (uint32_t)driver->version;
    info->code_formats[count++] = ISO_CODE_CUBIN;
    info->code_formats[count++] = ISO_CODE_PTX;
}

static void set_info(const iso_cuda_driver *driver, iso_cuda_entry *entry, const device_facts *facts)
{
    iso_device_info *info = &entry->info;
    const int group_size = facts->max_threads < facts->max_block_x ? facts->max_threads : facts->max_block_x;
    entry->capability = facts->major * 10 + facts->minor;
    entry->has_pools = facts->pools != 0;
    snprintf(info->arch, sizeof info->arch, "sm_%d", entry->capability);
    set_reason(info, facts, entry->capability);
    info->max_allocation_bytes = info->memory_bytes;
    info->buffer_alignment_bytes = ALIGNMENT_BYTES;
    info->max_group_size = (uint32_t)group_size;
    info->max_groups[0] = (uint32_t)facts->max_grid_x;
    info->max_groups[1] = (uint32_t)facts->max_grid_y;
    info->max_groups[2] = (uint32_t)facts->max_grid_z;
    info->local_memory_bytes = (uint32_t)facts->shared_bytes;
    info->subgroup_size = (uint32_t)facts->warp_size;
    info->compute_units = (uint32_t)facts->multiprocessors;
    info->max_argument_bytes = ARGUMENT_BYTES;
    // Every device from ISO_CUDA_OLDEST on has all of these.
    info->features = ISO_FEATURE_F16 | ISO_FEATURE_F64 | ISO_FEATURE_INT64 | ISO_FEATURE_STORAGE_8_16 |
                     ISO_FEATURE_SUBGROUPS;
    set_formats(driver, entry);
}

void iso_cuda_describe(const iso_cuda_driver *driver, int ordinal, iso_cuda_entry *entry)
{
    device_facts facts = {0};
    iso_device_info *info = &entry->info;
    CUresult result = driver->api.cuDeviceGet(&entry->device, ordinal);
    iso_status status = result == CUDA_SUCCESS
                            ? get_facts(driver, entry, &facts)
                            : iso_cuda_fail(result, ISO_UNAVAILABLE, "device", "cuDeviceGet");
    if (status == ISO_OK) {
        set_info(driver, entry, &facts);
        return;
    }
    if (info->name[0] == '\0')
        snprintf(info->name, sizeof info->name, "unknown");
    snprintf(info->reason, sizeof info->reason, "%.200s", iso_status_last()->text);
}
