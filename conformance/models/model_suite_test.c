// SPDX-License-Identifier: MIT
//
// The model suite: how a flip is judged, that a sound device passes, and that broken chips fail where they
// are broken.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conformance/models/golden_data.h"
#include "conformance/suite/suite.h"

extern const conform_suite conform_suite_model;

// ---- running a unit ----

#define MOST_RESULTS 32

typedef struct reports {
    conform_result results[MOST_RESULTS];
    uint32_t count;
    size_t layers; // entries of the error curve
} reports;

static void collect(conform_context *context, const conform_result *result)
{
    reports *all = context->report_context;
    json_t *layers = json_object_get(result->more, "layers");
    assert_true(all->count < MOST_RESULTS);
    if (layers)
        all->layers = json_array_size(layers);
    all->results[all->count] = *result;
    all->results[all->count++].more = NULL;
    json_decref(result->more);
}

static const conform_result *find(const reports *all, const char *check)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->results[i].check, check) == 0)
            return &all->results[i];
    fail_msg("no result \"%s\"", check);
    return NULL;
}

// Runs a unit on a device; with a fault, on a simulated chip that has it.
static reports run(const char *unit, const char *fault)
{
    reports all = {.count = 0};
    conform_context context = {
        .seed = 1, .numerics = iso_numerics_ieee, .report = collect, .report_context = &all};
    conform_unit one = {.limit_seconds = 60};
    char path[] = "/tmp/isomer-model-XXXXXX";
    const char *name = fault ? "sim:0" : "cpu";
    FILE *text = fdopen(mkstemp(path), "w");
    fprintf(text, "name Broken\n%s\n", fault ? fault : "");
    fclose(text);
    setenv("ISOMER_SIM_CHIPS", path, 1);
    snprintf(one.id, sizeof one.id, "%s", unit);
    assert_int_equal(iso_registry_create_for(NULL, &name, 1, &context.registry), ISO_OK);
    assert_int_equal(iso_device_open(context.registry, name, NULL, &context.device), ISO_OK);
    if (conform_suite_model.run(&context, &one) != ISO_OK)
        fail_msg("%s: %s", unit, iso_status_last()->text);
    iso_device_close(context.device);
    iso_registry_destroy(context.registry);
    unlink(path);
    return all;
}

// ---- tests ----

static void flips_are_judged_by_their_margin(void **state)
{
    (void)state;
    assert_int_equal(conform_flip_of(0.01, 0.001, 0.1), CONFORM_FLIP_EXPLAINED);
    assert_int_equal(conform_flip_of(0.2, 0, 0.1), CONFORM_FLIP_EXPLAINED);
    assert_int_equal(conform_flip_of(0.3, 0.001, 0.1), CONFORM_FLIP_UNEXPLAINED);
    assert_int_equal(conform_flip_of(0.01, -0.001, 0.1), CONFORM_FLIP_IMPOSSIBLE);
}

static void every_golden_model_is_listed(void **state)
{
    (void)state;
    conform_unit_list list = {0};
    uint32_t quick = 0;
    assert_int_equal(conform_suite_model.list(&list, NULL), ISO_OK);
    for (size_t i = 0; i < list.count; i++)
        quick += list.units[i].level == CONFORM_QUICK;
    assert_int_equal(quick, 2);
    assert_int_equal(list.count, 2 + 8 * 2 + 1);
    conform_unit_list_deinit(&list);
}

static void a_sound_device_passes(void **state)
{
    (void)state;
    static const char *const checks[] = {"ops", "logits", "tokens", "routing", "unobserved", "greedy"};
    reports all = run("model/v3-bf16/f32/brief", NULL);
    assert_int_equal(all.count, sizeof checks / sizeof checks[0]);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        assert_int_equal(find(&all, checks[i])->outcome, CONFORM_PASS);
    assert_int_equal(all.layers, 4); // the embedding and three layers
}

static void a_broken_op_fails_by_name(void **state)
{
    (void)state;
    reports all = run("model/v3-bf16/f32/brief", "fault silu_mul result exp_exact mul 1.01");
    assert_int_equal(find(&all, "ops")->outcome, CONFORM_FAIL);
    assert_string_equal(find(&all, "ops")->op, "silu_mul");
    assert_int_equal(find(&all, "logits")->outcome, CONFORM_FAIL);
}

// Nobody puts sound indices in place of a chip's here: what would read them is left out, and their maker
// blamed.
static void indices_out_of_range_do_not_end_the_suite(void **state)
{
    (void)state;
    reports all = run("model/v3-bf16/f32/brief", "fault permute write slot add 100000000");
    assert_int_equal(find(&all, "ops")->outcome, CONFORM_FAIL);
    assert_string_equal(find(&all, "ops")->op, "permute");
}

// Experts are chosen by keys that lost their lower half: margins tell that rounding does not explain it, and
// the layers after it are tested with the exact experts.
static void wrong_choices_are_impossible_and_forced(void **state)
{
    (void)state;
    reports all = run("model/v3-bf16/f32/brief", "fault router load has_bias set 0");
    assert_int_equal(find(&all, "routing")->outcome, CONFORM_FAIL);
    assert_non_null(strstr(find(&all, "routing")->detail, "impossible"));
    assert_int_equal(find(&all, "ops, routing forced")->outcome, CONFORM_PASS);
    assert_int_equal(find(&all, "logits, routing forced")->outcome, CONFORM_PASS);
}

static void a_stale_replay_fails(void **state)
{
    (void)state;
    reports all = run("model/r1-distill-qwen/f32/brief", "fault rope list stale positions");
    assert_int_equal(find(&all, "ops")->outcome, CONFORM_FAIL);
    assert_string_equal(find(&all, "ops")->op, "rope");
    assert_int_equal(find(&all, "greedy")->outcome, CONFORM_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_judged_by_their_margin),
        cmocka_unit_test(every_golden_model_is_listed),
        cmocka_unit_test(a_sound_device_passes),
        cmocka_unit_test(a_broken_op_fails_by_name),
        cmocka_unit_test(indices_out_of_range_do_not_end_the_suite),
        cmocka_unit_test(wrong_choices_are_impossible_and_forced),
        cmocka_unit_test(a_stale_replay_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
