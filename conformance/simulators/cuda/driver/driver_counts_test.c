// SPDX-License-Identifier: MIT
//
// ISOMER_CUDASIM_COUNTS: a kernel of known instructions, two launches of three blocks of two warps, at the
// end of a context and of a process; the line must have the numbers that follow from the text, and the text's
// checksum.
#include "driver_test.h"

#include <inttypes.h>

enum { THREADS = 64, BLOCKS = 3, LAUNCHES = 2, WARPS = THREADS / 32 * BLOCKS * LAUNCHES };

// In comments: what a warp asks of global and of shared memory.
static const char text[] =
    "// not part of the checksum\n.version 8.8\n.target sm_90\n.address_size 64\n"
    ".visible .entry counted(.param .u64 p_in, .param .u64 p_out)\n{\n"
    ".reg .pred %p;\n.reg .b16 %h;\n.reg .b32 %r<16>, %t, %b;\n.reg .f32 %f<8>;\n.reg .b64 %rd<8>, %in, "
    "%out;\n"
    ".shared .align 16 .b8 rows[1024];\n.shared .align 16 .b8 copies[1024];\n"
    // 5 moves, 8 others
    "ld.param.u64 %in, [p_in];\nld.param.u64 %out, [p_out];\nmov.u32 %t, %tid.x;\nmov.u32 %b, %ctaid.x;\n"
    "mul.wide.u32 %rd1, %t, 16;\nadd.s64 %rd1, %rd1, %in;\nshl.b32 %r0, %t, 4;\nmov.u32 %r1, rows;\n"
    "add.u32 %r1, %r1, %r0;\nmov.u32 %r2, copies;\nadd.u32 %r2, %r2, %r0;\nand.b32 %r3, %t, 31;\n"
    "mov.f32 %f5, 0f3F800000;\n"
    "ld.global.v4.u32 {%r4,%r5,%r6,%r7}, [%rd1];\n"           // 512 bytes, 16 sectors
    "st.shared.v4.u32 [%r1], {%r4,%r5,%r6,%r7};\n"            // 512 bytes, 4 cycles
    "cp.async.cg.shared.global [%r2], [%rd1], 16;\n"          // 512 bytes, 16 sectors; 512 bytes, 4 cycles
    "cp.async.commit_group;\ncp.async.wait_all;\n"            // 2 barriers
    "mov.u32 %r8, 8;\n"                                       // 1 move
    "cp.async.ca.shared.global [%r2], [%rd1], 16, %r8;\n"     // 256 bytes, 16 sectors; 512 bytes, 4 cycles
    "cp.async.wait_all;\nbar.sync 0;\n"                       // 2 barriers
    "mul.wide.u32 %rd2, %r3, 32;\nadd.s64 %rd2, %rd2, %in;\n" // 2 others
    "ld.global.nc.u32 %r9, [%rd2];\n"                         // 128 bytes, 32 sectors
    "setp.lt.u32 %p, %t, 16;\nmul.wide.u32 %rd3, %t, 4;\nadd.s64 %rd4, %rd3, %in;\n" // 3 others
    "@%p ld.global.u32 %r10, [%rd4];\n" // the first warp of a block: 64 bytes, 2 sectors
    "ld.u32 %r11, [%rd4];\n"            // 128 bytes, 4 sectors
    "shl.b32 %r12, %r3, 5;\nmov.u32 %r13, rows;\nadd.u32 %r12, %r12, %r13;\n"           // a move, 2 others
    "ld.shared.u32 %r14, [%r12];\n"                                                     // 128 bytes, 8 cycles
    "cvt.u64.u32 %rd5, %r13;\ncvta.shared.u64 %rd5, %rd5;\nadd.s64 %rd5, %rd5, %rd3;\n" // conversion, move,
                                                                                        // other
    "ld.u32 %r15, [%rd5];\n"                                                            // 128 bytes, 1 cycle
    "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4,%r5,%r6,%r7}, [%r1];\n"              // 512 bytes, 4 cycles
    "mov.f32 %f1, 0f00000000;\nmov.f32 %f2, %f1;\nmov.f32 %f3, %f1;\nmov.f32 %f4, %f1;\n" // 4 moves
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r4,%r5,%r6,%r7}, {%r4,%r5}, "
    "{%f1,%f2,%f3,%f4};\n"
    "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%f1,%f2,%f3,%f4}, {%r4,%r5,%r6,%r7}, {%r4,%r5}, "
    "{%f1,%f2,%f3,%f4};\n"
    "fma.rn.f32 %f1, %f1, %f2, %f3;\nadd.f32 %f1, %f1, %f4;\n"                        // 2 floats
    "ex2.approx.f32 %f6, %f1;\ndiv.rn.f32 %f6, %f6, %f5;\ncvt.rn.bf16.f32 %h, %f6;\n" // 2 special, a
                                                                                      // conversion
    "shfl.sync.bfly.b32 %r9, %r9, 1, 31, -1;\n"                                       // a barrier
    "red.global.add.u32 [%out], 1;\n" // 128 bytes, 1 sector, both ways
    "mad.lo.u32 %r0, %b, 64, %t;\nmul.wide.u32 %rd6, %r0, 4;\nadd.s64 %rd6, %rd6, %out;\n" // 3 others
    "st.global.u32 [%rd6+256], %r9;\n" // 128 bytes, 4 sectors
    "ret;\n}\n";                       // 1 other

