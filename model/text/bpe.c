// SPDX-License-Identifier: MIT
//
// Merging for bpe.h. Short pieces, nearly all there are, are searched through anew for each merge in arrays
// on the stack; long ones use a linked list and a binary heap, so that a megabyte of one letter is not
// quadratic.
#include "model/text/bpe.h"

#include <string.h>

#define NO_RANK       UINT32_MAX
#define NO_SYMBOL     UINT32_MAX
#define SHORT_PIECE   48
#define LONGEST_PIECE (UINT32_MAX / 2)

iso_status iso_bpe_init(iso_bpe *bpe, const iso_vocab *vocab, size_t merge_count,
                        const iso_allocator *allocator)
{
    memset(bpe, 0, sizeof *bpe);
    bpe->vocab = vocab;
    bpe->allocator = allocator;
    for (int byte = 0; byte < 256; byte++)
        bpe->byte_ids[byte] = iso_vocab_find_bytes(vocab, &(uint8_t){(uint8_t)byte}, 1);
    size_t slots = 16;
    while (slots < merge_count * 2)
        slots *= 2;
    ISO_TRY(ISO_NEW(allocator, slots, &bpe->merges));
    for (size_t i = 0; i < slots; i++)
        bpe->merges[i].rank = NO_RANK;
    bpe->merge_mask = slots - 1;
    return ISO_OK;
}

void iso_bpe_deinit(iso_bpe *bpe)
{
    iso_free(bpe->allocator, bpe->merges);
    iso_free(bpe->allocator, bpe->symbols);
    iso_free(bpe->allocator, bpe->heap);
    memset(bpe, 0, sizeof *bpe);
}

// The slot of a pair, or the free one where it would go.
static iso_bpe_merge *find_merge(const iso_bpe *bpe, uint32_t left, uint32_t right)
{
    // Fibonacci hashing: the multiplier is 2^64 / golden ratio (Knuth, TAOCP 3, 6.4).
    uint64_t hash = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t slot = hash >> 32 & bpe->merge_mask;; slot = (slot + 1) & bpe->merge_mask) {
        iso_bpe_merge *merge = &bpe->merges[slot];
        if (merge->rank == NO_RANK || (merge->left == left && merge->right == right))
            return merge;
    }
}

void iso_bpe_add_merge(iso_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
    *find_merge(bpe, (uint32_t)left, (uint32_t)right) =
        (iso_bpe_merge){(uint32_t)left, (uint32_t)right, rank, (uint32_t)result};
}

static uint32_t rank_of(const iso_bpe *bpe, uint32_t left, uint32_t right)
{
    return find_merge(bpe, left, right)->rank;
}

static iso_status missing_byte(uint8_t byte)
{
    return iso_fail(
        ISO_UNSUPPORTED,
        "the text holds the byte 0x%02x, for which model.vocab has no symbol; remove the character it "
        "belongs to",
        byte);
}

static iso_status encode_short(const iso_bpe *bpe, const uint8_t *piece, size_t bytes, iso_token_list *ids)
{
    uint32_t symbols[SHORT_PIECE], ranks[SHORT_PIECE]; // ranks[i]: of the pair i, i + 1
    size_t count = bytes;
    for (size_t i = 0; i < count; i++) {
        int32_t id = bpe->byte_ids[piece[i]];
        if (id < 0)
            return missing_byte(piece[i]);
        symbols[i] = (uint32_t)id;
    }
    for (size_t i = 0; i + 1 < count; i++)
        ranks[i] = rank_of(bpe, symbols[i], symbols[i + 1]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        symbols[best] = find_merge(bpe, symbols[best], symbols[best + 1])->result;
        size_t behind = count - best - 2; // symbols after the pair
        memmove(symbols + best + 1, symbols + best + 2, behind * sizeof *symbols);
        if (behind > 0) {
            memmove(ranks + best + 1, ranks + best + 2, (behind - 1) * sizeof *ranks);
            ranks[best] = rank_of(bpe, symbols[best], symbols[best + 1]);
        }
        count--;
        if (best > 0)
            ranks[best - 1] = rank_of(bpe, symbols[best - 1], symbols[best]);
    }
    for (size_t i = 0; i < count; i++)
        ISO_TRY(iso_token_list_append(ids, (int32_t)symbols[i]));
    return ISO_OK;
}

