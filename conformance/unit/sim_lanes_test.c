// SPDX-License-Identifier: MIT
//
// What the lanes of a simulated chip do together: arithmetic step by step, features that change numbers,
// control flow of all kinds, and barriers that are missing or not reached by all.
#include "conformance/unit/sim_fixture.h"

#include <math.h>

#include "backends/sim/program.h"
#include "conformance/unit/data/sim_flow.h"

// ---- single steps ----

typedef struct step_case {
    const char *name;
    sim_run run;
    uint32_t a, b, c, wanted;
} step_case;

#define ONE   0x3f800000u
#define TWO   0x40000000u
#define THREE 0x40400000u
#define NAN_  0x7fc00000u
#define INF_  0x7f800000u
#define YES   0xffffffffu
#define MOST  0x7f7fffffu // largest finite

static const step_case steps[] = {
    {"iadd", iso_sim_run_iadd, 0xffffffff, 2, 0, 1},
    {"isub", iso_sim_run_isub, 1, 2, 0, 0xffffffff},
    {"imul", iso_sim_run_imul, 0x10001, 0x10001, 0, 0x20001},
    {"ineg", iso_sim_run_ineg, 5, 0, 0, 0xfffffffb},
    {"udiv", iso_sim_run_udiv, 0xfffffffe, 3, 0, 0x55555554},
    {"udiv by 0", iso_sim_run_udiv, 1, 0, 0, 0xffffffff},
    {"sdiv", iso_sim_run_sdiv, 0xfffffff9, 2, 0, 0xfffffffd},
    {"sdiv overflow", iso_sim_run_sdiv, 0x80000000, 0xffffffff, 0, 0x80000000},
    {"umod", iso_sim_run_umod, 0xffffffff, 10, 0, 5},
    {"srem", iso_sim_run_srem, 0xfffffff9, 3, 0, 0xffffffff},
    {"smod", iso_sim_run_smod, 0xfffffff9, 3, 0, 2},
    {"smod negative", iso_sim_run_smod, 7, 0xfffffffd, 0, 0xfffffffe},
    {"shl", iso_sim_run_shl, 3, 30, 0, 0xc0000000},
    {"shr", iso_sim_run_shr, 0x80000000, 31, 0, 1},
    {"sar", iso_sim_run_sar, 0x80000000, 30, 0, 0xfffffffe},
    {"ult", iso_sim_run_ult, 1, 0x80000000, 0, YES},
    {"slt", iso_sim_run_slt, 1, 0x80000000, 0, 0},
    {"ule", iso_sim_run_ule, 7, 7, 0, YES},
    {"sle", iso_sim_run_sle, 8, 7, 0, 0},
    {"umin", iso_sim_run_umin, 1, 0x80000000, 0, 1},
    {"umax", iso_sim_run_umax, 1, 0x80000000, 0, 0x80000000},
    {"smin", iso_sim_run_smin, 1, 0x80000000, 0, 0x80000000},
    {"smax", iso_sim_run_smax, 1, 0x80000000, 0, 1},
    {"sabs", iso_sim_run_sabs, 0xfffffffb, 0, 0, 5},
    {"select", iso_sim_run_select, YES, 1, 2, 1},
    {"select not", iso_sim_run_select, 0, 1, 2, 2},
    {"equal_bits", iso_sim_run_equal_bits, 0, 0, 0, YES},
    {"feq NaN", iso_sim_run_feq, NAN_, NAN_, 0, 0},
    {"fne NaN", iso_sim_run_fne, NAN_, NAN_, 0, YES},
    {"fone NaN", iso_sim_run_fone, NAN_, ONE, 0, 0},
    {"fone", iso_sim_run_fone, TWO, ONE, 0, YES},
    {"fueq NaN", iso_sim_run_fueq, NAN_, ONE, 0, YES},
    {"fueq", iso_sim_run_fueq, TWO, ONE, 0, 0},
    {"flt", iso_sim_run_flt, ONE, TWO, 0, YES},
    {"flt NaN", iso_sim_run_flt, ONE, NAN_, 0, 0},
    {"funlt NaN", iso_sim_run_funlt, ONE, NAN_, 0, YES},
    {"funlt", iso_sim_run_funlt, ONE, ONE, 0, 0},
    {"funle", iso_sim_run_funle, ONE, ONE, 0, YES},
    {"fle", iso_sim_run_fle, TWO, ONE, 0, 0},
    {"fadd", iso_sim_run_fadd, ONE, TWO, 0, THREE},
    {"fsub", iso_sim_run_fsub, THREE, TWO, 0, ONE},
    {"fdiv", iso_sim_run_fdiv, ONE, 0, 0, INF_},
    {"fneg NaN", iso_sim_run_fneg, NAN_, 0, 0, 0xffc00000},
    {"fabs", iso_sim_run_fabs, 0xbf800000, 0, 0, ONE},
    {"fmax", iso_sim_run_fmax, ONE, TWO, 0, TWO},
    {"fmax NaN", iso_sim_run_fmax, ONE, NAN_, 0, ONE},
    {"fmin NaN", iso_sim_run_fmin, ONE, NAN_, 0, ONE},
    {"fmin", iso_sim_run_fmin, ONE, 0xbf800000, 0, 0xbf800000},
    {"sqrt", iso_sim_run_sqrt, 0x40800000, 0, 0, TWO},
    {"floor", iso_sim_run_floor, 0xbfc00000, 0, 0, 0xc0000000},
    {"ceil", iso_sim_run_ceil, 0x3fc00000, 0, 0, TWO},
    {"trunc", iso_sim_run_trunc, 0xbfc00000, 0, 0, 0xbf800000},
    {"round_even", iso_sim_run_round_even, 0x40200000, 0, 0, TWO},
    {"fma", iso_sim_run_fma, 0x3f800800, 0x3f800800, 0xbf800000, 0x3a000400},
    {"fms", iso_sim_run_fms, 0x3f800800, 0x3f800800, ONE, 0x3a000400},
    {"fnma", iso_sim_run_fnma, 0x3f800800, 0x3f800800, ONE, 0xba000400},
    {"fadd_cut up", iso_sim_run_fadd_cut, ONE, 0x33c00000, 0, ONE},
    {"fadd_cut down", iso_sim_run_fadd_cut, ONE, 0xb3000000, 0, 0x3f7fffff},
    {"fadd_cut far", iso_sim_run_fadd_cut, ONE, 0x80000001, 0, 0x3f7fffff},
    {"fadd_cut negative", iso_sim_run_fadd_cut, 0xbf800000, 0xb3c00000, 0, 0xbf800000},
    {"fadd_cut exact", iso_sim_run_fadd_cut, ONE, TWO, 0, THREE},
    {"fadd_cut overflow", iso_sim_run_fadd_cut, MOST, MOST, 0, MOST},
    {"fadd_cut infinity", iso_sim_run_fadd_cut, INF_, ONE, 0, INF_},
    {"fsub_cut", iso_sim_run_fsub_cut, ONE, 0x33000000, 0, 0x3f7fffff},
    {"fma_cut", iso_sim_run_fma_cut, 0x3f800001, 0x3f800001, 0x33c00000, 0x3f800002},
    {"fms_cut", iso_sim_run_fms_cut, ONE, ONE, 0x33000000, 0x3f7fffff},
    {"fnma_cut", iso_sim_run_fnma_cut, ONE, 0x33000000, ONE, 0x3f7fffff},
    {"flush", iso_sim_run_flush, 0x807fffff, 0, 0, 0x80000000},
    {"flush normal", iso_sim_run_flush, 0x00800000, 0, 0, 0x00800000},
    {"u2f", iso_sim_run_u2f, 0xffffffff, 0, 0, 0x4f800000},
    {"s2f", iso_sim_run_s2f, 0xffffffff, 0, 0, 0xbf800000},
    {"f2u negative", iso_sim_run_f2u, 0xbf800000, 0, 0, 0},
    {"f2u", iso_sim_run_f2u, 0x4f7fffff, 0, 0, 0xffffff00},
    {"f2s large", iso_sim_run_f2s, 0x4f800000, 0, 0, 0x7fffffff},
    {"f2s NaN", iso_sim_run_f2s, NAN_, 0, 0, 0},
    {"f2s", iso_sim_run_f2s, 0xc0600000, 0, 0, 0xfffffffd},
};

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        uint32_t rows[16] __attribute__((aligned(16)));
        const uint32_t operands[3] = {steps[i].a, steps[i].b, steps[i].c};
        for (int lane = 0; lane < 16; lane++)
            rows[lane] = lane < 12 ? operands[lane / 4] : 0;
        sim_lanes lanes = {.rows = rows, .vectors = 1, .width = 4};
        const sim_step step = {steps[i].run, 12, 0, 4, 8};
        assert_ptr_equal(steps[i].run(&lanes, &step), &step + 1);
        for (int lane = 12; lane < 16; lane++)
            if (rows[lane] != steps[i].wanted)
                fail_msg("%s: 0x%08x, wanted 0x%08x", steps[i].name, rows[lane], steps[i].wanted);
    }
}

