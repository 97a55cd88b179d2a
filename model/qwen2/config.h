// SPDX-License-Identifier: MIT
//
// Config fields of the R1 distills on Qwen2.5, beyond those that all architectures share. A table for
// model/models.def: no include guard, it is read several times. Source: config.json of
// deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B. "sliding_window" says nothing there while
// "use_sliding_window" is false.
// clang-format off
ISO_MODEL(qwen2)
ISO_CONFIG_COUNT("head_dim",             head_dim, OR(0), 2, 4096)
ISO_CONFIG_ALWAYS(qkv_bias, true)
ISO_CONFIG_FALSE("use_sliding_window",   "sliding-window attention")
ISO_CONFIG_FALSE("use_mrope",            "multimodal rope")
ISO_CONFIG_ABSENT("quantization_config", "quantised weights of this architecture")
ISO_MODEL_END(qwen2)
