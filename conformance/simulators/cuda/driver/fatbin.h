// SPDX-License-Identifier: MIT
//
// Fat binaries: what nvcc and fatbinary put around cubins and PTX texts of several targets. Knows nothing of
// the device but its number.
#pragma once

#include "api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A fat binary, or the structure by which hosts that nvcc has compiled point at one. Looks at no byte behind
// the first that differs.
bool sim_fatbin_is(const void *image);

typedef struct sim_fatbin_text {
    const char *text; // need not end with a zero
    size_t bytes;
    char *made; // where it had to be decompressed: the caller frees it; else NULL
} sim_fatbin_text;

// The PTX text for the highest target that the chip `arch` (75 for sm_75) executes. message: at least
// PTX_MESSAGE_BYTES; says on failure what the image holds instead. CUDA_ERROR_INVALID_IMAGE: damaged;
// CUDA_ERROR_NO_BINARY_FOR_GPU: no such text, or none that can be unpacked; CUDA_ERROR_OUT_OF_MEMORY.
CUresult sim_fatbin_find(const void *image, uint32_t arch, char *message, sim_fatbin_text *out);