// ---- features: y = base + w * x ----

static const struct {
    const char *chip;
    uint32_t w, x, base, wanted;
} features[] = {
    {"", 0x3f800800, 0x3f800800, 0xbf800000, 0x3a000000}, // the product's last bit is lost
    {"feature contract", 0x3f800800, 0x3f800800, 0xbf800000, 0x3a000400},
    {"", ONE, 0x33c00000, ONE, 0x3f800001}, // 1 + 1.5 * 2^-24
    {"feature truncate-sums", ONE, 0x33c00000, ONE, ONE},
    {"feature truncate-sums", ONE, 0xb3000000, ONE, 0x3f7fffff},
    {"feature contract", 0x3f800001, 0x3f800001, 0x33c00000, 0x3f800003},
    {"feature contract\nfeature truncate-sums", 0x3f800001, 0x3f800001, 0x33c00000, 0x3f800002},
    {"", ONE, 0x00080000, 0x00000010, 0x00080010},
    {"feature flush-subnormals", ONE, 0x00080000, 0x00000010, 0},
    {"feature flush-subnormals", ONE, 0x00080000, ONE, ONE},
    {"", 0x71800000, 0x00080000, 0, 0x30800000}, // 2^100 * 2^-130
    {"feature flush-subnormals", 0x71800000, 0x00080000, 0, 0},
    {"", ONE, 0x00c00000, 0x80800000, 0x00400000}, // 1.5 * 2^-126 - 2^-126
    {"feature flush-subnormals", ONE, 0x00c00000, 0x80800000, 0},
    {"", 0x0d800000, 0x30800000, 0, 0x00080000}, // 2^-100 * 2^-30
    {"feature flush-subnormals", 0x0d800000, 0x30800000, 0, 0},
    {"feature contract\nfault unpermute result fmul mul 1", 0x3f800800, 0x3f800800, 0xbf800000, 0x3a000000},
};

