// SPDX-License-Identifier: MIT
//
// A part of a model on one device: planned, recorded and replayed by the runtime like any model, and on
// demand node by node from one list each, so that what happens between two ops can be seen. Reads and writes
// any value that has memory. Knows no reference and no bound.
#ifndef ISOMER_CONFORMANCE_RIG_H
#define ISOMER_CONFORMANCE_RIG_H

#include "conformance/bisect/part.h"
#include "isomer/session.h"

// What nobody wrote yet holds NaN, as F32 and as two BF16: in the activations one that a sum hands on
// unchanged, in the caches another, so that a cache row that was never written can be told from one that was
// written with NaN.
#define CONFORM_POISON_ACTIVATION 0xffffffffu
#define CONFORM_POISON_CACHE      0x7fff7fffu

typedef struct conform_rig {
    iso_graph *graph;
    iso_plan *plan;
    iso_session *session;
    iso_list **lists[ISO_MAX_STEP_SIZES]; // [node]; NULL without per_node
    uint32_t node_count, size_count;
} conform_rig;

typedef struct conform_rig_options {
    iso_device *device;
    iso_weight_source weights;
    const iso_step_size *sizes;
    uint32_t size_count;
    iso_dim_values dims;
    bool per_node; // record one list for each node, too
} conform_rig_options;

iso_status conform_rig_create(const iso_graph *source, const conform_part *part,
                              const conform_rig_options *options, conform_rig *out) ISO_MUST_USE;
// Accepts a zeroed rig.
void conform_rig_destroy(conform_rig *rig);

// `node` counts from the part's first.
iso_status conform_rig_run_node(conform_rig *rig, uint32_t size, uint32_t node) ISO_MUST_USE;
iso_status conform_rig_run(conform_rig *rig, uint32_t size) ISO_MUST_USE;
const iso_kernel *conform_rig_kernel(const conform_rig *rig, uint32_t size, uint32_t node);

// The storage of a root value that the part touches, from its start.
iso_status conform_rig_write(conform_rig *rig, uint32_t size, iso_value root, const void *data,
                             uint64_t bytes) ISO_MUST_USE;
iso_status conform_rig_read(const conform_rig *rig, uint32_t size, iso_value root, void *data,
                            uint64_t bytes) ISO_MUST_USE;
// Fills all activations.
iso_status conform_rig_poison(conform_rig *rig) ISO_MUST_USE;

// The same for a value in host memory.
void conform_poison(iso_value_kind kind, void *data, uint64_t bytes);

#endif
