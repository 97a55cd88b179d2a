// SPDX-License-Identifier: MIT
//
// Small text helpers for the runtime, the backends and the folders above: a growable buffer with printf
// append, a search without regard to case, and a copy that cuts. Bytes only:
// nothing here knows UTF-8 or a locale.
#ifndef ISOMER_RUNTIME_BASE_STRINGS_H
#define ISOMER_RUNTIME_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "isomer/allocator.h"

// Zero is an empty text that uses malloc; set `allocator` before the first append to use another one.
typedef struct iso_text {
    char *data; // NULL while nothing was appended; else ends in NUL
    size_t length;
    size_t capacity;
    const iso_allocator *allocator;
} iso_text;

// Appends; on failure the text stays as it was.
iso_status iso_text_append(iso_text *text, const char *format, ...) ISO_PRINTF(2, 3) ISO_MUST_USE;
iso_status iso_text_append_bytes(iso_text *text, const char *bytes, size_t count) ISO_MUST_USE;
// The content, "" for an empty text. Lent until the next append.
const char *iso_text_get(const iso_text *text);
// Frees the content; the text is empty then and can be used again.
void iso_text_deinit(iso_text *text);

// Whether `fragment` occurs in `text`; ASCII letters match in both cases.
bool iso_contains_fragment(const char *text, const char *fragment);

// Copies the first line of a compiler's log that speaks of an error, else its first line with anything on it,
// as much as fits in `target_bytes` (> 0); "the driver gives no reason" where there is none.
void iso_copy_error_line(char *target, size_t target_bytes, const char *log);

// Copies as much of `text` as fits in `target_bytes` (> 0), always with a NUL.
void iso_copy_text(char *target, size_t target_bytes, const char *text);

#endif
