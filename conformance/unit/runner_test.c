// SPDX-License-Identifier: MIT
//
// Unit tests of the KV pages, and of what the runner adds to a step: padding that reaches nobody, refusals of
// wrong forced experts and wrong ids, values of every rank read back, and failed allocations. What several
// sequences do to each other is conformance/models/batching_test.c.
#include <math.h>

#include "conformance/support/fleet.h"
#include "conformance/support/golden.h"
#include "conformance/unit/plan_fixture.h"
#include "model/generate/kv_pages.h"

static fleet devices;

static int open_all(void **state)
{
    (void)state;
    return fleet_open(&devices);
}

static int close_all(void **state)
{
    (void)state;
    fleet_close(&devices);
    return 0;
}

// ---- pages ----

static void pages_go_round(void **state)
{
    (void)state;
    iso_kv_pages pages;
    uint32_t a, b, c;
    assert_ok(iso_kv_pages_init(&pages, NULL, 2, 3));
    assert_ok(iso_kv_pages_open(&pages, &a));
    assert_ok(iso_kv_pages_open(&pages, &b));
    assert_refused(iso_kv_pages_open(&pages, &c), ISO_LIMIT, "all 2 sequences are open");
    assert_ok(iso_kv_pages_reserve(&pages, a, 64));
    assert_int_equal(pages.free_count, 5);
    assert_ok(iso_kv_pages_reserve(&pages, a, 65));
    assert_ok(iso_kv_pages_reserve(&pages, b, 192));
    assert_int_equal(pages.free_count, 1);
    assert_refused(iso_kv_pages_reserve(&pages, b, 193), ISO_LIMIT, "193 tokens long; the context holds 192");
    // No two positions have one slot.
    bool taken[6 * 64] = {false};
    for (uint32_t p = 0; p < 128 + 192; p++) {
        int32_t slot = p < 128 ? iso_kv_pages_slot(&pages, a, p) : iso_kv_pages_slot(&pages, b, p - 128);
        assert_in_range(slot, 0, 6 * 64 - 1);
        assert_false(taken[slot]);
        taken[slot] = true;
    }
    iso_kv_pages_set_length(&pages, b, 65);
    assert_int_equal(pages.free_count, 2);
    iso_kv_pages_set_length(&pages, b, 64);
    assert_int_equal(pages.free_count, 3);
    assert_int_equal(pages.block_table[3 + 1], -1);
    iso_kv_pages_close(&pages, a);
    iso_kv_pages_close(&pages, a);
    iso_kv_pages_close(&pages, 99);
    assert_int_equal(pages.free_count, 5);
    assert_ok(iso_kv_pages_open(&pages, &c));
    assert_int_equal(c, a);
    assert_int_equal(pages.sequences[c].length, 0);
    iso_kv_pages_deinit(&pages);
    assert_refused(iso_kv_pages_init(&pages, NULL, 65536, 65536), ISO_LIMIT,
                   "65536 sequences of 65536 pages");
    assert_refused(iso_kv_pages_init(&pages, NULL, 1, 33554432), ISO_LIMIT,
                   "allowed: 33554431 pages of 64 tokens");
    iso_kv_pages_deinit(&pages);
}

// ---- padding ----

#define STEP 3

static iso_runner *make_runner(const golden *golden, iso_device *device, iso_runner_options options)
{
    iso_runner *runner = NULL;
    options.devices = &device;
    options.device_count = 1;
    options.context_tokens = 128;
    options.poison = true;
    assert_ok(iso_runner_create(golden->model, &options, &runner));
    return runner;
}

