// SPDX-License-Identifier: MIT
//
// Finds added tokens written out in a text: leftmost, the longest of those that begin there. A trie over
// bytes; knows nothing of ids' meaning.
#ifndef ISOMER_MODEL_TEXT_ADDED_TOKENS_H
#define ISOMER_MODEL_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"

typedef struct iso_added_token {
    int32_t id;
    bool strip_left, strip_right; // takes the white space before, after it along
} iso_added_token;

typedef struct iso_trie_node {
    uint8_t byte;
    uint32_t child, sibling; // indices; 0: none
    uint32_t token;          // index into tokens, plus one; 0: none ends here
} iso_trie_node;

// One set. Zero, with `allocator` set, is an empty one.
typedef struct iso_added_tokens {
    iso_added_token *tokens;
    size_t token_count, token_capacity;
    iso_trie_node *nodes; // node 0 is not used
    size_t node_count, node_capacity;
    uint32_t roots[256]; // node for a first byte; 0: no token begins with it
    const iso_allocator *allocator;
} iso_added_tokens;

void iso_added_tokens_deinit(iso_added_tokens *set);

// Adds a token's text (not empty). Of two with the same text the later one counts.
iso_status iso_added_tokens_add(iso_added_tokens *set, const uint8_t *text, size_t bytes,
                                iso_added_token token) ISO_MUST_USE;

// What lies in a text: [start, end) is the token with what it strips.
typedef struct iso_added_match {
    size_t start, end;
    int32_t id;
} iso_added_match;

// The first token at or after `from` in `text` (valid UTF-8); false if there is none. What it strips to the
// left does not reach before `from`.
bool iso_added_tokens_find(const iso_added_tokens *set, const uint8_t *text, size_t bytes, size_t from,
                           iso_added_match *out);

#endif
