// SPDX-License-Identifier: MIT
//
// Number formats: every code of F16, BF16 and E4M3 read as kernels read them, and floats stored as BF16 and
// E4M3. The right answers are calculated here from the formats' definitions; nothing of runtime/base/dtype.c
// is used. Which E4M3 the device has (OCP or FNUZ) follows from its 256 codes.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/profile/measure.h"

typedef struct format {
    const char *name;
    int exponent_bits, mantissa_bits, bias;
    bool has_infinity; // the largest exponent holds infinities and NaN, as in IEEE
    conform_probe probe;
} format;

static const format f16 = {"F16", 5, 10, 15, true, CONFORM_PROBE_DECODE_F16};
static const format bf16 = {"BF16", 8, 7, 127, true, CONFORM_PROBE_DECODE_BF16};
static const format e4m3 = {"E4M3", 4, 3, 7, false, CONFORM_PROBE_DECODE_E4M3};

static uint32_t code_bits(const format *f)
{
    return 1 + (uint32_t)f->exponent_bits + (uint32_t)f->mantissa_bits;
}

static double code_value(const format *f, uint32_t code)
{
    uint32_t mantissa = code & ((1u << f->mantissa_bits) - 1);
    uint32_t exponent = code >> f->mantissa_bits & ((1u << f->exponent_bits) - 1);
    uint32_t largest = (1u << f->exponent_bits) - 1;
    double sign = code >> (code_bits(f) - 1) ? -1 : 1;
    if (f->has_infinity && exponent == largest)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    if (!f->has_infinity && exponent == largest && mantissa == (1u << f->mantissa_bits) - 1)
        return (double)NAN;
    double fraction = (double)mantissa / (1 << f->mantissa_bits);
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - f->bias);
    return sign * ldexp(1 + fraction, (int)exponent - f->bias);
}

// ---- reading ----

#define MOST_CODES 65536u

// A subnormal float may come back as a zero of its sign from a device that flushes; a NaN may change its
// payload.
static bool decodes_right(double want, uint32_t got)
{
    double value = (double)conform_bits_float(got);
    if (isnan(want))
        return isnan(value);
    if (fabs(want) < 0x1p-126 && value == 0)
        return true;
    return conform_float_bits((float)want) == got;
}

static iso_status decode_all(measure_bench *bench, const format *f, uint32_t *y)
{
    uint16_t codes[MOST_CODES];
    uint8_t *narrow = (uint8_t *)codes;
    uint32_t count = 1u << code_bits(f);
    for (uint32_t i = 0; i < count; i++) {
        if (code_bits(f) == 8)
            narrow[i] = (uint8_t)i;
        else
            codes[i] = (uint16_t)i;
    }
    const conform_operand operands[] = {CONFORM_WORD_VALUE(count),
                                        CONFORM_IN(codes, count * code_bits(f) / 8),
                                        CONFORM_OUT(y, count * sizeof *y)};
    return conform_lab_run(&bench->lab, f->probe, (const uint32_t[3]){count / CONFORM_GROUP, 1, 1}, operands);
}

// Whether the device said no to the kernel, rather than failing at it; reports that.
static bool refused(measure_bench *bench, const char *check)
{
    const iso_status_record *record = iso_status_last();
    if (record->code != ISO_BUILD_FAILED && record->code != ISO_UNSUPPORTED)
        return false;
    conform_result result = conform_result_make(CONFORM_UNSUPPORTED, check, "%s", record->text);
    measure_send(bench, &result);
    return true;
}

// *out_right: all codes are.
static iso_status measure_decode(measure_bench *bench, const format *f, bool *out_right)
{
    static uint32_t y[MOST_CODES]; // too large for a stack
    uint32_t wrong = 0, first = 0, count = 1u << code_bits(f);
    char check[48];
    snprintf(check, sizeof check, "%s codes", f->name);
    if (decode_all(bench, f, y) != ISO_OK)
        return refused(bench, check) ? ISO_OK : measure_fail(bench, check);
    for (uint32_t i = count; i-- > 0;)
        if (!decodes_right(code_value(f, i), y[i])) {
            wrong++;
            first = i;
        }
    *out_right = wrong == 0;
    conform_result result =
        wrong ? conform_result_make(CONFORM_FAIL, check,
                                    "%u of %u differ; the first is 0x%x: %g instead of %g", wrong, count,
                                    first, (double)conform_bits_float(y[first]), code_value(f, first))
              : conform_result_make(CONFORM_PASS, check, "all %u", count);
    measure_send(bench, &result);
    return ISO_OK;
}

