// SPDX-License-Identifier: MIT
//
// A part of a model's graph as a graph of its own: nodes [first, end) of a legalised graph. What earlier
// nodes computed becomes an input of the step; what later nodes or the host need becomes an output. Values
// keep their numbers. Knows no model and no device.
#ifndef ISOMER_CONFORMANCE_PART_H
#define ISOMER_CONFORMANCE_PART_H

#include "isomer/graph.h"

typedef struct conform_part {
    uint32_t first, end;
    bool keep_all; // every activation is kept to the end of the step, so that none shares memory with another
    const iso_op_table *ops; // other kernels for the same ops; NULL: those of the graph
} conform_part;

// What the part does with a root value.
typedef struct conform_part_use {
    bool written_before; // by a node before the part
    bool touched;        // by a node of the part
    bool written;        // by a node of the part
    bool needed_after;   // read by a node after the part, or by the host
} conform_part_use;

iso_status conform_part_create(const iso_graph *source, const conform_part *part,
                               iso_graph **out_graph) ISO_MUST_USE;
// uses has iso_graph_value_count entries; those of views stay empty.
void conform_part_uses(const iso_graph *source, const conform_part *part, conform_part_use *uses);

// Whether the root has to be given to the part before each step: an activation that earlier nodes computed,
// or a cache that earlier nodes of the same step wrote to.
bool conform_part_feeds(const iso_graph *source, iso_value root, const conform_part_use *use);
// Whether the root's content after the part can be compared.
bool conform_part_shows(const iso_graph *source, iso_value root, const conform_part_use *use);

#endif
