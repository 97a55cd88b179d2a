// SPDX-License-Identifier: MIT
//
// R1-Distill-Llama: grouped-query attention, llama3 rope scaling, SwiGLU.
#include "model/blocks/builder.h"

#define ISO_WEIGHTS_DEF "model/llama/weights.def"
#include "model/blocks/describe.inc"

static void build(iso_builder *b)
{
    iso_build_step_inputs(b);
    iso_value x = iso_build_embedding(b);
    for (uint32_t layer = 0; layer < b->config->layer_count; layer++)
        x = iso_build_decoder_layer(b, layer, x, iso_block_gqa);
    iso_build_head(b, x);
}

extern const iso_architecture iso_architecture_llama;
const iso_architecture iso_architecture_llama = {"llama", describe, build};
