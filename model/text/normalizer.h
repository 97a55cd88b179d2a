// SPDX-License-Identifier: MIT
//
// Unicode normalisation form C, which Qwen's tokenizers ask for (Unicode Standard Annex 15; the tables are
// utf8proc's). Knows nothing of tokens.
#ifndef ISOMER_MODEL_TEXT_NORMALIZER_H
#define ISOMER_MODEL_TEXT_NORMALIZER_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/strings.h"

// Room that is kept from one text to the next. Zero, with `allocator` set, is the start.
typedef struct iso_normalizer {
    int32_t *characters;
    size_t capacity;
    const iso_allocator *allocator;
} iso_normalizer;

void iso_normalizer_deinit(iso_normalizer *normalizer);

// Appends `text` (valid UTF-8) in form C. ISO_LIMIT: more than 1 GiB.
iso_status iso_normalizer_nfc(iso_normalizer *normalizer, const uint8_t *text, size_t bytes,
                              iso_text *out) ISO_MUST_USE;

#endif
