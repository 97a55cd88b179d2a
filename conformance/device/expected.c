// SPDX-License-Identifier: MIT
//
// Looking up conformance/expected.def. Knows names, runs nothing.
#include "conformance/device/expected.h"

#include <stdio.h>
#include <string.h>

static const struct {
    conform_expectation_kind kind;
    const char *device, *unit, *reason;
} lines[] = {
#define CONFORM_EXPECTED(device, unit, reason)            {CONFORM_EXPECT_FAILURE, device, unit, reason},
#define CONFORM_UNSUPPORTED_FOREVER(device, unit, reason) {CONFORM_EXPECT_UNSUPPORTED, device, unit, reason},
#include "conformance/expected.def"
#undef CONFORM_EXPECTED
#undef CONFORM_UNSUPPORTED_FOREVER
};

static bool device_fits(const iso_device_info *info, const char *fragment)
{
    char name[32];
    snprintf(name, sizeof name, "%.15s:%u", info->backend, info->ordinal);
    return strcmp(fragment, info->backend) == 0 || strcmp(fragment, name) == 0 ||
           strstr(info->name, fragment) || strstr(info->driver, fragment);
}

static bool unit_fits(const char *unit, const char *pattern)
{
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '*')
        return strncmp(unit, pattern, length - 1) == 0;
    return strcmp(unit, pattern) == 0;
}

conform_expectation_kind conform_expectation(const iso_device_info *device, const char *unit,
                                             const char **out_reason)
{
    *out_reason = "";
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (device_fits(device, lines[i].device) && unit_fits(unit, lines[i].unit)) {
            *out_reason = lines[i].reason;
            return lines[i].kind;
        }
    return CONFORM_EXPECT_PASS;
}