static const struct {
    const char *column;
    uint64_t wanted; // of a warp
    uint64_t more;   // of the first warp of each block
} wanted[] = {
    {"global_loads", 4, 0},
    {"global_stores", 1, 0},
    {"shared_loads", 3, 0},
    {"shared_stores", 1, 0},
    {"atomics", 1, 0},
    {"async_copies", 2, 0},
    {"tensor", 2, 0},
    {"special", 2, 0},
    {"barriers", 5, 0},
    {"floats", 2, 0},
    {"conversions", 2, 0},
    {"moves", 12, 0},
    {"others", 20, 0},
    {"tensor_flops", 2 * 16 * 8 * 16 + 2 * 16 * 8 * 32, 0},
    {"tensor_flops_8bit", 2 * 16 * 8 * 32, 0},
    {"read_bytes", 512 + 512 + 256 + 128 + 128 + 128, 64},
    {"written_bytes", 128 + 128, 0},
    {"read_sectors", 16 + 16 + 16 + 32 + 4 + 1, 2},
    {"written_sectors", 1 + 4, 0},
    {"shared_bytes", 512 + 512 + 512 + 128 + 128 + 512, 0},
    {"shared_cycles", 4 + 4 + 4 + 8 + 1 + 4, 0},
};

static bool destroys;

static int body(void)
{
    static uint32_t words[1024];
    CUcontext context;
    CUmodule module;
    CUfunction function;
    CUdeviceptr in, out;
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuModuleLoadData(&module, text));
    OK(cu.cuModuleGetFunction(&function, module, "counted"));
    OK(cu.cuMemAlloc_v2(&in, sizeof words));
    OK(cu.cuMemAlloc_v2(&out, sizeof words));
    OK(cu.cuMemcpyHtoD_v2(in, words, sizeof words));
    OK(cu.cuMemcpyHtoD_v2(out, words, sizeof words));
    void *params[] = {&in, &out};
    for (int i = 0; i < LAUNCHES; i++)
        OK(cu.cuLaunchKernel(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, NULL, params, NULL));
    OK(cu.cuCtxSynchronize());
    if (!destroys)
        return 0;
    OK(cu.cuMemFree_v2(in));
    OK(cu.cuMemFree_v2(out));
    OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

