// SPDX-License-Identifier: MIT
//
// mma, ldmatrix, stmatrix and movmatrix against plain matrix products, with the ISA's own formulas for which
// lane holds which element, exact and perturbed; and shuffles against their definition.
#include "mma_test.h"

static const shape shapes[] = {
    {"m16n8k8.row.col.f32.f16.f16.f32", "f16", "f16", "f32", 16, 8, 2, 1, 4},
    {"m16n8k16.row.col.f32.f16.f16.f32", "f16", "f16", "f32", 16, 16, 4, 2, 4},
    {"m16n8k16.row.col.f16.f16.f16.f16", "f16", "f16", "f16", 16, 16, 4, 2, 2},
    {"m16n8k8.row.col.f32.bf16.bf16.f32", "bf16", "bf16", "f32", 16, 8, 2, 1, 4},
    {"m16n8k16.row.col.f32.bf16.bf16.f32", "bf16", "bf16", "f32", 16, 16, 4, 2, 4},
    {"m16n8k4.row.col.f32.tf32.tf32.f32", "tf32", "tf32", "f32", 16, 4, 2, 1, 4},
    {"m16n8k8.row.col.f32.tf32.tf32.f32", "tf32", "tf32", "f32", 16, 8, 4, 2, 4},
    {"m16n8k16.row.col.s32.s8.u8.s32", "s8", "u8", "s32", 16, 16, 2, 1, 4},
    {"m16n8k32.row.col.s32.s8.s8.s32", "s8", "s8", "s32", 16, 32, 4, 2, 4},
    {"m8n8k16.row.col.s32.u8.s8.s32", "u8", "s8", "s32", 8, 16, 1, 1, 2},
    {"m16n8k32.row.col.f32.e4m3.e4m3.f32", "e4m3", "e4m3", "f32", 16, 32, 4, 2, 4},
    {"m16n8k32.row.col.f32.e5m2.e4m3.f32", "e5m2", "e4m3", "f32", 16, 32, 4, 2, 4},
    {"m16n8k16.row.col.f16.e4m3.e4m3.f16", "e4m3", "e4m3", "f16", 16, 16, 2, 1, 2},
};

// A pattern of moderate size, no NaN: sums stay exact enough to compare.
static uint32_t random_pattern(const char *type, uint64_t *seed)
{
    uint32_t r = (uint32_t)next_random(seed), out = 0, per = per_register(type);
    for (uint32_t i = 0; i < per; i++) {
        uint32_t part = r >> (32 / per * i);
        if (!strcmp(type, "f16"))
            part = (part & 0x83ff) | 0x3800 | (part >> 3 & 0x0400);
        else if (!strcmp(type, "bf16"))
            part = (part & 0x80ff) | 0x3f00;
        else if (!strcmp(type, "tf32"))
            part = (part & 0x80ffffff) | 0x3f000000;
        else if (!strcmp(type, "e4m3"))
            part = (part & 0xff) == 0x7f || (part & 0xff) == 0xff ? 0x30 : part & 0xff;
        else if (!strcmp(type, "e5m2"))
            part = (part & 0x83) | 0x34 | (part & 8);
        out |= (part & (per == 1 ? ~0u : (1u << 32 / per) - 1)) << (32 / per * i);
    }
    return out;
}

// ---- one product ----

