// SPDX-License-Identifier: MIT
//
// manifest.json: the hash of every file of a bundle, of what the run was made with, and the head of the chain
// of results. A signature signs its bytes.
#ifndef ISOMER_CONFORMANCE_MANIFEST_H
#define ISOMER_CONFORMANCE_MANIFEST_H

#include "conformance/report/content.h"
#include "conformance/report/files.h"
#include "conformance/report/key.h"

// ---- types ----

#define CONFORM_MANIFEST "manifest.json"
// What conform_file_write makes on its way to the manifest and the signature.
#define CONFORM_MANIFEST_ASIDE  "." CONFORM_MANIFEST ".new"
#define CONFORM_SIGNATURE_ASIDE "." CONFORM_SIGNATURE ".new"

typedef struct conform_manifest_file {
    char name[CONFORM_NAME_BYTES];
    uint64_t bytes;
    char sha256[CONFORM_SHA256_TEXT];
} conform_manifest_file;

typedef struct conform_manifest {
    char suite[CONFORM_SHA256_TEXT], kernels[CONFORM_SHA256_TEXT], binary[CONFORM_SHA256_TEXT];
    char drivers[CONFORM_SHA256_TEXT]; // of backend, name, driver and arch, a newline after each
    uint64_t seed, lines;
    char chain[CONFORM_SHA256_TEXT];
    conform_manifest_file *files;
    size_t count, capacity;
} conform_manifest;

// ---- calls ----

// The hash that conform_manifest.drivers holds.
iso_status conform_drivers_hash(const conform_summary *summary, char out[CONFORM_SHA256_TEXT]) ISO_MUST_USE;
// The text of the manifest of what lies in the folder now (manifest.* itself and what is aside for it are
// left out); released by free().
iso_status conform_manifest_make(const char *folder, const conform_content *content,
                                 char **out_text) ISO_MUST_USE;
// ISO_CORRUPT names what is wrong.
iso_status conform_manifest_parse(const char *text, size_t bytes, conform_manifest *out) ISO_MUST_USE;
void conform_manifest_deinit(conform_manifest *manifest);

#endif
