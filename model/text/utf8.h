// SPDX-License-Identifier: MIT
//
// UTF-8 as The Unicode Standard defines it (section 3.9, table 3-7): no overlong forms, no surrogates,
// nothing above U+10FFFF. An invalid place is cut into maximal subparts, each of which becomes one U+FFFD.
// Knows bytes only.
#ifndef ISOMER_MODEL_TEXT_UTF8_H
#define ISOMER_MODEL_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/strings.h"

#define ISO_UTF8_REPLACEMENT       "\xef\xbf\xbd"
#define ISO_UTF8_REPLACEMENT_BYTES 3

typedef enum iso_utf8_kind {
    ISO_UTF8_COMPLETE, // one character
    ISO_UTF8_INVALID,  // a maximal invalid piece that more bytes cannot mend
    ISO_UTF8_CUT,      // the beginning of a character; the bytes end here
} iso_utf8_kind;

// The length of what stands at the start of `bytes` (count > 0) and its kind.
size_t iso_utf8_scan(const uint8_t *bytes, size_t count, iso_utf8_kind *out_kind);

// How many leading bytes are valid and complete characters.
size_t iso_utf8_valid_prefix(const uint8_t *bytes, size_t count);

// The character at `bytes`, which is valid; *out_bytes is its length.
uint32_t iso_utf8_read(const uint8_t *bytes, size_t *out_bytes);

// Writes one scalar value (1 to 4 bytes) and returns how many.
size_t iso_utf8_write(uint32_t character, char *target);

// Unicode White_Space, which is what \s means in a tokenizer's expressions.
bool iso_utf8_is_space(uint32_t character);

// Text that arrives in pieces cut anywhere. Zero is the start.
typedef struct iso_utf8_stream {
    uint8_t pending[4];
    size_t pending_count;
} iso_utf8_stream;

// Appends to `text` what is complete after `bytes`; invalid pieces become U+FFFD.
iso_status iso_utf8_stream_feed(iso_utf8_stream *stream, const uint8_t *bytes, size_t count,
                                iso_text *text) ISO_MUST_USE;

// Appends U+FFFD if a character was left incomplete.
iso_status iso_utf8_stream_finish(iso_utf8_stream *stream, iso_text *text) ISO_MUST_USE;

#endif
