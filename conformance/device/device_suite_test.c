// SPDX-License-Identifier: MIT
//
// The quick units of the profile, device and link suites on every device of this machine, the null device
// included: each result counts, and none may be a failure. Names of suites, or whole units, narrow what is
// run.
//
//     device_suite_test [--verbose] [--standard] [SUITE | UNIT ...]     ISOMER_TEST_DEVICES narrows the
//     devices
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conformance/device/expected.h"
#include "conformance/profile/profile.h"
#include "conformance/support/fleet.h"
#include "conformance/support/tally.h"

static const char *const suites[] = {"profile", "device", "links"};

typedef struct run {
    tally counts;
    const char *device;
    const char *unit;
    unsigned unit_failures;
    bool verbose;
    conform_level level;
    char *const *names; // NULL-terminated; none: all
} run;

static void take_result(conform_context *context, const conform_result *result)
{
    run *r = context->report_context;
    const char *reason;
    bool expected =
        conform_expectation(iso_device_get_info(context->device), r->unit, &reason) == CONFORM_EXPECT_FAILURE;
    bool failed = result->outcome == CONFORM_FAIL;
    r->unit_failures += failed;
    if (result->outcome == CONFORM_SKIP || result->outcome == CONFORM_UNSUPPORTED)
        tally_skip(&r->counts, "%s %s, %s: %s", r->device, r->unit, result->check, result->detail);
    else if (failed && expected)
        tally_skip(&r->counts, "%s %s, %s fails as expected (%s): %s", r->device, r->unit, result->check,
                   reason, result->detail);
    else
        tally_check(&r->counts, !failed, "%s %s, %s: %s", r->device, r->unit, result->check, result->detail);
    if (r->verbose && result->outcome == CONFORM_PASS)
        printf("%s %s, %s: pass, %s\n", r->device, r->unit, result->check, result->detail);
    if (r->verbose && result->more && json_object_get(result->more, "profile")) {
        json_dumpf(result->more, stdout, JSON_REAL_PRECISION(4));
        printf("\n");
    }
    json_decref(result->more);
}

static bool wanted(const run *r, const char *suite, const char *unit)
{
    bool any = !r->names[0];
    for (char *const *name = r->names; *name && !any; name++)
        any = strcmp(*name, suite) == 0 || strcmp(*name, unit) == 0;
    return any;
}

static void run_unit(run *r, conform_context *context, const conform_suite *suite, const conform_unit *unit)
{
    const char *reason;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    r->unit = unit->id;
    r->unit_failures = 0;
    tally_call(&r->counts, suite->run(context, unit), "%s %s", r->device, r->unit);
    if (conform_expectation(iso_device_get_info(context->device), unit->id, &reason) ==
        CONFORM_EXPECT_FAILURE)
        tally_check(&r->counts, r->unit_failures > 0,
                    "%s %s passes, but must fail according to expected.def: %s", r->device, r->unit, reason);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (r->verbose)
        printf("%s %s: %.3f s\n", r->device, r->unit,
               (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    fflush(stdout);
}

static void run_suite(run *r, conform_context *context, const char *name)
{
    const conform_suite *suite = conform_find_suite(name);
    conform_unit_list list = {0};
    if (!tally_call(&r->counts, suite->list(&list, iso_device_get_info(context->device)), "%s %s", r->device,
                    name))
        return;
    for (size_t i = 0; i < list.count; i++)
        if (list.units[i].level <= r->level && wanted(r, name, list.units[i].id))
            run_unit(r, context, suite, &list.units[i]);
    conform_unit_list_deinit(&list);
}

static void run_device(run *r, iso_registry *registry, iso_device *device)
{
    conform_context context = {.registry = registry,
                               .device = device,
                               .level = r->level,
                               .seed = 1,
                               .numerics = iso_numerics_ieee,
                               .report = take_result,
                               .report_context = r};
    r->device = iso_device_name(device);
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++)
        run_suite(r, &context, suites[i]);
    uint64_t left = iso_device_allocated_bytes(device, NULL);
    tally_check(&r->counts, left == 0, "%s: %llu bytes are left behind", r->device, (unsigned long long)left);
}

int main(int argc, char **argv)
{
    run r = {0};
    fleet fleet;
    iso_device *null = NULL;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        r.verbose |= strcmp(argv[at], "--verbose") == 0;
        if (strcmp(argv[at], "--standard") == 0)
            r.level = CONFORM_STANDARD;
    }
    r.names = argv + at;
    if (fleet_open(&fleet))
        return 1;
    for (uint32_t d = 0; d < fleet.count; d++)
        run_device(&r, fleet.registry, fleet.devices[d]);
    if (tally_call(&r.counts, iso_device_open(fleet.registry, "null:0", NULL, &null), "null:0"))
        run_device(&r, fleet.registry, null);
    iso_device_close(null);
    fleet_close(&fleet);
    return tally_close(&r.counts, "device_suite");
}
