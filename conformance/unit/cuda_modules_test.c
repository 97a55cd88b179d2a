// SPDX-License-Identifier: MIT
//
// Modules of the CUDA backend: PTX and binaries that are wrong in every way that can be told, and CUDA C++
// text where the machine has NVRTC. Binaries that are right come with the kernels, whose tests run them.
#include "conformance/unit/cuda_fixture.h"

// ---- modules ----

typedef struct bad_module {
    const char *words;
    void (*change)(iso_module_source *source);
    uint32_t needs_driver; // which can say it; 0: any
} bad_module;

static void other_entry(iso_module_source *source)
{
    source->entry = "absent";
}

static void one_less(iso_module_source *source)
{
    source->arg_count--;
}

static void one_more(iso_module_source *source)
{
    source->arg_kinds[source->arg_count++] = ISO_ARG_F32;
}

static void other_kind(iso_module_source *source)
{
    source->arg_kinds[2] = ISO_ARG_U32;
}

static void narrow_entry(iso_module_source *source)
{
    source->entry = "narrow";
}

static void set_text(iso_module_source *source, const char *text)
{
    source->code = text;
    source->code_bytes = strlen(text);
}

static void no_text(iso_module_source *source)
{
    set_text(source, "");
}

static void not_ptx(iso_module_source *source)
{
    set_text(source, "this is no PTX");
}

static void half_ptx(iso_module_source *source)
{
    static char text[sizeof cuda_ptx / 2];
    memcpy(text, cuda_ptx, sizeof text - 1);
    set_text(source, text);
}

static void newer_chip(iso_module_source *source)
{
    set_text(source, CUDA_PTX_HEAD("9.0", "sm_199") CUDA_PTX_BODY);
}

static void newer_version(iso_module_source *source)
{
    set_text(source, CUDA_PTX_HEAD("99.0", "sm_75") CUDA_PTX_BODY);
}

static void binary(iso_module_source *source, const void *bytes, size_t count)
{
    source->format = ISO_CODE_CUBIN;
    source->code = bytes;
    source->code_bytes = count;
}

static void text_as_binary(iso_module_source *source)
{
    source->format = ISO_CODE_CUBIN;
}

static void no_bytes(iso_module_source *source)
{
    binary(source, "\x50", 1);
}

// magic, version 1, 16 bytes of head, 4096 of body that are not there
static void cut_fat_binary(iso_module_source *source)
{
    static const unsigned char bytes[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0, 0, 16,
                                          0,    0,    0,    0,    0, 0, 1,  2, 3, 4};
    binary(source, bytes, sizeof bytes);
}

static void cut_fat_head(iso_module_source *source)
{
    static const unsigned char bytes[] = {0x50, 0xed, 0x55, 0xba, 1, 0, 16, 0};
    binary(source, bytes, sizeof bytes);
}

// An ELF head of 64 bits for the machine 190, with section heads at 4096.
static const unsigned char elf_head[64] = {
    0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 190, [20] = 1, [41] = 16, [52] = 64, [58] = 64, [60] = 3};

static void cut_cubin(iso_module_source *source)
{
    binary(source, elf_head, sizeof elf_head);
}

static void cut_cubin_head(iso_module_source *source)
{
    binary(source, elf_head, sizeof elf_head - 1);
}

// A head, and after it one section head or segment head that speaks of 16 bytes at 4096.
static void cut_cubin_part(iso_module_source *source, bool is_segment)
{
    static unsigned char bytes[sizeof elf_head + 64];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, elf_head, sizeof elf_head);
    unsigned char *part = bytes + sizeof elf_head;
    bytes[40] = bytes[32] = sizeof elf_head; // where section heads and segment heads are
    bytes[41] = 0;
    bytes[54] = 56;
    bytes[60] = !is_segment;
    bytes[56] = is_segment;
    part[is_segment ? 0 : 4] = 1;
    part[is_segment ? 9 : 25] = 16;
    part[32] = 16;
    binary(source, bytes, sizeof bytes);
}

static void cut_cubin_section(iso_module_source *source)
{
    cut_cubin_part(source, false);
}

static void cut_cubin_segment(iso_module_source *source)
{
    cut_cubin_part(source, true);
}