static void test_mma(const shape *s, uint64_t *seed)
{
    char text[8192];
    static double a[16][32], b[32][8], c[16][8];
    bool half = !strcmp(s->d_type, "f16"), whole = !strcmp(s->d_type, "s32");
    for (unsigned l = 0; l < 32; l++) {
        unsigned row, col, per = per_register(s->a_type);
        for (unsigned r = 0; r < s->a_regs; r++) {
            input[0][r][l] = random_pattern(s->a_type, seed);
            for (unsigned e = 0; e < per; e++) {
                place_a(s, l, r * per + e, &row, &col);
                a[row][col] =
                    decode(s->a_type, per == 1 ? input[0][r][l]
                                               : input[0][r][l] >> 32 / per * e & ((1u << 32 / per) - 1));
            }
        }
        for (unsigned r = 0; r < s->b_regs; r++) {
            input[1][r][l] = random_pattern(s->b_type, seed);
            for (unsigned e = 0; e < per; e++) {
                place_b(s, l, r * per + e, &row, &col);
                b[row][col] =
                    decode(s->b_type, per == 1 ? input[1][r][l]
                                               : input[1][r][l] >> 32 / per * e & ((1u << 32 / per) - 1));
            }
        }
        for (unsigned r = 0; r < s->d_regs; r++)
            input[2][r][l] = half    ? random_pattern("f16", seed)
                             : whole ? (uint32_t)next_random(seed) >> 8
                                     : random_pattern("tf32", seed);
        for (unsigned i = 0; i < s->m / 4; i++)
            c[(l >> 2) + (i < 2 ? 0 : 8)][l % 4 * 2 + (i & 1)] =
                half ? decode("f16", input[2][i / 2][l] >> 16 * (i & 1) & 0xffff)
                     : decode(s->d_type, input[2][i][l]);
    }
    write_mma(s, text, sizeof text);
    for (unsigned perturbed = 0; perturbed < 2; perturbed++) {
        if (!run_text(text, BUFFER(input), BUFFER(output), 32, (run_options){.seed = perturbed}))
            return;
        for (unsigned l = 0; l < 32; l++)
            for (unsigned i = 0; i < s->m / 4; i++) {
                unsigned row = (l >> 2) + (i < 2 ? 0 : 8), col = l % 4 * 2 + (i & 1);
                double sum = c[row][col], size = fabs(sum);
                for (unsigned k = 0; k < s->k; k++) {
                    sum += a[row][k] * b[k][col];
                    size += fabs(a[row][k] * b[k][col]);
                }
                double got = half ? decode("f16", output[i / 2][l] >> 16 * (i & 1) & 0xffff)
                                  : decode(s->d_type, output[i][l]);
                double bound = whole ? 0 : half ? size * 0x1p-11 : size * (perturbed ? 0x1p-20 : 0x1p-24);
                if (half && fabs(sum) > 65504)
                    continue;
                CHECK(fabs(got - sum) <= bound, "%s: (%u,%u) is %.9g, not %.9g", s->text, row, col, got, sum);
            }
    }
}

// ---- moves of matrices ----

static void test_moves(void)
{
    static uint16_t in[32][8], out[3][32][8];
    uint32_t loaded[8][32];
    for (unsigned r = 0; r < 32; r++)
        for (unsigned c = 0; c < 8; c++)
            in[r][c] = (uint16_t)(r * 100 + c);
    // a store moves back what a load has taken; the transposed halves and movmatrix are looked at by their
    // formulas
    static const char text[] = HEADER
        ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b32 %r<40>;\n.reg .b64 %rd<8>;\n.shared "
        ".align 16 .b8 s[512];\n"
        ".shared .align 16 .b8 t[512];\nld.param.u64 %rd0, [p0];\nld.param.u64 %rd1, [p1];\nmov.u32 %r0, "
        "%tid.x;\nmul.wide.u32 %rd2, %r0, 16;\n"
        "add.u64 %rd3, %rd0, %rd2;\nshl.b32 %r1, %r0, 4;\nmov.u32 %r2, s;\nadd.u32 %r2, %r2, %r1;\nmov.u32 "
        "%r3, t;\nadd.u32 %r3, %r3, %r1;\n"
        "cp.async.cg.shared.global [%r2], [%rd3], 16;\ncp.async.wait_all;\nbar.sync 0;\n"
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4,%r5,%r6,%r7}, "
        "[%r2];\nldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r8,%r9}, [%r2];\n"
        "movmatrix.sync.aligned.m8n8.trans.b16 %r10, %r4;\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r11}, "
        "[%r2];\n"
        "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%r3], {%r4,%r5,%r6,%r7};\nbar.sync 0;\n"
        "mul.wide.u32 %rd4, %r0, 4;\nadd.u64 %rd5, %rd1, %rd4;\nst.global.b32 [%rd5], %r4;\nst.global.b32 "
        "[%rd5+128], %r7;\nst.global.b32 [%rd5+256], %r8;\n"
        "st.global.b32 [%rd5+384], %r9;\nst.global.b32 [%rd5+512], %r10;\nst.global.b32 [%rd5+640], %r11;\n"
        "ld.shared.v4.b32 {%r20,%r21,%r22,%r23}, [%r3];\nadd.u64 %rd6, %rd1, %rd2;\nst.global.v4.b32 "
        "[%rd6+1024], {%r20,%r21,%r22,%r23};\nret;\n}\n";
    uint8_t all[1024 + 512];
    if (!run_text(text, BUFFER(in), BUFFER(all), 32, (run_options){.seed = 0}))
        return;
    memcpy(loaded, all, sizeof loaded);
    memcpy(out[0], all + 1024, 512);
    for (unsigned l = 0; l < 32; l++)
        for (unsigned e = 0; e < 2; e++) {
            unsigned row = l / 4, col = l % 4 * 2 + e;
            CHECK((uint16_t)(loaded[0][l] >> 16 * e) == in[row][col], "ldmatrix: lane %u", l);
            CHECK((uint16_t)(loaded[1][l] >> 16 * e) == in[24 + row][col], "ldmatrix, fourth: lane %u", l);
            CHECK((uint16_t)(loaded[2][l] >> 16 * e) == in[col][row], "ldmatrix.trans: lane %u", l);
            CHECK((uint16_t)(loaded[3][l] >> 16 * e) == in[8 + col][row], "ldmatrix.trans, second: lane %u",
                  l);
            CHECK((uint16_t)(loaded[4][l] >> 16 * e) == in[col][row], "movmatrix: lane %u", l);
            CHECK(loaded[5][l] == loaded[0][l], "ldmatrix.x1: lane %u", l);
        }
    for (unsigned r = 0; r < 32; r++)
        for (unsigned c = 0; c < 8; c++)
            CHECK(out[0][r][c] == in[r / 8 * 8 + c][r % 8], "stmatrix.trans: row %u", r);
}

