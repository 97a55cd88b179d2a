// SPDX-License-Identifier: MIT
//
// Device memory: one VkBuffer with a VkDeviceMemory of its own for each buffer, reached by its device
// address.
//
// Where all of the device's memory can be mapped (integrated and software devices, large BARs) it stays
// mapped, and write and fill are plain stores. Otherwise, and for reads of memory that the host does not
// cache, bytes go through a staging block in pieces. All of these first wait for submitted work, which keeps
// them in order.
#include <string.h>

#include "backends/vulkan/vulkan.h"

enum {
    STAGING_BYTES = 16 << 20,
    SIZE_UNIT = 16, // kernels load whole words, also those that the last element only begins
};

static const VkMemoryPropertyFlags mappable =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

// ---- memory types ----

// The first type that has all of `required` and none of the special kinds (protected, lazy, vendors' own),
// whose use would need more than allocating from them. VK_MAX_MEMORY_TYPES when there is none.
static uint32_t find_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t type_bits,
                          VkMemoryPropertyFlags required, uint64_t min_heap_bytes)
{
    const VkMemoryPropertyFlags plain =
        mappable | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        if ((type_bits >> i & 1) && (flags & required) == required && (flags & ~plain) == 0 &&
            memory->memoryHeaps[memory->memoryTypes[i].heapIndex].size >= min_heap_bytes)
            return i;
    }
    return VK_MAX_MEMORY_TYPES;
}

uint32_t iso_vulkan_device_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t type_bits,
                                       bool *out_mapped)
{
    uint64_t largest_heap = 0;
    for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
        if ((memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            memory->memoryHeaps[i].size > largest_heap)
            largest_heap = memory->memoryHeaps[i].size;
    }
    // A small window for the host (256 MiB on many cards) is not worth filling up: only the whole heap
    // counts.
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    uint32_t type =
        find_type(memory, type_bits, local | mappable | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, largest_heap);
    if (type == VK_MAX_MEMORY_TYPES)
        type = find_type(memory, type_bits, local | mappable, largest_heap);
    *out_mapped = type != VK_MAX_MEMORY_TYPES;
    return *out_mapped ? type : find_type(memory, type_bits, local, 0);
}

static uint32_t staging_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t type_bits)
{
    uint32_t type = find_type(memory, type_bits, mappable | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0);
    return type != VK_MAX_MEMORY_TYPES ? type : find_type(memory, type_bits, mappable, 0);
}

// ---- blocks ----

typedef enum block_role { BLOCK_DEVICE, BLOCK_STAGING } block_role;

static iso_status block_bind(iso_vulkan_device *device, uint64_t bytes, block_role role,
                             iso_vulkan_block *block)
{
    const iso_vulkan_device_functions *vk = &device->vk;
    const VkPhysicalDeviceMemoryProperties *types = &device->physical->memory;
    VkMemoryRequirements needs;
    vk->GetBufferMemoryRequirements(device->handle, block->buffer, &needs);
    bool mapped = true;
    uint32_t type = role == BLOCK_STAGING
                        ? staging_memory_type(types, needs.memoryTypeBits)
                        : iso_vulkan_device_memory_type(types, needs.memoryTypeBits, &mapped);
    if (type == VK_MAX_MEMORY_TYPES)
        return iso_vulkan_fail(device, VK_ERROR_FEATURE_NOT_PRESENT, ISO_UNSUPPORTED,
                               "no memory type for a buffer of %llu bytes", (unsigned long long)bytes);
    block->host_cached = (types->memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT) != 0;

    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = role == BLOCK_DEVICE ? &flags : NULL,
        .allocationSize = needs.size,
        .memoryTypeIndex = type,
    };
    VkResult result = vk->AllocateMemory(device->handle, &info, NULL, &block->memory);
    if (result != VK_SUCCESS) {
        block->memory = VK_NULL_HANDLE;
        return iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY,
                               "vkAllocateMemory of %llu bytes (%llu wanted)", (unsigned long long)needs.size,
                               (unsigned long long)bytes);
    }
    result = vk->BindBufferMemory(device->handle, block->buffer, block->memory, 0);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkBindBufferMemory of %llu bytes",
                               (unsigned long long)bytes);
    if (!mapped)
        return ISO_OK;
    result = vk->MapMemory(device->handle, block->memory, 0, VK_WHOLE_SIZE, 0, &block->host);
    if (result != VK_SUCCESS) {
        block->host = NULL;
        return iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkMapMemory of %llu bytes",
                               (unsigned long long)bytes);
    }
    return ISO_OK;
}

