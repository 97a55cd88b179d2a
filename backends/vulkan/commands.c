// SPDX-License-Identifier: MIT
//
// Command lists: one VkCommandBuffer, recorded once and submitted as often as wanted. It may be submitted
// again while it still runs: submissions of one queue are ordered by the barrier at the end of each.
//
// With options.profile a pair of time stamps encloses each dispatch. They tell when it began and ended, so
// kernels that overlap (no barrier between them) share time.
#include <stdio.h>
#include <string.h>

#include "backends/vulkan/vulkan.h"

enum { POOL_DISPATCHES = 256 }; // dispatches per query pool; two time stamps each

struct iso_vulkan_list {
    iso_vulkan_device *device;
    VkCommandBuffer commands;
    const iso_vulkan_module *bound; // whose pipeline was bound last
    bool needs_barrier;             // dispatches were recorded since the last barrier
    uint32_t dispatch_count;
    const char *first_label;
    const char *last_label;
    uint64_t last_run; // number of its latest submission; 0: never submitted
    VkQueryPool *pools;
    size_t pool_count;
    size_t pool_capacity;
};

void iso_vulkan_list_describe(const iso_vulkan_list *list, char *out_text, size_t text_bytes)
{
    if (list == NULL)
        snprintf(out_text, text_bytes, "a transfer");
    else if (list->dispatch_count == 0)
        snprintf(out_text, text_bytes, "an empty list");
    else
        snprintf(out_text, text_bytes, "a list of %u dispatches from '%.80s' to '%.80s'",
                 list->dispatch_count, list->first_label, list->last_label);
}

iso_status iso_vulkan_list_create(void *device_, void **out_list)
{
    iso_vulkan_device *device = device_;
    *out_list = NULL;
    ISO_TRY(iso_vulkan_check_alive(device));
    iso_vulkan_list *list = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &list));
    list->device = device;

    iso_status status = ISO_OK;
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VkResult result = device->vk.AllocateCommandBuffers(device->handle, &info, &list->commands);
    if (result != VK_SUCCESS) {
        list->commands = VK_NULL_HANDLE;
        status = iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkAllocateCommandBuffers");
        goto fail;
    }
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
    };
    result = device->vk.BeginCommandBuffer(list->commands, &begin);
    if (result != VK_SUCCESS) {
        status = iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkBeginCommandBuffer");
        goto fail;
    }
    *out_list = list;
    return ISO_OK;
fail:
    iso_vulkan_list_destroy(list);
    return status;
}

// A pool for the next POOL_DISPATCHES dispatches, reset by each run of the list before it is written.
static iso_status add_query_pool(iso_vulkan_list *list)
{
    iso_vulkan_device *device = list->device;
    ISO_TRY(iso_grow(device->allocator, sizeof list->pools[0], list->pool_count + 1, (void **)&list->pools,
                     &list->pool_capacity));
    const VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * POOL_DISPATCHES,
    };
    VkQueryPool pool = VK_NULL_HANDLE;
    VkResult result = device->vk.CreateQueryPool(device->handle, &info, NULL, &pool);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkCreateQueryPool of %u time stamps",
                               info.queryCount);
    list->pools[list->pool_count++] = pool;
    device->vk.CmdResetQueryPool(list->commands, pool, 0, info.queryCount);
    return ISO_OK;
}

static void record_timestamp(iso_vulkan_list *list, VkPipelineStageFlagBits stage, uint32_t which)
{
    uint32_t query = 2 * (list->dispatch_count % POOL_DISPATCHES) + which;
    list->device->vk.CmdWriteTimestamp(list->commands, stage, list->pools[list->pool_count - 1], query);
}

// The push-constant block: each argument at the offset that the module gave it.
static void pack_arguments(const iso_vulkan_module *module, const iso_dispatch *dispatch,
                           unsigned char *block)
{
    for (uint32_t i = 0; i < dispatch->arg_count; i++) {
        const iso_arg *arg = &dispatch->args[i];
        unsigned char *place = block + module->arg_offsets[i];
        if (arg->kind == ISO_ARG_BUFFER) {
            const uint64_t address = arg->memory->address + arg->offset_bytes;
            memcpy(place, &address, sizeof address);
        } else {
            memcpy(place, &arg->value, sizeof arg->value);
        }
    }
}

