// SPDX-License-Identifier: MIT
//
// How matrix instructions sum: how many bits they keep of a term beside a large one, whether the rest is
// rounded or cut off, how many terms are aligned to each other at once, and the worst loss of single
// instructions against the exact value. What is known of such units: Fasi, Higham, Mikaitis, Pranesh 2021,
// "Numerical behavior of NVIDIA tensor cores" (sums in float32, cut off); DeepSeek-V3 technical report,
// section 3.3.2 (about 14 bits of E4M3 products). That is what the caps allow for, with a bit to spare.
//
// A loss is relative to the largest of an instruction's terms, its accumulator and their sums in ascending
// order, for each term that is not 0: the unit that error bounds are made of (kernels/linear/bound.md).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/profile/measure.h"
#include "kernels/case.h"

enum { ROWS = 16, COLUMNS = 8, WORDS = 8, MOST_K = 32, MOST_BITS = 32, FLOAT_BITS = 24 };
enum { RANDOM_TILES = 96, MOST_TILES = RANDOM_TILES };

// The largest power of two whose square is a product of E4M3.
#define ONE_FACTOR 0x1p8
#define ONE        (ONE_FACTOR * ONE_FACTOR)

typedef struct tile {
    double a[ROWS][MOST_K], b[COLUMNS][MOST_K];
    float c[ROWS][COLUMNS], y[ROWS][COLUMNS];
} tile;

typedef struct unit_kind {
    iso_matrix_kind matrix;
    const char *name;
    conform_probe probe;
    iso_dtype dtype;
    uint32_t k;      // of one instruction
    double mantissa; // the largest
    double cap;
} unit_kind;

static const unit_kind kinds[] = {
    {ISO_MATRIX_BF16, "BF16", CONFORM_PROBE_MATRIX_BF16, ISO_DTYPE_BF16, 16, 0x1.fep0,
     CONFORM_CAP_MATRIX_BF16},
    {ISO_MATRIX_E4M3, "E4M3", CONFORM_PROBE_MATRIX_E4M3, ISO_DTYPE_F8_E4M3, 32, 0x1.ep0,
     CONFORM_CAP_MATRIX_E4M3},
};

typedef struct matrix_bench {
    measure_bench *bench;
    const unit_kind *kind;
    conform_matrix_profile *profile;
    measure_worst worst;
    uint64_t above, below; // sums of positive terms that came out too large, too small
    tile tiles[MOST_TILES];
    uint32_t a[MOST_TILES][ROWS][WORDS], b[MOST_TILES][COLUMNS][WORDS];
    float c[MOST_TILES][ROWS][COLUMNS], y[MOST_TILES][ROWS][COLUMNS];
} matrix_bench;

// ---- running ----

// The first `count` tiles, each in a group of its own.
static iso_status run_tiles(matrix_bench *m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < m->kind->k; k++) {
            for (uint32_t r = 0; r < ROWS; r++)
                iso_store_element(m->a[i][r], m->kind->dtype, k, m->tiles[i].a[r][k]);
            for (uint32_t n = 0; n < COLUMNS; n++)
                iso_store_element(m->b[i][n], m->kind->dtype, k, m->tiles[i].b[n][k]);
        }
        memcpy(m->c[i], m->tiles[i].c, sizeof m->c[i]);
    }
    const conform_operand operands[] = {CONFORM_WORD_VALUE(count), CONFORM_IN(m->a, count * sizeof m->a[0]),
                                        CONFORM_IN(m->b, count * sizeof m->b[0]),
                                        CONFORM_IN(m->c, count * sizeof m->c[0]),
                                        CONFORM_OUT(m->y, count * sizeof m->y[0])};
    ISO_TRY(conform_lab_run(&m->bench->lab, m->kind->probe, (const uint32_t[3]){count, 1, 1}, operands));
    for (uint32_t i = 0; i < count; i++)
        memcpy(m->tiles[i].y, m->y[i], sizeof m->y[i]);
    return ISO_OK;
}

// Two factors whose product is mantissa * 2^exponent, the mantissa in the first; -15 to 15.
static void split(int exponent, double mantissa, double *out_left, double *out_right)
{
    int right = exponent < -12 ? exponent + 6 : exponent / 2;
    *out_left = ldexp(mantissa, exponent - right);
    *out_right = ldexp(1, right);
}

// ---- bits ----

enum { AMONG_PRODUCTS, SMALL_SUM, LARGE_SUM, RESULT };

// Tile p, row 0: ONE and ONE * 2^-p, one of them the accumulator or none; then ONE is taken away in the same
// instruction, except in column RESULT.
static void set_bits_tile(tile *t, int p, double mantissa)
{
    double left, right;
    split(16 - p, mantissa, &left, &right);
    *t = (tile){.a = {{ONE_FACTOR, left, -ONE_FACTOR}},
                .b = {[AMONG_PRODUCTS] = {ONE_FACTOR, right, ONE_FACTOR},
                      [SMALL_SUM] = {ONE_FACTOR, 0, ONE_FACTOR},
                      [LARGE_SUM] = {0, right, ONE_FACTOR},
                      [RESULT] = {0, right, 0}}};
    t->c[0][SMALL_SUM] = (float)ldexp(ONE * mantissa, -p);
    t->c[0][LARGE_SUM] = t->c[0][RESULT] = (float)ONE;
}

