// SPDX-License-Identifier: MIT
//
// A program that uses the driver itself, beside the backend: the functions it calls, of the library under
// test.
#ifndef ISO_CONFORMANCE_CUDA_HOST_H
#define ISO_CONFORMANCE_CUDA_HOST_H

#include "conformance/unit/cuda_fixture.h"

typedef struct host_program {
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*release)(int device);
    int (*set_current)(void *context);
    int (*get_current)(void **context);
    int (*alloc)(unsigned long long *address, size_t bytes);
    int (*release_memory)(unsigned long long address);
} host_program;

static inline host_program load_host_program(void)
{
    static const char *const names[] = {"cuInit",
                                        "cuDevicePrimaryCtxRetain",
                                        "cuDevicePrimaryCtxRelease_v2",
                                        "cuCtxSetCurrent",
                                        "cuCtxGetCurrent",
                                        "cuMemAlloc_v2",
                                        "cuMemFree_v2",
                                        NULL};
    const char *const libraries[] = {cuda_driver_path(), NULL};
    void *library = NULL, *functions[7];
    host_program program;
    check(iso_library_open(libraries, names, functions, &library));
    _Static_assert(sizeof program == sizeof functions, "one pointer a function");
    memcpy(&program, functions, sizeof program);
    return program;
}

#endif
