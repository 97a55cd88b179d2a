// SPDX-License-Identifier: MIT
// The table of instruction forms, for the loader that matches them and for the tests that go through all of
// them.
#pragma once

#include <stdint.h>

typedef struct ptx_form {
    uint32_t op;
    const char *pattern, *operands;
} ptx_form;

extern const ptx_form ptx_forms[];
extern const uint32_t ptx_form_count;

// What stands in patterns as %<letter>.
const char *ptx_list(char letter);