// Two steps of three tokens; the logits of all, one after the other.
static void run_two_steps(iso_runner *runner, uint32_t vocab, float *out)
{
    uint32_t sequence;
    assert_ok(iso_runner_open_sequence(runner, &sequence));
    for (int step = 0; step < 2; step++) {
        iso_step_token tokens[STEP];
        iso_step_result results[STEP];
        for (int i = 0; i < STEP; i++)
            tokens[i] = (iso_step_token){
                .id = 5 + 7 * i + 11 * step, .sequence = sequence, .want_logits = true, .next_id = 3};
        assert_ok(iso_runner_step(runner, tokens, STEP, results));
        for (int i = 0; i < STEP; i++)
            memcpy(out + (size_t)(step * STEP + i) * vocab, results[i].logits, vocab * sizeof *out);
    }
    iso_runner_close_sequence(runner, sequence);
}

// The padded rows of every layer's state: finite, so that nothing can spread from them.
static void check_padded_rows(iso_runner *runner, const golden *golden)
{
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t hidden = golden->config->hidden_size;
    float *rows = malloc((size_t)8 * hidden * sizeof *rows);
    assert_non_null(rows);
    for (uint32_t layer = 0; layer <= golden->config->layer_count; layer++) {
        assert_ok(iso_runner_read_rows(runner, values->hidden[layer], 8, rows));
        for (uint32_t i = 0; i < 8 * hidden; i++)
            if (!isfinite(rows[i]))
                fail_msg("%s: row %u of layer %u is not finite", golden->name, i / hidden, layer);
    }
    free(rows);
}

// In a list of its own, a step of three tokens has no padding; in the list for eight it has five rows.
static void padding_reaches_nobody(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        iso_dtype activation;
        bool w8a8;
    } subjects[] = {
        {"v3-fp8", ISO_DTYPE_F32, true},
        {"v3-fp8", ISO_DTYPE_BF16, true},
        {"v2-lite", ISO_DTYPE_BF16, false},
        {"r1-distill-qwen", ISO_DTYPE_F32, false},
    };
    for (size_t s = 0; s < sizeof subjects / sizeof subjects[0]; s++) {
        golden golden;
        assert_int_equal(golden_open(&golden, subjects[s].model), 0);
        size_t elems = (size_t)2 * STEP * golden.config->vocab_size;
        float *exact = malloc(elems * sizeof *exact), *padded = malloc(elems * sizeof *padded);
        assert_non_null(exact);
        assert_non_null(padded);
        for (uint32_t d = 0; d < devices.count; d++) {
            iso_runner_options options = {.activation = subjects[s].activation,
                                          .w8a8 = subjects[s].w8a8,
                                          .build.expose_hidden = true,
                                          .all_rows = true,
                                          .chunk_tokens = STEP};
            iso_runner *runner = make_runner(&golden, devices.devices[d], options);
            run_two_steps(runner, golden.config->vocab_size, exact);
            iso_runner_destroy(runner);
            options.chunk_tokens = 8;
            runner = make_runner(&golden, devices.devices[d], options);
            run_two_steps(runner, golden.config->vocab_size, padded);
            check_padded_rows(runner, &golden);
            iso_runner_destroy(runner);
            for (size_t i = 0; i < elems; i++)
                if (!isfinite(padded[i]) || memcmp(&padded[i], &exact[i], sizeof *exact) != 0)
                    fail_msg("%s on %s: logit %zu is %g with padding, %g without", golden.name,
                             iso_device_name(devices.devices[d]), i, (double)padded[i], (double)exact[i]);
        }
        free(exact);
        free(padded);
        golden_close(&golden);
    }
}

// ---- refusals ----

