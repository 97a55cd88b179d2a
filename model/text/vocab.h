// SPDX-License-Identifier: MIT
//
// The table of tokens: id to bytes, and spelling to id. A spelling is what tokenizer.json writes, in the byte
// alphabet of GPT-2 (every byte is one printable character; openai/gpt-2 src/encoder.py, bytes_to_unicode). A
// spelling with a character outside that alphabet stands for its own UTF-8 bytes. Knows nothing of merges or
// text.
#ifndef ISOMER_MODEL_TEXT_VOCAB_H
#define ISOMER_MODEL_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "runtime/base/strings.h"

// Ids must be below this: a sparse or hostile file could ask for gigabytes otherwise. Published vocabularies
// have up to about 262,000 tokens.
#define ISO_VOCAB_ID_LIMIT (1 << 22)

// Bytes in the longest spelling that is read. Published vocabularies have runs of 128 spaces, which take 256.
#define ISO_VOCAB_SPELLING_LIMIT 4096

typedef enum iso_token_flags {
    ISO_TOKEN_PRESENT = 1,
    ISO_TOKEN_VERBATIM = 2, // spelled outside the byte alphabet
    ISO_TOKEN_ADDED = 4,
    ISO_TOKEN_SPECIAL = 8,
} iso_token_flags;

typedef struct iso_vocab_entry {
    uint32_t offset; // into bytes.data
    uint32_t length;
    uint32_t flags; // iso_token_flags
} iso_vocab_entry;

typedef struct iso_vocab {
    iso_vocab_entry *entries; // [size], by id
    int32_t size;             // one more than the largest id
    iso_text bytes;           // of all tokens, each followed by a NUL
    uint32_t *slots;          // open addressing: id + 1, 0 is free
    uint32_t slot_mask;
    const iso_allocator *allocator;
} iso_vocab;

// Room for `token_count` tokens with ids below `size`.
iso_status iso_vocab_init(iso_vocab *vocab, int32_t size, size_t token_count,
                          const iso_allocator *allocator) ISO_MUST_USE;

void iso_vocab_deinit(iso_vocab *vocab);

// Adds a spelling (valid UTF-8) whose id is below `size` and still free. The caller has made sure that no
// other id has the spelling.
iso_status iso_vocab_add(iso_vocab *vocab, const char *spelling, size_t bytes, int32_t id,
                         uint32_t flags) ISO_MUST_USE;

// The id of a spelling, or -1.
int32_t iso_vocab_find(const iso_vocab *vocab, const char *spelling, size_t bytes);

// The id of the token in the byte alphabet that stands for exactly these bytes, or -1.
int32_t iso_vocab_find_bytes(const iso_vocab *vocab, const uint8_t *bytes, size_t count);

// The entry of an id, or NULL where the id has no token.
const iso_vocab_entry *iso_vocab_entry_of(const iso_vocab *vocab, int32_t id);

const char *iso_vocab_bytes_of(const iso_vocab *vocab, const iso_vocab_entry *entry);

#endif