static iso_status measure_bits(matrix_bench *m)
{
    uint32_t bits[4] = {1, 1, 1, 1}; // 1 is kept, surely
    for (int p = 1; p < MOST_BITS; p++)
        set_bits_tile(&m->tiles[p - 1], p, 1);
    ISO_TRY(run_tiles(m, MOST_BITS - 1));
    for (uint32_t column = 0; column < 4; column++)
        while (bits[column] < MOST_BITS) {
            double rest = column == RESULT ? ONE : 0;
            if ((double)m->tiles[bits[column] - 1].y[0][column] - rest != ldexp(ONE, -(int)bits[column]))
                break;
            bits[column]++;
        }
    m->profile->product_bits = bits[AMONG_PRODUCTS];
    m->profile->sum_bits = bits[SMALL_SUM] < bits[LARGE_SUM] ? bits[SMALL_SUM] : bits[LARGE_SUM];
    m->profile->result_bits = bits[RESULT];
    if (bits[RESULT] >= MOST_BITS) // no float has so many
        return ISO_OK;
    // Three quarters of the last bit.
    set_bits_tile(&m->tiles[0], (int)bits[RESULT], 1.5);
    ISO_TRY(run_tiles(m, 1));
    m->profile->cuts = (double)m->tiles[0].y[0][RESULT] == ONE;
    return ISO_OK;
}

// Row j: ONE, -ONE, and as the last a term that is lost beside them, at j: it is kept where its block begins
// after them.
static iso_status measure_block(matrix_bench *m)
{
    double left, right;
    m->profile->block = m->kind->k;
    if (m->profile->product_bits >= MOST_BITS)
        return ISO_OK;
    split(16 - (int)m->profile->product_bits, 1, &left, &right);
    for (uint32_t j = 2; j < m->kind->k; j++) {
        tile *t = &m->tiles[j - 2];
        *t = (tile){.a = {{ONE_FACTOR, -ONE_FACTOR}}, .b = {{ONE_FACTOR, ONE_FACTOR}}};
        t->a[0][j] = left;
        t->b[0][j] = right;
    }
    ISO_TRY(run_tiles(m, m->kind->k - 2));
    for (uint32_t j = m->kind->k - 1; j >= 2; j--)
        if (m->tiles[j - 2].y[0][0] != 0)
            m->profile->block = j;
    return ISO_OK;
}

// ---- the worst loss ----

static void judge_element(matrix_bench *m, const tile *t, uint32_t row, uint32_t column)
{
    double sum = (double)t->c[row][column], largest = fabs(sum), got = (double)t->y[row][column];
    uint32_t terms = sum != 0;
    bool positive = sum >= 0;
    for (uint32_t k = 0; k < m->kind->k; k++) { // exact: the draws below span less than 53 bits
        double product = t->a[row][k] * t->b[column][k];
        sum += product;
        largest = fmax(largest, fmax(fabs(product), fabs(sum)));
        terms += product != 0;
        positive = positive && product >= 0;
    }
    if (terms == 0)
        return;
    const double operands[2] = {terms, largest};
    measure_keep(&m->worst, fabs(got - sum) / (terms * largest), operands, got, sum);
    m->above += positive && got > sum;
    m->below += positive && got < sum;
}

static iso_status judge_tiles(matrix_bench *m, uint32_t count)
{
    ISO_TRY(run_tiles(m, count));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t row = 0; row < ROWS; row++)
            for (uint32_t column = 0; column < COLUMNS; column++)
                judge_element(m, &m->tiles[i], row, column);
    return ISO_OK;
}

// Tile p - 2: a large accumulator, a large product, both or neither, and terms just below ONE * 2^(1 - p),
// some of them just below half of that: where p is the first bit that is lost, all of each is.
static iso_status sweep(matrix_bench *m)
{
    static const double sums[COLUMNS] = {
        0, 1, -1, 0x1.fffffep0, -0x1.fffffep0, 0x1.fffffep-5, -0x1.fffffep-10, 0x1.000002p0};
    for (int p = 2; p < MOST_BITS; p++) {
        tile *t = &m->tiles[p - 2];
        double left, right;
        split(16 - p, m->kind->mantissa, &left, &right);
        for (uint32_t k = 0; k < m->kind->k; k++) {
            for (uint32_t row = 0; row < ROWS; row++) {
                bool half = k > row / 2 * (m->kind->k - 1) / 7 && left >= 0x1p-5;
                t->a[row][k] = k ? (half ? left / 2 : left) : row % 2 ? ONE_FACTOR : 0;
            }
            for (uint32_t n = 0; n < COLUMNS; n++)
                t->b[n][k] = k ? right : ONE_FACTOR;
        }
        for (uint32_t row = 0; row < ROWS; row++)
            for (uint32_t n = 0; n < COLUMNS; n++)
                t->c[row][n] = (float)(ONE * sums[n]);
    }
    return judge_tiles(m, MOST_BITS - 2);
}

