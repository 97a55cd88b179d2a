// SPDX-License-Identifier: MIT
//
// ISOMER_CUDASIM_MMA through the driver: one mma whose sum shows how it was formed, on two simulated chips;
// and a value that does not exist, which is reported.
#include "driver_test.h"

// 1 + 2^-24 of k = 0 + 2^-24 of k = 8: exactly 1 + 2^-23, by steps 1, on chips with blocks of 8 products 1,
// of 16 exact.
static const char text[] =
    ".version 8.5\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n"
    ".reg .b32 %r<9>;\n.reg .f32 %f<9>;\n.reg .b64 %rd<4>;\n.reg .pred %p;\n"
    "ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\nand.b32 %r2, %r1, 3;\nsetp.eq.u32 %p, %r2, 0;\n"
    "mov.u32 %r3, 0x00003f80;\nmov.u32 %r4, 0x00003380;\nmov.f32 %f1, 0f3f800000;\n"
    "selp.b32 %r3, %r3, 0, %p;\n"
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f2,%f3,%f4,%f5}, {%r3,%r3,%r3,%r3}, {%r4,%r4}, "
    "{%f1,%f1,%f1,%f1};\n"
    "mul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd1, %rd1, %rd2;\nst.global.f32 [%rd1], %f2;\nret;\n}\n";

static int sum(float wanted)
{
    CUcontext context;
    CUmodule module;
    CUfunction function;
    CUdeviceptr memory;
    float out[32];
    void *params[] = {&memory};
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuModuleLoadData(&module, text));
    OK(cu.cuModuleGetFunction(&function, module, "k"));
    OK(cu.cuMemAlloc_v2(&memory, sizeof out));
    OK(cu.cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemcpyDtoH_v2(out, memory, sizeof out));
    for (int i = 0; i < 32; i++)
        REQUIRE(out[i] == wanted);
    OK(cu.cuMemFree_v2(memory));
    OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

static int exact(void)
{
    return sum(0x1.000002p0f);
}

static int less(void)
{
    return sum(1);
}

static int failures;

static void run_case(const char *library, const char *arch, const char *setting, int (*body)(void),
                     const char *finding)
{
    int status;
    setenv("ISOMER_CUDASIM_ARCH", arch, 1);
    setenv("ISOMER_CUDASIM_MMA", setting, 1);
    char *report = run_child(library, body, &status);
    if (status || !report || !strstr(report, finding)) {
        printf("%s, '%s': status %d, '%s' is not in the report:\n%s", arch, setting, status, finding,
               report ? report : "");
        failures++;
    }
    free(report);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: driver_mma_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    run_case(arguments[1], "sm_80", "", exact, " 0 findings");
    run_case(arguments[1], "sm_80", "exact", exact, " 0 findings");
    run_case(arguments[1], "sm_80", "steps", less, " 0 findings");
    run_case(arguments[1], "sm_80", "chip", less, " 0 findings");
    run_case(arguments[1], "sm_90", "chip", exact, " 0 findings");
    run_case(arguments[1], "sm_80", "chips", exact,
             "ISOMER_CUDASIM_MMA is 'chips'; exact, steps or chip allowed");
    printf("driver_mma_test: 6 settings, %d failures\n", failures);
    return failures != 0;
}
