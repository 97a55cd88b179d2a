// SPDX-License-Identifier: MIT
//
// The files of a bundle as bytes: reading with limits (a bundle may come from anyone), writing aside and
// renaming, listing a folder, SHA-256. Knows nothing of what is in them.
#ifndef ISOMER_CONFORMANCE_FILES_H
#define ISOMER_CONFORMANCE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "isomer/status.h"

// ---- types ----

#define CONFORM_PATH_BYTES     4096
#define CONFORM_NAME_BYTES     320
#define CONFORM_MOST_LINE      (4u << 20) // bytes of a line of results.jsonl
#define CONFORM_MOST_FILES     10000u
#define CONFORM_MOST_LINES     (1ull << 30) // bytes of all lines
#define CONFORM_SHA256_BYTES   32
#define CONFORM_SMALL_FILE     (16u << 20)
#define CONFORM_GENERATED_FILE (512u << 20)

typedef struct conform_file {
    char name[CONFORM_NAME_BYTES]; // below the folder, with '/'
    uint64_t bytes;
    bool regular; // false: a link, a device, a socket, too deep
} conform_file;

typedef struct conform_file_list {
    conform_file *files; // sorted by name
    size_t count, capacity;
} conform_file_list;

// Lines of a file, one at a time.
typedef struct conform_lines {
    FILE *stream;
    char *line; // of `length` bytes and a NUL; without its newline
    size_t length, capacity;
    uint64_t number; // 1 for the first
    bool ended;      // the line had its newline
} conform_lines;

// ---- calls: paths, files ----

// ISO_INVALID_ARGUMENT where it is too long.
iso_status conform_path(char out[CONFORM_PATH_BYTES], const char *folder, const char *name) ISO_MUST_USE;
// Reads a regular file of at most `most` bytes; a NUL follows the content. Released by free().
iso_status conform_file_read(const char *path, size_t most, char **out_data, size_t *out_bytes) ISO_MUST_USE;
// Writes <folder>/<name> aside, and renames when all of it is on the disk.
iso_status conform_file_write(const char *folder, const char *name, const void *data,
                              size_t bytes) ISO_MUST_USE;
// All of it, or a failure that names the path. A disk that is full is named as such.
iso_status conform_write_all(int file, const char *path, const void *data, size_t bytes) ISO_MUST_USE;
// Every file below the folder, two levels deep. ISO_NOT_FOUND, ISO_IO.
iso_status conform_folder_list(const char *folder, conform_file_list *out) ISO_MUST_USE;
void conform_file_list_deinit(conform_file_list *list);

// ---- calls: lines ----

iso_status conform_lines_open(conform_lines *out, const char *path) ISO_MUST_USE;
// *out_any: false after the last line. ISO_CORRUPT for a line that is too long or holds a NUL.
iso_status conform_lines_next(conform_lines *lines, bool *out_any) ISO_MUST_USE;
void conform_lines_close(conform_lines *lines);

// ---- calls: SHA-256, as 64 hexadecimal digits ----

iso_status conform_sha256(const void *data, size_t bytes, char out[65]) ISO_MUST_USE;
// hash of (the bytes that `previous` stands for, then `text`).
iso_status conform_sha256_chain(const char previous[65], const char *text, size_t bytes,
                                char out[65]) ISO_MUST_USE;
iso_status conform_sha256_file(const char *path, char out[65], uint64_t *out_bytes) ISO_MUST_USE;
// Loads the cryptography; each call above does it itself.
iso_status conform_sodium(void) ISO_MUST_USE;

#endif
