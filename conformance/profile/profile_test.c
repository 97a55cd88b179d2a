// SPDX-License-Identifier: MIT
//
// The profile suite on simulated chips: what an honest chip has is measured and not taken for a fault, and a
// chip whose arithmetic is off fails at the right check, by a margin.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/profile/profile.h"

#define CHIP_FILE "profile-test.chip"

// What the quick units of the suite found on one chip.
typedef struct finding {
    conform_device_profile profile;
    iso_numerics numerics;
    uint32_t passed, failed;
    char failures[16][CONFORM_UNIT_BYTES];
    double scores[16];
    char unsupported[CONFORM_UNIT_BYTES + CONFORM_DETAIL_BYTES + 2]; // of the last "no"
} finding;

static void take_result(conform_context *context, const conform_result *result)
{
    finding *f = context->report_context;
    if (result->outcome == CONFORM_FAIL && f->failed < 16) {
        snprintf(f->failures[f->failed], CONFORM_UNIT_BYTES, "%s", result->check);
        f->scores[f->failed++] = result->score;
    }
    f->passed += result->outcome == CONFORM_PASS;
    if (result->outcome == CONFORM_UNSUPPORTED)
        snprintf(f->unsupported, sizeof f->unsupported, "%s: %s", result->check, result->detail);
    json_decref(result->more);
}

static void run_quick(conform_context *context)
{
    const conform_suite *suite = conform_find_suite("profile");
    conform_unit_list list = {0};
    assert_int_equal(suite->list(&list, iso_device_get_info(context->device)), ISO_OK);
    for (size_t i = 0; i < list.count; i++)
        if (list.units[i].level == CONFORM_QUICK)
            assert_int_equal(suite->run(context, &list.units[i]), ISO_OK);
    conform_unit_list_deinit(&list);
}

// A chip of one statement.
static finding profile_of(const char *statement)
{
    static const char *const names[] = {"sim:0"};
    finding found = {.passed = 0};
    iso_registry *registry;
    iso_device *device;
    FILE *file = fopen(CHIP_FILE, "w");
    assert_non_null(file);
    fprintf(file, "name Under test\n%s\n", statement);
    assert_int_equal(fclose(file), 0);
    setenv("ISOMER_SIM_CHIPS", CHIP_FILE, 1);
    assert_int_equal(iso_registry_create_for(NULL, names, 1, &registry), ISO_OK);
    if (iso_device_open(registry, "sim:0", &(iso_device_options){.validate = true}, &device) != ISO_OK)
        fail_msg("%s: %s", statement, iso_status_last()->text);
    conform_context context = {.registry = registry,
                               .device = device,
                               .seed = 1,
                               .numerics = iso_numerics_ieee,
                               .report = take_result,
                               .report_context = &found};
    run_quick(&context);
    found.numerics = context.numerics;
    found.profile = *context.profile;
    assert_int_equal(iso_device_allocated_bytes(device, NULL), 0);
    iso_device_close(device);
    iso_registry_destroy(registry);
    unlink(CHIP_FILE);
    return found;
}

static finding honest(const char *statement)
{
    finding found = profile_of(statement);
    for (uint32_t i = 0; i < found.failed; i++)
        print_message("%s: %s\n", statement, found.failures[i]);
    assert_int_equal(found.failed, 0);
    assert_true(found.passed > 20);
    return found;
}

static bool same_numerics(const iso_numerics *a, const iso_numerics *b)
{
    return a->unit == b->unit && a->biased == b->biased && a->flush == b->flush &&
           a->exp_unit == b->exp_unit && a->root_unit == b->root_unit && a->bf16_unit == b->bf16_unit;
}

// ---- honest chips ----

static void test_plain(void **state)
{
    (void)state;
    finding found = honest("feature subgroup 16");
    assert_int_equal(found.profile.contracts, CONFORM_CONTRACTION_NEVER);
    assert_int_equal(found.profile.sums_contract, CONFORM_CONTRACTION_NEVER);
    assert_false(found.profile.flushes_operands || found.profile.flushes_results || found.profile.biased);
    assert_int_equal(found.profile.sum_bits, 24);
    assert_false(found.profile.sum_cuts);
    assert_int_equal(found.profile.fp8, CONFORM_FP8_OCP);
    assert_true(found.profile.bf16 && found.profile.f16);
    assert_int_equal(found.profile.subgroup_size, 16);
    assert_true(same_numerics(&found.numerics, &iso_numerics_ieee));
    assert_string_equal(found.unsupported, "");
}

static void test_contraction(void **state)
{
    (void)state;
    finding found = honest("feature contract");
    assert_int_equal(found.profile.contracts, CONFORM_CONTRACTION_ALWAYS);
    assert_int_equal(found.profile.sums_contract, CONFORM_CONTRACTION_ALWAYS);
    assert_true(same_numerics(&found.numerics, &iso_numerics_ieee));
}

