// SPDX-License-Identifier: MIT
//
// Byte-level byte-pair encoding of one piece of text: of all adjacent pairs the merge of lowest rank comes
// first, the leftmost on ties (Sennrich et al., arXiv:1508.07909; the byte form is GPT-2's). Knows ids and
// bytes, not where pieces come from.
#ifndef ISOMER_MODEL_TEXT_BPE_H
#define ISOMER_MODEL_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/tokenizer.h"
#include "model/text/vocab.h"

typedef struct iso_bpe_merge {
    uint32_t left, right; // ids
    uint32_t rank;        // UINT32_MAX: a free slot
    uint32_t result;      // id
} iso_bpe_merge;

typedef struct iso_bpe_symbol {
    uint32_t id;
    uint32_t previous, next; // indices, UINT32_MAX at the ends
} iso_bpe_symbol;

typedef struct iso_bpe_entry {
    uint32_t rank;
    uint32_t at; // index of the left symbol
} iso_bpe_entry;

// The merges, and the room in which one piece at a time is merged.
typedef struct iso_bpe {
    const iso_vocab *vocab;
    bool ignore_merges;    // a piece that is a token as a whole is taken as that token
    int32_t byte_ids[256]; // -1: the vocabulary has no symbol for the byte
    iso_bpe_merge *merges; // open addressing
    uint64_t merge_mask;
    iso_bpe_symbol *symbols;
    size_t symbol_capacity;
    iso_bpe_entry *heap;
    size_t heap_capacity;
    const iso_allocator *allocator;
} iso_bpe;

// Room for `merge_count` merges; `vocab` is complete and outlives the bpe.
iso_status iso_bpe_init(iso_bpe *bpe, const iso_vocab *vocab, size_t merge_count,
                        const iso_allocator *allocator) ISO_MUST_USE;

void iso_bpe_deinit(iso_bpe *bpe);

// Adds a merge; of two for the same pair the later one counts, as in the reference implementation.
void iso_bpe_add_merge(iso_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t result);

// Appends the ids of one piece. Time grows as n log n.
iso_status iso_bpe_encode(iso_bpe *bpe, const uint8_t *piece, size_t bytes, iso_token_list *ids) ISO_MUST_USE;

#endif
