// SPDX-License-Identifier: MIT
//
// Which branches of the shipped kernels the op suite's cases run, and which never: the suite runs on a plain
// simulated chip, which counts the sides of every branch of the SPIR-V that it executes.
#ifndef ISOMER_CONFORMANCE_SELFTEST_BRANCHES_H
#define ISOMER_CONFORMANCE_SELFTEST_BRANCHES_H

#include <stdio.h>

#include "conformance/suite/suite.h"

// Runs the ops suite at `level` and prints a line a kernel, in Markdown: sides of branches, sides taken, and
// those never taken. *out_complete: every portable kernel ran. Forks; call it before any thread is started.
iso_status conform_branches_print(conform_level level, uint64_t seed, FILE *file,
                                  bool *out_complete) ISO_MUST_USE;

#endif
