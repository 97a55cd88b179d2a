// SPDX-License-Identifier: MIT
//
// Conversations to prompt text, as the model's published chat template writes it.
//
// There is no template engine here. The templates that DeepSeek published are known by what they contain, and
// each is rendered by hand, quirks included (model/text/chat_features.def lists what is recognised). Another
// template is refused; token ids and plain prompts work with every model.
//
// Workflow: iso_tokenizer_chat_template -> iso_chat_recognise -> iso_chat_render -> iso_tokenizer_encode with
// ISO_BOS_NEVER (the templates write the BOS token themselves).
#ifndef ISOMER_CHAT_H
#define ISOMER_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "isomer/status.h"
#include "isomer/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_chat_tool_call {
    const char *type; // "function"
    const char *name;
    const char *arguments; // JSON text
} iso_chat_tool_call;

typedef struct iso_chat_message {
    const char *role;    // "system", "user", "assistant", "tool"; the templates skip any other
    const char *content; // NULL: null, allowed where tool_calls stand instead
    const iso_chat_tool_call *tool_calls;
    size_t tool_call_count;
    bool has_tool_calls; // the field is present; an empty list counts
    bool prefix;         // the answer's beginning is given and is to be continued (read by V3.1's template)
} iso_chat_message;

typedef struct iso_conversation {
    const iso_chat_message *messages; // [message_count]
    size_t message_count;
    bool add_generation_prompt; // end with the marker after which the model answers
    bool thinking;              // read by templates that have the flag (V3.1); R1's always think
} iso_conversation;

// What a template does, one number per aspect. Filled by iso_chat_recognise; zero is no template.
typedef struct iso_chat_form {
    uint8_t system;
    uint8_t answer_marker;
    uint8_t answer_cut;
    uint8_t tool_calls;
    uint8_t tool_results;
    uint8_t generation;
} iso_chat_form;

// A conversation read from JSON, with the memory behind it.
typedef struct iso_conversation_file iso_conversation_file;

// ---- calls ----

// Recognises a chat template's text. NULL text: ISO_NOT_FOUND. ISO_UNSUPPORTED: not one of the known forms;
// the record names what is not understood and the forms that are. `allocator` serves during the call only.
ISO_API iso_status iso_chat_recognise(const char *template_text, const iso_allocator *allocator,
                                      iso_chat_form *out) ISO_MUST_USE;

// "V2", "V3", "R1", "R1-0528" or "V3.1": the first model published with this kind of template. Never NULL.
ISO_API const char *iso_chat_form_name(const iso_chat_form *form);

// Renders `conversation`. The markers of BOS and EOS are the tokenizer's own. *out_text ends in NUL and is
// freed with iso_free(allocator). ISO_INVALID_ARGUMENT: a message lacks what the template needs (the record
// names it). ISO_UNSUPPORTED: tool calls or results with a template that knows none.
ISO_API iso_status iso_chat_render(const iso_chat_form *form, const iso_tokenizer *tokenizer,
                                   const iso_conversation *conversation, const iso_allocator *allocator,
                                   char **out_text, size_t *out_bytes) ISO_MUST_USE;

// Reads {"messages": [{"role", "content", "tool_calls", "prefix"}, ...], "add_generation_prompt": true,
// "thinking": false}. `name` goes before every error text. add_generation_prompt is false where absent. *out
// is NULL on failure.
ISO_API iso_status iso_conversation_parse(const char *json, size_t bytes, const char *name,
                                          const iso_allocator *allocator,
                                          iso_conversation_file **out) ISO_MUST_USE;

// Lent until the file is destroyed.
ISO_API const iso_conversation *iso_conversation_get(const iso_conversation_file *file);

// Accepts NULL.
ISO_API void iso_conversation_destroy(iso_conversation_file *file);

#ifdef __cplusplus
}
#endif
#endif