// Into a zeroed block; on failure the caller destroys it.
static iso_status block_create(iso_vulkan_device *device, uint64_t bytes, block_role role,
                               iso_vulkan_block *block)
{
    const VkBufferUsageFlags transfer = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    const VkBufferUsageFlags kernel =
        VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = (bytes + SIZE_UNIT - 1) / SIZE_UNIT * SIZE_UNIT,
        .usage = role == BLOCK_STAGING ? transfer : transfer | kernel,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    VkResult result = device->vk.CreateBuffer(device->handle, &info, NULL, &block->buffer);
    if (result != VK_SUCCESS) {
        block->buffer = VK_NULL_HANDLE;
        return iso_vulkan_fail(device, result, ISO_OUT_OF_MEMORY, "vkCreateBuffer of %llu bytes",
                               (unsigned long long)bytes);
    }
    return block_bind(device, bytes, role, block);
}

void iso_vulkan_block_destroy(iso_vulkan_device *device, iso_vulkan_block *block)
{
    if (block->buffer != VK_NULL_HANDLE)
        device->vk.DestroyBuffer(device->handle, block->buffer, NULL);
    if (block->memory != VK_NULL_HANDLE)
        device->vk.FreeMemory(device->handle, block->memory, NULL); // unmaps
    *block = (iso_vulkan_block){0};
}

iso_status iso_vulkan_alloc(void *device_, uint64_t bytes, iso_memory *out_memory)
{
    iso_vulkan_device *device = device_;
    *out_memory = (iso_memory){0};
    ISO_TRY(iso_vulkan_check_alive(device));
    // Beyond its limit a driver may do anything, so it is never asked.
    uint64_t limit = device->physical->info.max_allocation_bytes;
    if (bytes > limit)
        return iso_fail(ISO_OUT_OF_MEMORY, "%s: a buffer of %llu bytes is wanted, at most %llu are allowed",
                        device->physical->info.name, (unsigned long long)bytes, (unsigned long long)limit);
    iso_vulkan_block *block = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &block));
    iso_status status = block_create(device, bytes, BLOCK_DEVICE, block);
    if (status != ISO_OK) {
        iso_vulkan_block_destroy(device, block);
        iso_free(device->allocator, block);
        return status;
    }
    const VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = block->buffer,
    };
    *out_memory = (iso_memory){
        .bytes = bytes,
        .host = block->host_cached ? block->host : NULL,
        .handle = block,
        .address = device->vk.GetBufferDeviceAddress(device->handle, &info),
    };
    return ISO_OK;
}

void iso_vulkan_free(void *device_, iso_memory *memory)
{
    iso_vulkan_device *device = device_;
    if (memory == NULL || memory->handle == NULL)
        return;
    // Work that uses the memory may still run; a lost device runs nothing.
    if (!device->lost)
        (void)iso_vulkan_wait_for(device, device->submitted);
    iso_vulkan_block_destroy(device, memory->handle);
    iso_free(device->allocator, memory->handle);
    *memory = (iso_memory){0};
}

// ---- transfers ----

// One command of the transfer command buffer: a copy, or a fill when source is VK_NULL_HANDLE.
typedef struct transfer {
    const char *name; // for the text of a failure
    VkBuffer source;
    VkBuffer target;
    VkBufferCopy region;
    uint32_t pattern;
} transfer;

