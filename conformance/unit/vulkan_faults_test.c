// SPDX-License-Identifier: MIT
//
// The Vulkan backend on a device where things go wrong, or differ from what this machine's drivers do: a lost
// or hanging device, exhausted memory, memory that the host cannot map or reads slowly, a refused pipeline, a
// driver that fills the kernel cache. Also the barriers themselves, which software drivers would not miss.
#include <unistd.h>

#include "conformance/unit/vulkan_bench.h"

static char cache_folder[] = "/tmp/isomer-vulkan-test-XXXXXX";

// What the replaced functions do, and what they saw.
static struct {
    iso_vulkan_device_functions real;
    VkResult result;
    uint32_t calls;
    uint32_t timeouts_left;
    size_t cache_loaded_bytes;
    VkPipelineStageFlags after[8];
} spy;

static void start_spying(const bench *b)
{
    memset(&spy, 0, sizeof spy);
    spy.real = b->device->vk;
}

// ---- loss ----

static VkResult VKAPI_CALL failing_wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout)
{
    (void)device, (void)info, (void)timeout;
    spy.calls++;
    return spy.result;
}

static VkResult VKAPI_CALL failing_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *info,
                                          VkFence fence)
{
    (void)queue, (void)count, (void)info, (void)fence;
    spy.calls++;
    return spy.result;
}

static VkResult VKAPI_CALL stuck_counter(VkDevice device, VkSemaphore semaphore, uint64_t *out_value)
{
    (void)device, (void)semaphore;
    *out_value = 0;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL slow_wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout)
{
    spy.calls++;
    if (spy.timeouts_left > 0) {
        spy.timeouts_left--;
        return VK_TIMEOUT;
    }
    return spy.real.WaitSemaphores(device, info, timeout);
}

// After the first failure the driver is asked for nothing more, and each call gives the first reason.
static void check_stays_lost(bench *b, const char *words)
{
    const uint32_t calls = spy.calls;
    float value = 0;
    void *made = NULL;
    iso_memory memory;
    const iso_module_source source = saxpy_source();
    check_fails(backend->wait(b->device), ISO_DEVICE_LOST, words);
    check_fails(backend->submit(b->device, b->list), ISO_DEVICE_LOST, words);
    check_fails(backend->read(b->device, &b->y, 0, &value, 4), ISO_DEVICE_LOST, words);
    check_fails(backend->write(b->device, &b->y, 0, &value, 4), ISO_DEVICE_LOST, words);
    check_fails(backend->fill(b->device, &b->y, 0, 4, 0), ISO_DEVICE_LOST, words);
    check_fails(backend->alloc(b->device, 64, &memory), ISO_DEVICE_LOST, words);
    check_fails(backend->module_create(b->device, &source, &made), ISO_DEVICE_LOST, words);
    check_fails(backend->list_create(b->device, &made), ISO_DEVICE_LOST, words);
    assert_int_equal(spy.calls, calls);
}

static void lost_in_wait_on(bench *b)
{
    start_spying(b);
    check(backend->submit(b->device, b->list));
    b->device->vk.WaitSemaphores = failing_wait;
    spy.result = VK_ERROR_DEVICE_LOST;
    check_fails(backend->wait(b->device), ISO_DEVICE_LOST, "VK_ERROR_DEVICE_LOST");
    assert_non_null(strstr(iso_status_last()->text, "test.saxpy"));
    assert_non_null(strstr(iso_status_last()->text, b->device->physical->info.name));
    check_stays_lost(b, "vkWaitSemaphores");
    spy.real.DeviceWaitIdle(b->device->handle); // it still runs in truth
}

static void lost_in_submit_on(bench *b)
{
    start_spying(b);
    b->device->vk.QueueSubmit = failing_submit;
    spy.result = VK_ERROR_OUT_OF_HOST_MEMORY; // not for good
    check_fails(backend->submit(b->device, b->list), ISO_OUT_OF_MEMORY, "vkQueueSubmit");
    spy.result = VK_ERROR_DEVICE_LOST;
    check_fails(backend->submit(b->device, b->list), ISO_DEVICE_LOST, "test.saxpy");
    check_stays_lost(b, "vkQueueSubmit");
}

