// SPDX-License-Identifier: MIT
//
// Failing calls: a small program that checks every result, with each of its calls made to fail in turn, with
// that call and all after it, and with too little memory: it must end by itself, with an error, and with
// nothing left behind. Then every entry point with arguments that mean nothing, in three states: an error or
// not, but no crash.
#include "driver_test.h"

enum { COUNT = 256, BYTES = COUNT * 4 };

typedef struct program {
    CUcontext context;
    CUmodule module;
    CUfunction add_one;
    CUstream stream;
    CUevent event;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr x, y;
    float *pinned;
    bool retained;
} program;

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        CUresult result_of_call = call;                                                                      \
        if (result_of_call)                                                                                  \
            return result_of_call;                                                                           \
    } while (0)

static CUresult make(program *p)
{
    TRY(cu.cuInit(0));
    TRY(cu.cuDevicePrimaryCtxRetain(&p->context, 0));
    p->retained = true;
    TRY(cu.cuCtxSetCurrent(p->context));
    TRY(cu.cuModuleLoadData(&p->module, test_kernels));
    TRY(cu.cuModuleGetFunction(&p->add_one, p->module, "add_one"));
    TRY(cu.cuStreamCreate(&p->stream, CU_STREAM_NON_BLOCKING));
    TRY(cu.cuEventCreate(&p->event, 0));
    TRY(cu.cuMemAlloc_v2(&p->x, BYTES));
    TRY(cu.cuMemAllocAsync(&p->y, BYTES, p->stream));
    TRY(cu.cuMemHostAlloc((void **)&p->pinned, BYTES, 0));
    TRY(cu.cuGraphCreate(&p->graph, 0));
    return CUDA_SUCCESS;
}

static CUresult use(program *p)
{
    unsigned count = COUNT;
    CUgraphNode node;
    void *params[] = {&p->x, &count};
    CUDA_KERNEL_NODE_PARAMS_v2 kernel = {p->add_one, 1, 1, 1, COUNT, 1, 1, 0, params, NULL, NULL, NULL};
    memset(p->pinned, 0, BYTES);
    TRY(cu.cuMemcpyHtoDAsync_v2(p->x, p->pinned, BYTES, p->stream));
    TRY(cu.cuMemsetD32Async(p->y, 0, COUNT, p->stream));
    TRY(cu.cuLaunchKernel(p->add_one, 1, 1, 1, COUNT, 1, 1, 0, p->stream, params, NULL));
    TRY(cu.cuGraphAddKernelNode_v2(&node, p->graph, NULL, 0, &kernel));
    TRY(cu.cuGraphInstantiateWithFlags(&p->exec, p->graph, 0));
    TRY(cu.cuGraphLaunch(p->exec, p->stream));
    TRY(cu.cuMemcpyDtoDAsync_v2(p->y, p->x, BYTES, p->stream));
    TRY(cu.cuMemcpyDtoHAsync_v2(p->pinned, p->y, BYTES, p->stream));
    TRY(cu.cuEventRecord(p->event, p->stream));
    TRY(cu.cuEventSynchronize(p->event));
    return p->pinned[COUNT - 1] == 2 ? CUDA_SUCCESS : CUDA_ERROR_ASSERT;
}

static CUresult worse(CUresult so_far, CUresult now)
{
    return so_far ? so_far : now;
}

static CUresult clean_up(program *p)
{
    CUresult result = CUDA_SUCCESS;
    if (p->stream)
        result = cu.cuStreamSynchronize(p->stream);
    // A wait that failed has not waited: what is in use must not be freed.
    for (int again = 0; result && p->stream && again < 2; again++)
        cu.cuStreamSynchronize(p->stream);
    if (p->exec)
        result = worse(result, cu.cuGraphExecDestroy(p->exec));
    if (p->graph)
        result = worse(result, cu.cuGraphDestroy(p->graph));
    if (p->x)
        result = worse(result, cu.cuMemFree_v2(p->x));
    if (p->y)
        result = worse(result, cu.cuMemFreeAsync(p->y, p->stream));
    if (p->pinned)
        result = worse(result, cu.cuMemFreeHost(p->pinned));
    if (p->event)
        result = worse(result, cu.cuEventDestroy_v2(p->event));
    if (p->stream)
        result = worse(result, cu.cuStreamDestroy_v2(p->stream));
    if (p->module)
        result = worse(result, cu.cuModuleUnload(p->module));
    if (p->retained)
        result = worse(result, cu.cuDevicePrimaryCtxRelease_v2(0));
    return result;
}

