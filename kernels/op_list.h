// SPDX-License-Identifier: MIT
//
// The number of each op: iso_op_rms_norm is the index of rms_norm in iso_ops()->ops.
#ifndef ISOMER_KERNELS_OP_LIST_H
#define ISOMER_KERNELS_OP_LIST_H

typedef enum iso_op {
#define ISO_OP(name, inputs, outputs) iso_op_##name,
#include "kernels/ops.def"
#undef ISO_OP
    ISO_OP_COUNT
} iso_op;

#endif
