// SPDX-License-Identifier: MIT
//
// Reading, writing and listing a bundle's files (files.h). Nothing that is read is trusted: sizes are
// limited before memory is taken, and links are not followed.
#include "conformance/report/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isomer/allocator.h"

static iso_status system_failure(const char *verb, const char *path)
{
    int reason = errno;
    if (reason == ENOSPC || reason == EDQUOT)
        return iso_fail(ISO_IO, "cannot %s %s: the disk is full (%s); free some room and run again", verb,
                        path, strerror(reason));
    return iso_fail(reason == ENOENT || reason == ENOTDIR ? ISO_NOT_FOUND : ISO_IO, "cannot %s %s: %s", verb,
                    path, strerror(reason));
}

iso_status conform_path(char out[CONFORM_PATH_BYTES], const char *folder, const char *name)
{
    int length = snprintf(out, CONFORM_PATH_BYTES, "%s/%s", folder, name);
    if (length < 0 || length >= CONFORM_PATH_BYTES)
        return iso_fail(ISO_INVALID_ARGUMENT, "the path %.60s…/%s has %d bytes; allowed: %d", folder, name,
                        length, CONFORM_PATH_BYTES - 1);
    return ISO_OK;
}

// ---- reading ----

// Opens a regular file; never a link, and never blocks on a pipe.
static iso_status open_regular(const char *path, int *out_file, uint64_t *out_bytes)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0 && errno == ELOOP)
        return iso_fail(ISO_CORRUPT, "%s is a link; wanted: a regular file", path);
    if (file < 0)
        return system_failure("open", path);
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(file);
        return iso_fail(ISO_CORRUPT, "%s is no regular file", path);
    }
    *out_file = file;
    *out_bytes = (uint64_t)info.st_size;
    return ISO_OK;
}

iso_status conform_file_read(const char *path, size_t most, char **out_data, size_t *out_bytes)
{
    int file;
    uint64_t bytes;
    *out_data = NULL;
    *out_bytes = 0;
    ISO_TRY(open_regular(path, &file, &bytes));
    iso_status status = ISO_OK;
    char *data = bytes <= most ? malloc(bytes + 1) : NULL;
    if (bytes > most)
        status = iso_fail(ISO_CORRUPT, "%s has %" PRIu64 " bytes; allowed: %zu", path, bytes, most);
    else if (!data)
        status = iso_fail(ISO_OUT_OF_MEMORY, "no memory for the %" PRIu64 " bytes of %s", bytes, path);
    size_t at = 0;
    while (status == ISO_OK && at < bytes) {
        ssize_t got = read(file, data + at, bytes - at);
        if (got < 0 && errno != EINTR)
            status = system_failure("read", path);
        else if (got == 0)
            status = iso_fail(ISO_IO, "%s became shorter while it was read", path);
        at += got > 0 ? (size_t)got : 0;
    }
    close(file);
    if (status != ISO_OK) {
        free(data);
        return status;
    }
    data[at] = '\0';
    *out_data = data;
    *out_bytes = at;
    return ISO_OK;
}

// ---- writing ----

iso_status conform_write_all(int file, const char *path, const void *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        ssize_t done = write(file, (const char *)data + at, bytes - at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return system_failure("write", path);
        }
        at += (size_t)done;
    }
    return ISO_OK;
}

iso_status conform_file_write(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[CONFORM_PATH_BYTES], aside[CONFORM_PATH_BYTES], aside_name[CONFORM_NAME_BYTES];
    snprintf(aside_name, sizeof aside_name, ".%s.new", name);
    ISO_TRY(conform_path(path, folder, name));
    ISO_TRY(conform_path(aside, folder, aside_name));
    int file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0)
        return system_failure("create", aside);
    iso_status status = conform_write_all(file, path, data, bytes);
    if (status == ISO_OK && fsync(file) != 0)
        status = system_failure("write", path);
    if (close(file) != 0 && status == ISO_OK)
        status = system_failure("write", path);
    if (status == ISO_OK && rename(aside, path) != 0)
        status = system_failure("rename to", path);
    if (status != ISO_OK)
        unlink(aside);
    return status;
}

