// SPDX-License-Identifier: MIT
//
// Members of JSON objects, written and read strictly: every text cleaned, every number within its range, no
// member left over. Knows nothing of what the objects mean.
#ifndef ISOMER_CONFORMANCE_FIELDS_H
#define ISOMER_CONFORMANCE_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/status.h"

// ---- types ----

// An object that is being written. A failure is kept until the end.
typedef struct conform_writer {
    json_t *object;
    bool failed;
} conform_writer;

// An object that is being read; `what` names it in errors.
typedef struct conform_reader {
    json_t *object;
    const char *what;
    size_t taken;
} conform_reader;

// ---- calls: writing ----

conform_writer conform_writer_make(void);
// Control characters and bytes that are no UTF-8 become '?': of a text in place, and of a new JSON text.
void conform_clean(char *text);
json_t *conform_json_text(const char *text);
json_t *conform_json_double(double value);
void conform_put(conform_writer *writer, const char *key, json_t *value); // takes `value`
void conform_put_text(conform_writer *writer, const char *key, const char *text);
void conform_put_count(conform_writer *writer, const char *key, uint64_t value); // below 2^63
void conform_put_wide(conform_writer *writer, const char *key, uint64_t value);  // any 64 bits, as a text
void conform_put_double(conform_writer *writer, const char *key, double value);
// Hands the object over, or fails with ISO_OUT_OF_MEMORY.
iso_status conform_writer_end(conform_writer *writer, json_t **out_object) ISO_MUST_USE;

// ---- calls: reading; ISO_CORRUPT names the member and what is allowed ----

iso_status conform_reader_open(conform_reader *out, json_t *json, const char *what) ISO_MUST_USE;
// NULL where it is absent. Lent.
json_t *conform_take(conform_reader *reader, const char *key);
iso_status conform_take_text(conform_reader *reader, const char *key, char *out,
                             size_t out_bytes) ISO_MUST_USE;
iso_status conform_take_count(conform_reader *reader, const char *key, uint64_t most,
                              uint64_t *out) ISO_MUST_USE;
iso_status conform_take_u32(conform_reader *reader, const char *key, uint32_t *out) ISO_MUST_USE;
iso_status conform_take_wide(conform_reader *reader, const char *key, uint64_t *out) ISO_MUST_USE;
iso_status conform_take_double(conform_reader *reader, const char *key, double *out) ISO_MUST_USE;
iso_status conform_take_bool(conform_reader *reader, const char *key, bool *out) ISO_MUST_USE;
// A value that conform_json_double wrote.
bool conform_double_of(const json_t *value, double *out);
// Refuses members that nobody took.
iso_status conform_reader_end(const conform_reader *reader) ISO_MUST_USE;

#endif
