// SPDX-License-Identifier: MIT
//
// Every device of this machine that runs kernels, opened once for a test program. ISOMER_TEST_DEVICES (names
// separated by commas) narrows the list.
#ifndef ISOMER_CONFORMANCE_FLEET_H
#define ISOMER_CONFORMANCE_FLEET_H

#include "isomer/device.h"

#define FLEET_MAX_DEVICES 16

typedef struct fleet {
    iso_registry *registry;
    iso_device *devices[FLEET_MAX_DEVICES]; // [0] is the CPU unless narrowed
    uint32_t count;
} fleet;

// Prints each device, and the reason of each backend that is absent. 0, or prints the failure and returns 1.
int fleet_open(fleet *out);
void fleet_close(fleet *fleet);

#endif
