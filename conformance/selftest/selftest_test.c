// SPDX-License-Identifier: MIT
//
// The self-test on itself: a fault that is there is caught and its unit named, one that changes nothing is
// missed, a line that names nothing is no catch, an honest chip passes, and the whole needs no more than it
// was given.
//
//     selftest_test [PATTERN [SEED]]     runs that part of the catalogue and prints its table, for people
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/selftest/selftest.h"

static void try_line(const char *line, const char *op, conform_self_test_report *out)
{
    conform_self_test_options options = {.line = line, .op = op, .no_chips = true};
    if (conform_self_test(&options, out) != ISO_OK)
        fail_msg("%s: %s", line, iso_status_last()->text);
    assert_int_equal(out->fault_count, 1);
}

static void test_a_fault_is_caught(void **state)
{
    (void)state;
    conform_self_test_report report;
    try_line("fault add store low mul 1.01", "add", &report);
    const conform_fault_result *fault = &report.faults[0];
    assert_int_equal(fault->outcome, CONFORM_CAUGHT);
    assert_int_equal(report.caught_count, 1);
    assert_int_equal(strncmp(fault->unit, "ops/add/", 8), 0);
    assert_true(fault->score >= CONFORM_CATCH);
    assert_true(conform_self_test_passed(&report));
    conform_self_test_deinit(&report);
}

static void test_nothing_is_missed(void **state)
{
    (void)state;
    conform_self_test_report report;
    try_line("fault add store low mul 1", "add", &report);
    const conform_fault_result *fault = &report.faults[0];
    assert_int_equal(fault->outcome, CONFORM_MISSED);
    assert_true(fault->score < CONFORM_CATCH);
    assert_true(fault->unit_count > 10);
    assert_false(conform_self_test_passed(&report));
    conform_self_test_deinit(&report);
}

static void test_a_wrong_line_is_no_catch(void **state)
{
    (void)state;
    static const char *const lines[] = {"fault add store lower mul 2", "fault add store", "nonsense"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        conform_self_test_report report;
        try_line(lines[i], "add", &report);
        assert_int_equal(report.faults[0].outcome, CONFORM_BROKEN);
        assert_true(strlen(report.faults[0].detail) > 0);
        assert_int_equal(report.caught_count, 0);
        assert_false(conform_self_test_passed(&report));
        conform_self_test_deinit(&report);
    }
}

static void test_honest_chip(void **state)
{
    (void)state;
    conform_self_test_report report;
    conform_self_test_options options = {.only = "contracting*", .chip_units = 40};
    assert_int_equal(conform_self_test(&options, &report), ISO_OK);
    assert_int_equal(report.fault_count, 0);
    assert_int_equal(report.chip_count, 2);
    for (uint32_t i = 0; i < report.chip_count; i++) {
        if (report.chips[i].fail_count > 0 || !report.chips[i].finished)
            fail_msg("%s: %s %s", report.chips[i].name, report.chips[i].unit, report.chips[i].detail);
        assert_true(report.chips[i].pass_count > 0);
    }
    conform_self_test_deinit(&report);
}

static void test_unknown_name(void **state)
{
    (void)state;
    conform_self_test_report report;
    conform_self_test_options options = {.only = "no such fault"};
    assert_int_equal(conform_self_test(&options, &report), ISO_NOT_FOUND);
    assert_non_null(strstr(iso_status_last()->text, "no such fault"));
    options = (conform_self_test_options){.worker_count = 99};
    assert_int_equal(conform_self_test(&options, &report), ISO_INVALID_ARGUMENT);
}

static void print_progress(void *context, uint32_t done, uint32_t total, const char *text)
{
    (void)context;
    fprintf(stderr, "%u/%u %s\n", done, total, text);
}

static int print_part(const char *pattern, uint64_t seed)
{
    conform_self_test_report report;
    conform_self_test_options options = {.only = pattern, .seed = seed, .on_progress = print_progress};
    if (conform_self_test(&options, &report) != ISO_OK ||
        conform_self_test_print(&report, true, stdout) != ISO_OK) {
        fprintf(stderr, "%s\n", iso_status_last()->text);
        return 1;
    }
    int failed = !conform_self_test_passed(&report);
    conform_self_test_deinit(&report);
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fault_is_caught),
        cmocka_unit_test(test_nothing_is_missed),
        cmocka_unit_test(test_a_wrong_line_is_no_catch),
        cmocka_unit_test(test_honest_chip),
        cmocka_unit_test(test_unknown_name),
    };
    if (argc > 1)
        return print_part(argv[1], argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
