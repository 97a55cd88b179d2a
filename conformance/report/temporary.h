// SPDX-License-Identifier: MIT
//
// Folders and files that a test makes and removes. For the report's tests alone.
#ifndef ISOMER_CONFORMANCE_REPORT_TEMPORARY_H
#define ISOMER_CONFORMANCE_REPORT_TEMPORARY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/report/files.h"

// Ends the test with the failure's text.
static inline void must(iso_status status)
{
    if (status != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
}

static inline void temporary_folder(char *out, size_t out_bytes)
{
    const char *parent = getenv("TMPDIR");
    snprintf(out, out_bytes, "%s/isomer-report-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(out));
}

static inline int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void remove_folder(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// The file's text with `room` spare bytes behind it.
static inline char *read_text(const char *path, size_t room)
{
    char *text;
    size_t bytes;
    must(conform_file_read(path, SIZE_MAX / 2, &text, &bytes));
    text = realloc(text, bytes + 1 + room);
    assert_non_null(text);
    return text;
}

static inline void write_text(const char *path, const char *text, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

// Of plain files, no folders in it.
static inline void copy_folder(const char *from, const char *to)
{
    conform_file_list list;
    assert_int_equal(mkdir(to, 0755), 0);
    must(conform_folder_list(from, &list));
    for (size_t i = 0; i < list.count; i++) {
        char source[1024], target[1024];
        snprintf(source, sizeof source, "%s/%s", from, list.files[i].name);
        snprintf(target, sizeof target, "%s/%s", to, list.files[i].name);
        char *text = read_text(source, 0);
        write_text(target, text, list.files[i].bytes);
        free(text);
    }
    conform_file_list_deinit(&list);
}

#endif
