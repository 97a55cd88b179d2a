// SPDX-License-Identifier: MIT
//
// DeepSeek-V2, V2-Lite, V2.5 and Coder-V2: MLA and DeepSeekMoE with a softmax router (DeepSeek-V2 paper,
// section 2).
#include "model/blocks/builder.h"

#define ISO_WEIGHTS_DEF "model/deepseek_v2/weights.def"
#include "model/blocks/describe.inc"

static void build(iso_builder *b)
{
    iso_build_step_inputs(b);
    iso_value x = iso_build_embedding(b);
    for (uint32_t layer = 0; layer < b->config->layer_count; layer++)
        x = iso_build_decoder_layer(b, layer, x, iso_block_mla);
    iso_build_head(b, x);
}

extern const iso_architecture iso_architecture_deepseek_v2;
const iso_architecture iso_architecture_deepseek_v2 = {"deepseek_v2", describe, build};
