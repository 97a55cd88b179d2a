// SPDX-License-Identifier: MIT
//
// Reading ids. In a file, numbers may stand between commas and blanks of any kind.
#include "tools/isomer/ids.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/text/text_file.h"

static iso_status parse_numbers(const char *text, const char *name, iso_status code, iso_token_list *out)
{
    static const char blanks[] = " \t\r\n,";
    for (const char *at = text + strspn(text, blanks); *at; at += strspn(at, blanks)) {
        char *end;
        size_t length = strcspn(at, blanks);
        errno = 0;
        long id = strtol(at, &end, 10);
        if (errno || end != at + length || id < 0 || id > INT32_MAX)
            return iso_fail(code,
                            "%s holds \"%.*s\"; allowed: token ids, whole numbers from 0, commas between",
                            name, length < 32 ? (int)length : 32, at);
        ISO_TRY(iso_token_list_append(out, (int32_t)id));
        at = end;
    }
    return ISO_OK;
}

static iso_status parse_json(const char *text, size_t bytes, const char *name, iso_token_list *out)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, 0, &error),
           *ids = json_is_object(root) ? json_object_get(root, "ids") : root;
    iso_status status = ISO_OK;
    if (!root)
        status = iso_fail(ISO_CORRUPT, "%s is no JSON: line %d: %s", name, error.line, error.text);
    else if (!json_is_array(ids))
        status = iso_fail(ISO_CORRUPT, "%s has no list of \"ids\"; needed: {\"ids\": [1, 2, 3]}", name);
    for (size_t i = 0; status == ISO_OK && i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));
        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id > INT32_MAX)
            status =
                iso_fail(ISO_CORRUPT,
                         "%s: entry %zu of \"ids\" is no token id; allowed: whole numbers from 0", name, i);
        else
            status = iso_token_list_append(out, (int32_t)id);
    }
    json_decref(root);
    return status;
}

static iso_status read_file(const char *path, iso_token_list *out)
{
    iso_text text = {0};
    iso_status status = iso_text_read_file(&text, strcmp(path, "-") == 0 ? "/dev/stdin" : path);
    const char *start = iso_text_get(&text);
    if (status == ISO_OK && strlen(start) != text.length)
        status = iso_fail(ISO_CORRUPT, "%s holds a zero byte; needed: numbers or JSON", path);
    else if (status == ISO_OK && strchr("{[", start[strspn(start, " \t\r\n")]) && start[0])
        status = parse_json(start, text.length, path, out);
    else if (status == ISO_OK)
        status = parse_numbers(start, path, ISO_CORRUPT, out);
    iso_text_deinit(&text);
    return status;
}

iso_status cli_ids_read(const char *text, const char *path, iso_token_list *out)
{
    if (!text == !path)
        return iso_fail(ISO_INVALID_ARGUMENT, "needed: one of --ids and --ids-file");
    ISO_TRY(text ? parse_numbers(text, "--ids", ISO_INVALID_ARGUMENT, out) : read_file(path, out));
    if (out->count == 0)
        return iso_fail(text ? ISO_INVALID_ARGUMENT : ISO_CORRUPT, "%s holds no ids; needed: at least one",
                        text ? "--ids" : path);
    return ISO_OK;
}
