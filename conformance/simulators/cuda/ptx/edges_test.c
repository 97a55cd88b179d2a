// SPDX-License-Identifier: MIT
//
// Edge cases of single instructions, each with the answer that PTX ISA 9.1 gives in words: NaN, zeros of both
// signs, subnormals with and without .ftz, counts and positions beyond a register, saturation, modes.
#include "ptx_test.h"

// Operands d, a, b, c have the types of four letters: h, w, l for 16, 32, 64 bits, f and d for single and
// double precision, - for none. o points to 64 bytes of global memory, s to 64 of shared.
typedef struct edge {
    const char *text, *types;
    uint64_t a, b, c, d;
} edge;

#define P(text)    "{ .reg .pred p, q; " text " selp.b32 d, 1, 0, p; }"
#define SPACE(at)  "{ .reg .b64 x; .reg .pred p; mov.u64 x, " at "; "
#define NAN_F      0x7fc00001u
#define NAN_D      0x7ff8000000000001ull
#define MINUS_ZERO 0x80000000u

static const edge edges[] = {
    // ---- conversions ----
    {"cvt.rzi.s32.f32 d, a;", "wf--", NAN_F, 0, 0, 0},
    {"cvt.rzi.u16.f32 d, a;", "hf--", NAN_F, 0, 0, 0},
    {"cvt.rzi.s32.f64 d, a;", "wd--", NAN_D, 0, 0, 0x80000000},
    {"cvt.rzi.u32.f64 d, a;", "wd--", NAN_D, 0, 0, 0x80000000},
    {"cvt.rzi.s64.f32 d, a;", "lf--", NAN_F, 0, 0, 1ull << 63},
    {"cvt.rni.u64.f16 d, a;", "lh--", 0x7e00, 0, 0, 1ull << 63},
    {"cvt.rzi.u8.f64 d, a;", "wd--", NAN_D, 0, 0, 0x80},
    {"cvt.rzi.s8.f64 d, a;", "wd--", NAN_D, 0, 0, 0xffffff80},
    {"cvt.rzi.s32.f32 d, a;", "wf--", 0xff800000, 0, 0, 0x80000000},
    {"cvt.rzi.u32.f32 d, a;", "wf--", 0xbf800000, 0, 0, 0},
    {"cvt.rzi.s32.f32 d, a;", "wf--", 0x4f000000, 0, 0, 0x7fffffff},
    {"cvt.rzi.u8.f32 d, a;", "wf--", 0x43808000, 0, 0, 255},
    {"cvt.rpi.f32.f32 d, a;", "ff--", 0xbf000000, 0, 0, MINUS_ZERO},
    {"cvt.rni.f32.f32 d, a;", "ff--", 0x40200000, 0, 0, 0x40000000},
    {"cvt.sat.f32.f32 d, a;", "ff--", NAN_F, 0, 0, 0},
    {"cvt.sat.f32.f32 d, a;", "ff--", MINUS_ZERO, 0, 0, 0},
    {"cvt.ftz.f32.f16 d, a;", "fh--", 1, 0, 0, 0x33800000},
    {"cvt.rna.tf32.f32 d, a;", "wf--", 0x3f801000, 0, 0, 0x3f802000},
    {"cvt.rna.tf32.f32 d, a;", "wf--", 0xbf800fff, 0, 0, 0xbf800000},
    {"cvt.rna.tf32.f32 d, a;", "wf--", NAN_F, 0, 0, 0x7fffffff},
    {"cvt.rna.tf32.f32 d, a;", "wf--", 0x7f7fffff, 0, 0, 0x7f800000},
    {"cvt.rna.satfinite.tf32.f32 d, a;", "wf--", 0x7f800000, 0, 0, 0x7f7fe000},
    {"cvt.rn.relu.tf32.f32 d, a;", "wf--", 0xbf800000, 0, 0, 0},
    {"cvt.rn.relu.f16.f32 d, a;", "hf--", MINUS_ZERO, 0, 0, 0},
    {"cvt.rz.relu.f16.f32 d, a;", "hf--", NAN_F, 0, 0, 0x7fff},
    {"cvt.rz.f16.f32 d, a;", "hf--", 0x7f7fffff, 0, 0, 0x7bff},
    {"cvt.rn.satfinite.f16.f32 d, a;", "hf--", 0xff800000, 0, 0, 0xfbff},
    {"cvt.rn.bf16x2.f32 d, a, b;", "wff-", 0x3f808000, 0x3f818000, 0, 0x3f803f82},
    {"cvt.rn.satfinite.e4m3x2.f32 d, a, b;", "hff-", 0x447a0000, NAN_F, 0, 0x7e7f},
    {"cvt.rn.satfinite.e4m3x2.f32 d, a, b;", "hff-", 0xff800000, MINUS_ZERO, 0, 0xfe80},
    {"cvt.rn.satfinite.e4m3x2.f32 d, a, b;", "hff-", 0x3a800000, 0x3b400000, 0, 0x0002},
    {"cvt.rn.satfinite.relu.e5m2x2.f32 d, a, b;", "hff-", 0xc0400000, 0x4788b800, 0, 0x007b},
    {"cvt.rn.satfinite.e4m3x2.f16x2 d, a;", "hw--", 0x7e00fc00, 0, 0, 0x7ffe},
    {"cvt.rn.f16x2.e4m3x2 d, a;", "wh--", 0x7f01, 0, 0, 0x7fff1800},
    {"cvt.rn.f16x2.e4m3x2 d, a;", "wh--", 0xff80, 0, 0, 0x7fff8000},
    {"cvt.rn.relu.f16x2.e5m2x2 d, a;", "wh--", 0xbc7c, 0, 0, 0x00007c00},
    // ---- least and most ----
    {"max.f32 d, a, b;", "fff-", 0, MINUS_ZERO, 0, 0},
    {"min.f32 d, a, b;", "fff-", 0, MINUS_ZERO, 0, MINUS_ZERO},
    {"max.f16 d, a, b;", "hhh-", 0x8000, 0, 0, 0},
    {"min.bf16 d, a, b;", "hhh-", 0, 0x8000, 0, 0x8000},
    {"min.f64 d, a, b;", "ddd-", 0, 1ull << 63, 0, 1ull << 63},
    {"max.f32 d, a, b;", "fff-", NAN_F, 0xffc00000, 0, 0x7fffffff},
    {"max.f16x2 d, a, b;", "www-", 0x7e003c00, 0xbc007e01, 0, 0xbc003c00},
    {"max.NaN.f16x2 d, a, b;", "www-", 0x7e003c00, 0xbc004000, 0, 0x7fff4000},
    {"min.xorsign.abs.f32 d, a, b;", "fff-", 0xc0400000, 0x40000000, 0, 0xc0000000},
    {"max.xorsign.abs.f16 d, a, b;", "hhh-", 0xc200, 0xc000, 0, 0x4200},
    {"max.xorsign.abs.f32 d, a, b;", "fff-", NAN_F, 0xc0000000, 0, 0xc0000000},
    {"max.NaN.xorsign.abs.bf16 d, a, b;", "hhh-", 0xffc0, 0x3f80, 0, 0x7fff},
    {"max.ftz.f32 d, a, b;", "fff-", 1, MINUS_ZERO, 0, 0},
    {"min.ftz.f32 d, a, b;", "fff-", 0x80000001, 1, 0, MINUS_ZERO},
    // ---- sums and products ----
    {"fma.rn.relu.f16 d, a, b, c;", "hhhh", 0xbc00, 0x3c00, 0, 0},
    {"fma.rn.relu.f16 d, a, b, c;", "hhhh", 0x8000, 0x3c00, 0x8000, 0},
    {"fma.rn.relu.bf16x2 d, a, b, c;", "wwww", 0x7fc0bf80, 0x3f803f80, 0, 0x7fff0000},
    {"fma.rn.sat.f16 d, a, b, c;", "hhhh", 0x4000, 0x4000, 0, 0x3c00},
    {"fma.rn.sat.f16 d, a, b, c;", "hhhh", 0x7e00, 0x4000, 0, 0},
    {"fma.rn.f16 d, a, b, c;", "hhhh", 0x3c01, 0x3c01, 0xbc02, 0x0010},
    {"add.sat.f32 d, a, b;", "fff-", NAN_F, 0, 0, 0},
    {"mul.ftz.f32 d, a, b;", "fff-", 0x80800000, 0x3f000000, 0, MINUS_ZERO},
    {"mul.f32 d, a, b;", "fff-", 0x80800000, 0x3f000000, 0, 0x80400000},
    {"add.rm.f32 d, a, b;", "fff-", 0x3f800000, 0xbf800000, 0, MINUS_ZERO},
    {"add.ftz.f16 d, a, b;", "hhh-", 0x0200, 0x0200, 0, 0},
    // ---- approximate ones, where they are exact ----
    {"ex2.approx.ftz.bf16 d, a;", "hh--", 0xff80, 0, 0, 0},
    {"ex2.approx.ftz.bf16 d, a;", "hh--", 1, 0, 0, 0x3f80},
    {"ex2.approx.ftz.bf16x2 d, a;", "ww--", 0x7fc0c000, 0, 0, 0x7fff3e80},
    {"ex2.approx.ftz.f32 d, a;", "ff--", 0xc2fe0000, 0, 0, 0},
    {"ex2.approx.f32 d, a;", "ff--", 0xc2fe0000, 0, 0, 0x00400000},
    {"tanh.approx.f32 d, a;", "ff--", MINUS_ZERO, 0, 0, MINUS_ZERO},
    {"tanh.approx.f32 d, a;", "ff--", NAN_F, 0, 0, 0x7fffffff},
    {"tanh.approx.bf16x2 d, a;", "ww--", 0xff807f80, 0, 0, 0xbf803f80},
    {"rsqrt.approx.f32 d, a;", "ff--", MINUS_ZERO, 0, 0, 0xff800000},
    {"sqrt.approx.f32 d, a;", "ff--", MINUS_ZERO, 0, 0, MINUS_ZERO},
    {"sqrt.rn.f32 d, a;", "ff--", 0x80000001, 0, 0, 0x7fffffff},
    {"sqrt.rn.ftz.f32 d, a;", "ff--", 0x80000001, 0, 0, MINUS_ZERO},
    {"lg2.approx.ftz.f32 d, a;", "ff--", 1, 0, 0, 0xff800000},
    {"rcp.approx.ftz.f32 d, a;", "ff--", 0x80000001, 0, 0, 0xff800000},
    {"div.approx.f32 d, a, b;", "fff-", 0x3f800000, 0x7f000000, 0, 0},
    {"div.approx.f32 d, a, b;", "fff-", 0x7f800000, 0x7f000000, 0, 0x7fffffff},
    {"div.full.f32 d, a, b;", "fff-", 0x3f800000, 0x7e800000, 0, 0x00800000},
    // ---- signs, classes, comparisons ----
    {"copysign.f32 d, a, b;", "fff-", MINUS_ZERO, NAN_F, 0, 0xffc00001},
    {P("testp.normal.f32 p, a;"), "wf--", MINUS_ZERO, 0, 0, 1},
    {P("testp.normal.f32 p, a;"), "wf--", 1, 0, 0, 0},
    {P("testp.subnormal.f64 p, a;"), "wd--", 0, 0, 0, 0},
    {P("testp.subnormal.f64 p, a;"), "wd--", 1, 0, 0, 1},
    {P("testp.number.f32 p, a;"), "wf--", 0xff800000, 0, 0, 1},
    {P("testp.finite.f32 p, a;"), "wf--", 0xff800000, 0, 0, 0},
    {P("testp.notanumber.f64 p, a;"), "wd--", NAN_D, 0, 0, 1},
    {P("setp.lt.f32 q|p, a, b;"), "wff-", NAN_F, 0, 0, 1},
    {P("setp.ne.f32 p, a, b;"), "wff-", NAN_F, 0, 0, 0},
    {P("setp.neu.f16 p, a, b;"), "whh-", 0x7e00, 0, 0, 1},
    {P("setp.lt.ftz.f32 p, a, b;"), "wff-", 0x80000001, 0, 0, 0},
    {P("setp.lt.f32 p, a, b;"), "wff-", 0x80000001, 0, 0, 1},
    {P("setp.eq.f64 p, a, b;"), "wdd-", 0, 1ull << 63, 0, 1},
    {P("setp.hi.u16 p, a, b;"), "whh-", 0x8000, 0x7fff, 0, 1},
    {P("setp.gt.s16 p, a, b;"), "whh-", 0x8000, 0x7fff, 0, 0},
    {"set.nan.bf16x2.bf16x2 d, a, b;", "www-", 0x7fc03f80, 0x3f803f80, 0, 0x3f800000},
    {"set.eq.ftz.f16x2.f16x2 d, a, b;", "www-", 0x00013c00, 0x80003c00, 0, 0x3c003c00},
    {"slct.b32.f32 d, a, b, c;", "wwwf", 1, 2, 0x80000001, 2},
    {"slct.ftz.b32.f32 d, a, b, c;", "wwwf", 1, 2, 0x80000001, 1},
    {"slct.b32.f32 d, a, b, c;", "wwwf", 1, 2, MINUS_ZERO, 1},
    {"slct.ftz.b64.f32 d, a, b, c;", "lllf", 1, 2, NAN_F, 2},
    // ---- integers ----
    {"mul24.hi.s32 d, a, b;", "www-", 0x00800000, 2, 0, 0xffffff00},
    {"mul24.lo.s32 d, a, b;", "www-", 0x00ffffff, 0x01000003, 0, 0xfffffffd},
    {"mad24.hi.sat.s32 d, a, b, c;", "wwww", 0x7fffff, 0x7fffff, 0x7fffffff, 0x7fffffff},
    {"abs.s32 d, a;", "ww--", 0x80000000, 0, 0, 0x80000000},
    {"{ .reg .b32 l; sub.cc.u32 l, 0, 1; subc.cc.u32 l, 0, 0; subc.u32 d, a, 0; }", "ww--", 5, 0, 0, 4},
    {"{ .reg .b32 l; add.cc.u32 l, a, 1; addc.cc.u32 l, a, 0; addc.u32 d, 7, 0; }", "ww--", 0xffffffff, 0, 0,
     8},
    {"{ .reg .b32 l; mad.hi.cc.u32 l, a, a, a; madc.lo.u32 d, b, b, 0; }", "www-", 0xffffffff, 3, 0, 10},
    {"{ .reg .b64 l; add.cc.u64 l, a, a; addc.u64 d, 0, 0; }", "ll--", 1ull << 63, 0, 0, 1},
    {"sad.s16 d, a, b, c;", "hhhh", 0x8000, 0x7fff, 1, 0},
    {"dp2a.lo.s32.u32 d, a, b, c;", "wwww", 0xffff0002, 0x0000ff03, 10, 0xffffff11},
    {"min.relu.s16x2 d, a, b;", "www-", 0xffff0005, 0x00010003, 0, 3},
    // ---- bits ----
    {"bfe.s32 d, a, b, c;", "wwww", 0x80000000, 31, 4, 0xffffffff},
    {"bfe.s32 d, a, b, c;", "wwww", 0x80000000, 40, 3, 0xffffffff},
    {"bfe.u32 d, a, b, c;", "wwww", 0x80000000, 40, 3, 0},
    {"bfe.s32 d, a, b, c;", "wwww", 0x80000000, 31, 256, 0},
    {"bfe.u32 d, a, b, c;", "wwww", 0x12, 257, 32, 9},
    {"bfi.b32 d, a, b, c, 5;", "wwww", 0xff, 0, 30, 0xc0000000},
    {"bfi.b32 d, a, b, c, 5;", "wwww", 0xff, 7, 32, 7},
    {"bfi.b32 d, a, b, c, 256;", "wwww", 0xff, 7, 0, 7},
    {"shl.b16 d, a, b;", "hhw-", 1, 16, 0, 0},
    {"shl.b64 d, a, b;", "llw-", 1, 64, 0, 0},
    {"shl.b32 d, a, b;", "www-", 1, 0x80000001, 0, 0},
    {"shr.s64 d, a, b;", "llw-", 1ull << 63, 200, 0, ~0ull},
    {"shr.u32 d, a, b;", "www-", 0x80000000, 32, 0, 0},
    {"shf.l.clamp.b32 d, a, b, c;", "wwww", 1, 2, 33, 1},
    {"shf.r.clamp.b32 d, a, b, c;", "wwww", 1, 2, 33, 2},
    {"shf.r.wrap.b32 d, a, b, c;", "wwww", 1, 2, 32, 1},
    {"shf.l.wrap.b32 d, a, b, c;", "wwww", 0x80000000, 2, 33, 5},
    {"prmt.b32 d, a, b, c;", "wwww", 0x80, 0, 0x8888, 0xffffffff},
    {"prmt.b32.f4e d, a, b, c;", "wwww", 0x03020100, 0x07060504, 2, 0x05040302},
    {"prmt.b32.b4e d, a, b, c;", "wwww", 0x03020100, 0x07060504, 1, 0x06070001},
    {"prmt.b32.rc8 d, a, b, c;", "wwww", 0x03020100, 0x07060504, 3, 0x03030303},
    {"prmt.b32.ecl d, a, b, c;", "wwww", 0x03020100, 0x07060504, 2, 0x03020202},
    {"prmt.b32.ecr d, a, b, c;", "wwww", 0x03020100, 0x07060504, 1, 0x01010100},
    {"prmt.b32.rc16 d, a, b, c;", "wwww", 0x03020100, 0x07060504, 3, 0x03020302},
    {"bfind.s32 d, a;", "ww--", 0x80000000, 0, 0, 30},
    {"bfind.shiftamt.s32 d, a;", "ww--", 0xffffffff, 0, 0, 0xffffffff},
    {"bfind.shiftamt.u64 d, a;", "wl--", 1, 0, 0, 63},
    {"fns.b32 d, a, b, c;", "wwww", 0xaaaa, 3, 2, 5},
    {"fns.b32 d, a, b, c;", "wwww", 0xaaaa, 3, 0xfffffffe, 1},
    {"fns.b32 d, a, b, c;", "wwww", 0xaaaa, 2, 0, 0xffffffff},
    {"fns.b32 d, a, b, c;", "wwww", 0xaaaa, 3, 0, 3},
    {"bmsk.wrap.b32 d, a, b;", "www-", 33, 2, 0, 6},
    {"bmsk.clamp.b32 d, a, b;", "www-", 4, 40, 0, 0xfffffff0},
    {"szext.wrap.u32 d, a, b;", "www-", 0xffffffff, 32, 0, 0},
    {"szext.clamp.s32 d, a, b;", "www-", 0x80, 8, 0, 0xffffff80},
    // ---- memory ----
    {"{ st.global.u32 [o], a; ld.global.s8 d, [o]; }", "ww--", 0x180, 0, 0, 0xffffff80},
    {"{ st.global.u32 [o], a; atom.global.inc.u32 d, [o], b; ld.global.u32 d, [o]; }", "www-", 7, 5, 0, 0},
    {"{ st.global.u32 [o], a; atom.global.dec.u32 d, [o], b; ld.global.u32 d, [o]; }", "www-", 0, 5, 0, 5},
    {"{ st.global.u32 [o], a; atom.global.dec.u32 d, [o], b; ld.global.u32 d, [o]; }", "www-", 6, 5, 0, 5},
    {"{ st.global.u16 [o], a; atom.global.cas.b16 d, [o], a, b; ld.global.u16 d, [o]; }", "hhh-", 6, 5, 0, 5},
    {"{ st.global.b32 [o], a; red.global.add.noftz.bf16x2 [o], b; ld.global.b32 d, [o]; }", "www-",
     0x00010001, 0x00010001, 0, 0x00020002},
    {"{ st.global.b64 [o], a; atom.global.max.s64 d, [o], b; ld.global.b64 d, [o]; }", "lll-", ~0ull, 2, 0,
     2},
    {"{ st.global.f32 [o], a; red.global.add.f32 [o], b; ld.global.f32 d, [o]; }", "fff-", 1, 0x00800001, 0,
     0x00800001},
    {"{ st.shared.f32 [s], a; red.shared.add.f32 [s], b; ld.shared.f32 d, [s]; }", "fff-", 1, 0x00800001, 0,
     0x00800002},
    {"{ .reg .b64 x; cvta.shared.u64 x, s; st.f32 [x], a; red.add.f32 [x], b; ld.f32 d, [x]; }", "fff-", 1,
     0x00800001, 0, 0x00800002},
    {SPACE("s") "cvta.shared.u64 x, x; isspacep.shared p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 1},
    {SPACE("s") "cvta.shared.u64 x, x; isspacep.global p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 0},
    {SPACE("o") "isspacep.global p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 1},
    {SPACE("o") "isspacep.const p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 0},
    {SPACE("constant") "cvta.const.u64 x, x; isspacep.const p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0,
     1},
    {SPACE("constant") "cvta.const.u64 x, x; isspacep.global p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0,
     0},
    {SPACE("p0") "cvta.param.u64 x, x; isspacep.param p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 1},
    {SPACE("p0") "cvta.param.u64 x, x; isspacep.global p, x; selp.b32 d, 1, 0, p; }", "w---", 0, 0, 0, 1},
};

static const char *type_of(char letter)
{
    return letter == 'h'   ? "b16"
           : letter == 'w' ? "b32"
           : letter == 'l' ? "b64"
           : letter == 'f' ? "f32"
                           : "f64";
}

static void write_kernel(const edge *e, char *text, size_t bytes)
{
    int used = snprintf(text, bytes,
                        HEADER ".const .align 4 .b32 constant = 7;\n"
                               ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .b64 i, o, s;\n"
                               ".shared .align 16 .b8 place[64];\nmov.u64 s, place;\nld.param.u64 i, [p0];\n"
                               "ld.param.u64 o, [p1];\nadd.s64 o, o, 64;\n");
    for (int n = 0; n < 4; n++)
        if (e->types[n] != '-')
            used += snprintf(text + used, bytes - (size_t)used, ".reg .%s %c;\n", type_of(e->types[n]),
                             "dabc"[n]);
    for (int n = 1; n < 4; n++)
        if (e->types[n] != '-')
            used += snprintf(text + used, bytes - (size_t)used, "ld.global.%s %c, [i+%d];\n",
                             type_of(e->types[n]), "dabc"[n], 8 * (n - 1));
    snprintf(text + used, bytes - (size_t)used, "%s\nst.global.%s [o+-64], d;\nret;\n}\n", e->text,
             type_of(e->types[0]));
}

int main(void)
{
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        const edge *e = &edges[i];
        char text[2048];
        uint64_t in[3] = {e->a, e->b, e->c}, out[16] = {0};
        write_kernel(e, text, sizeof text);
        if (run_text(text, BUFFER(in), BUFFER(out), 1, (run_options){.seed = 0}))
            CHECK(out[0] == e->d, "%s of %llx, %llx, %llx: %llx, not %llx", e->text, (unsigned long long)e->a,
                  (unsigned long long)e->b, (unsigned long long)e->c, (unsigned long long)out[0],
                  (unsigned long long)e->d);
    }
    return finish("edges");
}
