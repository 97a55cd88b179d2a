// SPDX-License-Identifier: MIT
//
// Counts what a test program checked, and prints the closing line that tools/check adds up. For programs
// whose cases depend on the devices that are here; fixed lists of cases use cmocka.
#ifndef ISOMER_CONFORMANCE_TALLY_H
#define ISOMER_CONFORMANCE_TALLY_H

#include <stdbool.h>

#include "isomer/status.h"

typedef struct tally {
    unsigned passed, failed, skipped;
} tally;

// Counts `ok`; prints the text when it is false. Returns `ok`.
bool tally_check(tally *counts, bool ok, const char *format, ...) ISO_PRINTF(3, 4);
// For a call on the way to what is checked: counts only where it failed, and prints the thread's record.
bool tally_call(tally *counts, iso_status status, const char *format, ...) ISO_PRINTF(3, 4);
// Counts a call that must fail with `want` and say something.
bool tally_refused(tally *counts, iso_status status, iso_status want, const char *format, ...)
    ISO_PRINTF(4, 5);
void tally_skip(tally *counts, const char *reason, ...) ISO_PRINTF(2, 3);
// Prints "name: N passed, N failed, N skipped"; returns the exit code: nothing checked is a failure, all
// skipped is not.
int tally_close(const tally *counts, const char *name);

#endif
