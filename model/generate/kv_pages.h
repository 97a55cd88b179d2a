// SPDX-License-Identifier: MIT
//
// Which page of the KV cache belongs to which sequence. Page numbers only: the caches themselves are the
// session's.
#ifndef ISOMER_MODEL_KV_PAGES_H
#define ISOMER_MODEL_KV_PAGES_H

#include "isomer/op.h"

typedef struct iso_kv_sequence {
    bool open;
    uint32_t length; // tokens
    uint32_t page_count;
} iso_kv_sequence;

typedef struct iso_kv_pages {
    const iso_allocator *allocator;
    uint32_t page_count, sequence_count, pages_per_sequence;
    int32_t *free_pages; // stack
    uint32_t free_count;
    int32_t *block_table; // [sequence_count, pages_per_sequence]; unused entries are -1
    iso_kv_sequence *sequences;
} iso_kv_pages;

// ISO_LIMIT when slots would not fit 31 bits.
iso_status iso_kv_pages_init(iso_kv_pages *pages, const iso_allocator *allocator, uint32_t sequence_count,
                             uint32_t pages_per_sequence) ISO_MUST_USE;
void iso_kv_pages_deinit(iso_kv_pages *pages);

// ISO_LIMIT when all sequences are open.
iso_status iso_kv_pages_open(iso_kv_pages *pages, uint32_t *out_sequence) ISO_MUST_USE;
void iso_kv_pages_close(iso_kv_pages *pages, uint32_t sequence);
// Makes room for `length` tokens. ISO_LIMIT when the sequence may not be that long.
iso_status iso_kv_pages_reserve(iso_kv_pages *pages, uint32_t sequence, uint32_t length) ISO_MUST_USE;
// Gives back the pages beyond `length` tokens and sets the length.
void iso_kv_pages_set_length(iso_kv_pages *pages, uint32_t sequence, uint32_t length);
// page * 64 + offset of a position that is reserved.
int32_t iso_kv_pages_slot(const iso_kv_pages *pages, uint32_t sequence, uint32_t position);

#endif
