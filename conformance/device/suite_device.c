// SPDX-License-Identifier: MIT
//
// The device suite: what every backend promises, written once against isomer/device.h and run on each. This
// file lists the units and closes each with its result; the units are in memory.c, modules.c, lists.c,
// queue.c and lifetime.c.
#include "conformance/suite/suite.h"

#include <stdio.h>
#include <string.h>

#include "conformance/device/bench.h"
#include "conformance/device/expected.h"

typedef struct device_unit {
    const char *name;
    conform_level level;
    bool kernels; // needs a device that runs them
    iso_status (*run)(device_bench *bench);
} device_unit;

static const device_unit units[] = {
    {"memory/sizes", CONFORM_QUICK, false, device_alloc_sizes},
    {"memory/ranges", CONFORM_QUICK, false, device_refuses_ranges},
    {"memory/writes", CONFORM_QUICK, false, device_write_offsets},
    {"memory/reads", CONFORM_QUICK, false, device_read_offsets},
    {"memory/fills", CONFORM_QUICK, false, device_fill_ranges},
    {"memory/large", CONFORM_QUICK, false, device_large_copies},
    {"memory/many", CONFORM_QUICK, false, device_many_buffers},
    {"memory/count", CONFORM_QUICK, false, device_counts_bytes},
    {"memory/too-large", CONFORM_QUICK, false, device_too_large},
    {"memory/exhausted", CONFORM_STANDARD, false, device_out_of_memory},
    {"modules/refused", CONFORM_QUICK, true, device_refuses_code},
    {"modules/damaged", CONFORM_QUICK, true, device_damaged_code},
    {"modules/many", CONFORM_QUICK, true, device_many_modules},
    {"lists/states", CONFORM_QUICK, true, device_list_states},
    {"empty-lists", CONFORM_QUICK, false, device_empty_lists},
    {"lists/arguments", CONFORM_QUICK, true, device_wrong_arguments},
    {"lists/counts", CONFORM_QUICK, true, device_odd_counts},
    {"lists/offsets", CONFORM_QUICK, true, device_argument_offsets},
    {"lists/in-place", CONFORM_QUICK, true, device_in_place},
    {"lists/barriers", CONFORM_QUICK, true, device_barriers},
    {"lists/independent", CONFORM_QUICK, true, device_independent},
    {"lists/replays", CONFORM_QUICK, true, device_replays},
    {"lists/writes-between", CONFORM_QUICK, true, device_write_order},
    {"lists/reads-wait", CONFORM_QUICK, true, device_read_waits},
    {"lists/fills-between", CONFORM_QUICK, true, device_fill_order},
    {"lists/many", CONFORM_QUICK, true, device_many_lists},
    {"lists/deep-queue", CONFORM_QUICK, true, device_deep_queue},
    {"lists/frees-in-flight", CONFORM_QUICK, true, device_frees_in_flight},
    {"lists/lost", CONFORM_QUICK, true, device_lost},
    {"lists/wide-grids", CONFORM_STANDARD, true, device_wide_grids},
    {"times", CONFORM_QUICK, true, device_times},
    {"two-at-once", CONFORM_QUICK, false, device_two_at_once},
    {"reopened", CONFORM_QUICK, false, device_reopened},
    {"copies", CONFORM_QUICK, false, device_copies},
};

#define UNIT_COUNT (sizeof units / sizeof units[0])

static iso_status list_units(conform_unit_list *list, const iso_device_info *device)
{
    (void)device;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        ISO_TRY(conform_add_unit(list, "device", units[i].level, 120, "%s", units[i].name));
    return ISO_OK;
}

// Why the unit is not run on this device, or NULL.
static const char *reason_against(const device_unit *unit, const iso_device_info *info, const char *id)
{
    const char *reason;
    iso_module_source source;
    if (conform_expectation(info, id, &reason) == CONFORM_EXPECT_UNSUPPORTED)
        return reason;
    if (unit->kernels && conform_probe_source(info, CONFORM_PROBE_STEP, &source) != ISO_OK)
        return iso_status_last()->text;
    return NULL;
}

static iso_status run_numbered(conform_context *context, const device_unit *unit, const char *id)
{
    device_bench bench = {.context = context,
                          .unit = unit->name,
                          .device = context->device,
                          .lab = {.device = context->device}};
    const char *against = reason_against(unit, iso_device_get_info(context->device), id);
    iso_status status = against ? ISO_OK : unit->run(&bench);
    conform_lab_deinit(&bench.lab);
    ISO_TRY(status);
    conform_result result = conform_result_make(CONFORM_PASS, unit->name, "%u checks", bench.checks);
    if (against)
        result = conform_result_make(CONFORM_UNSUPPORTED, unit->name, "%s", against);
    if (context->report && (against || (bench.checks > 0 && bench.failures == 0)))
        context->report(context, &result);
    return ISO_OK;
}

static iso_status run_unit(conform_context *context, const conform_unit *unit)
{
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (strcmp(unit->id + strlen("device/"), units[i].name) == 0)
            return run_numbered(context, &units[i], unit->id);
    return iso_fail(ISO_NOT_FOUND, "suite device has no unit %s", unit->id);
}

extern const conform_suite conform_suite_device;
const conform_suite conform_suite_device = {
    "device", "what every backend promises: memory, order, replay, refusals", list_units, run_unit};
