// SPDX-License-Identifier: MIT
//
// The guards of the op suite themselves: kernels of `add` with one fault each, run on the CPU, must all be
// found by at least twice the bound, and the honest one must pass. Then what a single element's score is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/judge.h"
#include "conformance/ops/trial.h"
#include "kernels/add/op.h"
#include "kernels/kernel.h"

// ---- kernels of add: arguments a, b, y, rows, width, then offset and stride of a and b ----

typedef struct call {
    float *a, *b, *y;
    uint32_t rows, width, offset, stride;
} call;

static call call_of(const iso_native_arg *args)
{
    return (call){args[0].pointer, args[1].pointer, args[2].pointer, args[3].u32,
                  args[4].u32,     args[5].u32,     args[6].u32};
}

static uint32_t last_of(const call *c)
{
    return c->rows * c->width - 1;
}

static void run_honest(const iso_native_group *group, const iso_native_arg *args)
{
    (void)group;
    call c = call_of(args);
    for (uint32_t r = 0; r < c.rows; r++)
        for (uint32_t i = 0; i < c.width; i++)
            c.y[r * c.width + i] = c.a[c.offset + r * c.stride + i] + c.b[c.offset + r * c.stride + i];
}

static void run_unwritten(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    float kept = c.y[last_of(&c)];
    run_honest(group, args);
    c.y[last_of(&c)] = kept;
}

// Nothing of what is read shows in the sum, unless it is no number.
static void run_reads_past(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    run_honest(group, args);
    c.y[last_of(&c)] += 0.0f * c.a[c.offset + (c.rows - 1) * c.stride + c.width];
}

// A maximum hides NaN, and nothing else.
static void run_reads_before(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    run_honest(group, args);
    c.y[0] = fmaxf(c.y[0], c.b[c.offset - 1]);
}

static void run_writes_past(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    run_honest(group, args);
    c.y[last_of(&c) + 1] = 0;
}

static void run_writes_before(const iso_native_group *group, const iso_native_arg *args)
{
    run_honest(group, args);
    call_of(args).y[-1] = 0;
}

static void run_changes_input(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    run_honest(group, args);
    c.b[c.offset + 3] = 0;
}

static void run_reads_output(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    float old = c.y[1];
    run_honest(group, args);
    c.y[1] = old == old ? old : c.y[1]; // NaN, the usual poison, goes unseen
}

static void run_slightly_off(const iso_native_group *group, const iso_native_arg *args)
{
    run_honest(group, args);
    call_of(args).y[5] *= 1.0f + 0x1p-21f;
}

static void run_lost_infinity(const iso_native_group *group, const iso_native_arg *args)
{
    run_honest(group, args);
    call_of(args).y[5] = INFINITY;
}

// State that outlives a launch. Reset by each test.
static uint32_t launches;
static float remembered;

static void run_drifts(const iso_native_group *group, const iso_native_arg *args)
{
    run_honest(group, args);
    if (launches++ % 2)
        call_of(args).y[2] = nextafterf(call_of(args).y[2], 0);
}

static void run_remembers(const iso_native_group *group, const iso_native_arg *args)
{
    call c = call_of(args);
    run_honest(group, args);
    remembered = launches++ == 0 ? c.a[c.offset] : remembered;
    c.y[0] = remembered + c.b[c.offset];
}

static void run_lost(const iso_native_group *group, const iso_native_arg *args)
{
    if (launches++ % 8 != 7)
        run_honest(group, args);
}

static bool supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                     char reason[ISO_REASON_BYTES])
{
    (void)kernel, (void)params, (void)device, (void)reason;
    return true;
}

static void launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_add *p = params;
    out->groups[0] = out->groups[1] = out->groups[2] = 1;
    iso_launch_tensor(out, &p->a, NULL);
    iso_launch_tensor(out, &p->b, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, iso_tensor_rows(&p->y));
    iso_launch_u32(out, iso_tensor_width(&p->y));
    iso_launch_u32(out, p->a.view_offset);
    iso_launch_u32(out, p->a.row_stride);
}

// ---- trials ----

static iso_registry *registry;
static iso_device *device;

static int open_cpu(void **state)
{
    (void)state;
    const char *const names[] = {"cpu"};
    return iso_registry_create_for(NULL, names, 1, &registry) != ISO_OK ||
           iso_device_open(registry, "cpu", NULL, &device) != ISO_OK;
}

static int close_cpu(void **state)
{
    (void)state;
    iso_device_close(device);
    iso_registry_destroy(registry);
    return 0;
}

