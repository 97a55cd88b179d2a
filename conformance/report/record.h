// SPDX-License-Identifier: MIT
//
// What a bundle of results consists of, as structs and as JSON, one way and back without loss: the header
// that is known before a run, one record for each result, the summary that is known after it. Everything in
// report/ works from these alone. Doubles are written with 17 digits, NaN and infinities as "nan", "inf",
// "-inf"; 64-bit hashes and seeds as texts. Reading is strict: a missing, unknown or wrong member is refused
// by name.
//
// Must not know how results come about. Format: conformance/report/README.md.
#ifndef ISOMER_CONFORMANCE_RECORD_H
#define ISOMER_CONFORMANCE_RECORD_H

#include "conformance/suite/suite.h"

// ---- types ----

#define CONFORM_BUNDLE_VERSION 1
#define CONFORM_SHA256_TEXT    65 // 64 hexadecimal digits and the NUL
#define CONFORM_MAX_PROFILES   16

// One result of one unit on one device.
typedef struct conform_record {
    char unit[CONFORM_UNIT_BYTES];
    char suite[32];
    char device[CONFORM_DEVICE_BYTES]; // canonical name: "opencl:0"
    conform_level level;               // the unit's
    conform_result result;             // owns result.more
    double seconds;                    // since the unit's start or its result before; sums to the run's time
    uint32_t tries, failures;          // runs of the unit with the same seed, and how many of them failed
} conform_record;

// Known before the first unit.
typedef struct conform_header {
    char program[64];                  // "isomer 0.1.0"
    char suite[CONFORM_SHA256_TEXT];   // conform_suite_version
    char kernels[CONFORM_SHA256_TEXT]; // conform_kernels_hash
    char binary[CONFORM_SHA256_TEXT];  // of the program's file: it holds the native kernels; "" unknown
    char device[CONFORM_DEVICE_BYTES]; // as asked for
    conform_level level;
    char profile[32];              // the profile asked for, "" for all
    char only[CONFORM_UNIT_BYTES]; // the pattern of units asked for, "" for all
    uint64_t seed;
    char date[32];  // of the start, "2026-11-23T16:43:20Z"
    char host[128]; // system and processor
} conform_header;

// What a profile's verdict is: the driver decides, the report shows.
typedef struct conform_verdict {
    char profile[32]; // "Core", "MLA", ...
    char verdict[24]; // "pass", "fail", "incomplete"
    char missing[1024];
} conform_verdict;

// Known after the last unit.
typedef struct conform_summary {
    char device[CONFORM_DEVICE_BYTES]; // canonical name
    iso_device_info info;              // the driver's own words and numbers
    iso_numerics numerics;             // what the bounds were computed with
    json_t *measured;                  // an object: what the profile suite found; NULL: nothing; owned
    conform_verdict verdicts[CONFORM_MAX_PROFILES];
    uint32_t verdict_count;
    uint32_t unit_count, worker_count;
    double seconds;
    char date[32]; // of the end
} conform_summary;

// ---- calls ----

// Fills program, suite, kernels, binary, date and host; all else is 0.
iso_status conform_header_init(conform_header *out_header) ISO_MUST_USE;
// The present time as in conform_header.date.
void conform_date_now(char out[32]);

// New objects. Texts are cleaned: control characters and bytes that are no UTF-8 become '?'.
iso_status conform_record_to_json(const conform_record *record, json_t **out_json) ISO_MUST_USE;
iso_status conform_header_to_json(const conform_header *header, json_t **out_json) ISO_MUST_USE;
iso_status conform_summary_to_json(const conform_summary *summary, json_t **out_json) ISO_MUST_USE;

// ISO_CORRUPT names the member, its value and what is allowed. On failure *out owns nothing.
iso_status conform_record_from_json(json_t *json, conform_record *out) ISO_MUST_USE;
iso_status conform_header_from_json(json_t *json, conform_header *out) ISO_MUST_USE;
iso_status conform_summary_from_json(json_t *json, conform_summary *out) ISO_MUST_USE;

// Releases what the struct owns.
void conform_record_deinit(conform_record *record);
void conform_summary_deinit(conform_summary *summary);

// One line of text without the newline; released by free().
iso_status conform_json_line(const json_t *json, char **out_line) ISO_MUST_USE;

// Outcomes that cost a device its verdict: fail, unexpected pass, crash, hang.
bool conform_outcome_is_bad(conform_outcome outcome);

// SHA-256 over every unit's id and level, the expectation list, the profiles and their needs, every op's
// cases and bound's version, and what its reference answers to the first case in each choice of types, value
// and bound.
iso_status conform_suite_version(char out[CONFORM_SHA256_TEXT]) ISO_MUST_USE;
// SHA-256 over every kernel's name, types, group size and code in all formats (native ones: name and scratch;
// conform_header.binary covers their code).
iso_status conform_kernels_hash(char out[CONFORM_SHA256_TEXT]) ISO_MUST_USE;

#endif
