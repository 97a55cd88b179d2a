// SPDX-License-Identifier: MIT
//
// The cache of word_cache.h: open addressing over a bump arena. Both sizes are fixed, so a long text costs no
// more memory than a short one (2.5 MiB in all, about 100,000 words).
#include "model/text/word_cache.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOT_COUNT 131072u
#define SLOT_MASK  (SLOT_COUNT - 1)
#define ROOM_BYTES 1572864u
// The table stays sparse enough for short probes: a word takes at least 7 bytes of room and usually over 20.
#define MOST_PROBES 16

iso_status iso_word_cache_init(iso_word_cache *cache, const iso_allocator *allocator)
{
    memset(cache, 0, sizeof *cache);
    cache->allocator = allocator;
    ISO_TRY(ISO_NEW(allocator, SLOT_COUNT, &cache->slots));
    return ISO_NEW(allocator, ROOM_BYTES, &cache->room);
}

void iso_word_cache_deinit(iso_word_cache *cache)
{
    iso_free(cache->allocator, cache->slots);
    iso_free(cache->allocator, cache->room);
    memset(cache, 0, sizeof *cache);
}

uint32_t iso_word_cache_hash(const uint8_t *piece, size_t bytes)
{
    return (uint32_t)XXH3_64bits(piece, bytes);
}

bool iso_word_cache_find(const iso_word_cache *cache, iso_word *word)
{
    uint32_t slot = word->hash & SLOT_MASK;
    for (int probe = 0; probe < MOST_PROBES; probe++, slot = (slot + 1) & SLOT_MASK) {
        const iso_word_slot *found = &cache->slots[slot];
        if (found->offset == 0)
            return false;
        if (found->hash != word->hash)
            continue;
        const uint8_t *entry = cache->room + found->offset - 1;
        if (entry[0] != word->bytes || memcmp(entry + 2, word->piece, word->bytes) != 0)
            continue;
        word->count = entry[1];
        memcpy(word->ids, entry + 2 + word->bytes, word->count * sizeof *word->ids);
        return true;
    }
    return false;
}

void iso_word_cache_put(iso_word_cache *cache, const iso_word *word)
{
    size_t ids_bytes = word->count * sizeof *word->ids;
    size_t needed = 2 + word->bytes + ids_bytes;
    if (cache->used + needed > ROOM_BYTES) {
        memset(cache->slots, 0, SLOT_COUNT * sizeof *cache->slots);
        cache->used = 0;
    }
    uint32_t slot = word->hash & SLOT_MASK;
    for (int probe = 0; probe < MOST_PROBES; probe++, slot = (slot + 1) & SLOT_MASK) {
        if (cache->slots[slot].offset != 0)
            continue;
        uint8_t *entry = cache->room + cache->used;
        entry[0] = (uint8_t)word->bytes;
        entry[1] = (uint8_t)word->count;
        memcpy(entry + 2, word->piece, word->bytes);
        memcpy(entry + 2 + word->bytes, word->ids, ids_bytes);
        cache->slots[slot] = (iso_word_slot){word->hash, cache->used + 1};
        cache->used += (uint32_t)needed;
        return;
    }
}
