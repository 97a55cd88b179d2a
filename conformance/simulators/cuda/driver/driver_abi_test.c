// SPDX-License-Identifier: MIT
//
// The interface as programs are compiled against it: compiled once with this library's header and, where
// there is one, once with NVIDIA's. Then names, values, layouts and every entry point's type must agree for
// this to compile.
#if defined(WITH_CUDA_H)
#include <cuda.h>

#include <assert.h>
#include <stdint.h>
// cuda.h makes these the names of newer forms; the library has the old ones too.
#undef cuDeviceGetUuid
#undef cuEventElapsedTime
#undef cuGraphAddKernelNode
#undef cuGraphExecKernelNodeSetParams
// A declaration of another type is an error.
#define SIM_ENTRY(name, base, since, needs, parameters, call) CUresult name parameters;
#include "exports.def"
#undef SIM_ENTRY
CUresult cuGetErrorName(CUresult error, const char **name);
CUresult cuGetErrorString(CUresult error, const char **text);
CUresult cuGetProcAddress_v2(const char *name, void **out, int version, uint64_t flags,
                             CUdriverProcAddressQueryResult *status);
#else
#include "api.h"

#include <assert.h>
#endif

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

#define SIM_ERROR(name, value, text) static_assert(name == (value), #name);
#include "errors.def"
#undef SIM_ERROR
#define SIM_ATTRIBUTE(name, value, sm_75, sm_80, sm_89, sm_90)                                               \
    static_assert(CU_DEVICE_ATTRIBUTE_##name == (value), #name);
#include "chips.def"
#undef SIM_ATTRIBUTE
#define SIM_VALUE(name, value)         static_assert(name == (value), #name);
#define SIM_SIZE(type, bytes)          static_assert(sizeof(type) == (bytes), #type);
#define SIM_FIELD(type, field, offset) static_assert(offsetof(type, field) == (offset), #type "." #field);
#include "abi.def"
#undef SIM_VALUE
#undef SIM_SIZE
#undef SIM_FIELD

static const char *const names[] = {
#define SIM_ENTRY(name, base, since, needs, parameters, call) #name,
#include "exports.def"
#undef SIM_ENTRY
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGetProcAddress",
    "cuGetProcAddress_v2",
};

int main(int count, char **arguments)
{
    void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "usage: driver_abi_test LIBRARY\n");
        return 2;
    }
    int missing = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!dlsym(library, names[i])) {
            printf("no symbol %s\n", names[i]);
            missing++;
        }
    printf("driver_abi_test: %zu symbols, %d missing\n", sizeof names / sizeof names[0], missing);
    dlclose(library);
    return missing != 0;
}
