// SPDX-License-Identifier: MIT
//
// Physical devices: which there are, what each can do, and why one cannot be used. Facts are read once, while
// the driver is loaded; limits and features are those of the Vulkan 1.2 core structs.
//
// Drivers are found by the loader in the order of a directory listing, so the devices are sorted here: faster
// kinds first, then by name, and equal ones as the loader gave them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backends/vulkan/vulkan.h"

enum { BUFFER_ALIGNMENT = 16 };

// The properties and features of one device, chained.
typedef struct device_facts {
    VkPhysicalDeviceProperties2 properties;
    VkPhysicalDeviceVulkan11Properties properties11;
    VkPhysicalDeviceVulkan12Properties properties12;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceVulkan11Features features11;
    VkPhysicalDeviceVulkan12Features features12;
} device_facts;

static const struct {
    size_t offset; // of a VkBool32 in device_facts
    const char *name;
} required_features[] = {
    {offsetof(device_facts, features12.bufferDeviceAddress), "bufferDeviceAddress"},
    {offsetof(device_facts, features12.scalarBlockLayout), "scalarBlockLayout"},
    {offsetof(device_facts, features12.timelineSemaphore), "timelineSemaphore"},
};

// An isomer feature needs all of its Vulkan features (VkBool32 in device_facts; unused places repeat the
// first).
static const struct {
    iso_feature feature;
    size_t offsets[4];
} optional_features[] = {
    {ISO_FEATURE_F16, {offsetof(device_facts, features12.shaderFloat16)}},
    {ISO_FEATURE_F64, {offsetof(device_facts, features.features.shaderFloat64)}},
    {ISO_FEATURE_INT64, {offsetof(device_facts, features.features.shaderInt64)}},
    {ISO_FEATURE_STORAGE_8_16,
     {offsetof(device_facts, features12.storageBuffer8BitAccess),
      offsetof(device_facts, features12.shaderInt8),
      offsetof(device_facts, features11.storageBuffer16BitAccess),
      offsetof(device_facts, features.features.shaderInt16)}},
};

// What ISO_FEATURE_SUBGROUPS promises to kernels.
static const VkSubgroupFeatureFlags subgroup_operations =
    VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
    VK_SUBGROUP_FEATURE_BALLOT_BIT;

// Lower is listed earlier.
static int type_rank(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 4;
    default:
        return 3;
    }
}

static bool precedes(const iso_vulkan_physical *a, const iso_vulkan_physical *b)
{
    int rank_a = type_rank(a->type);
    int rank_b = type_rank(b->type);
    return rank_a != rank_b ? rank_a < rank_b : strcasecmp(a->info.name, b->info.name) < 0;
}

// Insertion sort, since it keeps equal devices in the loader's order.
static void sort_devices(iso_vulkan_physical *devices, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        iso_vulkan_physical moving = devices[i];
        uint32_t place = i;
        for (; place > 0 && precedes(&moving, &devices[place - 1]); place--)
            devices[place] = devices[place - 1];
        devices[place] = moving;
    }
}

static VkBool32 fact(const device_facts *facts, size_t offset)
{
    VkBool32 value;
    memcpy(&value, (const char *)facts + offset, sizeof value);
    return value;
}

static uint32_t features_of(const device_facts *facts)
{
    uint32_t features = 0;
    for (size_t i = 0; i < sizeof optional_features / sizeof optional_features[0]; i++) {
        bool all = true;
        for (size_t j = 0; j < 4; j++) {
            size_t offset = optional_features[i].offsets[j];
            all = all && (offset == 0 || fact(facts, offset));
        }
        if (all)
            features |= optional_features[i].feature;
    }
    const VkPhysicalDeviceVulkan11Properties *p = &facts->properties11;
    if ((p->subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0 &&
        (p->subgroupSupportedOperations & subgroup_operations) == subgroup_operations)
        features |= ISO_FEATURE_SUBGROUPS;
    return features;
}

static void fill_memory(iso_vulkan_physical *physical, uint64_t max_allocation)
{
    iso_device_info *info = &physical->info;
    const VkPhysicalDeviceMemoryProperties *memory = &physical->memory;
    for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
        if (memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            info->memory_bytes += memory->memoryHeaps[i].size;
    }
    bool mapped = false;
    uint32_t type = iso_vulkan_device_memory_type(memory, UINT32_MAX, &mapped);
    info->max_allocation_bytes = max_allocation;
    if (type == VK_MAX_MEMORY_TYPES)
        return;
    uint64_t heap = memory->memoryHeaps[memory->memoryTypes[type].heapIndex].size;
    if (heap < max_allocation)
        info->max_allocation_bytes = heap;
    if (mapped && (memory->memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT))
        info->features |= ISO_FEATURE_HOST_VISIBLE;
}

static void fill_limits(iso_vulkan_physical *physical, const device_facts *facts)
{
    iso_device_info *info = &physical->info;
    const VkPhysicalDeviceLimits *limits = &facts->properties.properties.limits;
    const VkPhysicalDeviceVulkan12Properties *p12 = &facts->properties12;
    // Some drivers leave driverInfo empty; the version then comes from driverVersion, in Vulkan's usual
    // packing.
    if (p12->driverInfo[0] != '\0')
        snprintf(info->driver, sizeof info->driver, "%.60s %.60s", p12->driverName, p12->driverInfo);
    else
        snprintf(info->driver, sizeof info->driver, "%.60s %u.%u.%u", p12->driverName,
                 VK_API_VERSION_MAJOR(physical->driver_version),
                 VK_API_VERSION_MINOR(physical->driver_version),
                 VK_API_VERSION_PATCH(physical->driver_version));
    info->features = features_of(facts);
    fill_memory(physical, facts->properties11.maxMemoryAllocationSize);
    info->max_group_size = limits->maxComputeWorkGroupInvocations < limits->maxComputeWorkGroupSize[0]
                               ? limits->maxComputeWorkGroupInvocations
                               : limits->maxComputeWorkGroupSize[0];
    info->local_memory_bytes = limits->maxComputeSharedMemorySize;
    info->subgroup_size = facts->properties11.subgroupSize;
    info->buffer_alignment_bytes = BUFFER_ALIGNMENT;
    info->max_argument_bytes = limits->maxPushConstantsSize;
    info->code_formats[0] = ISO_CODE_SPIRV;
    memcpy(info->max_groups, limits->maxComputeWorkGroupCount, sizeof info->max_groups);
    physical->timestamp_period_ns = limits->timestampPeriod;
}

// VK_QUEUE_FAMILY_IGNORED when no family computes.
static iso_status find_queue(const iso_vulkan_driver *driver, iso_vulkan_physical *physical)
{
    physical->queue_family = VK_QUEUE_FAMILY_IGNORED;
    uint32_t count = 0;
    driver->vk.GetPhysicalDeviceQueueFamilyProperties(physical->handle, &count, NULL);
    VkQueueFamilyProperties *families = NULL;
    ISO_TRY(ISO_NEW(driver->allocator, count, &families));
    if (count > 0)
        driver->vk.GetPhysicalDeviceQueueFamilyProperties(physical->handle, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && families[i].queueCount > 0) {
            physical->queue_family = i;
            physical->timestamp_bits = families[i].timestampValidBits;
            break;
        }
    }
    iso_free(driver->allocator, families);
    return ISO_OK;
}