static void test_flush(void **state)
{
    (void)state;
    finding found = honest("feature flush-subnormals");
    assert_true(found.profile.flushes_operands && found.profile.flushes_results);
    assert_true(found.profile.flushed > 0 && found.profile.flushed < 0x1p-126);
    assert_true(same_numerics(&found.numerics, &iso_numerics_ieee));
}

static void test_cut_sums(void **state)
{
    (void)state;
    finding found = honest("feature truncate-sums");
    assert_true(found.profile.sum_cuts);
    assert_int_equal(found.profile.sum_bits, 24);
    assert_true(found.numerics.biased);
    assert_true(found.numerics.unit == CONFORM_CAP_UNIT);
}

static void test_narrow_formats(void **state)
{
    (void)state;
    finding found = honest("feature fnuz-fp8");
    assert_int_equal(strncmp(found.unsupported, "fp8 variant: ", 13), 0);
    assert_non_null(strstr(found.unsupported, "FNUZ"));
    assert_int_not_equal(found.profile.fp8, CONFORM_FP8_OCP);
    found = honest("feature no-fp8");
    assert_int_equal(found.profile.fp8, CONFORM_FP8_NONE);
    found = honest("feature no-f16");
    assert_false(found.profile.f16);
    assert_int_equal(found.profile.fp8, CONFORM_FP8_OCP);
}

// ---- chips with a fault ----

// The faults must show at these checks; where a check measures an error, by twice what is allowed.
static const struct {
    const char *statement, *check;
} faults[] = {
    {"fault * result exp_exact mul 1.0001", "exponential"},
    {"fault * result exp_exact mul 1.000003", "exponential"},
    {"fault * result sin_phase add 0.000001", "sine"},
    {"fault * result fdiv mul 1.000002", "quotient"},
    {"fault * result sqrt mul 1.000002", "square root"},
    {"fault * result fmul mul 1.000001", "product"},
    {"fault * result fadd round f16", "sum"},
    {"fault * store sum round bf16", "bits of a sum"},
    {"fault * store sum round bf16", "long sums"},
    {"fault * store partial round f16", "sums in shared memory"},
    {"fault * result bf16_bits xor 0x1", "stores as BF16"},
    {"fault * result e4m3_bits xor 0x1", "stores as E4M3"},
    {"fault * result e4m3_to_float mul 1.0625", "fp8 variant"},
    {"fault * result f16_in_word mul 1.0009765625", "F16 codes"},
    {"fault * result bf16_in_word mul 1.0078125", "BF16 codes"},
    {"fault * result floor add 1", "floor"},
    {"fault probe_group barrier 0 drop", "groups and shared memory"},
    {"fault probe_args load v9 add 1", "arguments"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        finding found = profile_of(faults[i].statement);
        bool caught = false, luck = false;
        for (uint32_t n = 0; n < found.failed; n++)
            if (strcmp(found.failures[n], faults[i].check) == 0) {
                caught = true;
                luck = found.scores[n] < 2; // false where nothing is measured (NAN)
            }
        if (!caught || luck)
            fail_msg("%s: %s at \"%s\"", faults[i].statement, caught ? "caught by luck" : "not caught",
                     faults[i].check);
        // A wrong chip gets no wide bounds.
        assert_true(found.numerics.unit <= CONFORM_CAP_UNIT && found.numerics.exp_unit <= CONFORM_CAP_EXP &&
                    found.numerics.root_unit <= CONFORM_CAP_ROOT &&
                    found.numerics.bf16_unit <= CONFORM_CAP_BF16);
    }
}

// ---- without a report ----

static void test_quiet(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_device *device;
    static const char *const names[] = {"cpu"};
    assert_int_equal(iso_registry_create_for(NULL, names, 1, &registry), ISO_OK);
    assert_int_equal(iso_device_open(registry, "cpu", NULL, &device), ISO_OK);
    conform_context context = {.registry = registry, .device = device, .seed = 1};
    assert_int_equal(conform_profile_measure(&context), ISO_OK);
    assert_non_null(context.profile);
    assert_string_equal(context.profile->device, "cpu");
    assert_true(context.numerics.unit >= iso_numerics_ieee.unit);
    assert_int_equal(context.profile->fp8, CONFORM_FP8_OCP);
    assert_string_equal(conform_fp8_name(context.profile->fp8), "OCP E4M3");
    iso_device_close(device);
    iso_registry_destroy(registry);
}

int main(void)
{
    char folder[] = "/tmp/isomer-profile-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_contraction),    cmocka_unit_test(test_flush),
        cmocka_unit_test(test_cut_sums), cmocka_unit_test(test_narrow_formats), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_quiet),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
