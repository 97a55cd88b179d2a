// SPDX-License-Identifier: MIT
//
// Strict reading and writing of JSON members (fields.h).
#include "conformance/report/fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- writing ----

conform_writer conform_writer_make(void)
{
    return (conform_writer){.object = json_object()};
}

// Bytes of the well-formed UTF-8 sequence that begins here; 0: there is none.
static size_t utf8_length(const unsigned char *at)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, bytes;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (at[0] >= 0x20 && at[0] < 0x7f)
        return 1;
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        if (at[0] < forms[f].first_low || at[0] > forms[f].first_high || at[1] < forms[f].second_low ||
            at[1] > forms[f].second_high)
            continue;
        size_t i = 2;
        while (i < forms[f].bytes && (at[i] & 0xc0) == 0x80)
            i++;
        // U+0080 to U+009F are control characters, too.
        return i == forms[f].bytes && !(at[0] == 0xc2 && at[1] < 0xa0) ? i : 0;
    }
    return 0;
}

void conform_clean(char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        size_t bytes = utf8_length((const unsigned char *)text + at);
        if (bytes == 0)
            text[at] = '?';
        at += bytes ? bytes : 1;
    }
}

json_t *conform_json_text(const char *text)
{
    char *clean = strdup(text);
    if (!clean)
        return NULL;
    conform_clean(clean);
    json_t *json = json_string(clean);
    free(clean);
    return json;
}

json_t *conform_json_double(double value)
{
    if (isnan(value))
        return json_string("nan");
    if (isinf(value))
        return json_string(value > 0 ? "inf" : "-inf");
    return json_real(value);
}

void conform_put(conform_writer *writer, const char *key, json_t *value)
{
    if (json_object_set_new(writer->object, key, value) != 0)
        writer->failed = true;
}

void conform_put_text(conform_writer *writer, const char *key, const char *text)
{
    conform_put(writer, key, conform_json_text(text));
}

void conform_put_count(conform_writer *writer, const char *key, uint64_t value)
{
    conform_put(writer, key, json_integer((json_int_t)value));
}

void conform_put_wide(conform_writer *writer, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "0x%016" PRIx64, value);
    conform_put(writer, key, json_string(text));
}

void conform_put_double(conform_writer *writer, const char *key, double value)
{
    conform_put(writer, key, conform_json_double(value));
}

iso_status conform_writer_end(conform_writer *writer, json_t **out_object)
{
    *out_object = writer->object;
    writer->object = NULL;
    if (*out_object && !writer->failed)
        return ISO_OK;
    json_decref(*out_object);
    *out_object = NULL;
    return iso_fail(ISO_OUT_OF_MEMORY, "no memory for a JSON object");
}

// ---- reading ----

iso_status conform_reader_open(conform_reader *out, json_t *json, const char *what)
{
    *out = (conform_reader){.object = json, .what = what};
    if (!json_is_object(json))
        return iso_fail(ISO_CORRUPT, "%s is no JSON object", what);
    return ISO_OK;
}

json_t *conform_take(conform_reader *reader, const char *key)
{
    json_t *value = json_object_get(reader->object, key);
    reader->taken += value != NULL;
    return value;
}

static iso_status wrong(const conform_reader *reader, const char *key, const char *allowed)
{
    json_t *value = json_object_get(reader->object, key);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    iso_status status =
        value ? iso_fail(ISO_CORRUPT, "%s: \"%s\" is %.60s; allowed: %s", reader->what, key,
                         text ? text : "unreadable", allowed)
              : iso_fail(ISO_CORRUPT, "%s: \"%s\" is missing; wanted: %s", reader->what, key, allowed);
    free(text);
    return status;
}

iso_status conform_take_text(conform_reader *reader, const char *key, char *out, size_t out_bytes)
{
    json_t *value = conform_take(reader, key);
    char allowed[64];
    snprintf(allowed, sizeof allowed, "a text of at most %zu bytes", out_bytes - 1);
    if (!json_is_string(value) || json_string_length(value) >= out_bytes ||
        strlen(json_string_value(value)) != json_string_length(value))
        return wrong(reader, key, allowed);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return ISO_OK;
}

iso_status conform_take_count(conform_reader *reader, const char *key, uint64_t most, uint64_t *out)
{
    json_t *value = conform_take(reader, key);
    char allowed[64];
    snprintf(allowed, sizeof allowed, "0 to %" PRIu64, most);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return wrong(reader, key, allowed);
    *out = (uint64_t)json_integer_value(value);
    return ISO_OK;
}

iso_status conform_take_u32(conform_reader *reader, const char *key, uint32_t *out)
{
    uint64_t value;
    ISO_TRY(conform_take_count(reader, key, UINT32_MAX, &value));
    *out = (uint32_t)value;
    return ISO_OK;
}

iso_status conform_take_wide(conform_reader *reader, const char *key, uint64_t *out)
{
    const char *text = json_string_value(conform_take(reader, key));
    if (!text || strlen(text) != 18 || strncmp(text, "0x", 2) != 0 ||
        strspn(text + 2, "0123456789abcdef") != 16)
        return wrong(reader, key, "\"0x\" and 16 hexadecimal digits");
    *out = strtoull(text + 2, NULL, 16);
    return ISO_OK;
}

bool conform_double_of(const json_t *value, double *out)
{
    const char *text = json_string_value(value);
    if (json_is_number(value))
        *out = json_number_value(value);
    else if (text && strcmp(text, "nan") == 0)
        *out = (double)NAN;
    else if (text && strcmp(text, "inf") == 0)
        *out = (double)INFINITY;
    else if (text && strcmp(text, "-inf") == 0)
        *out = -(double)INFINITY;
    else
        return false;
    return true;
}

iso_status conform_take_double(conform_reader *reader, const char *key, double *out)
{
    if (!conform_double_of(conform_take(reader, key), out))
        return wrong(reader, key, "a number, \"nan\", \"inf\" or \"-inf\"");
    return ISO_OK;
}

iso_status conform_take_bool(conform_reader *reader, const char *key, bool *out)
{
    json_t *value = conform_take(reader, key);
    if (!json_is_boolean(value))
        return wrong(reader, key, "true or false");
    *out = json_is_true(value);
    return ISO_OK;
}

iso_status conform_reader_end(const conform_reader *reader)
{
    if (json_object_size(reader->object) != reader->taken)
        return iso_fail(ISO_CORRUPT, "%s has %zu members; wanted: %zu, no others", reader->what,
                        json_object_size(reader->object), reader->taken);
    return ISO_OK;
}
