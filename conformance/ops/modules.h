// SPDX-License-Identifier: MIT
//
// Compiled kernels, kept from one unit to the next: drivers take up to a tenth of a second for each. Whoever
// opens a device makes one of these for it, and destroys it before the device is closed; without one (NULL)
// each trial compiles its own.
#ifndef ISOMER_CONFORMANCE_MODULES_H
#define ISOMER_CONFORMANCE_MODULES_H

#include "conformance/suite/suite.h"
#include "runtime/plan/program.h"

typedef struct conform_modules conform_modules;

iso_status conform_modules_create(iso_device *device, conform_modules **out_modules) ISO_MUST_USE;
void conform_modules_destroy(conform_modules *modules);

// The program of a kernel for a call on the device: kept in `modules`, or made for the caller where that is
// NULL. To be handed back in both cases; after a failure its kernel is NULL and there is nothing to hand
// back.
iso_status conform_program_take(conform_modules *modules, iso_device *device, const iso_kernel *kernel,
                                const void *params, iso_program *out_program) ISO_MUST_USE;
void conform_program_return(conform_modules *modules, iso_program *program);

#endif
