// SPDX-License-Identifier: MIT
//
// How single operations round: sums, products, quotients, a product and a sum together, comparisons and
// conversions; what becomes of subnormal numbers, infinities and NaN. Each against double precision, in which
// sums and products of floats are exact or near enough.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/profile/measure.h"

#define CHUNK 65536u

typedef struct samples {
    float a[CHUNK], b[CHUNK], c[CHUNK], y[CHUNK];
} samples;

static float scaled(uint32_t mantissa, int exponent, uint64_t sign)
{
    float value = ldexpf(1.0f + (float)(mantissa & 0x7fffffu) * 0x1p-23f, exponent);
    return sign & 1 ? -value : value;
}

// Classes of pairs that rounding shows in: everyday, far apart in size, cancelling, half a unit apart, all
// bits set.
static void draw_pair(const measure_bench *bench, uint64_t index, float *out_a, float *out_b)
{
    uint64_t r = conform_random(bench->context->seed, bench->stream, 2 * index);
    uint64_t s = conform_random(bench->context->seed, bench->stream, 2 * index + 1);
    uint32_t p = (uint32_t)r, q = (uint32_t)s;
    int spread = (int)(r >> 32 & 127);
    switch (index % 8) {
    case 0:
    case 1:
        *out_a = scaled(p, spread % 7 - 3, r >> 60);
        *out_b = scaled(q, (int)(s >> 32 & 7) - 3, s >> 60);
        break;
    case 2:
        *out_a = scaled(p, spread % 121 - 60, r >> 60);
        *out_b = scaled(q, (int)(s >> 32 & 127) % 121 - 60, s >> 60);
        break;
    case 3: // sums cancel up to a few last bits
        *out_a = scaled(p, spread % 21 - 10, r >> 60);
        *out_b = -scaled(p + (q & 15), spread % 21 - 10, r >> 60);
        break;
    case 4: // the smaller one reaches 1 to 26 bits below the larger one
        *out_a = scaled(p, 0, r >> 60);
        *out_b = scaled(q, -(int)(s >> 32 & 31) % 27, s >> 60);
        break;
    case 5: // half a unit, and one bit more or less
        *out_a = scaled(p, 0, r >> 60);
        *out_b = scaled(q & 1 ? 0 : q >> 1 & 1 ? 0x7fffffu : 1, q >> 2 & 1 ? -24 : -25, s >> 60);
        break;
    case 6:
        *out_a = scaled(0x7fffffu - (p & 3), spread % 5, r >> 60);
        *out_b = scaled(0x7fffffu - (q & 3), (int)(s >> 32 & 3), s >> 60);
        break;
    default: // short mantissas: many exact results and exact ties
        *out_a = scaled(p << 12, spread % 9 - 4, r >> 60);
        *out_b = scaled(q << 11, (int)(s >> 32 & 7) - 4, s >> 60);
        break;
    }
}

// ---- one operation ----

static double exact_result(uint32_t mode, double a, double b)
{
    switch (mode) {
    case CONFORM_FLOAT_ADD:
        return a + b;
    case CONFORM_FLOAT_SUBTRACT:
        return a - b;
    case CONFORM_FLOAT_MULTIPLY:
        return a * b;
    case CONFORM_FLOAT_DIVIDE:
        return a / b;
    default:
        return a;
    }
}

// Which way inexact results went.
typedef struct directions {
    uint64_t toward_zero, away, up, down;
} directions;

static void count_direction(directions *d, double got, double exact)
{
    if (fabs(got - exact) <= fabs(exact) * 0x1p-40 || !isfinite(got))
        return;
    *(fabs(got) < fabs(exact) ? &d->toward_zero : &d->away) += 1;
    *(got > exact ? &d->up : &d->down) += 1;
}

static bool one_sided(const directions *d)
{
    uint64_t all = d->toward_zero + d->away, rarer = all;
    const uint64_t counts[] = {d->toward_zero, d->away, d->up, d->down};
    for (int i = 0; i < 4; i++)
        rarer = counts[i] < rarer ? counts[i] : rarer;
    return all >= 64 && rarer * 50 < all;
}

