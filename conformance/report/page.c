// SPDX-License-Identifier: MIT
//
// What the parts of report.html share (page.h).
#include "conformance/report/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Ops, suites: a few. More come from a made-up bundle only.
#define MOST_NAMES 1024

iso_status conform_append_escaped(iso_text *out, const char *text)
{
    while (*text) {
        size_t plain = strcspn(text, "&<>\"'");
        ISO_TRY(iso_text_append_bytes(out, text, plain));
        text += plain;
        if (*text == '\0')
            break;
        const char *name = *text == '&'   ? "&amp;"
                           : *text == '<' ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '"' ? "&quot;"
                                          : "&#39;";
        ISO_TRY(iso_text_append_bytes(out, name, strlen(name)));
        text++;
    }
    return ISO_OK;
}

void page_put(page *page, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (page->status != ISO_OK)
        return;
    if (length < 0 || (size_t)length >= sizeof text)
        page->status = iso_fail(ISO_INTERNAL, "a piece of the page has %d bytes", length);
    else
        page->status = iso_text_append_bytes(page->out, text, (size_t)length);
}

void page_text(page *page, const char *text)
{
    if (page->status == ISO_OK)
        page->status = conform_append_escaped(page->out, text);
}

void page_count(page *page, uint64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, value);
    for (int i = 0; i < length; i++)
        page_put(page, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", digits[i]);
}

void page_score(page *page, double score)
{
    if (isnan(score))
        page_put(page, "–");
    else if (isinf(score))
        page_put(page, "∞");
    else if (score == 0)
        page_put(page, "0");
    else if (score >= 0.00095 && score < 9999)
        page_put(page, "%.*f", score < 0.01 ? 4 : score < 10 ? 2 : 0, score);
    else
        page_put(page, "%.0e", score);
}

void page_seconds(page *page, double seconds)
{
    if (!(seconds < 1e9))
        page_put(page, "–");
    else if (seconds >= 90)
        page_put(page, "%.0f min %02.0f s", floor(seconds / 60), floor(fmod(seconds, 60)));
    else
        page_put(page, seconds < 1 ? "%.2f s" : "%.1f s", seconds);
}

size_t page_name(page *page, page_names *names, const char *name)
{
    for (size_t i = names->count; i > 0; i--)
        if (strcmp(names->names[i - 1], name) == 0)
            return i - 1;
    if (names->count == MOST_NAMES)
        return SIZE_MAX;
    if (page->status == ISO_OK)
        page->status =
            iso_grow(NULL, sizeof *names->names, names->count + 1, (void **)&names->names, &names->capacity);
    if (page->status != ISO_OK)
        return SIZE_MAX;
    names->names[names->count] = name;
    return names->count++;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void page_names_sort(page_names *names)
{
    if (names->count)
        qsort(names->names, names->count, sizeof *names->names, by_text);
}

void page_names_deinit(page_names *names)
{
    iso_free(NULL, names->names);
    *names = (page_names){0};
}

// One word for a shell, whatever is in it; a quote inside becomes '\''.
static void put_quoted(page *page, const char *text)
{
    page_put(page, "'");
    for (const char *at = text; *at; at++)
        if (*at == '\'')
            page_put(page, "'\\''");
        else
            page_text(page, (const char[]){*at, '\0'});
    page_put(page, "'");
}

void page_reproducer(page *page, const conform_record *record)
{
    page_put(page, "<code>isomer conform --device ");
    page_text(page, record->device);
    page_put(page, " --unit ");
    put_quoted(page, record->unit);
    if (record->level > CONFORM_QUICK)
        page_put(page, " --level %s", conform_level_name(record->level));
    page_put(page, " --seed %" PRIu64 "</code>", page->content->header.seed);
}
