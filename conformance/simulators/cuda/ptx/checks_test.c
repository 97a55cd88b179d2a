// SPDX-License-Identifier: MIT
//
// Planted defects: each must be named with its kind and its line (marked with //!), and nothing else
// reported. Beside them the same programs without the defect, and programs that are right by means of
// atomics, locks or named barriers: no report, under many orders of the warps.
#include "ptx_test.h"

#define CLEAN PTX_FINDING_COUNT

typedef struct planted {
    const char *name, *body;
    uint32_t grid, block;
    ptx_finding finding;
    bool fails; // the launch does not end well
} planted;

// %t: thread, %b: block, %rd1: 1024 words of zeros, %rd2: 101 bytes of which nobody has written any, %rd3:
// freed
#define BEGIN                                                                                                \
    HEADER ".const .align 4 .b32 table[4] = {1, 2, 3, 4};\n"                                                 \
           ".visible .entry k(.param .u64 p1, .param .u64 p2, .param .u64 p3)\n{\n"                          \
           ".reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<32>;\n.reg .b32 %t, %b, %lane;\n"              \
           ".reg .f32 %f<8>;\n.reg .b64 %rd<32>;\n"                                                          \
           ".shared .align 16 .b8 one[256];\n.shared .align 16 .b8 two[256];\n"                              \
           "ld.param.u64 %rd1, [p1];\nld.param.u64 %rd2, [p2];\nld.param.u64 %rd3, [p3];\n"                  \
           "mov.u32 %t, %tid.x;\nmov.u32 %b, %ctaid.x;\nand.b32 %lane, %t, 31;\n"                            \
           "mul.wide.u32 %rd10, %t, 4;\nadd.s64 %rd11, %rd1, %rd10;\n"                                       \
           "shl.b32 %r20, %t, 2;\nmov.u32 %r21, one;\nadd.u32 %r22, %r21, %r20;\nmov.u32 %r23, two;\n"       \
           "add.u32 %r24, %r23, %r20;\n"
#define END "ret;\n}\n"

// Rows of 16 bytes: lane t and lane t + 16 have one. %p5: threads 0 to 15, which fill a tile of 16 rows.
#define TENSOR                                                                                               \
    BEGIN "and.b32 %r30, %t, 15;\nshl.b32 %r30, %r30, 4;\nadd.u32 %r25, %r21, %r30;\n"                       \
          "add.u32 %r26, %r23, %r30;\nadd.u32 %r27, %r21, %r30;\nadd.u32 %r28, %r21, 232;\n"                 \
          "setp.lt.u32 %p5, %t, 16;\nmul.wide.u32 %rd12, %r30, 1;\nadd.s64 %rd12, %rd12, %rd1;\n"
#define STAGE(row)    "@%p5 cp.async.cg.shared.global [" row "], [%rd12], 16;\ncp.async.commit_group;\n"
#define WRITE_ROWS    "mov.u32 %r4, 7;\n@%p5 st.shared.v4.b32 [%r25], {%t,%t,%t,%t};\n"
#define LDMATRIX(row) "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r5,%r6}, [" row "]; "
#define MMA                                                                                                  \
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r5,%r6,%r5,%r6}, {%r5,%r6}, "  \
    "{%f1,%f2,%f3,%f4}; "
// Blocks below the number each write a split of 16 bytes; another kernel adds four of them.
#define SPLITS(number)                                                                                       \
    BEGIN "setp.lt.u32 %p1, %b, " number                                                                     \
          ";\nsetp.eq.and.u32 %p1, %t, 0, %p1;\nmul.wide.u32 %rd12, %b, 16;\n"                               \
          "add.s64 %rd12, %rd12, %rd2;\n@%p1 st.global.v4.b32 [%rd12], {%b,%b,%b,%b};\n"
#define COMBINE(mark)                                                                                        \
    ".visible .entry combine(.param .u64 p1, .param .u64 p2, .param .u64 p3)\n{\n.reg .f32 %f<8>;\n"         \
    ".reg .b64 %rd<4>;\nld.param.u64 %rd1, [p2];\nld.global.f32 %f1, [%rd1];\n"                              \
    "ld.global.f32 %f2, [%rd1+16];\nld.global.f32 %f3, [%rd1+32];\nld.global.f32 %f4, [%rd1+48]; " mark      \
    "\nret;\n}\n"
// Reads what the splits' launch wrote, and writes what that has read.
#define COMBINE_NC                                                                                           \
    ".visible .entry combine(.param .u64 p1, .param .u64 p2, .param .u64 p3)\n{\n.reg .b32 %r<8>;\n"         \
    ".reg .b64 %rd<4>;\nld.param.u64 %rd1, [p1];\nld.param.u64 %rd2, [p2];\nld.global.nc.u32 %r1, [%rd2];\n" \
    "st.global.u32 [%rd1], %r1;\nret;\n}\n"

