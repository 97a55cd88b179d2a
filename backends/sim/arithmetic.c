// SPDX-License-Identifier: MIT
//
// Arithmetic of the simulated chips: each operation over whole rows, also for lanes that are not active
// (their results are never seen). Host vectors of four lanes keep it fast with any compiler; no host
// contracts or reorders, so results are the same everywhere. Knows nothing of control flow or memory.
#include <math.h>
#include <string.h>

#include "backends/sim/program.h"

typedef uint32_t words __attribute__((vector_size(SIM_VECTOR * 4)));
typedef int32_t integers __attribute__((vector_size(SIM_VECTOR * 4)));
typedef float floats __attribute__((vector_size(SIM_VECTOR * 4)));

#define ROW(type, offset) ((type *)(void *)(lanes->rows + (offset)))

// d, a, b, c are the vectors of the rows; one operation per vector.
#define VECTORS(name, type, result, expression)                                                              \
    const sim_step *iso_sim_run_##name(sim_lanes *lanes, const sim_step *step)                               \
    {                                                                                                        \
        result *d = ROW(result, step->to);                                                                   \
        const type *a_row = ROW(type, step->a);                                                              \
        const type *b_row = ROW(type, step->b);                                                              \
        for (uint32_t i = 0; i < lanes->vectors; i++) {                                                      \
            const type a = a_row[i], b = b_row[i];                                                           \
            (void)b;                                                                                         \
            d[i] = (result)(expression);                                                                     \
        }                                                                                                    \
        return step + 1;                                                                                     \
    }

// One lane at a time, for what has no vector form.
#define SCALARS(name, type, result, expression)                                                              \
    const sim_step *iso_sim_run_##name(sim_lanes *lanes, const sim_step *step)                               \
    {                                                                                                        \
        result *d = ROW(result, step->to);                                                                   \
        const type *a_row = ROW(type, step->a);                                                              \
        const type *b_row = ROW(type, step->b);                                                              \
        const type *c_row = ROW(type, step->c);                                                              \
        for (uint32_t i = 0; i < lanes->width; i++) {                                                        \
            const type a = a_row[i], b = b_row[i], c = c_row[i];                                             \
            (void)b;                                                                                         \
            (void)c;                                                                                         \
            d[i] = (result)(expression);                                                                     \
        }                                                                                                    \
        return step + 1;                                                                                     \
    }

// ---- integers ----

VECTORS(copy, words, words, a)
VECTORS(iadd, words, words, a + b)
VECTORS(isub, words, words, a - b)
VECTORS(imul, words, words, a *b)
VECTORS(ineg, words, words, -a)
VECTORS(and, words, words, a &b)
VECTORS(or, words, words, a | b)
VECTORS(xor, words, words, a ^ b)
VECTORS(not, words, words, ~a)
VECTORS(equal_bits, words, words, ~(a ^ b)) // of truth values
VECTORS(shl, words, words, a << (b & 31u))
VECTORS(shr, words, words, a >> (b & 31u))
VECTORS(sar, integers, integers, a >> (b & 31))
VECTORS(ieq, words, words, a == b)
VECTORS(ine, words, words, a != b)
VECTORS(ult, words, words, a < b)
VECTORS(ule, words, words, a <= b)
VECTORS(slt, integers, words, a < b)
VECTORS(sle, integers, words, a <= b)
VECTORS(umin, words, words, (a & (words)(a < b)) | (b & ~(words)(a < b)))
VECTORS(umax, words, words, (b & (words)(a < b)) | (a & ~(words)(a < b)))
VECTORS(smin, integers, integers, (a & (a < b)) | (b & ~(a < b)))
VECTORS(smax, integers, integers, (b & (a < b)) | (a & ~(a < b)))
VECTORS(sabs, integers, words, ((words)a ^ (words)(a >> 31)) - (words)(a >> 31))

// Division by 0 is undefined in the text; here it gives all bits, as most chips do.
SCALARS(udiv, uint32_t, uint32_t, b == 0 ? UINT32_MAX : a / b)
SCALARS(umod, uint32_t, uint32_t, b == 0 ? UINT32_MAX : a % b)
SCALARS(sdiv, int32_t, uint32_t, b == 0 ? -1 : (int64_t)a / b)
SCALARS(srem, int32_t, uint32_t, b == 0 ? -1 : (int64_t)a % b)
SCALARS(smod, int32_t, uint32_t, b == 0 ? -1 : ((int64_t)a % b + b) % b)

