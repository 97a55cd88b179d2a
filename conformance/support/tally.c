// SPDX-License-Identifier: MIT
//
// Counting and printing for test programs.
#include "conformance/support/tally.h"

#include <stdio.h>

static void print_failure(const char *format, va_list list, const char *why)
{
    printf("FAILED: ");
    vprintf(format, list);
    printf("%s%s\n", why ? ": " : "", why ? why : "");
    fflush(stdout);
}

bool tally_check(tally *counts, bool ok, const char *format, ...)
{
    counts->passed += ok;
    counts->failed += !ok;
    if (!ok) {
        va_list list;
        va_start(list, format);
        print_failure(format, list, NULL);
        va_end(list);
    }
    return ok;
}

bool tally_call(tally *counts, iso_status status, const char *format, ...)
{
    if (status != ISO_OK) {
        counts->failed++;
        va_list list;
        va_start(list, format);
        print_failure(format, list, iso_status_last()->text);
        va_end(list);
    }
    return status == ISO_OK;
}

bool tally_refused(tally *counts, iso_status status, iso_status want, const char *format, ...)
{
    bool ok = status == want && iso_status_last()->code == want && iso_status_last()->text[0];
    counts->passed += ok;
    counts->failed += !ok;
    if (!ok) {
        char why[512];
        snprintf(why, sizeof why, "%s instead of %s (%s)", iso_status_name(status), iso_status_name(want),
                 iso_status_last()->text);
        va_list list;
        va_start(list, format);
        print_failure(format, list, why);
        va_end(list);
    }
    return ok;
}

void tally_skip(tally *counts, const char *reason, ...)
{
    va_list list;
    va_start(list, reason);
    printf("skipped: ");
    vprintf(reason, list);
    printf("\n");
    va_end(list);
    counts->skipped++;
}

int tally_close(const tally *counts, const char *name)
{
    printf("%s: %u passed, %u failed, %u skipped\n", name, counts->passed, counts->failed, counts->skipped);
    return counts->failed || counts->passed + counts->skipped == 0;
}
