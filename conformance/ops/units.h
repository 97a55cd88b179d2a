// SPDX-License-Identifier: MIT
//
// The kinds of units of the op suite. Each runs on the open device of a context and reports its results; the
// ids are made and taken apart in suite_ops.c.
#ifndef ISOMER_CONFORMANCE_UNITS_H
#define ISOMER_CONFORMANCE_UNITS_H

#include "conformance/ops/cases.h"

// ops/<op>/<types>/<case>/<stress>: every kernel that accepts the case.
iso_status conform_unit_case(conform_context *context, const conform_op_case *wanted,
                             const char *unit) ISO_MUST_USE;
// ops/honesty/<op>/<types>/<case>: what kernels say to the case's neighbours; every yes is run.
iso_status conform_unit_honesty(conform_context *context, const conform_op_case *wanted,
                                const char *unit) ISO_MUST_USE;
// ops/others: the same bits and the same answers with every other device open, each used once.
iso_status conform_unit_others(conform_context *context) ISO_MUST_USE;
// ops/coverage: a kernel that no case reaches fails.
iso_status conform_unit_coverage(conform_context *context) ISO_MUST_USE;

// Parts of these.

// Whether a case gets the thorough trial: a fixed quarter of all, so that the same id is always the same.
bool conform_case_is_thorough(const conform_op_case *wanted);
// Why the call does not fit the device's memory, into `reason`; true: it fits.
bool conform_call_fits(const iso_op_info *op, const void *params, const iso_device_info *device,
                       char reason[ISO_REASON_BYTES]);
// Runs a built case with one kernel, writes the standalone case where it fails, and reports.
iso_status conform_run_kernel(conform_context *context, const conform_op_case *wanted,
                              const conform_built *built, const iso_kernel *kernel, const char *unit,
                              conform_result *out_result) ISO_MUST_USE;

#endif
