// SPDX-License-Identifier: MIT
//
// Unit tests of runtime/base/dtype.c. Decoding is checked against the formats' definitions computed with
// ldexp. Encoding is checked against a search: the nearest of all finite values of the format, ties to the
// even code, by exact double arithmetic, for every midpoint between neighbours and the floats on both sides
// of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "isomer/dtype.h"

// A format by its definition: value of a non-negative code.
static double defined_value(uint32_t code, int mantissa_bits, int bias)
{
    int exponent = (int)(code >> mantissa_bits);
    double mantissa = (double)(code & ((1u << mantissa_bits) - 1));
    double one = ldexp(1, mantissa_bits);
    return exponent == 0 ? ldexp(mantissa, 1 - bias - mantissa_bits)
                         : ldexp(one + mantissa, exponent - bias - mantissa_bits);
}

static void test_e4m3_decode(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x7f; code++) {
        assert_true((double)iso_e4m3_to_f32((uint8_t)code) == defined_value(code, 3, 7));
        assert_true((double)iso_e4m3_to_f32((uint8_t)(code | 0x80)) == -defined_value(code, 3, 7));
    }
    assert_true(isnan(iso_e4m3_to_f32(0x7f)) && isnan(iso_e4m3_to_f32(0xff)));
    assert_true(iso_e4m3_to_f32(0x7e) == 448.0f);
    assert_true(iso_e4m3_to_f32(0x01) == 0.001953125f);
    assert_true(signbit(iso_e4m3_to_f32(0x80)));
}

static void test_f16_decode(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x7c00; code++) {
        assert_true((double)iso_f16_to_f32((uint16_t)code) == defined_value(code, 10, 15));
        assert_true((double)iso_f16_to_f32((uint16_t)(code | 0x8000)) == -defined_value(code, 10, 15));
    }
    assert_true(iso_f16_to_f32(0x7c00) == INFINITY && iso_f16_to_f32(0xfc00) == -INFINITY);
    for (uint32_t code = 0x7c01; code < 0x8000; code++)
        assert_true(isnan(iso_f16_to_f32((uint16_t)code)));
}

static void test_bf16_decode(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x7f80; code++)
        assert_true((double)iso_bf16_to_f32((uint16_t)code) == defined_value(code, 7, 127));
    assert_true(iso_bf16_to_f32(0xff80) == -INFINITY);
    assert_true(isnan(iso_bf16_to_f32(0x7fc0)));
}

static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        float half = iso_f16_to_f32((uint16_t)code), brain = iso_bf16_to_f32((uint16_t)code);
        if (isnan(half))
            assert_true(isnan(iso_f16_to_f32(iso_f16_from_f32(half))));
        else
            assert_int_equal(iso_f16_from_f32(half), code);
        if (isnan(brain))
            assert_true(isnan(iso_bf16_to_f32(iso_bf16_from_f32(brain))));
        else
            assert_int_equal(iso_bf16_from_f32(brain), code);
    }
    for (uint32_t code = 0; code < 0x100; code++)
        assert_int_equal(iso_e4m3_from_f32(iso_e4m3_to_f32((uint8_t)code)), code);
}

typedef struct format {
    iso_dtype dtype;
    int mantissa_bits, bias;
    uint32_t max_code;      // largest finite
    uint32_t overflow_code; // of what rounds beyond it
} format;

static const format formats[] = {
    {ISO_DTYPE_F8_E4M3, 3, 7, 0x7e, 0x7e},
    {ISO_DTYPE_F16, 10, 15, 0x7bff, 0x7c00},
    {ISO_DTYPE_BF16, 7, 127, 0x7f7f, 0x7f80},
};

static uint32_t encode(const format *f, float value)
{
    switch (f->dtype) {
    case ISO_DTYPE_F8_E4M3:
        return iso_e4m3_from_f32(value);
    case ISO_DTYPE_F16:
        return iso_f16_from_f32(value);
    default:
        return iso_bf16_from_f32(value);
    }
}

static uint32_t store(const format *f, double value)
{
    uint8_t one[4] = {0};
    iso_store_element(one, f->dtype, 0, value);
    return iso_dtype_bytes(f->dtype) == 1 ? one[0] : (uint32_t)one[0] | (uint32_t)one[1] << 8;
}

static uint32_t sign_bit(const format *f)
{
    return f->dtype == ISO_DTYPE_F8_E4M3 ? 0x80 : 0x8000;
}

static void check_code(const format *f, double value, uint32_t expected)
{
    if ((double)(float)value == value) {
        assert_int_equal(encode(f, (float)value), expected);
        assert_int_equal(encode(f, (float)-value), expected | sign_bit(f));
    }
    assert_int_equal(store(f, value), expected);
    assert_int_equal(store(f, -value), expected | sign_bit(f));
}