// to = low words, c = high words (a row, not an operand).
const sim_step *iso_sim_run_umul_extended(sim_lanes *lanes, const sim_step *step)
{
    for (uint32_t i = 0; i < lanes->width; i++) {
        uint64_t product = (uint64_t)lanes->rows[step->a + i] * lanes->rows[step->b + i];
        lanes->rows[step->to + i] = (uint32_t)product;
        lanes->rows[step->c + i] = (uint32_t)(product >> 32);
    }
    return step + 1;
}

// a ? b : c
const sim_step *iso_sim_run_select(sim_lanes *lanes, const sim_step *step)
{
    words *d = ROW(words, step->to);
    const words *a = ROW(words, step->a), *b = ROW(words, step->b), *c = ROW(words, step->c);
    for (uint32_t i = 0; i < lanes->vectors; i++)
        d[i] = (b[i] & a[i]) | (c[i] & ~a[i]);
    return step + 1;
}

// ---- floats ----

VECTORS(feq, floats, words, a == b)
VECTORS(fne, floats, words, a != b)
VECTORS(flt, floats, words, a < b)
VECTORS(fle, floats, words, a <= b)
VECTORS(fone, floats, words, (words)(a < b) | (words)(b < a))
VECTORS(fueq, floats, words, ~((words)(a < b) | (words)(b < a)))
VECTORS(funlt, floats, words, ~(words)(b <= a)) // below or unordered
VECTORS(funle, floats, words, ~(words)(b < a))
VECTORS(fadd, floats, floats, a + b)
VECTORS(fsub, floats, floats, a - b)
VECTORS(fmul, floats, floats, a *b)
VECTORS(fdiv, floats, floats, a / b)
VECTORS(fneg, words, words, a ^ 0x80000000u)
VECTORS(fabs, words, words, a & 0x7fffffffu)
// As GLSL has them: b where the comparison holds, so that NaN in b gives a.
VECTORS(fmin, floats, words, ((words)b & (words)(b < a)) | ((words)a & ~(words)(b < a)))
VECTORS(fmax, floats, words, ((words)b & (words)(a < b)) | ((words)a & ~(words)(a < b)))
// Subnormals become zero of the same sign.
VECTORS(flush, words, words, a &((words)((a & 0x7f800000u) != 0) | 0x80000000u))

SCALARS(sqrt, float, float, sqrtf(a))
SCALARS(floor, float, float, floorf(a))
SCALARS(ceil, float, float, ceilf(a))
SCALARS(trunc, float, float, truncf(a))
SCALARS(round_even, float, float, rintf(a))
SCALARS(fma, float, float, fmaf(a, b, c))
SCALARS(fms, float, float, fmaf(a, b, -c))
SCALARS(fnma, float, float, fmaf(-a, b, c))

// x + y with 24 bits, the rest cut off. The sum of a product of floats (exact in double) and a float is a
// double and an exact error (Knuth's two-sum); one step towards zero where rounding to float went away from
// it.
static float sum_cut(double x, double y)
{
    double sum = x + y;
    double part = sum - x;
    double error = (x - (sum - part)) + (y - part);
    float result = (float)sum;
    if (isnan(result) || isinf(sum))
        return result;
    bool beyond =
        fabs((double)result) > fabs(sum) || ((double)result == sum && error != 0 && (error < 0) == (sum > 0));
    if (beyond) {
        uint32_t bits;
        memcpy(&bits, &result, sizeof bits);
        bits--; // the next float towards zero
        memcpy(&result, &bits, sizeof bits);
    }
    return result;
}

SCALARS(fadd_cut, float, float, sum_cut(a, b))
SCALARS(fsub_cut, float, float, sum_cut(a, -(double)b))
SCALARS(fma_cut, float, float, sum_cut((double)a *b, c))
SCALARS(fms_cut, float, float, sum_cut((double)a *b, -(double)c))
SCALARS(fnma_cut, float, float, sum_cut(-(double)a *b, c))

// ---- conversions: what does not fit is the nearest that does, NaN is 0 ----

static uint32_t to_unsigned(float value)
{
    return !(value > 0) ? 0 : value >= 0x1p32f ? UINT32_MAX : (uint32_t)value;
}

static int32_t to_signed(float value)
{
    if (isnan(value))
        return 0;
    return value >= 0x1p31f ? INT32_MAX : value < -0x1p31f ? INT32_MIN : (int32_t)value;
}

SCALARS(u2f, uint32_t, float, a)
SCALARS(s2f, int32_t, float, a)
SCALARS(f2u, float, uint32_t, to_unsigned(a))
SCALARS(f2s, float, int32_t, to_signed(a))
