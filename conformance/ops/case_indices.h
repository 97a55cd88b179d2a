// SPDX-License-Identifier: MIT
//
// Whether the integers in a call's inputs stay within the call: kernels trust them, so a case of unknown
// origin must be looked at first.
#ifndef ISOMER_CONFORMANCE_CASE_INDICES_H
#define ISOMER_CONFORMANCE_CASE_INDICES_H

#include "isomer/op.h"

// Host tensors that passed the op's check. ISO_CORRUPT names operand and value.
iso_status conform_indices_check(const iso_op_info *op, const void *params) ISO_MUST_USE;

#endif