// Between each code and the next: the midpoint goes to the even one, its neighbours (as floats, and as
// doubles that would fall onto the midpoint if they were rounded to float first) to the nearer one.
static void test_encode_around_every_midpoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const format *f = &formats[i];
        for (uint32_t code = 0; code < f->max_code; code++) {
            double low = defined_value(code, f->mantissa_bits, f->bias);
            double high = defined_value(code + 1, f->mantissa_bits, f->bias);
            double middle = (low + high) / 2;
            check_code(f, low, code);
            check_code(f, middle, code & 1 ? code + 1 : code);
            check_code(f, nextafterf((float)middle, 0), code);
            check_code(f, nextafterf((float)middle, INFINITY), code + 1);
            check_code(f, nextafter(middle, 0), code);
            check_code(f, nextafter(middle, INFINITY), code + 1);
        }
    }
}

static void test_overflow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const format *f = &formats[i];
        double largest = defined_value(f->max_code, f->mantissa_bits, f->bias);
        double next = largest + (largest - defined_value(f->max_code - 1, f->mantissa_bits, f->bias));
        double limit = (largest + next) / 2;
        check_code(f, largest, f->max_code);
        check_code(f, nextafter(limit, 0), f->max_code);
        check_code(f, limit, f->overflow_code);
        check_code(f, next, f->overflow_code);
        check_code(f, 1e300, f->overflow_code);
        check_code(f, 1e-300, 0);
    }
    assert_int_equal(iso_e4m3_from_f32(3e38f), 0x7e);
    assert_int_equal(iso_e4m3_from_f32(-480.0f), 0xfe);
    assert_int_equal(iso_e4m3_from_f32(INFINITY) & 0x7f, 0x7f);
    assert_int_equal(iso_f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(iso_bf16_from_f32(INFINITY), 0x7f80);
}

static void test_nan_stays_nan(void **state)
{
    (void)state;
    // A NaN whose payload is only in the low bits must not turn into infinity.
    uint32_t bits = 0x7f800001u;
    float low_nan;
    memcpy(&low_nan, &bits, sizeof low_nan);
    assert_true(isnan(iso_bf16_to_f32(iso_bf16_from_f32(low_nan))));
    assert_true(isnan(iso_f16_to_f32(iso_f16_from_f32(low_nan))));
    assert_true(isnan(iso_e4m3_to_f32(iso_e4m3_from_f32(low_nan))));
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        uint8_t one[4];
        iso_store_element(one, formats[i].dtype, 0, NAN);
        assert_true(isnan(iso_load_element(one, formats[i].dtype, 0)));
    }
}

static void test_wide_elements(void **state)
{
    (void)state;
    float f[3] = {0};
    iso_store_element(f, ISO_DTYPE_F32, 2, 1.0 / 3);
    assert_true(f[2] == 1.0f / 3.0f);
    assert_true(iso_load_element(f, ISO_DTYPE_F32, 2) == (double)(1.0f / 3.0f));
    int32_t i[2] = {0};
    const struct {
        double value;
        int32_t expected;
    } integers[] = {{2.5, 2}, {3.5, 4}, {-2.5, -2}, {-0.4, 0}, {1e20, INT32_MAX}, {-1e20, INT32_MIN}, {7, 7}};
    for (size_t n = 0; n < sizeof integers / sizeof integers[0]; n++) {
        iso_store_element(i, ISO_DTYPE_I32, 1, integers[n].value);
        assert_int_equal(i[1], integers[n].expected);
    }
    uint32_t u[2] = {0};
    iso_store_element(u, ISO_DTYPE_U32, 1, 4294967295.0);
    assert_true(iso_load_element(u, ISO_DTYPE_U32, 1) == 4294967295.0);
    iso_store_element(u, ISO_DTYPE_U32, 0, -1);
    assert_int_equal(u[0], 0);
}

static void test_names_and_sizes(void **state)
{
    (void)state;
    static const size_t bytes[ISO_DTYPE_COUNT] = {
        [ISO_DTYPE_F32] = 4,     [ISO_DTYPE_F16] = 2, [ISO_DTYPE_BF16] = 2,
        [ISO_DTYPE_F8_E4M3] = 1, [ISO_DTYPE_I32] = 4, [ISO_DTYPE_U32] = 4};
    for (int i = 0; i < ISO_DTYPE_COUNT; i++) {
        assert_int_equal(iso_dtype_bytes((iso_dtype)i), bytes[i]);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(iso_dtype_name((iso_dtype)i), iso_dtype_name((iso_dtype)j));
    }
    assert_string_equal(iso_dtype_name(ISO_DTYPE_F8_E4M3), "f8_e4m3");
    assert_string_equal(iso_dtype_name((iso_dtype)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_e4m3_decode),
        cmocka_unit_test(test_f16_decode),
        cmocka_unit_test(test_bf16_decode),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_encode_around_every_midpoint),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_nan_stays_nan),
        cmocka_unit_test(test_wide_elements),
        cmocka_unit_test(test_names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
