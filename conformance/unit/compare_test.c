// SPDX-License-Identifier: MIT
//
// What `isomer compare` measures and when it says "agrees", on made-up captures. Its source is part of this
// program: the library does not hold it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/isomer/compare_measure.c"

#define ROWS   3
#define VOCAB  4
#define WIDTH  2
#define LAYERS 2
#define K      2

typedef struct made_up {
    float logits[ROWS * VOCAB], hidden[LAYERS * ROWS * WIDTH], weights[ROWS * K];
    int32_t picked[ROWS], experts[ROWS * K];
    cli_capture capture;
} made_up;

// Logits of RMS 1 whose best is id 0, by a margin of 2.
static void make_up(made_up *m)
{
    *m = (made_up){.capture = {.count = ROWS,
                               .vocab = VOCAB,
                               .width = WIDTH,
                               .hidden_count = LAYERS,
                               .choices = K,
                               .routed_count = 1,
                               .routed_layers = {1}}};
    for (int i = 0; i < ROWS * VOCAB; i++)
        m->logits[i] = i % VOCAB == 0 ? 1 : -1;
    for (int i = 0; i < LAYERS * ROWS * WIDTH; i++)
        m->hidden[i] = 10;
    for (int i = 0; i < ROWS * K; i++) {
        m->experts[i] = i % K ? 5 : 1;
        m->weights[i] = 0.5f;
    }
    m->capture.logits = m->logits;
    m->capture.hidden = m->hidden;
    m->capture.picked = m->picked;
    m->capture.experts = m->experts;
    m->capture.expert_weights = m->weights;
}

static compare_result measured(const made_up *reference, const made_up *device)
{
    compare_result result = {.repeats = true};
    compare_measure(&reference->capture, &device->capture, &result);
    return result;
}

static void differences_are_found_where_they_are(void **state)
{
    (void)state;
    made_up a, b;
    make_up(&a);
    make_up(&b);
    compare_result same = measured(&a, &b);
    assert_true(same.worst == 0 && same.rms == 0 && compare_verdict(&same, &exact_limits));
    b.logits[2 * VOCAB + 3] += 0.25f;
    b.hidden[1 * ROWS * WIDTH + 1 * WIDTH] -= 5;
    compare_result result = measured(&a, &b);
    assert_true(fabs(result.worst - 0.25) < 1e-9);
    assert_int_equal(result.worst_token, 2);
    assert_int_equal(result.worst_id, 3);
    assert_true(result.layers[0].worst == 0);
    assert_true(fabs(result.layers[1].worst - 0.5) < 1e-9);
    assert_int_equal(result.layers[1].token, 1);
    assert_false(compare_verdict(&result, &exact_limits));
    assert_true(compare_verdict(&result, &coarse_limits));
}

static void numbers_that_are_none_never_agree(void **state)
{
    (void)state;
    made_up a, b;
    make_up(&a);
    make_up(&b);
    b.logits[1] = NAN;
    compare_result result = measured(&a, &b);
    assert_false(compare_verdict(&result, &coarse_limits));
    a.logits[1] = NAN;
    result = measured(&a, &b);
    assert_false(compare_verdict(&result, &coarse_limits));
}

static void tokens_tip_over_only_at_small_margins(void **state)
{
    (void)state;
    made_up a, b;
    make_up(&a);
    make_up(&b);
    // The logits are the same, the greedy pick is not: wrong, whatever the limits.
    b.picked[1] = 2;
    compare_result result = measured(&a, &b);
    assert_int_equal(result.token_differences, 1);
    assert_int_equal(result.unexplained_tokens, 1);
    assert_int_equal(result.tokens[0].token, 1);
    assert_int_equal(result.tokens[0].device_id, 2);
    assert_false(compare_verdict(&result, &coarse_limits));
    // 5e-5 apart, and 4e-5 off: it may tip over.
    a.logits[VOCAB + 2] = 1 - 5e-5f;
    b.logits[VOCAB + 2] = 1 - 1e-5f;
    result = measured(&a, &b);
    assert_int_equal(result.token_differences, 1);
    assert_int_equal(result.unexplained_tokens, 0);
    assert_true(compare_verdict(&result, &exact_limits));
}

static void experts_that_differ_are_named(void **state)
{
    (void)state;
    made_up a, b;
    make_up(&a);
    make_up(&b);
    b.experts[1 * K] = 5;
    b.experts[1 * K + 1] = 7;
    b.weights[1 * K + 1] = 0.25f;
    compare_result result = measured(&a, &b);
    assert_int_equal(result.route_differences, 1);
    assert_int_equal(result.routes[0].layer, 1);
    assert_int_equal(result.routes[0].token, 1);
    assert_int_equal(result.routes[0].reference_expert, 1);
    assert_int_equal(result.routes[0].device_expert, 7);
    assert_true(result.routes[0].device_weight == 0.25f);
    assert_false(compare_verdict(&result, &exact_limits));
    assert_true(compare_verdict(&result, &coarse_limits));
}

static void another_second_run_disagrees(void **state)
{
    (void)state;
    made_up a, b;
    make_up(&a);
    make_up(&b);
    assert_true(compare_same_bits(&a.capture, &b.capture));
    b.hidden[3] = nextafterf(b.hidden[3], 20);
    assert_false(compare_same_bits(&a.capture, &b.capture));
    compare_result result = measured(&a, &a);
    result.repeats = false;
    assert_false(compare_verdict(&result, &coarse_limits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_found_where_they_are),
        cmocka_unit_test(numbers_that_are_none_never_agree),
        cmocka_unit_test(tokens_tip_over_only_at_small_margins),
        cmocka_unit_test(experts_that_differ_are_named),
        cmocka_unit_test(another_second_run_disagrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
