// SPDX-License-Identifier: MIT
//
// Error bounds that the references share (bound.h).
//
// Roundings average out: n independent errors of at most u each, of mean 0, pass LAMBDA sqrt(n) u with a
// probability below 2 exp(-LAMBDA^2 / 2), 3e-8 for 6: Higham and Mary 2019, "A New Approach to Probabilistic
// Rounding Error Analysis", theorem 2.4. They do not where a device rounds to one side only, where the same
// term is added again and again, and where terms are too small to change the sum: theirs add up.
#include "kernels/bound.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "isomer/ops.h"

#define LAMBDA 6.0
// More than any float: a kernel may overflow where its magnitudes do.
#define OVERFLOWS 0x1p129

const iso_numerics iso_numerics_ieee = {
    .unit = 0x1p-24,
    .biased = false,
    .flush = 0x1p-126,
    .exp_unit = 0x1p-22,
    .root_unit = 0x1p-24,
    .bf16_unit = 0x1p-8,
};

iso_numerics iso_kernel_numerics(const iso_kernel *kernel, const iso_numerics *device)
{
    iso_numerics own = *device;
    bool sums = kernel && kernel->matrix > ISO_MATRIX_NONE && kernel->matrix < ISO_MATRIX_COUNT;
    own.matrix_unit = sums ? device->matrix_units[kernel->matrix] : 0;
    own.matrix_terms = sums ? kernel->matrix_terms : 0;
    return own;
}

double iso_gamma(const iso_numerics *numerics, double roundings)
{
    double sum = roundings * numerics->unit;
    return sum < 1 ? sum / (1 - sum) : INFINITY;
}

double iso_gamma_averaged(const iso_numerics *numerics, double roundings)
{
    double averaged = LAMBDA * sqrt(roundings);
    return iso_gamma(numerics, numerics->biased || averaged > roundings ? roundings : averaged);
}

double iso_flush_bound(const iso_numerics *numerics)
{
    return fmax(numerics->flush, 0x1p-149);
}

double iso_flushed(const iso_numerics *numerics, double operand)
{
    return fabs(operand) < iso_flush_bound(numerics) ? fabs(operand) : 0;
}

double iso_underflow(const iso_numerics *numerics, double result)
{
    double flushed = iso_flushed(numerics, result);
    return flushed > 0 || fabs(result) > 0x1p-125 || result == 0 ? flushed : 0x1p-149;
}

// Exponent of the lowest bit that is set in a finite normal double.
static int lowest_bit(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    return (int)(bits >> 52 & 0x7ff) - 1075 + __builtin_ctzll(mantissa);
}

iso_sum iso_sum_begin(const iso_numerics *numerics)
{
    return (iso_sum){.numerics = numerics, .smallest = INFINITY, .lowest_bit = INT32_MAX, .pieces = 1};
}

// ---- matrix instructions ----

// The fewest terms of K that an instruction adds up: an accumulator is cut off once for so many.
#define MATRIX_K 16.0

// Each term, and the accumulator once an instruction, is cut off towards 0 by at most one unit of the largest
// of terms and sums. The worst case has them all on one side. Likely, what terms above 0 lose makes up for
// what those below lose, but for their difference in number and for chance; the accumulators' add up.
static void close_span(const iso_sum *sum, iso_matrix_loss *loss)
{
    const iso_span *span = &sum->span;
    double terms = (double)span->terms * sum->pieces;
    // Where a kernel divides K at places of its own, its sums are differences of two of these.
    double reach = fmax(span->reach, sqrt(span->squares)) * (sum->numerics->matrix_terms ? 1 : 2);
    double largest = fmin(reach, span->magnitude);
    loss->worst += (1 + 1 / MATRIX_K) * terms * span->magnitude;
    loss->balance += span->balance * sum->pieces * largest;
    loss->squares += terms * largest * largest;
    loss->steady += ceil(terms / MATRIX_K) * largest;
}

static void add_to_span(iso_sum *sum, double term)
{
    iso_span *span = &sum->span;
    if (term != 0 && isfinite(term)) {
        span->terms++;
        span->value += term;
        span->magnitude += fabs(term);
        span->squares += term * term;
        span->reach = fmax(span->reach, fabs(span->value));
        span->balance += term > 0 ? 1 : -1;
    }
    if (++span->count == sum->numerics->matrix_terms) {
        close_span(sum, &sum->loss);
        *span = (iso_span){0};
    }
}

// Of `terms` losses in [0, 1] each, chance makes at most LAMBDA / 2 sqrt(terms): Hoeffding's inequality.
static double matrix_error(const iso_sum *sum, bool averages)
{
    iso_matrix_loss loss = sum->loss;
    close_span(sum, &loss);
    double likely = fabs(loss.balance) + LAMBDA / 2 * sqrt(loss.squares) + loss.steady;
    return sum->numerics->matrix_unit * (averages ? fmin(loss.worst, likely) : loss.worst);
}

// ---- sums ----

// Four exponents a level.
static uint32_t level_of(double magnitude)
{
    int exponent;
    frexp(magnitude, &exponent);
    int level = exponent / 4 + ISO_SUM_LEVELS / 2;
    return level < 0 ? 0 : level >= ISO_SUM_LEVELS ? ISO_SUM_LEVELS - 1 : (uint32_t)level;
}

