// SPDX-License-Identifier: MIT
//
// Approximate instructions: without a seed the correctly rounded result, with one inside the bound of PTX
// ISA 9.1 (the sections stand beside the numbers), moved often, and by nearly as much as the bound allows.
// Beside them the ISA's tables of special operands.
#include "ptx_test.h"

#include <math.h>

enum { N = 1024, SEEDS = 6 };

typedef enum format { F32, F16, BF16 } format;

typedef struct approximate {
    const char *text, *section;
    double (*right)(double);
    double relative, absolute, ulps;
    double from, to;
    format format;
    bool from_rounded; // the bound counts from the correctly rounded result
} approximate;

static double reciprocal(double v)
{
    return 1 / v;
}

static double reciprocal_root(double v)
{
    return 1 / sqrt(v);
}

static const approximate approximations[] = {
    {"rcp.approx.f32", "9.7.3.13", reciprocal, 0, 0, 1, -1000, 1000, F32, false},
    {"rcp.approx.f32", "9.7.3.13", reciprocal, 0, 0, 1, 0x1.8p126, 0x1.fp127, F32, false},
    {"sqrt.approx.f32", "9.7.3.15", sqrt, 0x1p-23, 0, 0, 0, 1e9, F32, false},
    {"rsqrt.approx.f32", "9.7.3.16", reciprocal_root, 0x1.125fbee25p-23, 0, 0, 1e-9, 1e9, F32, false},
    {"sin.approx.f32", "9.7.3.18", sin, 0, 0x1.6a09e667fp-21, 0, -6.28, 6.28, F32, false},
    {"sin.approx.f32", "9.7.3.18", sin, 0, 0x1.3b2c47bffp-15, 0, 6.2832, 314.1, F32, false},
    {"cos.approx.f32", "9.7.3.19", cos, 0, 0x1.6a09e667fp-21, 0, -6.28, 6.28, F32, false},
    {"cos.approx.f32", "9.7.3.19", cos, 0, 0x1.3b2c47bffp-15, 0, -314.1, -6.2832, F32, false},
    {"cos.approx.f32", "9.7.3.19, without a promise", cos, 0, 1, 0, 315, 1e5, F32, false},
    {"lg2.approx.f32", "9.7.3.20", log2, 0, 0x1p-22, 0, 0.5000001, 1.9999999, F32, false},
    {"lg2.approx.f32", "9.7.3.20", log2, 0x1p-22, 0, 0, 2, 1e6, F32, false},
    {"lg2.approx.f32", "9.7.3.20", log2, 0x1p-22, 0, 0, 1e-9, 0.5, F32, false},
    {"ex2.approx.f32", "9.7.3.21", exp2, 0, 0, 2, -100, 100, F32, true},
    {"ex2.approx.f32", "9.7.3.21", exp2, 0, 0, 2, -148, -126, F32, true},
    {"tanh.approx.f32", "9.7.3.22", tanh, 0x1p-11, 0, 0, -5, 5, F32, false},
    {"tanh.approx.f16", "9.7.4.9", tanh, 0, 0x1.025135375p-11, 0, -3, 3, F16, false},
    {"tanh.approx.bf16", "9.7.4.9", tanh, 0, 0x1p-8, 0, -3, 3, BF16, false},
    {"ex2.approx.f16", "9.7.4.10", exp2, 0x1.125fbee25p-10, 0, 0, -13, 15, F16, false},
    {"ex2.approx.ftz.bf16", "9.7.4.10", exp2, 0x1p-7, 0, 0, -100, 100, BF16, false},
};