static void other_machine(iso_module_source *source)
{
    static unsigned char bytes[sizeof elf_head];
    memcpy(bytes, elf_head, sizeof bytes);
    bytes[18] = 62;
    binary(source, bytes, sizeof bytes);
}

static const bad_module bad_modules[] = {
    {"the code has no entry 'absent'", other_entry, 0},
    {"more parameters in its code than the 3", one_less, 12040},
    {"has 4 parameters in its code, but 5", one_more, 12040},
    {"parameter 2 of entry 'next' has 8 bytes in its code, 4", other_kind, 12040},
    {"at most 32 threads", narrow_entry, 0},
    {"cuModuleLoadDataEx failed", no_text, 0},
    {"cuModuleLoadDataEx failed", not_ptx, 0},
    {"cuModuleLoadDataEx failed", half_ptx, 0},
    {"cuModuleLoadDataEx failed", newer_chip, 0},
    {"cuModuleLoadDataEx failed", newer_version, 0},
    {"neither a fat binary nor a cubin", text_as_binary, 0},
    {"neither a fat binary nor a cubin", no_bytes, 0},
    {"its head speaks of 16 and 4096", cut_fat_binary, 0},
    {"its head alone has", cut_fat_head, 0},
    {"section head 0 lies beyond", cut_cubin, 0},
    {"its head alone has", cut_cubin_head, 0},
    {"section 0 lies beyond", cut_cubin_section, 0},
    {"segment 0 lies beyond", cut_cubin_segment, 0},
    {"machine 62", other_machine, 0},
};

static uint32_t driver_version(const iso_device *device)
{
    const iso_device_info *info = iso_device_get_info(device);
    uint32_t at = 0;
    while (info->code_formats[at] != ISO_CODE_PTX)
        at++;
    return info->code_versions[at];
}

static void test_bad_modules(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&(iso_device_options){0}); // the validation would refuse some before
    for (size_t i = 0; i < sizeof bad_modules / sizeof bad_modules[0]; i++) {
        iso_module_source source = cuda_source("next");
        iso_module *module = NULL;
        if (bad_modules[i].needs_driver > driver_version(bench.device)) {
            print_message("\"%s\": drivers say it from CUDA 12.4 on\n", bad_modules[i].words);
            continue;
        }
        bad_modules[i].change(&source);
        check_fails(iso_module_create(bench.device, &source, &module), ISO_BUILD_FAILED,
                    bad_modules[i].words);
        assert_non_null(strstr(iso_status_last()->text, "kernel test.kernel on device cuda:0"));
        print_message("%s\n", iso_status_last()->text);
        assert_null(module);
    }
    // The device is as good as before.
    iso_module *next = cuda_module(&bench, "next");
    expect_next(&bench, next);
    iso_module_destroy(next);
    cuda_close(&bench);
}

static bool takes(const iso_device *device, iso_code_format format)
{
    const iso_device_info *info = iso_device_get_info(device);
    for (int i = 0; i < ISO_MAX_CODE_FORMATS; i++)
        if (info->code_formats[i] == format)
            return true;
    return false;
}

static void test_text(void **state)
{
    (void)state;
    cuda_bench bench = cuda_open(&validating);
    if (!takes(bench.device, ISO_CODE_CUDA_C)) {
        print_message("skipped: %s\n", iso_device_get_info(bench.device)->driver);
        cuda_close(&bench);
        skip();
    }
    iso_module_source source = cuda_source("next");
    iso_module *module = NULL;
    source.format = ISO_CODE_CUDA_C;
    for (int i = 0; i < 2; i++) { // the second may come from the cache
        set_text(&source, cuda_text);
        check(iso_module_create(bench.device, &source, &module));
        expect_next(&bench, module);
        iso_module_destroy(module);
    }
    set_text(&source, "extern \"C\" __global__ void next(unsigned count) { undeclared = count; }\n");
    check_fails(iso_module_create(bench.device, &source, &module), ISO_BUILD_FAILED, "test.kernel");
    check_fails(iso_module_create(bench.device, &source, &module), ISO_BUILD_FAILED,
                "nvrtcCompileProgram failed");
    check_fails(iso_module_create(bench.device, &source, &module), ISO_BUILD_FAILED,
                "error: identifier \"undeclared\" is undefined");
    print_message("%s\n", iso_status_last()->text);
    cuda_close(&bench);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_modules),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return cuda_run_watched(run_group);
}
