// SPDX-License-Identifier: MIT
//
// Failures of Vulkan calls: names of VkResult, the iso_status each means, and the latch of a lost device.
#include <stdarg.h>
#include <stdio.h>

#include "backends/vulkan/vulkan.h"

static const struct {
    VkResult result;
    const char *name;
    iso_status status; // ISO_OK: the call that failed decides
} results[] = {
    {VK_SUCCESS, "VK_SUCCESS", ISO_OK},
    {VK_NOT_READY, "VK_NOT_READY", ISO_OK},
    {VK_TIMEOUT, "VK_TIMEOUT", ISO_OK},
    {VK_INCOMPLETE, "VK_INCOMPLETE", ISO_OK},
    {VK_ERROR_OUT_OF_HOST_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY", ISO_OUT_OF_MEMORY},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, "VK_ERROR_OUT_OF_DEVICE_MEMORY", ISO_OUT_OF_MEMORY},
    {VK_ERROR_TOO_MANY_OBJECTS, "VK_ERROR_TOO_MANY_OBJECTS", ISO_OUT_OF_MEMORY},
    {VK_ERROR_FRAGMENTED_POOL, "VK_ERROR_FRAGMENTED_POOL", ISO_OUT_OF_MEMORY},
    {VK_ERROR_OUT_OF_POOL_MEMORY, "VK_ERROR_OUT_OF_POOL_MEMORY", ISO_OUT_OF_MEMORY},
    {VK_ERROR_FRAGMENTATION, "VK_ERROR_FRAGMENTATION", ISO_OUT_OF_MEMORY},
    {VK_ERROR_MEMORY_MAP_FAILED, "VK_ERROR_MEMORY_MAP_FAILED", ISO_OUT_OF_MEMORY},
    {VK_ERROR_DEVICE_LOST, "VK_ERROR_DEVICE_LOST", ISO_DEVICE_LOST},
    {VK_ERROR_INITIALIZATION_FAILED, "VK_ERROR_INITIALIZATION_FAILED", ISO_UNAVAILABLE},
    {VK_ERROR_INCOMPATIBLE_DRIVER, "VK_ERROR_INCOMPATIBLE_DRIVER", ISO_UNAVAILABLE},
    {VK_ERROR_LAYER_NOT_PRESENT, "VK_ERROR_LAYER_NOT_PRESENT", ISO_UNAVAILABLE},
    {VK_ERROR_EXTENSION_NOT_PRESENT, "VK_ERROR_EXTENSION_NOT_PRESENT", ISO_UNAVAILABLE},
    {VK_ERROR_FEATURE_NOT_PRESENT, "VK_ERROR_FEATURE_NOT_PRESENT", ISO_UNAVAILABLE},
    {VK_ERROR_FORMAT_NOT_SUPPORTED, "VK_ERROR_FORMAT_NOT_SUPPORTED", ISO_OK},
    {VK_ERROR_INVALID_SHADER_NV, "VK_ERROR_INVALID_SHADER_NV", ISO_BUILD_FAILED},
    {VK_ERROR_VALIDATION_FAILED_EXT, "VK_ERROR_VALIDATION_FAILED_EXT", ISO_OK},
    {VK_ERROR_UNKNOWN, "VK_ERROR_UNKNOWN", ISO_OK},
};

enum { RESULT_COUNT = sizeof results / sizeof results[0] };

const char *iso_vulkan_result_name(VkResult result)
{
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        if (results[i].result == result)
            return results[i].name;
    }
    return "an unlisted VkResult";
}

iso_status iso_vulkan_status(VkResult result, iso_status otherwise)
{
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        if (results[i].result == result && results[i].status != ISO_OK)
            return results[i].status;
    }
    return otherwise;
}

iso_status iso_vulkan_fail(iso_vulkan_device *device, VkResult result, iso_status otherwise,
                           const char *format, ...)
{
    char text[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    iso_status status = iso_vulkan_status(result, otherwise);
    if (status == ISO_DEVICE_LOST)
        return iso_vulkan_lose(device, "%s: %s", text, iso_vulkan_result_name(result));
    return iso_fail(status, "%s: %s: %s (%d)", device->physical->info.name, text,
                    iso_vulkan_result_name(result), (int)result);
}

iso_status iso_vulkan_lose(iso_vulkan_device *device, const char *format, ...)
{
    if (!device->lost) {
        char text[320];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        snprintf(device->lost_text, sizeof device->lost_text,
                 "%s is lost: %s; close the device and open it again", device->physical->info.name, text);
        device->lost = true;
    }
    return iso_vulkan_check_alive(device);
}

iso_status iso_vulkan_check_alive(const iso_vulkan_device *device)
{
    return device->lost ? iso_fail(ISO_DEVICE_LOST, "%s", device->lost_text) : ISO_OK;
}
