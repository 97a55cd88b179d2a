// SPDX-License-Identifier: MIT
//
// What the files of the Vulkan backend share: the driver (loader, instance, physical devices), the device
// (one queue, one timeline) and the calls that cross files. Knows no op and no model.
//
// Work is ordered by one timeline semaphore per device: each submission signals the next number, and "done"
// means that the semaphore has reached it. Every submission ends with a barrier that covers all later
// commands and the host, so that no submission needs one at its start.
#ifndef ISO_VULKAN_VULKAN_H
#define ISO_VULKAN_VULKAN_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include "isomer/backend.h"

// ---- types ----

typedef struct iso_vulkan_instance_functions {
#define ISO_VULKAN_GLOBAL(name)   PFN_vk##name name;
#define ISO_VULKAN_INSTANCE(name) PFN_vk##name name;
#include "backends/vulkan/functions.def"
#undef ISO_VULKAN_GLOBAL
#undef ISO_VULKAN_INSTANCE
} iso_vulkan_instance_functions;

typedef struct iso_vulkan_device_functions {
#define ISO_VULKAN_DEVICE(name) PFN_vk##name name;
#include "backends/vulkan/functions.def"
#undef ISO_VULKAN_DEVICE
} iso_vulkan_device_functions;

// Facts about one physical device, gathered once when the driver is loaded.
typedef struct iso_vulkan_physical {
    VkPhysicalDevice handle;
    VkPhysicalDeviceType type;
    iso_device_info info;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t queue_family;
    uint32_t timestamp_bits; // 0: the queue has no time stamps
    float timestamp_period_ns;
    uint32_t vendor_id;
    uint32_t device_id;
    uint32_t driver_version;
    uint8_t pipeline_cache_uuid[VK_UUID_SIZE];
} iso_vulkan_physical;

typedef struct iso_vulkan_driver {
    const iso_allocator *allocator;
    void *library;
    VkInstance instance;
    iso_vulkan_instance_functions vk;
    iso_vulkan_physical *physical;
    uint32_t physical_count;
} iso_vulkan_driver;

// A buffer with memory of its own.
typedef struct iso_vulkan_block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *host;       // mapped for as long as the block lives, or NULL
    bool host_cached; // the processor reads `host` at full speed
} iso_vulkan_block;

typedef struct iso_vulkan_list iso_vulkan_list;

typedef struct iso_vulkan_device {
    const iso_allocator *allocator;
    const iso_vulkan_physical *physical; // the driver's, which outlives the device
    iso_vulkan_device_functions vk;
    VkDevice handle;
    VkQueue queue;
    VkCommandPool pool;
    VkSemaphore timeline;
    uint64_t submitted;            // number of the latest submission
    uint64_t completed;            // number that the timeline is known to have reached
    const iso_vulkan_list *latest; // for the text of a failure; NULL once destroyed
    VkCommandBuffer transfer;      // recorded anew for each copy through the staging block
    iso_vulkan_block staging;      // made by the first transfer that needs it
    bool profile;
    bool lost; // latched: every later call returns ISO_DEVICE_LOST with lost_text
    char lost_text[512];
} iso_vulkan_device;

typedef struct iso_vulkan_module {
    VkPipelineLayout layout;
    VkPipeline pipeline;
    uint32_t arg_offsets[ISO_MAX_KERNEL_ARGS];
    uint32_t arg_bytes; // size of the push-constant block
} iso_vulkan_module;

// ---- calls: result.c ----

// "VK_ERROR_DEVICE_LOST"; never NULL.
const char *iso_vulkan_result_name(VkResult result);

// The status that a VkResult means; `otherwise` where it has no meaning of its own.
iso_status iso_vulkan_status(VkResult result, iso_status otherwise);

// Fails with "<device>: <text>: VK_ERROR_…" and latches a lost device. `otherwise` as above.
iso_status iso_vulkan_fail(iso_vulkan_device *device, VkResult result, iso_status otherwise,
                           const char *format, ...) ISO_PRINTF(4, 5);

// Latches the device as lost for another reason than a VkResult.
iso_status iso_vulkan_lose(iso_vulkan_device *device, const char *format, ...) ISO_PRINTF(2, 3);

// ISO_DEVICE_LOST with the first reason when the device is lost.
iso_status iso_vulkan_check_alive(const iso_vulkan_device *device);

// ---- calls: physical.c ----

// Fills driver->physical. ISO_UNAVAILABLE when there is none.
iso_status iso_vulkan_enumerate(iso_vulkan_driver *driver);

// ---- calls: loader.c ----

iso_status iso_vulkan_load(const iso_allocator *allocator, const char *library, void **out_driver);
void iso_vulkan_unload(void *driver);

// ---- calls: memory.c ----

// The memory type for device buffers among those of `type_bits`: mapped for the host where that costs
// nothing. VK_MAX_MEMORY_TYPES when none fits.
uint32_t iso_vulkan_device_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t type_bits,
                                       bool *out_mapped);
void iso_vulkan_block_destroy(iso_vulkan_device *device, iso_vulkan_block *block);
iso_status iso_vulkan_alloc(void *device, uint64_t bytes, iso_memory *out_memory);
void iso_vulkan_free(void *device, iso_memory *memory);
iso_status iso_vulkan_write(void *device, iso_memory *memory, uint64_t offset, const void *source,
                            uint64_t bytes);
iso_status iso_vulkan_read(void *device, const iso_memory *memory, uint64_t offset, void *target,
                           uint64_t bytes);
iso_status iso_vulkan_fill(void *device, iso_memory *memory, uint64_t offset, uint64_t bytes,
                           uint32_t pattern);

// ---- calls: spirv.c ----

// Whether `words` is SPIR-V that this device may be given: whole instructions, only capabilities that the
// device was opened with, a compute entry point "main" of the stated group size. ISO_BUILD_FAILED says what
// is wrong.
iso_status iso_vulkan_check_spirv(const uint32_t *words, size_t count, uint32_t group_size,
                                  uint32_t features);

// ---- calls: module.c ----

iso_status iso_vulkan_module_create(void *device, const iso_module_source *source, void **out_module);
void iso_vulkan_module_destroy(void *device, void *module);

// ---- calls: queue.c ----

// Makes everything before it visible to all later commands of the queue and, with `to_host`, to the host.
void iso_vulkan_record_barrier(iso_vulkan_device *device, VkCommandBuffer commands, bool whole_queue);
iso_status iso_vulkan_queue_submit(iso_vulkan_device *device, VkCommandBuffer commands, const char *what);
// Blocks until submission `value` is done.
iso_status iso_vulkan_wait_for(iso_vulkan_device *device, uint64_t value);
iso_status iso_vulkan_wait(void *device);

// ---- calls: commands.c ----

iso_status iso_vulkan_list_create(void *device, void **out_list);
iso_status iso_vulkan_list_dispatch(void *list, void *module, const iso_dispatch *dispatch);
iso_status iso_vulkan_list_barrier(void *list);
iso_status iso_vulkan_list_finish(void *list);
void iso_vulkan_list_destroy(void *list);
iso_status iso_vulkan_submit(void *device, void *list);
iso_status iso_vulkan_times(void *list, uint64_t *out_ns, uint32_t *inout_count);
// "3 dispatches from 'a' to 'b'", for the text of a failure.
void iso_vulkan_list_describe(const iso_vulkan_list *list, char *out_text, size_t text_bytes);

#endif
