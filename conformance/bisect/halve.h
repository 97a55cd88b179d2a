// SPDX-License-Identifier: MIT
//
// What the files of the bisect share: adding a guilty op, and the hunt for faults that hide from an observer.
#ifndef ISOMER_CONFORMANCE_HALVE_H
#define ISOMER_CONFORMANCE_HALVE_H

#include "conformance/bisect/bisect.h"

// The guilty op of that node, or NULL.
const conform_guilty *conform_find_guilty(const conform_bisection *found, uint32_t node);
// Unless it is there already. Sets what follows from node, step and the trace.
void conform_add_guilty(const conform_bisect_options *options, const conform_trace *trace,
                        conform_guilty guilty, conform_bisection *out);
// The kernel that a plan takes, or NULL.
const iso_kernel *conform_kernel_for(const iso_graph *graph, const iso_op_table *ops, const iso_node *node,
                                     const iso_dim_values *dims, const iso_device_info *device);
// Compares unobserved runs with out->device, and halves.
iso_status conform_find_hidden(const conform_bisect_options *options, conform_bisection *out) ISO_MUST_USE;

#endif
