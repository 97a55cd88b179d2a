// SPDX-License-Identifier: MIT
//
// Hostile texts: every truncation and many mutations of a text that uses most of the language, and of the
// files named on the command line. Nothing may crash, and what still loads is run for a while: it may do
// wrong, but not to the host.
//   fuzz_test [--count N] [--seed S] [FILE…]
#include "ptx_test.h"

static const char sample[] = HEADER
    ".extern .shared .align 16 .b8 dynamic[];\n"
    ".global .align 4 .b32 counts[2][3] = {{1, 2, 3}, {4, -5, 0x6}};\n"
    ".const .align 8 .f64 pi = 0d400921FB54442D18;\n.global .align 8 .u64 pointer = counts+4;\n.global .f32 "
    "third = 0.333;\n"
    ".file 1 \"sample.cu\"\n"
    ".func (.param .b32 result) helper(.param .b32 x, .param .align 8 .b8 y[8])\n{\n.reg .b32 %r<4>;\n.reg "
    ".pred %p;\n"
    "ld.param.u32 %r1, [x];\nld.param.u32 %r2, [y+4];\nsetp.gt.s32 %p, %r1, 7;\n@%p bra big;\nadd.s32 %r3, "
    "%r1, %r2;\n"
    "st.param.b32 [result], %r3;\nret;\nbig: st.param.b32 [result+0], 1;\nret;\n}\n"
    ".visible .entry sample(\n.param .u64 .ptr .global .align 4 out,\n.param .u32 n,\n.param .f32 "
    "scale\n)\n.maxntid 128, 1, 1\n"
    ".minnctapersm 2\n{\n.reg .pred %p<10>;\n.reg .b16 %rs<10>;\n.reg .b32 %r<50>;\n.reg .f32 %f<20>;\n.reg "
    ".b64 %rd<20>;\n"
    ".shared .align 16 .b8 tile[1024];\n.local .align 16 .b8 depot[64];\n.loc 1 10 5\n"
    "ld.param.u64 %rd1, [out];\nld.param.u32 %r1, [n];\nld.param.f32 %f1, [scale];\nmov.u32 %r2, "
    "%tid.x;\nmov.u32 %r3, %ctaid.x;\n"
    "mov.u32 %r4, %ntid.x;\nmad.lo.s32 %r5, %r3, %r4, %r2;\nsetp.ge.u32 %p1, %r5, %r1;\n@%p1 bra $L_end;\n"
    "cvta.to.global.u64 %rd2, %rd1;\nmul.wide.u32 %rd3, %r5, 4;\nadd.s64 %rd4, %rd2, %rd3;\n"
    "and.b32 %r6, %r2, 31;\nshl.b32 %r7, %r2, 2;\nmov.u32 %r8, tile;\nadd.u32 %r9, %r8, %r7;\nst.shared.u32 "
    "[%r9], %r5;\nbar.sync 0;\n"
    "mov.u32 %r20, dynamic;\nld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r8];\nmov.b64 %rd5, {%r10, "
    "%r11};\nmov.b64 {%r14, _}, %rd5;\n"
    "shfl.sync.bfly.b32 %r15|%p2, %r6, 1, 31, -1;\nvote.sync.ballot.b32 %r16, %p2, -1;\nredux.sync.add.s32 "
    "%r17, %r6, -1;\n"
    "setp.lt.and.f32 %p3|%p4, %f1, 0f3F800000, !%p2;\nselp.f32 %f2, %f1, 0f40000000, %p3;\nfma.rn.ftz.f32 "
    "%f3, %f1, %f2, %f2;\n"
    "cvt.rn.f16.f32 %rs1, %f3;\ncvt.rni.sat.u8.f32 %r18, %f3;\nlop3.b32 %r19, %r10, %r11, %r12, "
    "0x96;\nprmt.b32 %r19, %r19, %r10, 0x5410;\n"
    "mov.u64 %rd6, depot;\nst.local.u32 [%rd6+8], %r19;\nld.local.u32 %r21, [%rd6+8];\ncvta.local.u64 %rd7, "
    "%rd6;\nld.u32 %r22, [%rd7+8];\n"
    "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r23,%r24}, "
    "[%r8];\nmma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f4,%f5,%f6,%f7}, {%r23,%r24}, "
    "{%r10}, {%f4,%f5,%f6,%f7};\ncp.async.ca.shared.global [%r9], [%rd4], "
    "4;\ncp.async.commit_group;\ncp.async.wait_group 0;\n"
    "{\n.param .b32 p0;\n.param .align 8 .b8 p1[8];\n.param .b32 back;\nst.param.b32 [p0+0], "
    "%r6;\nst.param.b64 [p1], %rd5;\n"
    "call.uni (back), helper, (p0, p1);\nld.param.b32 %r25, [back+0];\n}\n"
    "table: .branchtargets $L_a, $L_b;\nand.b32 %r26, %r2, 1;\nbrx.idx %r26, table;\n$L_a: add.u32 %r25, "
    "%r25, 1;\n$L_b:\n"
    "atom.global.add.u32 %r27, [counts+4], 1;\nred.shared.max.s32 [%r9], 3;\nld.const.f64 %rd9, [pi];\n"
    "mov.u32 %r30, 0;\n$L_loop: add.u32 %r30, %r30, 1;\nsetp.lt.u32 %p5, %r30, 10;\n@%p5 bra $L_loop;\n"
    "st.global.u32 [%rd4], %r25;\n$L_end:\nret;\n}\n";

static uint64_t loaded, ran;

