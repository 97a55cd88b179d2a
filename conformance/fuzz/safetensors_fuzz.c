// SPDX-License-Identifier: MIT
//
// Fuzz target: one safetensors file in memory. Whatever the bytes are, the parser says yes or no; after a yes
// every tensor lies inside the file and is as long as its shape says.
#include <stdlib.h>
#include <string.h>

#include "model/checkpoint/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    iso_safetensors_header header;
    if (iso_safetensors_parse(data, size, "fuzz", NULL, &header) != ISO_OK) {
        if (header.entries || header.count > 0 || iso_status_last()->text[0] == '\0')
            abort();
        return 0;
    }
    uint64_t covered = 0;
    for (uint32_t i = 0; i < header.count; i++) {
        const iso_safetensors_entry *entry = &header.entries[i];
        uint64_t elems = 1;
        for (uint32_t d = 0; d < ISO_CHECKPOINT_MAX_DIMS; d++)
            elems *= entry->dims[d];
        if (entry->begin > size || entry->bytes > size - entry->begin || strlen(entry->name) > size)
            abort();
        if (entry->dtype != ISO_DTYPE_NONE && elems * iso_dtype_bytes(entry->dtype) != entry->bytes)
            abort();
        covered += entry->bytes;
    }
    if (covered != header.tensor_bytes || covered + header.hole_bytes > size)
        abort();
    iso_safetensors_header_deinit(&header, NULL);
    return 0;
}