// ---- shuffles ----

static void test_shuffle(const char *mode, unsigned width, unsigned by)
{
    char text[2048];
    uint32_t in[32], out[2][32];
    bool up = !strcmp(mode, "up");
    unsigned c = ((32 - width) << 8) | (up ? 0 : 31);
    for (unsigned l = 0; l < 32; l++)
        in[l] = 1000 + l;
    snprintf(text, sizeof text,
             HEADER ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .pred %%p;\n.reg .b32 "
                    "%%r<9>;\n.reg .b64 %%rd<8>;\nld.param.u64 %%rd0, [p0];\n"
                    "ld.param.u64 %%rd1, [p1];\nmov.u32 %%r0, %%tid.x;\nmul.wide.u32 %%rd2, %%r0, "
                    "4;\nadd.u64 %%rd0, %%rd0, %%rd2;\nadd.u64 %%rd1, %%rd1, %%rd2;\n"
                    "ld.global.b32 %%r1, [%%rd0];\nshfl.sync.%s.b32 %%r1|%%p, %%r1, %u, %u, -1;\nselp.b32 "
                    "%%r2, 1, 0, %%p;\nst.global.b32 [%%rd1], %%r1;\n"
                    "st.global.b32 [%%rd1+128], %%r2;\nret;\n}\n",
             mode, by, c);
    if (!run_text(text, BUFFER(in), BUFFER(out), 32, (run_options){.seed = 0}))
        return;
    for (unsigned l = 0; l < 32; l++) {
        unsigned first = l / width * width;
        int source = up                      ? (int)l - (int)by
                     : !strcmp(mode, "down") ? (int)(l + by)
                     : !strcmp(mode, "bfly") ? (int)(l ^ by)
                                             : (int)(first + by % width);
        bool inside = up ? source >= (int)first : source < (int)(first + width);
        CHECK(out[0][l] == 1000 + (inside ? (unsigned)source : l) && out[1][l] == inside,
              "shfl.%s %u of %u: lane %u has %u, %u", mode, by, width, l, out[0][l], out[1][l]);
    }
}

int main(void)
{
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned run = 0; run < 4; run++)
            test_mma(&shapes[i], &seed);
    test_moves();
    for (unsigned m = 0; m < 4; m++)
        for (unsigned width = 1; width <= 32; width *= 2)
            for (unsigned by = 0; by < 32; by += 3)
                test_shuffle(modes[m], width, by);
    return finish("matrix");
}
