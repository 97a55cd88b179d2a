// SPDX-License-Identifier: MIT
//
// The graph: a model described once, as ops over values whose first dimension may be symbolic (T tokens in
// this step).
//
// Building never has to be checked call by call: the first failure is kept in the graph, later calls do
// nothing, and iso_graph_finish returns it. Ops run in the order in which they are added. Value 0 is
// "absent".
//
// Threads: a graph is built by one thread; once finished it is constant and may be read by any.
#ifndef ISOMER_GRAPH_H
#define ISOMER_GRAPH_H

#include "isomer/op.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_graph iso_graph;
typedef uint32_t iso_value;

#define ISO_NO_VALUE 0u

// A dimension: a constant, or one of these symbols.
typedef int32_t iso_dim;
#define ISO_DIM_TOKENS         (-1) // T: tokens in this step
#define ISO_DIM_ROWS           (-2) // R: tokens whose logits are wanted
#define ISO_DIM_PAGES          (-3) // pages of the KV cache
#define ISO_DIM_SEQUENCES      (-4) // sequences that may be alive at once
#define ISO_DIM_SEQUENCE_PAGES (-5) // pages of the longest sequence
#define ISO_DIM_SYMBOL_COUNT   5
// What each symbol stands for in one plan: entry i is the value of symbol -(i + 1).
typedef struct iso_dim_values {
    uint32_t value[ISO_DIM_SYMBOL_COUNT];
} iso_dim_values;

typedef enum iso_value_kind {
    ISO_VALUE_ACTIVATION, // lives within a step, in the arena
    ISO_VALUE_INPUT,      // written by the host before each step, on each device that reads it
    ISO_VALUE_WEIGHT,     // uploaded once; `tag` is the weight source's number for it
    ISO_VALUE_CACHE,      // lives as long as the session
} iso_value_kind;

// Names have at most 63 characters, scope included; the plan appends to those of the copies that it makes.
#define ISO_VALUE_NAME_BYTES 72

typedef struct iso_value_info {
    char name[ISO_VALUE_NAME_BYTES];
    iso_value_kind kind;
    iso_dtype dtype;
    uint32_t rank;
    iso_dim dims[ISO_MAX_DIMS];
    iso_value base;       // the value whose storage this one is a view of; itself unless it is a view
    uint32_t view_offset; // elements
    uint32_t row_stride;  // elements
    int32_t layer;        // placement goes by this; -1: before the first layer
    uint32_t tag;         // weights
    bool output;          // kept until the end of the step, so that the host can read it
    uint32_t device;      // set by the plan's place pass; 0 before
    iso_value origin;     // set by the place pass on a copy for another device: what it is a copy of
} iso_value_info;

typedef struct iso_node {
    uint32_t op; // index into the op table
    uint32_t operand_count;
    iso_value operands[ISO_MAX_OPERANDS]; // inputs, then outputs
    int32_t layer;
    uint32_t device; // set by the place pass
    uint8_t params[ISO_OP_PARAMS_BYTES]
        __attribute__((aligned(8))); // attributes; tensors are bound by the plan
} iso_node;

// ---- calls: building ----

ISO_API iso_status iso_graph_create(const iso_allocator *allocator, const iso_op_table *ops,
                                    iso_graph **out_graph) ISO_MUST_USE;
ISO_API void iso_graph_destroy(iso_graph *graph);

// Everything added from here on belongs to `layer` and is named "<scope>.<name>" (scope may be ""). Names
// should be unique: messages, dumps and iso_graph_find go by them.
ISO_API void iso_graph_scope(iso_graph *graph, int32_t layer, const char *format, ...) ISO_PRINTF(3, 4);

// A contiguous value. dims: constants > 0, or symbols.
ISO_API iso_value iso_graph_add_value(iso_graph *graph, iso_value_kind kind, const char *name,
                                      iso_dtype dtype, const iso_dim *dims, uint32_t rank);
ISO_API void iso_graph_set_tag(iso_graph *graph, iso_value weight, uint32_t tag);
// Looks at a part of each row of `base` (contiguous or itself a view) under other dimensions: rows (product
// of all dims but the last) are row_stride elements apart, the first begins `offset` elements into base. Rows
// do not overlap.
typedef struct iso_view_desc {
    iso_dim dims[ISO_MAX_DIMS];
    uint32_t rank;
    uint32_t offset;
    uint32_t row_stride; // 0: contiguous
} iso_view_desc;
ISO_API iso_value iso_graph_add_view(iso_graph *graph, const char *name, iso_value base,
                                     const iso_view_desc *desc);
// `params` is the op's params struct with its attributes set; its tensors are ignored. `operands` are the
// op's inputs and outputs in the order of its struct, ISO_NO_VALUE for absent inputs. Outputs are activations
// or caches; an op that works in place has the same value on both sides.
ISO_API void iso_graph_add_op(iso_graph *graph, uint32_t op, const void *params, const iso_value *operands);
// Lets a builder report a failure of its own, with the calling thread's record, as if a call here had failed.
ISO_API void iso_graph_set_failure(iso_graph *graph, iso_status status);
// Keeps a value until the end of the step.
ISO_API void iso_graph_mark_output(iso_graph *graph, iso_value value);
// The first failure of any call above, or ISO_OK. Checks every op against its contract at T = R = 2, that
// views stay within their base, and that no op reads an activation before one wrote it.
ISO_API iso_status iso_graph_finish(iso_graph *graph) ISO_MUST_USE;

// ---- calls: reading ----

ISO_API uint32_t iso_graph_value_count(const iso_graph *graph); // values are 1 … count - 1
ISO_API const iso_value_info *iso_graph_value_info(const iso_graph *graph, iso_value value);
ISO_API uint32_t iso_graph_node_count(const iso_graph *graph);
ISO_API const iso_node *iso_graph_node(const iso_graph *graph, uint32_t index);
ISO_API const iso_op_table *iso_graph_ops(const iso_graph *graph);
// The value of that name, or ISO_NO_VALUE. For set-up only: steps use the number.
ISO_API iso_value iso_graph_find(const iso_graph *graph, const char *name);

// The value as a tensor under these dimensions; storage is not bound.
ISO_API iso_tensor iso_graph_tensor(const iso_graph *graph, iso_value value, const iso_dim_values *dims);
// Bytes of the value's storage under these dimensions, rounded up to whole words.
ISO_API uint64_t iso_graph_storage_bytes(const iso_graph *graph, iso_value value, const iso_dim_values *dims);

// Text, one line an op, or DOT. *out_text ends in NUL and is released by iso_free(allocator, …).
ISO_API iso_status iso_graph_dump_text(const iso_graph *graph, const iso_allocator *allocator,
                                       char **out_text) ISO_MUST_USE;
ISO_API iso_status iso_graph_dump_dot(const iso_graph *graph, const iso_allocator *allocator,
                                      char **out_text) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
