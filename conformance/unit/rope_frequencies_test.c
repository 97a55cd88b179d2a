// SPDX-License-Identifier: MIT
//
// Unit tests of model/checkpoint/rope_frequencies.c: frequencies against the formulas written out again,
// where the YaRN ramp begins and ends in published models, angles at far positions from the 64-bit turns, and
// the factors of cos, sin and softmax against published or separately derived values.
#include "conformance/unit/checkpoint_files.h"

#include <math.h>

#include "model/checkpoint/rope_frequencies.h"

#ifndef ISO_SOURCE_DIR
#define ISO_SOURCE_DIR "."
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define PI              3.14159265358979323846264338327950288L
#define MAX_PAIRS       64

static iso_model_config load(const char *name)
{
    char path[PATH_MAX];
    iso_model_config config;
    snprintf(path, sizeof path, ISO_SOURCE_DIR "/conformance/golden/configs/%s", name);
    assert_int_equal(iso_config_load(path, &config), ISO_OK);
    return config;
}

static long double plain_frequency(const iso_model_config *config, uint32_t pair, uint32_t width)
{
    return expl(-(2.0L * pair / width) * logl(config->rope_theta));
}

static void assert_close(long double got, long double wanted, long double relative)
{
    if (fabsl(got - wanted) > relative * fabsl(wanted))
        print_error("got %.20Lg, wanted %.20Lg\n", got, wanted);
    assert_true(fabsl(got - wanted) <= relative * fabsl(wanted));
}

static void test_plain(void **state)
{
    (void)state;
    iso_model_config qwen = load("r1-distill-qwen-1.5b"), moonlight = load("moonlight-16b-a3b");
    assert_int_equal(iso_rope_pair_count(&qwen), 64);
    assert_int_equal(iso_rope_pair_count(&moonlight), 32);
    for (uint32_t i = 0; i < 64; i++)
        assert_close(iso_rope_frequency(&qwen, i), plain_frequency(&qwen, i, 128), 1e-15L);
    for (uint32_t i = 0; i < 32; i++)
        assert_close(iso_rope_frequency(&moonlight, i), plain_frequency(&moonlight, i, 64), 1e-15L);
}

typedef struct yarn_case {
    const char *name;
    uint32_t width, low,
        high; // pairs up to `low` keep their frequency, from `high` on it is divided by the factor
} yarn_case;

// The first four: deepseek-models.md, section 3.5; the last from d ln(L / (2 pi beta)) / (2 ln base).
static const yarn_case yarn_cases[] = {{"deepseek-v2", 64, 10, 23},
                                       {"deepseek-v2-lite", 64, 10, 23},
                                       {"deepseek-v3", 64, 10, 23},
                                       {"kimi-k2", 64, 19, 20},
                                       {"r1-0528-qwen3-8b", 128, 23, 40}};

static void test_yarn(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT_OF(yarn_cases); c++) {
        const yarn_case *y = &yarn_cases[c];
        iso_model_config config = load(y->name);
        for (uint32_t i = 0; i < y->width / 2; i++) {
            long double ramp = i <= y->low    ? 0
                               : i >= y->high ? 1
                                              : ((long double)i - y->low) / (y->high - y->low);
            long double plain = plain_frequency(&config, i, y->width);
            long double wanted = plain * (1 - ramp) + plain / config.rope_scaling.factor * ramp;
            assert_close(iso_rope_frequency(&config, i), wanted, 1e-15L);
        }
    }
}

// Where both ends of the ramp fall on one pair.
static void test_yarn_step(void **state)
{
    (void)state;
    iso_model_config config = load("deepseek-v3");
    config.rope_scaling.beta_fast = config.rope_scaling.beta_slow = 752; // pair -0.5
    for (uint32_t i = 0; i < 32; i++) {
        long double plain = plain_frequency(&config, i, 64);
        assert_close(iso_rope_frequency(&config, i), i == 0 ? plain : plain / 40, 1e-15L);
    }
}

