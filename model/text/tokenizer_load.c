// SPDX-License-Identifier: MIT
//
// Reads tokenizer.json, the format of the Hugging Face tokenizers library: model.vocab and model.merges (both
// published forms), added_tokens, normalizer, pre_tokenizer, decoder. What is asked for and not done here is
// refused with the field's name. `truncation`, `padding` and `post_processor` do not apply to what is done
// here.
#include "model/text/tokenizer_parts.h"

#include <stdio.h>
#include <string.h>

#include "model/text/json_fields.h"

// The split that a ByteLevel step with use_regex makes (openai/gpt-2 src/encoder.py).
#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static iso_status unsupported(const iso_json_place *place, const json_t *value, const char *read_here)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    iso_status status = iso_fail(ISO_UNSUPPORTED, "%s: %s is %.80s; read here: %s", place->file, place->path,
                                 text ? text : "(unprintable)", read_here);
    free(text);
    return status;
}

// A member that must be absent, null, false, "" or 0.
static iso_status expect_unset(const iso_json_place *parent, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    bool empty_text = json_is_string(value) && json_string_length(value) == 0;
    bool zero = json_is_number(value) && !(json_number_value(value) != 0.0);
    if (!value || json_is_null(value) || json_is_false(value) || empty_text || zero)
        return ISO_OK;
    iso_json_place place = iso_json_at(parent, key);
    return unsupported(&place, value, "null");
}

static bool text_is(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

// ---- model ----

static iso_status read_id(const iso_json_place *place, const json_t *value, int32_t *out)
{
    ISO_TRY(iso_json_expect(place, value, JSON_INTEGER));
    json_int_t id = json_integer_value(value);
    if (id < 0 || id >= ISO_VOCAB_ID_LIMIT)
        return iso_fail(ISO_CORRUPT, "%s: %s is %lld, ids go from 0 to %d", place->file, place->path,
                        (long long)id, ISO_VOCAB_ID_LIMIT - 1);
    *out = (int32_t)id;
    return ISO_OK;
}

// One more than the largest id of model.vocab and added_tokens.
static iso_status find_size(const iso_json_place *top, json_t *vocab, const json_t *added, int32_t *out)
{
    int32_t size = 0, id;
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value)
    {
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number >= 0 && number < ISO_VOCAB_ID_LIMIT) { // without the cost of a path
            size = number < size ? size : (int32_t)number + 1;
            continue;
        }
        iso_json_place model = iso_json_at(top, "model.vocab"), place = iso_json_at(&model, key);
        return read_id(&place, value, &id);
    }
    iso_json_place list = iso_json_at(top, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        iso_json_place place = iso_json_at_index(&list, i), id_place = iso_json_at(&place, "id");
        ISO_TRY(iso_json_expect(&place, json_array_get(added, i), JSON_OBJECT));
        ISO_TRY(read_id(&id_place, json_object_get(json_array_get(added, i), "id"), &id));
        size = id < size ? size : id + 1;
    }
    *out = size;
    return ISO_OK;
}

static iso_status load_vocab(iso_tokenizer *tokenizer, const iso_json_place *top, json_t *vocab)
{
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value)
    {
        int32_t id = (int32_t)json_integer_value(value);
        const iso_vocab_entry *taken = iso_vocab_entry_of(&tokenizer->vocab, id);
        if (taken)
            return iso_fail(ISO_CORRUPT, "%s: model.vocab gives the id %d to \"%.40s\" and to \"%.40s\"",
                            top->file, id, iso_vocab_bytes_of(&tokenizer->vocab, taken), key);
        ISO_TRY(iso_vocab_add(&tokenizer->vocab, key, strlen(key), id, 0));
    }
    return ISO_OK;
}

typedef struct spelling {
    const char *text;
    size_t bytes;
} spelling;

// "a b" or ["a", "b"].
static bool read_merge(const json_t *value, spelling *left, spelling *right)
{
    if (json_is_string(value)) {
        *left = (spelling){json_string_value(value), json_string_length(value)};
        const char *space = memchr(left->text, ' ', left->bytes);
        size_t first = space ? (size_t)(space - left->text) : 0;
        if (first == 0 || first + 1 == left->bytes || memchr(space + 1, ' ', left->bytes - first - 1))
            return false;
        *right = (spelling){space + 1, left->bytes - first - 1};
        left->bytes = first;
        return true;
    }
    const json_t *a = json_array_get(value, 0), *b = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_string(a) || !json_is_string(b))
        return false;
    *left = (spelling){json_string_value(a), json_string_length(a)};
    *right = (spelling){json_string_value(b), json_string_length(b)};
    return left->bytes + right->bytes <= ISO_VOCAB_SPELLING_LIMIT;
}

