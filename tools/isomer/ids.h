// SPDX-License-Identifier: MIT
//
// Token ids as the command line gives them: "1,2,3", or a file with numbers or with the JSON that `isomer
// tokenize` prints. Text only: which ids a model has is not known here.
#ifndef ISOMER_TOOLS_IDS_H
#define ISOMER_TOOLS_IDS_H

#include "isomer/tokenizer.h"

// From exactly one of the two; the other is NULL. Appends to `out`. ISO_INVALID_ARGUMENT or ISO_CORRUPT names
// what is no id; ISO_NOT_FOUND or ISO_IO the file.
iso_status cli_ids_read(const char *text, const char *path, iso_token_list *out) ISO_MUST_USE;

#endif
