// SPDX-License-Identifier: MIT
//
// Building a model's graph: step inputs, weights by role, and one call per op, so that an architecture's
// graph.c reads like the paper. Failures stay in the graph (iso_graph_finish returns them).
#ifndef ISOMER_MODEL_BUILDER_H
#define ISOMER_MODEL_BUILDER_H

#include "isomer/model.h"
#include "model/blocks/architecture.h"
#include "model/checkpoint/weights.h"

// A matrix with its FP8 block scales (ISO_NO_VALUE where it is not FP8).
typedef struct iso_matrix {
    iso_value weight, scale;
} iso_matrix;

typedef struct iso_builder {
    iso_graph *graph;
    const iso_model_config *config;
    const iso_architecture *architecture;
    iso_weight_table *weights;
    iso_build_options options;
    iso_model_values values;
    uint32_t layer;
    iso_matrix embedding; // also the head's matrix where the config ties them
    iso_value rope_frequency;
    float rope_scale;
} iso_builder;

// ---- scope ----

// Everything from here on belongs to `layer`.
void iso_build_layer(iso_builder *b, uint32_t layer);

// ---- weights ----

// ISO_NO_VALUE (and no failure) where the model has no such role in this layer.
iso_matrix iso_build_matrix(iso_builder *b, iso_role role);
iso_value iso_build_vector(iso_builder *b, iso_role role);

// ---- ops ----

iso_value iso_build_activation(iso_builder *b, const char *name, const iso_dim *dims, uint32_t rank);
#define ISO_SHAPE(...)                                                                                       \
    (const iso_dim[]){__VA_ARGS__}, (uint32_t)(sizeof((iso_dim[]){__VA_ARGS__}) / sizeof(iso_dim))

// A part of each row of x, `width` elements wide from column `offset`, as [T, width] or [T, heads, width].
typedef struct iso_slice {
    uint32_t heads; // 0: [T, width]
    uint32_t row;   // elements from one row (one head) to the next; 0: width
    uint32_t offset;
    uint32_t width;
} iso_slice;
iso_value iso_build_slice(iso_builder *b, const char *name, iso_value x, iso_slice part);

iso_value iso_build_gather(iso_builder *b, const char *name, iso_value table, iso_value index, iso_dim rows);
iso_value iso_build_norm(iso_builder *b, const char *name, iso_value x, iso_role role, double eps);
// Into a value that exists already; y may be x itself.
void iso_build_norm_into(iso_builder *b, iso_value x, iso_role role, double eps, iso_value y);
// [T, K] x [N, K] -> [T, N]; bias may be ISO_NO_VALUE.
iso_value iso_build_linear(iso_builder *b, const char *name, iso_value x, iso_role role, iso_value bias);
// As iso_build_linear, the result in F32.
iso_value iso_build_linear_f32(iso_builder *b, const char *name, iso_value x, iso_matrix matrix);
iso_value iso_build_add(iso_builder *b, const char *name, iso_value x, iso_value y);
// Rotates x [T, heads, r] (a view) in place.
void iso_build_rope(iso_builder *b, iso_value x);
// Writes x, one row a token, into a new cache of this layer with those dims behind [pages, 64].
iso_value iso_build_cache(iso_builder *b, const char *name, iso_value x, const iso_dim *row_dims,
                          uint32_t row_rank);

// ---- blocks ----

iso_value iso_block_mla(iso_builder *b, iso_value x);
iso_value iso_block_gqa(iso_builder *b, iso_value x);
// SwiGLU with the matrices of these three roles.
iso_value iso_block_mlp(iso_builder *b, iso_value x, iso_role gate, iso_role up, iso_role down);
// Router, routed experts and shared expert.
iso_value iso_block_moe(iso_builder *b, iso_value x);

// The parts that all decoders share: inputs and embedding; final norm, head, greedy choice.
void iso_build_step_inputs(iso_builder *b);
iso_value iso_build_embedding(iso_builder *b);
// One pre-norm decoder layer around an attention block; MoE or dense by the config.
iso_value iso_build_decoder_layer(iso_builder *b, uint32_t layer, iso_value x,
                                  iso_value (*attention)(iso_builder *b, iso_value x));
// Returns the state after the final norm [T, hidden].
iso_value iso_build_head(iso_builder *b, iso_value x);

#endif
