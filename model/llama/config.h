// SPDX-License-Identifier: MIT
//
// Config fields of the R1 distills on Llama, beyond those that all architectures share. A table for
// model/models.def: no include guard, it is read several times. Source: config.json of
// deepseek-ai/DeepSeek-R1-Distill-Llama-8B.
// clang-format off
ISO_MODEL(llama)
ISO_CONFIG_COUNT("head_dim",          head_dim, OR(0), 2, 4096)
ISO_CONFIG_FALSE("attention_bias",    "biases of the attention projections")
ISO_CONFIG_FALSE("mlp_bias",          "biases of the MLP projections")
ISO_CONFIG_ABSENT("sliding_window",   "sliding-window attention")
ISO_CONFIG_ABSENT("quantization_config", "quantised weights of this architecture")
ISO_MODEL_END(llama)