static const planted programs[] = {
    {"read one byte beyond the end", BEGIN "ld.global.u8 %h1, [%rd2+101]; //!\n" END, 1, 1, PTX_OUT_OF_BOUNDS,
     false},
    {"write one byte before the beginning", BEGIN "st.global.u8 [%rd2+-1], %h1; //!\n" END, 1, 1,
     PTX_OUT_OF_BOUNDS, false},
    {"a word that ends beyond the allocation", BEGIN "ld.global.u32 %r1, [%rd2+100]; //!\n" END, 1, 1,
     PTX_OUT_OF_BOUNDS, false},
    {"null pointer", BEGIN "mov.u64 %rd4, 0;\nld.u32 %r1, [%rd4]; //!\n" END, 1, 1, PTX_OUT_OF_BOUNDS, false},
    {"use after free", BEGIN "ld.global.u32 %r1, [%rd3+8]; //!\n" END, 1, 1, PTX_USE_AFTER_FREE, false},
    {"unwritten global memory", BEGIN "ld.global.u32 %r1, [%rd2+4]; //!\n" END, 1, 1, PTX_UNINITIALISED,
     false},
    {"unwritten last byte",
     BEGIN "st.global.u16 [%rd2], %h1;\nst.global.u8 [%rd2+2], %h1;\nld.global.u32 %r1, [%rd2]; //!\n" END, 1,
     1, PTX_UNINITIALISED, false},
    {"unwritten shared memory", BEGIN "ld.shared.u32 %r1, [%r22]; //!\n" END, 1, 32, PTX_UNINITIALISED,
     false},
    {"unwritten tail of shared memory",
     BEGIN "setp.lt.u32 %p1, %t, 63;\n@%p1 st.shared.u32 [%r22], %t;\nbar.sync 0;\nld.shared.u32 %r1, "
           "[%r22]; //!\n" END,
     1, 64, PTX_UNINITIALISED, false},
    {"misaligned word", BEGIN "ld.global.u32 %r1, [%rd1+2]; //!\n" END, 1, 1, PTX_MISALIGNED, false},
    {"misaligned vector", BEGIN "ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd1+8]; //!\n" END, 1, 1,
     PTX_MISALIGNED, false},
    {"misaligned shared", BEGIN "st.shared.u16 [%r21+1], %h1; //!\n" END, 1, 1, PTX_MISALIGNED, false},
    {"beyond a shared array", BEGIN "st.shared.u32 [%r21+256], %t; //!\n" END, 1, 1, PTX_OUT_OF_BOUNDS,
     false},
    {"beyond shared memory", BEGIN "st.shared.u32 [%r23+256], %t; //!\n" END, 1, 1, PTX_OUT_OF_BOUNDS, false},
    {"beyond the local array",
     BEGIN ".local .align 4 .b8 mine[16];\nmov.u64 %rd5, mine;\nmul.wide.u32 %rd6, %t, 4;\nadd.s64 %rd5, "
           "%rd5, %rd6;\n"
           "st.local.u32 [%rd5], %t; //!\n" END,
     1, 5, PTX_OUT_OF_BOUNDS, false},
    {"write to a constant",
     BEGIN "mov.u64 %rd5, table;\ncvta.const.u64 %rd5, %rd5;\nst.u32 [%rd5], %t; //!\n" END, 1, 1,
     PTX_READ_ONLY, false},
    {"missing barrier after writing",
     BEGIN "st.shared.u32 [%r22], %t;\nxor.b32 %r1, %r20, 4;\nadd.u32 %r1, %r1, %r21;\nld.shared.u32 %r2, "
           "[%r1]; //!\n" END,
     1, 64, PTX_RACE, false},
    {"missing barrier between warps",
     BEGIN "st.shared.u32 [%r22], %t;\nbar.sync 0;\nst.shared.u32 [%r22], %r20; //!\nxor.b32 %r1, %r20, "
           "128;\nadd.u32 %r1, %r1, %r21;\n"
           "ld.shared.u32 %r2, [%r1]; //!\n" END,
     1, 64, PTX_RACE, false},
    {"missing barrier before writing again",
     BEGIN
     "st.shared.u32 [%r22], %t;\nbar.sync 0;\nld.shared.u32 %r1, [%r21+12]; //!\nsetp.eq.u32 %p1, %t, 3;\n"
     "@%p1 st.shared.u32 [%r22], %r20; //!\n" END,
     1, 64, PTX_RACE, false},
    {"two lanes write one word", BEGIN "st.shared.u32 [%r21], %t; //!\n" END, 1, 32, PTX_RACE, false},
    {"race in global memory",
     BEGIN "st.global.u32 [%rd11], %t;\nxor.b32 %r1, %t, 1;\nmul.wide.u32 %rd4, %r1, 4;\n"
           "add.s64 %rd4, %rd4, %rd1;\nld.global.u32 %r2, [%rd4]; //!\n" END,
     1, 32, PTX_RACE, false},
    {"race between blocks",
     BEGIN "add.u32 %r1, %b, 1;\nsetp.eq.u32 %p1, %t, 0;\n@%p1 st.global.u32 [%rd1], %r1; //!\n" END, 3, 32,
     PTX_RACE, false},
    {"block reads what another writes",
     BEGIN "setp.eq.u32 %p1, %b, 0;\n@%p1 st.global.u32 [%rd11], %t; //!\n@!%p1 ld.global.u32 %r1, [%rd11]; "
           "//!\n" END,
     2, 32, PTX_RACE, false},
    {"plain write against an atomic",
     BEGIN "setp.eq.u32 %p1, %t, 40;\n@!%p1 atom.global.add.u32 %r1, [%rd1], 1; //!\n@%p1 st.global.u32 "
           "[%rd1], %t; //!\n" END,
     1, 64, PTX_RACE, false},
    {"barrier for half a warp", BEGIN "setp.lt.u32 %p1, %t, 16;\n@%p1 bar.sync 0; //!\n" END, 1, 32,
     PTX_BARRIER_DIVERGED, false},
    {"barrier for one warp of two", BEGIN "setp.lt.u32 %p1, %t, 32;\n@%p1 bar.sync 0; //!\n" END, 1, 64,
     PTX_BARRIER_DIVERGED, false},
    {"two barriers for one",
     BEGIN "setp.lt.u32 %p1, %t, 32;\n@%p1 bra first;\nbar.sync 0; //!\nbra join;\nfirst: bar.sync 0; "
           "//!\njoin:\n" END,
     1, 64, PTX_BARRIER_DIVERGED, false},
    {"barrier that waits for too many", BEGIN "setp.lt.u32 %p1, %t, 32;\n@%p1 bar.sync 1, 64; //!\n" END, 1,
     64, PTX_DEADLOCK, true},
    {"lane not in its mask", BEGIN "shfl.sync.bfly.b32 %r1, %t, 1, 31, 65535; //!\n" END, 1, 32,
     PTX_WRONG_MASK, false},
    {"mask of lanes that went elsewhere",
     BEGIN "setp.lt.u32 %p1, %t, 16;\n@%p1 shfl.sync.bfly.b32 %r1, %t, 1, 31, -1; //!\n" END, 1, 32,
     PTX_WRONG_MASK, false},
    {"value from a lane that takes no part",
     BEGIN "setp.lt.u32 %p1, %t, 16;\n@%p1 shfl.sync.idx.b32 %r1, %t, 20, 31, 65535; //!\n" END, 1, 32,
     PTX_WRONG_MASK, false},
    {"endless loop", BEGIN "around: add.u32 %r1, %r1, 1; //!\nbra around; //!\n" END, 1, 32, PTX_ENDLESS,
     true},
    {"trap", BEGIN "trap; //!\n" END, 1, 1, PTX_TRAPPED, true},
    {"asynchronous copy not waited for",
     BEGIN "shl.b32 %r1, %r20, 2;\nand.b32 %r1, %r1, 255;\nadd.u32 %r1, %r1, "
           "%r21;\ncp.async.ca.shared.global [%r1], [%rd1], 16;\n"
           "cp.async.commit_group;\nld.shared.u32 %r2, [%r1]; //!\n" END,
     1, 8, PTX_ASYNC_NOT_WAITED, false},
    {"waits for one group too few",
     BEGIN "shl.b32 %r1, %r20, 2;\nadd.u32 %r2, %r1, %r23;\nadd.u32 %r1, %r1, %r21;\n"
           "cp.async.ca.shared.global [%r1], [%rd1], 16;\ncp.async.commit_group;\ncp.async.ca.shared.global "
           "[%r2], [%rd1], 16;\n"
           "cp.async.commit_group;\ncp.async.wait_group 1;\nld.shared.u32 %r3, [%r1];\nld.shared.u32 %r3, "
           "[%r2]; //!\n" END,
     1, 8, PTX_ASYNC_NOT_WAITED, false},
    {"waited for, but without a barrier",
     BEGIN "shl.b32 %r1, %r20, 2;\nadd.u32 %r1, %r1, %r21;\ncp.async.ca.shared.global [%r1], [%rd1], "
           "16;\ncp.async.wait_all;\n"
           "xor.b32 %r2, %r1, 16;\nld.shared.u32 %r3, [%r2]; //!\n" END,
     1, 8, PTX_RACE, false},
    // ---- kernels for tensor cores: %r25 and %r26 are this lane's row of `one` and `two` ----
    {"stage that nobody waits for", TENSOR STAGE("%r25") "bar.sync 0;\n" LDMATRIX("%r25") "//!\n" END, 1, 32,
     PTX_ASYNC_NOT_WAITED, false},
    {"one stage too many may be under way",
     TENSOR STAGE("%r25") STAGE("%r26") "cp.async.wait_group 2;\nbar.sync 0;\n" LDMATRIX("%r25") "//!\n" END,
     1, 32, PTX_ASYNC_NOT_WAITED, false},
    {"the last stage may be under way",
     TENSOR STAGE("%r25") STAGE("%r26") "cp.async.wait_group 1;\nbar.sync 0;\n" LDMATRIX(
         "%r25") "\n" LDMATRIX("%r26") "//!\n" END,
     1, 32, PTX_ASYNC_NOT_WAITED, false},
    {"wait before the commit",
     TENSOR
     "@%p5 cp.async.cg.shared.global [%r25], [%rd12], 16;\ncp.async.wait_group 0;\ncp.async.commit_group;\n"
     "bar.sync 0;\n" LDMATRIX("%r25") "//!\n" END,
     1, 32, PTX_ASYNC_NOT_WAITED, false},
    {"stage waited for by each thread alone",
     TENSOR
         STAGE("%r25") "cp.async.wait_group 0;\nxor.b32 %r3, %r30, 16;\nadd.u32 %r3, %r3, %r21;\n" LDMATRIX(
             "%r3") "//!\n" END,
     1, 32, PTX_RACE, false},
    {"row that another warp still writes",
     TENSOR WRITE_ROWS "bar.sync 0;\nsub.u32 %r3, %t, 32;\nsetp.lt.u32 %p6, %r3, 16;\n"
                       "@%p6 st.shared.v4.b32 [%r27], {%r4,%t,%t,%t}; //!\nsetp.ge.u32 %p7, %t, 32;\n"
                       "@%p7 bra away;\n" LDMATRIX("%r25") "//!\naway:\n" END,
     1, 64, PTX_RACE, false},
    {"row beyond shared memory",
     TENSOR WRITE_ROWS "bar.sync 0;\nadd.u32 %r3, %r26, 65536;\n" LDMATRIX("%r3") "//!\n" END, 1, 32,
     PTX_OUT_OF_BOUNDS, false},
    {"vector written beyond a shared array",
     TENSOR "@%p5 st.shared.v4.b32 [%r25+16], {%t,%t,%t,%t}; //!\n" END, 1, 32, PTX_OUT_OF_BOUNDS, false},
    {"vector written beyond shared memory",
     TENSOR "@%p5 st.shared.v4.b32 [%r26+65536], {%t,%t,%t,%t}; //!\n" END, 1, 32, PTX_OUT_OF_BOUNDS, false},
    {"vector written where a copy is under way",
     TENSOR STAGE("%r25") "@%p5 st.shared.v4.b32 [%r25], {%t,%t,%t,%t}; //!\n" END, 1, 32,
     PTX_ASYNC_NOT_WAITED, false},
    {"vector written where another has written",
     TENSOR WRITE_ROWS
     "xor.b32 %r3, %r30, 16;\nadd.u32 %r3, %r3, %r21;\n@%p5 st.shared.v4.b32 [%r3], {%t,%t,%t,%t}; //!\n" END,
     1, 32, PTX_RACE, false},
    {"two lanes write one row",
     TENSOR "setp.lt.u32 %p6, %t, 17;\n@%p6 st.shared.v4.b32 [%r25], {%t,%t,%t,%t}; //!\n" END, 1, 32,
     PTX_RACE, false},
    {"row that other lanes have read",
     TENSOR WRITE_ROWS "bar.sync 0;\nld.shared.v4.b32 {%r4,%r5,%r6,%r7}, [%r25]; //!\nxor.b32 %r3, %r30, "
                       "16;\nadd.u32 %r3, %r3, %r21;\n"
                       "@%p5 st.shared.v4.b32 [%r3], {%t,%t,%t,%t}; //!\n" END,
     1, 32, PTX_RACE, false},
    {"stage overwritten while others read it",
     TENSOR STAGE("%r25") "cp.async.wait_group 0;\nbar.sync 0;\n" LDMATRIX(
         "%r27") "//!\n"
                 "@%p5 cp.async.cg.shared.global [%r25], [%rd12], 16; //!\ncp.async.wait_all;\n" END,
     1, 64, PTX_RACE, false},
    {"tail of a tile that nobody has filled",
     TENSOR "setp.lt.u32 %p5, %t, 15;\n" WRITE_ROWS "bar.sync 0;\n" LDMATRIX("%r25") "//!\n" MMA END, 1, 32,
     PTX_UNINITIALISED, false},
    {"half of a row that nobody has filled",
     TENSOR WRITE_ROWS
     "bar.sync 0;\n@%p5 st.shared.v2.b32 [%r26], {%t,%t};\nbar.sync 0;\n" LDMATRIX("%r26") "//!\n" END,
     1, 32, PTX_UNINITIALISED, false},
    {"row that is not aligned",
     TENSOR WRITE_ROWS
     "bar.sync 0;\nadd.u32 %r3, %r25, 8;\nmin.u32 %r3, %r3, %r28;\n" LDMATRIX("%r3") "//!\n" END,
     1, 32, PTX_MISALIGNED, false},
    {"row beyond the tile",
     TENSOR WRITE_ROWS "bar.sync 0;\nadd.u32 %r3, %r25, 16;\n" LDMATRIX("%r3") "//!\n" END, 1, 32,
     PTX_OUT_OF_BOUNDS, false},
    {"mma by part of a warp", TENSOR "@%p5 " MMA "//!\n" END, 1, 32, PTX_WRONG_MASK, false},
    {"mma after lanes have ended", TENSOR "@!%p5 ret;\n" MMA "//!\n" END, 1, 32, PTX_WRONG_MASK, false},
    {"ldmatrix by part of a warp", TENSOR WRITE_ROWS "bar.sync 0;\n@%p5 " LDMATRIX("%r25") "//!\n" END, 1, 32,
     PTX_WRONG_MASK, false},
    {"destination of a copy that is not aligned",
     TENSOR "add.u32 %r3, %r25, 8;\nsetp.eq.u32 %p6, %t, 0;\n@%p6 cp.async.cg.shared.global [%r3], [%rd12], "
            "16; //!\n" END,
     1, 32, PTX_MISALIGNED, false},
    {"source of a copy that ends beyond the allocation",
     TENSOR "setp.eq.u32 %p6, %t, 0;\n@%p6 cp.async.cg.shared.global [%r25], [%rd1+4096], 16, 4; //!\n" END,
     1, 32, PTX_OUT_OF_BOUNDS, false},
    {"source of a copy that nobody has written",
     TENSOR "setp.eq.u32 %p6, %t, 0;\n@%p6 cp.async.cg.shared.global [%r25], [%rd2], 16; //!\n" END, 1, 32,
     PTX_UNINITIALISED, false},
    // ---- through the cache that is not kept up to date: %rd11 is this thread's word ----
    {"reads through .nc what it wrote",
     BEGIN "st.global.u32 [%rd11], %t;\nbar.sync 0;\nld.global.nc.u32 %r1, [%rd11]; //!\n" END, 1, 64,
     PTX_NON_COHERENT, false},
    {"reads through .nc what another thread wrote, with a barrier",
     BEGIN "st.global.u32 [%rd11], %t;\nbar.sync 0;\nxor.b32 %r1, %t, 33;\nmul.wide.u32 %rd4, %r1, 4;\n"
           "add.s64 %rd4, %rd4, %rd1;\nld.global.nc.u32 %r2, [%rd4]; //!\n" END,
     1, 64, PTX_NON_COHERENT, false},
    {"reads through .nc what another block writes",
     BEGIN "setp.eq.u32 %p1, %b, 0;\n@%p1 st.global.u32 [%rd11], %t; //!\n"
           "@!%p1 ld.global.nc.u32 %r1, [%rd11]; //!\n" END,
     2, 32, PTX_NON_COHERENT, false},
    {"writes what it has read through .nc",
     BEGIN "ld.global.nc.u32 %r1, [%rd11];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%rd11], %r1; //!\n" END, 1,
     64, PTX_NON_COHERENT, false},
    {"leaves what it has read through .nc as it was",
     BEGIN "ld.global.nc.u32 %r1, [%rd11];\nst.global.u32 [%rd11], %r1; //!\n" END, 1, 32, PTX_NON_COHERENT,
     false},
    {"reads that come between do not make it right",
     BEGIN "ld.global.nc.u32 %r1, [%rd1];\nld.global.u32 %r2, [%rd1];\nbar.sync 0;\nld.global.u32 %r2, "
           "[%rd1];\nbar.sync 0;\nsetp.eq.u32 %p1, %t, 40;\n@%p1 st.global.u32 [%rd1], %t; //!\n" END,
     1, 64, PTX_NON_COHERENT, false},
    {"adds to what is read through .nc",
     BEGIN "red.global.add.u32 [%rd1+64], 1;\nbar.sync 0;\nld.global.nc.u32 %r1, [%rd1+64]; //!\n" END, 1, 64,
     PTX_NON_COHERENT, false},
    {"one byte of a vector that is read through .nc",
     BEGIN "ld.global.nc.v4.u32 {%r1,%r2,%r3,%r4}, [%rd1+32];\ncvt.u16.u32 %h1, %t;\n"
           "st.global.u8 [%rd1+47], %h1; //!\n" END,
     1, 1, PTX_NON_COHERENT, false},
    {"two bytes of which the first was written before the second",
     BEGIN "cvt.u16.u32 %h1, %t;\nst.global.u8 [%rd1+8], %h1;\nst.global.u8 [%rd1+9], %h1;\n"
           "ld.global.nc.u8 %h2, [%rd1+8]; //!\n" END,
     1, 1, PTX_NON_COHERENT, false},
    {"reads through ldu what it wrote",
     BEGIN "st.global.u32 [%rd1], 5;\nldu.global.u32 %r1, [%rd1]; //!\n" END, 1, 32, PTX_NON_COHERENT, false},
    {"copy that reads more than it writes",
     TENSOR "mov.u32 %r3, 17;\nsetp.eq.u32 %p6, %t, 5;\n"
            "@%p6 cp.async.cg.shared.global [%r25], [%rd12], 16, %r3; //!\n" END,
     1, 32, PTX_BAD_OPERAND, false},
    {"counted barrier for one warp that half a warp misses",
     BEGIN "setp.lt.u32 %p1, %t, 48;\n@%p1 bar.sync 1, 64; //!\n@!%p1 bar.sync 2, 64; //!\n" END, 1, 64,
     PTX_DEADLOCK, true},
    {"split that nobody wrote", SPLITS("3") "ret;\n}\n" COMBINE("//!"), 4, 32, PTX_UNINITIALISED, false},
    // ---- right ----
    {"two stages, each waited for",
     TENSOR STAGE("%r25") STAGE("%r26") "cp.async.wait_group 1;\nbar.sync 0;\n" LDMATRIX(
         "%r25") "\n" MMA
                 "bar.sync 0;\n" STAGE("%r25") "cp.async.wait_group 1;\nbar.sync 0;\n" LDMATRIX(
                     "%r26") "\n" MMA "cp.async.wait_group 0;\nbar.sync 0;\n" LDMATRIX("%r25") "\n" MMA END,
     2, 64, CLEAN, false},
    {"the same row twice",
     TENSOR
     "mov.u32 %r4, 9;\nst.shared.v4.b32 [%r25], {%r4,%r4,%r4,%r4};\nbar.sync 0;\n" LDMATRIX("%r27") "\n" END,
     1, 32, CLEAN, false},
    {"rows filled, then read by all", TENSOR WRITE_ROWS "bar.sync 0;\n" LDMATRIX("%r27") "\n" MMA END, 2, 64,
     CLEAN, false},
    {"a tail of zeros by the size of the copy",
     TENSOR
     "mov.u32 %r3, 16;\nsetp.gt.u32 %p6, %t, 12;\n@%p6 mov.u32 %r3, 0;\n@%p6 mov.u64 %rd12, %rd3;\n"
     "@%p5 cp.async.cg.shared.global [%r25], [%rd12], 16, %r3;\ncp.async.wait_all;\nbar.sync 0;\n" LDMATRIX(
         "%r27") "\n" MMA END,
     2, 64, CLEAN, false},
    {"other bytes of a word that is read through .nc",
     BEGIN "cvt.u16.u32 %h1, %t;\nst.global.u8 [%rd11], %h1;\nst.global.u16 [%rd11+2], %h1;\n"
           "ld.global.nc.u8 %h2, [%rd11+1];\n" END,
     1, 64, CLEAN, false},
    {"other words of an allocation that is read through .nc",
     BEGIN "ld.global.nc.v4.u32 {%r1,%r2,%r3,%r4}, [%rd1+2048];\nst.global.u32 [%rd11], %t;\n"
           "ld.global.nc.u32 %r1, [%rd1+2044];\nbar.sync 0;\nld.global.u32 %r2, [%rd11];\n" END,
     1, 64, CLEAN, false},
    {"read through .nc by everybody",
     BEGIN "ld.global.nc.u32 %r1, [%rd11];\nld.global.nc.v2.u32 {%r2,%r3}, [%rd1];\nld.global.u32 %r4, "
           "[%rd11];\n" END,
     4, 64, CLEAN, false},
    {"read through .nc what an earlier launch wrote",
     SPLITS("4") "ld.global.nc.u32 %r1, [%rd1];\nret;\n}\n" COMBINE_NC, 4, 32, CLEAN, false},
    {"all splits written", SPLITS("4") "ret;\n}\n" COMBINE(""), 4, 32, CLEAN, false},
    {"barrier where it belongs",
     BEGIN "st.shared.u32 [%r22], %t;\nbar.sync 0;\nxor.b32 %r1, %r20, 4;\nadd.u32 %r1, %r1, "
           "%r21;\nld.shared.u32 %r2, [%r1];\n"
           "bar.sync 0;\nst.shared.u32 [%r22], %r2;\n" END,
     2, 64, CLEAN, false},
    {"order inside a warp",
     BEGIN "st.shared.u32 [%r22], %t;\nbar.warp.sync -1;\nxor.b32 %r1, %r20, 4;\nadd.u32 %r1, %r1, "
           "%r21;\nld.shared.u32 %r2, [%r1];\n" END,
     2, 64, CLEAN, false},
    {"half warps by themselves",
     BEGIN "and.b32 %r1, %t, 16;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 mov.u32 %r2, 65535;\n@!%p1 mov.u32 %r2, "
           "0xffff0000;\n"
           "st.shared.u32 [%r22], %t;\nbar.warp.sync %r2;\nxor.b32 %r1, %r20, 4;\nadd.u32 %r1, %r1, "
           "%r21;\nld.shared.u32 %r3, [%r1];\n"
           "shfl.sync.bfly.b32 %r4, %r3, 1, 31, %r2;\n" END,
     1, 64, CLEAN, false},
    {"the same value twice", BEGIN "st.global.u32 [%rd1], 7;\n" END, 4, 64, CLEAN, false},
    {"sum by atomics", BEGIN "atom.global.add.u32 %r1, [%rd1], %t;\nred.shared.add.u32 [%r21+0], 0;\n" END, 0,
     0, CLEAN, false},
    {"bytes of one word",
     BEGIN "cvt.u64.u32 %rd4, %t;\nadd.s64 %rd4, %rd4, %rd1;\ncvt.u16.u32 %h1, %t;\nst.global.u8 [%rd4], "
           "%h1;\n" END,
     1, 64, CLEAN, false},
    {"early end, then a barrier for nobody", BEGIN "setp.ge.u32 %p1, %t, 0;\n@%p1 ret;\nbar.sync 0;\n" END, 1,
     64, CLEAN, false},
    {"lanes that meet again",
     BEGIN "setp.lt.u32 %p1, %t, 7;\n@%p1 bra low;\nadd.u32 %r1, %t, 1;\nbra join;\nlow: sub.u32 %r1, %t, "
           "1;\njoin:\n"
           "shfl.sync.idx.b32 %r2, %r1, 0, 31, -1;\nbar.sync 0;\n" END,
     1, 64, CLEAN, false},
    {"barrier after an else that lies below",
     BEGIN "setp.lt.u32 %p1, %t, 7;\n@%p1 bra below;\nagain: bar.sync 0;\nbra end;\nbelow: add.u32 %r1, %r1, "
           "1;\nbra again;\nend:\n" END,
     1, 64, CLEAN, false},
    {"a lock between the lanes of a warp",
     BEGIN
     "try: atom.global.cas.b32 %r1, [%rd1], 0, 1;\nsetp.ne.u32 %p1, %r1, 0;\n@%p1 bra try;\nmembar.gl;\n"
     "ld.volatile.global.u32 %r2, [%rd1+64];\nadd.u32 %r2, %r2, 1;\nst.volatile.global.u32 [%rd1+64], "
     "%r2;\nmembar.gl;\n"
     "atom.global.exch.b32 %r1, [%rd1], 0;\n" END,
     2, 64, CLEAN, false},
    {"a block that waits for a later one",
     BEGIN "setp.ne.u32 %p1, %b, 0;\n@%p1 bra give;\nwait: ld.acquire.gpu.global.u32 %r1, "
           "[%rd1];\nsetp.ne.u32 %p2, %r1, 3;\n"
           "@%p2 bra wait;\nld.global.u32 %r2, [%rd1+128];\nbra end;\ngive: setp.eq.u32 %p3, %t, "
           "0;\nsetp.eq.and.u32 %p4, %b, 1, %p3;\n"
           "@%p4 st.global.u32 [%rd1+128], %b;\nmembar.gl;\n@%p3 red.release.gpu.global.add.u32 [%rd1], "
           "1;\nend:\n" END,
     4, 32, CLEAN, false},
    {"the last block takes all",
     BEGIN
     "mul.wide.u32 %rd4, %b, 4;\nadd.s64 %rd4, %rd4, %rd1;\nsetp.ne.u32 %p1, %t, 0;\n@%p1 "
     "ret;\nst.global.u32 [%rd4+64], %b;\nmembar.gl;\n"
     "atom.global.add.u32 %r1, [%rd1], 1;\nsetp.ne.u32 %p1, %r1, 3;\n@%p1 ret;\nld.global.u32 %r2, "
     "[%rd1+64];\n"
     "ld.global.u32 %r3, [%rd1+68];\nld.global.u32 %r4, [%rd1+72];\nld.global.u32 %r5, [%rd1+76];\n" END,
     4, 32, CLEAN, false},
    {"producer and consumer by named barriers",
     BEGIN "setp.ge.u32 %p1, %t, 32;\n@%p1 bra take;\nst.shared.u32 [%r22], %t;\nbar.arrive 1, 64;\nbar.sync "
           "2, 64;\n"
           "st.shared.u32 [%r22], %r20;\nbra end;\ntake: bar.sync 1, 64;\nld.shared.u32 %r1, "
           "[%r22+-128];\nbar.arrive 2, 64;\nend:\n" END,
     1, 64, CLEAN, false},
    {"copy waited for and met",
     BEGIN "shl.b32 %r1, %r20, 2;\nadd.u32 %r1, %r1, %r21;\ncp.async.ca.shared.global [%r1], [%rd1], "
           "16;\ncp.async.wait_all;\n"
           "bar.sync 0;\nxor.b32 %r2, %r1, 16;\nld.shared.u32 %r3, [%r2];\n" END,
     2, 8, CLEAN, false},
    {"barrier that counts",
     BEGIN "setp.lt.u32 %p1, %t, 5;\nbar.red.popc.u32 %r1, 0, %p1;\nsetp.ne.u32 %p2, %r1, 5;\n@%p2 trap;\n"
           "bar.red.and.pred %p3, 0, %p1;\n@%p3 trap;\nbar.red.or.pred %p3, 0, %p1;\n@!%p3 trap;\n" END,
     2, 64, CLEAN, false},
    {"counted barrier for a warp that is not full",
     BEGIN "st.shared.u32 [%r22], %t;\nbar.sync 1, 64;\nsub.u32 %r1, 39, %t;\nshl.b32 %r1, %r1, 2;\n"
           "add.u32 %r1, %r1, %r21;\nld.shared.u32 %r2, [%r1];\n" END,
     2, 40, CLEAN, false},
    {"counted barrier for warps of which lanes have ended",
     BEGIN "setp.ge.u32 %p1, %lane, 7;\n@%p1 bra end;\nst.shared.u32 [%r22], %t;\nbar.sync 1, 64;\n"
           "xor.b32 %r1, %r20, 128;\nadd.u32 %r1, %r1, %r21;\nld.shared.u32 %r2, [%r1];\nend:\n" END,
     2, 64, CLEAN, false},
    {"votes and matches",
     BEGIN
     "setp.lt.u32 %p1, %lane, 5;\nvote.sync.ballot.b32 %r1, %p1, -1;\nsetp.ne.u32 %p2, %r1, 31;\n@%p2 trap;\n"
     "and.b32 %r2, %lane, 1;\nmatch.any.sync.b32 %r3, %r2, -1;\nmov.u32 %r4, 0x55555555;\nshl.b32 %r4, %r4, "
     "%r2;\n"
     "setp.ne.u32 %p2, %r3, %r4;\n@%p2 trap;\nredux.sync.add.u32 %r5, %lane, -1;\nsetp.ne.u32 %p2, %r5, "
     "496;\n@%p2 trap;\n"
     "activemask.b32 %r6;\nsetp.ne.u32 %p2, %r6, -1;\n@%p2 trap;\n" END,
     1, 64, CLEAN, false},
};