static void read_facts(const iso_vulkan_driver *driver, VkPhysicalDevice handle, device_facts *out_facts)
{
    *out_facts = (device_facts){
        .properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                       .pNext = &out_facts->properties11},
        .properties11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES,
                         .pNext = &out_facts->properties12},
        .properties12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES},
        .features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &out_facts->features11},
        .features11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                       .pNext = &out_facts->features12},
        .features12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES},
    };
    driver->vk.GetPhysicalDeviceProperties2(handle, &out_facts->properties);
    driver->vk.GetPhysicalDeviceFeatures2(handle, &out_facts->features);
}

static iso_status fill_physical(const iso_vulkan_driver *driver, VkPhysicalDevice handle,
                                iso_vulkan_physical *physical)
{
    VkPhysicalDeviceProperties properties;
    driver->vk.GetPhysicalDeviceProperties(handle, &properties);
    physical->handle = handle;
    physical->type = properties.deviceType;
    physical->vendor_id = properties.vendorID;
    physical->device_id = properties.deviceID;
    physical->driver_version = properties.driverVersion;
    memcpy(physical->pipeline_cache_uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);

    iso_device_info *info = &physical->info;
    info->struct_bytes = sizeof *info;
    snprintf(info->backend, sizeof info->backend, "vulkan");
    snprintf(info->name, sizeof info->name, "%.127s", properties.deviceName);
    if (properties.apiVersion < VK_API_VERSION_1_2) {
        snprintf(info->reason, sizeof info->reason,
                 "its driver offers Vulkan %u.%u, 1.2 is needed: update the driver",
                 VK_API_VERSION_MAJOR(properties.apiVersion), VK_API_VERSION_MINOR(properties.apiVersion));
        return ISO_OK;
    }
    device_facts facts;
    read_facts(driver, handle, &facts);
    driver->vk.GetPhysicalDeviceMemoryProperties(handle, &physical->memory);
    fill_limits(physical, &facts);
    for (size_t i = 0; i < sizeof required_features / sizeof required_features[0]; i++) {
        if (!fact(&facts, required_features[i].offset)) {
            snprintf(info->reason, sizeof info->reason, "it lacks the Vulkan feature %s",
                     required_features[i].name);
            return ISO_OK;
        }
    }
    ISO_TRY(find_queue(driver, physical));
    if (physical->queue_family == VK_QUEUE_FAMILY_IGNORED)
        snprintf(info->reason, sizeof info->reason, "it has no queue that computes");
    info->available = info->reason[0] == '\0';
    return ISO_OK;
}

iso_status iso_vulkan_enumerate(iso_vulkan_driver *driver)
{
    uint32_t count = 0;
    VkPhysicalDevice *handles = NULL;
    VkResult result = driver->vk.EnumeratePhysicalDevices(driver->instance, &count, NULL);
    iso_status status = ISO_OK;
    if (result == VK_SUCCESS && count > 0) {
        ISO_TRY_GOTO(ISO_NEW(driver->allocator, count, &handles), done);
        ISO_TRY_GOTO(ISO_NEW(driver->allocator, count, &driver->physical), done);
        result = driver->vk.EnumeratePhysicalDevices(driver->instance, &count, handles);
    }
    // VK_INCOMPLETE: a device came up between the two calls; those before it are listed.
    if ((result != VK_SUCCESS && result != VK_INCOMPLETE) || count == 0) {
        status =
            iso_fail(iso_vulkan_status(result, ISO_UNAVAILABLE),
                     "no Vulkan device (vkEnumeratePhysicalDevices: %s, %u devices); install a driver, e.g. "
                     "Debian's mesa-vulkan-drivers",
                     iso_vulkan_result_name(result), count);
        goto done;
    }
    for (uint32_t i = 0; i < count; i++)
        ISO_TRY_GOTO(fill_physical(driver, handles[i], &driver->physical[i]), done);
    sort_devices(driver->physical, count);
    for (uint32_t i = 0; i < count; i++)
        driver->physical[i].info.ordinal = i;
    driver->physical_count = count;
done:
    iso_free(driver->allocator, handles);
    return status;
}
