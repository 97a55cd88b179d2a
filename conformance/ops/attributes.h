// SPDX-License-Identifier: MIT
//
// What stands behind the tensors in an op's params struct, by name: so that a case file can be read by a
// person, and a hostile one cannot put anything there that has no name.
#ifndef ISOMER_CONFORMANCE_ATTRIBUTES_H
#define ISOMER_CONFORMANCE_ATTRIBUTES_H

#include <jansson.h>

#include "isomer/op.h"

// A new object with every attribute of the call, or NULL where memory is exhausted.
json_t *conform_attributes_get(const iso_op_info *op, const void *params);
// Sets every attribute; ISO_CORRUPT names the one that is missing, of another type or out of range.
iso_status conform_attributes_set(const iso_op_info *op, const json_t *attributes, void *params) ISO_MUST_USE;

#endif
