// SPDX-License-Identifier: MIT
//
// Modules that are cut, damaged or not understood: a simulated chip refuses them with the word, and what it
// takes in spite of the damage runs without leaving its memory.
#include "conformance/unit/sim_fixture.h"

#include "conformance/unit/data/sim_flow.h"

enum { MAX_WORDS = 16384, FLIPS_EACH = 300, RUNS_EACH = 3 };

static uint32_t damaged[MAX_WORDS];

// The least that any kernel's arguments need to be decoded: kinds from the launch of its op's first case.
static void give_arguments(bench *b, const iso_op_info *op)
{
    iso_launch launch = {0};
    // Large enough for every params struct: tensors without memory and sizes of 0.
    static uint64_t params[1024];
    memset(params, 0, sizeof params);
    assert_true(op->params_bytes <= sizeof params);
    for (uint32_t i = 0; i < op->input_count + op->output_count; i++)
        ((iso_tensor *)(void *)params)[i] =
            (iso_tensor){.dtype = ISO_DTYPE_F32, .rank = 2, .dims = {3, 8, 2, 2}, .row_stride = 8};
    b->kernel->launch(b->kernel, params, &launch);
    for (uint32_t i = 0; i < launch.arg_count; i++) {
        if (launch.args[i].kind == ISO_ARG_BUFFER)
            give_words(b, NULL, 256);
        else
            b->work.args[b->work.arg_count++] = launch.args[i];
    }
    b->work.groups[0] = 2;
}

static void for_each_kernel(void (*test)(bench *b, const uint32_t *words, size_t count))
{
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        for (uint32_t k = 0; k < op->kernel_count; k++) {
            static bench b;
            if (!spirv_of(op->kernels[k])) // a host's kernel, or one tuned for another target
                continue;
            bench_begin(&b, op->kernels[k]->name, k % 2 ? "feature contract\nfeature flush-subnormals" : "");
            give_arguments(&b, op);
            const iso_kernel_code *code = spirv_of(op->kernels[k]);
            static uint32_t words[MAX_WORDS];
            assert_true(code->code_bytes <= sizeof words);
            memcpy(words, code->code, code->code_bytes);
            test(&b, words, code->code_bytes / 4);
            bench_end(&b);
        }
    }
}

static void decode_whole(bench *b, const uint32_t *words, size_t count)
{
    if (bench_decode(b, words, count * 4) != ISO_OK)
        fail_msg("%s: %s", b->kernel->name, iso_status_last()->text);
}

static void test_whole(void **state)
{
    (void)state;
    for_each_kernel(decode_whole);
}

// ---- cut ----

static void decode_cut(bench *b, const uint32_t *words, size_t count)
{
    for (size_t length = 0; length < count; length++)
        if (bench_decode(b, words, length * 4) != ISO_BUILD_FAILED)
            fail_msg("%s: cut to %zu of %zu words, it is still taken", b->kernel->name, length, count);
    assert_failed_with(bench_decode(b, words, count * 4 - 1), ISO_BUILD_FAILED, "not a multiple of 4");
}

static void test_cut(void **state)
{
    (void)state;
    static bench b;
    bench_begin(&b, "add.portable.bf16_none_bf16", "");
    give_u32(&b, 1);
    for (int i = 0; i < 3; i++)
        give_words(&b, NULL, 4);
    for (int i = 0; i < 7; i++)
        give_u32(&b, 0);
    static uint32_t words[MAX_WORDS];
    const iso_kernel_code *code = spirv_of(b.kernel);
    memcpy(words, code->code, code->code_bytes);
    decode_cut(&b, words, code->code_bytes / 4);
    bench_end(&b);
}

// ---- damaged ----

// xorshift64*: Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
static uint32_t next_random(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return (uint32_t)((x * 2685821657736338717u) >> 32);
}

static void damage(const uint32_t *words, size_t count)
{
    memcpy(damaged, words, count * sizeof *words);
    const uint32_t at = next_random() % (uint32_t)count;
    switch (next_random() % 4) {
    case 0:
        damaged[at] ^= UINT32_C(1) << next_random() % 32;
        break;
    case 1:
        damaged[at] = next_random() % 300; // another id
        break;
    case 2:
        damaged[at] = damaged[next_random() % count];
        break;
    default:
        damaged[at] = (damaged[at] & 0xffff0000u) | next_random() % 260; // another instruction
    }
}

static void decode_damaged(bench *b, const uint32_t *words, size_t count)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < FLIPS_EACH; i++) {
        damage(words, count);
        const iso_status status = bench_decode(b, damaged, count * 4);
        if (status != ISO_OK && status != ISO_BUILD_FAILED)
            fail_msg("%s, damage %u: %s", b->kernel->name, i, iso_status_last()->text);
        if (status != ISO_OK || runs == RUNS_EACH)
            continue;
        runs++;
        const iso_status ran = bench_run(b);
        if (ran != ISO_OK && ran != ISO_DEVICE_LOST)
            fail_msg("%s, damage %u, running: %s", b->kernel->name, i, iso_status_last()->text);
    }
    assert_true(runs > 0);
}

static void test_damaged(void **state)
{
    (void)state;
    for_each_kernel(decode_damaged);
}

// ---- not understood ----

static const struct {
    uint32_t word, value; // of sim_flow, from the beginning of the first instruction `find`
    uint32_t find;
    const char *fragment;
} unknown[] = {
    {0, 0x00010006, 0, "the module begins with"},
    {0, 0x0002002d, 0x00020011, "word 5: the instruction 45 is not understood here"},
    {1, 9, 0x00020011, "word 5: the capability 9"},
    {2, 0x00000002, 0x0003000e, "a memory model other than"},
    {3, 32, 0x00060010, "groups of 32 x 1 x 1 threads, group_size says 48"},
    {3, 25, 0x00040047, "no built-in variable in use: 25"},
    {2, 64, 0x00040015, "a number of 64 bits; allowed: 32"},
    {3, 4, 0x00050039, "a function that calls itself"}, // main
};

static void test_unknown(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof unknown / sizeof unknown[0]; c++) {
        static bench b;
        const iso_kernel kernel = {.name = "flow.test", .group_size = 48};
        bench_begin(&b, "add.portable.f32_none_f32", "");
        b.kernel = &kernel;
        give_u32(&b, 1);
        give_words(&b, NULL, 4);
        memcpy(damaged, sim_flow, sizeof sim_flow);
        size_t at = 0;
        for (size_t i = 5; unknown[c].find && i < sizeof sim_flow / 4 && at == 0; i += sim_flow[i] >> 16)
            at = sim_flow[i] == unknown[c].find ? i : 0;
        damaged[at + unknown[c].word] = unknown[c].value;
        const iso_module_source source = {.name = "flow.test",
                                          .format = ISO_CODE_SPIRV,
                                          .code = damaged,
                                          .code_bytes = sizeof sim_flow,
                                          .group_size = 48,
                                          .arg_count = 2,
                                          .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER}};
        assert_failed_with(iso_sim_program_create(NULL, &b.chip, &source, &b.program), ISO_BUILD_FAILED,
                           unknown[c].fragment);
        assert_null(b.program);
        bench_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
