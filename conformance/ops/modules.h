// SPDX-License-Identifier: MIT
//
// Compiled kernels, kept from one unit to the next: drivers take up to a tenth of a second for each. Whoever
// opens a device makes one of these for it, and destroys it before the device is closed; without one (NULL)
// each trial compiles its own.
#ifndef ISOMER_CONFORMANCE_MODULES_H
#define ISOMER_CONFORMANCE_MODULES_H

#include "conformance/suite/suite.h"

typedef struct conform_modules conform_modules;

iso_status conform_modules_create(iso_device *device, conform_modules **out_modules) ISO_MUST_USE;
void conform_modules_destroy(conform_modules *modules);

// The module of a kernel for a launch on the device: kept in `modules`, or made for the caller where that is
// NULL. To be handed back in both cases.
iso_status conform_module_take(conform_modules *modules, iso_device *device, const iso_kernel *kernel,
                               const iso_launch *launch, iso_module **out_module) ISO_MUST_USE;
void conform_module_return(conform_modules *modules, iso_module *module);

#endif