iso_status iso_vulkan_list_dispatch(void *list_, void *module_, const iso_dispatch *dispatch)
{
    iso_vulkan_list *list = list_;
    const iso_vulkan_module *module = module_;
    iso_vulkan_device *device = list->device;
    const iso_vulkan_device_functions *vk = &device->vk;
    const iso_device_info *info = &device->physical->info;
    const uint32_t *most = device->physical->info.max_groups;
    for (int i = 0; i < 3; i++) {
        if (dispatch->groups[i] > most[i])
            return iso_fail(ISO_UNSUPPORTED, "%s allows %u groups along %c, %s wants %u", info->name, most[i],
                            "xyz"[i], dispatch -> label, dispatch -> groups[i]);
    }
    if (device->profile && list->dispatch_count == list->pool_count * POOL_DISPATCHES)
        ISO_TRY(add_query_pool(list));

    if (list->bound != module)
        vk->CmdBindPipeline(list->commands, VK_PIPELINE_BIND_POINT_COMPUTE, module->pipeline);
    list->bound = module;
    if (module->arg_bytes > 0) {
        unsigned char block[ISO_MAX_KERNEL_ARGS * 8] = {0};
        pack_arguments(module, dispatch, block);
        vk->CmdPushConstants(list->commands, module->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             module->arg_bytes, block);
    }
    if (device->profile)
        record_timestamp(list, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, 0);
    vk->CmdDispatch(list->commands, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    if (device->profile)
        record_timestamp(list, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 1);

    if (list->dispatch_count++ == 0)
        list->first_label = dispatch->label;
    list->last_label = dispatch->label;
    list->needs_barrier = true;
    return ISO_OK;
}

iso_status iso_vulkan_list_barrier(void *list_)
{
    iso_vulkan_list *list = list_;
    if (list->needs_barrier)
        iso_vulkan_record_barrier(list->device, list->commands, false);
    list->needs_barrier = false;
    return ISO_OK;
}

iso_status iso_vulkan_list_finish(void *list_)
{
    iso_vulkan_list *list = list_;
    iso_vulkan_record_barrier(list->device, list->commands, true);
    VkResult result = list->device->vk.EndCommandBuffer(list->commands);
    if (result == VK_SUCCESS)
        return ISO_OK;
    char work[256];
    iso_vulkan_list_describe(list, work, sizeof work);
    return iso_vulkan_fail(list->device, result, ISO_OUT_OF_MEMORY, "vkEndCommandBuffer of %s", work);
}

void iso_vulkan_list_destroy(void *list_)
{
    iso_vulkan_list *list = list_;
    if (list == NULL)
        return;
    iso_vulkan_device *device = list->device;
    if (!device->lost)
        (void)iso_vulkan_wait_for(device, list->last_run);
    if (device->latest == list)
        device->latest = NULL;
    for (size_t i = 0; i < list->pool_count; i++)
        device->vk.DestroyQueryPool(device->handle, list->pools[i], NULL);
    if (list->commands != VK_NULL_HANDLE)
        device->vk.FreeCommandBuffers(device->handle, device->pool, 1, &list->commands);
    iso_free(device->allocator, list->pools);
    iso_free(device->allocator, list);
}

iso_status iso_vulkan_submit(void *device_, void *list_)
{
    iso_vulkan_device *device = device_;
    iso_vulkan_list *list = list_;
    ISO_TRY(iso_vulkan_queue_submit(device, list->commands,
                                    list->first_label ? list->first_label : "an empty list"));
    list->last_run = device->submitted;
    device->latest = list;
    return ISO_OK;
}

iso_status iso_vulkan_times(void *list_, uint64_t *out_ns, uint32_t *inout_count)
{
    iso_vulkan_list *list = list_;
    iso_vulkan_device *device = list->device;
    const uint32_t room = *inout_count;
    *inout_count = 0;
    if (!device->profile)
        return iso_fail(ISO_INVALID_ARGUMENT, "times: the device was opened without options.profile");
    if (list->last_run == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "times: the list was never submitted");
    ISO_TRY(iso_vulkan_wait_for(device, list->last_run));

    const uint32_t bits = device->physical->timestamp_bits;
    const uint64_t mask = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    for (uint32_t i = 0; i < list->dispatch_count && i < room; i++) {
        uint64_t stamps[2];
        VkResult result = device->vk.GetQueryPoolResults(
            device->handle, list->pools[i / POOL_DISPATCHES], 2 * (i % POOL_DISPATCHES), 2, sizeof stamps,
            stamps, sizeof stamps[0], VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
        if (result != VK_SUCCESS)
            return iso_vulkan_fail(device, result, ISO_INTERNAL, "vkGetQueryPoolResults of dispatch %u", i);
        // The counter wraps at its valid bits.
        double ticks = (double)((stamps[1] - stamps[0]) & mask);
        out_ns[i] = (uint64_t)(ticks * (double)device->physical->timestamp_period_ns);
    }
    *inout_count = list->dispatch_count;
    return ISO_OK;
}
