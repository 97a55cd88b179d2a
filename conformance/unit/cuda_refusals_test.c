// SPDX-License-Identifier: MIT
//
// The CUDA backend with drivers, devices and compilers that it must refuse, with memory that runs out, and
// with kernels that take the device down. Each in a process of its own.
#include "conformance/unit/cuda_child.h"
#include "isomer/ops.h"
#include "kernels/op_list.h"
#include "runtime/base/strings.h"

enum { FLOATS = 256 };

static const char *const nothing[] = {NULL};
static const char *const kernels[] = {": kernel: ", NULL}; // what a kernel did that takes the device down

static cuda_child expect_clean(int (*body)(FILE *out), const cuda_setting *settings,
                               const char *const *allowed)
{
    char line[512];
    const cuda_child child = cuda_run_child(body, settings);
    const char *finding = child_finding(&child, allowed, line);
    if (!child_ended_well(&child) || finding)
        fail_msg("status %d, finding %s, said %s", child.status, finding ? finding : "none", child.said);
    return child;
}

static void expect_words(const cuda_child *child, const char *words)
{
    if (!strstr(child->said, words))
        fail_msg("\"%s\" is not said in: %s", words, child->said);
}

static cuda_child expect_one(int (*body)(FILE *out), const char *variable, const char *value,
                             const char *words)
{
    const cuda_setting settings[] = {{"ISOMER_CUDA_NVRTC", "off"}, {variable, value}, {NULL, NULL}};
    const cuda_child child = expect_clean(body, settings, nothing);
    expect_words(&child, words);
    return child;
}

// ---- drivers and devices ----

// The backend's reason, or each device with its driver, formats and reason.
static int look(FILE *out)
{
    iso_registry *registry = NULL;
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    for (uint32_t i = 0; i < iso_registry_backend_count(registry); i++) {
        const char *reason = NULL;
        if (strcmp(iso_registry_backend(registry, i, &reason), "cuda") == 0 && reason)
            fprintf(out, "unavailable: %s\n", reason);
    }
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        iso_device *device = NULL;
        fprintf(out, "%s, %s, %s, first format %d: %s\n", info->name, info->driver, info->arch,
                (int)info->code_formats[0], info->available ? "available" : info->reason);
        iso_status status = iso_device_open(registry, "cuda:0", NULL, &device);
        CHILD_REQUIRE(status == (info->available ? ISO_OK : ISO_UNAVAILABLE));
        iso_device_close(device);
    }
    iso_registry_destroy(registry);
    return 0;
}

static void test_versions(void **state)
{
    (void)state;
    cuda_need_simulator();
    expect_one(look, "ISOMER_CUDASIM_VERSION", "11030", "is for CUDA 11.3, at least 11.4 is needed");
    expect_one(look, "ISOMER_CUDASIM_VERSION", "9020", "is for CUDA 9.2, at least 11.4 is needed");
    expect_one(look, "ISOMER_CUDASIM_VERSION", "11040", "CUDA 11.4, without NVRTC");
    expect_one(look, "ISOMER_CUDASIM_VERSION", "12030", ": available");
    expect_one(look, "ISOMER_CUDASIM_VERSION", "14010", "CUDA 14.1");
}

static void test_missing_functions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool optional;
    } symbols[] = {
#define ISO_CUDA_SYMBOL(name, parameters)            {#name, false},
#define ISO_CUDA_OPTIONAL(name, version, parameters) {#name, true},
#include "backends/cuda/symbols.def"
    };
    cuda_need_simulator();
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        char words[128];
        snprintf(words, sizeof words, "has no %s of CUDA 11.4", symbols[i].name);
        expect_one(look, "ISOMER_CUDASIM_LACKS", symbols[i].name,
                   symbols[i].optional ? ": available" : words);
    }
}

static void test_foreign_libraries(void **state)
{
    (void)state;
    const char *stub = getenv("ISOMER_CUDA_DRIVER_STUB");
    cuda_need_simulator();
    assert_non_null(stub);
    expect_one(look, "ISOMER_CUDA_DRIVER", "libm.so.6", "libm.so.6 has no cuDriverGetVersion");
    expect_one(look, "ISOMER_CUDA_DRIVER", "/nowhere/libcuda.so.1", "/nowhere/libcuda.so.1: cannot open");
    expect_one(look, "ISOMER_CUDA_DRIVER", stub, "cuDriverGetVersion failed: CUDA_ERROR_UNKNOWN (999)");
    setenv("ISOMER_CUDA_STUB_VERSION", "10020", 1);
    expect_one(look, "ISOMER_CUDA_DRIVER", stub, "is for CUDA 10.2, at least 11.4 is needed");
    setenv("ISOMER_CUDA_STUB_VERSION", "12040", 1);
    expect_one(look, "ISOMER_CUDA_DRIVER", stub, "has no cuGetProcAddress");
    unsetenv("ISOMER_CUDA_STUB_VERSION");
}

