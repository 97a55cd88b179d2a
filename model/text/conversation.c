// SPDX-License-Identifier: MIT
//
// Reads a conversation from JSON, in the form that chat services take it: messages with role, content and
// tool_calls.
#include "isomer/chat.h"

#include <string.h>

#include "model/text/json_fields.h"

// The texts are Jansson's: the tree is kept as long as the file.
struct iso_conversation_file {
    const iso_allocator *allocator;
    json_t *root;
    iso_chat_message *messages;
    iso_chat_tool_call *calls; // of all messages, one after the other
    iso_conversation conversation;
};

// A string without NUL: the texts are handed on as C strings.
static iso_status get_text(const iso_json_place *parent, const json_t *object, const char *key,
                           const char **out)
{
    json_t *value;
    ISO_TRY(iso_json_get(parent, object, key, JSON_STRING, &value));
    *out = json_string_value(value);
    if (strlen(*out) == json_string_length(value))
        return ISO_OK;
    return iso_fail(ISO_UNSUPPORTED, "%s: %s.%s holds the character U+0000, which no text may", parent->file,
                    parent->path, key);
}

static iso_status read_call(const iso_json_place *place, const json_t *value, iso_chat_tool_call *out)
{
    json_t *function;
    out->type = "function";
    ISO_TRY(iso_json_expect(place, value, JSON_OBJECT));
    if (json_object_get(value, "type"))
        ISO_TRY(get_text(place, value, "type", &out->type));
    ISO_TRY(iso_json_get(place, value, "function", JSON_OBJECT, &function));
    iso_json_place inner = iso_json_at(place, "function");
    ISO_TRY(get_text(&inner, function, "name", &out->name));
    return get_text(&inner, function, "arguments", &out->arguments);
}

static iso_status read_message(iso_conversation_file *file, const iso_json_place *place, const json_t *value,
                               iso_chat_message *out, size_t *used_calls)
{
    json_t *content, *calls;
    ISO_TRY(iso_json_expect(place, value, JSON_OBJECT));
    ISO_TRY(get_text(place, value, "role", &out->role));
    ISO_TRY(iso_json_get_optional(place, value, "content", JSON_STRING, &content));
    if (content)
        ISO_TRY(get_text(place, value, "content", &out->content));
    ISO_TRY(iso_json_get_bool(place, value, "prefix", false, &out->prefix));
    ISO_TRY(iso_json_get_optional(place, value, "tool_calls", JSON_ARRAY, &calls));
    out->has_tool_calls = calls != NULL;
    if (!content && !calls)
        return iso_fail(ISO_CORRUPT, "%s: %s has neither a content nor tool_calls", place->file, place->path);
    iso_json_place list = iso_json_at(place, "tool_calls");
    out->tool_call_count = json_array_size(calls);
    if (out->tool_call_count > 0)
        out->tool_calls = file->calls + *used_calls;
    for (size_t i = 0; i < out->tool_call_count; i++) {
        iso_json_place at = iso_json_at_index(&list, i);
        ISO_TRY(read_call(&at, json_array_get(calls, i), &file->calls[(*used_calls)++]));
    }
    return ISO_OK;
}

static iso_status read_all(iso_conversation_file *file, const iso_json_place *top)
{
    json_t *messages;
    iso_conversation *conversation = &file->conversation;
    ISO_TRY(iso_json_get(top, file->root, "messages", JSON_ARRAY, &messages));
    ISO_TRY(iso_json_get_bool(top, file->root, "add_generation_prompt", false,
                              &conversation->add_generation_prompt));
    ISO_TRY(iso_json_get_bool(top, file->root, "thinking", false, &conversation->thinking));
    size_t count = json_array_size(messages), call_count = 0, used_calls = 0;
    if (count == 0)
        return iso_fail(ISO_CORRUPT, "%s: messages is empty; at least one message is needed", top->file);
    for (size_t i = 0; i < count; i++)
        call_count += json_array_size(json_object_get(json_array_get(messages, i), "tool_calls"));
    ISO_TRY(ISO_NEW(file->allocator, count, &file->messages));
    ISO_TRY(ISO_NEW(file->allocator, call_count, &file->calls));
    iso_json_place list = iso_json_at(top, "messages");
    for (size_t i = 0; i < count; i++) {
        iso_json_place place = iso_json_at_index(&list, i);
        ISO_TRY(read_message(file, &place, json_array_get(messages, i), &file->messages[i], &used_calls));
    }
    conversation->messages = file->messages;
    conversation->message_count = count;
    return ISO_OK;
}

iso_status iso_conversation_parse(const char *json, size_t bytes, const char *name,
                                  const iso_allocator *allocator, iso_conversation_file **out)
{
    *out = NULL;
    iso_conversation_file *file;
    iso_json_place top = {.file = name ? name : "conversation"};
    ISO_TRY(ISO_NEW(allocator, 1, &file));
    file->allocator = allocator;
    iso_status status = iso_json_parse_object(top.file, json, bytes, &file->root);
    if (status == ISO_OK)
        status = read_all(file, &top);
    if (status != ISO_OK) {
        iso_conversation_destroy(file);
        return status;
    }
    *out = file;
    return ISO_OK;
}

const iso_conversation *iso_conversation_get(const iso_conversation_file *file)
{
    return &file->conversation;
}

void iso_conversation_destroy(iso_conversation_file *file)
{
    if (!file)
        return;
    json_decref(file->root);
    iso_free(file->allocator, file->messages);
    iso_free(file->allocator, file->calls);
    iso_free(file->allocator, file);
}