static void forced_experts_are_checked(void **state)
{
    (void)state;
    golden golden;
    assert_int_equal(golden_open(&golden, "v3-fp8"), 0);
    iso_runner *runner =
        make_runner(&golden, devices.devices[0], (iso_runner_options){.build.force_routing = true});
    uint32_t k = golden.config->experts_per_token, sequence;
    uint32_t moe = (golden.config->layer_count - golden.config->first_dense_layers) * k;
    int32_t *experts = calloc(moe, sizeof *experts);
    assert_non_null(experts);
    for (uint32_t i = 0; i < moe; i++)
        experts[i] = (int32_t)(i % k);
    assert_ok(iso_runner_open_sequence(runner, &sequence));
    iso_step_token token = {.id = 1, .sequence = sequence, .want_logits = true};
    iso_step_result result;
    assert_refused(iso_runner_step(runner, &token, 1, &result), ISO_INVALID_ARGUMENT,
                   "without forced_experts");
    token.forced_experts = experts;
    assert_ok(iso_runner_step(runner, &token, 1, &result));
    experts[moe - 1] = (int32_t)golden.config->routed_expert_count;
    assert_refused(iso_runner_step(runner, &token, 1, &result), ISO_INVALID_ARGUMENT, "forced expert ");
    experts[moe - 1] = -1;
    assert_refused(iso_runner_step(runner, &token, 1, &result), ISO_INVALID_ARGUMENT,
                   "forced expert -1; allowed: 0 to");
    assert_int_equal(iso_runner_length(runner, sequence), 1);
    free(experts);
    iso_runner_destroy(runner);
    golden_close(&golden);
}

static void values_of_every_rank_are_read(void **state)
{
    (void)state;
    golden golden;
    assert_int_equal(golden_open(&golden, "v3-fp8"), 0);
    iso_runner_options options = {
        .build.expose_routing = true, .all_rows = true, .activation = ISO_DTYPE_BF16};
    iso_runner *runner = make_runner(&golden, devices.devices[0], options);
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t k = golden.config->experts_per_token, layer = golden.config->first_dense_layers;
    float *logits = calloc((size_t)2 * STEP * golden.config->vocab_size, sizeof *logits);
    assert_non_null(logits);
    run_two_steps(runner, golden.config->vocab_size, logits);
    int32_t picked[STEP], experts[STEP * 16];
    assert_ok(iso_runner_read_indices(runner, values->picked, STEP, picked)); // [R]
    for (int i = 0; i < STEP; i++) {
        const float *row = logits + (size_t)(STEP + i) * golden.config->vocab_size;
        assert_in_range(picked[i], 0, golden.config->vocab_size - 1);
        for (uint32_t v = 0; v < golden.config->vocab_size; v++)
            assert_true(row[picked[i]] >= row[v]);
    }
    assert_ok(iso_runner_read_indices(runner, values->experts[layer], STEP, experts)); // [T, k]
    for (uint32_t i = 0; i < STEP * k; i++) {
        assert_in_range(experts[i], 0, golden.config->routed_expert_count - 1);
        if (i % k)
            assert_true(experts[i] > experts[i - 1]);
    }
    assert_refused(iso_runner_read_indices(runner, values->ids, 1, picked), ISO_INVALID_ARGUMENT,
                   "ids) is no output");
    free(logits);
    iso_runner_destroy(runner);
    golden_close(&golden);
}

// ---- allocations ----

// Each 7th, because a model has many; every one in turn over the small graphs of the other tests.
static void allocations_may_fail(void **state)
{
    (void)state;
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    iso_model *model;
    assert_ok(iso_model_open(GOLDEN_MODELS "r1-distill-qwen", &allocator, &model));
    int living = heap.living;
    long n = 1;
    for (iso_status status = ISO_OUT_OF_MEMORY; status != ISO_OK; n += 7) {
        iso_runner_options options = {.allocator = &allocator,
                                      .devices = devices.devices,
                                      .device_count = 1,
                                      .context_tokens = 64,
                                      .chunk_tokens = 1};
        iso_runner *runner = (iso_runner *)&runner;
        heap.fail_at = n;
        status = iso_runner_create(model, &options, &runner);
        assert_true(status == ISO_OK || (status == ISO_OUT_OF_MEMORY && !runner));
        heap.fail_at = 0;
        iso_runner_destroy(runner);
        assert_int_equal(heap.living, living);
        assert_true(n < 20000);
    }
    assert_true(n > 50);
    iso_model_close(model);
    assert_int_equal(heap.living, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_go_round),
        cmocka_unit_test(padding_reaches_nobody),
        cmocka_unit_test(forced_experts_are_checked),
        cmocka_unit_test(values_of_every_rank_are_read),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
