// SPDX-License-Identifier: MIT
//
// Fragments for tests of mma: which lane holds which element by the ISA's own formulas, numbers of few bits
// by their definition, and a kernel of one mma.
#pragma once

#include "ptx_test.h"

#include <math.h>

typedef struct shape {
    const char *text, *a_type, *b_type, *d_type;
    unsigned m, k, a_regs, b_regs, d_regs; // registers of 32 bits; f64 counts two
} shape;

// ---- numbers of few bits, by their definition ----

static inline double decode(const char *type, uint32_t bits)
{
    int fraction = !strcmp(type, "f16") ? 10 : !strcmp(type, "bf16") ? 7 : !strcmp(type, "e4m3") ? 3 : 2;
    int width = !strcmp(type, "f16") || !strcmp(type, "bf16") ? 16 : 8;
    float f;
    if (!strcmp(type, "s8"))
        return (int8_t)bits;
    if (!strcmp(type, "u8"))
        return (uint8_t)bits;
    if (!strcmp(type, "tf32") || !strcmp(type, "f32")) {
        bits = type[0] == 't' ? bits & 0xffffe000u : bits;
        memcpy(&f, &bits, 4);
        return f;
    }
    if (!strcmp(type, "s32"))
        return (int32_t)bits;
    int exponent_bits = width - 1 - fraction, bias = (1 << (exponent_bits - 1)) - 1;
    int e = (int)(bits >> fraction) & ((1 << exponent_bits) - 1);
    double v = (double)(bits & ((1u << fraction) - 1)) / (1 << fraction);
    v = e ? ldexp(1 + v, e - bias) : ldexp(v, 1 - bias);
    return bits >> (width - 1) & 1 ? -v : v;
}

static inline unsigned per_register(const char *type)
{
    return !strcmp(type, "f16") || !strcmp(type, "bf16") ? 2 : !strcmp(type, "tf32") ? 1 : 4;
}

// ---- a kernel of one product ----

static uint32_t input[3][4][32], output[4][32]; // [a, b, c][register][lane]

static inline void write_mma(const shape *s, char *text, size_t bytes)
{
    const char *d_reg = !strcmp(s->d_type, "f32") ? "f" : "r";
    unsigned counts[3] = {s->a_regs, s->b_regs, s->d_regs};
    size_t used = (size_t)snprintf(
        text, bytes,
        HEADER
        ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b32 %%r<40>;\n.reg .f32 %%f<40>;\n"
        ".reg .b64 %%rd<8>;\nld.param.u64 %%rd0, [p0];\nld.param.u64 %%rd1, [p1];\nmov.u32 %%r0, %%tid.x;\n"
        "mul.wide.u32 %%rd2, %%r0, 4;\nadd.u64 %%rd0, %%rd0, %%rd2;\nadd.u64 %%rd1, %%rd1, %%rd2;\n");
    for (unsigned which = 0; which < 3; which++)
        for (unsigned i = 0; i < counts[which]; i++)
            used += (size_t)snprintf(text + used, bytes - used, "ld.global.b32 %%%s%u, [%%rd0+%u];\n",
                                     which == 2 ? d_reg : "r", 1 + which * 8 + i, (which * 4 + i) * 128);
    used += (size_t)snprintf(text + used, bytes - used, "mma.sync.aligned.%s ", s->text);
    for (unsigned which = 0; which < 4; which++) {
        unsigned set = which == 0 ? 3 : which - 1,
                 count = which == 0 || which == 3 ? s->d_regs : counts[which - 1];
        used += (size_t)snprintf(text + used, bytes - used, which ? ", {" : "{");
        for (unsigned i = 0; i < count; i++)
            used += (size_t)snprintf(text + used, bytes - used, "%s%%%s%u", i ? "," : "",
                                     which == 0 || which == 3 ? d_reg : "r", 1 + set * 8 + i);
        used += (size_t)snprintf(text + used, bytes - used, "}");
    }
    used += (size_t)snprintf(text + used, bytes - used, ";\n");
    for (unsigned i = 0; i < s->d_regs; i++)
        used += (size_t)snprintf(text + used, bytes - used, "st.global.b32 [%%rd1+%u], %%%s%u;\n", i * 128,
                                 d_reg, 25 + i);
    snprintf(text + used, bytes - used, "ret;\n}\n");
}

// The ISA's formulas: element i of lane l.
static inline void place_a(const shape *s, unsigned lane, unsigned i, unsigned *row, unsigned *col)
{
    unsigned group = lane >> 2, in = lane % 4, per = per_register(s->a_type);
    if (per == 1) { // tf32
        *row = i == 0 || i == 2 ? group : group + 8;
        *col = i < 2 ? in : in + 4;
    } else if (per == 2) {
        *row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        *col = in * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    } else if (s->m == 8) {
        *row = group;
        *col = in * 4 + i;
    } else if (s->k == 16) {
        *row = i < 4 ? group : group + 8;
        *col = in * 4 + (i & 3);
    } else {
        *row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
        *col = in * 4 + (i & 3) + (i >= 8 ? 16 : 0);
    }
}

static inline void place_b(const shape *s, unsigned lane, unsigned i, unsigned *row, unsigned *col)
{
    unsigned in = lane % 4, per = per_register(s->b_type);
    *col = lane >> 2;
    *row = per == 1   ? i == 0 ? in : in + 4
           : per == 2 ? in * 2 + (i & 1) + (i >= 2 ? 8 : 0)
                      : in * 4 + (i & 3) + (i >= 4 ? 16 : 0);
}
