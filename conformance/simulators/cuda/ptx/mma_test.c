// SPDX-License-Identifier: MIT
//
// How mma sums. Known examples: terms that a chip loses, by its generation, as Fasi, Higham, Mikaitis and
// Pranesh (PeerJ Computer Science 7:e330) provoke them; then random fragments against the same model in whole
// numbers, with a bound on what it may lose; and that each way to sum gives what it says, twice the same.
#include "mma_test.h"

static const shape bf16_8 = {"m16n8k8.row.col.f32.bf16.bf16.f32", "bf16", "bf16", "f32", 16, 8, 2, 1, 4};
static const shape bf16_16 = {"m16n8k16.row.col.f32.bf16.bf16.f32", "bf16", "bf16", "f32", 16, 16, 4, 2, 4};
static const shape f16_16 = {"m16n8k16.row.col.f32.f16.f16.f32", "f16", "f16", "f32", 16, 16, 4, 2, 4};
static const shape f16_half = {"m16n8k16.row.col.f16.f16.f16.f16", "f16", "f16", "f16", 16, 16, 4, 2, 2};
static const shape tf32_8 = {"m16n8k8.row.col.f32.tf32.tf32.f32", "tf32", "tf32", "f32", 16, 8, 4, 2, 4};
static const shape e4m3_32 = {"m16n8k32.row.col.f32.e4m3.e4m3.f32", "e4m3", "e4m3", "f32", 16, 32, 4, 2, 4};
static const shape e5m2_16 = {"m16n8k16.row.col.f16.e5m2.e4m3.f16", "e5m2", "e4m3", "f16", 16, 16, 2, 1, 2};

// ---- fragments out of matrices of patterns ----

static uint32_t a[16][32], b[32][8], c[16][8], d[16][8];

static unsigned width_of(const char *type)
{
    return 32 / per_register(type);
}

static void pack(const shape *s)
{
    unsigned row, col, per = per_register(s->a_type), width = width_of(s->a_type);
    bool half = !strcmp(s->d_type, "f16");
    memset(input, 0, sizeof input);
    for (unsigned l = 0; l < 32; l++) {
        for (unsigned i = 0; i < s->a_regs * per; i++) {
            place_a(s, l, i, &row, &col);
            input[0][i / per][l] |= a[row][col] << width * (i % per);
        }
        for (unsigned i = 0; i < s->b_regs * per; i++) {
            place_b(s, l, i, &row, &col);
            input[1][i / per][l] |= b[row][col] << width * (i % per);
        }
        for (unsigned i = 0; i < 4; i++)
            input[2][half ? i / 2 : i][l] |= c[(l >> 2) + (i < 2 ? 0 : 8)][l % 4 * 2 + (i & 1)]
                                             << (half ? i % 2 * 16 : 0);
    }
}

static bool run_mma(const shape *s, run_options options)
{
    char text[8192];
    bool half = !strcmp(s->d_type, "f16");
    pack(s);
    write_mma(s, text, sizeof text);
    if (!run_text(text, BUFFER(input), BUFFER(output), 32, options))
        return false;
    for (unsigned l = 0; l < 32; l++)
        for (unsigned i = 0; i < 4; i++) {
            uint32_t word = output[half ? i / 2 : i][l];
            d[(l >> 2) + (i < 2 ? 0 : 8)][l % 4 * 2 + (i & 1)] = half ? word >> i % 2 * 16 & 0xffff : word;
        }
    return true;
}

// ---- known examples: element (3, 5) of c + a b, where row 3 of a is ones ----

static uint32_t pattern(const char *type, double value)
{
    for (uint32_t bits = 0; bits < (width_of(type) == 8 ? 256u : 65536u); bits++) {
        uint32_t word = width_of(type) == 32 ? bits << 16 : bits;
        if (decode(type, word) == value)
            return word;
    }
    CHECK(false, "%g is no number of %s", value, type);
    return 0;
}

typedef struct example {
    const char *what;
    const shape *s;
    ptx_mma mma;
    uint32_t chip;
    double c, terms[32], sum;
} example;

