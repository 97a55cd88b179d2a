// SPDX-License-Identifier: MIT
//
// R1-0528-Qwen3: as Llama, with an RMSNorm over each q and k head, and YaRN with attn_factor.
#include "model/blocks/builder.h"

#define ISO_WEIGHTS_DEF "model/qwen3/weights.def"
#include "model/blocks/describe.inc"

static void build(iso_builder *b)
{
    iso_build_step_inputs(b);
    iso_value x = iso_build_embedding(b);
    for (uint32_t layer = 0; layer < b->config->layer_count; layer++)
        x = iso_build_decoder_layer(b, layer, x, iso_block_gqa);
    iso_build_head(b, x);
}

extern const iso_architecture iso_architecture_qwen3;
const iso_architecture iso_architecture_qwen3 = {"qwen3", describe, build};
