// SPDX-License-Identifier: MIT
//
// What an iso_tokenizer consists of, and the two readers that fill it: tokenizer_load.c (tokenizer.json) and
// tokenizer_config.c (tokenizer_config.json). tokenizer.c owns it and does the work.
#ifndef ISOMER_MODEL_TEXT_TOKENIZER_PARTS_H
#define ISOMER_MODEL_TEXT_TOKENIZER_PARTS_H

#include <pthread.h>
#include <stdbool.h>

#include "isomer/tokenizer.h"
#include "model/text/added_tokens.h"
#include "model/text/bpe.h"
#include "model/text/normalizer.h"
#include "model/text/pretokenizer.h"
#include "model/text/vocab.h"
#include "model/text/word_cache.h"

struct iso_tokenizer {
    const iso_allocator *allocator;
    // Constant after opening.
    iso_vocab vocab;
    iso_added_tokens raw_tokens;        // found in the text as it is
    iso_added_tokens normalized_tokens; // found between those, after normalisation
    bool nfc;
    bool adds_bos;
    int32_t bos_id, eos_id;
    char *chat_template;
    // Used while encoding, one thread at a time.
    pthread_mutex_t encoding;
    bool has_mutex;
    iso_bpe bpe;
    iso_pretokenizer pretokenizer;
    iso_word_cache words;
    iso_normalizer normalizer;
    iso_text repaired;   // the text with U+FFFD for its invalid pieces
    iso_text normalized; // a stretch of it in form C
};

// Fills vocab, tokens, bpe, pretokenizer and nfc of a zeroed tokenizer. `file` goes before error texts.
iso_status iso_tokenizer_load_json(iso_tokenizer *tokenizer, const char *file, const char *json,
                                   size_t bytes) ISO_MUST_USE;

// Fills adds_bos, bos_id, eos_id and chat_template; the vocabulary is complete.
iso_status iso_tokenizer_load_config(iso_tokenizer *tokenizer, const char *file, const char *json,
                                     size_t bytes) ISO_MUST_USE;

#endif
