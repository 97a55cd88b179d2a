// SPDX-License-Identifier: MIT
//
// Fat binaries as NVIDIA's fatbinary makes them, of PTX and of cubins that ptxas has made of it: plain, with
// LZ4, and with Zstandard, which is refused. Skipped, with that said, where the programs are not installed.
//   driver_fatbinary_test LIBRARY FOLDER   FOLDER holds ptxas and fatbinary
#include "driver_test.h"

#include <stdarg.h>
#include <stdint.h>

enum { SKIPPED = 77 };

static const char *tools;
static char folder[] = "/tmp/cudasim-fatbin-XXXXXX";

static void write_text(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

__attribute__((format(printf, 1, 2))) static void run_tool(const char *format, ...)
{
    char command[1024];
    va_list list;
    int used = snprintf(command, sizeof command, "cd %s && %s/", folder, tools);
    va_start(list, format);
    vsnprintf(command + used, sizeof command - (size_t)used, format, list);
    va_end(list);
    if (system(command) != 0) // NOLINT: the build's own programs
        fprintf(stderr, "failed: %s\n", command);
    else
        return;
    exit(3);
}

static void *read_image(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    uint8_t *bytes = malloc(1 << 20);
    size_t count = bytes ? fread(bytes, 1, 1 << 20, file) : 0;
    fclose(file);
    REQUIRE(count > 16 && count < 1 << 20);
    uint8_t *exact = realloc(bytes, count);
    return exact ? exact : bytes;
}

static CUresult load_file(const char *name, CUmodule *module, char *log)
{
    void *image = read_image(name);
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)512}; // NOLINT
    log[0] = '\0';
    CUresult result = cu.cuModuleLoadDataEx(module, image, 2, options, values);
    free(image);
    return result;
}

static void runs(const char *name)
{
    char log[512];
    CUmodule module;
    CUfunction function;
    CUdeviceptr memory;
    float in[3] = {1, 2, 3}, out[3];
    int n = 3;
    void *params[] = {&memory, &n};
    CUresult result = load_file(name, &module, log);
    if (result)
        fprintf(stderr, "%s: %s\n", name, log);
    OK(result);
    OK(cu.cuModuleGetFunction(&function, module, "add_one"));
    OK(cu.cuMemAlloc_v2(&memory, sizeof in));
    OK(cu.cuMemcpyHtoD_v2(memory, in, sizeof in));
    OK(cu.cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemcpyDtoH_v2(out, memory, sizeof out));
    REQUIRE(out[0] == 2 && out[1] == 3 && out[2] == 4);
    OK(cu.cuMemFree_v2(memory));
    OK(cu.cuModuleUnload(module));
}

static void refused(const char *name, const char *said)
{
    char log[512];
    CUmodule module;
    IS(CUDA_ERROR_NO_BINARY_FOR_GPU, load_file(name, &module, log));
    if (!strstr(log, said))
        fprintf(stderr, "%s: '%s' is not in the log: %s\n", name, said, log);
    REQUIRE(strstr(log, said));
}

static int all_files(void)
{
    CUcontext context;
    static const char images[] = "--image3=kind=ptx,sm=75,file=k.ptx --image3=kind=elf,sm=80,file=k80.cubin "
                                 "--image3=kind=elf,sm=90a,file=k90a.cubin";
    write_text("k.ptx", test_kernels);
    run_tool("ptxas -arch=sm_80 k.ptx -o k80.cubin");
    run_tool("ptxas -arch=sm_90a k.ptx -o k90a.cubin");
    run_tool("fatbinary -64 --create=plain --compress=false %s", images);
    run_tool("fatbinary -64 --create=lz4 --compress-mode=speed %s", images);
    run_tool("fatbinary -64 --create=zstd --compress-mode=size %s", images);
    run_tool("fatbinary -64 --create=cubins --image3=kind=elf,sm=80,file=k80.cubin "
             "--image3=kind=elf,sm=90a,file=k90a.cubin");
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    runs("plain");
    runs("lz4");
    refused("zstd", "Zstandard");
    refused("cubins", "2 cubins");
    refused("k90a.cubin", "executes PTX only");
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

int main(int count, char **arguments)
{
    static const char *const made[] = {"k.ptx", "k80.cubin", "k90a.cubin", "plain", "lz4", "zstd", "cubins"};
    char path[256];
    int status;
    if (count < 2) {
        fprintf(stderr, "usage: driver_fatbinary_test LIBRARY [FOLDER]\n");
        return 2;
    }
    if (count < 3) {
        printf("skipped: neither ptxas nor fatbinary of the CUDA toolkit was found when this was built\n");
        return SKIPPED;
    }
    tools = arguments[2];
    if (!mkdtemp(folder)) {
        perror(folder);
        return 2;
    }
    make_report_path();
    char *report = run_child(arguments[1], all_files, &status);
    printf("driver_fatbinary_test: status %d\n%s", status, report ? report : "");
    free(report);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, made[i]);
        unlink(path);
    }
    rmdir(folder);
    return status != 0;
}