#define EACH(n) [0 ...(n) - 1]
static const example examples[] = {
    {"a small term, exact", &bf16_16, PTX_MMA_EXACT, 0, 1, {0x1p-24, 0x1p-24}, 1 + 0x1p-23},
    {"a small term, by steps", &bf16_16, PTX_MMA_STEPS, 0, 1, {0x1p-24, 0x1p-24}, 1},
    {"steps round to nearest", &bf16_16, PTX_MMA_STEPS, 0, 1, {0x1.8p-24, 0x1.8p-24}, 1 + 0x1p-22},
    {"one bit behind f32 is kept", &bf16_16, PTX_MMA_CHIP, 80, 1, {0x1p-24, 0x1p-24}, 1 + 0x1p-23},
    {"a second one is not", &bf16_16, PTX_MMA_CHIP, 80, 1, {0x1p-25, 0x1p-25, 0x1p-25, 0x1p-25}, 1},
    {"nor on sm_89", &bf16_16, PTX_MMA_CHIP, 89, 1, {0x1p-25, 0x1p-25, 0x1p-25, 0x1p-25}, 1},
    {"nor on sm_75", &f16_16, PTX_MMA_CHIP, 75, 1, {0x1p-25, 0x1p-25, 0x1p-25, 0x1p-25}, 1},
    {"on sm_90 it is", &bf16_16, PTX_MMA_CHIP, 90, 1, {0x1p-25, 0x1p-25, 0x1p-25, 0x1p-25}, 1 + 0x1p-23},
    {"a third one is not", &bf16_16, PTX_MMA_CHIP, 90, 1, {EACH(16) = 0x1p-26}, 1},
    {"exactly they would count", &bf16_16, PTX_MMA_EXACT, 90, 1, {EACH(16) = 0x1p-26}, 1 + 0x1p-22},
    {"the result is cut off", &bf16_16, PTX_MMA_CHIP, 90, 1, {0x1.8p-24}, 1},
    {"towards zero", &bf16_16, PTX_MMA_CHIP, 90, -1, {-0x1.8p-24}, -1},
    {"exactly it is rounded", &bf16_16, PTX_MMA_EXACT, 90, 1, {0x1.8p-24}, 1 + 0x1p-23},
    {"two blocks, each cut off", &bf16_16, PTX_MMA_CHIP, 80, 1, {[3] = 0x1p-24, [11] = 0x1p-24}, 1},
    {"one block on sm_90", &bf16_16, PTX_MMA_CHIP, 90, 1, {[3] = 0x1p-24, [11] = 0x1p-24}, 1 + 0x1p-23},
    {"half a block of tf32", &tf32_8, PTX_MMA_CHIP, 80, 1, {[1] = 0x1p-24, [5] = 0x1p-24}, 1},
    {"a block of tf32 on sm_90", &tf32_8, PTX_MMA_CHIP, 90, 1, {[1] = 0x1p-24, [5] = 0x1p-24}, 1 + 0x1p-23},
    {"cancellation uncovers the loss", &bf16_8, PTX_MMA_CHIP, 80, 0x1p20, {-0x1p20, 0x1p-6}, 0},
    {"a smaller accumulator keeps more",
     &bf16_8,
     PTX_MMA_CHIP,
     80,
     1 - 0x1p-24,
     {EACH(8) = 0x1p-25},
     1 + 0x1p-23},
    {"than a larger one", &bf16_8, PTX_MMA_CHIP, 80, 1, {EACH(8) = 0x1p-25}, 1},
    {"14 bits of FP8", &e4m3_32, PTX_MMA_CHIP, 89, 16, {[1] = 0x1p-9}, 16 + 0x1p-9},
    {"no 15th", &e4m3_32, PTX_MMA_CHIP, 89, 32, {[1] = 0x1p-9, [2] = 0x1p-9}, 32},
    {"nor in the result", &e4m3_32, PTX_MMA_CHIP, 89, 0, {[1] = 32, [2] = 32, [3] = 0x1p-8}, 64},
    {"on sm_90 it is", &e4m3_32, PTX_MMA_CHIP, 90, 0, {[1] = 32, [2] = 32, [3] = 0x1p-8}, 64 + 0x1p-8},
    {"and the 15th", &e4m3_32, PTX_MMA_CHIP, 90, 32, {[1] = 0x1p-9, [2] = 0x1p-9}, 32 + 0x1p-8},
    {"the accumulator comes last, to nearest",
     &e4m3_32,
     PTX_MMA_CHIP,
     90,
     0x1p15 + 0x1p-8,
     {[21] = 0x1p-9},
     0x1p15 + 0x1p-7},
    {"exactly they would count, too",
     &e4m3_32,
     PTX_MMA_EXACT,
     90,
     32,
     {[1] = 0x1p-9, [2] = 0x1p-9},
     32 + 0x1p-8},
    {"blocks of 16 in FP8", &e4m3_32, PTX_MMA_CHIP, 89, 0, {[0] = 32, [1] = -32, [16] = 0x1p-9}, 0x1p-9},
    {"a difference of FP8 on sm_90",
     &e4m3_32,
     PTX_MMA_CHIP,
     90,
     0,
     {[2] = 32, [1] = -32, [16] = 0x1p-9},
     0x1p-9},
    {"halves are rounded", &f16_half, PTX_MMA_CHIP, 80, 1, {0x1.8p-11}, 1 + 0x1p-10},
    {"beyond the range", &bf16_8, PTX_MMA_CHIP, 80, 0x1.fffffep127, {0x1p127}, (double)INFINITY},
    {"nothing but zeros", &bf16_8, PTX_MMA_CHIP, 80, 0, {0}, 0},
};