static void test_features(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        static bench b;
        const uint32_t slot = 0;
        bench_begin(&b, "unpermute.portable.f32_none_f32", features[i].chip);
        give_u32(&b, 1);
        give_words(&b, &features[i].x, 1);
        give_words(&b, &slot, 1);
        give_words(&b, &features[i].w, 1);
        give_words(&b, &features[i].base, 1);
        uint32_t *y = give_words(&b, NULL, 1);
        for (int k = 0; k < 9; k++)
            give_u32(&b, k < 3); // one choice, width 1, with base; no offsets
        if (bench_run(&b) != ISO_OK)
            fail_msg("%s", iso_status_last()->text);
        if (*y != features[i].wanted)
            fail_msg("feature case %zu: 0x%08x, wanted 0x%08x", i, *y, features[i].wanted);
        bench_end(&b);
    }
}

// ---- control flow: sim_flow.comp in C ----

static uint32_t pick(uint32_t x)
{
    switch (x % 7) {
    case 0:
        return 11;
    case 1:
        x += 5; // fall through
    case 2:
        x += 7;
        break;
    case 5:
        for (uint32_t i = 0; i < 9; i++) {
            if (i == x % 4)
                continue;
            if (i > 6)
                return x * 3;
            x++;
        }
        break;
    default:
        x = x * x;
    }
    return x + 1;
}

