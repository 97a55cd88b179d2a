// SPDX-License-Identifier: MIT
//
// A standalone case: one call of one op with its inputs, the expected outputs and their bounds, in one file
// that a stranger runs on another device without a model, a seed or this suite's generator. Layout, little
// endian: "ISOCASE1", 8 bytes of JSON length, the JSON header, then the raw tensors in the order of the
// header, each 8-byte aligned:
//
//   {"suite": 1, "unit": …, "op": …, "kernel": …, "seed": …, "detail": …, "hash": XXH3 of all that follows,
//    "attributes": {…}, "tensors": [{"name", "dtype", "dims", "row_stride", "view_offset",
//                                     "elements", "shares"}], "expected": [elements per output]}
//
// Knows neither how a case came about nor what a suite does with the verdict.
#ifndef ISOMER_CONFORMANCE_CASE_FILE_H
#define ISOMER_CONFORMANCE_CASE_FILE_H

#include "conformance/suite/suite.h"

// ---- types ----

// What the suite of today writes; another number in a file is refused.
#define CONFORM_CASE_VERSION 1

typedef struct conform_case {
    const iso_op_info *op;
    // All tensors with `host` set, the outputs' too (their content is kept where they share an input's
    // memory, and where the op writes only a part of them; else it is not looked at).
    const void *params;
    const iso_reference_output *expected; // [op->output_count]: values and bounds, rows packed
    const char *kernel;                   // the kernel's name; "": the first that accepts the call
    const char *unit;                     // where it comes from: "ops/linear/…", "model/v3-fp8/layer 2/…"
    const char *detail;                   // what was found wrong
    uint64_t seed;                        // of the inputs; 0 where they were captured
} conform_case;

// ---- calls ----

// Writes <folder>/<unit with '_' for '/'>.case aside and renames it; the folder is made where it is absent.
// out_path (may be NULL) takes the path.
iso_status conform_case_write(const char *folder, const conform_case *test_case, char *out_path,
                              size_t path_bytes) ISO_MUST_USE;

// The same under a name of the caller's; what was there by that name is replaced. No folder is made.
iso_status conform_case_write_file(const char *path, const conform_case *test_case) ISO_MUST_USE;

// Runs the case of a file on the device, with all guards, and judges it by the bounds in the file. The
// kernel is the file's where the device takes it, else the first that it does take; its name is in `check`.
// ISO_CORRUPT names the field of a file that is cut, edited or contradicts itself; ISO_UNSUPPORTED lists why
// each kernel refuses; ISO_DEVICE_LOST the device's end. A failing case is a result, not a failure.
iso_status conform_case_run(const char *path, iso_device *device, conform_result *out_result) ISO_MUST_USE;

// One call with captured tensors, run and judged in the same way without a file. `kernel` must accept it.
iso_status conform_case_judge(const conform_case *test_case, const iso_kernel *kernel, iso_device *device,
                              conform_result *out_result) ISO_MUST_USE;

#endif
