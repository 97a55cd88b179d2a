// SPDX-License-Identifier: MIT
//
// UTF-8 scanning, repair and streaming; see utf8.h for the rules and their source.
#include "model/text/utf8.h"

#include <string.h>

// What may follow a lead byte: how many bytes in all, and the range of the second (the rest are 80..BF).
typedef struct lead_rule {
    uint8_t first, last;
    uint8_t length;
    uint8_t second_low, second_high;
} lead_rule;

static const lead_rule lead_rules[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
    {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
    {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t iso_utf8_scan(const uint8_t *bytes, size_t count, iso_utf8_kind *out_kind)
{
    *out_kind = ISO_UTF8_COMPLETE;
    if (bytes[0] < 0x80)
        return 1;
    const lead_rule *rule = NULL;
    for (size_t i = 0; i < sizeof lead_rules / sizeof *lead_rules; i++)
        if (bytes[0] >= lead_rules[i].first && bytes[0] <= lead_rules[i].last)
            rule = &lead_rules[i];
    *out_kind = ISO_UTF8_INVALID;
    if (!rule)
        return 1;
    for (size_t i = 1; i < rule->length; i++) {
        if (i == count) {
            *out_kind = ISO_UTF8_CUT;
            return i;
        }
        uint8_t low = i == 1 ? rule->second_low : 0x80;
        uint8_t high = i == 1 ? rule->second_high : 0xbf;
        if (bytes[i] < low || bytes[i] > high)
            return i;
    }
    *out_kind = ISO_UTF8_COMPLETE;
    return rule->length;
}

size_t iso_utf8_valid_prefix(const uint8_t *bytes, size_t count)
{
    size_t at = 0;
    while (at < count) {
        uint64_t word;
        if (count - at >= sizeof word) {
            memcpy(&word, bytes + at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        iso_utf8_kind kind;
        size_t length = iso_utf8_scan(bytes + at, count - at, &kind);
        if (kind != ISO_UTF8_COMPLETE)
            break;
        at += length;
    }
    return at;
}

uint32_t iso_utf8_read(const uint8_t *bytes, size_t *out_bytes)
{
    uint32_t lead = bytes[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t character = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        character = character << 6 | (bytes[i] & 0x3f);
    *out_bytes = length;
    return character;
}

size_t iso_utf8_write(uint32_t character, char *target)
{
    if (character < 0x80) {
        target[0] = (char)character;
        return 1;
    }
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        target[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    target[0] = (char)((0xf00 >> length & 0xff) | character);
    return length;
}

bool iso_utf8_is_space(uint32_t c)
{
    return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static iso_status append_replacement(iso_text *text)
{
    return iso_text_append_bytes(text, ISO_UTF8_REPLACEMENT, ISO_UTF8_REPLACEMENT_BYTES);
}

// Adds bytes to a character begun earlier until it is whole or spoilt; returns how many were taken.
static iso_status feed_pending(iso_utf8_stream *stream, const uint8_t *bytes, size_t count, iso_text *text,
                               size_t *out_taken)
{
    size_t taken = 0;
    while (stream->pending_count > 0 && taken < count) {
        stream->pending[stream->pending_count] = bytes[taken];
        iso_utf8_kind kind;
        size_t length = iso_utf8_scan(stream->pending, stream->pending_count + 1, &kind);
        if (kind == ISO_UTF8_INVALID) {
            // What was pending is a maximal piece; the new byte begins afresh.
            ISO_TRY(append_replacement(text));
            stream->pending_count = 0;
        } else {
            if (kind == ISO_UTF8_COMPLETE)
                ISO_TRY(iso_text_append_bytes(text, (const char *)stream->pending, length));
            taken++;
            stream->pending_count = kind == ISO_UTF8_COMPLETE ? 0 : length;
        }
    }
    *out_taken = taken;
    return ISO_OK;
}

iso_status iso_utf8_stream_feed(iso_utf8_stream *stream, const uint8_t *bytes, size_t count, iso_text *text)
{
    size_t at = 0;
    ISO_TRY(feed_pending(stream, bytes, count, text, &at));
    while (at < count) {
        size_t valid = iso_utf8_valid_prefix(bytes + at, count - at);
        ISO_TRY(iso_text_append_bytes(text, (const char *)bytes + at, valid));
        at += valid;
        if (at == count)
            break;
        iso_utf8_kind kind;
        size_t length = iso_utf8_scan(bytes + at, count - at, &kind);
        if (kind == ISO_UTF8_CUT) {
            memcpy(stream->pending, bytes + at, length);
            stream->pending_count = length;
        } else {
            ISO_TRY(append_replacement(text));
        }
        at += length;
    }
    return ISO_OK;
}

iso_status iso_utf8_stream_finish(iso_utf8_stream *stream, iso_text *text)
{
    if (stream->pending_count == 0)
        return ISO_OK;
    ISO_TRY(append_replacement(text));
    stream->pending_count = 0;
    return ISO_OK;
}