// ---- the heap: lowest rank first, then leftmost ----

static bool comes_before(iso_bpe_entry a, iso_bpe_entry b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void sift_down(iso_bpe_entry *heap, size_t count, size_t at)
{
    iso_bpe_entry moving = heap[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && comes_before(heap[child + 1], heap[child]))
            child++;
        if (!comes_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void push(iso_bpe_entry *heap, size_t *count, iso_bpe_entry entry)
{
    size_t at = (*count)++;
    while (at > 0 && comes_before(entry, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
}

static iso_bpe_entry pop(iso_bpe_entry *heap, size_t *count)
{
    iso_bpe_entry top = heap[0];
    heap[0] = heap[--*count];
    if (*count > 1)
        sift_down(heap, *count, 0);
    return top;
}

static uint32_t pair_rank(const iso_bpe *bpe, uint32_t at)
{
    uint32_t next = at == NO_SYMBOL ? NO_SYMBOL : bpe->symbols[at].next;
    return next == NO_SYMBOL ? NO_RANK : rank_of(bpe, bpe->symbols[at].id, bpe->symbols[next].id);
}

static void push_pair(iso_bpe *bpe, size_t *count, uint32_t at)
{
    uint32_t rank = pair_rank(bpe, at);
    if (rank != NO_RANK)
        push(bpe->heap, count, (iso_bpe_entry){rank, at});
}

static void merge_pair(iso_bpe *bpe, uint32_t at)
{
    iso_bpe_symbol *left = &bpe->symbols[at];
    iso_bpe_symbol *right = &bpe->symbols[left->next];
    left->id = find_merge(bpe, left->id, right->id)->result;
    left->next = right->next;
    if (right->next != NO_SYMBOL)
        bpe->symbols[right->next].previous = at;
    right->next = NO_SYMBOL; // entries for the symbol that is gone find no pair
}

static iso_status encode_long(iso_bpe *bpe, const uint8_t *piece, size_t bytes, iso_token_list *ids)
{
    if (bytes > LONGEST_PIECE)
        return iso_fail(ISO_LIMIT,
                        "a piece of %zu bytes without a boundary is longer than the %u that can be encoded",
                        bytes, LONGEST_PIECE);
    ISO_TRY(
        iso_grow(bpe->allocator, sizeof *bpe->symbols, bytes, (void **)&bpe->symbols, &bpe->symbol_capacity));
    // At most one entry per pair at first, and each merge takes one away and adds two: never more than twice.
    ISO_TRY(iso_grow(bpe->allocator, sizeof *bpe->heap, bytes * 2, (void **)&bpe->heap, &bpe->heap_capacity));
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = bpe->byte_ids[piece[i]];
        if (id < 0)
            return missing_byte(piece[i]);
        uint32_t at = (uint32_t)i;
        bpe->symbols[i] =
            (iso_bpe_symbol){(uint32_t)id, i == 0 ? NO_SYMBOL : at - 1, i + 1 == bytes ? NO_SYMBOL : at + 1};
    }
    size_t count = 0;
    for (size_t i = 0; i + 1 < bytes; i++)
        push_pair(bpe, &count, (uint32_t)i);
    while (count > 0) {
        iso_bpe_entry entry = pop(bpe->heap, &count);
        if (pair_rank(bpe, entry.at) != entry.rank)
            continue; // one of the two has been merged since
        merge_pair(bpe, entry.at);
        push_pair(bpe, &count, bpe->symbols[entry.at].previous);
        push_pair(bpe, &count, entry.at);
    }
    for (uint32_t at = 0; at != NO_SYMBOL; at = bpe->symbols[at].next)
        ISO_TRY(iso_token_list_append(ids, (int32_t)bpe->symbols[at].id));
    return ISO_OK;
}

iso_status iso_bpe_encode(iso_bpe *bpe, const uint8_t *piece, size_t bytes, iso_token_list *ids)
{
    if (bpe->ignore_merges) {
        int32_t whole = iso_vocab_find_bytes(bpe->vocab, piece, bytes);
        if (whole >= 0)
            return iso_token_list_append(ids, whole);
    }
    if (bytes == 0)
        return ISO_OK;
    if (bytes <= SHORT_PIECE)
        return encode_short(bpe, piece, bytes, ids);
    return encode_long(bpe, piece, bytes, ids);
}
