// SPDX-License-Identifier: MIT
//
// What the references compute error bounds with: rounding terms of a device's numerics, and sums of products
// that know how far a float32 kernel may stray from them, in any order. The derivations are in
// kernels/linear/bound.md (sums) and in the bound.md of each op. Knows no op.
#ifndef ISOMER_KERNELS_BOUND_H
#define ISOMER_KERNELS_BOUND_H

#include "isomer/op.h"

// ---- types ----

#define ISO_SUM_LANES  64
#define ISO_SUM_LEVELS 160

// What matrix instructions may lose of a sum. All members are 0 where they lose nothing.
typedef struct iso_span {  // of terms that are summed in one accumulator
    uint32_t count, terms; // all; those that are not 0
    double value, magnitude, squares, reach;
    double balance; // terms above 0 less those below
} iso_span;

typedef struct iso_matrix_loss { // in units of iso_numerics.matrix_unit, of the spans that are complete
    double worst, balance, squares, steady;
} iso_matrix_loss;

// A sum of products under construction. Read value, magnitude and terms; the rest belongs to bound.c.
typedef struct iso_sum {
    double value;
    double magnitude; // sum of |term|
    uint32_t terms;   // those that are not 0
    const iso_numerics *numerics;
    uint32_t count;                // all terms
    uint32_t repeats;              // terms equal to one of the two before: their roundings do not average out
    double last[2];                // the terms before
    double squares;                // sum of term^2
    double reach;                  // largest |partial sum| in ascending order
    double lanes[ISO_SUM_LANES];   // sums of every 64th term
    double levels[ISO_SUM_LEVELS]; // sums of |term|, by exponent
    double lost;                   // magnitude that a device may flush
    double fine_scale;             // largest scale of a term near the subnormals; 0: there is none
    double smallest;               // operand's magnitude
    int lowest_bit;                // exponent of the lowest bit set in any product or term
    uint32_t
        pieces; // terms of a matrix instruction that a kernel may cut a term into; the caller may raise it
    iso_span span;
    iso_matrix_loss loss;
} iso_sum;

// ---- calls ----

// n u / (1 - n u): the relative error of n roundings that may all go one way.
double iso_gamma(const iso_numerics *numerics, double roundings);
// The same of n roundings that average out where the device's do: min(n, 6 sqrt(n)) of them.
double iso_gamma_averaged(const iso_numerics *numerics, double roundings);
// What may be flushed to 0, or is the spacing of subnormals: the absolute error of any operation.
double iso_flush_bound(const iso_numerics *numerics);

// What a device loses of an operand where it takes it for 0.
double iso_flushed(const iso_numerics *numerics, double operand);
// What it loses of a result beside its relative error: all where it flushes, else what subnormals round off.
double iso_underflow(const iso_numerics *numerics, double result);

iso_sum iso_sum_begin(const iso_numerics *numerics);
// Adds a * b * scale, for a kernel that multiplies the sum over some terms by their scale (1: none).
void iso_sum_add(iso_sum *sum, double a, double b, double scale);
// Adds a term that no matrix instruction takes: a bias.
void iso_sum_add_apart(iso_sum *sum, double term);
// The largest error of a float32 sum of these terms in any order, `more` roundings of each beside its product
// and the additions included. 0 where every order gives the exact sum; INFINITY where one may overflow.
double iso_sum_error(const iso_sum *sum, double more);

// The end of every reference: what a kernel stores of `value`, which it knows within `error`, and how far
// that may be off. An error of 0 demands equality, of the value rounded to `dtype`; so does a value that is
// not finite.
void iso_store_bound(const iso_numerics *numerics, iso_dtype dtype, double value, double error,
                     double *out_value, double *out_bound);

#endif
