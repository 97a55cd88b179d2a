// SPDX-License-Identifier: MIT
//
// The token table of vocab.h: tokens are kept as the bytes that they decode to, so one arena serves lookups
// by spelling (turned into bytes first), lookups by bytes, and decoding.
#include "model/text/vocab.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/text/utf8.h"

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 and up, in byte
// order.
static bool byte_is_printable(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

// The byte that a character of the alphabet stands for, or -1.
static int byte_of_character(uint32_t character)
{
    if (character < 0x100)
        return byte_is_printable(character) ? (int)character : -1;
    if (character <= 0x120)
        return (int)(character - 0x100); // 00..20
    if (character <= 0x142)
        return (int)(character - 0x121 + 0x7f); // 7f..a0
    return character == 0x143 ? 0xad : -1;
}

// Writes the bytes of a spelling (at most as many as it has itself); returns how many. *out_verbatim: it is
// not in the byte alphabet and was copied.
static size_t spelling_to_bytes(const char *spelling, size_t count, uint8_t *target, bool *out_verbatim)
{
    size_t at = 0, used = 0;
    while (at < count) {
        size_t length;
        int byte = byte_of_character(iso_utf8_read((const uint8_t *)spelling + at, &length));
        if (byte < 0) {
            memcpy(target, spelling, count);
            *out_verbatim = true;
            return count;
        }
        target[used++] = (uint8_t)byte;
        at += length;
    }
    *out_verbatim = false;
    return used;
}

iso_status iso_vocab_init(iso_vocab *vocab, int32_t size, size_t token_count, const iso_allocator *allocator)
{
    memset(vocab, 0, sizeof *vocab);
    vocab->allocator = allocator;
    vocab->bytes.allocator = allocator;
    size_t slot_count = 16;
    while (slot_count < token_count * 2)
        slot_count *= 2;
    ISO_TRY(ISO_NEW(allocator, (size_t)size, &vocab->entries));
    vocab->size = size;
    ISO_TRY(ISO_NEW(allocator, slot_count, &vocab->slots));
    vocab->slot_mask = (uint32_t)(slot_count - 1);
    // About what published vocabularies need: saves most of the growing.
    return iso_grow(allocator, 1, token_count * 8 + 1, (void **)&vocab->bytes.data, &vocab->bytes.capacity);
}

void iso_vocab_deinit(iso_vocab *vocab)
{
    iso_free(vocab->allocator, vocab->entries);
    iso_free(vocab->allocator, vocab->slots);
    iso_text_deinit(&vocab->bytes);
    memset(vocab, 0, sizeof *vocab);
}

const iso_vocab_entry *iso_vocab_entry_of(const iso_vocab *vocab, int32_t id)
{
    if (id < 0 || id >= vocab->size || !(vocab->entries[id].flags & ISO_TOKEN_PRESENT))
        return NULL;
    return &vocab->entries[id];
}

const char *iso_vocab_bytes_of(const iso_vocab *vocab, const iso_vocab_entry *entry)
{
    return vocab->bytes.data + entry->offset;
}

static uint32_t first_slot(const iso_vocab *vocab, const uint8_t *bytes, size_t count, bool verbatim)
{
    return (uint32_t)XXH3_64bits_withSeed(bytes, count, verbatim) & vocab->slot_mask;
}

// `verbatim` is part of the key: the spelling "a b" and the one that means the bytes "a b" are two tokens.
static int32_t find(const iso_vocab *vocab, const uint8_t *bytes, size_t count, bool verbatim)
{
    for (uint32_t slot = first_slot(vocab, bytes, count, verbatim);; slot = (slot + 1) & vocab->slot_mask) {
        if (vocab->slots[slot] == 0)
            return -1;
        int32_t id = (int32_t)(vocab->slots[slot] - 1);
        const iso_vocab_entry *entry = &vocab->entries[id];
        if (entry->length == count && ((entry->flags & ISO_TOKEN_VERBATIM) != 0) == verbatim &&
            memcmp(vocab->bytes.data + entry->offset, bytes, count) == 0)
            return id;
    }
}

int32_t iso_vocab_find_bytes(const iso_vocab *vocab, const uint8_t *bytes, size_t count)
{
    return find(vocab, bytes, count, false);
}

iso_status iso_vocab_add(iso_vocab *vocab, const char *spelling, size_t bytes, int32_t id, uint32_t flags)
{
    size_t offset = vocab->bytes.length;
    if (bytes > ISO_VOCAB_SPELLING_LIMIT)
        return iso_fail(ISO_LIMIT, "token %d is %zu bytes long; at most %d are read", id, bytes,
                        ISO_VOCAB_SPELLING_LIMIT);
    if (offset + bytes >= UINT32_MAX)
        return iso_fail(ISO_LIMIT, "the tokens have more than 4 GiB of text together");
    // Copied first, then turned into bytes in place: they are never longer than the spelling.
    ISO_TRY(iso_text_append_bytes(&vocab->bytes, spelling, bytes));
    uint8_t *target = (uint8_t *)vocab->bytes.data + offset;
    bool verbatim;
    size_t length = spelling_to_bytes(spelling, bytes, target, &verbatim);
    target[length] = '\0';
    vocab->bytes.length = offset + length + 1; // keeps the NUL; append always leaves room for one more
    uint32_t kind = verbatim ? ISO_TOKEN_VERBATIM : 0;
    vocab->entries[id] =
        (iso_vocab_entry){(uint32_t)offset, (uint32_t)length, flags | kind | ISO_TOKEN_PRESENT};
    uint32_t slot = first_slot(vocab, target, length, verbatim);
    while (vocab->slots[slot] != 0)
        slot = (slot + 1) & vocab->slot_mask;
    vocab->slots[slot] = (uint32_t)id + 1;
    return ISO_OK;
}

int32_t iso_vocab_find(const iso_vocab *vocab, const char *spelling, size_t bytes)
{
    if (bytes > ISO_VOCAB_SPELLING_LIMIT)
        return -1;
    uint8_t target[ISO_VOCAB_SPELLING_LIMIT];
    bool verbatim;
    size_t length = spelling_to_bytes(spelling, bytes, target, &verbatim);
    return find(vocab, target, length, verbatim);
}
