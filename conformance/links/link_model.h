// SPDX-License-Identifier: MIT
//
// The tiny golden model as the link suite runs it: its graph with a position for each op, so that placement
// can cut it anywhere, and a short fixed conversation. Knows plans and sessions; judges nothing.
//
// A cache lives on one device, so the ops from its first use to its last share a position: those are the only
// places where a model cannot be cut.
#ifndef ISOMER_CONFORMANCE_LINKS_LINK_MODEL_H
#define ISOMER_CONFORMANCE_LINKS_LINK_MODEL_H

#include "isomer/model.h"

// One prompt, which is no multiple of anything, then single tokens: both step sizes, and caches that stay.
#define LINK_PROMPT  13u
#define LINK_SINGLES 2u
#define LINK_ROWS    (LINK_PROMPT + LINK_SINGLES)

typedef struct link_model {
    iso_model *model;
    iso_model_graph *source;
    iso_graph *graph;   // a copy of the source's whose nodes have their position as layer
    uint32_t positions; // cuts are after position 0 … positions - 2
    uint32_t vocab;
    uint32_t layers;
    uint32_t *layer_ends; // [layers]: the last position of each layer
} link_model;

// How a run is placed.
typedef struct link_placement {
    iso_device *devices[2];
    uint32_t device_count;
    const iso_layer_range *ranges; // over positions; NULL: all on devices[0]
    uint32_t range_count;
    iso_dtype activation;
} link_placement;

// ISO_NOT_FOUND where the golden models are not installed.
iso_status link_model_open(link_model *out) ISO_MUST_USE;
void link_model_close(link_model *model);

// Plans, uploads, runs the conversation, and gives the logits of every token: [LINK_ROWS, vocab].
// *out_transfers, which may be NULL: values that cross over in one step.
iso_status link_model_run(const link_model *model, const link_placement *placement, float *out_logits,
                          uint32_t *out_transfers) ISO_MUST_USE;
// Which op is the last before a cut after `position`, for messages. Lent.
const char *link_model_op(const link_model *model, uint32_t position);

#endif
