// SPDX-License-Identifier: MIT
//
// Modules: SPIR-V to a compute pipeline. A kernel's arguments are one push-constant block in scalar layout,
// in the order of its text: 4 bytes for a number, 8 bytes at a multiple of 8 for a buffer's device address.
// There are no descriptors. The driver's compiled form is kept in the kernel cache on disk, where the driver
// gives one out.
#include <string.h>

#include "backends/vulkan/vulkan.h"

enum { CACHE_HEADER_BYTES = 16 + VK_UUID_SIZE }; // VkPipelineCacheHeaderVersionOne; longer data has content

// ---- arguments ----

static iso_status lay_out_arguments(const iso_device_info *info, const iso_module_source *source,
                                    iso_vulkan_module *module)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < source->arg_count; i++) {
        const uint32_t size = source->arg_kinds[i] == ISO_ARG_BUFFER ? 8 : 4;
        bytes = (bytes + size - 1) / size * size;
        module->arg_offsets[i] = bytes;
        bytes += size;
    }
    module->arg_bytes = bytes;
    if (bytes > info->max_argument_bytes)
        return iso_fail(ISO_UNSUPPORTED, "its %u arguments take %u bytes, %s has room for %u",
                        source->arg_count, bytes, info->name, info->max_argument_bytes);
    return ISO_OK;
}

// ---- pipeline cache ----

static void make_cache_key(const iso_vulkan_physical *physical, const iso_module_source *source,
                           iso_cache_key *key)
{
    static const char form[] = "vulkan pipeline cache 1";
    *key = (iso_cache_key){{0}};
    iso_cache_key_add(key, form, sizeof form);
    iso_cache_key_add(key, source->code, source->code_bytes);
    iso_cache_key_add(key, physical->info.name, strlen(physical->info.name) + 1);
    iso_cache_key_add(key, physical->info.driver, strlen(physical->info.driver) + 1);
    iso_cache_key_add(key, &physical->driver_version, sizeof physical->driver_version);
    iso_cache_key_add(key, physical->pipeline_cache_uuid, sizeof physical->pipeline_cache_uuid);
}

// Whether data from disk was made by this very driver: some drivers do not look themselves.
static bool cache_fits(const iso_vulkan_physical *physical, const void *data, size_t bytes)
{
    uint32_t head[4];
    if (bytes < CACHE_HEADER_BYTES)
        return false;
    memcpy(head, data, sizeof head);
    return head[0] >= CACHE_HEADER_BYTES && head[0] <= bytes &&
           head[1] == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && head[2] == physical->vendor_id &&
           head[3] == physical->device_id &&
           memcmp((const char *)data + sizeof head, physical->pipeline_cache_uuid, VK_UUID_SIZE) == 0;
}

// A pipeline cache with what the disk has. *out_loaded_bytes is 0 when it has nothing. Without a cache the
// kernel is merely compiled again, so nothing here is a failure; VK_NULL_HANDLE means none.
static VkPipelineCache open_cache(iso_vulkan_device *device, const iso_cache_key *key,
                                  size_t *out_loaded_bytes)
{
    void *data = NULL;
    size_t bytes = 0;
    if (iso_kernel_cache_load(device->allocator, key, &data, &bytes) != ISO_OK)
        bytes = 0;
    if (!cache_fits(device->physical, data, bytes))
        bytes = 0;
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = bytes,
        .pInitialData = bytes > 0 ? data : NULL,
    };
    VkPipelineCache cache = VK_NULL_HANDLE;
    if (device->vk.CreatePipelineCache(device->handle, &info, NULL, &cache) != VK_SUCCESS)
        cache = VK_NULL_HANDLE;
    iso_free(device->allocator, data);
    *out_loaded_bytes = bytes;
    return cache;
}

static void store_cache(iso_vulkan_device *device, VkPipelineCache cache, const iso_cache_key *key,
                        size_t loaded_bytes)
{
    size_t bytes = 0;
    if (cache == VK_NULL_HANDLE ||
        device->vk.GetPipelineCacheData(device->handle, cache, &bytes, NULL) != VK_SUCCESS ||
        bytes <= CACHE_HEADER_BYTES || bytes == loaded_bytes)
        return;
    void *data = NULL;
    if (iso_alloc(device->allocator, bytes, &data) != ISO_OK)
        return;
    if (device->vk.GetPipelineCacheData(device->handle, cache, &bytes, data) == VK_SUCCESS)
        iso_kernel_cache_store(key, data, bytes);
    iso_free(device->allocator, data);
}

