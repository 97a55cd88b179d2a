// SPDX-License-Identifier: MIT
//
// The op suite's quick units on every device of the machine, in this process (so that sanitizers see it),
// one line per op and device.
//
//     ops_test [PATTERN [N]]    only units whose id contains it: "linear", "ops/rope/f32_none_f32/2/cancel";
//     N of
//                               them, spread evenly. ISOMER_TEST_DEVICES narrows the devices,
//                               ISOMER_TEST_LEVEL=standard runs more
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/ops/modules.h"
#include "conformance/profile/profile.h"
#include "conformance/support/fleet.h"

#define SEED 1

// What was found for the units of one op, in the order they come.
typedef struct line {
    char name[32];
    unsigned ran, failed, refused;
    double worst;
    char reason[CONFORM_DETAIL_BYTES];
    double seconds;
} line;

typedef struct counts {
    unsigned passed, failed, skipped;
} counts;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static const char *current_unit;

static void count_result(conform_context *context, const conform_result *result)
{
    line *line = context->report_context;
    bool counts = result->outcome == CONFORM_PASS || result->outcome == CONFORM_FAIL;
    line->ran += counts;
    if (result->outcome == CONFORM_FAIL) {
        line->failed++;
        printf("  FAIL %s on %s, %s: score %.3g: %s\n", current_unit, iso_device_name(context->device),
               result->check, result->score, result->detail);
    } else if (!counts) {
        line->refused++;
        snprintf(line->reason, sizeof line->reason, "%s", result->detail);
    }
    if (result->score > line->worst)
        line->worst = result->score;
    json_decref(result->more);
}

static void close_line(const line *line, const char *device, counts *sum)
{
    if (line->ran + line->refused == 0)
        return;
    printf("%-20s %-10s %4u runs, %u failed, %u refused, worst error/bound %.3f, %.1f s%s%s\n", line->name,
           device, line->ran, line->failed, line->refused, line->worst, line->seconds,
           line->refused ? ": " : "", line->reason);
    sum->passed += line->failed == 0 && line->ran > 0;
    sum->failed += line->failed != 0;
    sum->skipped += line->refused;
}

// "linear" of "ops/linear/…".
static void name_of(const char *id, char *name, size_t bytes)
{
    const char *start = strchr(id, '/') + 1;
    snprintf(name, bytes, "%.*s", (int)strcspn(start, "/"), start);
}

// Keeps the units of the level whose id contains the pattern (NULL: all), and of these `most`, spread evenly.
static void narrow(conform_unit_list *list, conform_level level, const char *pattern, size_t most)
{
    size_t fitting = 0, kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->units[i].level <= level && (!pattern || strstr(list->units[i].id, pattern)))
            list->units[fitting++] = list->units[i];
    for (size_t i = 0; i < fitting; i++)
        if (most >= fitting || i * most / fitting != (i + 1) * most / fitting)
            list->units[kept++] = list->units[i];
    list->count = kept;
}

static void run_device(iso_registry *registry, iso_device *device, const conform_unit_list *list,
                       conform_level level, counts *sum)
{
    const conform_suite *suite = conform_find_suite("ops");
    line line = {.name = ""};
    conform_context context = {.registry = registry,
                               .device = device,
                               .level = level,
                               .seed = SEED,
                               .numerics = iso_numerics_ieee,
                               .case_folder = getenv("ISOMER_TEST_CASES"),
                               .report = count_result,
                               .report_context = &line};
    if (conform_modules_create(device, &context.modules) != ISO_OK ||
        conform_profile_measure(&context) != ISO_OK) {
        printf("  FAIL %s: %s\n", iso_device_name(device), iso_status_last()->text);
        sum->failed++;
    }
    for (size_t i = 0; i < list->count; i++) {
        const conform_unit *unit = &list->units[i];
        char name[sizeof line.name];
        name_of(unit->id, name, sizeof name);
        if (strcmp(name, line.name) != 0) {
            close_line(&line, iso_device_name(device), sum);
            line = (struct line){.name = ""};
            memcpy(line.name, name, sizeof name);
        }
        current_unit = unit->id;
        double start = now();
        if (suite->run(&context, unit) != ISO_OK) {
            printf("  FAIL %s on %s: %s\n", unit->id, iso_device_name(device), iso_status_last()->text);
            line.failed++;
            line.ran++;
        }
        line.seconds += now() - start;
    }
    close_line(&line, iso_device_name(device), sum);
    conform_modules_destroy(context.modules);
}

int main(int argc, char **argv)
{
    fleet fleet;
    conform_unit_list list = {0};
    counts sum = {0};
    if (fleet_open(&fleet))
        return 1;
    printf("seed %d\n", SEED);
    if (conform_find_suite("ops")->list(&list, NULL) != ISO_OK) {
        printf("ops: %s\n", iso_status_last()->text);
        sum.failed++;
    }
    const char *wanted = getenv("ISOMER_TEST_LEVEL");
    conform_level level = wanted && strcmp(wanted, "standard") == 0 ? CONFORM_STANDARD : CONFORM_QUICK;
    narrow(&list, level, argc > 1 ? argv[1] : NULL, argc > 2 ? strtoul(argv[2], NULL, 10) : SIZE_MAX);
    for (uint32_t d = 0; d < fleet.count; d++)
        run_device(fleet.registry, fleet.devices[d], &list, level, &sum);
    conform_unit_list_deinit(&list);
    fleet_close(&fleet);
    printf("ops: %u passed, %u failed, %u skipped\n", sum.passed, sum.failed, sum.skipped);
    return sum.failed || sum.passed + sum.skipped == 0;
}
