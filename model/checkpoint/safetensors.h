// SPDX-License-Identifier: MIT
//
// The safetensors format: the header of one file, checked, and the table of its element types. It knows
// nothing of folders, shards or models. Format: 8 bytes little-endian header length, a JSON object of that
// length, the data.
#ifndef ISOMER_MODEL_CHECKPOINT_SAFETENSORS_H
#define ISOMER_MODEL_CHECKPOINT_SAFETENSORS_H

#include "isomer/checkpoint.h"

// The reference implementation refuses longer headers too.
#define ISO_SAFETENSORS_MAX_HEADER_BYTES (100u * 1000 * 1000)
#define ISO_SAFETENSORS_LENGTH_BYTES     8

typedef struct iso_safetensors_entry {
    const char *name;
    const char *dtype_name;
    iso_dtype dtype; // ISO_DTYPE_NONE: a type that Isomer does not compute with
    uint32_t rank;
    uint64_t dims[ISO_CHECKPOINT_MAX_DIMS]; // 1 beyond rank
    uint64_t begin;                         // offset in the file
    uint64_t bytes;
} iso_safetensors_entry;

// Names and entries belong to the header.
typedef struct iso_safetensors_header {
    iso_safetensors_entry *entries; // in the order of the file's header
    uint32_t count;
    uint64_t tensor_bytes;
    uint64_t hole_bytes;
    char *texts;
} iso_safetensors_header;

// Reads and checks the header of a file that is in memory as a whole. `file` is for messages.
// ISO_CORRUPT, ISO_UNSUPPORTED (rank) or ISO_OUT_OF_MEMORY; *out_header is zeroed then.
iso_status iso_safetensors_parse(const uint8_t *data, size_t bytes, const char *file,
                                 const iso_allocator *allocator,
                                 iso_safetensors_header *out_header) ISO_MUST_USE;
// Accepts a zeroed header.
void iso_safetensors_header_deinit(iso_safetensors_header *header, const iso_allocator *allocator);

// The format's name of a dtype; NULL when it has none.
const char *iso_safetensors_dtype_name(iso_dtype dtype);

#endif
