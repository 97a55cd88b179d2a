// SPDX-License-Identifier: MIT
//
// Files as the checkpoint readers see them: mapped whole and read-only, and parsed as strict JSON. It knows
// nothing of what is inside.
#ifndef ISOMER_MODEL_CHECKPOINT_FILE_H
#define ISOMER_MODEL_CHECKPOINT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "isomer/allocator.h"

// What every message about a damaged file ends with.
#define ISO_REMEDY_DOWNLOAD "download the file again"

typedef struct iso_mapped_file {
    const uint8_t *data; // NULL for an empty file
    size_t bytes;
} iso_mapped_file;

// Maps a regular file. ISO_NOT_FOUND: no such file; ISO_IO: anything else. The text names the path.
iso_status iso_mapped_file_open(const char *path, iso_mapped_file *out_file) ISO_MUST_USE;
// Accepts a zeroed struct.
void iso_mapped_file_close(iso_mapped_file *file);

// Whether `path` is a folder, and whether it exists at all.
bool iso_path_is_folder(const char *path);
bool iso_path_exists(const char *path);
// "folder/name", to be freed with the same allocator.
iso_status iso_path_join(const char *folder, const char *name, const iso_allocator *allocator,
                         char **out_path) ISO_MUST_USE;

// Parses JSON without duplicate keys, with further decoding flags of jansson (JSON_ALLOW_NUL) or 0; release
// the value with json_decref. ISO_CORRUPT names `file`, the line and the parser's reason.
iso_status iso_json_parse(const void *text, size_t bytes, size_t flags, const char *file,
                          json_t **out_value) ISO_MUST_USE;

#endif