// What `cksum` says of the text; "" where it cannot be asked.
static void checksum(char *out, size_t bytes)
{
    char path[80], command[160];
    snprintf(path, sizeof path, "%s.ptx", report_path);
    snprintf(command, sizeof command, "sed 's,//.*,,' %s | tr -d ' \\t\\r\\n' | cksum", path);
    FILE *file = fopen(path, "w");
    if (file && fputs(text, file) >= 0 && fclose(file) == 0)
        file = popen(command, "r");
    out[0] = '\0';
    if (file && fgets(out, (int)bytes, file))
        out[strcspn(out, "\n")] = '\0';
    if (file)
        pclose(file);
    unlink(path);
}

// The field of `line` under the word `column` of `header`; NULL: none.
static const char *field(const char *header, const char *line, const char *column)
{
    size_t length = strlen(column);
    for (; *header; header += strcspn(header, "\t"), line += strcspn(line, "\t")) {
        header += *header == '\t';
        line += *line == '\t';
        if (strncmp(header, column, length) == 0 && (header[length] == '\t' || header[length] == '\0'))
            return line;
    }
    return NULL;
}

static int compare(const char *header, const char *line)
{
    int failures = 0;
    char start[160], cksum[64];
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *found = field(header, line, wanted[i].column);
        uint64_t value = found ? strtoull(found, NULL, 10) : UINT64_MAX,
                 right = wanted[i].wanted * WARPS + wanted[i].more * (WARPS / 2);
        if (value != right) {
            printf("%s is %" PRIu64 ", not %" PRIu64 "\n", wanted[i].column, value, right);
            failures++;
        }
    }
    checksum(cksum, sizeof cksum);
    char *space = strchr(cksum, ' ');
    if (space)
        *space = '\t';
    snprintf(start, sizeof start, "%s\tcounted\t%d,1,1\t%d\t%d\t", cksum, BLOCKS, THREADS, LAUNCHES);
    if (strncmp(line, start, strlen(start)) != 0) {
        printf("the line begins '%.60s', not '%s'\n", line, start);
        failures++;
    }
    return failures;
}

static int run(const char *library, const char *counts_path)
{
    static char content[4096];
    int status;
    unlink(counts_path);
    char *report = run_child(library, body, &status);
    bool clean = status == 0 && report && (!destroys || strstr(report, " 0 findings"));
    if (!clean)
        printf("status %d\n%s", status, report ? report : "");
    free(report);
    FILE *file = fopen(counts_path, "r");
    size_t bytes = file ? fread(content, 1, sizeof content - 1, file) : 0;
    if (file)
        fclose(file);
    unlink(counts_path);
    content[bytes] = '\0';
    char *line = strchr(content, '\n'), *end = line ? strchr(line + 1, '\n') : NULL;
    if (!end || end[1]) {
        printf("not two lines:\n%s", content);
        return 1;
    }
    *line++ = *end = '\0';
    return !clean + compare(content, line);
}

// A file that cannot be written is said, and nothing else changes.
static int run_unwritable(const char *library)
{
    int status;
    setenv("ISOMER_CUDASIM_COUNTS", "/nowhere/counts", 1);
    char *report = run_child(library, body, &status);
    bool right = status == 0 && report && strstr(report, "/nowhere/counts") && strstr(report, " 1 findings");
    if (!right)
        printf("unwritable: status %d\n%s", status, report ? report : "");
    free(report);
    return !right;
}

int main(int count, char **arguments)
{
    char counts_path[80];
    int failures = 0;
    if (count < 2) {
        fprintf(stderr, "usage: driver_counts_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    snprintf(counts_path, sizeof counts_path, "%s.counts", report_path);
    setenv("ISOMER_CUDASIM_COUNTS", counts_path, 1);
    failures += run(arguments[1], counts_path);
    destroys = true;
    failures += run(arguments[1], counts_path);
    failures += run_unwritable(arguments[1]);
    printf("driver_counts_test: %d failures\n", failures);
    return failures != 0;
}
