// SPDX-License-Identifier: MIT
//
// Sums by matrix instructions on simulated chips: a unit that rounds as floats do is measured so, one that
// cuts off is measured as what it is; kernels on it pass with what was measured and not without, and what is
// wrong is still found. Against the simulator that was built beside the test (ISOMER_CUDA_SIMULATOR).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/trial.h"
#include "conformance/profile/profile.h"
#include "isomer/ops.h"
#include "runtime/plan/plan_internal.h"

#define MOST_WORK 3000000u

static void check(iso_status status)
{
    if (status != ISO_OK)
        fail_msg("%s: %s", iso_status_name(status), iso_status_last()->text);
}

// ---- chips ----

typedef struct chip {
    iso_registry *registry;
    conform_context context;
} chip;

// NULL: there is none to test with.
static const char *simulator(void)
{
    const char *path = getenv("ISOMER_CUDA_SIMULATOR");
    return path && *path ? path : NULL;
}

static chip open_chip(const char *arch, const char *sums)
{
    static const char *const names[] = {"cuda:0"};
    chip chip = {0};
    if (!simulator())
        skip();
    setenv("ISOMER_CUDA_DRIVER", simulator(), 1);
    setenv("ISOMER_CUDA_NVRTC", "off", 1);
    setenv("ISOMER_CUDASIM_ARCH", arch, 1);
    setenv("ISOMER_CUDASIM_MMA", sums, 1);
    check(iso_registry_create_for(NULL, names, 1, &chip.registry));
    chip.context = (conform_context){.registry = chip.registry, .seed = 1, .numerics = iso_numerics_ieee};
    check(iso_device_open(chip.registry, "cuda:0", NULL, &chip.context.device));
    assert_string_equal(iso_device_get_info(chip.context.device)->arch, arch);
    check(conform_profile_measure(&chip.context));
    return chip;
}

static void close_chip(chip *chip)
{
    iso_device_close(chip->context.device);
    iso_registry_destroy(chip->registry);
}

// What is measured of one kind of instruction.
typedef struct figures {
    double unit;
    uint32_t measured, cuts, product_bits, block;
} figures;

// A process has one simulated chip: this one prints what it measures, for the process that began it.
static int print_chip(const char *arch, const char *sums)
{
    chip chip = open_chip(arch, sums);
    for (int i = ISO_MATRIX_BF16; i < ISO_MATRIX_COUNT; i++) {
        const conform_matrix_profile *p = &chip.context.profile->matrix[i];
        printf("%a %u %u %u %u\n", chip.context.numerics.matrix_units[i], p->measured, p->cuts,
               p->product_bits, p->block);
    }
    close_chip(&chip);
    return 0;
}

static void read_chip(const char *arch, const char *sums, figures out[ISO_MATRIX_COUNT])
{
    char self[512], command[640];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    snprintf(command, sizeof command, "'%s' %s %s", self, arch, sums);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    for (int i = ISO_MATRIX_BF16; i < ISO_MATRIX_COUNT; i++) {
        figures *f = &out[i];
        assert_int_equal(
            fscanf(pipe, "%la %u %u %u %u", &f->unit, &f->measured, &f->cuts, &f->product_bits, &f->block),
            5);
    }
    assert_int_equal(pclose(pipe), 0);
}

// As published (exec_mma.c of the simulator has the sources), and 0 where sums are those of floats.
static void test_units(void **state)
{
    static const struct {
        const char *arch, *sums;
        figures bf16, e4m3;
    } wanted[] = {
        {"sm_80", "exact", {0, 1, 0, 32, 16}, {.unit = 0}},
        {"sm_90", "exact", {0, 1, 0, 32, 16}, {0, 1, 0, 32, 32}},
        {"sm_90", "steps", {0, 1, 0, 24, 2}, {0, 1, 0, 24, 2}},
        {"sm_80", "chip", {0x1p-23, 1, 1, 25, 8}, {.unit = 0}},
        {"sm_89", "chip", {0x1p-23, 1, 1, 25, 8}, {0x1p-13, 1, 1, 14, 16}},
        {"sm_90", "chip", {0x1p-23, 1, 1, 26, 16}, {0, 1, 0, 24, 2}}, // FP8 by way of halves
    };
    (void)state;
    if (!simulator())
        skip();
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        figures got[ISO_MATRIX_COUNT] = {{0}};
        read_chip(wanted[i].arch, wanted[i].sums, got);
        for (int kind = ISO_MATRIX_BF16; kind < ISO_MATRIX_COUNT; kind++) {
            const figures *g = &got[kind], *w = kind == ISO_MATRIX_BF16 ? &wanted[i].bf16 : &wanted[i].e4m3;
            if (g->unit != w->unit || g->measured != w->measured || g->cuts != w->cuts ||
                g->product_bits != w->product_bits || g->block != w->block)
                fail_msg(
                    "%s, %s, kind %d: unit %a, cuts %u, %u bits, %u terms at once; wanted: %a, %u, %u, %u",
                    wanted[i].arch, wanted[i].sums, kind, g->unit, g->cuts, g->product_bits, g->block,
                    w->unit, w->cuts, w->product_bits, w->block);
        }
    }
}

// ---- kernels on a chip that cuts off ----

static const iso_kernel *find_kernel(const iso_op_info *op, const char *name)
{
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (strcmp(op->kernels[k]->name, name) == 0)
            return op->kernels[k];
    fail_msg("there is no kernel %s", name);
    return NULL;
}

// What is planted is planted in the expectation: the kernel is as wrong against it as a wrong one would be.
typedef enum fault {
    NONE,
    TERM_DROPPED,
    SCALE_TWICE,
} fault;

