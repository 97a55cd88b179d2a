// SPDX-License-Identifier: MIT
//
// Reads a whole small file into memory. Knows nothing of what is in it.
#ifndef ISOMER_MODEL_TEXT_TEXT_FILE_H
#define ISOMER_MODEL_TEXT_TEXT_FILE_H

#include "runtime/base/strings.h"

// Appends the content of `path`. ISO_NOT_FOUND: it does not exist. ISO_IO: it cannot be read, or is a folder.
iso_status iso_text_read_file(iso_text *text, const char *path) ISO_MUST_USE;

#endif