static uint32_t flow(uint32_t lane)
{
    uint32_t parts[4], a = lane, b, calls = 100;
    for (uint32_t i = 0; i < 4; i++)
        parts[i] = lane * i;
    do {
        b = a * 2;
        a += 3;
        calls++;
        parts[b & 3] += b;
    } while (a < 20 || (a & 1) == 0);
    const uint32_t pair[2] = {a + parts[lane & 3], b + calls};
    const int32_t s = (int32_t)lane - 20;
    uint32_t sum = pick(lane) + pair[0] * 1000 + pair[1] * 7 + (uint32_t)(s / 3) +
                   (uint32_t)(s > -5 ? s : -5) + (uint32_t)(s >> 1);
    sum += a * 3 + a + 1;
    while (sum % 5 != lane % 5)
        sum += lane > 30 ? 1 : 3;
    return sum;
}

// 48 lanes: with 32 a subgroup, the second is not full.
static void test_flow(void **state)
{
    (void)state;
    static const char *const chips[] = {"", "feature subgroup 8", "feature subgroup 64", "feature subgroup 1",
                                        "feature contract\nfeature flush-subnormals"};
    for (size_t c = 0; c < sizeof chips / sizeof chips[0]; c++) {
        static bench b;
        iso_kernel kernel = {.name = "flow.test", .group_size = 48};
        bench_begin(&b, "add.portable.f32_none_f32", chips[c]);
        b.kernel = &kernel;
        give_u32(&b, 1);
        uint32_t *y = give_words(&b, NULL, 96);
        const iso_module_source source = {.name = "flow.test",
                                          .format = ISO_CODE_SPIRV,
                                          .code = sim_flow,
                                          .code_bytes = sizeof sim_flow,
                                          .group_size = 48,
                                          .arg_count = 2,
                                          .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER}};
        if (iso_sim_program_create(NULL, &b.chip, &source, &b.program) != ISO_OK)
            fail_msg("%s", iso_status_last()->text);
        b.work.program = b.program;
        b.work.label = "flow.test";
        if (bench_run(&b) != ISO_OK)
            fail_msg("%s", iso_status_last()->text);
        for (uint32_t lane = 0; lane < 48; lane++)
            if (y[2 * lane] != flow(lane))
                fail_msg("chip %zu, lane %u: %u, wanted %u", c, lane, y[2 * lane], flow(lane));
        bench_end(&b);
    }
}

// ---- barriers: argmax over 256 lanes, the largest at 968 (lane 200) ----

static iso_status run_argmax(const char *chip, uint32_t launch_number, uint32_t *out_place)
{
    static bench b;
    uint32_t x[1000];
    for (uint32_t i = 0; i < 1000; i++)
        x[i] = as_bits(i == 968 ? 10000.0f : (float)((i * 37) % 1000));
    bench_begin(&b, "argmax.portable.f32_none_none", chip);
    give_u32(&b, 1);
    give_words(&b, x, 1000);
    uint32_t *y = give_words(&b, NULL, 1);
    give_u32(&b, 1000);
    give_u32(&b, 0);
    give_u32(&b, 1000);
    b.work.launch_number = launch_number;
    iso_status status = bench_run(&b);
    *out_place = *y;
    bench_end(&b);
    return status;
}

// One order of subgroups may hide it; the other, in the next launch, does not.
static void test_missing_barriers(void **state)
{
    (void)state;
    uint32_t first, second;
    assert_int_equal(run_argmax("", 0, &first), ISO_OK);
    assert_int_equal(run_argmax("", 1, &second), ISO_OK);
    assert_int_equal(first, 968);
    assert_int_equal(second, 968);
    for (int barrier = 0; barrier < 2; barrier++) {
        char chip[64];
        snprintf(chip, sizeof chip, "fault argmax barrier %d drop", barrier);
        assert_int_equal(run_argmax(chip, 0, &first), ISO_OK);
        assert_int_equal(run_argmax(chip, 1, &second), ISO_OK);
        if (first == 968 && second == 968)
            fail_msg("barrier %d is missing and nothing shows", barrier);
        snprintf(chip, sizeof chip, "fault argmax barrier %d drop when launch >= 2", barrier);
        assert_int_equal(run_argmax(chip, 0, &first), ISO_OK);
        assert_int_equal(run_argmax(chip, 1, &second), ISO_OK);
        assert_int_equal(first, 968);
        assert_int_equal(second, 968);
    }
}

