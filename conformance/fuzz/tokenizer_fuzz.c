// SPDX-License-Identifier: MIT
//
// Fuzzer of the tokenizer and the chat templates (libFuzzer entry; the check replays the corpus through it).
//
// An input is four parts with a NUL byte between: tokenizer.json, tokenizer_config.json, a text, a
// conversation. Missing parts are empty; an empty first part stands for a small good tokenizer, an empty
// second one for no file. Whatever is accepted must encode the text or refuse it with a reason, and decode
// what it encoded to valid UTF-8, whole and streaming alike.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/chat.h"
#include "isomer/tokenizer.h"
#include "model/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Texts of this length show what longer ones would, expressions that backtrack aside.
#define LONGEST_TEXT 2048

static const char small_json[] =
    "{\"added_tokens\":[{\"id\":9,\"content\":\"<s>\",\"special\":true},{\"id\":10,\"content\":\"<s>a\","
    "\"lstrip\":true},"
    "{\"id\":11,\"content\":\"e\\u0301\",\"rstrip\":true,\"normalized\":true}],\"normalizer\":{\"type\":"
    "\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
    "\"\\\\s+(?!\\\\S)|[^\\\\s\\\\p{L}]+|\\\\p{L}{1,5}\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":true}]},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":"
    "{\"a\":0,"
    "\"b\":1,\"\\u0120\":2,\"ab\":3,\"\\u0120a\":4,\"\\u00c3\":5,\"\\u00a9\":6,\"\\u00c3\\u00a9\":7,\"aa\":8}"
    ","
    "\"merges\":[\"a b\",\"\\u0120 a\",[\"\\u00c3\",\"\\u00a9\"],\"a a\"]}}";

typedef struct part {
    const char *bytes;
    size_t count;
} part;

static part next_part(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size > 0 ? memchr(*data, 0, *size) : NULL;
    part found = {(const char *)*data, end ? (size_t)(end - *data) : *size};
    size_t used = end ? found.count + 1 : found.count;
    *data += used;
    *size -= used;
    return found;
}

static void demand(bool truth)
{
    if (!truth)
        abort();
}

static void check_decoding(const iso_tokenizer *tokenizer, const iso_token_list *ids)
{
    char *whole;
    size_t bytes, at = 0;
    iso_detokenizer *stream;
    if (iso_tokenizer_decode(tokenizer, ids->ids, ids->count, NULL, &whole, &bytes) != ISO_OK)
        abort();
    demand(iso_utf8_valid_prefix((const uint8_t *)whole, bytes) == bytes);
    if (iso_detokenizer_create(tokenizer, NULL, &stream) != ISO_OK)
        abort();
    for (size_t i = 0; i <= ids->count; i++) {
        const char *text;
        size_t length;
        iso_status status = i < ids->count ? iso_detokenizer_feed(stream, ids->ids[i], &text, &length)
                                           : iso_detokenizer_finish(stream, &text, &length);
        demand(status == ISO_OK && at + length <= bytes && memcmp(whole + at, text, length) == 0);
        at += length;
    }
    demand(at == bytes);
    iso_detokenizer_destroy(stream);
    free(whole);
}

static void check_text(iso_tokenizer *tokenizer, part text)
{
    iso_token_list ids = {0};
    size_t count = text.count < LONGEST_TEXT ? text.count : LONGEST_TEXT;
    if (iso_tokenizer_encode(tokenizer, text.bytes, count, NULL, &ids) == ISO_OK) {
        for (size_t i = 0; i < ids.count; i++)
            demand(ids.ids[i] >= 0 && ids.ids[i] < iso_tokenizer_vocab_size(tokenizer));
        check_decoding(tokenizer, &ids);
    } else {
        demand(ids.count == 0 && iso_status_last()->text[0] != '\0');
    }
    iso_token_list_deinit(&ids);
}

static void check_chat(const iso_tokenizer *tokenizer, part talk)
{
    iso_chat_form form;
    iso_conversation_file *file;
    char *text;
    size_t bytes;
    if (iso_conversation_parse(talk.bytes, talk.count, "talk", NULL, &file) != ISO_OK)
        return;
    if (iso_chat_recognise(iso_tokenizer_chat_template(tokenizer), NULL, &form) == ISO_OK &&
        iso_chat_render(&form, tokenizer, iso_conversation_get(file), NULL, &text, &bytes) == ISO_OK) {
        demand(strlen(text) == bytes);
        free(text);
    }
    iso_conversation_destroy(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    part json = next_part(&data, &size), config = next_part(&data, &size);
    part text = next_part(&data, &size), talk = next_part(&data, &size);
    iso_tokenizer_source source = {
        .tokenizer_json = json.count > 0 ? json.bytes : small_json,
        .tokenizer_json_bytes = json.count > 0 ? json.count : sizeof small_json - 1,
        .config_json = config.count > 0 ? config.bytes : NULL,
        .config_json_bytes = config.count,
    };
    iso_tokenizer *tokenizer;
    if (iso_tokenizer_parse(&source, NULL, &tokenizer) != ISO_OK)
        return 0;
    check_text(tokenizer, text);
    check_chat(tokenizer, talk);
    iso_tokenizer_close(tokenizer);
    return 0;
}
