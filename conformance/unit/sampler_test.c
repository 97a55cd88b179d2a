// SPDX-License-Identifier: MIT
//
// Tests of model/generate/sampler.c: greedy ties, refusals, the generator against its published sequence, and
// sampled frequencies against exact probabilities (with a bound that a right sampler misses once in a million
// runs; the seeds are fixed, so a failure repeats).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/sampler.h"

static void assert_error_has(const char *fragment)
{
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

static int32_t pick(iso_sampler *sampler, const float *logits, int32_t count)
{
    int32_t id;
    if (iso_sampler_pick(sampler, logits, count, &id) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    return id;
}

static void test_greedy(void **state)
{
    (void)state;
    iso_sampler sampler;
    assert_int_equal(iso_sampler_init(&sampler, NULL, 8, NULL), ISO_OK);
    assert_int_equal(pick(&sampler, (const float[]){-1, 3, 2, 3}, 4), 1); // the lowest index on ties
    assert_int_equal(pick(&sampler, (const float[]){-5}, 1), 0);
    assert_int_equal(pick(&sampler, (const float[]){-INFINITY, -1e30f, -INFINITY}, 3), 1);
    assert_int_equal(pick(&sampler, (const float[]){-0.0f, 0.0f}, 2), 0);
    iso_sampler_deinit(&sampler);
    iso_sampler_deinit(NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    static const iso_sampler_options bad[] = {
        {.temperature = -0.1}, {.temperature = NAN},       {.temperature = INFINITY},
        {.top_p = -0.5},       {.top_p = 1.0000000000001}, {.top_p = NAN},
    };
    iso_sampler sampler;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(iso_sampler_init(&sampler, &bad[i], 8, NULL), ISO_INVALID_ARGUMENT);
        assert_error_has(i < 3 ? "temperature" : "top_p");
        iso_sampler_deinit(&sampler);
    }
    assert_int_equal(iso_sampler_init(&sampler, NULL, 0, NULL), ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_sampler_init(&sampler, &(iso_sampler_options){.temperature = 1, .seed = 5}, 4, NULL),
                     ISO_OK);
    uint64_t before[4];
    int32_t id;
    memcpy(before, sampler.state, sizeof before);
    assert_int_equal(iso_sampler_pick(&sampler, (const float[]){0, 1, NAN}, 3, &id), ISO_INVALID_ARGUMENT);
    assert_error_has("logits[2]");
    assert_int_equal(id, -1);
    assert_int_equal(iso_sampler_pick(&sampler, (const float[]){0, INFINITY}, 2, &id), ISO_INVALID_ARGUMENT);
    assert_error_has("logits[1]");
    assert_int_equal(iso_sampler_pick(&sampler, (const float[]){-INFINITY, -INFINITY}, 2, &id),
                     ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_sampler_pick(&sampler, (const float[]){0, 0, 0, 0, 0}, 5, &id),
                     ISO_INVALID_ARGUMENT);
    assert_int_equal(iso_sampler_pick(&sampler, (const float[]){0}, 0, &id), ISO_INVALID_ARGUMENT);
    assert_memory_equal(before, sampler.state, sizeof before);
    iso_sampler_deinit(&sampler);
}

// splitmix64 from 1234567: the first numbers of its published test (rosettacode.org, "Pseudo-random
// numbers/Splitmix64").
static void test_seeding(void **state)
{
    (void)state;
    iso_sampler sampler;
    assert_int_equal(iso_sampler_init(&sampler, &(iso_sampler_options){.seed = 1234567}, 1, NULL), ISO_OK);
    assert_true(sampler.state[0] == UINT64_C(6457827717110365317));
    assert_true(sampler.state[1] == UINT64_C(3203168211198807973));
    assert_true(sampler.state[2] == UINT64_C(9817491932198370423));
    assert_true(sampler.state[3] == UINT64_C(4593380528125082431));
}

// xoshiro256** from the state 1, 2, 3, 4: its first outputs are 11520, 0, 1509978240 and 1215971899390074240
// (the vector that implementations share), the last of which is 270.00000000000895 of 4096 equal parts.
static void test_generator(void **state)
{
    (void)state;
    static const uint64_t start[4] = {1, 2, 3, 4}, second[4] = {7, 0, 262146, UINT64_C(211106232532992)};
    static float equal[4096];
    iso_sampler sampler;
    assert_int_equal(iso_sampler_init(&sampler, &(iso_sampler_options){.temperature = 1}, 4096, NULL),
                     ISO_OK);
    memcpy(sampler.state, start, sizeof start);
    assert_int_equal(pick(&sampler, equal, 4096), 0);
    assert_memory_equal(sampler.state, second, sizeof second);
    assert_int_equal(pick(&sampler, equal, 4096), 0);
    assert_int_equal(pick(&sampler, equal, 4096), 0);
    assert_int_equal(pick(&sampler, equal, 4096), 270);
    iso_sampler_deinit(&sampler);
}

// Draws many and compares with `expected` probabilities.
static void check_frequencies(const iso_sampler_options *options, const float *logits, const double *expected,
                              int32_t count)
{
    enum { DRAWS = 200000 };
    iso_sampler sampler;
    long seen[16] = {0};
    assert_int_equal(iso_sampler_init(&sampler, options, count, NULL), ISO_OK);
    for (int i = 0; i < DRAWS; i++)
        seen[pick(&sampler, logits, count)]++;
    for (int32_t i = 0; i < count; i++) {
        double deviation = sqrt(expected[i] * (1 - expected[i]) * DRAWS);
        if (fabs((double)seen[i] - expected[i] * DRAWS) > 5 * deviation + 1e-9)
            fail_msg("token %d: %ld of %d, probability %g", i, seen[i], DRAWS, expected[i]);
    }
    iso_sampler_deinit(&sampler);
}

static void test_temperature(void **state)
{
    (void)state;
    const float logits[] = {0, 1, -2, 0.5f, -INFINITY, 3};
    static const double temperatures[] = {0.3, 1, 2.5};
    for (size_t t = 0; t < 3; t++) {
        double expected[6], total = 0;
        for (int i = 0; i < 6; i++)
            total += expected[i] = exp(logits[i] / temperatures[t]);
        for (int i = 0; i < 6; i++)
            expected[i] /= total;
        check_frequencies(&(iso_sampler_options){temperatures[t], 1, 42 + t}, logits, expected, 6);
    }
}

static void test_top_p(void **state)
{
    (void)state;
    // Probabilities 0.4, 0.1, 0.3, 0.2 by position; the nucleus is taken by size, not by position.
    float logits[4];
    static const double p[] = {0.4, 0.1, 0.3, 0.2};
    for (int i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
    check_frequencies(&(iso_sampler_options){1, 0.65, 1}, logits,
                      (const double[]){0.4 / 0.7, 0, 0.3 / 0.7, 0}, 4);
    check_frequencies(&(iso_sampler_options){1, 0.75, 2}, logits,
                      (const double[]){0.4 / 0.9, 0, 0.3 / 0.9, 0.2 / 0.9}, 4);
    check_frequencies(&(iso_sampler_options){1, 1e-9, 3}, logits, (const double[]){1, 0, 0, 0}, 4);
    check_frequencies(&(iso_sampler_options){1, 0, 4}, logits, p, 4); // unset
    // Of equals the lowest index is in.
    check_frequencies(&(iso_sampler_options){1, 0.4, 5}, (const float[]){1, 1, 1, 1},
                      (const double[]){0.5, 0.5, 0, 0}, 4);
}

// A large vocabulary: the nucleus of a full sort is the same.
static int by_logit(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void test_nucleus_of_many(void **state)
{
    (void)state;
    enum { VOCAB = 5000 };
    static float logits[VOCAB], sorted[VOCAB];
    uint32_t random = 99;
    for (int i = 0; i < VOCAB; i++) {
        random = random * 1664525 + 1013904223;
        logits[i] = (float)(random >> 8) / (float)(1 << 22);
    }
    memcpy(sorted, logits, sizeof sorted);
    qsort(sorted, VOCAB, sizeof *sorted, by_logit);
    double total = 0, mass = 0;
    for (int i = 0; i < VOCAB; i++)
        total += exp((double)sorted[i] - sorted[0]);
    float smallest = sorted[0];
    for (int i = 0; i < VOCAB && mass < 0.5 * total; i++) {
        mass += exp((double)sorted[i] - sorted[0]);
        smallest = sorted[i];
    }
    iso_sampler sampler;
    assert_int_equal(iso_sampler_init(&sampler, &(iso_sampler_options){1, 0.5, 6}, VOCAB, NULL), ISO_OK);
    float least = sorted[0];
    for (int i = 0; i < 5000; i++) {
        float logit = logits[pick(&sampler, logits, VOCAB)];
        assert_true(logit >= smallest);
        least = logit < least ? logit : least;
    }
    assert_true(least < smallest + 0.5f); // it does reach down
    iso_sampler_deinit(&sampler);
}

static void test_same_seed_same_ids(void **state)
{
    (void)state;
    const float logits[] = {0, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f};
    int32_t first[64];
    for (int round = 0; round < 3; round++) {
        iso_sampler sampler;
        iso_sampler_options options = {0.9, 0.95, round == 2 ? 8 : 7};
        assert_int_equal(iso_sampler_init(&sampler, &options, 8, NULL), ISO_OK);
        int same = 0;
        for (int i = 0; i < 64; i++) {
            int32_t id = pick(&sampler, logits, 8);
            if (round == 0)
                first[i] = id;
            same += first[i] == id;
        }
        assert_true(round == 2 ? same < 40 : same == 64);
        iso_sampler_deinit(&sampler);
    }
}

static void *no_memory(void *context, void *memory, size_t bytes)
{
    (void)context;
    (void)memory;
    (void)bytes;
    return NULL;
}

static void no_release(void *context, void *memory)
{
    (void)context;
    assert_null(memory);
}

// Greedy needs no memory; sampling asks once, at init.
static void test_allocation(void **state)
{
    (void)state;
    iso_allocator none = {NULL, no_memory, no_release};
    iso_sampler sampler;
    assert_int_equal(iso_sampler_init(&sampler, NULL, 100, &none), ISO_OK);
    iso_sampler_deinit(&sampler);
    assert_int_equal(iso_sampler_init(&sampler, &(iso_sampler_options){.temperature = 1}, 100, &none),
                     ISO_OUT_OF_MEMORY);
    iso_sampler_deinit(&sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_seeding),         cmocka_unit_test(test_generator),
        cmocka_unit_test(test_temperature),     cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_nucleus_of_many), cmocka_unit_test(test_same_seed_same_ids),
        cmocka_unit_test(test_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
