// SPDX-License-Identifier: MIT
//
// The Vulkan backend's table, and opening of devices: a VkDevice with the features that its facts promise,
// one compute queue, one command pool, one timeline.
#include <string.h>

#include "backends/vulkan/vulkan.h"

static iso_status device_info(void *driver_, uint32_t ordinal, iso_device_info *out_info)
{
    const iso_vulkan_driver *driver = driver_;
    if (ordinal >= driver->physical_count)
        return iso_fail(ISO_NOT_FOUND, "there are %u Vulkan devices, %u is not among them",
                        driver->physical_count, ordinal);
    // A caller with an older, shorter struct gets the part that it knows.
    const size_t theirs = out_info->struct_bytes;
    memcpy(out_info, &driver->physical[ordinal].info, theirs < sizeof *out_info ? theirs : sizeof *out_info);
    out_info->struct_bytes = theirs;
    return ISO_OK;
}

static iso_status missing(const iso_device_info *info, const char *function)
{
    return iso_fail(ISO_UNAVAILABLE, "%s has no %s: update its driver (%s)", info->name, function,
                    info->driver);
}

static iso_status find_functions(const iso_vulkan_driver *driver, iso_vulkan_device *device)
{
#define ISO_VULKAN_DEVICE(name)                                                                              \
    if ((device->vk.name = (PFN_vk##name)driver->vk.GetDeviceProcAddr(device->handle, "vk" #name)) == NULL)  \
        return missing(&device->physical->info, "vk" #name);
#include "backends/vulkan/functions.def"
#undef ISO_VULKAN_DEVICE
    return ISO_OK;
}

static VkBool32 has(const iso_device_info *info, iso_feature feature)
{
    return (info->features & feature) != 0 ? VK_TRUE : VK_FALSE;
}

static iso_status create_device(const iso_vulkan_driver *driver, iso_vulkan_device *device)
{
    const iso_device_info *info = &device->physical->info;
    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
        .bufferDeviceAddress = VK_TRUE,
        .scalarBlockLayout = VK_TRUE,
        .timelineSemaphore = VK_TRUE,
        .shaderFloat16 = has(info, ISO_FEATURE_F16),
        .shaderInt8 = has(info, ISO_FEATURE_STORAGE_8_16),
        .storageBuffer8BitAccess = has(info, ISO_FEATURE_STORAGE_8_16),
    };
    VkPhysicalDeviceVulkan11Features features11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &features12,
        .storageBuffer16BitAccess = has(info, ISO_FEATURE_STORAGE_8_16),
    };
    const VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .pNext = &features11,
        .features = {.shaderFloat64 = has(info, ISO_FEATURE_F64),
                     .shaderInt64 = has(info, ISO_FEATURE_INT64),
                     .shaderInt16 = has(info, ISO_FEATURE_STORAGE_8_16)},
    };
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = device->physical->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
    };
    VkResult result = driver->vk.CreateDevice(device->physical->handle, &create, NULL, &device->handle);
    if (result != VK_SUCCESS) {
        device->handle = VK_NULL_HANDLE;
        return iso_vulkan_fail(device, result, ISO_UNAVAILABLE, "vkCreateDevice");
    }
    ISO_TRY(find_functions(driver, device));
    device->vk.GetDeviceQueue(device->handle, queue.queueFamilyIndex, 0, &device->queue);
    return ISO_OK;
}

static iso_status create_queue_objects(iso_vulkan_device *device)
{
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                             .pNext = &type};
    VkResult result = device->vk.CreateSemaphore(device->handle, &semaphore, NULL, &device->timeline);
    if (result != VK_SUCCESS) {
        device->timeline = VK_NULL_HANDLE;
        return iso_vulkan_fail(device, result, ISO_UNAVAILABLE, "vkCreateSemaphore");
    }
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = device->physical->queue_family,
    };
    result = device->vk.CreateCommandPool(device->handle, &pool, NULL, &device->pool);
    if (result != VK_SUCCESS) {
        device->pool = VK_NULL_HANDLE;
        return iso_vulkan_fail(device, result, ISO_UNAVAILABLE, "vkCreateCommandPool");
    }
    const VkCommandBufferAllocateInfo transfer = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    result = device->vk.AllocateCommandBuffers(device->handle, &transfer, &device->transfer);
    return result == VK_SUCCESS
               ? ISO_OK
               : iso_vulkan_fail(device, result, ISO_UNAVAILABLE, "vkAllocateCommandBuffers");
}

// Accepts NULL and half-made devices.
static void close_device(void *device_)
{
    iso_vulkan_device *device = device_;
    if (device == NULL)
        return;
    if (device->pool != VK_NULL_HANDLE) {
        (void)device->vk.DeviceWaitIdle(device->handle);
        iso_vulkan_block_destroy(device, &device->staging);
        device->vk.DestroyCommandPool(device->handle, device->pool, NULL);
    }
    if (device->timeline != VK_NULL_HANDLE)
        device->vk.DestroySemaphore(device->handle, device->timeline, NULL);
    if (device->handle != VK_NULL_HANDLE && device->vk.DestroyDevice != NULL)
        device->vk.DestroyDevice(device->handle, NULL);
    iso_free(device->allocator, device);
}

static iso_status open_device(void *driver_, uint32_t ordinal, const iso_device_options *options,
                              void **out_device)
{
    const iso_vulkan_driver *driver = driver_;
    *out_device = NULL;
    if (ordinal >= driver->physical_count)
        return iso_fail(ISO_NOT_FOUND, "there are %u Vulkan devices, %u is not among them",
                        driver->physical_count, ordinal);
    const iso_vulkan_physical *physical = &driver->physical[ordinal];
    const iso_device_info *info = &physical->info;
    if (!info->available)
        return iso_fail(ISO_UNAVAILABLE, "%s cannot be used: %s", info->name, info->reason);
    if (options->profile && physical->timestamp_bits == 0)
        return iso_fail(ISO_UNSUPPORTED, "%s has no time stamps: open it without profile", info->name);

    iso_vulkan_device *device = NULL;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->physical = physical;
    device->profile = options->profile;
    ISO_TRY_GOTO(create_device(driver, device), fail);
    ISO_TRY_GOTO(create_queue_objects(device), fail);
    *out_device = device;
    return ISO_OK;
fail:
    close_device(device);
    return status;
}

extern const iso_backend iso_vulkan_backend;

const iso_backend iso_vulkan_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "vulkan",
    .load = iso_vulkan_load,
    .unload = iso_vulkan_unload,
    .device_info = device_info,
    .open_device = open_device,
    .close_device = close_device,
    .alloc = iso_vulkan_alloc,
    .free = iso_vulkan_free,
    .write = iso_vulkan_write,
    .read = iso_vulkan_read,
    .fill = iso_vulkan_fill,
    .module_create = iso_vulkan_module_create,
    .module_destroy = iso_vulkan_module_destroy,
    .list_create = iso_vulkan_list_create,
    .list_dispatch = iso_vulkan_list_dispatch,
    .list_barrier = iso_vulkan_list_barrier,
    .list_finish = iso_vulkan_list_finish,
    .list_destroy = iso_vulkan_list_destroy,
    .submit = iso_vulkan_submit,
    .wait = iso_vulkan_wait,
    .times = iso_vulkan_times,
};
