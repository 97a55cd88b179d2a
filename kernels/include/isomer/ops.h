// SPDX-License-Identifier: MIT
//
// The ops that are built into the library, with their references and kernels.
#ifndef ISOMER_OPS_H
#define ISOMER_OPS_H

#include "isomer/op.h"

#ifdef __cplusplus
extern "C" {
#endif

// Every op, in alphabetical order. Lent, constant, the same on each call.
ISO_API const iso_op_table *iso_ops(void);

// IEEE 754 to nearest; subnormals may be flushed.
ISO_API extern const iso_numerics iso_numerics_ieee;

// The device's numerics as they are for one kernel's sums. `kernel` may be NULL: ordinary sums.
ISO_API iso_numerics iso_kernel_numerics(const iso_kernel *kernel, const iso_numerics *device);

#ifdef __cplusplus
}
#endif
#endif
