// SPDX-License-Identifier: MIT
//
// The interpreter of the simulated chips on shipped kernels: what an honest chip calculates, each feature
// that changes numbers, each fault that acts inside of a kernel, and what must be an error. Expectations are
// made by hand.
#include "conformance/unit/sim_fixture.h"

#include <math.h>

#include "isomer/dtype.h"

// ---- y = a + b, on one group of 64 lanes: lane l has elements 2l and 2l + 1 of each 128 ----

#define WIDTH 300

static float a_of(uint32_t i)
{
    return (float)(i + 1);
}

static float b_of(uint32_t i)
{
    return (float)(1000 + 3 * i);
}

static float sum_of(uint32_t i)
{
    return a_of(i) + b_of(i);
}

// a has a word behind its range, 12345; y has one, too. Gives y, which lives until bench_end.
static uint32_t *begin_add(bench *b, const char *chip_text, uint32_t width)
{
    float x[2][WIDTH + 1];
    for (uint32_t i = 0; i <= WIDTH; i++) {
        x[0][i] = i < width ? a_of(i) : 12345.0f;
        x[1][i] = b_of(i);
    }
    bench_begin(b, "add.portable.f32_none_f32", chip_text);
    give_u32(b, 1);
    give_range(b, x[0], WIDTH + 1, width);
    give_range(b, x[1], WIDTH + 1, width);
    uint32_t *y = give_range(b, NULL, WIDTH + 1, width);
    give_u32(b, width);
    for (int i = 0; i < 3; i++) {
        give_u32(b, 0);
        give_u32(b, width);
    }
    return y;
}

static bool even(uint32_t i)
{
    return i % 2 == 0;
}

static uint32_t honest(uint32_t i)
{
    return as_bits(sum_of(i));
}

static uint32_t low_plus_5(uint32_t i)
{
    return as_bits(sum_of(i) + (even(i) ? 5 : 0));
}

static uint32_t low_times_3(uint32_t i)
{
    return as_bits(sum_of(i) * (even(i) ? 3 : 1));
}

static uint32_t low_is_7(uint32_t i)
{
    return as_bits(even(i) ? 7 : sum_of(i));
}

static uint32_t low_negative(uint32_t i)
{
    return as_bits(even(i) ? -sum_of(i) : sum_of(i));
}

static uint32_t low_power_of_two(uint32_t i)
{
    return even(i) ? honest(i) & 0xff800000u : honest(i);
}

static uint32_t low_bf16(uint32_t i)
{
    return even(i) ? (uint32_t)iso_bf16_from_f32(sum_of(i)) << 16 : honest(i);
}

static uint32_t low_f16(uint32_t i)
{
    return as_bits(even(i) ? iso_f16_to_f32(iso_f16_from_f32(sum_of(i))) : sum_of(i));
}

static uint32_t low_e4m3(uint32_t i)
{
    return as_bits(even(i) ? 448 : sum_of(i));
}

static uint32_t low_halves_swapped(uint32_t i)
{
    return even(i) ? honest(i) << 16 | honest(i) >> 16 : honest(i);
}

static uint32_t low_bytes_swapped(uint32_t i)
{
    return even(i) ? __builtin_bswap32(honest(i)) : honest(i);
}

static uint32_t low_before(uint32_t i)
{
    return even(i) && i >= 128 ? honest(i - 128) : honest(i);
}

static uint32_t low_poison(uint32_t i)
{
    return even(i) ? 0x7fc1a5a5u : honest(i);
}

static uint32_t without_last(uint32_t i)
{
    return i == WIDTH - 1 ? UNWRITTEN : honest(i);
}

static uint32_t a_shifted_to_10(uint32_t i)
{
    return as_bits(i <= 10 ? a_of(i + 1) + b_of(i) : sum_of(i));
}

static uint32_t fifth_plus_100(uint32_t i)
{
    return as_bits(sum_of(i) + (i == 5 ? 100 : 0));
}

static uint32_t last_from_behind(uint32_t i)
{
    return as_bits(i == WIDTH - 1 ? 12345.0f + b_of(i) : sum_of(i));
}

static uint32_t one_more_written(uint32_t i)
{
    return honest(i == WIDTH ? WIDTH - 1 : i);
}

static uint32_t thirds_unwritten(uint32_t i)
{
    return i % 3 == 0 ? UNWRITTEN : honest(i);
}

static uint32_t doubled(uint32_t i)
{
    return as_bits(2 * sum_of(i));
}

static uint32_t odd_unwritten(uint32_t i)
{
    return even(i) ? honest(i) : UNWRITTEN;
}

static uint32_t lane_3_negative(uint32_t i)
{
    return as_bits(i % 128 / 2 == 3 ? -sum_of(i) : sum_of(i));
}