// Time-outs alone are no failure as long as something moves; a device that stands still is given up.
static void hanging_on(bench *b)
{
    start_spying(b);
    b->device->vk.WaitSemaphores = slow_wait;
    b->device->vk.GetSemaphoreCounterValue = stuck_counter;
    spy.timeouts_left = 5;
    check_sum(b);
    assert_int_equal(spy.timeouts_left, 0);
    check(backend->submit(b->device, b->list));
    spy.timeouts_left = 1000;
    check_fails(backend->wait(b->device), ISO_DEVICE_LOST, "no progress");
    assert_true(spy.timeouts_left >= 980);
    check_stays_lost(b, "no progress");
    spy.real.DeviceWaitIdle(b->device->handle);
}

static void test_lost(void **state)
{
    (void)state;
    for_each_device(lost_in_wait_on);
    for_each_device(lost_in_submit_on);
    for_each_device(hanging_on);
}

// ---- memory ----

static VkResult VKAPI_CALL failing_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                            const VkAllocationCallbacks *callbacks,
                                            VkDeviceMemory *out_memory)
{
    (void)device, (void)info, (void)callbacks, (void)out_memory;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static void exhausted_on(bench *b)
{
    start_spying(b);
    iso_memory memory;
    b->device->vk.AllocateMemory = failing_allocate;
    check_fails(backend->alloc(b->device, 12345, &memory), ISO_OUT_OF_MEMORY, "12345 wanted");
    assert_non_null(strstr(iso_status_last()->text, "VK_ERROR_OUT_OF_DEVICE_MEMORY"));
    assert_null(memory.handle);
    b->device->vk = spy.real;
    const uint64_t limit = b->device->physical->info.max_allocation_bytes;
    check_fails(backend->alloc(b->device, limit + 1, &memory), ISO_OUT_OF_MEMORY, "at most");
    check(backend->alloc(b->device, 12345, &memory));
    backend->free(b->device, &memory);
    assert_null(memory.handle);
    check_sum(b);
}

static void test_exhausted(void **state)
{
    (void)state;
    for_each_device(exhausted_on);
}

// Several pieces of the staging block, at odd offsets, and nothing beside them.
static void check_large(bench *b)
{
    enum { SIZE = 37 << 20, FIRST = 12, LENGTH = SIZE - 100 };
    unsigned char *data = malloc(SIZE), *back = malloc(SIZE);
    assert_true(data != NULL && back != NULL);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 24);
    iso_memory memory;
    check(backend->alloc(b->device, SIZE, &memory));
    check(backend->fill(b->device, &memory, 0, SIZE, 0xa5a5a5a5));
    check(backend->write(b->device, &memory, FIRST + 1, data, LENGTH));
    check(backend->fill(b->device, &memory, 64, 8, 0));
    memset(data + 64 - FIRST - 1, 0, 8);
    check(backend->read(b->device, &memory, 0, back, SIZE));
    for (size_t i = 0; i <= FIRST; i++)
        assert_int_equal(back[i], 0xa5);
    assert_memory_equal(back + FIRST + 1, data, LENGTH);
    for (size_t i = FIRST + 1 + LENGTH; i < SIZE; i++)
        assert_int_equal(back[i], 0xa5);
    memset(back, 0, SIZE);
    check(backend->read(b->device, &memory, FIRST + 1 + 1000, back, LENGTH - 1000));
    assert_memory_equal(back, data + 1000, LENGTH - 1000);
    backend->free(b->device, &memory);
    free(data);
    free(back);
}