static void test_example(const example *e)
{
    float f = (float)e->c;
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    memset(c, 0, sizeof c);
    if (!strcmp(e->s->d_type, "f16"))
        c[3][5] = pattern("f16", e->c);
    else
        memcpy(&c[3][5], &f, 4);
    for (unsigned k = 0; k < e->s->k; k++) {
        // what the type does not hold is made of two factors
        double term = e->terms[k], factor = 1;
        if (!strcmp(e->s->a_type, "f16") && term != 0 && fabs(term) < 0x1p-14)
            factor = 0x1p-14;
        a[3][k] = pattern(e->s->a_type, factor);
        b[k][5] = pattern(e->s->b_type, term / factor);
    }
    if (!run_mma(e->s, (run_options){.mma = e->mma, .chip = e->chip}))
        return;
    double got = decode(e->s->d_type, d[3][5]);
    CHECK(got == e->sum && d[3][5] >> 31 == (uint32_t)signbit(e->sum), "%s: %.10g, not %.10g", e->what, got,
          e->sum);
}

// ---- the same model in whole numbers ----

typedef struct number {
    int64_t significand; // with its sign
    int exponent;        // of the significand's bit `fraction`
    int fraction;
} number;

static number split(const char *type, uint32_t bits)
{
    bool half = !strcmp(type, "f16"), brain = !strcmp(type, "bf16"), e4 = !strcmp(type, "e4m3"),
         e5 = !strcmp(type, "e5m2");
    int fraction = half    ? 10
                   : brain ? 7
                   : e4    ? 3
                   : e5    ? 2
                           : 23,
        width = half || brain ? 16
                : e4 || e5    ? 8
                              : 32;
    int exponent_bits = width - 1 - fraction, bias = (1 << (exponent_bits - 1)) - 1;
    if (!strcmp(type, "tf32"))
        bits &= 0xffffe000u;
    int64_t low = bits & ((1u << fraction) - 1);
    int e = (int)(bits >> fraction) & ((1 << exponent_bits) - 1);
    number n = {e ? low | 1ll << fraction : low, (e ? e : 1) - bias, fraction};
    n.significand = bits >> (width - 1) & 1 ? -n.significand : n.significand;
    return n;
}

static int64_t cut(const number *n, int top, int kept)
{
    int shift = n->fraction + top - n->exponent - kept;
    int64_t size = n->significand < 0 ? -n->significand : n->significand;
    size = shift >= 63 ? 0 : shift >= 0 ? size >> shift : size << -shift;
    return n->significand < 0 ? -size : size;
}

// The sum in units of 2^unit, as a number of the result's format.
static double settled(int64_t sum, int unit, bool half, int result)
{
    int64_t size = sum < 0 ? -sum : sum;
    int length = 0, quantum;
    while (size >> length)
        length++;
    if (half) {
        quantum = (length - 1 + unit < -14 ? -14 : length - 1 + unit) - 10;
        double v = nearbyint(ldexp((double)size, unit - quantum)) * ldexp(1, quantum);
        v = v > 65504 ? (double)INFINITY : v;
        return sum < 0 ? -v : v;
    }
    quantum = (length - 1 + unit < -126 ? -126 : length - 1 + unit) - result;
    if (quantum > unit)
        size = quantum - unit > 62 ? 0 : size >> (quantum - unit) << (quantum - unit);
    double v = length + unit > 128 ? (double)INFINITY : ldexp((double)size, unit);
    return sum < 0 ? -v : v;
}