static void note_flushing(iso_sum *sum, double a, double b, double scale, double product)
{
    double flush = iso_flush_bound(sum->numerics), small = fmin(fabs(a), fabs(b));
    double term = fabs(product * scale);
    sum->smallest = fmin(sum->smallest, fmin(small, fabs(scale)));
    if (small < flush || fabs(scale) < flush)
        sum->lost += term; // the operand may be taken for 0
    // Sums of terms above 2^25 times the smallest normal number are 0 or normal themselves.
    if (fabs(product) < 0x1p25 * flush || term < 0x1p25 * flush)
        sum->fine_scale = fmax(sum->fine_scale, fmax(1, fabs(scale)));
}

static void add_term(iso_sum *sum, double a, double b, double scale)
{
    double product = a * b, term = product * scale, magnitude = fabs(term);
    uint32_t lane = sum->count++ % ISO_SUM_LANES;
    sum->value += term;
    if (term == 0 || !isfinite(term))
        return;
    sum->terms++;
    sum->magnitude += magnitude;
    sum->squares += term * term;
    sum->reach = fmax(sum->reach, fabs(sum->value));
    sum->lanes[lane] += term;
    sum->levels[level_of(magnitude)] += magnitude;
    sum->repeats += term == sum->last[0] || term == sum->last[1];
    sum->last[1] = sum->last[0];
    sum->last[0] = term;
    int bit = lowest_bit(product), scaled_bit = lowest_bit(term);
    bit = bit < scaled_bit ? bit : scaled_bit;
    sum->lowest_bit = bit < sum->lowest_bit ? bit : sum->lowest_bit;
    note_flushing(sum, a, b, scale, product);
}

void iso_sum_add(iso_sum *sum, double a, double b, double scale)
{
    add_term(sum, a, b, scale);
    if (sum->numerics->matrix_unit > 0)
        add_to_span(sum, a * b * scale);
}

void iso_sum_add_apart(iso_sum *sum, double term)
{
    add_term(sum, term, 1, 1);
}

// Whether every product, scaled or not, and every sum of some of them is a float: all are multiples of one
// power of two, and their magnitudes together stay below as many of it as a float can count.
static bool sum_is_exact(const iso_sum *sum)
{
    if (sum->terms == 0)
        return true;
    double countable = (sum->numerics->biased ? 2 : 1) / sum->numerics->unit;
    if (sum->numerics->matrix_unit > 0)
        countable = fmin(countable, 1 / sum->numerics->matrix_unit);
    double flush = iso_flush_bound(sum->numerics), unit = ldexp(1, sum->lowest_bit);
    return unit >= flush && sum->smallest >= flush && sum->magnitude <= countable * unit;
}

// The largest magnitude that partial sums reach in ascending order, in lanes of every 2nd, 4th, … 64th term,
// and in an order drawn by lot.
static double largest_partial(const iso_sum *sum)
{
    double lanes[ISO_SUM_LANES], largest = fmax(sum->reach, sqrt(sum->squares));
    memcpy(lanes, sum->lanes, sizeof lanes);
    for (uint32_t half = ISO_SUM_LANES; half > 0; half /= 2)
        for (uint32_t i = 0; i < half; i++) {
            if (half < ISO_SUM_LANES)
                lanes[i] += lanes[i + half];
            largest = fmax(largest, fabs(lanes[i]));
        }
    return largest;
}

// Magnitude of the terms that a partial sum of `largest` may swallow whole.
static double swallowed(const iso_sum *sum, double largest)
{
    double magnitude = 0;
    if (largest == 0)
        return 0;
    uint32_t top = level_of(2 * sum->numerics->unit * largest);
    for (uint32_t level = 0; level <= top; level++)
        magnitude += sum->levels[level];
    return magnitude;
}

double iso_sum_error(const iso_sum *sum, double more)
{
    const iso_numerics *numerics = sum->numerics;
    if (sum_is_exact(sum))
        return 0;
    if (sum->magnitude > (double)FLT_MAX)
        return INFINITY;
    double roundings = sum->terms + more, error = iso_gamma(numerics, roundings) * sum->magnitude;
    bool averages = 4 * (uint64_t)sum->repeats <= sum->terms;
    if (!numerics->biased && averages) {
        double largest = largest_partial(sum);
        double likely = LAMBDA * sqrt(roundings) * numerics->unit * 1.01 * largest + swallowed(sum, largest);
        error = fmin(error, likely);
    }
    if (numerics->matrix_unit > 0)
        error += matrix_error(sum, averages);
    return error + sum->lost + 2 * sum->fine_scale * roundings * iso_flush_bound(numerics);
}

static double round_bf16(double value)
{
    uint16_t bits;
    iso_store_element(&bits, ISO_DTYPE_BF16, 0, value);
    return iso_load_element(&bits, ISO_DTYPE_BF16, 0);
}

void iso_store_bound(const iso_numerics *numerics, iso_dtype dtype, double value, double error,
                     double *out_value, double *out_bound)
{
    double magnitude = fabs(value), flush = iso_flush_bound(numerics);
    *out_value = value;
    *out_bound = 0;
    if (!isfinite(value))
        return;
    bool exact = error == 0 && (magnitude == 0 || magnitude >= flush);
    if (exact && (dtype == ISO_DTYPE_F32 || round_bf16(value) == value))
        return;
    if (exact && numerics->bf16_unit <= 0x1p-8) {
        *out_value = round_bf16(value);
        return;
    }
    if (dtype == ISO_DTYPE_BF16)
        error += numerics->bf16_unit * (magnitude + error);
    if (magnitude < 0x1p-125) // subnormal, or flushed
        error += dtype == ISO_DTYPE_BF16 ? fmax(flush, 0x1p-134) : flush;
    *out_bound = magnitude + error < (double)FLT_MAX ? error : OVERFLOWS; // so for NaN
}