// Operands of linear: x, x_scale, weight, weight_scale.
static void plant(const iso_tensor *tensors, fault fault)
{
    const iso_tensor *x_scale = &tensors[1], *weight = &tensors[2];
    if (fault == TERM_DROPPED)
        for (uint32_t n = 0; n < iso_tensor_rows(weight); n++)
            iso_store_element(weight->host, weight->dtype,
                              (uint64_t)n * weight->row_stride + iso_tensor_width(weight) / 2, 0);
    if (fault == SCALE_TWICE)
        for (uint64_t i = 0; i < iso_tensor_elems(x_scale); i++) {
            double scale = iso_load_element(x_scale->host, x_scale->dtype, i);
            iso_store_element(x_scale->host, x_scale->dtype, i, scale * scale);
        }
}

// The score of one case, or -1 where the kernel does not take it or it is too long for a test.
static double score_of(const chip *chip, const iso_numerics *numerics, const iso_kernel *kernel,
                       const conform_op_case *wanted, fault fault)
{
    char reason[ISO_REASON_BYTES];
    conform_built built, wrong;
    conform_kernel_expected expectation;
    conform_result result = {.score = -1};
    check(conform_built_init(&built, wanted, 1, false));
    check(conform_built_init(&wrong, wanted, 1, false));
    if (conform_case_work(wanted->op, built.params) <= MOST_WORK &&
        iso_plan_kernel_fits(kernel, built.params, iso_device_get_info(chip->context.device), reason)) {
        plant((const iso_tensor *)wrong.params, fault);
        check(conform_built_refer(&wrong, wanted, numerics));
        check(conform_kernel_expected_init(&wrong, wanted, kernel, numerics, &expectation));
        const conform_trial trial = {.op = wanted->op,
                                     .kernel = kernel,
                                     .params = built.params,
                                     .expected = expectation.outputs,
                                     .device = chip->context.device,
                                     .seed = 1};
        check(conform_trial_run(&trial, &result));
        assert_int_equal(result.outcome, result.score <= 1 ? CONFORM_PASS : CONFORM_FAIL);
        conform_kernel_expected_deinit(&expectation);
    }
    conform_built_deinit(&built);
    conform_built_deinit(&wrong);
    return result.score;
}

typedef struct tally_of_scores {
    uint32_t cases, above;
    double least, most;
} tally_of_scores;

static tally_of_scores scores_of(const chip *chip, const iso_numerics *numerics, const char *op,
                                 const char *kernel, fault fault)
{
    tally_of_scores tally = {.least = 1e30};
    char id[128];
    conform_op_case wanted;
    snprintf(id, sizeof id, "%s/%s/0/normal", op, strrchr(kernel, '.') + 1);
    check(conform_parse_case(id, &wanted));
    for (; wanted.number < wanted.op->case_count; wanted.number++) {
        double score = score_of(chip, numerics, find_kernel(wanted.op, kernel), &wanted, fault);
        if (score < 0)
            continue;
        tally.cases++;
        tally.above += !(score <= 1);
        tally.least = score < tally.least ? score : tally.least;
        tally.most = score > tally.most ? score : tally.most;
    }
    print_message("%s: %u cases, score %.3g to %.3g, %u fail\n", kernel, tally.cases, tally.least, tally.most,
                  tally.above);
    assert_true(tally.cases > 3);
    return tally;
}

static const struct {
    const char *op, *kernel;
} kernels[] = {
    {"linear", "linear.cuda.sm89.e4m3_e4m3_f32"},
    {"linear", "linear.cuda.sm89.e4m3_e4m3_bf16"},
    {"linear", "linear.cuda.sm80.bf16_bf16_f32"},
    {"linear", "linear.cuda.sm80.bf16_e4m3_f32"},
    {"grouped_linear", "grouped_linear.cuda.sm89.e4m3_e4m3_f32"},
    {"grouped_linear", "grouped_linear.cuda.sm80.bf16_bf16_bf16"},
    {"mla_attention", "mla_attention.cuda.sm80.bf16_none_bf16"},
};

static void test_honest_chip_passes(void **state)
{
    (void)state;
    chip chip = open_chip("sm_89", "chip");
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        assert_int_equal(
            scores_of(&chip, &chip.context.numerics, kernels[i].op, kernels[i].kernel, NONE).above, 0);
    close_chip(&chip);
}

// Without the measurement it is not let through: nobody has a wide bound for the asking.
static void test_nothing_without_measurement(void **state)
{
    (void)state;
    chip chip = open_chip("sm_89", "chip");
    tally_of_scores tally = scores_of(&chip, &iso_numerics_ieee, kernels[0].op, kernels[0].kernel, NONE);
    assert_true(tally.above > 0);
    close_chip(&chip);
}

// One term of K, a small one in some rows, is lost in most cases' bounds of K = 7168 and four outputs alone.
static void test_faults_are_found(void **state)
{
    (void)state;
    chip chip = open_chip("sm_89", "chip");
    for (size_t i = 0; i < 4; i++) {
        tally_of_scores tally =
            scores_of(&chip, &chip.context.numerics, "linear", kernels[i].kernel, TERM_DROPPED);
        assert_true(4 * tally.above >= 3 * tally.cases);
    }
    tally_of_scores tally =
        scores_of(&chip, &chip.context.numerics, "linear", kernels[0].kernel, SCALE_TWICE);
    assert_int_equal(tally.above, tally.cases);
    close_chip(&chip);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return print_chip(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_honest_chip_passes),
        cmocka_unit_test(test_nothing_without_measurement),
        cmocka_unit_test(test_faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
