// SPDX-License-Identifier: MIT
//
// CUDA C++ compiled at run time: NVRTC makes PTX of a softmax with warp shuffles and dynamic shared memory
// for each architecture, the driver runs it, the host checks it. Skipped, with that said, where there is no
// NVRTC.
#include "driver_test.h"

#include <math.h>

enum { ROWS = 5, COLUMNS = 777, THREADS = 256, SKIPPED = 77 };

static const char source[] =
    "extern \"C\" __global__ void softmax(const float *x, float *y, int columns)\n"
    "{\n"
    "    extern __shared__ float partial[];\n"
    "    const float *row = x + (unsigned long long)blockIdx.x * columns;\n"
    "    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;\n"
    "    float most = -3.0e38f, sum = 0.0f;\n"
    "    for (int i = threadIdx.x; i < columns; i += blockDim.x) most = fmaxf(most, row[i]);\n"
    "    for (int d = 16; d; d /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, d));\n"
    "    if (lane == 0) partial[warp] = most;\n"
    "    __syncthreads();\n"
    "    for (int w = 0; w < warps; w++) most = fmaxf(most, partial[w]);\n"
    "    __syncthreads();\n"
    "    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i] - most);\n"
    "    for (int d = 16; d; d /= 2) sum += __shfl_down_sync(0xffffffffu, sum, d);\n"
    "    if (lane == 0) partial[warp] = sum;\n"
    "    __syncthreads();\n"
    "    sum = 0.0f;\n"
    "    for (int w = 0; w < warps; w++) sum += partial[w];\n"
    "    for (int i = threadIdx.x; i < columns; i += blockDim.x)\n"
    "        y[(unsigned long long)blockIdx.x * columns + i] = expf(row[i] - most) / sum;\n"
    "}\n";

static struct {
    int (*nvrtcCreateProgram)(void **program, const char *text, const char *name, int count,
                              const char *const *headers, const char *const *names);
    int (*nvrtcCompileProgram)(void *program, int count, const char *const *options);
    int (*nvrtcGetProgramLogSize)(void *program, size_t *bytes);
    int (*nvrtcGetProgramLog)(void *program, char *log);
    int (*nvrtcGetPTXSize)(void *program, size_t *bytes);
    int (*nvrtcGetPTX)(void *program, char *text);
    int (*nvrtcDestroyProgram)(void **program);
} rtc;

static bool open_compiler(void)
{
    static const char *const names[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12",
                                        "/usr/local/cuda/lib64/libnvrtc.so"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof names[0]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    load_symbol(library, "nvrtcCreateProgram", &rtc.nvrtcCreateProgram);
    load_symbol(library, "nvrtcCompileProgram", &rtc.nvrtcCompileProgram);
    load_symbol(library, "nvrtcGetProgramLogSize", &rtc.nvrtcGetProgramLogSize);
    load_symbol(library, "nvrtcGetProgramLog", &rtc.nvrtcGetProgramLog);
    load_symbol(library, "nvrtcGetPTXSize", &rtc.nvrtcGetPTXSize);
    load_symbol(library, "nvrtcGetPTX", &rtc.nvrtcGetPTX);
    load_symbol(library, "nvrtcDestroyProgram", &rtc.nvrtcDestroyProgram);
    return true;
}

static char *compile(const char *option)
{
    void *program = NULL;
    size_t bytes = 0;
    REQUIRE(rtc.nvrtcCreateProgram(&program, source, "softmax.cu", 0, NULL, NULL) == 0);
    int result = rtc.nvrtcCompileProgram(program, 1, &option);
    if (result) {
        char log[4096] = "";
        REQUIRE(rtc.nvrtcGetProgramLogSize(program, &bytes) == 0);
        if (bytes <= sizeof log)
            rtc.nvrtcGetProgramLog(program, log);
        fprintf(stderr, "NVRTC gives %d for %s: %s\n", result, option, log);
        exit(3);
    }
    REQUIRE(rtc.nvrtcGetPTXSize(program, &bytes) == 0);
    char *text = malloc(bytes);
    REQUIRE(text && rtc.nvrtcGetPTX(program, text) == 0);
    REQUIRE(rtc.nvrtcDestroyProgram(&program) == 0);
    return text;
}

static float x[ROWS * COLUMNS], y[ROWS * COLUMNS];

static int wrong_values(void)
{
    int wrong = 0;
    for (int r = 0; r < ROWS; r++) {
        const float *row = x + r * COLUMNS;
        double sum = 0, most = -INFINITY;
        for (int i = 0; i < COLUMNS; i++)
            most = fmax(most, (double)row[i]);
        for (int i = 0; i < COLUMNS; i++)
            sum += exp((double)row[i] - most);
        for (int i = 0; i < COLUMNS; i++) {
            double wanted = exp((double)row[i] - most) / sum;
            wrong += !(fabs((double)y[r * COLUMNS + i] - wanted) <= 1e-5 * wanted + 1e-9);
        }
    }
    return wrong;
}

static int softmax(void)
{
    int major, minor, columns = COLUMNS;
    char option[64];
    CUcontext context;
    CUmodule module;
    CUfunction function;
    CUdeviceptr in, out;
    OK(cu.cuInit(0));
    OK(cu.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    OK(cu.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0));
    snprintf(option, sizeof option, "--gpu-architecture=compute_%d%d", major, minor);
    char *text = compile(option);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)(i * 37 % 101) / 10 - 5;
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuModuleLoadData(&module, text));
    OK(cu.cuModuleGetFunction(&function, module, "softmax"));
    OK(cu.cuMemAlloc_v2(&in, sizeof x));
    OK(cu.cuMemAlloc_v2(&out, sizeof y));
    OK(cu.cuMemcpyHtoD_v2(in, x, sizeof x));
    void *params[] = {&in, &out, &columns};
    OK(cu.cuLaunchKernel(function, ROWS, 1, 1, THREADS, 1, 1, THREADS / 32 * sizeof(float), NULL, params,
                         NULL));
    OK(cu.cuMemcpyDtoH_v2(y, out, sizeof y));
    OK(cu.cuMemFree_v2(in));
    OK(cu.cuMemFree_v2(out));
    OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    free(text);
    return wrong_values() != 0;
}

int main(int count, char **arguments)
{
    static const char *const archs[] = {"sm_75", "sm_80", "sm_89", "sm_90"};
    int failures = 0, total = sizeof archs / sizeof archs[0];
    if (count < 2) {
        fprintf(stderr, "usage: driver_nvrtc_test LIBRARY\n");
        return 2;
    }
    if (!open_compiler()) {
        printf("driver_nvrtc_test: skipped %d: no libnvrtc here\n", total);
        return SKIPPED;
    }
    make_report_path();
    for (int i = 0; i < total; i++) {
        int status;
        setenv("ISOMER_CUDASIM_ARCH", archs[i], 1);
        char *report = run_child(arguments[1], softmax, &status);
        if (status || !report || !strstr(report, " 0 findings")) {
            printf("%s: status %d\n%s", archs[i], status, report ? report : "");
            failures++;
        }
        free(report);
    }
    printf("driver_nvrtc_test: %d architectures, %d failures\n", total, failures);
    return failures != 0;
}