// ---- storing ----

// The code whose value is nearest, of two the even one. Codes of one sign ascend with their values.
static uint32_t nearest_code(const format *f, double value, uint32_t largest)
{
    uint32_t low = 0, high = largest, sign = signbit(value) ? 1u << (code_bits(f) - 1) : 0;
    double magnitude = fabs(value);
    if (magnitude >= code_value(f, largest))
        return sign | largest;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        *(code_value(f, middle) <= magnitude ? &low : &high) = middle;
    }
    double below = magnitude - code_value(f, low), above = code_value(f, high) - magnitude;
    bool up = above < below || (above == below && high % 2 == 0);
    return sign | (up ? high : low);
}

// Random bits, and values half way between two codes and beside.
static float stored_value(const measure_bench *bench, const format *f, uint32_t index)
{
    uint64_t r = conform_random(bench->context->seed, bench->stream + 8, index);
    uint32_t finite = (1u << (code_bits(f) - 1)) - (f->has_infinity ? (1u << f->mantissa_bits) : 1) - 1;
    // FP8 holds little of what a float does.
    if (index % 2 && f == &e4m3)
        return ldexpf((float)(r >> 40) * 0x1p-23f - 1.0f, (int)(r & 15) - 5);
    if (index % 2)
        return conform_bits_float((uint32_t)r);
    uint32_t code = (uint32_t)(r % finite);
    double middle = (code_value(f, code) + code_value(f, code + 1)) / 2;
    uint32_t bits = conform_float_bits((float)middle) + (uint32_t)(r >> 40 & 3) - 1;
    return conform_bits_float(r >> 50 & 1 ? bits | 0x80000000u : bits);
}

// cuts: the device cuts its sums off, and with them what e4m3_bits rounds by a sum: magnitudes below 2^-6.
static bool encodes_right(const format *f, float value, uint32_t got, bool cuts)
{
    uint32_t sign = 1u << (code_bits(f) - 1), infinity = ((1u << f->exponent_bits) - 1) << f->mantissa_bits;
    if (isnan(value))
        return isnan(code_value(f, got));
    if (fabsf(value) < 0x1p-126f && (got & ~sign) == 0)
        return true;
    // BF16 goes on to infinity where the next code would be; E4M3 saturates.
    uint32_t largest = f->has_infinity ? infinity - 1 : infinity + (1u << f->mantissa_bits) - 2;
    double half_over = ldexp(2 - ldexp(1, -f->mantissa_bits - 1), (1 << f->exponent_bits) - 2 - f->bias);
    if (f->has_infinity && fabs((double)value) >= half_over)
        return got == (infinity | (signbit(value) ? sign : 0));
    uint32_t nearest = nearest_code(f, (double)value, largest);
    bool below = fabs(code_value(f, nearest)) > fabs((double)value) && got + 1 == nearest;
    return got == nearest || (cuts && f == &e4m3 && fabsf(value) < 0x1p-6f && below);
}

static uint32_t stored_code(const format *f, const uint32_t *words, uint32_t index)
{
    uint32_t bits = code_bits(f), per_word = 32 / bits;
    return words[index / per_word] >> index % per_word * bits & (uint32_t)((UINT64_C(1) << bits) - 1);
}

