// SPDX-License-Identifier: MIT
//
// The graph's arrays, for runtime/graph and runtime/plan only. Plan passes build and change copies through
// this.
#ifndef ISOMER_RUNTIME_GRAPH_INTERNAL_H
#define ISOMER_RUNTIME_GRAPH_INTERNAL_H

#include "isomer/graph.h"

struct iso_graph {
    const iso_allocator *allocator;
    const iso_op_table *ops;
    iso_value_info *values; // [0] is the absent value
    size_t value_count, value_capacity;
    iso_node *nodes;
    size_t node_count, node_capacity;
    int32_t layer;
    char scope[ISO_VALUE_NAME_BYTES];
    iso_status status; // the first failure
    char failure[1024];
};

// A new graph without nodes that has all values of `source`.
iso_status iso_graph_clone_values(const iso_graph *source, const iso_allocator *allocator,
                                  iso_graph **out_graph) ISO_MUST_USE;
iso_status iso_graph_append_node(iso_graph *graph, const iso_node *node) ISO_MUST_USE;
iso_status iso_graph_append_value(iso_graph *graph, const iso_value_info *info,
                                  iso_value *out_value) ISO_MUST_USE;
// Marks a value that a pass made from another one; short suffixes always fit behind a name of the caller's.
void iso_graph_suffix_name(iso_value_info *info, const char *suffix);

// A dimension with its symbol replaced.
uint32_t iso_dim_resolve(iso_dim dim, const iso_dim_values *dims);
// Whether every value can be had under these dimensions: no dimension is 0, rows fit the 32 bits that kernels
// count them in, sizes in bytes fit 63 bits, and views stay within their base.
iso_status iso_graph_check_sizes(const iso_graph *graph, const iso_dim_values *dims) ISO_MUST_USE;

// "[T, 4, 64] bf16"
void iso_graph_print_shape(const iso_value_info *value, char *out, size_t out_bytes);

#endif