// ---- listing ----

static iso_status list_level(const char *folder, const char *below, conform_file_list *out)
{
    char path[CONFORM_PATH_BYTES];
    ISO_TRY(conform_path(path, folder, below[0] ? below : "."));
    DIR *directory = opendir(path);
    if (!directory)
        return system_failure("open the folder", path);
    iso_status status = ISO_OK;
    struct dirent *entry;
    while (status == ISO_OK && (entry = readdir(directory)) != NULL) {
        struct stat info;
        conform_file file = {0};
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int length =
            snprintf(file.name, sizeof file.name, "%s%s%s", below, below[0] ? "/" : "", entry->d_name);
        if (length < 0 || (size_t)length >= sizeof file.name || out->count >= CONFORM_MOST_FILES)
            status = iso_fail(ISO_CORRUPT, "%s: file names of more than %zu bytes or more than %u files",
                              path, sizeof file.name - 1, CONFORM_MOST_FILES);
        else if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            status = system_failure("look at", file.name);
        else if (S_ISDIR(info.st_mode) && below[0] == '\0')
            status = list_level(folder, file.name, out);
        else {
            file.regular = S_ISREG(info.st_mode);
            file.bytes = (uint64_t)info.st_size;
            status = iso_grow(NULL, sizeof file, out->count + 1, (void **)&out->files, &out->capacity);
            if (status == ISO_OK)
                out->files[out->count++] = file;
        }
    }
    closedir(directory);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const conform_file *)a)->name, ((const conform_file *)b)->name);
}

iso_status conform_folder_list(const char *folder, conform_file_list *out)
{
    *out = (conform_file_list){0};
    iso_status status = list_level(folder, "", out);
    if (status != ISO_OK)
        conform_file_list_deinit(out);
    else if (out->count)
        qsort(out->files, out->count, sizeof *out->files, by_name);
    return status;
}

void conform_file_list_deinit(conform_file_list *list)
{
    iso_free(NULL, list->files);
    *list = (conform_file_list){0};
}

// ---- lines ----

iso_status conform_lines_open(conform_lines *out, const char *path)
{
    int file;
    uint64_t bytes;
    *out = (conform_lines){0};
    ISO_TRY(open_regular(path, &file, &bytes));
    if (bytes > CONFORM_MOST_LINES) {
        close(file);
        return iso_fail(ISO_CORRUPT, "%s has %" PRIu64 " bytes; allowed: %llu", path, bytes,
                        CONFORM_MOST_LINES);
    }
    out->stream = fdopen(file, "rb");
    if (!out->stream) {
        close(file);
        return system_failure("open", path);
    }
    return ISO_OK;
}

iso_status conform_lines_next(conform_lines *lines, bool *out_any)
{
    int c = 0;
    lines->length = 0;
    lines->ended = false;
    *out_any = false;
    while ((c = getc_unlocked(lines->stream)) != EOF && c != '\n') {
        if (lines->length >= CONFORM_MOST_LINE || c == 0)
            return iso_fail(ISO_CORRUPT,
                            c == 0 ? "line %" PRIu64 " holds a zero byte; no line may"
                                   : "line %" PRIu64 " is longer than 4 MiB, the most that a line may have",
                            lines->number + 1);
        ISO_TRY(iso_grow(NULL, 1, lines->length + 2, (void **)&lines->line, &lines->capacity));
        lines->line[lines->length++] = (char)c;
    }
    if (c == EOF && ferror(lines->stream))
        return iso_fail(ISO_IO, "line %" PRIu64 " cannot be read: %s", lines->number + 1, strerror(errno));
    lines->ended = c == '\n';
    *out_any = lines->ended || lines->length > 0;
    lines->number += *out_any;
    ISO_TRY(iso_grow(NULL, 1, lines->length + 1, (void **)&lines->line, &lines->capacity));
    lines->line[lines->length] = '\0';
    return ISO_OK;
}

void conform_lines_close(conform_lines *lines)
{
    if (lines->stream)
        fclose(lines->stream);
    iso_free(NULL, lines->line);
    *lines = (conform_lines){0};
}