static double unit_of(double v)
{
    int exponent;
    frexp(v, &exponent);
    return ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

// ---- halves, by their definition ----

static double half_value(format f, uint32_t bits)
{
    int fraction = f == F16 ? 10 : 7, e = (int)(bits >> fraction) & (f == F16 ? 31 : 255),
        bias = f == F16 ? 15 : 127;
    double v = (double)(bits & ((1u << fraction) - 1)) / (1 << fraction);
    v = e ? ldexp(1 + v, e - bias) : ldexp(v, 1 - bias);
    return bits >> 15 ? -v : v;
}

static double nearest_half(format f, double v)
{
    int exponent, digits = f == F16 ? 11 : 8, least = f == F16 ? -13 : -125;
    frexp(v, &exponent);
    double place = ldexp(1, (exponent < least ? least : exponent) - digits);
    return nearbyint(v / place) * place;
}

// A random operand of the range, in its format, as a pattern.
static uint32_t operand(const approximate *f, uint64_t *seed, double *out_value)
{
    double at = f->from + (f->to - f->from) * (double)(next_random(seed) >> 11) * 0x1p-53;
    uint32_t bits;
    float single = (float)at;
    memcpy(&bits, &single, 4);
    if (f->format == F16) {
        for (bits = 0; half_value(F16, bits + 1) <= fabs(at); bits++)
            ;
        bits |= at < 0 ? 0x8000 : 0;
    } else if (f->format == BF16) {
        bits >>= 16;
    }
    *out_value = f->format == F32 ? (double)single : half_value(f->format, bits);
    return bits;
}

static double result(const approximate *f, uint32_t bits)
{
    float single;
    memcpy(&single, &bits, 4);
    return f->format == F32 ? (double)single : half_value(f->format, bits & 0xffff);
}

static void write_kernel(const approximate *f, const char *text_of, char *text, size_t bytes)
{
    const char *in = f->format == F32 ? "ld.global.f32 %f1, [%rd0];" : "ld.global.u16 %h1, [%rd0];";
    const char *out =
        f->format == F32 ? "st.global.f32 [%rd1], %f1;" : "cvt.u32.u16 %r1, %h1;\nst.global.u32 [%rd1], %r1;";
    snprintf(text, bytes,
             HEADER
             ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b32 %%r<3>;\n.reg .f32 %%f<3>;\n"
             ".reg .b16 %%h<3>;\n.reg .b64 %%rd<8>;\nld.param.u64 %%rd0, [p0];\nld.param.u64 %%rd1, [p1];\n"
             "mov.u32 %%r0, %%tid.x;\nmul.wide.u32 %%rd2, %%r0, 4;\nadd.u64 %%rd0, %%rd0, %%rd2;\n"
             "add.u64 %%rd1, %%rd1, %%rd2;\n%s\n%s %s, %s;\n%s\nret;\n}\n",
             in, text_of, f->format == F32 ? "%f1" : "%h1", f->format == F32 ? "%f1" : "%h1", out);
}

static void test_approximation(const approximate *f)
{
    char text[1024];
    static uint32_t in[N], out[N];
    static double value[N];
    uint64_t seed = 3;
    unsigned moved = 0;
    double reach = 0;
    for (unsigned i = 0; i < N; i++)
        in[i] = operand(f, &seed, &value[i]);
    write_kernel(f, f->text, text, sizeof text);
    for (uint64_t run = 0; run < SEEDS; run++) {
        if (!run_text(text, BUFFER(in), BUFFER(out), N, (run_options){.seed = run}))
            return;
        for (unsigned i = 0; i < N; i++) {
            double right = f->right(value[i]), got = result(f, out[i]);
            double rounded = f->format == F32 ? (double)(float)right : nearest_half(f->format, right);
            if (run == 0) {
                CHECK(got == rounded, "%s of %.9g: %.9g, not %.9g", f->text, value[i], got, rounded);
                continue;
            }
            right = f->from_rounded ? rounded : right;
            double bound = fabs(right) * f->relative + f->absolute + f->ulps * unit_of(right);
            moved += got != rounded;
            reach = fmax(reach, fabs(got - right) / bound);
            CHECK(fabs(got - right) <= bound, "%s (%s) of %.9g, seed %u: %.9g, not %.9g", f->text, f->section,
                  value[i], (unsigned)run, got, right);
        }
    }
    CHECK(moved > N, "%s: only %u of %u results moved", f->text, moved, (SEEDS - 1) * N);
    CHECK(reach > 0.9, "%s: moved by %g of the bound (%s) at most", f->text, reach, f->section);
}

// ---- division: two operands ----

static void test_division(const char *kind, double from, double to)
{
    char text[1024];
    static float in[2 * N], out[N];
    uint64_t seed = 5;
    double reach = 0;
    for (unsigned i = 0; i < N; i++) {
        double size = from + (to - from) * (double)(next_random(&seed) >> 11) * 0x1p-53;
        in[i] = (float)ldexp(1 + (double)(next_random(&seed) >> 11) * 0x1p-53, (int)(next_random(&seed) % 5));
        in[N + i] = (float)exp2(size);
    }
    snprintf(
        text, sizeof text,
        HEADER
        ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b32 %%r;\n.reg .f32 %%f<3>;\n"
        ".reg .b64 %%rd<8>;\nld.param.u64 %%rd0, [p0];\nld.param.u64 %%rd1, [p1];\nmov.u32 %%r, %%tid.x;\n"
        "mul.wide.u32 %%rd2, %%r, 4;\nadd.u64 %%rd0, %%rd0, %%rd2;\nadd.u64 %%rd1, %%rd1, %%rd2;\n"
        "ld.global.f32 %%f1, [%%rd0];\nld.global.f32 %%f2, [%%rd0+4096];\ndiv.%s.f32 %%f1, %%f1, %%f2;\n"
        "st.global.f32 [%%rd1], %%f1;\nret;\n}\n",
        kind);
    for (uint64_t run = 0; run < SEEDS; run++) {
        if (!run_text(text, BUFFER(in), BUFFER(out), N, (run_options){.seed = run}))
            return;
        for (unsigned i = 0; i < N; i++) {
            double right = (double)in[i] / (double)in[N + i], bound = 2 * unit_of(right); // 9.7.3.8
            if (!strcmp(kind, "approx") && in[N + i] > 0x1p126f) {
                CHECK(out[i] == 0, "div.approx by %.9g: %.9g, not 0", (double)in[N + i], (double)out[i]);
                reach = 1;
                continue;
            }
            reach = run ? fmax(reach, fabs((double)out[i] - right) / bound) : reach;
            CHECK(run ? fabs((double)out[i] - right) <= bound : out[i] == (float)right,
                  "div.%s, %.9g by %.9g, seed %u: %.9g", kind, (double)in[i], (double)in[N + i],
                  (unsigned)run, (double)out[i]);
        }
    }
    CHECK(reach > 0.9, "div.%s: moved by %g of the bound at most", kind, reach);
}

// ---- special operands: the ISA's tables, also with a seed ----

typedef struct special {
    const char *text;
    uint32_t in, out; // patterns of single precision
} special;

static const special specials[] = {
    {"rcp.approx.f32", 0xff800000, 0x80000000},
    {"rcp.approx.f32", 0x80000000, 0xff800000},
    {"rcp.approx.f32", 0, 0x7f800000},
    {"rcp.approx.f32", 0x7f800000, 0},
    {"rcp.approx.f32", 0xffc12345, 0x7fffffff},
    {"sqrt.approx.f32", 0xff800000, 0x7fffffff},
    {"sqrt.approx.f32", 0xbf800000, 0x7fffffff},
    {"sqrt.approx.f32", 0x80000000, 0x80000000},
    {"sqrt.approx.f32", 0x7f800000, 0x7f800000},
    {"rsqrt.approx.f32", 0x80000000, 0xff800000},
    {"rsqrt.approx.f32", 0, 0x7f800000},
    {"rsqrt.approx.f32", 0x7f800000, 0},
    {"rsqrt.approx.f32", 0xbf800000, 0x7fffffff},
    {"sin.approx.f32", 0x7f800000, 0x7fffffff},
    {"sin.approx.f32", 0x80000000, 0x80000000},
    {"cos.approx.f32", 0xff800000, 0x7fffffff},
    {"lg2.approx.f32", 0xff800000, 0x7fffffff},
    {"lg2.approx.f32", 0x80000000, 0xff800000},
    {"lg2.approx.f32", 0, 0xff800000},
    {"lg2.approx.f32", 0x7f800000, 0x7f800000},
    {"lg2.approx.f32", 0xc0000000, 0x7fffffff},
    {"ex2.approx.f32", 0xff800000, 0},
    {"ex2.approx.f32", 0x7f800000, 0x7f800000},
    {"ex2.approx.f32", 0x7fc00000, 0x7fffffff},
    {"ex2.approx.ftz.f32", 0xc3000000, 0},
    {"tanh.approx.f32", 0x80000000, 0x80000000},
    {"lg2.approx.ftz.f32", 0x00000001, 0xff800000},
};

static void test_specials(void)
{
    static const approximate single = {.format = F32};
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        char text[1024];
        uint32_t in[1] = {specials[i].in}, out[1];
        write_kernel(&single, specials[i].text, text, sizeof text);
        for (uint64_t run = 0;
             run < SEEDS && run_text(text, BUFFER(in), BUFFER(out), 1, (run_options){.seed = run}); run++)
            CHECK(out[0] == specials[i].out, "%s of %08x: %08x, not %08x", specials[i].text, in[0], out[0],
                  specials[i].out);
    }
}

