// SPDX-License-Identifier: MIT
//
// The parts of a verification and what they share: where findings go, and what was read from the folder.
// Private to report/verify*.c.
#ifndef ISOMER_CONFORMANCE_VERIFY_H
#define ISOMER_CONFORMANCE_VERIFY_H

#include "conformance/report/manifest.h"
#include "conformance/report/report.h"

#define VERIFY_MOST_FINDINGS 200

typedef struct verification {
    const char *folder;
    const conform_verify_options *options;
    conform_verify_report *report;
    conform_content content;
    conform_manifest manifest;
    bool has_manifest;
    char suite[CONFORM_SHA256_TEXT]; // of this program
    iso_status status;               // the first failure of this machine, not of the bundle
} verification;

// Adds a finding; after VERIFY_MOST_FINDINGS problems are only counted.
void verify_problem(verification *v, const char *where, const char *format, ...) ISO_PRINTF(3, 4);
void verify_remark(verification *v, const char *where, const char *format, ...) ISO_PRINTF(3, 4);
// "results.jsonl, line 7" of record `index`.
const char *verify_place(const verification *v, size_t index, char out[160]);

// Whether this program has the suite that made the bundle, so that it can make it again.
bool verify_has_suite(const verification *v);

// The parts, in their order.
void verify_files(verification *v);   // names, sizes, hashes, manifest, signature
void verify_chain(verification *v);   // results.jsonl against itself and the manifest
void verify_pages(verification *v);   // html, junit
void verify_records(verification *v); // each record against itself, completeness, verdicts
void verify_rebuild(verification *v); // inputs, references, bounds
void verify_rerun(verification *v);   // a sample, on a device

#endif
