// SPDX-License-Identifier: MIT
//
// The Vulkan loader: opened at run time, so that the program starts where there is none. Owns the library,
// the instance and the instance's functions; the physical devices are looked at in physical.c.
#include "backends/vulkan/vulkan.h"

#define REMEDY "install a driver, e.g. Debian's mesa-vulkan-drivers"

static const char *const library_names[] = {"libvulkan.so.1", NULL};
static const char *const library_symbols[] = {"vkGetInstanceProcAddr", NULL};

static iso_status open_library(iso_vulkan_driver *driver, const char *library,
                               PFN_vkGetInstanceProcAddr *out_get)
{
    const char *source = NULL, *path = iso_library_choose(library, "ISOMER_VULKAN_LIBRARY", &source);
    const char *const own_names[] = {path, NULL};
    void *functions[1] = {NULL};
    iso_status status =
        iso_library_open(path ? own_names : library_names, library_symbols, functions, &driver->library);
    if (status != ISO_OK) {
        return path ? iso_status_prefix("%s, named by %s, is no Vulkan loader", path, source)
                    : iso_status_prefix("no Vulkan loader; " REMEDY);
    }
    *out_get = (PFN_vkGetInstanceProcAddr)functions[0];
    return ISO_OK;
}

static iso_status missing(const char *function)
{
    return iso_fail(ISO_UNAVAILABLE, "the Vulkan loader has no %s: Vulkan 1.2 is needed; update libvulkan1",
                    function);
}

static iso_status find_global_functions(iso_vulkan_instance_functions *vk, PFN_vkGetInstanceProcAddr get)
{
#define ISO_VULKAN_GLOBAL(name)                                                                              \
    if ((vk->name = (PFN_vk##name)get(VK_NULL_HANDLE, "vk" #name)) == NULL)                                  \
        return missing("vk" #name);
#include "backends/vulkan/functions.def"
#undef ISO_VULKAN_GLOBAL
    return ISO_OK;
}

static iso_status find_instance_functions(iso_vulkan_instance_functions *vk, PFN_vkGetInstanceProcAddr get,
                                          VkInstance instance)
{
#define ISO_VULKAN_INSTANCE(name)                                                                            \
    if ((vk->name = (PFN_vk##name)get(instance, "vk" #name)) == NULL)                                        \
        return missing("vk" #name);
#include "backends/vulkan/functions.def"
#undef ISO_VULKAN_INSTANCE
    return ISO_OK;
}

static iso_status create_instance(iso_vulkan_driver *driver, PFN_vkGetInstanceProcAddr get)
{
    iso_vulkan_instance_functions *vk = &driver->vk;
    ISO_TRY(find_global_functions(vk, get));
    uint32_t version = 0;
    VkResult result = vk->EnumerateInstanceVersion(&version);
    if (result != VK_SUCCESS || version < VK_API_VERSION_1_2)
        return iso_fail(ISO_UNAVAILABLE,
                        "the Vulkan loader offers version %u.%u, 1.2 is needed: update libvulkan1",
                        VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));

    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "isomer",
        .pEngineName = "isomer",
        .apiVersion = VK_API_VERSION_1_2,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
    };
    result = vk->CreateInstance(&info, NULL, &driver->instance);
    if (result != VK_SUCCESS) {
        driver->instance = VK_NULL_HANDLE;
        return iso_fail(iso_vulkan_status(result, ISO_UNAVAILABLE), "vkCreateInstance: %s (%d); " REMEDY,
                        iso_vulkan_result_name(result), (int)result);
    }
    return find_instance_functions(vk, get, driver->instance);
}

iso_status iso_vulkan_load(const iso_allocator *allocator, const char *library, void **out_driver)
{
    *out_driver = NULL;
    iso_vulkan_driver *driver = NULL;
    ISO_TRY(ISO_NEW(allocator, 1, &driver));
    driver->allocator = allocator;

    PFN_vkGetInstanceProcAddr get = NULL;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(open_library(driver, library, &get), fail);
    ISO_TRY_GOTO(create_instance(driver, get), fail);
    ISO_TRY_GOTO(iso_vulkan_enumerate(driver), fail);
    *out_driver = driver;
    return ISO_OK;
fail:
    iso_vulkan_unload(driver);
    return status;
}

void iso_vulkan_unload(void *driver_)
{
    iso_vulkan_driver *driver = driver_;
    if (driver == NULL)
        return;
    if (driver->instance != VK_NULL_HANDLE && driver->vk.DestroyInstance != NULL)
        driver->vk.DestroyInstance(driver->instance, NULL);
    if (driver->library != NULL)
        iso_library_close(driver->library);
    iso_free(driver->allocator, driver->physical);
    iso_free(driver->allocator, driver);
}
