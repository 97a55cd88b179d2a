// SPDX-License-Identifier: MIT
//
// A bundle: a folder that holds what a run of the suite found, for people and for strangers who check it.
//
//   results.jsonl   header, one line for each result, summary; every line's hash includes the line before
//   junit.xml       the same for build servers
//   report.html     the same for people: one page that loads nothing
//   cases/*.case    failing cases that run alone (written by the suites)
//   manifest.json   hashes of all these files and of what they were made with
//   manifest.sig    Ed25519 signature of manifest.json, where a key was given
//
//   create -> append … append -> finish           an interrupted bundle: resume -> append … -> finish
//   verify(folder)    diff(folder, folder)        keygen(file)
//
// junit.xml and report.html follow from results.jsonl alone, to the byte. Formats:
// conformance/report/README.md. Does not: run suites, decide verdicts, print. Threads: a bundle is used by
// one thread at a time.
#ifndef ISOMER_CONFORMANCE_REPORT_H
#define ISOMER_CONFORMANCE_REPORT_H

#include "conformance/report/record.h"
#include "runtime/base/strings.h"

// ---- types ----

typedef struct conform_bundle conform_bundle;

// One thing that verification has to say.
typedef struct conform_finding {
    bool problem;    // false: a remark
    char where[160]; // "results.jsonl, line 7", "manifest.json", "ops/linear/…"
    char what[512];
} conform_finding;

typedef struct conform_verify_report {
    conform_finding *findings;
    size_t count, capacity;
    uint32_t problem_count;           // 0: the bundle is what it claims to be
    bool signature_valid;             // there is one and it fits its key
    bool signer_trusted;              // and the key is the one that was asked for
    char signer[CONFORM_SHA256_TEXT]; // the public key, hexadecimal; "" unsigned
    uint32_t file_count, record_count;
    uint32_t rebuilt_units; // inputs, references and bounds made again
    uint64_t seed;          // of the choice of units: options.seed, for whoever repeats it
    uint32_t sample_count;  // elements judged again
    uint32_t rerun_units;   // run again on options.device
    char rerun_device[CONFORM_DEVICE_BYTES];
} conform_verify_report;

typedef struct conform_verify_options {
    const char *public_key; // file of the key that must have signed; NULL: any or none
    const char *device;     // where samples are run again; NULL: "cpu"
    uint32_t rerun_count;   // units run again; 0: none
    uint32_t rebuild_count; // units whose inputs and bounds are made again; 0: all
    uint64_t seed;          // of the choice of both; the bundle's maker must not know it
    // Progress of the long parts; may be NULL.
    void (*on_progress)(void *context, const char *part, uint32_t done, uint32_t total);
    void *context;
} conform_verify_options;

// ---- calls: making ----

// The folder must be absent or empty (ISO_INVALID_ARGUMENT); its parent must exist. The header is on the disk
// when this returns.
iso_status conform_bundle_create(const char *folder, const conform_header *header,
                                 conform_bundle **out_bundle) ISO_MUST_USE;
// Goes on with an interrupted one: half a line at its end and the records of its last unit are dropped, so
// that this unit runs again. ISO_INVALID_ARGUMENT where it is finished, or was begun with another program or
// file of it, suite, device, level, profile, pattern or seed.
iso_status conform_bundle_resume(const char *folder, const conform_header *header,
                                 conform_bundle **out_bundle) ISO_MUST_USE;
// Whether a unit's results are in it already. Takes a conform_bundle as void *: conform_run_options.skip.
bool conform_bundle_has(void *bundle, const char *unit);
// Hands out every record that is in the bundle now, in order, lent: after a resumption verdicts and counts
// must include them. The first failure of `visit` ends it and is returned.
iso_status conform_bundle_replay(const conform_bundle *bundle,
                                 iso_status (*visit)(void *context, const conform_record *record),
                                 void *context) ISO_MUST_USE;
// Writes the record's line. ISO_IO (disk full, …): the line is not there, not even a part of it; all lines
// before stay readable. Fits conform_run_options.on_record.
iso_status conform_bundle_append(void *bundle, const conform_record *record) ISO_MUST_USE;
// "<folder>/cases": where suites put failing cases. Lent.
const char *conform_bundle_case_folder(const conform_bundle *bundle);
// Writes the summary's line, junit.xml, report.html, manifest.json, and manifest.sig with the secret key of
// that file (NULL: unsigned). After a failure what was written before stays readable.
iso_status conform_bundle_finish(conform_bundle *bundle, const conform_summary *summary,
                                 const char *secret_key_file) ISO_MUST_USE;
// Accepts NULL. Without finish the bundle stays interrupted.
void conform_bundle_close(conform_bundle *bundle);

// Makes an Ed25519 pair: `path` (secret, readable by its owner only) and `path`.pub. Neither may exist.
iso_status conform_keygen(const char *path) ISO_MUST_USE;
// Whether `path` holds a secret key that conform_bundle_finish can sign with, for asking before a long run.
// ISO_NOT_FOUND, ISO_IO, ISO_CORRUPT name the file and what is wrong with it.
iso_status conform_secret_key_check(const char *path) ISO_MUST_USE;

// ---- calls: checking ----

// ISO_OK when the verification was carried out, whatever it found: see problem_count. Failures are those of
// this machine: no such folder, an unreadable key, a device that cannot be opened.
iso_status conform_verify(const char *folder, const conform_verify_options *options,
                          conform_verify_report *out_report) ISO_MUST_USE;
// One line a finding and a closing line, or JSON (new reference).
iso_status conform_verify_text(const conform_verify_report *report, iso_text *out) ISO_MUST_USE;
iso_status conform_verify_json(const conform_verify_report *report, json_t **out_json) ISO_MUST_USE;
void conform_verify_report_deinit(conform_verify_report *report);

// ---- calls: comparing ----

// What changed from bundle `a` to bundle `b` (two drivers, two dates): both as text and as JSON (new
// reference; either may be NULL). *out_worse: B fails where A did not. Neither is verified.
iso_status conform_diff(const char *folder_a, const char *folder_b, iso_text *out_text, json_t **out_json,
                        bool *out_worse) ISO_MUST_USE;

#endif