static iso_status judge_encode(measure_bench *bench, const format *f, conform_probe probe, float *x,
                               uint32_t *y)
{
    char check[48];
    uint32_t count = bench->samples, wrong = 0, first = 0, words = count * code_bits(f) / 32;
    snprintf(check, sizeof check, "stores as %s", f->name);
    for (uint32_t i = 0; i < count; i++)
        x[i] = stored_value(bench, f, i);
    const conform_operand operands[] = {CONFORM_WORD_VALUE(words), CONFORM_IN(x, count * sizeof *x),
                                        CONFORM_OUT(y, words * sizeof *y)};
    uint32_t groups = (words + CONFORM_GROUP - 1) / CONFORM_GROUP;
    if (conform_lab_run(&bench->lab, probe, (const uint32_t[3]){groups, 1, 1}, operands) != ISO_OK)
        return refused(bench, check) ? ISO_OK : measure_fail(bench, check);
    for (uint32_t i = count; i-- > 0;)
        if (!encodes_right(f, x[i], stored_code(f, y, i), bench->profile->biased)) {
            wrong++;
            first = i;
        }
    conform_result result =
        wrong ? conform_result_make(
                    CONFORM_FAIL, check,
                    "%u of %u are not the nearest code (ties to even); the first: %.9g gives 0x%x", wrong,
                    count, (double)x[first], stored_code(f, y, first))
              : conform_result_make(CONFORM_PASS, check, "%u to the nearest code, ties to even", count);
    measure_send(bench, &result);
    return ISO_OK;
}

static iso_status measure_encode(measure_bench *bench, const format *f, conform_probe probe)
{
    float *x;
    ISO_TRY(ISO_NEW(NULL, 2 * (size_t)bench->samples, &x));
    iso_status status = judge_encode(bench, f, probe, x, (uint32_t *)(void *)(x + bench->samples));
    iso_free(NULL, x);
    return status;
}

iso_status measure_formats(measure_bench *bench)
{
    ISO_TRY(measure_decode(bench, &f16, &bench->profile->f16));
    ISO_TRY(measure_decode(bench, &bf16, &bench->profile->bf16));
    return measure_encode(bench, &bf16, CONFORM_PROBE_ENCODE_BF16);
}

// ---- FP8 ----

// AMD's gfx940 and others: exponent bias 8, no negative zero, whose code is the only NaN.
static bool is_fnuz(uint32_t code, uint32_t got)
{
    double value = (double)conform_bits_float(got);
    if (code == 0x80)
        return isnan(value);
    if ((code & 0x7f) == 0x7f) // 240; some keep it as a NaN
        return isnan(value) || fabs(value) == 240;
    return value == code_value(&e4m3, code) / 2;
}

static conform_fp8 variant_of(const uint32_t *y, uint32_t *out_first_wrong)
{
    bool ocp = true, fnuz = true;
    *out_first_wrong = 0;
    for (uint32_t i = 0; i < 256; i++) {
        bool right = decodes_right(code_value(&e4m3, i), y[i]);
        if (ocp && !right)
            *out_first_wrong = i;
        ocp &= right;
        fnuz &= is_fnuz(i, y[i]);
    }
    return ocp ? CONFORM_FP8_OCP : fnuz ? CONFORM_FP8_FNUZ : CONFORM_FP8_WRONG;
}

iso_status measure_fp8(measure_bench *bench)
{
    static const char check[] = "fp8 variant";
    uint32_t y[256], first;
    conform_fp8 *fp8 = &bench->profile->fp8;
    if (decode_all(bench, &e4m3, y) != ISO_OK) {
        *fp8 = CONFORM_FP8_NONE;
        return refused(bench, check) ? ISO_OK : measure_fail(bench, check);
    }
    *fp8 = variant_of(y, &first);
    conform_result result;
    if (*fp8 == CONFORM_FP8_OCP)
        result = conform_result_make(CONFORM_PASS, check, "OCP E4M3, all 256 codes");
    else if (*fp8 == CONFORM_FP8_FNUZ)
        result = conform_result_make(
            CONFORM_UNSUPPORTED, check,
            "FNUZ: codes mean half of what OCP E4M3, in which checkpoints are stored, means");
    else
        result = conform_result_make(CONFORM_FAIL, check,
                                     "neither OCP nor FNUZ: code 0x%02x gives %g instead of %g", first,
                                     (double)conform_bits_float(y[first]), code_value(&e4m3, first));
    measure_send(bench, &result);
    return measure_encode(bench, &e4m3, CONFORM_PROBE_ENCODE_E4M3);
}
