// SPDX-License-Identifier: MIT
//
// Text generation: prompt in, text out piece by piece.
#ifndef ISOMER_GENERATE_H
#define ISOMER_GENERATE_H

#include "isomer/runner.h"
#include "isomer/sampler.h"
#include "isomer/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef enum iso_stop_reason {
    ISO_STOP_END = 0,    // the model ended its turn
    ISO_STOP_MAX_TOKENS, // options.max_tokens
    ISO_STOP_CONTEXT,    // the context is full
} iso_stop_reason;

// One piece of generated text: whole characters, never cut. `thinking` is true from <think> to </think>, both
// included, for models that have these tokens. A status other than ISO_OK stops the generation and is
// returned from it.
typedef iso_status (*iso_text_sink)(void *context, const char *text, size_t bytes, bool thinking);

typedef struct iso_generate_options {
    const int32_t *prompt_ids; // [prompt_count]
    size_t prompt_count;       // 1 or more
    uint32_t max_tokens;       // 0: until the model ends or the context is full
    iso_sampler_options sampler;
    iso_text_sink sink; // NULL: no text
    void *sink_context;
    int32_t *out_ids; // NULL, or room for max_tokens ids (then max_tokens must not be 0)
} iso_generate_options;

typedef struct iso_generate_result {
    uint32_t prompt_tokens;
    uint32_t generated_tokens; // the end token not counted
    iso_stop_reason stop;
    uint64_t prefill_ns, decode_ns;
} iso_generate_result;

// ---- calls ----

// The ids of a text as a prompt: as one user turn under the model's chat template (`chat`), or as it stands
// with the configured BOS. Appends to *out_ids.
ISO_API iso_status iso_prompt_encode(iso_tokenizer *tokenizer, const char *text, bool chat,
                                     const iso_allocator *allocator, iso_token_list *out_ids) ISO_MUST_USE;

// Runs in a sequence of its own, which is closed at the end. ISO_LIMIT when the prompt is longer than the
// context.
ISO_API iso_status iso_generate(iso_runner *runner, const iso_tokenizer *tokenizer,
                                const iso_generate_options *options,
                                iso_generate_result *out_result) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