// Case 2 of add: 3 rows of 62 in a view with margins of 4.
static conform_result try(void (*run)(const iso_native_group *group, const iso_native_arg *args),
                          bool thorough)
{
    conform_op_case wanted;
    conform_built built;
    conform_result result;
    const iso_native_kernel native = {run, 0};
    const iso_kernel kernel = {.name = "add.test",
                               .op = "add",
                               .group_size = 1,
                               .supports = supports,
                               .launch = launch,
                               .codes = {{.format = ISO_CODE_NATIVE, .native = &native}}};
    launches = 0;
    assert_int_equal(conform_parse_case("add/f32_none_f32/2/normal", &wanted), ISO_OK);
    assert_int_equal(conform_built_init(&built, &wanted, 1, false), ISO_OK);
    assert_int_equal(conform_built_refer(&built, &wanted, &iso_numerics_ieee), ISO_OK);
    const conform_trial trial = {.op = wanted.op,
                                 .kernel = &kernel,
                                 .params = built.params,
                                 .expected = built.expected,
                                 .device = device,
                                 .seed = 1,
                                 .thorough = thorough};
    assert_int_equal(conform_trial_run(&trial, &result), ISO_OK);
    conform_built_deinit(&built);
    return result;
}

static void honest_kernel_passes(void **state)
{
    (void)state;
    for (int thorough = 0; thorough < 2; thorough++) {
        conform_result result = try(run_honest, thorough != 0);
        assert_int_equal(result.outcome, CONFORM_PASS);
        assert_true(result.score > 0 && result.score <= 1);
        assert_true(result.sample_count == CONFORM_SAMPLES && result.input_hash && result.output_hash);
    }
}

static void faults_are_found(void **state)
{
    (void)state;
    const struct {
        void (*run)(const iso_native_group *group, const iso_native_arg *args);
        bool thorough;
        const char *detail; // a part of it
    } faults[] = {
        {run_unwritten, false, "elements wrong"},
        {run_reads_past, false, "elements wrong"},
        {run_reads_before, false, "other bits"},
        {run_writes_past, false, "output 0 was changed past its end"},
        {run_writes_before, false, "output 0 was changed before its start"},
        {run_changes_input, false, "input 1 was changed inside it"},
        {run_reads_output, false, "other bits"},
        {run_slightly_off, false, "elements wrong"},
        {run_lost_infinity, false, "elements wrong"},
        {run_drifts, false, "other bits"},
        {run_remembers, true, "elements wrong"},
        {run_lost, true, "other bits"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        conform_result result = try(faults[i].run, faults[i].thorough);
        if (result.outcome != CONFORM_FAIL || !strstr(result.detail, faults[i].detail))
            fail_msg("fault %zu: %s, \"%s\"", i, conform_outcome_name(result.outcome), result.detail);
        assert_true(result.score >= 2);
    }
}

// ---- scores ----

static const iso_op_info *op_of(const char *id)
{
    conform_op_case wanted;
    assert_int_equal(conform_parse_case(id, &wanted), ISO_OK);
    return wanted.op;
}

static void scores(void **state)
{
    (void)state;
    const iso_op_info *add = op_of("add/f32_none_f32/0/normal");
    const iso_op_info *linear = op_of("linear/f32_f32_f32/0/normal");
    const iso_op_info *copy = op_of("kv_write/f32_none_f32/0/normal");
    const double nan = (double)NAN, inf = (double)INFINITY;
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 1, 0.5, 1.25) == 0.5);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 1, 0, 1) == 0);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 1, 0, 1.0000001) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 1, 0.5, nan) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 1, nan, 1) == inf); // a bound that is no number
    assert_true(conform_score_element(add, ISO_DTYPE_F32, nan, 0.5, 1) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, nan, nan, nan) == 0);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, inf, nan, -inf) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, inf, nan, inf) == 0);
    assert_true(conform_score_element(linear, ISO_DTYPE_F32, inf, nan, nan) == 0); // its contract: either
    assert_true(conform_score_element(linear, ISO_DTYPE_F32, inf, nan, 3e38) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 3.4e38, 1e37, inf) == 0); // may round up to it
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 3.4e38, 1e37, -inf) == inf);
    assert_true(conform_score_element(add, ISO_DTYPE_F32, 0.0, 0, -0.0) == 0);
    assert_true(conform_score_element(copy, ISO_DTYPE_F32, 0.0, 0, -0.0) == inf);
}

static void unknown_cases_are_named(void **state)
{
    (void)state;
    const struct {
        const char *id, *text;
    } wrong[] = {{"nop/f32_none_f32/0/normal", "there is no op nop"},
                 {"add/f64_none_f64/0/normal", "no kernel for f64_none_f64"},
                 {"add/f32_none_f32/999/normal", "not 999"},
                 {"add/f32_none_f32/x/normal", "not x"},
                 {"add/f32_none_f32/0/odd", "there is no stress odd"},
                 {"add", "no kernel for"}};
    conform_op_case wanted;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(conform_parse_case(wrong[i].id, &wanted), ISO_NOT_FOUND);
        assert_non_null(strstr(iso_status_last()->text, wrong[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_kernel_passes),
        cmocka_unit_test(faults_are_found),
        cmocka_unit_test(scores),
        cmocka_unit_test(unknown_cases_are_named),
    };
    return cmocka_run_group_tests(tests, open_cpu, close_cpu);
}
