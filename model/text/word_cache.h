// SPDX-License-Identifier: MIT
//
// Remembers the ids of short pieces that came before: most of a text is words seen already. Bounded: when its
// room is used up it is emptied and starts again. Knows bytes and ids only.
#ifndef ISOMER_MODEL_TEXT_WORD_CACHE_H
#define ISOMER_MODEL_TEXT_WORD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"

// Longer pieces are seldom seen twice.
#define ISO_WORD_CACHE_LONGEST 32

typedef struct iso_word_slot {
    uint32_t hash;
    uint32_t offset; // into room, plus one; 0: free
} iso_word_slot;

typedef struct iso_word_cache {
    iso_word_slot *slots;
    uint8_t *room; // entries: piece length, id count, piece, ids
    uint32_t used;
    const iso_allocator *allocator;
} iso_word_cache;

iso_status iso_word_cache_init(iso_word_cache *cache, const iso_allocator *allocator) ISO_MUST_USE;

void iso_word_cache_deinit(iso_word_cache *cache);

// A piece with its ids. Whoever asks fills the first three; `ids` has room for one per byte.
typedef struct iso_word {
    const uint8_t *piece;
    size_t bytes; // 1 to ISO_WORD_CACHE_LONGEST
    uint32_t hash;
    size_t count;
    int32_t ids[ISO_WORD_CACHE_LONGEST];
} iso_word;

uint32_t iso_word_cache_hash(const uint8_t *piece, size_t bytes);

// Fills count and ids; false for a piece not known.
bool iso_word_cache_find(const iso_word_cache *cache, iso_word *word);

// Remembers a word with its ids (count 1 to `bytes`).
void iso_word_cache_put(iso_word_cache *cache, const iso_word *word);

#endif
