// SPDX-License-Identifier: MIT
//
// A library that says it is a CUDA driver and has no entry points: what a cut or foreign libcuda.so.1 is
// like.
#include <stdlib.h>

__attribute__((visibility("default"))) int cuDriverGetVersion(int *version);

int cuDriverGetVersion(int *version)
{
    const char *text = getenv("ISOMER_CUDA_STUB_VERSION");
    if (!text)
        return 999;
    *version = (int)strtol(text, NULL, 10);
    return 0;
}