static bool marked(const char *text, uint32_t line)
{
    const char *p = text;
    for (uint32_t i = 1; i < line && p; i++) {
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    if (!p)
        return false;
    const char *mark = strstr(p, "//!"), *end = strchr(p, '\n');
    return mark && mark < end;
}

static void run_program(const planted *program, uint64_t seed)
{
    static const uint8_t zeros[4096];
    char message[PTX_MESSAGE_BYTES];
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    uint64_t params[3];
    reports found = {.count = 0};
    ptx_launch_result result;
    ptx_memory_alloc(memory, 4096, "words", &params[0]);
    ptx_memory_alloc(memory, 101, "bytes", &params[1]);
    ptx_memory_alloc(memory, 64, "gone", &params[2]);
    ptx_memory_write(memory, params[0], zeros, sizeof zeros);
    ptx_memory_free(memory, params[2]);
    ptx_status status = ptx_module_load(memory, program->body, strlen(program->body), message, &module);
    CHECK(status == PTX_OK, "%s: %s", program->name, message);
    if (status == PTX_OK) {
        ptx_launch launch = {.kernel = ptx_module_find_kernel(module, "k"),
                             .grid = {program->grid ? program->grid : 4, 1, 1},
                             .block = {program->block ? program->block : 64, 1, 1},
                             .params = params,
                             .param_bytes = sizeof params,
                             .schedule_seed = seed,
                             .instruction_limit = 500000,
                             .thread_count = seed % 3 == 2 ? 2 : 1,
                             .report = collect,
                             .user = &found};
        if (!program->grid) // atomics on shared memory that nobody has written are their own defect
            launch.skip_initialised = true;
        status = ptx_launch_run(memory, &launch, &result);
        const ptx_kernel *second = ptx_module_find_kernel(module, "combine");
        if (second && status == PTX_OK) {
            launch.kernel = second;
            launch.grid[0] = 1;
            status = ptx_launch_run(memory, &launch, &result);
        }
        CHECK((status == PTX_LAUNCH_FAILED) == program->fails, "%s (seed %llu): status %d, %s", program->name,
              (unsigned long long)seed, status, result.message);
        if (program->finding == CLEAN)
            CHECK(found.count == 0, "%s (seed %llu): %s", program->name, (unsigned long long)seed,
                  found.list[0].text);
        else
            CHECK(found.count > 0, "%s (seed %llu): nothing found", program->name, (unsigned long long)seed);
        for (unsigned i = 0; i < found.count && program->finding != CLEAN; i++)
            CHECK(found.list[i].finding == program->finding && marked(program->body, found.list[i].ptx_line),
                  "%s (seed %llu): %s", program->name, (unsigned long long)seed, found.list[i].text);
        if (seed == 0 && found.count && getenv("CHECKS_VERBOSE"))
            printf("%s\n    %s\n", program->name, found.list[0].text);
    }
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        for (uint64_t seed = 0; seed < 50; seed++)
            run_program(&programs[i], seed);
    return finish("checks");
}