static iso_status judge_operation(measure_bench *bench, samples *s, uint32_t mode, measure_worst *worst,
                                  directions *d)
{
    for (uint32_t first = 0; first < bench->samples; first += CHUNK) {
        uint32_t count = bench->samples - first < CHUNK ? bench->samples - first : CHUNK;
        for (uint32_t i = 0; i < count; i++)
            draw_pair(bench, first + i, &s->a[i], &s->b[i]);
        conform_map map = {.mode = mode, .count = count, .a = s->a, .b = s->b, .y = s->y};
        ISO_TRY(conform_lab_float(&bench->lab, &map));
        for (uint32_t i = 0; i < count; i++) {
            double operands[2] = {(double)s->a[i], (double)s->b[i]}, got = (double)s->y[i];
            double exact = exact_result(mode, operands[0], operands[1]);
            double error = got == exact ? 0 : exact == 0 ? (double)INFINITY : fabs((got - exact) / exact);
            measure_keep(worst, error, operands, got, exact);
            count_direction(d, got, exact);
        }
    }
    return ISO_OK;
}

static iso_status measure_operations(measure_bench *bench, samples *s)
{
    conform_device_profile *p = bench->profile;
    const struct {
        uint32_t mode;
        const char *name;
        double *figure, cap;
    } operations[] = {
        {CONFORM_FLOAT_ADD, "sum", &p->add_error, CONFORM_CAP_UNIT},
        {CONFORM_FLOAT_SUBTRACT, "difference", &p->add_error, CONFORM_CAP_UNIT},
        {CONFORM_FLOAT_MULTIPLY, "product", &p->multiply_error, CONFORM_CAP_UNIT},
        {CONFORM_FLOAT_DIVIDE, "quotient", &p->divide_error, CONFORM_CAP_ROOT},
    };
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        measure_worst worst = {0};
        directions d = {0};
        if (judge_operation(bench, s, operations[i].mode, &worst, &d) != ISO_OK)
            return measure_fail(bench, operations[i].name);
        measure_raise(operations[i].figure, &worst);
        // What a division rounds to is its own affair: root_unit is a bound in either case.
        if (operations[i].mode != CONFORM_FLOAT_DIVIDE)
            p->biased |= one_sided(&d);
        measure_judge(bench, operations[i].name, &worst, operations[i].cap,
                      json_pack("{s:I, s:I, s:b}", "toward_zero", (json_int_t)d.toward_zero, "away",
                                (json_int_t)d.away, "one_sided", one_sided(&d)));
    }
    return ISO_OK;
}

// ---- a product and a sum ----

// c = -(a * b rounded): what is left is 0 or a whole unit where the product was rounded first, else less than
// that.
static void draw_triple(const measure_bench *bench, uint64_t index, samples *s, uint32_t at)
{
    uint64_t r = conform_random(bench->context->seed, bench->stream + 1, index);
    s->a[at] = scaled((uint32_t)r | 1, 0, 0);
    s->b[at] = scaled((uint32_t)(r >> 32) | 1, 0, r >> 63);
    s->c[at] = -(float)((double)s->a[at] * (double)s->b[at]);
}

static conform_contraction contraction(uint64_t fused, uint64_t apart)
{
    return fused && apart ? CONFORM_CONTRACTION_SOMETIMES
           : fused        ? CONFORM_CONTRACTION_ALWAYS
                          : CONFORM_CONTRACTION_NEVER;
}

static iso_status measure_multiply_add(measure_bench *bench, samples *s)
{
    uint32_t count = bench->samples < CHUNK ? bench->samples : CHUNK;
    uint64_t fused = 0, apart = 0;
    measure_worst worst = {0};
    for (uint32_t i = 0; i < count; i++)
        draw_triple(bench, i, s, i);
    conform_map map = {
        .mode = CONFORM_FLOAT_MULTIPLY_ADD, .count = count, .a = s->a, .b = s->b, .c = s->c, .y = s->y};
    if (conform_lab_float(&bench->lab, &map) != ISO_OK)
        return measure_fail(bench, "product and sum");
    for (uint32_t i = 0; i < count; i++) {
        double operands[2] = {(double)s->a[i], (double)s->b[i]}, got = (double)s->y[i];
        double product = operands[0] * operands[1], left = product + (double)s->c[i];
        double units = got * 0x1p23;
        *(units == rint(units) ? &apart : &fused) += left != 0;
        // Two roundings at most, of the product and of the sum.
        measure_keep(&worst, fabs(got - left) / (fabs(product) + fabs(left)), operands, got, left);
    }
    bench->profile->contracts = contraction(fused, apart);
    measure_judge(bench, "product and sum", &worst, CONFORM_CAP_UNIT,
                  json_pack("{s:I, s:I}", "fused", (json_int_t)fused, "apart", (json_int_t)apart));
    return ISO_OK;
}

