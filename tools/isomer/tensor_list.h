// SPDX-License-Identifier: MIT
//
// The tensors of a checkpoint, or the weights of a graph where there is no checkpoint, for printing: one by
// one, or those that differ only in a layer's or an expert's number as one line. Part of `inspect`.
#ifndef ISOMER_TOOLS_TENSOR_LIST_H
#define ISOMER_TOOLS_TENSOR_LIST_H

#include <jansson.h>

#include "isomer/checkpoint.h"
#include "isomer/graph.h"

// All pointers are lent by the checkpoint or the graph.
typedef struct cli_tensor {
    const char *name;
    const char *dtype;
    const char *file; // NULL: from a graph
    uint32_t rank;
    uint64_t dims[ISO_CHECKPOINT_MAX_DIMS];
    uint64_t bytes;
} cli_tensor;

// Zero is an empty list.
typedef struct cli_tensor_list {
    cli_tensor *items;
    size_t count, capacity;
} cli_tensor_list;

iso_status cli_tensor_list_add_checkpoint(cli_tensor_list *list,
                                          const iso_checkpoint *checkpoint) ISO_MUST_USE;
iso_status cli_tensor_list_add_weights(cli_tensor_list *list, const iso_graph *graph) ISO_MUST_USE;
void cli_tensor_list_deinit(cli_tensor_list *list);

// Groups equal tensors whose names differ in numbers between dots. `all`: every tensor on a line of its own.
void cli_tensor_list_print(cli_tensor_list *list, bool all);
json_t *cli_tensor_list_json(cli_tensor_list *list, bool all);

// One line (or JSON entry) for each dtype: tensors, elements, bytes.
void cli_tensor_list_print_dtypes(const cli_tensor_list *list);
json_t *cli_tensor_list_dtypes_json(const cli_tensor_list *list);

#endif
