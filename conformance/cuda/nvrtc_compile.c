// SPDX-License-Identifier: MIT
//
// Compiles CUDA C++ texts with NVIDIA's run-time compiler, for conformance/cuda/table.
//   nvrtc_compile CHIP FILE...   CHIP: sm_90a
// For each file a line "== FILE" and the assembler's words, or "== FILE" and "error: ...". Exit 0: all
// compile; 1: some do not; 77: no NVRTC here, or one that does not know the chip, with the reason.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIPPED     77
#define MOST_CHIPS  64
#define REASON_TEXT "skipped: "

static struct {
    int (*nvrtcCreateProgram)(void **program, const char *text, const char *name, int count,
                              const char *const *headers, const char *const *names);
    int (*nvrtcCompileProgram)(void *program, int count, const char *const *options);
    int (*nvrtcGetProgramLogSize)(void *program, size_t *bytes);
    int (*nvrtcGetProgramLog)(void *program, char *log);
    int (*nvrtcDestroyProgram)(void **program);
    int (*nvrtcGetNumSupportedArchs)(int *count);
    int (*nvrtcGetSupportedArchs)(int *archs);
} rtc;

static bool load_symbol(void *library, const char *name, void *out)
{
    void *symbol = dlsym(library, name);
    if (symbol)
        memcpy(out, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool open_compiler(void)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so",
                                        "/usr/local/cuda/lib64/libnvrtc.so"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof names[0]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library && load_symbol(library, "nvrtcCreateProgram", &rtc.nvrtcCreateProgram) &&
           load_symbol(library, "nvrtcCompileProgram", &rtc.nvrtcCompileProgram) &&
           load_symbol(library, "nvrtcGetProgramLogSize", &rtc.nvrtcGetProgramLogSize) &&
           load_symbol(library, "nvrtcGetProgramLog", &rtc.nvrtcGetProgramLog) &&
           load_symbol(library, "nvrtcDestroyProgram", &rtc.nvrtcDestroyProgram) &&
           load_symbol(library, "nvrtcGetNumSupportedArchs", &rtc.nvrtcGetNumSupportedArchs) &&
           load_symbol(library, "nvrtcGetSupportedArchs", &rtc.nvrtcGetSupportedArchs);
}

static bool knows(const char *chip)
{
    int count = 0, archs[MOST_CHIPS], wanted = atoi(chip + strlen("sm_"));
    if (rtc.nvrtcGetNumSupportedArchs(&count) || count > MOST_CHIPS || rtc.nvrtcGetSupportedArchs(archs))
        return false;
    for (int i = 0; i < count; i++)
        if (archs[i] == wanted)
            return true;
    return false;
}

// NULL: not to be read.
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    long bytes = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = bytes >= 0 ? malloc((size_t)bytes + 1) : NULL;
    if (text) {
        rewind(file);
        text[fread(text, 1, (size_t)bytes, file)] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}

static void print_log(void *program)
{
    size_t bytes = 0;
    if (rtc.nvrtcGetProgramLogSize(program, &bytes) || bytes == 0)
        return;
    char *log = calloc(1, bytes + 1);
    if (log && rtc.nvrtcGetProgramLog(program, log) == 0)
        printf("%s\n", log);
    free(log);
}

static bool compile(const char *path, const char *option)
{
    const char *options[] = {option, "--ptxas-options=-v"};
    void *program = NULL;
    int result;
    printf("== %s\n", path);
    char *text = read_text(path);
    if (!text) {
        printf("error: %s cannot be read\n", path);
        return false;
    }
    result = rtc.nvrtcCreateProgram(&program, text, path, 0, NULL, NULL);
    if (!result) {
        result = rtc.nvrtcCompileProgram(program, 2, options);
        print_log(program);
        rtc.nvrtcDestroyProgram(&program);
    }
    if (result)
        printf("error: NVRTC gives %d\n", result);
    free(text);
    return result == 0;
}

int main(int argc, char **argv)
{
    char option[64];
    bool all = true;
    if (argc < 2 || strncmp(argv[1], "sm_", 3) || strlen(argv[1]) > 16) {
        fprintf(stderr, "usage: nvrtc_compile sm_XX FILE...\n");
        return 2;
    }
    if (!open_compiler()) {
        printf(REASON_TEXT "no NVRTC here\n");
        return SKIPPED;
    }
    if (!knows(argv[1])) {
        printf(REASON_TEXT "this NVRTC does not know %s\n", argv[1]);
        return SKIPPED;
    }
    snprintf(option, sizeof option, "--gpu-architecture=%s", argv[1]);
    for (int i = 2; i < argc; i++)
        all &= compile(argv[i], option);
    return all ? 0 : 1;
}
