// SPDX-License-Identifier: MIT
//
// What is examined: a model's graph as a plan legalises it, its weights in host memory, and the steps that it
// is taken through. The steps visit every recorded size, replay one list twice in a row, and cross a page of
// the cache whose pages lie in no order; unused entries of the block table are wild. Knows no device.
#ifndef ISOMER_CONFORMANCE_SUBJECT_H
#define ISOMER_CONFORMANCE_SUBJECT_H

#include "isomer/runner.h"

#define CONFORM_MAX_STEPS 64

typedef struct conform_step {
    uint32_t size;   // position in sizes
    uint32_t first;  // position of its first token
    uint32_t tokens; // real ones; the rest is padding
} conform_step;

typedef struct conform_subject {
    const iso_model *model;
    iso_model_graph *model_graph;
    const iso_model_values *values;
    iso_plan *plan; // owns the graph
    const iso_graph *graph;
    void **weights; // [value]: root weights
    const int32_t *ids;
    uint32_t id_count;
    const int32_t *next_ids;       // NULL: those of `ids`, and the first after the last
    const int32_t *forced_experts; // [id, MoE layers, k]; where the graph forces routing
    conform_step steps[CONFORM_MAX_STEPS];
    uint32_t step_count;
    iso_step_size sizes[ISO_MAX_STEP_SIZES];
    uint32_t size_count;
    iso_dim_values dims; // pages, sequences, pages per sequence
} conform_subject;

typedef struct conform_subject_options {
    iso_device *device; // any that has a kernel for every op: the graph is planned on it
    iso_dtype activation;
    bool w8a8;
    iso_build_options build;
    const int32_t *ids; // lent, like next_ids and forced_experts
    uint32_t id_count;  // at least 1
    const int32_t *next_ids;
    const int32_t *forced_experts;
} conform_subject_options;

// The model outlives the subject. ISO_LIMIT: more tokens than the model's context or CONFORM_MAX_STEPS hold.
iso_status conform_subject_create(const iso_model *model, const conform_subject_options *options,
                                  conform_subject *out) ISO_MUST_USE;
// Accepts a zeroed subject.
void conform_subject_destroy(conform_subject *subject);

// The graph's symbols at a step size.
iso_dim_values conform_subject_dims(const conform_subject *subject, uint32_t size);
// The content of an input of the graph at a step; out has iso_graph_storage_bytes bytes.
iso_status conform_subject_fill(const conform_subject *subject, uint32_t step, iso_value input,
                                int32_t *out) ISO_MUST_USE;

// What a node is called in reports: the name of what it writes first.
const char *conform_node_name(const iso_graph *graph, uint32_t node);
const iso_op_info *conform_node_op(const iso_graph *graph, uint32_t node);
// How many of the graph's layers route, up to and without `layer`.
uint32_t conform_routed_before(const conform_subject *subject, uint32_t layer);

#endif
