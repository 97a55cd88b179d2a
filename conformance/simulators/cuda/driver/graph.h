// SPDX-License-Identifier: MIT
//
// Graphs as graph.c and capture.c share them.
#pragma once

#include "calls.h"

typedef struct sim_node {
    sim_object object;
    struct sim_graph *graph;
    uint32_t index, after_count;
    uint32_t *after; // indices of nodes, all smaller than its own
    sim_work work;
} sim_node;

typedef struct sim_graph {
    sim_object object;
    sim_node **nodes;
    uint32_t count, capacity;
} sim_graph;

// Takes the work over, also when it fails.
CUresult sim_graph_add(sim_graph *graph, const uint32_t *after, uint32_t count, sim_work *work,
                       sim_node **out);
void sim_graph_end(sim_graph *graph);
