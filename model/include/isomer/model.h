// SPDX-License-Identifier: MIT
//
// A model: its config, its weights where they are there, and its graph.
//
// Threads: a model is constant once open; several runners on several threads may share it.
#ifndef ISOMER_MODEL_H
#define ISOMER_MODEL_H

#include "isomer/checkpoint.h"
#include "isomer/config.h"
#include "isomer/graph.h"
#include "isomer/session.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_model iso_model;

#define ISO_MAX_LAYERS 256

// What a graph is built with, beside the model itself. Zero is the plain model.
typedef struct iso_build_options {
    bool mtp;            // add the MTP layer; ISO_UNSUPPORTED where the model has none
    bool expose_hidden;  // keep the residual stream after the embedding and after each layer
    bool expose_routing; // keep each router's experts and weights
    bool force_routing;  // experts are an input of the step, not chosen
} iso_build_options;

// The values that the host writes and reads. ISO_NO_VALUE where a model or the options have none.
typedef struct iso_model_values {
    iso_value ids;                        // [T] i32
    iso_value positions;                  // [T] i32
    iso_value sequence;                   // [T] i32: row of block_table; -1: padding
    iso_value slots;                      // [T] i32: page * 64 + offset in the page; -1: padding
    iso_value block_table;                // [sequences, sequence_pages] i32: pages
    iso_value rows;                       // [R] i32: tokens of the step whose logits are wanted; -1: padding
    iso_value next_ids;                   // [T] i32, MTP only: the token after each one
    iso_value logits;                     // [R, vocab] f32
    iso_value picked;                     // [R] i32: greedy choice
    iso_value mtp_logits;                 // [R, vocab] f32, MTP only
    iso_value hidden[ISO_MAX_LAYERS + 1]; // [T, hidden]: residual stream, entry 0 after the embedding
    iso_value experts[ISO_MAX_LAYERS];    // [T, k] i32, ascending
    iso_value expert_weights[ISO_MAX_LAYERS]; // [T, k] f32, in that order
    iso_value forced_experts[ISO_MAX_LAYERS]; // [T, k] i32
} iso_model_values;

// A graph and the weights that it uses.
typedef struct iso_model_graph iso_model_graph;

// ---- calls ----

// `path` is a checkpoint's folder, a config.json alone (then no step can run), or the name of a built-in
// model
// ("tiny-r1"). ISO_NOT_FOUND, ISO_CORRUPT or ISO_UNSUPPORTED with the file, the field and the value.
ISO_API iso_status iso_model_open(const char *path, const iso_allocator *allocator,
                                  iso_model **out_model) ISO_MUST_USE;
ISO_API void iso_model_close(iso_model *model);

ISO_API const iso_model_config *iso_model_get_config(const iso_model *model);
// NULL where the model was opened from a config alone.
ISO_API const iso_checkpoint *iso_model_checkpoint(const iso_model *model);
// The folder (for the tokenizer). Lent.
ISO_API const char *iso_model_folder(const iso_model *model);

// Builds the graph and checks every tensor that it uses against the config. The model outlives it.
ISO_API iso_status iso_model_graph_create(const iso_model *model, const iso_build_options *options,
                                          iso_model_graph **out_graph) ISO_MUST_USE;
ISO_API void iso_model_graph_destroy(iso_model_graph *graph);
ISO_API const iso_graph *iso_model_graph_get(const iso_model_graph *graph);
ISO_API const iso_model_values *iso_model_graph_values(const iso_model_graph *graph);
// For iso_session_create.
ISO_API iso_weight_source iso_model_graph_weights(iso_model_graph *graph);

#ifdef __cplusplus
}
#endif
#endif
