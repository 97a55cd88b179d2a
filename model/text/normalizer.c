// SPDX-License-Identifier: MIT
//
// Form C by utf8proc, a stretch of text at a time. ASCII, which is its own form C, is copied.
#include "model/text/normalizer.h"

#include <string.h>

#include <utf8proc.h>

#include "model/text/utf8.h"

#define LONGEST_TEXT (1u << 30)
// A stretch ends before an ASCII character, which never combines with what is before it. Stretches are joined
// up to this size to save calls, so a long text needs little room.
#define STRETCH_BYTES 65536

void iso_normalizer_deinit(iso_normalizer *normalizer)
{
    iso_free(normalizer->allocator, normalizer->characters);
    normalizer->characters = NULL;
    normalizer->capacity = 0;
}

static iso_status failed(utf8proc_ssize_t code)
{
    return iso_fail(ISO_INTERNAL, "utf8proc: %s", utf8proc_errmsg(code));
}

static iso_status compose(iso_normalizer *normalizer, const uint8_t *text, size_t bytes, iso_text *out)
{
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    // The second call is the one that decomposes, where the first found too little room.
    for (int attempt = 0; attempt < 2; attempt++) {
        utf8proc_ssize_t count = utf8proc_decompose(text, (utf8proc_ssize_t)bytes, normalizer->characters,
                                                    (utf8proc_ssize_t)normalizer->capacity, options);
        if (count < 0)
            return failed(count);
        if ((size_t)count < normalizer->capacity) {
            // Writes UTF-8 over the characters, with a NUL.
            utf8proc_ssize_t length = utf8proc_reencode(normalizer->characters, count, options);
            if (length < 0)
                return failed(length);
            return iso_text_append_bytes(out, (const char *)normalizer->characters, (size_t)length);
        }
        ISO_TRY(iso_grow(normalizer->allocator, sizeof *normalizer->characters, (size_t)count + 1,
                         (void **)&normalizer->characters, &normalizer->capacity));
    }
    return iso_fail(ISO_INTERNAL, "utf8proc asks for more room each time");
}

static size_t ascii_prefix(const uint8_t *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && text[at] < 0x80)
        at++;
    return at;
}

// The stretch that begins at a byte before a non-ASCII character: up to an ASCII character, past
// STRETCH_BYTES.
static size_t stretch_length(const uint8_t *text, size_t bytes)
{
    size_t at = bytes < STRETCH_BYTES ? bytes : STRETCH_BYTES;
    while (at < bytes && text[at] >= 0x80)
        at++;
    return at;
}

iso_status iso_normalizer_nfc(iso_normalizer *normalizer, const uint8_t *text, size_t bytes, iso_text *out)
{
    if (bytes > LONGEST_TEXT)
        return iso_fail(ISO_LIMIT, "a text of %zu bytes is longer than the %u that can be normalised", bytes,
                        LONGEST_TEXT);
    size_t at = 0;
    while (at < bytes) {
        size_t plain = ascii_prefix(text + at, bytes - at);
        if (at + plain < bytes && plain > 0)
            plain--; // what follows may combine with the last one
        ISO_TRY(iso_text_append_bytes(out, (const char *)text + at, plain));
        at += plain;
        if (at == bytes)
            break;
        size_t length = stretch_length(text + at, bytes - at);
        ISO_TRY(compose(normalizer, text + at, length, out));
        at += length;
    }
    return ISO_OK;
}
