// SPDX-License-Identifier: MIT
//
// The page pool of the KV cache: a stack of free pages and a table per sequence. Nothing allocates after
// init.
#include "model/generate/kv_pages.h"

// Slots are I32.
#define MAX_PAGES ((uint32_t)INT32_MAX / ISO_KV_PAGE_TOKENS)

iso_status iso_kv_pages_init(iso_kv_pages *pages, const iso_allocator *allocator, uint32_t sequence_count,
                             uint32_t pages_per_sequence)
{
    iso_status status = ISO_OK;
    uint32_t count;
    *pages = (iso_kv_pages){.allocator = allocator};
    if (__builtin_mul_overflow(sequence_count, pages_per_sequence, &count) || count > MAX_PAGES)
        return iso_fail(
            ISO_LIMIT,
            "%u sequences of %u pages; allowed: %u pages of %d tokens in all; shorten the context, "
            "or have fewer sequences",
            sequence_count, pages_per_sequence, MAX_PAGES, ISO_KV_PAGE_TOKENS);
    *pages = (iso_kv_pages){.allocator = allocator,
                            .page_count = count,
                            .sequence_count = sequence_count,
                            .pages_per_sequence = pages_per_sequence,
                            .free_count = count};
    ISO_TRY_GOTO(ISO_NEW(allocator, count, &pages->free_pages), fail);
    ISO_TRY_GOTO(ISO_NEW(allocator, count, &pages->block_table), fail);
    ISO_TRY_GOTO(ISO_NEW(allocator, sequence_count, &pages->sequences), fail);
    for (uint32_t i = 0; i < count; i++) {
        pages->free_pages[i] = (int32_t)(count - 1 - i);
        pages->block_table[i] = -1;
    }
    return ISO_OK;
fail:
    iso_kv_pages_deinit(pages);
    return status;
}

void iso_kv_pages_deinit(iso_kv_pages *pages)
{
    iso_free(pages->allocator, pages->free_pages);
    iso_free(pages->allocator, pages->block_table);
    iso_free(pages->allocator, pages->sequences);
    *pages = (iso_kv_pages){0};
}

iso_status iso_kv_pages_open(iso_kv_pages *pages, uint32_t *out_sequence)
{
    *out_sequence = 0;
    for (uint32_t s = 0; s < pages->sequence_count; s++) {
        if (pages->sequences[s].open)
            continue;
        pages->sequences[s] = (iso_kv_sequence){.open = true};
        *out_sequence = s;
        return ISO_OK;
    }
    return iso_fail(ISO_LIMIT, "all %u sequences are open; close one, or create the runner with more",
                    pages->sequence_count);
}

void iso_kv_pages_close(iso_kv_pages *pages, uint32_t sequence)
{
    if (sequence >= pages->sequence_count || !pages->sequences[sequence].open)
        return;
    iso_kv_pages_set_length(pages, sequence, 0);
    pages->sequences[sequence].open = false;
}

iso_status iso_kv_pages_reserve(iso_kv_pages *pages, uint32_t sequence, uint32_t length)
{
    iso_kv_sequence *s = &pages->sequences[sequence];
    if (length > pages->pages_per_sequence * ISO_KV_PAGE_TOKENS)
        return iso_fail(ISO_LIMIT, "the sequence would be %u tokens long; the context holds %u", length,
                        pages->pages_per_sequence * ISO_KV_PAGE_TOKENS);
    while (s->page_count * ISO_KV_PAGE_TOKENS < length) {
        int32_t page = pages->free_pages[--pages->free_count];
        pages->block_table[sequence * pages->pages_per_sequence + s->page_count++] = page;
    }
    return ISO_OK;
}

void iso_kv_pages_set_length(iso_kv_pages *pages, uint32_t sequence, uint32_t length)
{
    iso_kv_sequence *s = &pages->sequences[sequence];
    s->length = length;
    while (s->page_count > 0 && (s->page_count - 1) * ISO_KV_PAGE_TOKENS >= length) {
        int32_t *entry = &pages->block_table[sequence * pages->pages_per_sequence + --s->page_count];
        pages->free_pages[pages->free_count++] = *entry;
        *entry = -1;
    }
}

int32_t iso_kv_pages_slot(const iso_kv_pages *pages, uint32_t sequence, uint32_t position)
{
    int32_t page = pages->block_table[sequence * pages->pages_per_sequence + position / ISO_KV_PAGE_TOKENS];
    return page * ISO_KV_PAGE_TOKENS + (int32_t)(position % ISO_KV_PAGE_TOKENS);
}
