// SPDX-License-Identifier: MIT
//
// The thread-local error record behind isomer/status.h. It owns the text of each thread's latest failure and
// must not allocate: running out of memory is one of the things it reports.
#include "isomer/status.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/strings.h"

#define TEXT_BYTES 1024

static _Thread_local char record_text[TEXT_BYTES];
static _Thread_local iso_status_record record = {ISO_OK, "", 0, NULL};

static const char *const status_names[ISO_STATUS_COUNT] = {
    [ISO_OK] = "ok",
    [ISO_INVALID_ARGUMENT] = "invalid-argument",
    [ISO_OUT_OF_MEMORY] = "out-of-memory",
    [ISO_NOT_FOUND] = "not-found",
    [ISO_IO] = "io",
    [ISO_CORRUPT] = "corrupt",
    [ISO_UNSUPPORTED] = "unsupported",
    [ISO_UNAVAILABLE] = "unavailable",
    [ISO_DEVICE_LOST] = "device-lost",
    [ISO_BUILD_FAILED] = "build-failed",
    [ISO_LIMIT] = "limit",
    [ISO_INTERNAL] = "internal",
};

// Messages quote drivers and files, whose texts may hold anything; a record is one printable line.
static void make_one_line(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && (unsigned char)text[length - 1] <= ' ')
        text[--length] = '\0';
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = ' ';
}

const iso_status_record *iso_status_last(void)
{
    record.text = record_text;
    return &record;
}

const char *iso_status_name(iso_status status)
{
    if ((unsigned)status >= ISO_STATUS_COUNT)
        return "unknown-status";
    return status_names[status];
}

iso_status iso_status_set(iso_status code, const char *file, int line, const char *format, ...)
{
    // Written aside first: the arguments may point into the current record.
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    make_one_line(text);
    memcpy(record_text, text, sizeof text);
    record.code = code;
    record.file = file;
    record.line = line;
    return code;
}

iso_status iso_status_prefix(const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return record.code;
    // What does not fit is cut at the end: the prefix says where, which the old text can't.
    size_t used = strlen(text);
    iso_copy_text(text + used, sizeof text - used, ": ");
    used += strlen(text + used);
    iso_copy_text(text + used, sizeof text - used, record_text);
    make_one_line(text);
    memcpy(record_text, text, sizeof text);
    return record.code;
}
