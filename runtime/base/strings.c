// SPDX-License-Identifier: MIT
//
// Text helpers of runtime/base/strings.h. Locale-independent: `isomer` reads and prints the same everywhere.
#include "runtime/base/strings.h"

#include <stdio.h>
#include <string.h>

iso_status iso_text_append(iso_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    iso_status status = ISO_OK;
    if (length < 0)
        status = iso_fail(ISO_INTERNAL, "a text cannot be formatted by \"%s\"", format);
    if (status == ISO_OK)
        status = iso_grow(text->allocator, 1, text->length + (size_t)length + 1, (void **)&text->data,
                          &text->capacity);
    if (status == ISO_OK) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    return status;
}

iso_status iso_text_append_bytes(iso_text *text, const char *bytes, size_t count)
{
    ISO_TRY(iso_grow(text->allocator, 1, text->length + count + 1, (void **)&text->data, &text->capacity));
    if (count > 0)
        memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
    return ISO_OK;
}

const char *iso_text_get(const iso_text *text)
{
    return text->data ? text->data : "";
}

void iso_text_deinit(iso_text *text)
{
    iso_free(text->allocator, text->data);
    text->data = NULL;
    text->length = 0;
    text->capacity = 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool iso_contains_fragment(const char *text, const char *fragment)
{
    for (;; text++) {
        size_t i = 0;
        while (fragment[i] != '\0' && lower(text[i]) == lower(fragment[i]))
            i++;
        if (fragment[i] == '\0')
            return true;
        if (*text == '\0')
            return false;
    }
}

void iso_copy_text(char *target, size_t target_bytes, const char *text)
{
    size_t length = strnlen(text, target_bytes - 1);
    memcpy(target, text, length);
    target[length] = '\0';
}

void iso_copy_error_line(char *target, size_t target_bytes, const char *log)
{
    bool any = false;
    iso_copy_text(target, target_bytes, "the driver gives no reason");
    for (const char *line = log; *line != '\0';) {
        size_t length = strcspn(line, "\r\n");
        char text[512];
        iso_copy_text(text, length + 1 < sizeof text ? length + 1 : sizeof text, line);
        bool is_error = iso_contains_fragment(text, "error") || iso_contains_fragment(text, "fatal");
        if (is_error || (!any && strspn(text, " \t") < strlen(text))) {
            iso_copy_text(target, target_bytes, text);
            any = true;
        }
        if (is_error)
            break;
        line += length;
        line += strspn(line, "\r\n");
    }
}
