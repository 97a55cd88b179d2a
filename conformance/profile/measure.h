// SPDX-License-Identifier: MIT
//
// What the measurements of the profile suite share: the bench they work on, and how they report. Each
// measurement is a function of its own over a bench; suite_profile.c lists them.
#ifndef ISOMER_CONFORMANCE_PROFILE_MEASURE_H
#define ISOMER_CONFORMANCE_PROFILE_MEASURE_H

#include "conformance/profile/probe.h"
#include "conformance/profile/profile.h"

typedef struct measure_bench {
    conform_context *context;
    conform_lab lab;
    conform_device_profile *profile; // what this unit adds to
    uint32_t samples;                // of each function
    uint64_t stream;                 // of the generator; differs between levels
} measure_bench;

// Hands the result to the suite's taker, `more` included.
void measure_send(measure_bench *bench, const conform_result *result);
// PASS where `worst` is at most `cap`, else FAIL at input a (and b), which gave `got` for `want`.
typedef struct measure_worst {
    double error;
    double a, b, got, want;
} measure_worst;
// Takes (error, operands …) where it is the worst so far; NaN is as wrong as it gets.
void measure_keep(measure_worst *worst, double error, const double operands[2], double got, double want);
void measure_judge(measure_bench *bench, const char *check, const measure_worst *worst, double cap,
                   json_t *more);
// Raises a figure of the profile to the worst error seen; one that is not finite counts as 1e30.
void measure_raise(double *figure, const measure_worst *worst);
// A failure that carries the thread's record: the probe could not run.
iso_status measure_fail(measure_bench *bench, const char *check);

iso_status measure_arithmetic(measure_bench *bench) ISO_MUST_USE;
iso_status measure_subnormals(measure_bench *bench) ISO_MUST_USE;
iso_status measure_specials(measure_bench *bench) ISO_MUST_USE;
iso_status measure_functions(measure_bench *bench) ISO_MUST_USE;
iso_status measure_sums(measure_bench *bench) ISO_MUST_USE;
iso_status measure_integers(measure_bench *bench) ISO_MUST_USE;
iso_status measure_formats(measure_bench *bench) ISO_MUST_USE;
iso_status measure_fp8(measure_bench *bench) ISO_MUST_USE;
iso_status measure_facts(measure_bench *bench) ISO_MUST_USE;
// Only on devices that have such instructions.
iso_status measure_matrix(measure_bench *bench) ISO_MUST_USE;
bool measure_matrix_fits(const iso_device_info *device);

#endif