// ---- double precision: the upper word counts with .ftz, all of it without ----

static void test_doubles(void)
{
    static const char *const texts[] = {"rcp.approx.ftz.f64", "rsqrt.approx.ftz.f64", "rsqrt.approx.f64"};
    for (unsigned which = 0; which < 3; which++) {
        char text[1024];
        static double in[N], out[N];
        uint64_t seed = 7;
        for (unsigned i = 0; i < N; i++)
            in[i] = ldexp(1 + (double)(next_random(&seed) >> 11) * 0x1p-53,
                          (int)(next_random(&seed) % 200) - 100);
        snprintf(text, sizeof text,
                 HEADER
                 ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b32 %%r;\n.reg .f64 %%f<3>;\n"
                 ".reg .b64 %%rd<8>;\nld.param.u64 %%rd0, [p0];\nld.param.u64 %%rd1, [p1];\n"
                 "mov.u32 %%r, %%tid.x;\nmul.wide.u32 %%rd2, %%r, 8;\nadd.u64 %%rd0, %%rd0, %%rd2;\n"
                 "add.u64 %%rd1, %%rd1, %%rd2;\nld.global.f64 %%f1, [%%rd0];\n%s %%f1, %%f1;\n"
                 "st.global.f64 [%%rd1], %%f1;\nret;\n}\n",
                 texts[which]);
        if (!run_text(text, BUFFER(in), BUFFER(out), N, (run_options){.seed = 1}))
            return;
        for (unsigned i = 0; i < N; i++) {
            uint64_t bits, low = 0xffffffffull;
            double from = in[i];
            memcpy(&bits, &from, 8);
            bits &= which < 2 ? ~low : ~0ull;
            memcpy(&from, &bits, 8);
            double right = which ? 1 / sqrt(from) : 1 / from;
            memcpy(&bits, &out[i], 8);
            CHECK(fabs(out[i] - right) <= fabs(right) * (which < 2 ? 0x1p-20 : 0x1p-52) &&
                      (which == 2 || !(bits & low)),
                  "%s of %.17g: %.17g, not %.17g", texts[which], in[i], out[i], right);
        }
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof approximations / sizeof *approximations; i++)
        test_approximation(&approximations[i]);
    test_division("approx", -100, 100);
    test_division("approx", 126.1, 127.9);
    test_division("full", -120, 127.9);
    test_specials();
    test_doubles();
    return finish("approx");
}
