// SPDX-License-Identifier: MIT
//
// Config fields of R1-0528 distilled on Qwen3, beyond those that all architectures share. A table for
// model/models.def: no include guard, it is read several times. Source: config.json of
// deepseek-ai/DeepSeek-R1-0528-Qwen3-8B. "sliding_window" says nothing there while
// "use_sliding_window" is false.
// clang-format off
ISO_MODEL(qwen3)
ISO_CONFIG_COUNT("head_dim",             head_dim, REQUIRED, 2, 4096)
ISO_CONFIG_ALWAYS(qk_norm, true)
ISO_CONFIG_FALSE("attention_bias",       "biases of the attention projections")
ISO_CONFIG_FALSE("use_sliding_window",   "sliding-window attention")
ISO_CONFIG_ABSENT("quantization_config", "quantised weights of this architecture")
ISO_MODEL_END(qwen3)