// 0: all went well, 1: an error was seen
static int run_program(void)
{
    program p = {0};
    CUresult result = make(&p);
    if (!result)
        result = use(&p);
    return worse(result, clean_up(&p)) != CUDA_SUCCESS;
}

static int failures;

// Whether the report has a finding; what is freed in use follows from waits that all fail.
static bool has_finding(const char *report, bool waits_fail)
{
    for (const char *line = report; *line;) {
        const char *line_end = strchr(line, '\n');
        size_t length = line_end ? (size_t)(line_end - line) : strlen(line);
        char text[1200];
        snprintf(text, sizeof text, "%.*s", (int)length, line);
        if (!strstr(text, ": summary: ") && !(waits_fail && strstr(text, ": freed in use: ")))
            return true;
        line += length + (line_end != NULL);
    }
    return false;
}

// The number of calls that were made.
static unsigned long run_with(const char *library, const char *variable, const char *setting, int wanted_code)
{
    int status;
    setenv(variable, setting, 1);
    char *report = run_child(library, run_program, &status);
    unsetenv(variable);
    const char *summary = report ? strstr(report, ": summary: ") : NULL;
    bool ended = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == wanted_code;
    if (!ended || !summary || has_finding(report, strchr(setting, '+') != NULL)) {
        printf("%s=%s: status %d, wanted code %d, report:\n%s", variable, setting, status, wanted_code,
               report ? report : "none");
        failures++;
    }
    unsigned long calls = summary ? strtoul(summary + strlen(": summary: "), NULL, 10) : 0;
    free(report);
    return calls;
}

// ---- arguments that mean nothing ----

typedef CUresult any_call(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                          uint64_t, uint64_t, uint64_t);
typedef void no_call(void);

static uint8_t scratch[1 << 16];

// Copies of plain memory by their size cannot be refused, and are left out where arguments are large.
static bool may_crash_anywhere(const char *name)
{
    return strcmp(name, "cuMemcpy") == 0 || strcmp(name, "cuMemcpyAsync") == 0;
}

static void call_all(uint64_t argument)
{
    static const struct {
        const char *name;
        size_t at;
    } entries[] = {
#define SIM_ENTRY(name, base, since, needs, parameters, call)                                                \
    {#name, (size_t)((uint8_t *)&cu.name - (uint8_t *)&cu)},
#include "exports.def"
#undef SIM_ENTRY
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        no_call *function;
        uint64_t a = argument;
        memcpy(&function, (uint8_t *)&cu + entries[i].at, sizeof function);
        memset(scratch, 0, sizeof scratch);
        if (!a || !may_crash_anywhere(entries[i].name))
            ((any_call *)function)(a, a, a, a, a, a, a, a, a, a, a);
    }
}

static void call_with_nonsense(void)
{
    call_all(0);
    call_all((uint64_t)(uintptr_t)scratch);
}

static int nonsense_before(void)
{
    call_with_nonsense();
    return 0;
}

static int nonsense_without_context(void)
{
    OK(cu.cuInit(0));
    call_with_nonsense();
    return 0;
}

static int nonsense_with_context(void)
{
    CUcontext context;
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    call_with_nonsense();
    return 0;
}

// ---- modules, addresses of entry points, limits ----

static void load_bad(const char *image, CUresult wanted, const char *said)
{
    CUmodule module;
    char log[512] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)sizeof log};
    IS(wanted, cu.cuModuleLoadDataEx(&module, image, 2, options, values));
    REQUIRE(strstr(log, said) && (size_t)(uintptr_t)values[1] == strlen(log));
}

