// SPDX-License-Identifier: MIT
//
// Reads one line of a config table: looks the key up, checks type and range, stores the value. It must not
// know any particular field: those are in the tables.
#include "model/checkpoint/config_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/strings.h"

#define VALUE_BYTES   80
#define ALLOWED_BYTES 200

_Static_assert(sizeof(iso_topk_method) == sizeof(uint32_t) && sizeof(iso_scoring) == sizeof(uint32_t) &&
                   sizeof(iso_dtype) == sizeof(uint32_t),
               "enum members are stored as 32-bit integers");

static void describe_value(const json_t *value, char *text)
{
    char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    iso_copy_text(text, VALUE_BYTES, dumped ? dumped : "not readable");
    free(dumped);
}

iso_status iso_config_wrong_value(iso_status code, const char *section, const char *key, const json_t *value,
                                  const char *allowed)
{
    if (!value)
        return iso_fail(code, "field \"%s%s\" is missing; it must be %s; " ISO_REMEDY_CONFIG, section, key,
                        allowed);
    char text[VALUE_BYTES];
    describe_value(value, text);
    return iso_fail(code, "field \"%s%s\" is %s; it must be %s; " ISO_REMEDY_CONFIG, section, key, text,
                    allowed);
}

static void describe_choices(const iso_config_field *field, char *text)
{
    size_t used = 0;
    for (size_t i = 0; i < ISO_CONFIG_MAX_CHOICES && field->choices[i].name && used < ALLOWED_BYTES; i++)
        used += (size_t)snprintf(text + used, ALLOWED_BYTES - used, "%s\"%s\"", i > 0 ? " or " : "",
                                 field->choices[i].name);
}

static void describe_allowed(const iso_config_field *field, char *text)
{
    switch (field->kind) {
    case ISO_CONFIG_KIND_COUNT:
        snprintf(text, ALLOWED_BYTES, "an integer from %.0f to %.0f", field->least, field->most);
        break;
    case ISO_CONFIG_KIND_REAL:
        snprintf(text, ALLOWED_BYTES, "a number from %g to %g", field->least, field->most);
        break;
    case ISO_CONFIG_KIND_CHOICE:
        describe_choices(field, text);
        break;
    default:
        snprintf(text, ALLOWED_BYTES, "true or false");
        break;
    }
    if (field->need != ISO_CONFIG_REQUIRED) {
        size_t used = strlen(text);
        iso_copy_text(text + used, ALLOWED_BYTES - used, ", or null");
    }
}

static iso_status wrong(iso_status code, const char *section, const iso_config_field *field,
                        const json_t *value)
{
    char allowed[ALLOWED_BYTES];
    describe_allowed(field, allowed);
    return iso_config_wrong_value(code, section, field->key, value, allowed);
}

static iso_status not_supported(const char *section, const iso_config_field *field, const json_t *value)
{
    char text[VALUE_BYTES];
    describe_value(value, text);
    return iso_fail(ISO_UNSUPPORTED, "field \"%s%s\" is %s: Isomer does not have %s", section, field->key,
                    text, field->what);
}

static void store(const iso_config_field *field, iso_model_config *config, double value)
{
    char *member = (char *)config + field->offset;
    switch (field->store) {
    case ISO_CONFIG_STORE_NONE:
        break;
    case ISO_CONFIG_STORE_BOOL:
        memcpy(member, &(bool){value != 0}, sizeof(bool));
        break;
    case ISO_CONFIG_STORE_U32:
        // Only here: a real number may be past the range of a uint32_t, where the conversion is undefined.
        memcpy(member, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
        break;
    case ISO_CONFIG_STORE_DOUBLE:
        memcpy(member, &value, sizeof value);
        break;
    }
}

static iso_status read_choice(const json_t *value, const char *section, const iso_config_field *field,
                              double *out_number)
{
    const char *name = json_string_value(value);
    if (!name)
        return wrong(ISO_CORRUPT, section, field, value);
    for (size_t i = 0; i < ISO_CONFIG_MAX_CHOICES && field->choices[i].name; i++)
        if (strcmp(field->choices[i].name, name) == 0) {
            *out_number = field->choices[i].value;
            return ISO_OK;
        }
    return wrong(ISO_UNSUPPORTED, section, field, value);
}

// A present, non-null value as a number that `store` takes.
static iso_status read_value(const json_t *value, const char *section, const iso_config_field *field,
                             double *out_number)
{
    bool right_type = false;
    bool is_number = false;
    switch (field->kind) {
    case ISO_CONFIG_KIND_COUNT:
        right_type = is_number = json_is_integer(value);
        break;
    case ISO_CONFIG_KIND_REAL:
        right_type = is_number = json_is_number(value);
        break;
    case ISO_CONFIG_KIND_CHOICE:
        return read_choice(value, section, field, out_number);
    case ISO_CONFIG_KIND_ABSENT:
        return not_supported(section, field, value);
    default:
        right_type = json_is_boolean(value);
        break;
    }
    *out_number = is_number ? json_number_value(value) : json_is_true(value);
    if (!right_type || (is_number && !(*out_number >= field->least && *out_number <= field->most)))
        return wrong(ISO_CORRUPT, section, field, value);
    if (field->kind == ISO_CONFIG_KIND_FIXED && *out_number != field->fallback)
        return not_supported(section, field, value);
    return ISO_OK;
}

static iso_status read_field(const json_t *object, const char *section, const iso_config_field *field,
                             iso_model_config *config)
{
    const json_t *value = field->key ? json_object_get(object, field->key) : NULL;
    double number = field->fallback;
    if (!value || json_is_null(value)) {
        if (field->need == ISO_CONFIG_REQUIRED || (field->need == ISO_CONFIG_NULLABLE && !value))
            return wrong(ISO_CORRUPT, section, field, value);
        if (field->need == ISO_CONFIG_KEEP)
            return ISO_OK;
    } else {
        ISO_TRY(read_value(value, section, field, &number));
    }
    store(field, config, number);
    return ISO_OK;
}

iso_status iso_config_read_fields(const json_t *object, const char *section, const iso_config_field *fields,
                                  size_t count, iso_model_config *config)
{
    for (size_t i = 0; i < count; i++)
        ISO_TRY(read_field(object, section, &fields[i], config));
    return ISO_OK;
}