static uint32_t bits_of(double value, bool half)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (!half)
        return bits;
    int exponent;
    double size = fabs(value), part = frexp(size, &exponent);
    if (!isfinite(value))
        bits = 0x7c00;
    else
        bits = size < 0x1p-14 ? (uint32_t)(size * 0x1p24)
                              : (uint32_t)(exponent + 13) * 1024 + (uint32_t)(part * 2048);
    return bits | (signbit(value) ? 0x8000 : 0);
}

typedef struct model {
    unsigned block;
    int kept, result;
    bool half, widens; // FP8 as halves
} model;

static model model_of(const shape *s, uint32_t chip)
{
    bool fp8 = width_of(s->a_type) == 8, widens = fp8 && chip >= 90, few = fp8 && !widens;
    return (model){.block = widens ? s->k / 2 : (chip < 90 ? 128 : 256) / width_of(s->a_type),
                   .kept = few         ? 13
                           : chip < 90 ? 24
                                       : 25,
                   .result = few ? 13 : 23,
                   .half = !strcmp(s->d_type, "f16"),
                   .widens = widens};
}

// As a half holds it: its leading bit is the significand's, but for subnormals of halves.
static number widened(number n)
{
    int64_t size = n.significand < 0 ? -n.significand : n.significand;
    for (; size && !(size >> n.fraction) && n.exponent > -14; size <<= 1) {
        n.significand *= 2;
        n.exponent--;
    }
    return n;
}

static double element(const shape *s, uint32_t chip, unsigned row, unsigned col)
{
    model m = model_of(s, chip);
    uint32_t sum_bits = m.widens ? 0 : c[row][col];
    double sum = 0;
    for (unsigned first = 0; first < s->k; first += m.block) {
        number terms[33];
        unsigned count = 0;
        int top = -100000;
        terms[count++] = split(m.half ? "f16" : "f32", sum_bits);
        for (unsigned i = first; i < first + m.block && i < s->k; i++) {
            // the first half of the sum is that of the lower pairs of every four
            unsigned in = i % m.block, k = m.widens ? in / 2 * 4 + i / m.block * 2 + in % 2 : i;
            number x = split(s->a_type, a[row][k]), y = split(s->b_type, b[k][col]);
            if (m.widens) {
                x = widened(x);
                y = widened(y);
            }
            terms[count++] =
                (number){x.significand * y.significand, x.exponent + y.exponent, x.fraction + y.fraction};
        }
        for (unsigned i = 0; i < count; i++)
            top = terms[i].significand && terms[i].exponent > top ? terms[i].exponent : top;
        int64_t total = 0;
        for (unsigned i = 0; i < count; i++)
            total += terms[i].significand ? cut(&terms[i], top, m.kept) : 0;
        sum = settled(total, top - m.kept, m.half, m.result);
        sum_bits = bits_of(sum, m.half);
    }
    if (!m.widens)
        return sum;
    sum += decode(s->d_type, c[row][col]);
    return m.half ? settled((int64_t)ldexp(sum, 30), -30, true, 0) : (float)sum;
}

static uint32_t any_number(const char *type, unsigned spread, uint64_t *seed)
{
    unsigned width = width_of(type);
    int fraction = !strcmp(type, "f16")    ? 10
                   : !strcmp(type, "bf16") ? 7
                   : !strcmp(type, "e4m3") ? 3
                   : !strcmp(type, "e5m2") ? 2
                                           : 23;
    uint32_t bits = (uint32_t)next_random(seed), top = (1u << (width - 1 - (unsigned)fraction)) - 1;
    if (next_random(seed) % 16 == 0)
        return (bits & 1) << (width - 1); // zeros
    // the exponents lie around 1, or all over the type, subnormals among them
    uint32_t exponent = spread ? top / 2 - spread + (uint32_t)(next_random(seed) % (2 * spread))
                               : (uint32_t)(next_random(seed) % (top * 3 / 4));
    uint32_t sign = (uint32_t)(next_random(seed) & 1) << (width - 1);
    return sign | exponent << fraction | (bits & ((1u << fraction) - 1));
}

