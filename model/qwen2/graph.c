// SPDX-License-Identifier: MIT
//
// R1-Distill-Qwen: as Llama, with biases on q, k and v.
#include "model/blocks/builder.h"

#define ISO_WEIGHTS_DEF "model/qwen2/weights.def"
#include "model/blocks/describe.inc"

static void build(iso_builder *b)
{
    iso_build_step_inputs(b);
    iso_value x = iso_build_embedding(b);
    for (uint32_t layer = 0; layer < b->config->layer_count; layer++)
        x = iso_build_decoder_layer(b, layer, x, iso_block_gqa);
    iso_build_head(b, x);
}

extern const iso_architecture iso_architecture_qwen2;
const iso_architecture iso_architecture_qwen2 = {"qwen2", describe, build};