static void test_devices(void **state)
{
    (void)state;
    cuda_need_simulator();
    static const char *const archs[] = {"sm_75", "sm_80", "sm_89", "sm_90"};
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        const cuda_child child = expect_one(look, "ISOMER_CUDASIM_ARCH", archs[i], ": available");
        expect_words(&child, archs[i]);
    }
    expect_one(look, "ISOMER_CUDASIM_ATTRIBUTES", "75=7,76=0",
               "the device has compute capability 7.0, at least 7.5 is needed");
    expect_one(look, "ISOMER_CUDASIM_ATTRIBUTES", "20=2", "compute mode is 'prohibited'");
    // cuInit, cuDeviceGetCount, cuDeviceGet, an attribute
    expect_one(look, "ISOMER_CUDASIM_FAIL", "2:CUDA_ERROR_NO_DEVICE", "CUDA_VISIBLE_DEVICES");
    expect_one(look, "ISOMER_CUDASIM_FAIL", "2:CUDA_ERROR_NOT_INITIALIZED",
               "forked from one that has used CUDA");
    expect_one(look, "ISOMER_CUDASIM_FAIL", "2:CUDA_ERROR_UNKNOWN", "whether /dev/nvidia-uvm is there");
    expect_one(look, "ISOMER_CUDASIM_FAIL", "3:CUDA_ERROR_NOT_PERMITTED", "cuDeviceGetCount failed");
    expect_one(look, "ISOMER_CUDASIM_FAIL", "4:CUDA_ERROR_INVALID_DEVICE", "cuDeviceGet failed");
    expect_one(look, "ISOMER_CUDASIM_FAIL", "7:CUDA_ERROR_INVALID_VALUE",
               "cuDeviceGetAttribute of COMPUTE_CAPABILITY_MAJOR failed: CUDA_ERROR_INVALID_VALUE (1)");
}

// ---- memory ----

// Two thirds of all, twice; then once more after a release.
static int exhaust(FILE *out)
{
    const uint64_t bytes = 48 << 20;
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    iso_buffer *first = NULL, *second = NULL;
    const iso_device_options options = {.allocator = &child_allocator};
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    CHILD_REQUIRE(iso_device_open(registry, "cuda:0", &options, &device) == ISO_OK);
    CHILD_REQUIRE(iso_device_get_info(device)->memory_bytes == 64 << 20);
    CHILD_REQUIRE(iso_buffer_create(device, 65 << 20, &first) == ISO_UNSUPPORTED);
    CHILD_REQUIRE(iso_buffer_create(device, bytes, &first) == ISO_OK);
    CHILD_REQUIRE(iso_buffer_create(device, bytes, &second) == ISO_OUT_OF_MEMORY);
    fprintf(out, "%s\n", iso_status_last()->text);
    CHILD_REQUIRE(iso_buffer_fill(first, 0, bytes, 7) == ISO_OK);
    iso_buffer_release(first);
    CHILD_REQUIRE(iso_device_wait(device) == ISO_OK);
    CHILD_REQUIRE(iso_buffer_create(device, bytes, &second) == ISO_OK);
    iso_buffer_release(second);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return 0;
}

static void test_memory(void **state)
{
    (void)state;
    cuda_need_simulator();
    const cuda_setting with_pools[] = {{"ISOMER_CUDASIM_MEMORY", "64M"}, {NULL, NULL}};
    cuda_child child = expect_clean(exhaust, with_pools, nothing);
    expect_words(&child, "allocation of 50331648 bytes, with 16777216 of 67108864 bytes free");
    expect_words(&child, "cuMemAllocFromPoolAsync failed: CUDA_ERROR_OUT_OF_MEMORY (2)");
    const cuda_setting without[] = {
        {"ISOMER_CUDASIM_MEMORY", "64M"}, {"ISOMER_CUDASIM_ATTRIBUTES", "115=0"}, {NULL, NULL}};
    child = expect_clean(exhaust, without, nothing);
    expect_words(&child, "cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY (2)");
}

// ---- a device that is lost ----

