// SPDX-License-Identifier: MIT
//
// Reads tokenizer_config.json: whether a text begins with BOS, which tokens are BOS and EOS, and the chat
// template. Its other fields repeat tokenizer.json or concern Python.
#include "model/text/tokenizer_parts.h"

#include <string.h>

#include "model/text/json_fields.h"

// A token named by its text or by an object with `content`. Absent and null: ISO_NO_TOKEN.
static iso_status read_token(const iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root,
                             const char *key, int32_t *out)
{
    *out = ISO_NO_TOKEN;
    iso_json_place place = iso_json_at(top, key);
    const json_t *value = json_object_get(root, key);
    if (json_is_object(value)) {
        value = json_object_get(value, "content");
        place = iso_json_at(&place, "content");
    }
    if (!value || json_is_null(value))
        return ISO_OK;
    ISO_TRY(iso_json_expect(&place, value, JSON_STRING));
    *out = iso_vocab_find(&tokenizer->vocab, json_string_value(value), json_string_length(value));
    if (*out >= 0)
        return ISO_OK;
    return iso_fail(ISO_CORRUPT, "%s: %s is \"%.60s\", which tokenizer.json has no token for", place.file,
                    place.path, json_string_value(value));
}

// A text, or a list of named ones of which "default" counts.
static iso_status read_template(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root)
{
    const json_t *value = json_object_get(root, "chat_template");
    iso_json_place place = iso_json_at(top, "chat_template");
    if (json_is_array(value)) {
        const json_t *found = NULL;
        for (size_t i = 0; i < json_array_size(value) && !found; i++) {
            const json_t *name = json_object_get(json_array_get(value, i), "name");
            if (json_is_string(name) && strcmp(json_string_value(name), "default") == 0)
                found = json_object_get(json_array_get(value, i), "template");
        }
        value = found;
    }
    if (!value || json_is_null(value))
        return ISO_OK;
    ISO_TRY(iso_json_expect(&place, value, JSON_STRING));
    return iso_alloc_string(tokenizer->allocator, json_string_value(value), &tokenizer->chat_template);
}

static iso_status load_fields(iso_tokenizer *tokenizer, const iso_json_place *top, const json_t *root)
{
    bool adds_eos;
    ISO_TRY(read_token(tokenizer, top, root, "bos_token", &tokenizer->bos_id));
    ISO_TRY(read_token(tokenizer, top, root, "eos_token", &tokenizer->eos_id));
    ISO_TRY(iso_json_get_bool(top, root, "add_bos_token", false, &tokenizer->adds_bos));
    ISO_TRY(iso_json_get_bool(top, root, "add_eos_token", false, &adds_eos));
    if (tokenizer->adds_bos && tokenizer->bos_id == ISO_NO_TOKEN)
        return iso_fail(ISO_CORRUPT, "%s: add_bos_token is true, but bos_token names none", top->file);
    if (adds_eos)
        return iso_fail(ISO_UNSUPPORTED, "%s: add_eos_token is true; read here: false", top->file);
    return read_template(tokenizer, top, root);
}

iso_status iso_tokenizer_load_config(iso_tokenizer *tokenizer, const char *file, const char *json,
                                     size_t bytes)
{
    json_t *root;
    ISO_TRY(iso_json_parse_object(file, json, bytes, &root));
    iso_json_place top = {.file = file};
    iso_status status = load_fields(tokenizer, &top, root);
    json_decref(root);
    return status;
}
