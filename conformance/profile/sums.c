// SPDX-License-Identifier: MIT
//
// Long sums of products, as matrix products make them: how many bits a running sum keeps, whether the rest is
// rounded or cut off, whether product and sum are one rounding; and that long and tree-shaped sums stay
// within the bound that follows (gamma(n) * sum |a||b|).
#include <math.h>
#include <stdlib.h>

#include "conformance/profile/measure.h"

enum { MOST_BITS = 60, LEAST_BITS = 24 };

static iso_status run_dot(measure_bench *bench, const float *a, const float *b, uint32_t rows, uint32_t width,
                          float *y)
{
    size_t bytes = (size_t)rows * width * sizeof *a;
    const conform_operand operands[] = {CONFORM_WORD_VALUE(rows), CONFORM_IN(a, bytes), CONFORM_IN(b, bytes),
                                        CONFORM_OUT(y, rows * sizeof *y), CONFORM_WORD_VALUE(width)};
    return conform_lab_run(&bench->lab, CONFORM_PROBE_DOT, (const uint32_t[3]){(rows + 63) / 64, 1, 1},
                           operands);
}

// ---- bits ----

// Row p: 1 + 2^-p - 1, which is not 0 as long as the sum has p + 1 bits; each product is exact.
static iso_status measure_bits(measure_bench *bench)
{
    float a[3 * MOST_BITS], ones[3 * MOST_BITS], y[MOST_BITS];
    uint32_t bits = 0;
    for (int p = 0; p < MOST_BITS; p++) {
        const float row[3] = {1, ldexpf(1, -p), -1};
        for (int k = 0; k < 3; k++) {
            a[3 * p + k] = row[k];
            ones[3 * p + k] = 1;
        }
    }
    if (run_dot(bench, a, ones, MOST_BITS, 3, y) != ISO_OK)
        return measure_fail(bench, "bits of a sum");
    while (bits < MOST_BITS && (double)y[bits] == ldexp(1, -(int)bits))
        bits++;
    bench->profile->sum_bits = bits;
    conform_result result =
        bits >= LEAST_BITS
            ? conform_result_make(CONFORM_PASS, "bits of a sum", "%u", bits)
            : conform_result_make(
                  CONFORM_FAIL, "bits of a sum",
                  "1 + 2^-%u - 1 gives %g: the running sum keeps %u bits; at least %d are needed", bits,
                  (double)y[bits], bits, LEAST_BITS);
    result.more = json_pack("{s:i}", "bits", (int)bits);
    measure_send(bench, &result);
    return ISO_OK;
}

// 1 + 3 * 2^-25 is nearer to 1 + 2^-23 than to 1: 0 after - 1 means that it was cut off. Wider sums keep it
// all.
static iso_status measure_cut(measure_bench *bench)
{
    enum { ROWS = 4 };
    static const float a[3 * ROWS] = {1, 0x1.8p-24f, -1, -1, -0x1.8p-24f, 1,
                                      1, 0x1.cp-24f, -1, -1, -0x1.cp-24f, 1};
    static const float ones[3 * ROWS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float y[ROWS];
    uint32_t cut = 0;
    if (run_dot(bench, a, ones, ROWS, 3, y) != ISO_OK)
        return measure_fail(bench, "rounding of a sum");
    for (int i = 0; i < ROWS; i++)
        cut += y[i] == 0;
    bench->profile->sum_cuts = cut > 0;
    conform_result result = conform_result_make(CONFORM_PASS, "rounding of a sum", "%s",
                                                cut == ROWS ? "cut off"
                                                : cut       ? "to one side"
                                                            : "to nearest, or wider than float");
    measure_send(bench, &result);
    return ISO_OK;
}

// -p + a * b with p the rounded product: see measure_multiply_add.
static iso_status measure_contraction(measure_bench *bench)
{
    enum { ROWS = 256 };
    float a[2 * ROWS], b[2 * ROWS], y[ROWS];
    uint32_t fused = 0, apart = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint64_t r = conform_random(bench->context->seed, bench->stream + 3, i);
        a[2 * i + 1] = 1.0f + (float)((r & 0x7fffff) | 1) * 0x1p-23f;
        b[2 * i + 1] = 1.0f + (float)((r >> 32 & 0x7fffff) | 1) * 0x1p-23f;
        a[2 * i] = (float)((double)a[2 * i + 1] * (double)b[2 * i + 1]);
        b[2 * i] = -1;
    }
    if (run_dot(bench, a, b, ROWS, 2, y) != ISO_OK)
        return measure_fail(bench, "contraction of a sum");
    for (uint32_t i = 0; i < ROWS; i++) {
        double exact = (double)a[2 * i + 1] * (double)b[2 * i + 1] - (double)a[2 * i],
               units = (double)y[i] * 0x1p23;
        *(units == rint(units) ? &apart : &fused) += exact != 0;
    }
    bench->profile->sums_contract = fused && apart ? CONFORM_CONTRACTION_SOMETIMES
                                    : fused        ? CONFORM_CONTRACTION_ALWAYS
                                                   : CONFORM_CONTRACTION_NEVER;
    conform_result result = conform_result_make(CONFORM_PASS, "contraction of a sum", "%s",
                                                conform_contraction_name(bench->profile->sums_contract));
    measure_send(bench, &result);
    return ISO_OK;
}