// A card whose memory the host sees only through a small window: its mapped heap is not the largest.
static void small_window(iso_vulkan_physical *physical)
{
    VkPhysicalDeviceMemoryProperties *memory = &physical->memory;
    memory->memoryHeaps[memory->memoryHeapCount++] =
        (VkMemoryHeap){.size = UINT64_MAX, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
}

// A card whose whole memory is mapped, but slow to read.
static void uncached(iso_vulkan_physical *physical)
{
    for (uint32_t i = 0; i < physical->memory.memoryTypeCount; i++)
        physical->memory.memoryTypes[i].propertyFlags &=
            ~(VkMemoryPropertyFlags)VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}

static void test_memory_kinds(void **state)
{
    (void)state;
    static const struct {
        void (*change)(iso_vulkan_physical *physical);
        bool mapped;
    } kinds[] = {{small_window, false}, {uncached, true}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bench b = {.driver = load()};
        const iso_device_options options = {0};
        for (uint32_t i = 0; i < b.driver->physical_count; i++) {
            if (!b.driver->physical[i].info.available)
                continue;
            kinds[k].change(&b.driver->physical[i]);
            check(prepare(&b, i, &options));
            assert_null(b.x.host);
            assert_int_equal(((iso_vulkan_block *)b.x.handle)->host != NULL, kinds[k].mapped);
            check_sum(&b);
            check_sum(&b);
            check_large(&b);
            clear(&b);
        }
        backend->unload(b.driver);
    }
    for_each_device(check_large);
}

// A device without a memory type for buffers.
static void test_no_memory_type(void **state)
{
    (void)state;
    bench b = {.driver = load()};
    const iso_device_options options = {0};
    for (uint32_t i = 0; i < b.driver->physical_count; i++) {
        if (!b.driver->physical[i].info.available)
            continue;
        b.driver->physical[i].memory.memoryTypeCount = 0;
        check_fails(prepare(&b, i, &options), ISO_UNAVAILABLE, "no memory type");
        clear(&b);
    }
    backend->unload(b.driver);
}

// ---- modules and the kernel cache ----

static VkResult VKAPI_CALL failing_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                             const VkComputePipelineCreateInfo *infos,
                                             const VkAllocationCallbacks *callbacks,
                                             VkPipeline *out_pipelines)
{
    (void)device, (void)cache, (void)count, (void)infos, (void)callbacks, (void)out_pipelines;
    return VK_ERROR_UNKNOWN;
}

static void refused_pipeline_on(bench *b)
{
    const iso_module_source source = saxpy_source();
    void *module = NULL;
    b->device->vk.CreateComputePipelines = failing_pipelines;
    check_fails(backend->module_create(b->device, &source, &module), ISO_BUILD_FAILED, "VK_ERROR_UNKNOWN");
    assert_non_null(strstr(iso_status_last()->text, b->device->physical->info.name));
    assert_null(module);
}

static void test_refused_pipeline(void **state)
{
    (void)state;
    for_each_device(refused_pipeline_on);
}

// A driver whose cache has content beyond the header; this machine's software drivers may have none.
enum { CACHE_BYTES = 100 };
static const iso_vulkan_physical *cache_of;

static VkResult VKAPI_CALL cache_data(VkDevice device, VkPipelineCache cache, size_t *inout_bytes,
                                      void *out_data)
{
    (void)device, (void)cache;
    spy.calls++;
    if (out_data != NULL) {
        const uint32_t head[4] = {32, VK_PIPELINE_CACHE_HEADER_VERSION_ONE, cache_of->vendor_id,
                                  cache_of->device_id};
        memset(out_data, 7, CACHE_BYTES);
        memcpy(out_data, head, sizeof head);
        memcpy((char *)out_data + sizeof head, cache_of->pipeline_cache_uuid, VK_UUID_SIZE);
    }
    *inout_bytes = CACHE_BYTES;
    return VK_SUCCESS;
}

// Notes what was loaded; the real driver, which did not make it, must not see it.
static VkResult VKAPI_CALL create_cache(VkDevice device, const VkPipelineCacheCreateInfo *info,
                                        const VkAllocationCallbacks *callbacks, VkPipelineCache *out_cache)
{
    VkPipelineCacheCreateInfo empty = *info;
    spy.cache_loaded_bytes = info->initialDataSize;
    empty.initialDataSize = 0;
    empty.pInitialData = NULL;
    return spy.real.CreatePipelineCache(device, &empty, callbacks, out_cache);
}

static void cache_on(bench *b)
{
    iso_module_source source = saxpy_source();
    void *module = NULL;
    start_spying(b);
    cache_of = b->device->physical;
    b->device->vk.GetPipelineCacheData = cache_data;
    b->device->vk.CreatePipelineCache = create_cache;
    for (int run = 0; run < 2; run++) {
        spy.calls = 0;
        check(backend->module_create(b->device, &source, &module));
        backend->module_destroy(b->device, module);
        assert_int_equal(spy.cache_loaded_bytes, run == 0 ? 0 : CACHE_BYTES);
        assert_int_equal(spy.calls, run == 0 ? 2 : 1); // the second time there is nothing new to store
    }
    // Another driver version has entries of its own.
    iso_vulkan_physical *physical = &b->driver->physical[b->device->physical->info.ordinal];
    physical->driver_version++;
    check(backend->module_create(b->device, &source, &module));
    backend->module_destroy(b->device, module);
    assert_int_equal(spy.cache_loaded_bytes, 0);
    // An entry that tells of another device inside is not handed to the driver.
    physical->vendor_id++;
    check(backend->module_create(b->device, &source, &module));
    backend->module_destroy(b->device, module);
    assert_int_equal(spy.cache_loaded_bytes, 0);
}

