// SPDX-License-Identifier: MIT
//
// From records to verdicts: which profiles of profiles.def a device passes, and what the others miss. Knows
// records and the list, no suite.
#ifndef ISOMER_CONFORMANCE_VERDICT_H
#define ISOMER_CONFORMANCE_VERDICT_H

#include "conformance/report/record.h"

#define CONFORM_MAX_NEEDS 64

// What was seen under one pattern.
typedef struct conform_need_count {
    uint32_t passed, bad, unsupported, skipped;
    char bad_unit[CONFORM_UNIT_BYTES]; // the first
    char reason[CONFORM_DETAIL_BYTES]; // of the first that was unsupported or skipped
} conform_need_count;

// Zeroed at the start.
typedef struct conform_verdict_count {
    conform_need_count needs[CONFORM_MAX_NEEDS];
    uint32_t outcomes[CONFORM_OUTCOME_COUNT];
} conform_verdict_count;

void conform_verdict_add(conform_verdict_count *count, const conform_record *record);

// Fills out->verdicts and verdict_count: "pass", "fail" where something went wrong, "incomplete" where
// something is missing. `profile` narrows to one title or name (NULL: all); ISO_INVALID_ARGUMENT lists them.
iso_status conform_verdict_close(const conform_verdict_count *count, const char *profile,
                                 conform_summary *out) ISO_MUST_USE;

// ISO_INVALID_ARGUMENT lists the profiles when `profile` is none of them.
iso_status conform_verdict_check_name(const char *profile) ISO_MUST_USE;

// Whether some need of the profile fits the unit; the profile suite's units fit every profile.
bool conform_profile_wants(const char *profile, const char *unit);

#endif