static uint32_t last_lane_negative(uint32_t i)
{
    return as_bits(i % 128 / 2 == 63 ? -sum_of(i) : sum_of(i));
}

static uint32_t all_negative(uint32_t i)
{
    return as_bits(-sum_of(i));
}

static uint32_t last_negative(uint32_t i)
{
    return as_bits(i == WIDTH - 1 ? -sum_of(i) : sum_of(i));
}

static uint32_t large_negative(uint32_t i)
{
    return as_bits(sum_of(i) >= 1500 ? -sum_of(i) : sum_of(i));
}

static const struct {
    const char *fault;
    uint32_t (*wanted)(uint32_t i);
} changes[] = {
    {"", honest},
    {"fault add store low add 5", low_plus_5},
    {"fault add load low add 5", low_plus_5},
    {"fault add store low mul 3", low_times_3},
    {"fault add store low set 7", low_is_7},
    {"fault add store low negate", low_negative},
    {"fault add store low xor 0x80000000", low_negative},
    {"fault add store low and 0xff800000", low_power_of_two},
    {"fault add store low round bf16", low_bf16},
    {"fault add store low round f16", low_f16},
    {"fault add store low round e4m3", low_e4m3},
    {"fault add store low swap16", low_halves_swapped},
    {"fault add store low swap8", low_bytes_swapped},
    {"fault add store low keep", low_before},
    {"fault add store low drop", low_poison},
    {"fault add load width add -1", without_last},
    {"fault add index a add 1 when index <= 10", a_shifted_to_10},
    {"fault add read a add 100 when index == 5", fifth_plus_100},
    {"fault add read a past", last_from_behind},
    {"fault add write y past", one_more_written},
    {"fault add write y drop when index % 3 == 0", thirds_unwritten},
    {"fault add result fadd mul 2", doubled},
    {"fault add compare 1 drop", odd_unwritten},
    {"fault add compare 1 negate", odd_unwritten},
    {"fault add compare 1 set 0", odd_unwritten},
    {"fault add write y negate when lane == 3", lane_3_negative},
    {"fault add write y negate when lane == last", last_lane_negative},
    {"fault add write y negate when index == last", last_negative},
    {"fault add write y negate when value >= 1500", large_negative},
    {"fault add write y negate when group == 0", all_negative},
    {"fault add write y negate when group == last", all_negative},
    {"fault add write y negate when group >= 1", honest},
    {"fault add write y negate when arg width <= 300", all_negative},
    {"fault add write y negate when arg width <= 299", honest},
    {"fault add write y negate when launch >= 2", all_negative},
    {"fault add write y negate when launch >= 3", honest},
    {"fault linear write y negate", honest},
    {"fault * store nowhere negate", honest},
};

static void test_changes(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof changes / sizeof changes[0]; c++) {
        static bench b;
        uint32_t *y = begin_add(&b, changes[c].fault, WIDTH);
        b.work.launch_number = 2;
        if (bench_run(&b) != ISO_OK)
            fail_msg("%s: %s", changes[c].fault, iso_status_last()->text);
        for (uint32_t i = 0; i < WIDTH; i++)
            if (y[i] != changes[c].wanted(i))
                fail_msg("%s: y[%u] is 0x%08x (%g), wanted 0x%08x", changes[c].fault, i, y[i],
                         (double)as_float(y[i]), changes[c].wanted(i));
        assert_int_equal(y[WIDTH],
                         changes[c].wanted == one_more_written ? one_more_written(WIDTH) : UNWRITTEN);
        bench_end(&b);
    }
}

// With an odd width the last lane's i + 1 is the width itself: < and <= differ there.
static void test_compare_flip(void **state)
{
    (void)state;
    static bench b;
    const uint32_t width = WIDTH - 1;
    uint32_t *y = begin_add(&b, "fault add compare 1 flip", width);
    b.work.args[3].range_bytes += 4;
    assert_int_equal(bench_run(&b), ISO_OK);
    assert_int_equal(y[width - 1], honest(width - 1));
    assert_int_equal(y[width], honest(width - 1));
    bench_end(&b);
}

// A function's result, in the BF16 form: the low bit of each half word.
static void test_function_result(void **state)
{
    (void)state;
    static bench b;
    const uint32_t ones[4] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};
    bench_begin(&b, "add.portable.bf16_none_bf16", "fault add.*_bf16 result bf16_bits xor 0x1");
    give_u32(&b, 1);
    give_words(&b, ones, 4);
    give_words(&b, ones, 4);
    uint32_t *y = give_words(&b, NULL, 4);
    give_u32(&b, 8);
    for (int i = 0; i < 6; i++)
        give_u32(&b, i % 2 ? 8 : 0);
    assert_int_equal(bench_run(&b), ISO_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(y[i], 0x40014001); // 2.0 with its lowest bit set
    bench_end(&b);
}

