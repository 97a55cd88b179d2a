// SPDX-License-Identifier: MIT
//
// What a bundle's results.jsonl holds, in memory, and the form of its lines:
//   {"n":N,"header"|"record"|"summary":{…},"hash":"<SHA-256 of the hash before and of the line up to here>"}
// Reading checks each line's form and its place in the chain. Knows nothing of the other files.
#ifndef ISOMER_CONFORMANCE_CONTENT_H
#define ISOMER_CONFORMANCE_CONTENT_H

#include "conformance/report/record.h"

// ---- types ----

#define CONFORM_RESULTS "results.jsonl"
// What the first line follows.
#define CONFORM_CHAIN_START "0000000000000000000000000000000000000000000000000000000000000000"

typedef struct conform_content {
    conform_header header;
    conform_record *records;
    uint64_t *lines;   // [count] the line that holds the record
    uint64_t *offsets; // [count] where this line begins
    size_t count, capacity, line_capacity, offset_capacity;
    conform_summary summary;
    bool has_header, finished;
    uint64_t line_count;
    uint64_t good_bytes; // of whole lines
    uint64_t summary_at; // where its line begins; 0 where there is none
    bool cut;            // half a line follows them
    char head[CONFORM_SHA256_TEXT];
} conform_content;

// Takes what is wrong with a line; reading goes on behind it.
typedef void (*conform_line_complaint)(void *context, uint64_t line, const char *text);

// ---- calls ----

// Reads <folder>/results.jsonl. Without `complain` the first wrong line is the failure (half a line at the
// end is not: an interrupted run may leave one). With it, failures are those of the file itself.
iso_status conform_content_load(const char *folder, conform_line_complaint complain, void *context,
                                conform_content *out) ISO_MUST_USE;
void conform_content_deinit(conform_content *content);

// A line with its newline; `head` (hash of the line before) becomes its hash. Released by free().
iso_status conform_content_line(uint64_t number, const char *kind, const json_t *json,
                                char head[CONFORM_SHA256_TEXT], char **out_line) ISO_MUST_USE;

#endif
