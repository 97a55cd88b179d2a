// SPDX-License-Identifier: MIT
//
// What kernels tuned for CUDA refuse, and how: other backends, older and unknown chips, rows that copies of
// 16 bytes cannot address. Each reason names the value.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kernels/case.h"
#include "kernels/tuned_cuda.h"

static bool fits(const char *backend, const char *arch, uint32_t sm, char reason[ISO_REASON_BYTES])
{
    iso_device_info info = {.struct_bytes = sizeof info};
    strcpy(info.backend, backend);
    strcpy(info.arch, arch);
    reason[0] = 0;
    return iso_tuned_cuda_at_least(&info, sm, reason);
}

static void chips_from_one_on(void **state)
{
    (void)state;
    char reason[ISO_REASON_BYTES];
    assert_true(fits("cuda", "sm_80", 80, reason));
    assert_true(fits("cuda", "sm_90a", 89, reason));
    assert_true(fits("cuda", "sm_120", 90, reason));
    assert_string_equal(reason, "");
    assert_false(fits("cuda", "sm_86", 89, reason));
    assert_non_null(strstr(reason, "sm_86"));
    assert_false(fits("cuda", "", 80, reason));
    assert_non_null(strstr(reason, "unknown"));
    assert_false(fits("cuda", "gfx90a", 80, reason));
    assert_false(fits("vulkan", "sm_90", 80, reason));
    assert_non_null(strstr(reason, "vulkan"));
}

static void rows_of_16_bytes(void **state)
{
    (void)state;
    char reason[ISO_REASON_BYTES] = "";
    iso_tensor t = iso_tensor_describe(ISO_DTYPE_BF16, ISO_DIMS(3, 24));
    assert_true(iso_rows_of_16_bytes(&t, "x", reason));
    t.view_offset = 4;
    assert_false(iso_rows_of_16_bytes(&t, "x", reason));
    assert_non_null(strstr(reason, "x: width 24, stride 24, offset 4 of bf16 must be multiples of 8"));
    t.view_offset = 8;
    t.row_stride = 30;
    assert_false(iso_rows_of_16_bytes(&t, "x", reason));
    assert_non_null(strstr(reason, "stride 30"));
    t = iso_tensor_describe(ISO_DTYPE_F8_E4M3, ISO_DIMS(3, 24));
    assert_false(iso_rows_of_16_bytes(&t, "weight", reason));
    assert_non_null(strstr(reason, "multiples of 16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chips_from_one_on),
                                       cmocka_unit_test(rows_of_16_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