static iso_status load_merge(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *value,
                             size_t index)
{
    spelling parts[3]; // left, right, joined
    int32_t ids[3];
    if (!read_merge(value, &parts[0], &parts[1])) {
        iso_json_place list = iso_json_at(top, "model.merges"), place = iso_json_at_index(&list, index);
        return unsupported(&place, value, "\"a b\" and [\"a\", \"b\"] of two tokens");
    }
    char joined[ISO_VOCAB_SPELLING_LIMIT];
    memcpy(joined, parts[0].text, parts[0].bytes);
    memcpy(joined + parts[0].bytes, parts[1].text, parts[1].bytes);
    parts[2] = (spelling){joined, parts[0].bytes + parts[1].bytes};
    for (int i = 0; i < 3; i++) {
        ids[i] = iso_vocab_find(&tokenizer->vocab, parts[i].text, parts[i].bytes);
        if (ids[i] < 0)
            return iso_fail(
                ISO_CORRUPT,
                "%s: model.merges[%zu] needs \"%.*s\", which model.vocab lacks; get the file again",
                top->file, index, (int)(parts[i].bytes < 40 ? parts[i].bytes : 40), parts[i].text);
    }
    iso_bpe_add_merge(&tokenizer->bpe, ids[0], ids[1], (uint32_t)index, ids[2]);
    return ISO_OK;
}

static iso_status load_model(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root,
                             const json_t *added)
{
    // Fields of the library's BPE that change ids and that no byte-level model of the family sets.
    static const char *const unset[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                        "end_of_word_suffix", "byte_fallback"};
    json_t *model, *type, *vocab, *merges;
    iso_json_place place = iso_json_at(top, "model"), type_place = iso_json_at(&place, "type");
    ISO_TRY(iso_json_get(top, root, "model", JSON_OBJECT, &model));
    ISO_TRY(iso_json_get_optional(&place, model, "type", JSON_STRING, &type));
    if (type && !text_is(type, "BPE")) // files of before 2020 have no type
        return unsupported(&type_place, type, "\"BPE\"");
    ISO_TRY(iso_json_get(&place, model, "vocab", JSON_OBJECT, &vocab));
    ISO_TRY(iso_json_get(&place, model, "merges", JSON_ARRAY, &merges));
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        ISO_TRY(expect_unset(&place, model, unset[i]));
    int32_t size = 0;
    ISO_TRY(find_size(top, vocab, added, &size));
    if (size == 0)
        return iso_fail(ISO_CORRUPT, "%s: model.vocab is empty", top->file);
    size_t token_count = json_object_size(vocab) + json_array_size(added);
    ISO_TRY(iso_vocab_init(&tokenizer->vocab, size, token_count, tokenizer->allocator));
    ISO_TRY(load_vocab(tokenizer, top, vocab));
    ISO_TRY(iso_bpe_init(&tokenizer->bpe, &tokenizer->vocab, json_array_size(merges), tokenizer->allocator));
    for (size_t i = 0; i < json_array_size(merges); i++)
        ISO_TRY(load_merge(tokenizer, top, json_array_get(merges, i), i));
    return iso_json_get_bool(&place, model, "ignore_merges", false, &tokenizer->bpe.ignore_merges);
}

// ---- added tokens ----

// Gives the token its place in the vocabulary, where it may stand already.
static iso_status enter_added(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *content,
                              int32_t id, uint32_t flags)
{
    iso_vocab *vocab = &tokenizer->vocab;
    const char *text = json_string_value(content);
    size_t bytes = json_string_length(content);
    int32_t known = iso_vocab_find(vocab, text, bytes);
    if (known >= 0 && known != id)
        return iso_fail(ISO_CORRUPT, "%s: %s gives \"%.40s\" the id %d, but it has %d already", place->file,
                        place->path, text, id, known);
    if (known < 0 && iso_vocab_entry_of(vocab, id))
        return iso_fail(ISO_CORRUPT, "%s: %s gives \"%.40s\" the id %d, which \"%.40s\" has already",
                        place->file, place->path, text, id,
                        iso_vocab_bytes_of(vocab, iso_vocab_entry_of(vocab, id)));
    if (known < 0)
        return iso_vocab_add(vocab, text, bytes, id, flags);
    vocab->entries[id].flags |= flags;
    return ISO_OK;
}

