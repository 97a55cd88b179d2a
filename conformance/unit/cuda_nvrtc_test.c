// SPDX-License-Identifier: MIT
//
// How the CUDA backend finds NVRTC, when it leaves it aside, and what becomes of text: with a library in
// NVRTC's place that is built beside the test, so that no NVIDIA software is needed. cuda_modules_test.c uses
// the real one.

#include "conformance/unit/cuda_child.h"

static const char *const nothing[] = {NULL};
static char cache_folder[] = "/tmp/isomer-cuda-cache-XXXXXX";

// A device's line has no room for a path like this one.
#define LONG_FOLDER                                                                                          \
    "/a/folder/with/a/path/that/is/longer/than/the/line/of/a/device/a/folder/with/a/path/that/is/longer/"    \
    "than/the/line/of/a/device/"

// Text that the stub takes, and text that it refuses.
static const char good_text[] = "//PTX\n" CUDA_PTX_HEAD("6.4", "sm_75") CUDA_PTX_BODY;
static const char bad_text[] = "void next() {}\n";
static const char *text; // of this run
static int builds;       // how often

static void build_on(FILE *out, iso_registry *registry, const char *name)
{
    iso_device *device = NULL;
    const iso_device_options options = {.allocator = &child_allocator};
    iso_module_source source = cuda_source("next");
    source.format = ISO_CODE_CUDA_C;
    source.code = text;
    source.code_bytes = strlen(text);
    CHILD_REQUIRE(iso_device_open(registry, name, &options, &device) == ISO_OK);
    const iso_device_info *info = iso_device_get_info(device);
    fprintf(out, "%s: format %d\n", info->driver, (int)info->code_formats[0]);
    for (int i = 0; i < builds; i++) {
        iso_module *module = NULL;
        iso_status status = iso_module_create(device, &source, &module);
        fprintf(out, "%s %s\n", iso_status_name(status), status == ISO_OK ? "" : iso_status_last()->text);
        iso_module_destroy(module);
    }
    iso_device_close(device);
}

static int build(FILE *out)
{
    iso_registry *registry = NULL;
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    build_on(out, registry, "cuda:0");
    iso_registry_destroy(registry);
    return 0;
}

static int build_on_two(FILE *out)
{
    iso_registry *registry = NULL;
    CHILD_REQUIRE(child_registry(&registry) == ISO_OK);
    build_on(out, registry, "cuda:1");
    build_on(out, registry, "cuda:0");
    iso_registry_destroy(registry);
    return 0;
}

static cuda_child expect(const char *variable, const char *value, const char *words)
{
    const char *stub = getenv("ISOMER_NVRTC_STUB");
    const cuda_setting settings[] = {{"ISOMER_CUDA_NVRTC", stub}, {variable, value}, {NULL, NULL}};
    char line[512];
    const cuda_child child = cuda_run_child(build, settings);
    const char *finding = child_finding(&child, nothing, line);
    if (!child_ended_well(&child) || finding || !strstr(child.said, words))
        fail_msg("%s=%s: status %d, finding %s, want \"%s\", said %s", variable, value, child.status,
                 finding ? finding : "none", words, child.said);
    return child;
}

