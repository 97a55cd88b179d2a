// SPDX-License-Identifier: MIT
//
// Reading for text_file.h; the size is not asked for first, so pipes work too.
#include "model/text/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STEP_BYTES 65536

iso_status iso_text_read_file(iso_text *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return iso_fail(errno == ENOENT || errno == ENOTDIR ? ISO_NOT_FOUND : ISO_IO,
                        "%s: cannot be opened: %s", path, strerror(errno));
    iso_status status = ISO_OK;
    char step[STEP_BYTES];
    size_t count;
    while (status == ISO_OK && (count = fread(step, 1, sizeof step, file)) > 0)
        status = iso_text_append_bytes(text, step, count);
    if (status == ISO_OK && ferror(file))
        status = iso_fail(ISO_IO, "%s: cannot be read: %s", path, strerror(errno));
    (void)fclose(file);
    return status;
}