static iso_status load_added_token(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *entry)
{
    json_t *content;
    iso_added_token token = {.id = (int32_t)json_integer_value(json_object_get(entry, "id"))};
    bool special, normalized;
    ISO_TRY(iso_json_get(place, entry, "content", JSON_STRING, &content));
    if (json_string_length(content) == 0)
        return iso_fail(ISO_CORRUPT, "%s: %s.content is empty", place->file, place->path);
    ISO_TRY(expect_unset(place, entry, "single_word"));
    ISO_TRY(iso_json_get_bool(place, entry, "lstrip", false, &token.strip_left));
    ISO_TRY(iso_json_get_bool(place, entry, "rstrip", false, &token.strip_right));
    ISO_TRY(iso_json_get_bool(place, entry, "special", false, &special));
    ISO_TRY(iso_json_get_bool(place, entry, "normalized", !special, &normalized));
    uint32_t flags = ISO_TOKEN_ADDED | (special ? ISO_TOKEN_SPECIAL : 0);
    ISO_TRY(enter_added(tokenizer, place, content, token.id, flags));
    const uint8_t *text = (const uint8_t *)json_string_value(content);
    size_t bytes = json_string_length(content);
    if (!normalized)
        return iso_added_tokens_add(&tokenizer->raw_tokens, text, bytes, token);
    if (tokenizer->nfc) {
        tokenizer->normalized.length = 0;
        ISO_TRY(iso_normalizer_nfc(&tokenizer->normalizer, text, bytes, &tokenizer->normalized));
        text = (const uint8_t *)tokenizer->normalized.data;
        bytes = tokenizer->normalized.length;
    }
    return iso_added_tokens_add(&tokenizer->normalized_tokens, text, bytes, token);
}

// ---- normalizer, pre_tokenizer, decoder ----

static iso_status load_normalizer(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root)
{
    json_t *normalizer;
    iso_json_place place = iso_json_at(top, "normalizer");
    ISO_TRY(iso_json_get_optional(top, root, "normalizer", JSON_OBJECT, &normalizer));
    if (!normalizer)
        return ISO_OK;
    if (text_is(json_object_get(normalizer, "type"), "NFC")) {
        tokenizer->nfc = true;
        return ISO_OK;
    }
    if (!text_is(json_object_get(normalizer, "type"), "Sequence"))
        return unsupported(&place, normalizer, "null, NFC, or a Sequence of NFC");
    json_t *list;
    ISO_TRY(iso_json_get(&place, normalizer, "normalizers", JSON_ARRAY, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!text_is(json_object_get(json_array_get(list, i), "type"), "NFC"))
            return unsupported(&place, normalizer, "null, NFC, or a Sequence of NFC");
        tokenizer->nfc = true;
    }
    return ISO_OK;
}

static iso_status load_split(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *step)
{
    json_t *pattern, *regex, *behavior;
    iso_json_place pattern_place = iso_json_at(place, "pattern");
    ISO_TRY(iso_json_get(place, step, "pattern", JSON_OBJECT, &pattern));
    regex = json_object_get(pattern, "Regex");
    if (!json_is_string(regex))
        return unsupported(&pattern_place, pattern, "{\"Regex\": \"…\"}");
    ISO_TRY(iso_json_get(place, step, "behavior", JSON_STRING, &behavior));
    if (!text_is(behavior, "Isolated")) {
        iso_json_place behavior_place = iso_json_at(place, "behavior");
        return unsupported(&behavior_place, behavior, "\"Isolated\"");
    }
    ISO_TRY(expect_unset(place, step, "invert"));
    iso_status status = iso_pretokenizer_add_split(&tokenizer->pretokenizer, json_string_value(regex),
                                                   json_string_length(regex));
    return status == ISO_OK ? ISO_OK
                            : iso_status_prefix("%s: %s.Regex", pattern_place.file, pattern_place.path);
}

static iso_status load_digits(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *step)
{
    bool individual;
    ISO_TRY(iso_json_get_bool(place, step, "individual_digits", false, &individual));
    const char *pattern = individual ? "\\p{N}" : "\\p{N}+";
    return iso_pretokenizer_add_split(&tokenizer->pretokenizer, pattern, strlen(pattern));
}

