// SPDX-License-Identifier: MIT
//
// Cuts text into the pieces that byte-pair encoding works on: a sequence of steps, each applied to the pieces
// that the one before it left. Matches of a step's expression and the gaps between them both become pieces.
// Knows nothing of JSON files or ids.
#ifndef ISOMER_MODEL_TEXT_PRETOKENIZER_H
#define ISOMER_MODEL_TEXT_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/base/strings.h"

// Published sequences have up to six.
#define ISO_PRETOKENIZER_STEPS 16

typedef struct iso_pretokenizer_step {
    pcre2_code *code; // NULL: the step puts a space before pieces that do not begin with one
    bool has_jit;
} iso_pretokenizer_step;

// Zero is no step: the text is one piece.
typedef struct iso_pretokenizer {
    iso_pretokenizer_step steps[ISO_PRETOKENIZER_STEPS];
    size_t step_count;
    pcre2_general_context *context;
    pcre2_match_context *match_context;
    pcre2_match_data *match;
    iso_text prefixed; // the piece that a space was put before
    const iso_allocator *allocator;
} iso_pretokenizer;

// Takes one piece (never empty), lent for the call.
typedef iso_status (*iso_piece_sink)(void *context, const uint8_t *piece, size_t bytes);

iso_status iso_pretokenizer_init(iso_pretokenizer *pretokenizer, const iso_allocator *allocator) ISO_MUST_USE;

void iso_pretokenizer_deinit(iso_pretokenizer *pretokenizer);

// Adds a step that cuts at the matches of an Oniguruma expression (valid UTF-8).
iso_status iso_pretokenizer_add_split(iso_pretokenizer *pretokenizer, const char *pattern,
                                      size_t bytes) ISO_MUST_USE;

// Adds a step that puts a space before each piece without one; at most once.
iso_status iso_pretokenizer_add_prefix_space(iso_pretokenizer *pretokenizer) ISO_MUST_USE;

// Cuts `text` (valid UTF-8). Stops at the first failure of `sink`. One thread at a time.
iso_status iso_pretokenizer_run(iso_pretokenizer *pretokenizer, const uint8_t *text, size_t bytes,
                                iso_piece_sink sink, void *sink_context) ISO_MUST_USE;

#endif
