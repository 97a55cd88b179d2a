// SPDX-License-Identifier: MIT
//
// The device's one queue: barriers, submission, waiting. Nothing here allocates. A device that makes no
// progress for ten minutes counts as lost: the longest lists (a prefill on a software device) take seconds.
#include "backends/vulkan/vulkan.h"

#define WAIT_NS UINT64_C(60000000000)
enum { WAITS_WITHOUT_PROGRESS = 10 };

void iso_vulkan_record_barrier(iso_vulkan_device *device, VkCommandBuffer commands, bool whole_queue)
{
    const VkAccessFlags shader = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    const VkAccessFlags transfer = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    const VkAccessFlags host = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT;
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = shader,
    };
    VkPipelineStageFlags before = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    VkPipelineStageFlags after = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    if (whole_queue) {
        barrier.srcAccessMask |= VK_ACCESS_TRANSFER_WRITE_BIT;
        barrier.dstAccessMask |= transfer | host;
        before |= VK_PIPELINE_STAGE_TRANSFER_BIT;
        after |= VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT;
    }
    device->vk.CmdPipelineBarrier(commands, before, after, 0, 1, &barrier, 0, NULL, 0, NULL);
}

iso_status iso_vulkan_queue_submit(iso_vulkan_device *device, VkCommandBuffer commands, const char *what)
{
    ISO_TRY(iso_vulkan_check_alive(device));
    const uint64_t value = device->submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &timeline,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
        .signalSemaphoreCount = 1,
        .pSignalSemaphores = &device->timeline,
    };
    VkResult result = device->vk.QueueSubmit(device->queue, 1, &info, VK_NULL_HANDLE);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_INTERNAL, "vkQueueSubmit of %s", what);
    device->submitted = value;
    return ISO_OK;
}

static iso_status fail_wait(iso_vulkan_device *device, VkResult result)
{
    char work[256];
    iso_vulkan_list_describe(device->latest, work, sizeof work);
    if (result == VK_TIMEOUT)
        return iso_vulkan_lose(device, "no progress for %u minutes in %s", WAITS_WITHOUT_PROGRESS, work);
    return iso_vulkan_fail(device, result, ISO_DEVICE_LOST, "vkWaitSemaphores after %s", work);
}

iso_status iso_vulkan_wait_for(iso_vulkan_device *device, uint64_t value)
{
    ISO_TRY(iso_vulkan_check_alive(device));
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &device->timeline,
        .pValues = &value,
    };
    for (uint32_t idle_waits = 0; device->completed < value;) {
        VkResult result = device->vk.WaitSemaphores(device->handle, &info, WAIT_NS);
        if (result == VK_SUCCESS) {
            device->completed = value;
            break;
        }
        if (result != VK_TIMEOUT)
            return fail_wait(device, result);
        uint64_t reached = device->completed;
        result = device->vk.GetSemaphoreCounterValue(device->handle, device->timeline, &reached);
        if (result != VK_SUCCESS)
            return fail_wait(device, result);
        idle_waits = reached > device->completed ? 0 : idle_waits + 1;
        device->completed = reached;
        if (idle_waits >= WAITS_WITHOUT_PROGRESS)
            return fail_wait(device, VK_TIMEOUT);
    }
    return ISO_OK;
}

iso_status iso_vulkan_wait(void *device_)
{
    iso_vulkan_device *device = device_;
    return iso_vulkan_wait_for(device, device->submitted);
}