static void test_cache(void **state)
{
    (void)state;
    for_each_device(cache_on);
}

// A device with few groups; software drivers take nearly any number.
static void group_counts_on(bench *b)
{
    iso_vulkan_physical *physical = &b->driver->physical[b->device->physical->info.ordinal];
    iso_dispatch dispatch = saxpy(b);
    void *list = NULL;
    check(backend->list_create(b->device, &list));
    physical->info.max_groups[1] = 5;
    dispatch.groups[1] = 5;
    check(backend->list_dispatch(list, b->module, &dispatch));
    dispatch.groups[1] = 6;
    check_fails(backend->list_dispatch(list, b->module, &dispatch), ISO_UNSUPPORTED, "5 groups along y");
    assert_non_null(strstr(iso_status_last()->text, "test.saxpy wants 6"));
    backend->list_destroy(list); // never finished
}

static void test_group_counts(void **state)
{
    (void)state;
    for_each_device(group_counts_on);
}

// ---- barriers ----

static void VKAPI_CALL noting_barrier(VkCommandBuffer commands, VkPipelineStageFlags before,
                                      VkPipelineStageFlags after, VkDependencyFlags flags,
                                      uint32_t memory_count, const VkMemoryBarrier *memory,
                                      uint32_t buffer_count, const VkBufferMemoryBarrier *buffers,
                                      uint32_t image_count, const VkImageMemoryBarrier *images)
{
    assert_int_equal(memory_count, 1);
    assert_true(memory->srcAccessMask & VK_ACCESS_SHADER_WRITE_BIT);
    assert_true(memory->dstAccessMask & VK_ACCESS_SHADER_READ_BIT);
    assert_true(memory->dstAccessMask & VK_ACCESS_SHADER_WRITE_BIT);
    assert_true(before & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    assert_true(spy.calls < 8);
    spy.after[spy.calls++] = after;
    spy.real.CmdPipelineBarrier(commands, before, after, flags, memory_count, memory, buffer_count, buffers,
                                image_count, images);
}

// Software drivers run dispatches one after another, so a missing barrier would not show in any result.
static void barriers_on(bench *b)
{
    start_spying(b);
    b->device->vk.CmdPipelineBarrier = noting_barrier;
    const iso_dispatch dispatch = saxpy(b);
    void *list = NULL;
    check(backend->list_create(b->device, &list));
    check(backend->list_barrier(list)); // nothing before it
    check(backend->list_dispatch(list, b->module, &dispatch));
    check(backend->list_barrier(list));
    check(backend->list_barrier(list)); // nothing new before it
    check(backend->list_dispatch(list, b->module, &dispatch));
    check(backend->list_finish(list));
    assert_int_equal(spy.calls, 2);
    assert_int_equal(spy.after[0], VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    assert_true(spy.after[1] & VK_PIPELINE_STAGE_HOST_BIT);
    assert_true(spy.after[1] & VK_PIPELINE_STAGE_TRANSFER_BIT);
    assert_true(spy.after[1] & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    backend->list_destroy(list);
}

static void test_barriers(void **state)
{
    (void)state;
    for_each_device(barriers_on);
}

static int make_cache_folder(void **state)
{
    (void)state;
    return mkdtemp(cache_folder) != NULL && setenv("XDG_CACHE_HOME", cache_folder, 1) == 0 ? 0 : -1;
}

static int remove_cache_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", cache_folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_memory_kinds),
        cmocka_unit_test(test_no_memory_type),
        cmocka_unit_test(test_refused_pipeline),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_group_counts),
        cmocka_unit_test(test_barriers),
    };
    return cmocka_run_group_tests(tests, make_cache_folder, remove_cache_folder);
}
