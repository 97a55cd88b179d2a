// SPDX-License-Identifier: MIT
//
// The list of suites and the small change of units and results. Runs nothing.
#include "conformance/suite/suite.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONFORM_SUITE(name) extern const conform_suite conform_suite_##name;
#include "conformance/suite/suites.def"
#undef CONFORM_SUITE

static const conform_suite *const suites[] = {
#define CONFORM_SUITE(name) &conform_suite_##name,
#include "conformance/suite/suites.def"
#undef CONFORM_SUITE
};

#define SUITE_COUNT (sizeof suites / sizeof suites[0])

static const char *const outcome_names[CONFORM_OUTCOME_COUNT] = {
    [CONFORM_PASS] = "pass",
    [CONFORM_FAIL] = "fail",
    [CONFORM_SKIP] = "skip",
    [CONFORM_UNSUPPORTED] = "unsupported",
    [CONFORM_EXPECTED_FAIL] = "expected-fail",
    [CONFORM_UNEXPECTED_PASS] = "unexpected-pass",
    [CONFORM_CRASH] = "crash",
    [CONFORM_HANG] = "hang",
};

static const char *const level_names[CONFORM_LEVEL_COUNT] = {
    [CONFORM_QUICK] = "quick",
    [CONFORM_STANDARD] = "standard",
    [CONFORM_EXHAUSTIVE] = "exhaustive",
};

uint32_t conform_suite_count(void)
{
    return SUITE_COUNT;
}

const conform_suite *conform_suite_at(uint32_t index)
{
    return index < SUITE_COUNT ? suites[index] : NULL;
}

static uint32_t suite_index(const char *name)
{
    uint32_t index = 0;
    while (index < SUITE_COUNT && strcmp(suites[index]->name, name) != 0)
        index++;
    return index;
}

const conform_suite *conform_find_suite(const char *name)
{
    return conform_suite_at(suite_index(name));
}

const char *conform_outcome_name(conform_outcome outcome)
{
    return (unsigned)outcome < CONFORM_OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

const char *conform_level_name(conform_level level)
{
    return (unsigned)level < CONFORM_LEVEL_COUNT ? level_names[level] : "unknown";
}

iso_status conform_add_unit(conform_unit_list *list, const char *suite, conform_level level,
                            uint32_t limit_seconds, const char *format, ...)
{
    ISO_TRY(iso_grow(NULL, sizeof *list->units, list->count + 1, (void **)&list->units, &list->capacity));
    conform_unit *unit = &list->units[list->count];
    *unit = (conform_unit){.suite = suite_index(suite), .level = level, .limit_seconds = limit_seconds};
    int start = snprintf(unit->id, sizeof unit->id, "%s/", suite);
    va_list arguments;
    va_start(arguments, format);
    int rest = vsnprintf(unit->id + start, sizeof unit->id - (size_t)start, format, arguments);
    va_end(arguments);
    if (rest <= 0 || (size_t)(start + rest) >= sizeof unit->id)
        return iso_fail(ISO_INTERNAL, "a unit of suite %s has an id of %d characters; allowed: 1 to %d",
                        suite, start + rest, CONFORM_UNIT_BYTES - 1);
    list->count++;
    return ISO_OK;
}

void conform_unit_list_deinit(conform_unit_list *list)
{
    iso_free(NULL, list->units);
    *list = (conform_unit_list){0};
}

conform_result conform_result_make(conform_outcome outcome, const char *check, const char *format, ...)
{
    conform_result result = {.outcome = outcome, .score = (double)NAN};
    snprintf(result.check, sizeof result.check, "%s", check);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result.detail, sizeof result.detail, format, arguments);
    va_end(arguments);
    return result;
}