static iso_status load_byte_level(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *step)
{
    json_t *prefix;
    bool use_regex;
    ISO_TRY(iso_json_get(place, step, "add_prefix_space", JSON_TRUE, &prefix));
    ISO_TRY(iso_json_get_bool(place, step, "use_regex", true, &use_regex));
    if (json_is_true(prefix))
        ISO_TRY(iso_pretokenizer_add_prefix_space(&tokenizer->pretokenizer));
    if (use_regex)
        ISO_TRY(iso_pretokenizer_add_split(&tokenizer->pretokenizer, GPT2_PATTERN, strlen(GPT2_PATTERN)));
    return ISO_OK;
}

// `last`: nothing follows, so this must be ByteLevel; before it there must be none.
static iso_status load_step(iso_tokenizer *tokenizer, const iso_json_place *place, const json_t *step,
                            bool last)
{
    json_t *type;
    ISO_TRY(iso_json_expect(place, step, JSON_OBJECT));
    ISO_TRY(iso_json_get(place, step, "type", JSON_STRING, &type));
    if (last && text_is(type, "ByteLevel"))
        return load_byte_level(tokenizer, place, step);
    if (!last && text_is(type, "Split"))
        return load_split(tokenizer, place, step);
    if (!last && text_is(type, "Digits"))
        return load_digits(tokenizer, place, step);
    iso_json_place type_place = iso_json_at(place, "type");
    return unsupported(&type_place, type,
                       last ? "ByteLevel as the last step" : "Split and Digits before the last step");
}

static iso_status load_pretokenizer(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root)
{
    json_t *pretokenizer, *steps;
    iso_json_place place = iso_json_at(top, "pre_tokenizer"), list = iso_json_at(&place, "pretokenizers");
    ISO_TRY(iso_pretokenizer_init(&tokenizer->pretokenizer, tokenizer->allocator));
    ISO_TRY(iso_json_get(top, root, "pre_tokenizer", JSON_OBJECT, &pretokenizer));
    if (!text_is(json_object_get(pretokenizer, "type"), "Sequence"))
        return load_step(tokenizer, &place, pretokenizer, true);
    ISO_TRY(iso_json_get(&place, pretokenizer, "pretokenizers", JSON_ARRAY, &steps));
    size_t count = json_array_size(steps);
    if (count == 0)
        return iso_fail(ISO_UNSUPPORTED, "%s: %s is empty; a ByteLevel step is needed", list.file, list.path);
    for (size_t i = 0; i < count; i++) {
        iso_json_place at = iso_json_at_index(&list, i);
        ISO_TRY(load_step(tokenizer, &at, json_array_get(steps, i), i + 1 == count));
    }
    return ISO_OK;
}

static iso_status check_decoder(const iso_json_place *top, const json_t *root)
{
    json_t *decoder, *type;
    iso_json_place place = iso_json_at(top, "decoder"), type_place = iso_json_at(&place, "type");
    ISO_TRY(iso_json_get(top, root, "decoder", JSON_OBJECT, &decoder));
    ISO_TRY(iso_json_get(&place, decoder, "type", JSON_STRING, &type));
    return text_is(type, "ByteLevel") ? ISO_OK : unsupported(&type_place, type, "\"ByteLevel\"");
}

static iso_status load_all(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root)
{
    json_t *added;
    ISO_TRY(iso_json_get_optional(top, root, "added_tokens", JSON_ARRAY, &added));
    ISO_TRY(load_normalizer(tokenizer, top, root));
    ISO_TRY(load_pretokenizer(tokenizer, top, root));
    ISO_TRY(check_decoder(top, root));
    ISO_TRY(load_model(tokenizer, top, root, added));
    iso_json_place list = iso_json_at(top, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        iso_json_place place = iso_json_at_index(&list, i);
        ISO_TRY(load_added_token(tokenizer, &place, json_array_get(added, i)));
    }
    return ISO_OK;
}

iso_status iso_tokenizer_load_json(iso_tokenizer *tokenizer, const char *file, const char *json, size_t bytes)
{
    json_t *root;
    ISO_TRY(iso_json_parse_object(file, json, bytes, &root));
    iso_json_place top = {.file = file};
    iso_status status = load_all(tokenizer, &top, root);
    json_decref(root);
    return status;
}
