// SPDX-License-Identifier: MIT
//
// What an architecture supplies: which tensor plays which role (weights.def) and how the graph is built
// (graph.c). Everything else in model/ works from this and the config.
#ifndef ISOMER_MODEL_ARCHITECTURE_H
#define ISOMER_MODEL_ARCHITECTURE_H

#include "isomer/config.h"

typedef enum iso_role {
#define ISO_ROLE(role, name) ISO_ROLE_##role,
#include "model/blocks/roles.def"
#undef ISO_ROLE
    ISO_ROLE_COUNT
} iso_role;

typedef enum iso_weight_kind {
    ISO_WEIGHT_LINEAR, // [rows, columns]; FP8 with block scales where the checkpoint is FP8
    ISO_WEIGHT_PLAIN,  // [rows, columns]; never FP8
    ISO_WEIGHT_VECTOR, // [rows]
    ISO_WEIGHT_F32,    // [rows], kept in F32
    ISO_WEIGHT_EXPERT, // as LINEAR, one for each routed expert: "{expert}" in the name; stacked [experts, …]
} iso_weight_kind;

// One row of weights.def under a given config.
typedef struct iso_weight_shape {
    const char *name; // with "{layer}" and "{expert}"
    iso_weight_kind kind;
    uint32_t rows, columns; // columns 0: a vector
} iso_weight_shape;

struct iso_builder;

typedef struct iso_architecture {
    const char *name; // folder of model/
    // Whether models with this config have the role in this layer, and its shape. `layer` counts MTP layers
    // too.
    bool (*describe)(const iso_model_config *config, iso_role role, uint32_t layer,
                     iso_weight_shape *out_shape);
    // Adds the whole model to the builder's graph; failures stay in the graph.
    void (*build)(struct iso_builder *builder);
} iso_architecture;

// The architecture of a config. Never NULL for a config that was read without failure.
const iso_architecture *iso_architecture_of(const iso_model_config *config);

// For graph.c of an architecture, after `#define ISO_WEIGHTS_DEF "model/<name>/weights.def"`: see
// describe.inc.
#endif