#define NORM 128 // two elements a lane

// A row of ones by RMS norm: the sum is a tree over two subgroups whose root the upper one reads.
static iso_status run_norm(const char *chip, uint32_t launch_number, uint32_t out_y[NORM])
{
    static bench b;
    uint32_t ones[NORM];
    for (uint32_t i = 0; i < NORM; i++)
        ones[i] = ONE;
    bench_begin(&b, "rms_norm.portable.f32_f32_f32", chip);
    give_u32(&b, 1);
    give_words(&b, ones, NORM);
    give_words(&b, ones, NORM);
    uint32_t *y = give_words(&b, NULL, NORM);
    give_u32(&b, NORM);
    for (int i = 0; i < 4; i++)
        give_u32(&b, i % 2 ? NORM : 0);
    give_f32(&b, 0);
    b.work.launch_number = launch_number;
    iso_status status = bench_run(&b);
    memcpy(out_y, y, NORM * sizeof *y);
    bench_end(&b);
    return status;
}

static bool all_ones(const uint32_t y[NORM])
{
    for (uint32_t i = 0; i < NORM; i++)
        if (y[i] != ONE)
            return false;
    return true;
}

// The order from the first subgroup to the last hides this one: the root is there when the upper subgroup
// reads.
static void test_order_of_subgroups(void **state)
{
    (void)state;
    uint32_t y[2][NORM];
    static const char *const honest[] = {"", "fault rms_norm barrier 1 drop\nfeature subgroup 64"};
    for (size_t c = 0; c < 2; c++)
        for (uint32_t launch = 0; launch < 2; launch++) {
            assert_int_equal(run_norm(honest[c], launch, y[0]), ISO_OK);
            assert_true(all_ones(y[0]));
        }
    assert_int_equal(run_norm("fault rms_norm barrier 1 drop", 0, y[0]), ISO_OK);
    assert_int_equal(run_norm("fault rms_norm barrier 1 drop", 1, y[1]), ISO_OK);
    assert_true(all_ones(y[0]) != all_ones(y[1]));
}

// The fifth comparison is the loop's: lanes that leave it do not come to its barrier.
static void test_barrier_not_reached(void **state)
{
    (void)state;
    uint32_t place;
    assert_failed_with(run_argmax("fault argmax compare 4 drop when lane == 37", 0, &place), ISO_DEVICE_LOST,
                       "lane 37 does not reach barrier 1");
    assert_failed_with(run_argmax("fault argmax compare 4 drop when lane >= 224", 0, &place), ISO_DEVICE_LOST,
                       "lanes from 0 wait at barrier 1, lanes from 224 have ended");
}

// Shared memory begins as NaN.
static void test_shared_memory_unset(void **state)
{
    (void)state;
    uint32_t y[NORM];
    assert_int_equal(run_norm("fault rms_norm store partial drop when lane == 40", 0, y), ISO_OK);
    for (uint32_t i = 0; i < NORM; i++)
        assert_true(isnan(as_float(y[i])));
}

// What a fault makes a kernel read far outside is 0 (on an honest chip it is an error), and a write is lost.
static void test_faults_outside(void **state)
{
    (void)state;
    uint32_t place;
    assert_int_equal(run_argmax("fault argmax index x add 1000000", 0, &place), ISO_OK);
    assert_int_equal(place, 0);
    assert_int_equal(run_argmax("fault argmax index y add 1000000", 0, &place), ISO_OK);
    assert_int_equal(place, UNWRITTEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_missing_barriers),
        cmocka_unit_test(test_order_of_subgroups),
        cmocka_unit_test(test_barrier_not_reached),
        cmocka_unit_test(test_shared_memory_unset),
        cmocka_unit_test(test_faults_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
