// SPDX-License-Identifier: MIT
//
// Ids to text for isomer/tokenizer.h: the bytes of the tokens joined, then read as UTF-8 once, as the
// reference decoder (ByteLevel) does. Whole lists and streams go the same way.
#include "isomer/tokenizer.h"

#include "model/text/tokenizer_parts.h"
#include "model/text/utf8.h"

struct iso_detokenizer {
    const iso_tokenizer *tokenizer;
    iso_decode_options options;
    iso_utf8_stream stream;
    iso_text text; // what the latest call lends
};

static iso_status feed(const iso_tokenizer *tokenizer, const iso_decode_options *options, int32_t id,
                       iso_utf8_stream *stream, iso_text *text)
{
    if (id < 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "the id %d cannot be decoded; ids go from 0 to %d", id,
                        tokenizer->vocab.size - 1);
    const iso_vocab_entry *entry = iso_vocab_entry_of(&tokenizer->vocab, id);
    if (!entry || (options && options->skip_special && (entry->flags & ISO_TOKEN_SPECIAL)))
        return ISO_OK;
    const uint8_t *bytes = (const uint8_t *)iso_vocab_bytes_of(&tokenizer->vocab, entry);
    return iso_utf8_stream_feed(stream, bytes, entry->length, text);
}

iso_status iso_tokenizer_decode(const iso_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                const iso_decode_options *options, char **out_text, size_t *out_bytes)
{
    *out_text = NULL;
    *out_bytes = 0;
    iso_utf8_stream stream = {0};
    iso_text text = {.allocator = tokenizer->allocator};
    iso_status status;
    ISO_TRY_GOTO(iso_text_append_bytes(&text, "", 0), fail); // "" and not NULL for no ids
    for (size_t i = 0; i < count; i++)
        ISO_TRY_GOTO(feed(tokenizer, options, ids[i], &stream, &text), fail);
    ISO_TRY_GOTO(iso_utf8_stream_finish(&stream, &text), fail);
    *out_text = text.data;
    *out_bytes = text.length;
    return ISO_OK;
fail:
    iso_text_deinit(&text);
    return status;
}

iso_status iso_detokenizer_create(const iso_tokenizer *tokenizer, const iso_decode_options *options,
                                  iso_detokenizer **out)
{
    ISO_TRY(ISO_NEW(tokenizer->allocator, 1, out));
    (*out)->tokenizer = tokenizer;
    (*out)->text.allocator = tokenizer->allocator;
    if (options)
        (*out)->options = *options;
    return ISO_OK;
}

void iso_detokenizer_destroy(iso_detokenizer *detokenizer)
{
    if (!detokenizer)
        return;
    iso_text_deinit(&detokenizer->text);
    iso_free(detokenizer->tokenizer->allocator, detokenizer);
}

static void lend(const iso_detokenizer *detokenizer, const char **out_text, size_t *out_bytes)
{
    *out_text = iso_text_get(&detokenizer->text);
    *out_bytes = detokenizer->text.length;
}

iso_status iso_detokenizer_feed(iso_detokenizer *detokenizer, int32_t id, const char **out_text,
                                size_t *out_bytes)
{
    iso_text *text = &detokenizer->text;
    text->length = 0;
    *out_text = "";
    *out_bytes = 0;
    ISO_TRY(iso_text_append_bytes(text, "", 0));
    ISO_TRY(feed(detokenizer->tokenizer, &detokenizer->options, id, &detokenizer->stream, text));
    lend(detokenizer, out_text, out_bytes);
    return ISO_OK;
}

iso_status iso_detokenizer_finish(iso_detokenizer *detokenizer, const char **out_text, size_t *out_bytes)
{
    iso_text *text = &detokenizer->text;
    text->length = 0;
    *out_text = "";
    *out_bytes = 0;
    ISO_TRY(iso_text_append_bytes(text, "", 0));
    ISO_TRY(iso_utf8_stream_finish(&detokenizer->stream, text));
    lend(detokenizer, out_text, out_bytes);
    return ISO_OK;
}
