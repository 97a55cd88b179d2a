// SPDX-License-Identifier: MIT
//
// The Vulkan backend's driver: absent and wrong libraries, devices that lack something, the order of devices;
// and the host allocations of a short run: each may fail, and a replay makes none.
#include "conformance/unit/vulkan_bench.h"

// ---- drivers ----

static PFN_vkGetPhysicalDeviceFeatures2 real_features;
static PFN_vkGetPhysicalDeviceProperties real_properties;
static PFN_vkGetPhysicalDeviceQueueFamilyProperties real_families;
static PFN_vkEnumeratePhysicalDevices real_enumerate;

static void VKAPI_CALL no_addresses(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features)
{
    real_features(device, features);
    for (VkBaseOutStructure *s = features->pNext; s != NULL; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)
            ((VkPhysicalDeviceVulkan12Features *)s)->bufferDeviceAddress = VK_FALSE;
    }
}

static void VKAPI_CALL old_version(VkPhysicalDevice device, VkPhysicalDeviceProperties *properties)
{
    real_properties(device, properties);
    properties->apiVersion = VK_API_VERSION_1_1;
}

static void VKAPI_CALL no_compute(VkPhysicalDevice device, uint32_t *count, VkQueueFamilyProperties *families)
{
    real_families(device, count, families);
    for (uint32_t i = 0; families != NULL && i < *count; i++)
        families[i].queueFlags = VK_QUEUE_GRAPHICS_BIT;
}

