// SPDX-License-Identifier: MIT
//
// The tokenizer of isomer/tokenizer.h: opening and closing, the way of a text to ids (repair, added tokens,
// normalisation, pieces, byte-pair encoding), and the facts. Formats are read in tokenizer_load.c and
// tokenizer_config.c; ids become text in detokenizer.c.
#include "isomer/tokenizer.h"

#include <string.h>

#include "model/text/text_file.h"
#include "model/text/tokenizer_parts.h"
#include "model/text/utf8.h"

// ---- opening ----

static iso_status load(iso_tokenizer *tokenizer, const iso_tokenizer_source *source, iso_text *label)
{
    const char *folder = source->name ? source->name : "";
    const char *slash = source->name ? "/" : "";
    ISO_TRY(iso_text_append(label, "%s%stokenizer.json", folder, slash));
    ISO_TRY(iso_tokenizer_load_json(tokenizer, label->data, source->tokenizer_json,
                                    source->tokenizer_json_bytes));
    label->length = 0;
    ISO_TRY(iso_text_append(label, "%s%stokenizer_config.json", folder, slash));
    if (source->config_json)
        ISO_TRY(iso_tokenizer_load_config(tokenizer, label->data, source->config_json,
                                          source->config_json_bytes));
    return iso_word_cache_init(&tokenizer->words, tokenizer->allocator);
}

iso_status iso_tokenizer_parse(const iso_tokenizer_source *source, const iso_allocator *allocator,
                               iso_tokenizer **out)
{
    *out = NULL;
    iso_tokenizer *tokenizer;
    ISO_TRY(ISO_NEW(allocator, 1, &tokenizer));
    tokenizer->allocator = allocator;
    tokenizer->raw_tokens.allocator = allocator;
    tokenizer->normalized_tokens.allocator = allocator;
    tokenizer->normalizer.allocator = allocator;
    tokenizer->repaired.allocator = allocator;
    tokenizer->normalized.allocator = allocator;
    tokenizer->bos_id = tokenizer->eos_id = ISO_NO_TOKEN;
    iso_text label = {.allocator = allocator};
    iso_status status = ISO_OK;
    tokenizer->has_mutex = pthread_mutex_init(&tokenizer->encoding, NULL) == 0;
    if (!tokenizer->has_mutex)
        status = iso_fail(ISO_OUT_OF_MEMORY, "the system has no room for a mutex");
    if (status == ISO_OK)
        status = load(tokenizer, source, &label);
    iso_text_deinit(&label);
    if (status != ISO_OK) {
        iso_tokenizer_close(tokenizer);
        return status;
    }
    *out = tokenizer;
    return ISO_OK;
}

// Reads `folder`/`name`; an optional file may be absent: *out_found is false then.
static iso_status read_part(const char *folder, const char *name, iso_text *path, iso_text *content,
                            bool *out_found)
{
    path->length = 0;
    ISO_TRY(iso_text_append(path, "%s/%s", folder, name));
    iso_status status = iso_text_read_file(content, path->data);
    if (out_found)
        *out_found = status == ISO_OK;
    return out_found && status == ISO_NOT_FOUND ? ISO_OK : status;
}

iso_status iso_tokenizer_open(const char *folder, const iso_allocator *allocator, iso_tokenizer **out)
{
    *out = NULL;
    iso_text path = {.allocator = allocator}, json = path, config = path, chat = path;
    bool has_config, has_chat;
    iso_status status;
    ISO_TRY_GOTO(read_part(folder, "tokenizer.json", &path, &json, NULL), done);
    ISO_TRY_GOTO(read_part(folder, "tokenizer_config.json", &path, &config, &has_config), done);
    ISO_TRY_GOTO(read_part(folder, "chat_template.jinja", &path, &chat, &has_chat), done);
    iso_tokenizer_source source = {
        .name = folder,
        .tokenizer_json = iso_text_get(&json),
        .tokenizer_json_bytes = json.length,
        .config_json = has_config ? iso_text_get(&config) : NULL,
        .config_json_bytes = config.length,
    };
    ISO_TRY_GOTO(iso_tokenizer_parse(&source, allocator, out), done);
    if (has_chat) { // newer repositories keep it in a file of its own, which counts then
        iso_free(allocator, (*out)->chat_template);
        (*out)->chat_template = NULL;
        status = iso_alloc_string(allocator, iso_text_get(&chat), &(*out)->chat_template);
        if (status != ISO_OK) {
            iso_tokenizer_close(*out);
            *out = NULL;
        }
    }
done:
    iso_text_deinit(&path);
    iso_text_deinit(&json);
    iso_text_deinit(&config);
    iso_text_deinit(&chat);
    return status;
}

