// SPDX-License-Identifier: MIT
//
// The OpenCL backend's loader with libraries that are absent, wrong or empty. `opencl_loader_test --probe`
// prints what a fresh process finds: OpenCL loaders read their environment only once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isomer/backend.h"

extern const iso_backend iso_opencl_backend;

#define LIBRARY "ISOMER_OPENCL_LIBRARY"

static void test_wrong_library(void **state)
{
    (void)state;
    void *driver = NULL;
    setenv(LIBRARY, "/nowhere/libOpenCL-absent.so", 1);
    assert_int_equal(iso_opencl_backend.load(NULL, NULL, &driver), ISO_UNAVAILABLE);
    assert_null(driver);
    assert_non_null(strstr(iso_status_last()->text, LIBRARY));
    assert_non_null(strstr(iso_status_last()->text, "/nowhere/libOpenCL-absent.so"));
    assert_non_null(strstr(iso_status_last()->text, "unset"));

    setenv(LIBRARY, "libm.so.6", 1);
    assert_int_equal(iso_opencl_backend.load(NULL, NULL, &driver), ISO_UNAVAILABLE);
    assert_non_null(strstr(iso_status_last()->text, LIBRARY));
    assert_non_null(strstr(iso_status_last()->text, "libm.so.6"));
    assert_non_null(strstr(iso_status_last()->text, "clGetPlatformIDs"));
    unsetenv(LIBRARY);
}

// What a fresh process with `environment` set says of the OpenCL backend.
static void probe(const char *environment, char *out_text, size_t text_bytes)
{
    char self[512], command[1024];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof command, "env %s '%s' --probe", environment, self);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t used = fread(out_text, 1, text_bytes - 1, pipe);
    out_text[used] = '\0';
    int ended = pclose(pipe);
    print_message("%s: %s", environment, out_text);
    assert_int_equal(ended, 0);
}

// Where there is no loader there is nothing to be told apart.
static void need_loader(void)
{
    char text[2048];
    probe("-u " LIBRARY, text, sizeof text);
    if (strstr(text, "cannot open shared object file") != NULL) {
        print_message("skipped: no OpenCL loader (Debian: ocl-icd-libopencl1)\n");
        skip();
    }
}

static int print_probe(void)
{
    void *driver = NULL;
    if (iso_opencl_backend.load(NULL, NULL, &driver) != ISO_OK) {
        printf("%s: %s\n", iso_status_name(iso_status_last()->code), iso_status_last()->text);
        return 0;
    }
    iso_device_info info = {.struct_bytes = sizeof info};
    for (uint32_t i = 0; iso_opencl_backend.device_info(driver, i, &info) == ISO_OK; i++) {
        printf("opencl:%u %s: %s\n", i, info.name, info.available ? "available" : info.reason);
    }
    iso_opencl_backend.unload(driver);
    return 0;
}

static void test_no_platform(void **state)
{
    (void)state;
    need_loader();
    char text[2048];
    probe("-u ISOMER_OPENCL_LIBRARY OCL_ICD_VENDORS=/nowhere/", text, sizeof text);
    assert_ptr_equal(strstr(text, "unavailable: "), text);
    assert_non_null(strstr(text, "pocl-opencl-icd"));
}

static void test_platform_without_device(void **state)
{
    (void)state;
    need_loader();
    if (access("/etc/OpenCL/vendors/rusticl.icd", R_OK) != 0) {
        print_message("skipped: rusticl is not installed (Debian: mesa-opencl-icd)\n");
        skip();
    }
    char text[2048];
    probe("-u ISOMER_OPENCL_LIBRARY -u RUSTICL_ENABLE OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd", text,
          sizeof text);
    assert_ptr_equal(strstr(text, "unavailable: "), text);
    assert_non_null(strstr(text, "RUSTICL_ENABLE=llvmpipe"));
    probe("-u ISOMER_OPENCL_LIBRARY RUSTICL_ENABLE=llvmpipe OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd",
          text, sizeof text);
    assert_non_null(strstr(text, "opencl:0 llvmpipe"));
    assert_non_null(strstr(text, ": available"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--probe") == 0)
        return print_probe();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_library),
        cmocka_unit_test(test_no_platform),
        cmocka_unit_test(test_platform_without_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
