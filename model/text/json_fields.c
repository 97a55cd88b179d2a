// SPDX-License-Identifier: MIT
//
// Field access of json_fields.h.
#include "model/text/json_fields.h"

#include "model/checkpoint/file.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/strings.h"

static const char *type_name(const json_t *value)
{
    if (!value)
        return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fraction";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "null";
    }
}

static const char *wanted_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    default:
        return "true or false";
    }
}

iso_status iso_json_parse_object(const char *file, const char *json, size_t bytes, json_t **out)
{
    ISO_TRY(iso_json_parse(json, bytes, JSON_ALLOW_NUL, file, out));
    if (json_is_object(*out))
        return ISO_OK;
    iso_status status =
        iso_fail(ISO_CORRUPT, "%s: the file holds %s, an object is expected", file, type_name(*out));
    json_decref(*out);
    *out = NULL;
    return status;
}

// A path too long for the record is cut at its end.
static iso_json_place extended(const iso_json_place *parent, const char *first, const char *second)
{
    iso_json_place place = *parent;
    const char *const parts[] = {first, second};
    for (int i = 0; i < 2; i++) {
        size_t used = strlen(place.path);
        iso_copy_text(place.path + used, sizeof place.path - used, parts[i]);
    }
    return place;
}

iso_json_place iso_json_at(const iso_json_place *parent, const char *key)
{
    return extended(parent, parent->path[0] ? "." : "", key);
}

iso_json_place iso_json_at_index(const iso_json_place *parent, size_t index)
{
    char number[32];
    (void)!snprintf(number, sizeof number, "[%zu]", index);
    return extended(parent, number, "");
}

static bool has_type(const json_t *value, json_type type)
{
    if (type == JSON_TRUE || type == JSON_FALSE)
        return json_is_boolean(value);
    return value && json_typeof(value) == type;
}

iso_status iso_json_expect(const iso_json_place *place, const json_t *value, json_type type)
{
    if (has_type(value, type))
        return ISO_OK;
    return iso_fail(ISO_CORRUPT, "%s: %s is %s, %s is expected", place->file, place->path, type_name(value),
                    wanted_name(type));
}

iso_status iso_json_get(const iso_json_place *parent, const json_t *object, const char *key, json_type type,
                        json_t **out)
{
    *out = json_object_get(object, key);
    if (has_type(*out, type))
        return ISO_OK;
    iso_json_place place = iso_json_at(parent, key);
    return iso_json_expect(&place, *out, type);
}

iso_status iso_json_get_optional(const iso_json_place *parent, const json_t *object, const char *key,
                                 json_type type, json_t **out)
{
    *out = json_object_get(object, key);
    if (!*out || json_is_null(*out)) {
        *out = NULL;
        return ISO_OK;
    }
    return iso_json_get(parent, object, key, type, out);
}

iso_status iso_json_get_bool(const iso_json_place *parent, const json_t *object, const char *key,
                             bool fallback, bool *out)
{
    json_t *value;
    *out = fallback;
    ISO_TRY(iso_json_get_optional(parent, object, key, JSON_TRUE, &value));
    if (value)
        *out = json_is_true(value);
    return ISO_OK;
}