static void run_all(ptx_memory *memory, ptx_module *module)
{
    static uint8_t params[32768];
    uint64_t address;
    ptx_memory_alloc(memory, 4096, NULL, &address);
    ptx_memory_fill(memory, address, 0, 1, 4096);
    for (uint32_t i = 0; i < ptx_module_kernel_count(module); i++) {
        const ptx_kernel *kernel = ptx_module_kernel(module, i);
        ptx_kernel_info info = ptx_kernel_describe(kernel);
        reports found = {.count = 0};
        ptx_launch_result result;
        memset(params, 5, info.param_bytes);
        if (info.param_bytes >= 8)
            memcpy(params, &address, 8);
        ptx_launch launch = {.kernel = kernel,
                             .grid = {2, 1, 1},
                             .block = {info.max_threads < 64 ? info.max_threads : 64, 1, 1},
                             .params = params,
                             .param_bytes = info.param_bytes,
                             .dynamic_shared_bytes = 64,
                             .instruction_limit = 3000,
                             .report = collect,
                             .user = &found};
        ptx_launch_run(memory, &launch, &result);
        ran++;
    }
}

static void try_text(const char *text, size_t bytes)
{
    char message[PTX_MESSAGE_BYTES];
    // a copy of exactly this size, so that a sanitizer sees a step beyond it
    char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    ptx_memory *memory = ptx_memory_create(64 << 20);
    ptx_module *module;
    ptx_status status = ptx_module_load(memory, copy, bytes, message, &module);
    checks++;
    CHECK((status == PTX_OK) == (module != NULL), "status %d without a module or with one", status);
    CHECK(status == PTX_OK || strncmp(message, "line ", 5) == 0, "no line: '%s'", message);
    if (module) {
        loaded++;
        run_all(memory, module);
    }
    ptx_module_destroy(module);
    CHECK(module == NULL || status == PTX_OK, "a module in spite of status %d", status);
    ptx_memory_destroy(memory);
    free(copy);
}

static size_t mutate(char *text, size_t bytes, size_t room, uint64_t *seed)
{
    static const char *const extremes[] = {"4294967295",
                                           "-1",
                                           "0",
                                           "18446744073709551615",
                                           "%r<4000000000>",
                                           "{{{{",
                                           "[",
                                           ".v4",
                                           "0f7F800000",
                                           "9999999999999999999999",
                                           "%tid.x",
                                           "@%p1",
                                           "|",
                                           "dynamic",
                                           ".param",
                                           "0x",
                                           "ret;",
                                           "_"};
    size_t at = next_random(seed) % bytes, from = next_random(seed) % bytes, n = 1 + next_random(seed) % 12;
    const char *word = extremes[next_random(seed) % (sizeof extremes / sizeof *extremes)];
    switch (next_random(seed) % 6) {
    case 0:
        text[at] = (char)next_random(seed);
        return bytes;
    case 1: // leave out
        n = n > bytes - at ? bytes - at : n;
        memmove(text + at, text + at + n, bytes - at - n);
        return bytes - n > 0 ? bytes - n : 1;
    case 2: // say twice, elsewhere
        n = n > bytes - from ? bytes - from : n;
        n = n > bytes - at ? bytes - at : n;
        memmove(text + at, text + from, n);
        return bytes;
    case 3:
        n = strlen(word);
        if (bytes + n > room)
            return bytes;
        memmove(text + at + n, text + at, bytes - at);
        memcpy(text + at, word, n);
        return bytes + n;
    case 4: { // a digit
        for (size_t i = 0; i < bytes; i++)
            if (text[(at + i) % bytes] >= '0' && text[(at + i) % bytes] <= '9') {
                text[(at + i) % bytes] = (char)('0' + next_random(seed) % 10);
                break;
            }
        return bytes;
    }
    default: // a whole line goes
        for (from = at; from < bytes && text[from] != '\n';)
            from++;
        memmove(text + at, text + from, bytes - from);
        return bytes - (from - at) > 0 ? bytes - (from - at) : 1;
    }
}

static void fuzz(const char *text, size_t bytes, uint64_t count, uint64_t *seed, bool truncate)
{
    size_t room = bytes + 256;
    char *copy = malloc(room);
    for (size_t n = 0; truncate && n <= bytes; n++)
        try_text(text, n);
    for (uint64_t i = 0; i < count; i++) {
        size_t now = bytes;
        memcpy(copy, text, bytes);
        for (uint64_t m = 1 + next_random(seed) % 4; m; m--)
            now = mutate(copy, now, room, seed);
        try_text(copy, now);
    }
    free(copy);
}

int main(int argc, char **argv)
{
    uint64_t count = 4000, seed = 1;
    int first = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2)
        *(strcmp(argv[first], "--seed") ? &count : &seed) = strtoull(argv[first + 1], NULL, 0);
    char message[PTX_MESSAGE_BYTES];
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    CHECK(ptx_module_load(memory, sample, sizeof sample - 1, message, &module) == PTX_OK, "the sample: %s",
          message);
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
    fuzz(sample, sizeof sample - 1, count, &seed, true);
    for (int i = first; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        static char text[1 << 20];
        size_t bytes = file ? fread(text, 1, sizeof text, file) : 0;
        CHECK(bytes > 0, "cannot read %s", argv[i]);
        if (file)
            fclose(file);
        if (bytes)
            fuzz(text, bytes, count, &seed, false);
    }
    printf("%llu texts loaded, %llu kernels run\n", (unsigned long long)loaded, (unsigned long long)ran);
    return finish("fuzz");
}