void iso_tokenizer_close(iso_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    iso_vocab_deinit(&tokenizer->vocab);
    iso_added_tokens_deinit(&tokenizer->raw_tokens);
    iso_added_tokens_deinit(&tokenizer->normalized_tokens);
    iso_bpe_deinit(&tokenizer->bpe);
    iso_pretokenizer_deinit(&tokenizer->pretokenizer);
    iso_word_cache_deinit(&tokenizer->words);
    iso_normalizer_deinit(&tokenizer->normalizer);
    iso_text_deinit(&tokenizer->repaired);
    iso_text_deinit(&tokenizer->normalized);
    iso_free(tokenizer->allocator, tokenizer->chat_template);
    if (tokenizer->has_mutex)
        pthread_mutex_destroy(&tokenizer->encoding);
    iso_free(tokenizer->allocator, tokenizer);
}

// ---- facts ----

int32_t iso_tokenizer_vocab_size(const iso_tokenizer *tokenizer)
{
    return tokenizer->vocab.size;
}

int32_t iso_tokenizer_token_id(const iso_tokenizer *tokenizer, const char *token)
{
    size_t bytes = strlen(token);
    if (iso_utf8_valid_prefix((const uint8_t *)token, bytes) != bytes)
        return ISO_NO_TOKEN;
    return iso_vocab_find(&tokenizer->vocab, token, bytes);
}

const char *iso_tokenizer_token_bytes(const iso_tokenizer *tokenizer, int32_t id, size_t *out_bytes)
{
    const iso_vocab_entry *entry = iso_vocab_entry_of(&tokenizer->vocab, id);
    *out_bytes = entry ? entry->length : 0;
    return entry ? iso_vocab_bytes_of(&tokenizer->vocab, entry) : NULL;
}

bool iso_tokenizer_is_special(const iso_tokenizer *tokenizer, int32_t id)
{
    const iso_vocab_entry *entry = iso_vocab_entry_of(&tokenizer->vocab, id);
    return entry && (entry->flags & ISO_TOKEN_SPECIAL);
}

int32_t iso_tokenizer_bos_id(const iso_tokenizer *tokenizer)
{
    return tokenizer->bos_id;
}

int32_t iso_tokenizer_eos_id(const iso_tokenizer *tokenizer)
{
    return tokenizer->eos_id;
}

