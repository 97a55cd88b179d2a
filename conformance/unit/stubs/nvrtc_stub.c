// SPDX-License-Identifier: MIT
//
// A library in NVRTC's place, for machines without it and for what a real one does not do on demand. Text
// that begins with "//PTX" is its own PTX; all other text is refused with a log. ISOMER_NVRTC_STUB_VERSION
// (13.0) and ISOMER_NVRTC_STUB_ARCH (90, or two as 80,90) set what it says of itself;
// ISOMER_NVRTC_STUB_FAIL=n makes its n-th call fail.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct program {
    char *text;
} program;

static const char log_text[] =
    "kernel(2): warning: nothing to see\n\nkernel(7): error: the stub refuses this\n"
    "1 error detected.\n";
static unsigned calls;

EXPORT int nvrtcVersion(int *major, int *minor);
EXPORT int nvrtcGetNumSupportedArchs(int *count);
EXPORT int nvrtcGetSupportedArchs(int *archs);
EXPORT int nvrtcCreateProgram(program **out, const char *text, const char *name, int header_count,
                              const char *const *headers, const char *const *names);
EXPORT int nvrtcCompileProgram(program *p, int option_count, const char *const *options);
EXPORT int nvrtcGetPTXSize(program *p, size_t *bytes);
EXPORT int nvrtcGetPTX(program *p, char *ptx);
EXPORT int nvrtcGetProgramLogSize(program *p, size_t *bytes);
EXPORT int nvrtcGetProgramLog(program *p, char *log);
EXPORT int nvrtcDestroyProgram(program **p);

static int is_told_to_fail(void)
{
    const char *text = getenv("ISOMER_NVRTC_STUB_FAIL");
    return text && strtoul(text, NULL, 10) == ++calls;
}

int nvrtcVersion(int *major, int *minor)
{
    const char *text = getenv("ISOMER_NVRTC_STUB_VERSION");
    if (is_told_to_fail())
        return 11;
    return sscanf(text ? text : "13.0", "%d.%d", major, minor) == 2 ? 0 : 11;
}

static const char *archs_text(void)
{
    const char *text = getenv("ISOMER_NVRTC_STUB_ARCH");
    return text ? text : "90";
}

int nvrtcGetNumSupportedArchs(int *count)
{
    *count = strchr(archs_text(), ',') ? 2 : 1;
    return is_told_to_fail() ? 11 : 0;
}

int nvrtcGetSupportedArchs(int *archs)
{
    const char *text = archs_text(), *comma = strchr(text, ',');
    archs[0] = (int)strtol(text, NULL, 10);
    if (comma)
        archs[1] = (int)strtol(comma + 1, NULL, 10);
    return is_told_to_fail() ? 11 : 0;
}

int nvrtcCreateProgram(program **out, const char *text, const char *name, int header_count,
                       const char *const *headers, const char *const *names)
{
    (void)name, (void)header_count, (void)headers, (void)names;
    if (is_told_to_fail())
        return 1;
    *out = malloc(sizeof **out);
    (*out)->text = strdup(text);
    return 0;
}

int nvrtcCompileProgram(program *p, int option_count, const char *const *options)
{
    static const char prefix[] = "--gpu-architecture=compute_";
    const size_t length = sizeof prefix - 1;
    if (is_told_to_fail())
        return 7;
    if (option_count != 1 || strncmp(options[0], prefix, length) != 0 ||
        !strstr(archs_text(), options[0] + length))
        return 5;
    return strncmp(p->text, "//PTX", 5) == 0 ? 0 : 6;
}

int nvrtcGetPTXSize(program *p, size_t *bytes)
{
    *bytes = strlen(p->text) + 1;
    return is_told_to_fail() ? 4 : 0;
}

int nvrtcGetPTX(program *p, char *ptx)
{
    memcpy(ptx, p->text, strlen(p->text) + 1);
    return is_told_to_fail() ? 4 : 0;
}

int nvrtcGetProgramLogSize(program *p, size_t *bytes)
{
    (void)p;
    *bytes = sizeof log_text;
    return is_told_to_fail() ? 4 : 0;
}

int nvrtcGetProgramLog(program *p, char *log)
{
    (void)p;
    memcpy(log, log_text, sizeof log_text);
    return is_told_to_fail() ? 4 : 0;
}

int nvrtcDestroyProgram(program **p)
{
    free((*p)->text);
    free(*p);
    *p = NULL;
    return is_told_to_fail() ? 4 : 0;
}