static iso_status run_transfer(iso_vulkan_device *device, const transfer *t)
{
    const iso_vulkan_device_functions *vk = &device->vk;
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    VkResult result = vk->BeginCommandBuffer(device->transfer, &begin);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_INTERNAL, "vkBeginCommandBuffer for a %s", t->name);
    if (t->source != VK_NULL_HANDLE)
        vk->CmdCopyBuffer(device->transfer, t->source, t->target, 1, &t->region);
    else
        vk->CmdFillBuffer(device->transfer, t->target, t->region.dstOffset, t->region.size, t->pattern);
    iso_vulkan_record_barrier(device, device->transfer, true);
    result = vk->EndCommandBuffer(device->transfer);
    if (result != VK_SUCCESS)
        return iso_vulkan_fail(device, result, ISO_INTERNAL, "vkEndCommandBuffer for a %s", t->name);
    ISO_TRY(iso_vulkan_queue_submit(device, device->transfer, t->name));
    return iso_vulkan_wait_for(device, device->submitted);
}

static iso_status need_staging(iso_vulkan_device *device)
{
    if (device->staging.host != NULL)
        return ISO_OK;
    iso_status status = block_create(device, STAGING_BYTES, BLOCK_STAGING, &device->staging);
    if (status != ISO_OK)
        iso_vulkan_block_destroy(device, &device->staging);
    return status;
}

static uint64_t piece(uint64_t left)
{
    return left < STAGING_BYTES ? left : STAGING_BYTES;
}

iso_status iso_vulkan_write(void *device_, iso_memory *memory, uint64_t offset, const void *source,
                            uint64_t bytes)
{
    iso_vulkan_device *device = device_;
    const iso_vulkan_block *block = memory->handle;
    ISO_TRY(iso_vulkan_wait_for(device, device->submitted));
    if (block->host != NULL) {
        memcpy((char *)block->host + offset, source, bytes);
        return ISO_OK;
    }
    ISO_TRY(need_staging(device));
    for (uint64_t done = 0; done < bytes; done += piece(bytes - done)) {
        const uint64_t size = piece(bytes - done);
        memcpy(device->staging.host, (const char *)source + done, size);
        const transfer t = {.name = "write",
                            .source = device->staging.buffer,
                            .target = block->buffer,
                            .region = {.dstOffset = offset + done, .size = size}};
        ISO_TRY(run_transfer(device, &t));
    }
    return ISO_OK;
}

iso_status iso_vulkan_read(void *device_, const iso_memory *memory, uint64_t offset, void *target,
                           uint64_t bytes)
{
    iso_vulkan_device *device = device_;
    const iso_vulkan_block *block = memory->handle;
    ISO_TRY(iso_vulkan_wait_for(device, device->submitted));
    if (block->host != NULL && block->host_cached) {
        memcpy(target, (const char *)block->host + offset, bytes);
        return ISO_OK;
    }
    ISO_TRY(need_staging(device));
    for (uint64_t done = 0; done < bytes; done += piece(bytes - done)) {
        const uint64_t size = piece(bytes - done);
        const transfer t = {.name = "read",
                            .source = block->buffer,
                            .target = device->staging.buffer,
                            .region = {.srcOffset = offset + done, .size = size}};
        ISO_TRY(run_transfer(device, &t));
        memcpy((char *)target + done, device->staging.host, size);
    }
    return ISO_OK;
}

iso_status iso_vulkan_fill(void *device_, iso_memory *memory, uint64_t offset, uint64_t bytes,
                           uint32_t pattern)
{
    iso_vulkan_device *device = device_;
    const iso_vulkan_block *block = memory->handle;
    ISO_TRY(iso_vulkan_wait_for(device, device->submitted));
    if (block->host != NULL) {
        uint32_t *words = (uint32_t *)block->host + offset / 4;
        for (uint64_t i = 0; i < bytes / 4; i++)
            words[i] = pattern;
        return ISO_OK;
    }
    const transfer t = {.name = "fill",
                        .target = block->buffer,
                        .region = {.dstOffset = offset, .size = bytes},
                        .pattern = pattern};
    return bytes == 0 ? ISO_OK : run_transfer(device, &t);
}