static void test_model(const shape *s, uint32_t chip, unsigned spread, uint64_t *seed)
{
    bool half = !strcmp(s->d_type, "f16"), small = model_of(s, chip).kept < 24;
    uint32_t again[16][8];
    for (unsigned i = 0; i < 16; i++)
        for (unsigned k = 0; k < s->k; k++) {
            a[i][k] = any_number(s->a_type, spread, seed);
            b[k][i % 8] = any_number(s->b_type, spread, seed);
        }
    for (unsigned i = 0; i < 128; i++)
        c[i / 8][i % 8] = any_number(half ? "f16" : "tf32", spread ? spread : 4, seed);
    run_options options = {.mma = PTX_MMA_CHIP, .chip = chip};
    if (!run_mma(s, options))
        return;
    memcpy(again, d, sizeof d);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 8; j++) {
            double right = element(s, chip, i, j), got = decode(s->d_type, d[i][j]),
                   sum = decode(s->d_type, c[i][j]), size = fabs(sum);
            CHECK(d[i][j] == bits_of(right, half), "%s on sm_%u: (%u,%u) is %.9g, not %.9g", s->text, chip, i,
                  j, got, right);
            for (unsigned k = 0; k < s->k; k++) {
                double term = decode(s->a_type, a[i][k]) * decode(s->b_type, b[k][j]);
                sum += term;
                size += fabs(term);
            }
            // each of the terms loses less than a unit of what is kept, each block's result as much again
            double bound = size * (half && !small ? 0x1p-9
                                   : small        ? 0x1p-13 * (s->k + 4)
                                                  : 0x1p-24 * (s->k + 8));
            bound += half ? size * 0x1p-9 + 0x1p-24 : 0x1p-148;
            CHECK(!isfinite(got) || fabs(got - sum) <= bound, "%s on sm_%u: (%u,%u) is %.9g, far from %.9g",
                  s->text, chip, i, j, got, sum);
        }
    if (run_mma(s, options))
        CHECK(memcmp(again, d, sizeof d) == 0, "%s: not the same again", s->text);
}

// ---- what each way gives where there is no number, and what is taken by default ----

static void test_rest(void)
{
    static const ptx_mma modes[] = {PTX_MMA_EXACT, PTX_MMA_STEPS, PTX_MMA_CHIP};
    uint32_t first[16][8];
    uint64_t seed = 5;
    for (unsigned i = 0; i < 3; i++) {
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        memset(c, 0, sizeof c);
        a[0][2] = 0x7f80, b[2][0] = 0;                                          // infinity by zero
        a[1][2] = 0x7f80, b[2][1] = 0x3f80;                                     // infinity
        c[2][3] = 0xffc12345u;                                                  // a NaN to begin with
        a[4][0] = 0x7f80, a[4][1] = 0x7f80, b[0][4] = 0x3f80, b[1][4] = 0xbf80; // infinity less infinity
        if (run_mma(&bf16_16, (run_options){.mma = modes[i], .chip = 80}))
            CHECK(d[0][0] == 0x7fffffff && d[1][1] == 0x7f800000 && d[2][3] == 0x7fffffff &&
                      d[4][4] == 0x7fffffff,
                  "mode %u: %08x %08x %08x %08x", i, d[0][0], d[1][1], d[2][3], d[4][4]);
    }
    for (unsigned i = 0; i < 16 * 16; i++) {
        a[i / 16][i % 16] = any_number("bf16", 4, &seed);
        b[i / 16][i % 8] = any_number("bf16", 4, &seed);
        c[i / 16][i % 8] = any_number("tf32", 4, &seed);
    }
    run_mma(&bf16_16, (run_options){.mma = PTX_MMA_EXACT, .seed = 3});
    memcpy(first, d, sizeof d);
    run_mma(&bf16_16, (run_options){.seed = 0});
    CHECK(memcmp(first, d, sizeof d) == 0, "without a seed the sum is not exact");
    run_mma(&bf16_16, (run_options){.mma = PTX_MMA_STEPS});
    CHECK(memcmp(first, d, sizeof d) != 0, "steps are not told from exact sums");
    memcpy(first, d, sizeof d);
    run_mma(&bf16_16, (run_options){.seed = 7});
    CHECK(memcmp(first, d, sizeof d) == 0, "with a seed the sum is not by steps");
}

int main(void)
{
    static const shape *const all[] = {&bf16_8, &bf16_16, &f16_16, &f16_half, &tf32_8, &e4m3_32, &e5m2_16};
    static const uint32_t chips[] = {75, 80, 89, 90};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        test_example(&examples[i]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (unsigned chip = 0; chip < 4; chip++)
            for (unsigned run = 0; run < 6; run++)
                test_model(all[i], chips[chip], run % 3 == 0 ? 0 : run % 3 == 1 ? 2 : 6, &seed);
    test_rest();
    return finish("mma");
}