static int bad_modules(void)
{
    CUcontext context;
    CUmodule module;
    CUfunction function;
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    load_bad("\x7f"
             "ELF",
             CUDA_ERROR_NO_BINARY_FOR_GPU, "executes PTX only");
    load_bad("\x50\xed\x55\xba", CUDA_ERROR_INVALID_IMAGE, "damaged: the version is 0");
    load_bad("\xb1\x43\x62\x46\xff\xff\xff\xff", CUDA_ERROR_INVALID_IMAGE, "damaged: the wrapper's version");
    load_bad("\x01\x02", CUDA_ERROR_INVALID_IMAGE, "neither");
    load_bad("", CUDA_ERROR_INVALID_IMAGE, "neither");
    load_bad(".version 8.5\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\n  strange.u32 %r1;\n}\n",
             CUDA_ERROR_INVALID_PTX, "line 6");
    load_bad(".version 8.5\n.target sm_90\n.address_size 64\n.visible .entry k()\n{\n  ret;\n}\n",
             CUDA_ERROR_INVALID_PTX, "sm_90");
    OK(cu.cuModuleLoadData(&module, test_kernels));
    IS(CUDA_ERROR_NOT_FOUND, cu.cuModuleGetFunction(&function, module, "no_such"));
    OK(cu.cuModuleUnload(module));
    IS(CUDA_ERROR_INVALID_HANDLE, cu.cuModuleGetFunction(&function, module, "add_one"));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

static int addresses(void)
{
    CUdriverProcAddressQueryResult status;
    void *old, *new;
    OK(cu.cuGetProcAddress_v2("cuCtxCreate", &old, 12000, 0, &status));
    OK(cu.cuGetProcAddress_v2("cuCtxCreate", &new, 13000, 0, &status));
    REQUIRE(memcmp(&old, &cu.cuCtxCreate_v2, sizeof old) == 0 &&
            memcmp(&new, &cu.cuCtxCreate_v4, sizeof new) == 0);
    OK(cu.cuGetProcAddress_v2("cuMemAllocAsync", &old, 10000, 0, &status));
    REQUIRE(!old && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    IS(CUDA_ERROR_NOT_FOUND, cu.cuGetProcAddress_v2("cuNoSuch", &old, 13000, 0, NULL));
    return 0;
}

static int limited(void)
{
    CUcontext context;
    CUdeviceptr a, b;
    size_t left, total;
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuMemAlloc_v2(&a, 48 << 10));
    IS(CUDA_ERROR_OUT_OF_MEMORY, cu.cuMemAlloc_v2(&b, 32 << 10));
    OK(cu.cuMemGetInfo_v2(&left, &total));
    REQUIRE(total == 64 << 10 && left == 16 << 10);
    OK(cu.cuMemFree_v2(a));
    OK(cu.cuMemAlloc_v2(&b, 64 << 10));
    OK(cu.cuMemFree_v2(b));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

static void run_case(const char *library, const char *name, int (*body)(void))
{
    int status;
    char *report = run_child(library, body, &status);
    if (status) {
        printf("%s: status %d\n%s", name, status, report ? report : "");
        failures++;
    }
    free(report);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: driver_faults_test LIBRARY\n");
        return 2;
    }
    const char *library = arguments[1];
    char setting[64];
    make_report_path();
    unsigned long calls = run_with(library, "ISOMER_CUDASIM_FAIL", "100000", 0);
    for (unsigned long n = 1; n <= calls; n++) {
        snprintf(setting, sizeof setting, "%lu", n);
        run_with(library, "ISOMER_CUDASIM_FAIL", setting, 1);
        snprintf(setting, sizeof setting, "%lu:CUDA_ERROR_OUT_OF_MEMORY", n);
        run_with(library, "ISOMER_CUDASIM_FAIL", setting, 1);
        snprintf(setting, sizeof setting, "%lu+:CUDA_ERROR_LAUNCH_FAILED", n);
        run_with(library, "ISOMER_CUDASIM_FAIL", setting, 1);
    }
    run_with(library, "ISOMER_CUDASIM_MEMORY", "1K", 1);
    run_with(library, "ISOMER_CUDASIM_MEMORY", "4K", 0);
    run_case(library, "nonsense before cuInit", nonsense_before);
    run_case(library, "nonsense without a context", nonsense_without_context);
    run_case(library, "nonsense with a context", nonsense_with_context);
    setenv("ISOMER_CUDASIM_ARCH", "sm_80", 1);
    run_case(library, "bad modules", bad_modules);
    unsetenv("ISOMER_CUDASIM_ARCH");
    run_case(library, "addresses", addresses);
    setenv("ISOMER_CUDASIM_MEMORY", "64K", 1);
    run_case(library, "limited memory", limited);
    printf("driver_faults_test: %lu calls, each made to fail in 3 ways, %d failures\n", calls, failures);
    return failures != 0 || calls == 0;
}
