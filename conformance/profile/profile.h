// SPDX-License-Identifier: MIT
//
// What was measured of how a device calculates. The profile suite fills it and attaches it to the context,
// beside the iso_numerics that follow from it; the suites after it read both.
//
// iso_numerics are never below what IEEE 754 gives (iso_numerics_ieee), and never above the caps here: a chip
// beyond a cap does not get a wide bound, it fails the profile.
#ifndef ISOMER_CONFORMANCE_PROFILE_PROFILE_H
#define ISOMER_CONFORMANCE_PROFILE_PROFILE_H

#include "conformance/suite/suite.h"

// ---- types: caps ----

#define CONFORM_CAP_UNIT 0x1p-23 // sums and products that are cut off instead of rounded
#define CONFORM_CAP_EXP  0x1p-20 // 8 units in the last place
#define CONFORM_CAP_ROOT                                                                                     \
    (10 * 0x1p-24)            // Vulkan's square root (2 ulp) and division (2.5 ulp) together, rounded up
#define CONFORM_CAP_TURN 2e-7 // absolute; what the bound of rope takes sine and cosine for
#define CONFORM_CAP_BF16                                                                                     \
    0x1p-8 // stores as BF16 are integer arithmetic: to nearest, ties to even, on every chip

// Matrix instructions: a bit more than float32 sums that are cut off lose, and than sums of which 14 bits are
// kept. The sources are in matrix.c.
#define CONFORM_CAP_MATRIX_BF16 0x1p-22
#define CONFORM_CAP_MATRIX_E4M3 0x1p-12

// ---- types: what was measured ----

typedef enum conform_fp8 {
    CONFORM_FP8_UNKNOWN, // not measured
    CONFORM_FP8_OCP,     // E4M3 as OCP has it, which is what checkpoints hold
    CONFORM_FP8_FNUZ,    // half of that, 0x80 is NaN
    CONFORM_FP8_NONE,    // the device refuses kernels that read E4M3
    CONFORM_FP8_WRONG,
} conform_fp8;

typedef enum conform_contraction {
    CONFORM_CONTRACTION_UNKNOWN,
    CONFORM_CONTRACTION_NEVER,
    CONFORM_CONTRACTION_ALWAYS,
    CONFORM_CONTRACTION_SOMETIMES,
} conform_contraction;

// Of one kind of matrix instruction.
typedef struct conform_matrix_profile {
    bool measured;
    bool cuts;             // what does not fit is cut off
    uint32_t product_bits; // the longest that keep 1 + 2^(1 - bits) - 1, all of them products
    uint32_t sum_bits;     // the same with the accumulator among them
    uint32_t result_bits;  // the longest that give 1 + 2^(1 - bits)
    uint32_t block;        // terms that are aligned to each other at once
    double error;          // worst loss of a term (matrix.c)
    double unit;           // what follows: 0, or a power of two
} conform_matrix_profile;

typedef struct conform_device_profile {
    char device[CONFORM_DEVICE_BYTES];
    conform_contraction contracts;     // a * b + c of three arguments
    conform_contraction sums_contract; // sum += a * b in a loop
    bool flushes_operands, flushes_results;
    bool biased;            // the roundings of +, - or * go one way
    double flushed;         // largest magnitude that was taken for 0; 0: none
    double add_error;       // worst relative errors
    double multiply_error;  //
    double divide_error;    //
    double sqrt_error;      //
    double rsqrt_error;     // of 1 / sqrt
    double exp_error;       //
    double turn_error;      // absolute, of sine and cosine of a phase
    uint32_t sum_bits;      // of a running sum of products: the longest that keeps 1 + 2^(1 - bits) - 1
    bool sum_cuts;          // what does not fit in it is cut off
    conform_fp8 fp8;        //
    bool bf16, f16;         // every code is read right
    uint32_t subgroup_size; // as the device reports it; 0: unknown
    conform_matrix_profile matrix[ISO_MATRIX_COUNT];
} conform_device_profile;

// ---- calls ----

// Runs the quick measurements without a report and fills context->numerics and ->profile: for a process that
// did not run the profile suite itself. What the device gets wrong is left to that suite.
iso_status conform_profile_measure(conform_context *context) ISO_MUST_USE;

const char *conform_fp8_name(conform_fp8 fp8);
const char *conform_contraction_name(conform_contraction contraction);

#endif
