// SPDX-License-Identifier: MIT
//
// Tokenizer files are written for Oniguruma in its Ruby syntax; this turns such an expression into one that
// PCRE2 (compiled with UTF, UCP and MULTILINE) matches in the same way. What the two understand differently
// is rewritten
// (\s, \d, script names) or refused by name (\w, \b, \h, nested classes, `{n}?`), never passed on. Knows no
// files.
#ifndef ISOMER_MODEL_TEXT_REGEX_DIALECT_H
#define ISOMER_MODEL_TEXT_REGEX_DIALECT_H

#include <stddef.h>

#include "runtime/base/strings.h"

// Appends the PCRE2 form of `pattern` (valid UTF-8). ISO_UNSUPPORTED names what is not translated and where.
iso_status iso_regex_translate(const char *pattern, size_t bytes, iso_text *out) ISO_MUST_USE;

#endif