// ---- long sums ----

// Rows of mixed signs, of one sign (where roundings add up), and with outliers.
static float draw_term(const measure_bench *bench, uint32_t row, uint32_t k, uint32_t side)
{
    uint64_t r = conform_random(bench->context->seed, bench->stream + 4 + side, ((uint64_t)row << 32) + k);
    float value = (float)(r >> 40) * 0x1p-23f - 1.0f;
    if (row % 3 == 1)
        value = fabsf(value) + 0.01f;
    if (row % 3 == 2 && r % 64 == 0)
        value *= 32.0f;
    return value;
}

static double gamma_of(double roundings, double unit)
{
    return roundings * unit / (1 - roundings * unit);
}

// As the sums before them were found to round.
static double sum_unit(const measure_bench *bench)
{
    bool cuts = bench->profile->biased || bench->profile->sum_cuts;
    return cuts ? CONFORM_CAP_UNIT : iso_numerics_ieee.unit;
}

static iso_status judge_long_sums(measure_bench *bench, float *a, float *b, uint32_t rows, uint32_t width)
{
    float y[64];
    measure_worst worst = {0};
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t k = 0; k < width; k++) {
            a[row * width + k] = draw_term(bench, row, k, 0);
            b[row * width + k] = draw_term(bench, row, k, 1);
        }
    ISO_TRY(run_dot(bench, a, b, rows, width, y));
    for (uint32_t row = 0; row < rows; row++) {
        double want = 0, magnitudes = 0, got = (double)y[row], operands[2] = {row, width};
        for (uint32_t k = 0; k < width; k++) {
            double term = (double)a[row * width + k] * (double)b[row * width + k];
            want += term;
            magnitudes += fabs(term);
        }
        measure_keep(&worst, fabs(got - want) / (gamma_of(width, sum_unit(bench)) * magnitudes), operands,
                     got, want);
    }
    measure_judge(bench, "long sums", &worst, 1, json_pack("{s:i}", "terms", (int)width));
    return ISO_OK;
}

static iso_status measure_long_sums(measure_bench *bench)
{
    enum { ROWS = 24 };
    uint32_t width = bench->samples < 16384 ? bench->samples : 16384;
    float *terms;
    ISO_TRY(ISO_NEW(NULL, 2 * (size_t)ROWS * width, &terms));
    iso_status status = judge_long_sums(bench, terms, terms + (size_t)ROWS * width, ROWS, width);
    iso_free(NULL, terms);
    return status == ISO_OK ? ISO_OK : measure_fail(bench, "long sums");
}

// 64 terms folded through shared memory: 6 roundings.
static iso_status measure_trees(measure_bench *bench)
{
    enum { GROUPS = 33 };
    float a[64 * GROUPS], y[GROUPS];
    measure_worst worst = {0};
    for (uint32_t i = 0; i < 64 * GROUPS; i++)
        a[i] = draw_term(bench, i / 64, i % 64, 2);
    const conform_operand operands[] = {CONFORM_WORD_VALUE(GROUPS), CONFORM_IN(a, sizeof a),
                                        CONFORM_OUT(y, sizeof y)};
    if (conform_lab_run(&bench->lab, CONFORM_PROBE_TREE, (const uint32_t[3]){GROUPS, 1, 1}, operands) !=
        ISO_OK)
        return measure_fail(bench, "sums in shared memory");
    for (uint32_t row = 0; row < GROUPS; row++) {
        double want = 0, magnitudes = 0, got = (double)y[row], place[2] = {row, 64};
        for (uint32_t k = 0; k < 64; k++) {
            want += (double)a[64 * row + k];
            magnitudes += fabs((double)a[64 * row + k]);
        }
        measure_keep(&worst, fabs(got - want) / (gamma_of(6, sum_unit(bench)) * magnitudes), place, got,
                     want);
    }
    measure_judge(bench, "sums in shared memory", &worst, 1, NULL);
    return ISO_OK;
}

iso_status measure_sums(measure_bench *bench)
{
    ISO_TRY(measure_bits(bench));
    ISO_TRY(measure_cut(bench));
    ISO_TRY(measure_contraction(bench));
    ISO_TRY(measure_long_sums(bench));
    return measure_trees(bench);
}
