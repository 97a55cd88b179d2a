// SPDX-License-Identifier: MIT
//
// The two lists of conformance/expected.def: what is expected to fail, and what a device will never support.
// Knows names, runs nothing.
#ifndef ISOMER_CONFORMANCE_DEVICE_EXPECTED_H
#define ISOMER_CONFORMANCE_DEVICE_EXPECTED_H

#include "isomer/backend.h"

typedef enum conform_expectation_kind {
    CONFORM_EXPECT_PASS,
    CONFORM_EXPECT_FAILURE,     // run it: a pass is an unexpected one
    CONFORM_EXPECT_UNSUPPORTED, // do not run it
} conform_expectation_kind;

// What is known of `unit` on the device; *out_reason is lent, "" for CONFORM_EXPECT_PASS.
conform_expectation_kind conform_expectation(const iso_device_info *device, const char *unit,
                                             const char **out_reason);

#endif