static iso_status make_list(iso_device *device, const char *last, iso_module **modules, iso_buffer **x,
                            iso_list **list)
{
    iso_module_source source = cuda_source("next");
    float values[FLOATS] = {0};
    ISO_TRY(iso_module_create(device, &source, &modules[0]));
    source = cuda_source(last);
    ISO_TRY(iso_module_create(device, &source, &modules[1]));
    ISO_TRY(iso_buffer_create(device, sizeof values, x));
    ISO_TRY(iso_buffer_write(*x, 0, values, sizeof values));
    ISO_TRY(iso_list_create(device, list));
    iso_dispatch dispatch = cuda_dispatch("first.kernel", FLOATS, *x, *x, 1);
    ISO_TRY(iso_list_dispatch(*list, modules[0], &dispatch));
    ISO_TRY(iso_list_barrier(*list));
    dispatch = cuda_dispatch("last.kernel", FLOATS, *x, *x, 1);
    ISO_TRY(iso_list_dispatch(*list, modules[1], &dispatch));
    ISO_TRY(iso_list_barrier(*list));
    dispatch = cuda_dispatch("after.it", FLOATS, *x, *x, 1); // never runs
    ISO_TRY(iso_list_dispatch(*list, modules[0], &dispatch));
    return iso_list_finish(*list);
}

static const char *fatal_entry;
static int learns_by; // 0: wait, 1: read, 2: the list is destroyed

// Loses the device, sees every later call say so, closes it and opens it again.
static int lose(FILE *out)
{
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    iso_module *modules[3] = {NULL};
    iso_buffer *x = NULL, *y = NULL;
    iso_list *list = NULL, *other = NULL;
    float value;
    const iso_device_options options = {.allocator = &child_allocator};
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    CHILD_REQUIRE(iso_device_open(registry, "cuda:0", &options, &device) == ISO_OK);
    CHILD_REQUIRE(make_list(device, fatal_entry, modules, &x, &list) == ISO_OK);
    CHILD_REQUIRE(iso_list_submit(list) == ISO_OK);
    CHILD_REQUIRE(iso_list_submit(list) == ISO_OK);
    iso_status status = ISO_OK;
    if (learns_by == 1)
        status = iso_buffer_read(x, 0, &value, 4);
    if (learns_by == 2)
        iso_list_destroy(list);
    if (learns_by != 1)
        status = iso_device_wait(device);
    CHILD_REQUIRE(status == ISO_DEVICE_LOST);
    fprintf(out, "%s\n", iso_status_last()->text);
    char text[1024];
    snprintf(text, sizeof text, "%s", strstr(iso_status_last()->text, " is lost: "));
    const iso_module_source source = cuda_source("next");
#define SAME(call) CHILD_REQUIRE((call) == ISO_DEVICE_LOST && strstr(iso_status_last()->text, text))
    SAME(iso_device_wait(device));
    SAME(iso_buffer_create(device, 4, &y));
    SAME(iso_buffer_write(x, 0, &value, 4));
    SAME(iso_buffer_read(x, 0, &value, 4));
    SAME(iso_buffer_fill(x, 0, 4, 0));
    SAME(iso_module_create(device, &source, &modules[2]));
    SAME(iso_list_create(device, &other));
    if (learns_by != 2)
        SAME(iso_list_submit(list));
    if (learns_by != 2)
        iso_list_destroy(list);
    iso_module_destroy(modules[1]);
    iso_module_destroy(modules[0]);
    iso_buffer_release(x);
    iso_device_close(device);

    // Nobody else holds the context: opening makes a new one.
    CHILD_REQUIRE(iso_device_open(registry, "cuda:0", &options, &device) == ISO_OK);
    CHILD_REQUIRE(make_list(device, "next", modules, &x, &list) == ISO_OK);
    CHILD_REQUIRE(iso_list_submit(list) == ISO_OK);
    CHILD_REQUIRE(iso_buffer_read(x, 0, &value, 4) == ISO_OK && value == 3);
    iso_list_destroy(list);
    iso_module_destroy(modules[1]);
    iso_module_destroy(modules[0]);
    iso_buffer_release(x);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return 0;
}

static void test_lost(void **state)
{
    (void)state;
    static const char *const entries[][2] = {{"waits", "CUDA_ERROR_LAUNCH_TIMEOUT (702)"},
                                             {"stop", "CUDA_ERROR_ILLEGAL_INSTRUCTION (715)"}};
    static const char *const pools[] = {"", "115=0"};
    cuda_need_simulator();
    for (int i = 0; i < 12; i++) {
        const cuda_setting settings[] = {{"ISOMER_CUDASIM_ATTRIBUTES", pools[i / 6]}, {NULL, NULL}};
        fatal_entry = entries[i % 2][0];
        learns_by = i / 2 % 3;
        const cuda_child child = expect_clean(lose, settings, kernels);
        expect_words(&child, entries[i % 2][1]);
        expect_words(&child, "after a list of 3 dispatches from 'first.kernel' to 'after.it'");
        if (i < 2)
            print_message("%s", child.said);
    }
}

// ---- code for newer devices and drivers ----