// 2^-spread to 2^spread; every third tile has no negative numbers.
static double draw(const matrix_bench *m, uint32_t number, uint32_t at, int spread, uint32_t digits)
{
    uint64_t r = conform_random(m->bench->context->seed, m->bench->stream + (uint64_t)m->kind->matrix,
                                ((uint64_t)number << 32) + at);
    double mantissa = 1 + floor(ldexp((double)(r >> 40), (int)digits - 24)) * ldexp(1, -(int)digits);
    double value = ldexp(mantissa, (int)(r & 0xff) % (2 * spread + 1) - spread);
    return r >> 8 & 1 && number % 3 ? -value : value;
}

static iso_status try_random(matrix_bench *m)
{
    uint32_t digits = m->kind->dtype == ISO_DTYPE_BF16 ? 7 : 3;
    for (uint32_t i = 0; i < RANDOM_TILES; i++) {
        tile *t = &m->tiles[i];
        int spread = i % 2 ? 6 : 1;
        for (uint32_t k = 0; k < m->kind->k; k++) {
            for (uint32_t row = 0; row < ROWS; row++)
                t->a[row][k] = draw(m, i, row * MOST_K + k, spread, digits);
            for (uint32_t n = 0; n < COLUMNS; n++)
                t->b[n][k] = draw(m, i, (ROWS + n) * MOST_K + k, spread, digits);
        }
        for (uint32_t e = 0; e < ROWS * COLUMNS; e++)
            t->c[e / COLUMNS][e % COLUMNS] =
                (float)draw(m, i, (ROWS + COLUMNS) * MOST_K + e, spread + 4, FLOAT_BITS - 1);
    }
    return judge_tiles(m, RANDOM_TILES);
}

// ---- what follows ----

// The unit is a power of two: the samples need not have met the worst case.
static void derive_unit(matrix_bench *m)
{
    conform_matrix_profile *p = m->profile;
    uint32_t bits = p->product_bits < p->sum_bits ? p->product_bits : p->sum_bits;
    bits = bits < p->result_bits ? bits : p->result_bits;
    p->cuts = p->cuts || (m->below > 0 && m->above == 0);
    measure_raise(&p->error, &m->worst);
    p->measured = true;
    bool ordinary = !p->cuts && bits >= FLOAT_BITS && p->error <= iso_numerics_ieee.unit * 1.0001;
    p->unit = ordinary ? 0 : fmax(ldexp(1, 1 - (int)bits), exp2(ceil(log2(fmax(p->error, 0x1p-60)))));
}

static void report_kind(matrix_bench *m)
{
    char check[64];
    const conform_matrix_profile *p = m->profile;
    snprintf(check, sizeof check, "%s matrix sums", m->kind->name);
    conform_result result = conform_result_make(
        p->unit <= m->kind->cap ? CONFORM_PASS : CONFORM_FAIL, check,
        "unit %.3g, allowed %.3g: %u bits are kept beside a product of 1, %u beside a sum, %u of a result, "
        "%s, %u terms at once; worst loss of a term %.3g (%g terms, largest %.9g: %.9g, exact %.9g)",
        p->unit, m->kind->cap, p->product_bits, p->sum_bits, p->result_bits, p->cuts ? "cut off" : "rounded",
        p->block, m->worst.error, m->worst.a, m->worst.b, m->worst.got, m->worst.want);
    result.score = p->unit / m->kind->cap;
    measure_send(m->bench, &result);
}

static iso_status measure_kind(matrix_bench *m)
{
    ISO_TRY(measure_bits(m));
    ISO_TRY(measure_block(m));
    ISO_TRY(sweep(m));
    ISO_TRY(try_random(m));
    derive_unit(m);
    report_kind(m);
    return ISO_OK;
}

bool measure_matrix_fits(const iso_device_info *device)
{
    return conform_probe_fits(device, CONFORM_PROBE_MATRIX_BF16);
}

iso_status measure_matrix(measure_bench *bench)
{
    matrix_bench *m;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(NULL, 1, &m));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && status == ISO_OK; i++) {
        iso_module_source source;
        memset(m, 0, sizeof *m);
        m->bench = bench;
        m->kind = &kinds[i];
        m->profile = &bench->profile->matrix[kinds[i].matrix];
        if (conform_probe_source(iso_device_get_info(bench->lab.device), kinds[i].probe, &source) != ISO_OK) {
            conform_result result =
                conform_result_make(CONFORM_UNSUPPORTED, kinds[i].name, "%s", iso_status_last()->text);
            measure_send(bench, &result);
        } else if (measure_kind(m) != ISO_OK) {
            status = measure_fail(bench, kinds[i].name);
        }
    }
    iso_free(NULL, m);
    return status;
}