static int count_cached(void)
{
    int count = 0;
    char path[512];
    snprintf(path, sizeof path, "find '%s' -type f | wc -l", cache_folder);
    FILE *pipe = popen(path, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static void test_finding(void **state)
{
    (void)state;
    cuda_need_simulator();
    assert_non_null(getenv("ISOMER_NVRTC_STUB"));
    char with_text[32], without[32];
    snprintf(with_text, sizeof with_text, "format %d", (int)ISO_CODE_CUDA_C);
    snprintf(without, sizeof without, "format %d", (int)ISO_CODE_CUBIN);
    builds = 0;
    text = good_text;
    cuda_child child = expect("ISOMER_NVRTC_STUB_VERSION", "12.4", "CUDA 13.0, NVRTC 12.4: ");
    assert_non_null(strstr(child.said, with_text));
    static const struct {
        const char *variable, *value, *words;
    } refused[] = {
        {"ISOMER_NVRTC_STUB_VERSION", "13.1", "is 13.1, newer than the driver"},
        {"ISOMER_NVRTC_STUB_VERSION", "none", "nvrtcVersion failed"},
        {"ISOMER_NVRTC_STUB_ARCH", "100", "NVRTC 13.0 not used: it does not know sm_90"},
        {"ISOMER_NVRTC_STUB_FAIL", "2", "NVRTC 13.0 not used: it does not know sm_90"},
        {"ISOMER_NVRTC_STUB_FAIL", "3", "NVRTC 13.0 not used: it does not know sm_90"},
        {"ISOMER_CUDA_NVRTC", "off", "without NVRTC: ISOMER_CUDA_NVRTC is off"},
        {"ISOMER_CUDA_NVRTC", "/nowhere/libnvrtc.so", "without NVRTC: libnvrtc.so: cannot open"},
        {"ISOMER_CUDA_NVRTC", LONG_FOLDER "libnvrtc.so", "without NVRTC: libnvrtc.so: cannot open"},
        {"ISOMER_CUDA_NVRTC", "libm.so.6", "without NVRTC: libm.so.6 has no nvrtcVersion"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        child = expect(refused[i].variable, refused[i].value, refused[i].words);
        assert_non_null(strstr(child.said, without));
    }
}

static void test_building(void **state)
{
    (void)state;
    cuda_need_simulator();
    builds = 1;
    text = bad_text;
    expect("ISOMER_NVRTC_STUB_VERSION", "13.0",
           "build-failed kernel test.kernel on device cuda:0: nvrtcCompileProgram failed: "
           "NVRTC_ERROR_COMPILATION (6): "
           "kernel(7): error: the stub refuses this\n");
    expect("ISOMER_NVRTC_STUB_FAIL", "6",
           "nvrtcCompileProgram failed: NVRTC_ERROR_COMPILATION (6)\n"); // no log
    expect("ISOMER_NVRTC_STUB_FAIL", "7", "nvrtcCompileProgram failed: NVRTC_ERROR_COMPILATION (6)\n");
    assert_int_equal(count_cached(), 0);
    text = good_text;
    expect("ISOMER_NVRTC_STUB_FAIL", "4",
           "out-of-memory kernel test.kernel on device cuda:0: nvrtcCreateProgram");
    expect("ISOMER_NVRTC_STUB_FAIL", "5",
           "unavailable kernel test.kernel on device cuda:0: nvrtcCompileProgram");
    expect("ISOMER_NVRTC_STUB_FAIL", "6", "nvrtcGetPTXSize failed: NVRTC_ERROR_INVALID_PROGRAM (4)");
    expect("ISOMER_NVRTC_STUB_FAIL", "7", "nvrtcGetPTX failed: NVRTC_ERROR_INVALID_PROGRAM (4)");
    assert_int_equal(count_cached(), 0);
}

// Once compiled, from the cache: a compiler that fails is not asked again. Another version of it is.
static void test_cache(void **state)
{
    (void)state;
    cuda_need_simulator();
    builds = 2;
    text = good_text;
    cuda_child child = expect("ISOMER_NVRTC_STUB_FAIL", "100", "ok \nok \n");
    assert_int_equal(count_cached(), 1);
    expect("ISOMER_NVRTC_STUB_FAIL", "5", "ok \nok \n"); // compiling would fail
    assert_int_equal(count_cached(), 1);
    child = expect("ISOMER_NVRTC_STUB_VERSION", "12.9", "ok \nok \n");
    assert_int_equal(count_cached(), 2);
    assert_non_null(strstr(child.said, "NVRTC 12.9"));
}

// One text for two chips is compiled and kept twice, also where all else is alike.
static void test_two_chips(void **state)
{
    (void)state;
    const cuda_setting settings[] = {{"ISOMER_CUDA_NVRTC", getenv("ISOMER_NVRTC_STUB")},
                                     {"ISOMER_CUDASIM_ARCH", "sm_80,sm_90"},
                                     {"ISOMER_NVRTC_STUB_ARCH", "80,90"},
                                     {"ISOMER_NVRTC_STUB_VERSION", "12.8"}, // none of it is kept yet
                                     {NULL, NULL}};
    cuda_need_simulator();
    builds = 1;
    text = good_text;
    const int before = count_cached();
    cuda_run_child(build_on_two, settings);
    const cuda_child child = cuda_run_child(build_on_two, settings);
    if (!child_ended_well(&child) || strstr(child.said, "failed"))
        fail_msg("status %d, said %s", child.status, child.said);
    assert_int_equal(count_cached(), before + 2);
}

static int make_cache(void **state)
{
    (void)state;
    if (!mkdtemp(cache_folder))
        return -1;
    return setenv("XDG_CACHE_HOME", cache_folder, 1);
}

static int remove_cache(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", cache_folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_two_chips),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