static int load_newer(FILE *out)
{
    static const char text[] = CUDA_PTX_HEAD("7.8", "sm_90") CUDA_PTX_BODY;
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    iso_module *module = NULL;
    iso_module_source source = cuda_source("next");
    source.code = text;
    source.code_bytes = sizeof text - 1;
    const iso_device_options options = {.allocator = &child_allocator};
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    CHILD_REQUIRE(iso_device_open(registry, "cuda:0", &options, &device) == ISO_OK);
    iso_status status = iso_module_create(device, &source, &module);
    fprintf(out, "%s %s\n", iso_status_name(status), status == ISO_OK ? "" : iso_status_last()->text);
    iso_module_destroy(module);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return 0;
}

static void test_newer_code(void **state)
{
    (void)state;
    cuda_need_simulator();
    expect_one(load_newer, "ISOMER_CUDASIM_ARCH", "sm_75",
               "build-failed kernel test.kernel on device cuda:0: Tesla T4 (simulated sm_75): "
               "cuModuleLoadDataEx failed: "
               "CUDA_ERROR_INVALID_PTX (218): the PTX is for sm_90, the device is sm_75");
    expect_one(load_newer, "ISOMER_CUDASIM_ARCH", "sm_90", "ok");
    expect_one(
        load_newer, "ISOMER_CUDASIM_VERSION", "11070",
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION (222): PTX 7.8 needs a driver for CUDA 11.8; this is one for "
        "11.7; its PTX is newer than the driver: update the driver");
    expect_one(load_newer, "ISOMER_CUDASIM_VERSION", "11080", "ok");
}

// Which code the device takes of each kernel that it has code of.
static int choose(FILE *out)
{
    iso_registry *registry = NULL;
    uint32_t taken[ISO_CODE_FORMAT_COUNT] = {0}, refused = 0, first = 0;
    char reason[ISO_REASON_BYTES], last[ISO_REASON_BYTES] = "";
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    CHILD_REQUIRE(iso_registry_find(registry, "cuda:0", &first) == ISO_OK);
    const iso_device_info *info = iso_registry_device_info(registry, first);
    const iso_op_table *ops = iso_ops();
    for (uint32_t o = 0; o < ops->count; o++) {
        for (uint32_t k = 0; k < ops->ops[o]->kernel_count; k++) {
            const iso_kernel_code *code = iso_kernel_find_code(ops->ops[o]->kernels[k], info, reason);
            bool newer = !code && strstr(reason, "its code is for");
            if (code)
                taken[code->format]++;
            if (newer)
                iso_copy_text(last, sizeof last, reason);
            refused += newer;
        }
    }
    fprintf(out, "%u for newer drivers, %u CUDA C++, %u cubin, %u PTX, last: %s.\n", refused,
            taken[ISO_CODE_CUDA_C], taken[ISO_CODE_CUBIN], taken[ISO_CODE_PTX], last);
    iso_registry_destroy(registry);
    return 0;
}

// FP8 products came with CUDA 12.4; machine code is for drivers of its assembler's major version or later.
static void test_code_by_version(void **state)
{
    (void)state;
    cuda_need_simulator();
    const iso_op_info *linear = iso_ops()->ops[iso_op_linear];
    bool has_cuda = false;
    for (uint32_t k = 0; k < linear->kernel_count; k++)
        has_cuda |= linear->kernels[k]->backend != NULL;
    if (!has_cuda) {
        print_message("skipped: this build has no kernels for CUDA\n");
        skip();
    }
    cuda_child child = expect_one(choose, "ISOMER_CUDASIM_VERSION", "12030",
                                  "last: its code is for version 12.4 and later; \"CUDA 12.3, without NVRTC: "
                                  "ISOMER_CUDA_NVRTC is off\" takes 12.3.");
    assert_null(strstr(child.said, "0 for newer"));
    expect_one(choose, "ISOMER_CUDASIM_VERSION", "11040", " 0 cubin, ");
    expect_one(choose, "ISOMER_CUDASIM_VERSION", "12040", "0 for newer drivers");
    expect_one(choose, "ISOMER_CUDASIM_VERSION", "14000", "0 for newer drivers");
    // An older NVRTC gets what it knows, and the driver the rest.
    const cuda_setting old_compiler[] = {{"ISOMER_CUDA_NVRTC", getenv("ISOMER_NVRTC_STUB")},
                                         {"ISOMER_NVRTC_STUB_VERSION", "12.2"},
                                         {NULL, NULL}};
    child = expect_clean(choose, old_compiler, nothing);
    expect_words(&child, "0 for newer drivers");
    assert_null(strstr(child.said, " 0 CUDA C++"));
    assert_null(strstr(child.said, " 0 cubin, 0 PTX"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_missing_functions),
        cmocka_unit_test(test_foreign_libraries),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_newer_code),
        cmocka_unit_test(test_code_by_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