// ---- what must be exact ----

static double exact_choice(uint32_t mode, double a, double b)
{
    switch (mode) {
    case CONFORM_FLOAT_FLOOR:
        return floor(a);
    case CONFORM_FLOAT_ABS:
        return fabs(a);
    case CONFORM_FLOAT_MAX:
        return fmax(a, b);
    case CONFORM_FLOAT_MIN:
        return fmin(a, b);
    case CONFORM_FLOAT_TRUNCATE:
        return trunc(a);
    case CONFORM_FLOAT_LESS:
        return a < b;
    default:
        return a;
    }
}

static iso_status measure_choices(measure_bench *bench, samples *s)
{
    static const struct {
        uint32_t mode;
        const char *name;
    } choices[] = {
        {CONFORM_FLOAT_COPY, "copy"},         {CONFORM_FLOAT_FLOOR, "floor"},
        {CONFORM_FLOAT_ABS, "magnitude"},     {CONFORM_FLOAT_MAX, "larger"},
        {CONFORM_FLOAT_MIN, "smaller"},       {CONFORM_FLOAT_LESS, "less than"},
        {CONFORM_FLOAT_TRUNCATE, "truncate"},
    };
    uint32_t count = bench->samples < CHUNK ? bench->samples : CHUNK;
    for (uint32_t i = 0; i < count; i++) {
        draw_pair(bench, i, &s->a[i], &s->b[i]);
        if (i % 3 == 0)
            s->b[i] = s->a[i];
        // Within what an integer holds.
        if (fabsf(s->a[i]) > 0x1p30f)
            s->a[i] *= 0x1p-40f;
    }
    for (size_t k = 0; k < sizeof choices / sizeof choices[0]; k++) {
        measure_worst worst = {0};
        conform_map map = {.mode = choices[k].mode, .count = count, .a = s->a, .b = s->b, .y = s->y};
        if (conform_lab_float(&bench->lab, &map) != ISO_OK)
            return measure_fail(bench, choices[k].name);
        for (uint32_t i = 0; i < count; i++) {
            double operands[2] = {(double)s->a[i], (double)s->b[i]}, got = (double)s->y[i];
            double want = exact_choice(choices[k].mode, operands[0], operands[1]);
            measure_keep(&worst, got == want ? 0 : (double)INFINITY, operands, got, want);
        }
        measure_judge(bench, choices[k].name, &worst, 0x1p-149, NULL);
    }
    return ISO_OK;
}

iso_status measure_arithmetic(measure_bench *bench)
{
    samples *s;
    ISO_TRY(ISO_NEW(NULL, 1, &s));
    iso_status status = measure_operations(bench, s);
    if (status == ISO_OK)
        status = measure_multiply_add(bench, s);
    if (status == ISO_OK)
        status = measure_choices(bench, s);
    iso_free(NULL, s);
    return status;
}

// ---- subnormal numbers ----

enum { LOWEST = -149, HIGHEST = -100, PER_EXPONENT = 4, SMALL_COUNT = (HIGHEST - LOWEST) * PER_EXPONENT };

// Small magnitudes v, taken as an operand (v * 2^64) or made as a result (w * 2^-64 = v).
static iso_status run_small(measure_bench *bench, bool as_result, float *v, float *y)
{
    float a[SMALL_COUNT], factor[SMALL_COUNT];
    for (int i = 0; i < SMALL_COUNT; i++) {
        v[i] = ldexpf(1.0f + 0.25f * (float)(i % PER_EXPONENT), LOWEST + i / PER_EXPONENT);
        a[i] = as_result ? (float)((double)v[i] * 0x1p64) : v[i];
        factor[i] = as_result ? 0x1p-64f : 0x1p64f;
    }
    conform_map map = {.mode = CONFORM_FLOAT_MULTIPLY, .count = SMALL_COUNT, .a = a, .b = factor, .y = y};
    return conform_lab_float(&bench->lab, &map);
}

