// SPDX-License-Identifier: MIT
//
// What the plan passes hand on to each other. Each pass is one function over these; none keeps state of its
// own.
#ifndef ISOMER_RUNTIME_PLAN_INTERNAL_H
#define ISOMER_RUNTIME_PLAN_INTERNAL_H

#include "isomer/plan.h"
#include "runtime/base/strings.h"
#include "runtime/graph/graph_internal.h"
#include "runtime/plan/program.h"

// What select and lay out decide for one step size.
typedef struct iso_sized_plan {
    iso_dim_values dims;
    const iso_kernel **kernels; // [node]
    uint64_t *offsets;          // [value]: of root activations, in their device's arena
    uint64_t *scratch_offsets;  // [node]: where its kernel's scratch memory begins in the arena
    uint64_t arena_bytes[ISO_MAX_PLAN_DEVICES];
} iso_sized_plan;

struct iso_plan {
    const iso_allocator *allocator;
    iso_device *devices[ISO_MAX_PLAN_DEVICES];
    uint32_t device_count;
    iso_graph *graph;  // legalised and placed
    size_t first_copy; // values from here on were made by the place pass
    iso_segment *segments;
    size_t segment_count, segment_capacity;
    iso_transfer *transfers; // in the order of their segments
    size_t transfer_count, transfer_capacity;
    iso_sized_plan sizes[ISO_MAX_STEP_SIZES];
    uint32_t size_count;
    iso_dim_values largest; // each symbol's largest value: what inputs and caches are made for
};

// Source graph -> new graph with concrete dtypes and quantised inputs.
iso_status iso_plan_legalise(const iso_graph *graph, const iso_plan_options *options,
                             iso_graph **out_graph) ISO_MUST_USE;
// Sets the device of each node and root value, splits values that several devices read, and fills segments
// and transfers.
iso_status iso_plan_place(const iso_plan_options *options, iso_plan *plan) ISO_MUST_USE;
iso_status iso_plan_select(const iso_plan *plan, iso_sized_plan *sized) ISO_MUST_USE;
iso_status iso_plan_lay_out(const iso_plan *plan, iso_sized_plan *sized) ISO_MUST_USE;

// Fills the tensors of a node's params copy under `dims`, without storage.
void iso_plan_bind_shapes(const iso_plan *plan, const iso_node *node, const iso_dim_values *dims,
                          void *params);

// The kernels of a node with the reason of each that was refused ("yes" for the one that was taken).
iso_status iso_plan_explain(const iso_plan *plan, const iso_sized_plan *sized, uint32_t node,
                            iso_text *text) ISO_MUST_USE;

#endif