const char *iso_tokenizer_chat_template(const iso_tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

// ---- encoding ----

typedef struct encoding {
    iso_tokenizer *tokenizer;
    iso_token_list *ids;
} encoding;

static iso_status encode_piece(void *context, const uint8_t *piece, size_t bytes)
{
    encoding *encoding = context;
    iso_tokenizer *tokenizer = encoding->tokenizer;
    iso_token_list *ids = encoding->ids;
    if (bytes > ISO_WORD_CACHE_LONGEST)
        return iso_bpe_encode(&tokenizer->bpe, piece, bytes, ids);
    iso_word word;
    word.piece = piece;
    word.bytes = bytes;
    word.hash = iso_word_cache_hash(piece, bytes);
    if (iso_word_cache_find(&tokenizer->words, &word)) {
        for (size_t i = 0; i < word.count; i++)
            ISO_TRY(iso_token_list_append(ids, word.ids[i]));
        return ISO_OK;
    }
    size_t before = ids->count;
    ISO_TRY(iso_bpe_encode(&tokenizer->bpe, piece, bytes, ids));
    word.count = ids->count - before;
    memcpy(word.ids, ids->ids + before, word.count * sizeof *word.ids);
    iso_word_cache_put(&tokenizer->words, &word);
    return ISO_OK;
}

static iso_status encode_pieces(encoding *encoding, const uint8_t *text, size_t bytes)
{
    return iso_pretokenizer_run(&encoding->tokenizer->pretokenizer, text, bytes, encode_piece, encoding);
}

typedef iso_status (*stretch_encoder)(encoding *encoding, const uint8_t *text, size_t bytes);

// Takes the tokens of `set` out of the text; `next` encodes what lies between them.
static iso_status encode_around(encoding *encoding, const iso_added_tokens *set, const uint8_t *text,
                                size_t bytes, stretch_encoder next)
{
    size_t at = 0;
    iso_added_match match;
    while (iso_added_tokens_find(set, text, bytes, at, &match)) {
        ISO_TRY(next(encoding, text + at, match.start - at));
        ISO_TRY(iso_token_list_append(encoding->ids, match.id));
        at = match.end;
    }
    return next(encoding, text + at, bytes - at);
}

static iso_status encode_stretch(encoding *encoding, const uint8_t *text, size_t bytes)
{
    iso_tokenizer *tokenizer = encoding->tokenizer;
    if (tokenizer->nfc) {
        tokenizer->normalized.length = 0;
        ISO_TRY(iso_normalizer_nfc(&tokenizer->normalizer, text, bytes, &tokenizer->normalized));
        text = (const uint8_t *)iso_text_get(&tokenizer->normalized);
        bytes = tokenizer->normalized.length;
    }
    return encode_around(encoding, &tokenizer->normalized_tokens, text, bytes, encode_pieces);
}

// `text` itself where it is valid UTF-8, else a copy with U+FFFD.
static iso_status repair(iso_tokenizer *tokenizer, const uint8_t **text, size_t *bytes)
{
    if (*bytes == 0 || iso_utf8_valid_prefix(*text, *bytes) == *bytes)
        return ISO_OK;
    iso_utf8_stream stream = {0};
    tokenizer->repaired.length = 0;
    ISO_TRY(iso_utf8_stream_feed(&stream, *text, *bytes, &tokenizer->repaired));
    ISO_TRY(iso_utf8_stream_finish(&stream, &tokenizer->repaired));
    *text = (const uint8_t *)tokenizer->repaired.data;
    *bytes = tokenizer->repaired.length;
    return ISO_OK;
}

static iso_status encode_text(encoding *encoding, const uint8_t *text, size_t bytes,
                              const iso_encode_options *options)
{
    iso_tokenizer *tokenizer = encoding->tokenizer;
    iso_bos_rule rule = options ? options->bos : ISO_BOS_CONFIGURED;
    if (rule == ISO_BOS_ALWAYS && tokenizer->bos_id == ISO_NO_TOKEN)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "a BOS token is asked for, but tokenizer_config.json names no bos_token");
    if (rule == ISO_BOS_ALWAYS || (rule == ISO_BOS_CONFIGURED && tokenizer->adds_bos))
        ISO_TRY(iso_token_list_append(encoding->ids, tokenizer->bos_id));
    ISO_TRY(repair(tokenizer, &text, &bytes));
    return encode_around(encoding, &tokenizer->raw_tokens, text, bytes, encode_stretch);
}

iso_status iso_tokenizer_encode(iso_tokenizer *tokenizer, const char *text, size_t bytes,
                                const iso_encode_options *options, iso_token_list *ids)
{
    encoding encoding = {.tokenizer = tokenizer, .ids = ids};
    size_t before = ids->count;
    pthread_mutex_lock(&tokenizer->encoding);
    iso_status status = encode_text(&encoding, (const uint8_t *)(text ? text : ""), bytes, options);
    pthread_mutex_unlock(&tokenizer->encoding);
    if (status != ISO_OK)
        ids->count = before;
    return status;
}

iso_status iso_token_list_append(iso_token_list *list, int32_t id)
{
    if (list->count == list->capacity)
        ISO_TRY(iso_grow(list->allocator, sizeof *list->ids, list->count + 1, (void **)&list->ids,
                         &list->capacity));
    list->ids[list->count++] = id;
    return ISO_OK;
}

void iso_token_list_deinit(iso_token_list *list)
{
    iso_free(list->allocator, list->ids);
    *list = (iso_token_list){.allocator = list->allocator};
}
