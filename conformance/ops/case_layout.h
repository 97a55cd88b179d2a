// SPDX-License-Identifier: MIT
//
// What the writer and the reader of case files share: the magic, the alignment, and the bytes of a tensor.
#ifndef ISOMER_CONFORMANCE_CASE_LAYOUT_H
#define ISOMER_CONFORMANCE_CASE_LAYOUT_H

#include "conformance/ops/case_file.h"
#include "conformance/ops/guarded.h"

#define CASE_MAGIC       "ISOCASE1"
#define CASE_MAGIC_BYTES 8
#define CASE_ALIGNMENT   8
#define CASE_HEAD_BYTES  (CASE_MAGIC_BYTES + 8) // with the JSON's length

static inline uint64_t case_aligned(uint64_t bytes)
{
    return (bytes + CASE_ALIGNMENT - 1) / CASE_ALIGNMENT * CASE_ALIGNMENT;
}

// A case as read from a file; owns everything.
typedef struct case_content {
    conform_case test_case; // points into the rest
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_reference_output expected[ISO_MAX_OPERANDS];
    json_t *header;
    uint8_t *data; // the whole file
    uint64_t bytes;
    uint8_t *blank; // host memory of outputs that the file has no content of
} case_content;

iso_status conform_case_read(const char *path, case_content *out_content) ISO_MUST_USE;
void conform_case_content_deinit(case_content *content);

#endif