static iso_status measure_small(measure_bench *bench, bool as_result, const char *check, bool *out_flushes)
{
    float v[SMALL_COUNT], y[SMALL_COUNT];
    measure_worst worst = {0};
    double flushed = 0;
    if (run_small(bench, as_result, v, y) != ISO_OK)
        return measure_fail(bench, check);
    for (int i = 0; i < SMALL_COUNT; i++) {
        double scale = as_result ? 1 : 0x1p64, got = (double)y[i] / scale, want = (double)v[i];
        double operands[2] = {want, as_result ? 0x1p-64 : 0x1p64};
        if (got == 0 && want < 0x1p-126) {
            flushed = fmax(flushed, want);
            continue;
        }
        // Subnormal results have fewer bits: one unit of the smallest.
        double allowed = fmax(want * CONFORM_CAP_UNIT, as_result ? 0x1p-149 : 0);
        measure_keep(&worst, fabs(got - want) / allowed, operands, got, want);
    }
    *out_flushes = flushed > 0;
    bench->profile->flushed = fmax(bench->profile->flushed, flushed);
    measure_judge(bench, check, &worst, 1, json_pack("{s:f}", "largest_flushed", flushed));
    return ISO_OK;
}

iso_status measure_subnormals(measure_bench *bench)
{
    ISO_TRY(measure_small(bench, false, "small operands", &bench->profile->flushes_operands));
    return measure_small(bench, true, "small results", &bench->profile->flushes_results);
}

// ---- infinities and NaN ----

typedef struct special {
    uint32_t mode;
    float a, b, want;
    const char *text;
} special;

// Masks, padding and poisoned memory rely on these.
static const special specials[] = {
    {CONFORM_FLOAT_ADD, INFINITY, 1, INFINITY, "inf + 1"},
    {CONFORM_FLOAT_ADD, -INFINITY, 1, -INFINITY, "-inf + 1"},
    {CONFORM_FLOAT_SUBTRACT, INFINITY, INFINITY, NAN, "inf - inf"},
    {CONFORM_FLOAT_ADD, NAN, 1, NAN, "NaN + 1"},
    {CONFORM_FLOAT_MULTIPLY, NAN, 0, NAN, "NaN * 0"},
    {CONFORM_FLOAT_MULTIPLY, INFINITY, 0, NAN, "inf * 0"},
    {CONFORM_FLOAT_MULTIPLY, 0x1p100f, 0x1p100f, INFINITY, "2^100 * 2^100"},
    {CONFORM_FLOAT_ADD, 0x1.fffffep127f, 0x1.fffffep127f, INFINITY, "largest + largest"},
    {CONFORM_FLOAT_DIVIDE, 1, INFINITY, 0, "1 / inf"},
    {CONFORM_FLOAT_LESS, -INFINITY, -0x1p127f, 1, "-inf < -2^127"},
    {CONFORM_FLOAT_LESS, 1, INFINITY, 1, "1 < inf"},
    {CONFORM_FLOAT_MAX, -INFINITY, -1, -1, "larger of -inf and -1"},
    {CONFORM_FLOAT_SQRT, 0, 0, 0, "sqrt 0"},
    {CONFORM_FLOAT_EXP, -INFINITY, 0, 0, "exp -inf"},
    {CONFORM_FLOAT_EXP, INFINITY, 0, INFINITY, "exp inf"},
    {CONFORM_FLOAT_EXP, NAN, 0, NAN, "exp NaN"},
    {CONFORM_FLOAT_EXP, -100, 0, 0, "exp -100"},
    {CONFORM_FLOAT_EXP, 100, 0, INFINITY, "exp 100"},
    {CONFORM_FLOAT_EXP, 0, 0, 1, "exp 0"},
};

iso_status measure_specials(measure_bench *bench)
{
    uint32_t wrong = 0;
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        const special *s = &specials[i];
        float y = 0;
        conform_map map = {.mode = s->mode, .count = 1, .a = &s->a, .b = &s->b, .y = &y};
        if (conform_lab_float(&bench->lab, &map) != ISO_OK)
            return measure_fail(bench, s->text);
        // Sums that are cut off stop at the largest number.
        bool cut_short = isinf(s->want) && s->mode == CONFORM_FLOAT_ADD && bench->profile->biased &&
                         fabsf(y) == 0x1.fffffep127f && !isinf(s->a);
        if (cut_short || (isnan(s->want) ? isnan(y) : y == s->want))
            continue;
        wrong++;
        conform_result result = conform_result_make(CONFORM_FAIL, s->text, "gives %.9g, must give %.9g",
                                                    (double)y, (double)s->want);
        measure_send(bench, &result);
    }
    if (wrong == 0) {
        conform_result result =
            conform_result_make(CONFORM_PASS, "infinities and NaN", "%zu calculations as in IEEE",
                                sizeof specials / sizeof specials[0]);
        measure_send(bench, &result);
    }
    return ISO_OK;
}
