// SPDX-License-Identifier: MIT
//
// The trie of added_tokens.h. Children are a linked list: only the first level, which every byte of a text
// goes through, is a table.
#include "model/text/added_tokens.h"

#include "model/text/utf8.h"

void iso_added_tokens_deinit(iso_added_tokens *set)
{
    iso_free(set->allocator, set->tokens);
    iso_free(set->allocator, set->nodes);
    *set = (iso_added_tokens){.allocator = set->allocator};
}

static iso_status new_node(iso_added_tokens *set, uint8_t byte, uint32_t *out)
{
    if (set->node_count == 0)
        set->node_count = 1;
    if (set->node_count >= UINT32_MAX)
        return iso_fail(ISO_LIMIT, "the added tokens have more than 4 GiB of text together");
    ISO_TRY(iso_grow(set->allocator, sizeof *set->nodes, set->node_count + 1, (void **)&set->nodes,
                     &set->node_capacity));
    *out = (uint32_t)set->node_count++;
    set->nodes[*out] = (iso_trie_node){.byte = byte};
    return ISO_OK;
}

static uint32_t child_of(const iso_added_tokens *set, uint32_t node, uint8_t byte)
{
    uint32_t child = set->nodes[node].child;
    while (child != 0 && set->nodes[child].byte != byte)
        child = set->nodes[child].sibling;
    return child;
}

iso_status iso_added_tokens_add(iso_added_tokens *set, const uint8_t *text, size_t bytes,
                                iso_added_token token)
{
    ISO_TRY(iso_grow(set->allocator, sizeof *set->tokens, set->token_count + 1, (void **)&set->tokens,
                     &set->token_capacity));
    if (set->roots[text[0]] == 0)
        ISO_TRY(new_node(set, text[0], &set->roots[text[0]]));
    uint32_t node = set->roots[text[0]];
    for (size_t i = 1; i < bytes; i++) {
        uint32_t child = child_of(set, node, text[i]);
        if (child == 0) {
            ISO_TRY(new_node(set, text[i], &child));
            set->nodes[child].sibling = set->nodes[node].child;
            set->nodes[node].child = child;
        }
        node = child;
    }
    set->tokens[set->token_count++] = token;
    set->nodes[node].token = (uint32_t)set->token_count;
    return ISO_OK;
}

// The longest token that begins at `at`; 0 if none does, else its index plus one.
static uint32_t longest_at(const iso_added_tokens *set, const uint8_t *text, size_t bytes, size_t at,
                           size_t *out_end)
{
    uint32_t token = 0;
    uint32_t node = set->roots[text[at]];
    while (node != 0) {
        at++;
        if (set->nodes[node].token != 0) {
            token = set->nodes[node].token;
            *out_end = at;
        }
        node = at < bytes ? child_of(set, node, text[at]) : 0;
    }
    return token;
}

static size_t space_before(const uint8_t *text, size_t start, size_t limit)
{
    while (start > limit) {
        size_t at = start - 1, length;
        while (at > limit && (text[at] & 0xc0) == 0x80)
            at--;
        if (!iso_utf8_is_space(iso_utf8_read(text + at, &length)))
            break;
        start = at;
    }
    return start;
}

static size_t space_after(const uint8_t *text, size_t end, size_t bytes)
{
    while (end < bytes) {
        size_t length;
        if (!iso_utf8_is_space(iso_utf8_read(text + end, &length)))
            break;
        end += length;
    }
    return end;
}

bool iso_added_tokens_find(const iso_added_tokens *set, const uint8_t *text, size_t bytes, size_t from,
                           iso_added_match *out)
{
    if (set->token_count == 0)
        return false;
    for (size_t at = from; at < bytes; at++) {
        if (set->roots[text[at]] == 0)
            continue;
        size_t end = at;
        uint32_t found = longest_at(set, text, bytes, at, &end);
        if (found == 0)
            continue;
        const iso_added_token *token = &set->tokens[found - 1];
        out->id = token->id;
        out->start = token->strip_left ? space_before(text, at, from) : at;
        out->end = token->strip_right ? space_after(text, end, bytes) : end;
        return true;
    }
    return false;
}
