// SPDX-License-Identifier: MIT
//
// How answers are printed: JSON for machines, sizes and plain names for people. Writes to standard output
// through stdio; whether it arrived is asked once at the end (cli_output_finish), and by loops that print
// much (cli_output_broken).
#ifndef ISOMER_TOOLS_OUTPUT_H
#define ISOMER_TOOLS_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/status.h"

// Prints one JSON document and a newline. Takes `json`; NULL (building it failed) is ISO_OUT_OF_MEMORY.
// Objects keep the order in which their keys were set.
iso_status cli_print_json(json_t *json) ISO_MUST_USE;

// Building JSON with one check at the end: when memory runs out the whole becomes NULL, later calls do
// nothing, and cli_print_json reports it. `value` is taken.
void cli_json_put(json_t **object, const char *key, json_t *value);
void cli_json_add(json_t **array, json_t *value);
// A string; bytes that are no UTF-8 (a driver's name, a file's) become '?'. NULL gives null.
json_t *cli_json_text(const char *text);
json_t *cli_json_count(uint64_t count);

#define CLI_SIZE_BYTES 24
// "638.4 GiB", "512 B".
const char *cli_format_bytes(uint64_t bytes, char out[CLI_SIZE_BYTES]);
// "671.0 B", "4.9 M", "17": parameters, elements.
const char *cli_format_count(uint64_t count, char out[CLI_SIZE_BYTES]);
// "142.9 GFLOP": floating-point operations.
const char *cli_format_flops(uint64_t flops, char out[CLI_SIZE_BYTES]);

// Copies text from outside, with '?' for whatever could steer a terminal. Always ends in NUL.
void cli_clean_text(const char *text, char *out, size_t out_bytes);

// Whether standard output has failed already: time to stop a long loop.
bool cli_output_broken(void);

// Writes out what is buffered. A closed pipe fails with an empty text: there is nobody to tell.
iso_status cli_output_finish(void) ISO_MUST_USE;

#endif