// ---- module ----

static iso_status create_layout(iso_vulkan_device *device, iso_vulkan_module *module)
{
    const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = module->arg_bytes};
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = module->arg_bytes > 0 ? 1 : 0,
        .pPushConstantRanges = &range,
    };
    VkResult result = device->vk.CreatePipelineLayout(device->handle, &info, NULL, &module->layout);
    if (result == VK_SUCCESS)
        return ISO_OK;
    module->layout = VK_NULL_HANDLE;
    return iso_vulkan_fail(device, result, ISO_BUILD_FAILED, "vkCreatePipelineLayout");
}

static iso_status create_pipeline(iso_vulkan_device *device, const iso_module_source *source,
                                  const uint32_t *words, iso_vulkan_module *module)
{
    const iso_vulkan_device_functions *vk = &device->vk;
    const VkShaderModuleCreateInfo shader_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = source->code_bytes,
        .pCode = words,
    };
    VkShaderModule shader = VK_NULL_HANDLE;
    VkResult result = vk->CreateShaderModule(device->handle, &shader_info, NULL, &shader);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_BUILD_FAILED, "vkCreateShaderModule");

    iso_cache_key key;
    size_t loaded_bytes = 0;
    make_cache_key(device->physical, source, &key);
    VkPipelineCache cache = open_cache(device, &key, &loaded_bytes);
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = shader,
                  .pName = "main"},
        .layout = module->layout,
    };
    result = vk->CreateComputePipelines(device->handle, cache, 1, &info, NULL, &module->pipeline);
    iso_status status = ISO_OK;
    if (result == VK_SUCCESS) {
        store_cache(device, cache, &key, loaded_bytes);
    } else {
        module->pipeline = VK_NULL_HANDLE;
        status = iso_vulkan_fail(device, result, ISO_BUILD_FAILED, "vkCreateComputePipelines");
    }
    if (cache != VK_NULL_HANDLE)
        vk->DestroyPipelineCache(device->handle, cache, NULL);
    vk->DestroyShaderModule(device->handle, shader, NULL);
    return status;
}

iso_status iso_vulkan_module_create(void *device_, const iso_module_source *source, void **out_module)
{
    iso_vulkan_device *device = device_;
    const iso_device_info *info = &device->physical->info;
    *out_module = NULL;
    ISO_TRY(iso_vulkan_check_alive(device));
    if (source->format != ISO_CODE_SPIRV)
        return iso_fail(ISO_UNSUPPORTED, "%s takes SPIR-V only", info->name);
    if (source->group_size == 0 || source->group_size > info->max_group_size)
        return iso_fail(ISO_UNSUPPORTED, "its groups have %u threads, %s allows 1 to %u", source->group_size,
                        info->name, info->max_group_size);
    if (source->code_bytes % 4 != 0)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V has %zu bytes, not a multiple of 4",
                        source->code_bytes);

    iso_vulkan_module *module = NULL;
    uint32_t *words = NULL; // a copy, since embedded code has the alignment of bytes
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(device->allocator, 1, &module));
    ISO_TRY_GOTO(lay_out_arguments(info, source, module), fail);
    ISO_TRY_GOTO(ISO_NEW(device->allocator, source->code_bytes / 4, &words), fail);
    if (source->code_bytes > 0)
        memcpy(words, source->code, source->code_bytes);
    ISO_TRY_GOTO(iso_vulkan_check_spirv(words, source->code_bytes / 4, source->group_size, info->features),
                 fail);
    ISO_TRY_GOTO(create_layout(device, module), fail);
    ISO_TRY_GOTO(create_pipeline(device, source, words, module), fail);
    iso_free(device->allocator, words);
    *out_module = module;
    return ISO_OK;
fail:
    iso_free(device->allocator, words);
    iso_vulkan_module_destroy(device, module);
    return status;
}

void iso_vulkan_module_destroy(void *device_, void *module_)
{
    iso_vulkan_device *device = device_;
    iso_vulkan_module *module = module_;
    if (module == NULL)
        return;
    // A list that runs may still use the pipeline.
    if (!device->lost)
        (void)iso_vulkan_wait_for(device, device->submitted);
    if (module->pipeline != VK_NULL_HANDLE)
        device->vk.DestroyPipeline(device->handle, module->pipeline, NULL);
    if (module->layout != VK_NULL_HANDLE)
        device->vk.DestroyPipelineLayout(device->handle, module->layout, NULL);
    iso_free(device->allocator, module);
}
