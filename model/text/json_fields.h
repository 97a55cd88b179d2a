// SPDX-License-Identifier: MIT
//
// Reads fields of parsed JSON with errors that name the file, the path of the field, what is there and what
// is expected. The values stay Jansson's. Knows nothing of what the fields mean.
#ifndef ISOMER_MODEL_TEXT_JSON_FIELDS_H
#define ISOMER_MODEL_TEXT_JSON_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "isomer/status.h"

#define ISO_JSON_PATH_BYTES 160

// Where a value stands.
typedef struct iso_json_place {
    const char *file;
    char path[ISO_JSON_PATH_BYTES]; // "model.merges[3]"; "" at the top
} iso_json_place;

// Parses a file whose top is an object. Duplicate keys are refused. Free with json_decref.
iso_status iso_json_parse_object(const char *file, const char *json, size_t bytes, json_t **out) ISO_MUST_USE;

// The place of a member, and of an element.
iso_json_place iso_json_at(const iso_json_place *parent, const char *key);
iso_json_place iso_json_at_index(const iso_json_place *parent, size_t index);

// ISO_CORRUPT unless `value` (NULL: absent) has the type.
iso_status iso_json_expect(const iso_json_place *place, const json_t *value, json_type type) ISO_MUST_USE;

// A member that must be there. Borrowed.
iso_status iso_json_get(const iso_json_place *parent, const json_t *object, const char *key, json_type type,
                        json_t **out) ISO_MUST_USE;

// A member that may be absent or null: *out is NULL then. Borrowed.
iso_status iso_json_get_optional(const iso_json_place *parent, const json_t *object, const char *key,
                                 json_type type, json_t **out) ISO_MUST_USE;

// A boolean; `fallback` where it is absent or null.
iso_status iso_json_get_bool(const iso_json_place *parent, const json_t *object, const char *key,
                             bool fallback, bool *out) ISO_MUST_USE;

#endif