static void test_llama3(void **state)
{
    (void)state;
    iso_model_config config = load("r1-distill-llama-8b");
    int kept = 0, divided = 0, mixed = 0;
    for (uint32_t i = 0; i < 64; i++) {
        long double plain = plain_frequency(&config, i, 128);
        long double turns = 8192 * plain / (2 * PI); // within the original length; the factors are 1, 4 and 8
        long double wanted;
        if (turns > 4) {
            kept++;
            wanted = plain;
        } else if (turns < 1) {
            divided++;
            wanted = plain / 8;
        } else {
            mixed++;
            long double smooth = (turns - 1) / 3;
            wanted = (1 - smooth) * plain / 8 + smooth * plain;
        }
        assert_close(iso_rope_frequency(&config, i), wanted, 1e-15L);
    }
    assert_int_equal(kept + divided + mixed, 64);
    assert_true(kept > 20 && divided > 20 && mixed > 3);
}

// The distance of two angles in turns.
static long double turn_distance(long double a, long double b)
{
    long double difference = a - b;
    return fabsl(difference - roundl(difference));
}

static void test_turns(void **state)
{
    (void)state;
    static const uint64_t positions[] = {1, 2, 1000, 163839, 1048575};
    iso_model_config config = load("deepseek-v3");
    uint32_t table[2 * MAX_PAIRS];
    float scale;
    iso_rope_table(&config, table, &scale);
    assert_true(scale == 1);
    for (uint32_t i = 0; i < 32; i++) {
        uint64_t turns = (uint64_t)table[2 * i] << 32 | table[2 * i + 1];
        assert_int_equal(turns, iso_rope_turns(&config, i));
        long double exact = (long double)iso_rope_frequency(&config, i) / (2 * PI);
        for (size_t p = 0; p < COUNT_OF(positions); p++) {
            long double got = ldexpl((long double)(turns * positions[p]), -64);
            // The frequency here is a double, 2^-53 of it off; the turns were rounded at 2^-64.
            long double off = 0x1p-53L * exact * positions[p] + 0x1p-64L * positions[p];
            assert_true(turn_distance(got, exact * positions[p]) <= off);
        }
    }
    // Pair 0 is one radian per position, 2^64 / (2 pi) = 0x28be60db9391054a.4…; a long double of 64 bits has
    // room for two bits behind that.
    assert_in_range(iso_rope_turns(&config, 0), UINT64_C(0x28be60db9391054a), UINT64_C(0x28be60db9391054b));
}

typedef struct scale_case {
    const char *name;
    double softmax, cos_sin;
} scale_case;

// Softmax scales: deepseek-models.md, section 3.4; without YaRN, and in dense models, head_dim^-0.5.
static const scale_case scale_cases[] = {
    {"deepseek-v3", 0.13523378, 1},         {"deepseek-v2", 0.13523378, 1},
    {"deepseek-v2-lite", 0.11472139, 1},    {"kimi-k2", 0.13086080, 1},
    {"moonlight-16b-a3b", 0.07216878, 1},   {"r1-distill-qwen-1.5b", 0.08838835, 1},
    {"r1-distill-llama-8b", 0.08838835, 1}, {"r1-0528-qwen3-8b", 0.08838835, 1},
};

static void test_scales(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scale_cases); i++) {
        iso_model_config config = load(scale_cases[i].name);
        assert_close(iso_softmax_scale(&config), scale_cases[i].softmax, 1e-7L);
        assert_close(iso_rope_scale(&config), scale_cases[i].cos_sin, 1e-15L);
    }
}

static void test_scale_rules(void **state)
{
    (void)state;
    iso_model_config qwen = load("r1-0528-qwen3-8b");
    qwen.rope_scaling.attn_factor = 1; // as programs see it that do not know the key
    assert_close(iso_rope_scale(&qwen), 1.1386294361119891, 1e-15L);
    qwen.rope_scaling.attention_factor = 0.75;
    assert_close(iso_rope_scale(&qwen), 0.75, 0);

    iso_model_config v3 = load("deepseek-v3");
    v3.rope_scaling.mscale = 0.5;
    assert_close(iso_rope_scale(&v3), (0.05L * logl(40) + 1) / (0.1L * logl(40) + 1), 1e-15L);
    v3.rope_scaling.factor = 1; // nothing to make up for
    assert_close(iso_rope_scale(&v3), 1, 0);
    assert_close(iso_softmax_scale(&v3), 1 / sqrtl(192), 1e-15L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),       cmocka_unit_test(test_yarn),  cmocka_unit_test(test_yarn_step),
        cmocka_unit_test(test_llama3),      cmocka_unit_test(test_turns), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_scale_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