static VkResult VKAPI_CALL no_devices(VkInstance instance, uint32_t *count, VkPhysicalDevice *devices)
{
    (void)instance, (void)devices;
    *count = 0;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL reversed_devices(VkInstance instance, uint32_t *count, VkPhysicalDevice *devices)
{
    VkResult result = real_enumerate(instance, count, devices);
    for (uint32_t i = 0; devices != NULL && i < *count / 2; i++) {
        VkPhysicalDevice device = devices[i];
        devices[i] = devices[*count - 1 - i];
        devices[*count - 1 - i] = device;
    }
    return result;
}

static void enumerate_again(iso_vulkan_driver *driver)
{
    iso_free(driver->allocator, driver->physical);
    driver->physical = NULL;
    driver->physical_count = 0;
    check(iso_vulkan_enumerate(driver));
}

static void check_unusable(iso_vulkan_driver *driver, const char *words)
{
    const iso_device_options options = {0};
    enumerate_again(driver);
    assert_true(driver->physical_count > 0);
    for (uint32_t i = 0; i < driver->physical_count; i++) {
        iso_device_info info = {.struct_bytes = sizeof info};
        void *device = NULL;
        check(backend->device_info(driver, i, &info));
        assert_int_equal(info.ordinal, i);
        assert_false(info.available);
        assert_non_null(strstr(info.reason, words));
        check_fails(backend->open_device(driver, i, &options, &device), ISO_UNAVAILABLE, words);
        assert_null(device);
    }
}

static void test_unusable_devices(void **state)
{
    (void)state;
    iso_vulkan_driver *driver = load();
    const iso_vulkan_instance_functions real = driver->vk;
    real_features = real.GetPhysicalDeviceFeatures2;
    real_properties = real.GetPhysicalDeviceProperties;
    real_families = real.GetPhysicalDeviceQueueFamilyProperties;

    driver->vk.GetPhysicalDeviceFeatures2 = no_addresses;
    check_unusable(driver, "bufferDeviceAddress");
    driver->vk = real;
    driver->vk.GetPhysicalDeviceProperties = old_version;
    check_unusable(driver, "Vulkan 1.1");
    driver->vk = real;
    driver->vk.GetPhysicalDeviceQueueFamilyProperties = no_compute;
    check_unusable(driver, "no queue");
    driver->vk = real;
    driver->vk.EnumeratePhysicalDevices = no_devices;
    iso_free(NULL, driver->physical);
    driver->physical = NULL;
    driver->physical_count = 0;
    check_fails(iso_vulkan_enumerate(driver), ISO_UNAVAILABLE, "mesa-vulkan-drivers");
    backend->unload(driver);
}

// The same devices get the same numbers, in whatever order the loader finds them.
static void test_order(void **state)
{
    (void)state;
    iso_vulkan_driver *driver = load();
    char before[16][128] = {""};
    const uint32_t count = driver->physical_count < 16 ? driver->physical_count : 16;
    for (uint32_t i = 0; i < count; i++)
        memcpy(before[i], driver->physical[i].info.name, sizeof before[i]);
    real_enumerate = driver->vk.EnumeratePhysicalDevices;
    driver->vk.EnumeratePhysicalDevices = reversed_devices;
    enumerate_again(driver);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(before[i], driver->physical[i].info.name);
    backend->unload(driver);
}

static void test_no_library(void **state)
{
    (void)state;
    void *driver = NULL;
    const char *old = getenv("ISOMER_VULKAN_LIBRARY");
    char *kept = old != NULL ? strdup(old) : NULL;
    setenv("ISOMER_VULKAN_LIBRARY", "/nowhere/libvulkan.so.1", 1);
    check_fails(backend->load(NULL, NULL, &driver), ISO_UNAVAILABLE, "/nowhere/libvulkan.so.1");
    assert_null(driver);
    setenv("ISOMER_VULKAN_LIBRARY", "libm.so.6", 1); // a library, but not that of Vulkan
    check_fails(backend->load(NULL, NULL, &driver), ISO_UNAVAILABLE, "vkGetInstanceProcAddr");
    assert_null(driver);
    if (kept != NULL)
        setenv("ISOMER_VULKAN_LIBRARY", kept, 1);
    else
        unsetenv("ISOMER_VULKAN_LIBRARY");
    free(kept);
}

static void test_no_timestamps(void **state)
{
    (void)state;
    iso_vulkan_driver *driver = load();
    const iso_device_options options = {.profile = true};
    void *device = NULL;
    for (uint32_t i = 0; i < driver->physical_count; i++) {
        if (!driver->physical[i].info.available)
            continue;
        driver->physical[i].timestamp_bits = 0;
        check_fails(backend->open_device(driver, i, &options, &device), ISO_UNSUPPORTED, "time stamps");
        assert_null(device);
    }
    backend->unload(driver);
}

// ---- host allocations ----

typedef struct counting_allocator {
    int64_t left;   // allocations that still succeed
    int64_t living; // blocks not released
    bool failed;
} counting_allocator;

static void *counting_resize(void *context, void *memory, size_t bytes)
{
    counting_allocator *counter = context;
    if (counter->left-- <= 0) {
        counter->failed = true;
        return NULL;
    }
    counter->living += memory == NULL;
    return realloc(memory, bytes);
}

static void counting_release(void *context, void *memory)
{
    counting_allocator *counter = context;
    counter->living -= memory != NULL;
    free(memory);
}

static iso_status short_run(const iso_allocator *allocator)
{
    bench b = {0};
    void *driver = NULL;
    ISO_TRY(backend->load(allocator, NULL, &driver));
    b.driver = driver;
    const iso_device_options options = {.allocator = allocator, .profile = true};
    iso_status status = ISO_OK;
    for (uint32_t i = 0; i < b.driver->physical_count && status == ISO_OK; i++) {
        if (b.driver->physical[i].info.available)
            status = prepare(&b, i, &options);
        if (status == ISO_OK && b.list != NULL)
            status = backend->submit(b.device, b.list);
        clear(&b);
    }
    backend->unload(driver);
    return status;
}

// The n-th host allocation fails, for all n: a clear status (or a run that did without), and nothing leaks.
static void test_failing_allocations(void **state)
{
    (void)state;
    backend->unload(load());
    for (int64_t n = 0; n < 1000; n++) {
        counting_allocator counter = {.left = n};
        const iso_allocator allocator = {&counter, counting_resize, counting_release};
        iso_status status = short_run(&allocator);
        assert_int_equal(counter.living, 0);
        if (!counter.failed) {
            check(status);
            assert_true(n > 5);
            return;
        }
        // The disk cache is allowed to do without.
        assert_true(status == ISO_OUT_OF_MEMORY || status == ISO_OK);
    }
    fail_msg("the run never ended");
}

// Replays ask the allocator for nothing.
static void test_replay_allocates_nothing(void **state)
{
    (void)state;
    bench b = {.driver = load()};
    counting_allocator counter = {.left = 100000};
    const iso_allocator allocator = {&counter, counting_resize, counting_release};
    const iso_device_options options = {.allocator = &allocator};
    for (uint32_t i = 0; i < b.driver->physical_count; i++) {
        if (!b.driver->physical[i].info.available)
            continue;
        check(prepare(&b, i, &options));
        const int64_t left = counter.left;
        for (int run = 0; run < 10; run++)
            check_sum(&b);
        assert_int_equal(counter.left, left);
        clear(&b);
    }
    assert_int_equal(counter.living, 0);
    backend->unload(b.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unusable_devices),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_no_library),          cmocka_unit_test(test_no_timestamps),
        cmocka_unit_test(test_failing_allocations), cmocka_unit_test(test_replay_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