// The text's functions have a variable `word` as well; the rule means the kernel's own, and acts once.
// Weights are 64 rows of 1 and 1 in BF16.
static void test_main_variable_first(void **state)
{
    (void)state;
    static bench b;
    static uint32_t weight[64];
    const uint32_t x[2] = {0x3f800000, 0x40400000};
    for (uint32_t i = 0; i < 64; i++)
        weight[i] = 0x3f803f80;
    bench_begin(&b, "linear.portable.f32_bf16_f32", "fault linear load word xor 0x8000");
    give_u32(&b, 1);
    give_words(&b, x, 2);
    give_words(&b, NULL, 1);
    give_words(&b, weight, 64);
    give_words(&b, NULL, 1);
    give_words(&b, NULL, 1);
    uint32_t *y = give_words(&b, NULL, 64);
    const uint32_t values[] = {2, 64, 0, 2, 1, 0, 0, 64};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        give_u32(&b, values[i]);
    assert_int_equal(bench_run(&b), ISO_OK);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(y[i], as_bits(-1.0f + 3.0f));
    bench_end(&b);
}

static void test_rules_without_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *fault, *fragment;
    } cases[] = {
        {"fault add store sum add 1", "no such place; it has first, end, a_row"},
        {"fault add read z set 0", "a, b, y"},
        {"fault add load z set 0", "count, width, a_offset"},
        {"fault add result exp_exact set 0", "main, and the instructions"},
        {"fault add compare 2 drop", "its text has 2 of them"},
        {"fault add barrier 0 drop", "its text has 0 of them"},
        {"fault add store low set 0 when arg depth >= 1", "\"depth\", which is no value argument"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        static bench b;
        begin_add(&b, cases[c].fault, WIDTH);
        assert_failed_with(bench_decode(&b, NULL, 0), ISO_BUILD_FAILED, cases[c].fragment);
        bench_end(&b);
    }
}

// ---- errors ----

static void test_access_outside(void **state)
{
    (void)state;
    static bench b;
    begin_add(&b, "", WIDTH);
    b.work.args[1].range_bytes -= 4;
    assert_failed_with(bench_run(&b), ISO_DEVICE_LOST,
                       "lane 21: element 299 of a (bytes from 1196) is outside: it has 299");
    b.work.args[1].range_bytes += 4;
    b.work.args[3].range_bytes -= 4;
    assert_failed_with(bench_run(&b), ISO_DEVICE_LOST, "element 299 of y");
    bench_end(&b);
}

static void test_endless_loop(void **state)
{
    (void)state;
    static bench b;
    begin_add(&b, "fault add load end set 4e9; load i set 0", WIDTH);
    assert_failed_with(bench_run(&b), ISO_DEVICE_LOST, "a loop did not end");
    bench_end(&b);
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    static bench b;
    begin_add(&b, "", WIDTH);
    b.work.args[4].kind = ISO_ARG_F32;
    assert_failed_with(bench_decode(&b, NULL, 0), ISO_BUILD_FAILED,
                       "argument 4, \"width\", is a uint in the text, a float is passed");
    b.work.args[4].kind = ISO_ARG_U32;
    b.work.arg_count--;
    assert_failed_with(bench_decode(&b, NULL, 0), ISO_BUILD_FAILED, "has 11 arguments, 10 are passed");
    b.work.arg_count++;
    bench_end(&b);
}

// ---- coverage ----

static void test_coverage(void **state)
{
    (void)state;
    static bench b;
    sim_coverage before, after;
    char *text;
    begin_add(&b, "", WIDTH);
    assert_int_equal(bench_decode(&b, NULL, 0), ISO_OK);
    iso_sim_program_coverage(b.program, &before);
    assert_int_equal(before.sides, 4);
    assert_int_equal(before.sides_taken, 0);
    assert_int_equal(bench_run(&b), ISO_OK);
    iso_sim_program_coverage(b.program, &after);
    assert_int_equal(after.sides_taken, 3);
    assert_int_equal(iso_sim_program_describe_untaken(b.program, &text), ISO_OK);
    assert_string_equal(text, "main, branch 1 (... < width): never false\n");
    iso_free(NULL, text);
    b.work.args[4].value.u32 = WIDTH - 1;
    assert_int_equal(bench_run(&b), ISO_OK);
    iso_sim_program_coverage(b.program, &after);
    assert_int_equal(after.sides_taken, 4);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_compare_flip),
        cmocka_unit_test(test_function_result),
        cmocka_unit_test(test_main_variable_first),
        cmocka_unit_test(test_rules_without_a_place),
        cmocka_unit_test(test_access_outside),
        cmocka_unit_test(test_endless_loop),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
