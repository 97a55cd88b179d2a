// SPDX-License-Identifier: MIT
//
// Text to token ids and back, from a published tokenizer.json (byte-level BPE) and tokenizer_config.json.
//
// Read from tokenizer.json: model (BPE), normalizer (none or NFC), pre_tokenizer (Split with a regular
// expression, Digits, ByteLevel, or a Sequence of them that ends in ByteLevel), decoder (ByteLevel),
// added_tokens. The post_processor is not applied: whether a text begins with the BOS token is
// `add_bos_token` of tokenizer_config.json, or the caller's choice. What a file asks for beyond that is
// refused by name.
#ifndef ISOMER_TOKENIZER_H
#define ISOMER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

// Every call below may be made from several threads at once; calls that encode take turns.
typedef struct iso_tokenizer iso_tokenizer;

// One stream of ids that becomes text; one thread at a time.
typedef struct iso_detokenizer iso_detokenizer;

#define ISO_NO_TOKEN (-1)

// A growing list. Zero is an empty list that uses malloc; set `allocator` before the first append to use
// another.
typedef struct iso_token_list {
    int32_t *ids; // [count]
    size_t count;
    size_t capacity;
    const iso_allocator *allocator;
} iso_token_list;

typedef enum iso_bos_rule {
    ISO_BOS_CONFIGURED =
        0,         // as add_bos_token of tokenizer_config.json says; not added where the file is silent
    ISO_BOS_NEVER, // for text that has its BOS written out, as a rendered conversation has
    ISO_BOS_ALWAYS,
} iso_bos_rule;

typedef struct iso_encode_options {
    iso_bos_rule bos;
} iso_encode_options;

typedef struct iso_decode_options {
    bool skip_special; // leave out added tokens that are marked special
} iso_decode_options;

// The two files in memory, for iso_tokenizer_parse.
typedef struct iso_tokenizer_source {
    const char *name; // goes before every error text; NULL: "tokenizer"
    const char *tokenizer_json;
    size_t tokenizer_json_bytes;
    const char *config_json; // NULL: no tokenizer_config.json
    size_t config_json_bytes;
} iso_tokenizer_source;

// ---- calls: opening ----

// Opens `folder`/tokenizer.json and, where present, `folder`/tokenizer_config.json and
// `folder`/chat_template.jinja. ISO_NOT_FOUND: no tokenizer.json. ISO_CORRUPT: a file is not JSON, lacks a
// field or contradicts itself. ISO_UNSUPPORTED: it asks for something that is not read here. *out is NULL on
// failure.
ISO_API iso_status iso_tokenizer_open(const char *folder, const iso_allocator *allocator,
                                      iso_tokenizer **out) ISO_MUST_USE;

// The same from memory; nothing of `source` is kept.
ISO_API iso_status iso_tokenizer_parse(const iso_tokenizer_source *source, const iso_allocator *allocator,
                                       iso_tokenizer **out) ISO_MUST_USE;

// Accepts NULL.
ISO_API void iso_tokenizer_close(iso_tokenizer *tokenizer);

// ---- calls: facts ----

// One more than the largest id. The embedding may have more rows; ids from here on decode to nothing.
ISO_API int32_t iso_tokenizer_vocab_size(const iso_tokenizer *tokenizer);

// The id of a token in the spelling of tokenizer.json ("<think>", "\u0120the"), or ISO_NO_TOKEN.
ISO_API int32_t iso_tokenizer_token_id(const iso_tokenizer *tokenizer, const char *token);

// The bytes that `id` decodes to, ending in a NUL that is not counted; often no whole character. NULL for an
// id without a token. Lent for the tokenizer's life.
ISO_API const char *iso_tokenizer_token_bytes(const iso_tokenizer *tokenizer, int32_t id, size_t *out_bytes);

// Whether `id` is an added token marked special.
ISO_API bool iso_tokenizer_is_special(const iso_tokenizer *tokenizer, int32_t id);

// From tokenizer_config.json; ISO_NO_TOKEN where it names none.
ISO_API int32_t iso_tokenizer_bos_id(const iso_tokenizer *tokenizer);
ISO_API int32_t iso_tokenizer_eos_id(const iso_tokenizer *tokenizer);

// The chat template's text, or NULL where the model has none. Lent for the tokenizer's life.
ISO_API const char *iso_tokenizer_chat_template(const iso_tokenizer *tokenizer);

// ---- calls: encoding ----

// Appends the ids of `text` ([bytes], need not end in NUL; NULL when bytes is 0). Each maximal invalid piece
// of UTF-8 becomes U+FFFD first. Added tokens written out in the text become their id. `options` may be NULL.
// ISO_UNSUPPORTED: the text holds a byte that the vocabulary has no symbol for. ISO_INVALID_ARGUMENT: a BOS
// is wanted and none is configured. On failure `ids` is as it was.
ISO_API iso_status iso_tokenizer_encode(iso_tokenizer *tokenizer, const char *text, size_t bytes,
                                        const iso_encode_options *options, iso_token_list *ids) ISO_MUST_USE;

ISO_API iso_status iso_token_list_append(iso_token_list *list, int32_t id) ISO_MUST_USE;

// Frees the ids; the list is empty then and can be used again.
ISO_API void iso_token_list_deinit(iso_token_list *list);

// ---- calls: decoding ----

// The text of `ids` ([count]): valid UTF-8 in which each maximal invalid piece is U+FFFD. Ids without a token
// add nothing. *out_text ends in NUL, is never NULL on success and is freed with iso_free(allocator given at
// opening). ISO_INVALID_ARGUMENT: a negative id. `options` may be NULL.
ISO_API iso_status iso_tokenizer_decode(const iso_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                        const iso_decode_options *options, char **out_text,
                                        size_t *out_bytes) ISO_MUST_USE;

// A streaming decoder; `tokenizer` must outlive it. Its pieces, joined, are what iso_tokenizer_decode gives.
ISO_API iso_status iso_detokenizer_create(const iso_tokenizer *tokenizer, const iso_decode_options *options,
                                          iso_detokenizer **out) ISO_MUST_USE;

// Accepts NULL.
ISO_API void iso_detokenizer_destroy(iso_detokenizer *detokenizer);

// Takes one more id and lends the characters that are complete now (perhaps none: *out_bytes is 0), valid
// until the next call. A character whose bytes are spread over several tokens comes out whole, with the last
// of them.
ISO_API iso_status iso_detokenizer_feed(iso_detokenizer *detokenizer, int32_t id, const char **out_text,
                                        size_t *out_bytes) ISO_MUST_USE;

// Ends the stream: lends U+FFFD if a character was left incomplete. The decoder is then as new.
ISO_API iso_status iso_detokenizer_finish(iso_detokenizer *detokenizer, const char **out_text,
                                          size_t *out_bytes) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
