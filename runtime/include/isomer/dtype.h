// SPDX-License-Identifier: MIT
//
// Element types and exact conversions between them and float.
//
// Conversions to a narrower type round to nearest, ties to even. E4M3 is the OCP "fn" form: largest finite
// value 448, no infinities, NaN is 0x7F and 0xFF; conversion to it saturates finite values at +-448.
#ifndef ISOMER_DTYPE_H
#define ISOMER_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef enum iso_dtype {
    ISO_DTYPE_NONE = 0,   // absent operand
    ISO_DTYPE_ACTIVATION, // graphs only: the plan replaces it by F32 or BF16
    ISO_DTYPE_F32,
    ISO_DTYPE_F16,
    ISO_DTYPE_BF16,
    ISO_DTYPE_F8_E4M3,
    ISO_DTYPE_I32,
    ISO_DTYPE_U32,
    ISO_DTYPE_COUNT
} iso_dtype;

// ---- calls ----

// "f32", "bf16", "f8_e4m3", … Never NULL.
ISO_API const char *iso_dtype_name(iso_dtype dtype);

// Bytes of one element; 0 for NONE and ACTIVATION.
ISO_API size_t iso_dtype_bytes(iso_dtype dtype);

ISO_API float iso_bf16_to_f32(uint16_t bits);
ISO_API uint16_t iso_bf16_from_f32(float value);
ISO_API float iso_f16_to_f32(uint16_t bits);
ISO_API uint16_t iso_f16_from_f32(float value);
ISO_API float iso_e4m3_to_f32(uint8_t bits);
ISO_API uint8_t iso_e4m3_from_f32(float value);

// Element `index` of an array of `dtype` (not NONE or ACTIVATION) as a double, and back with rounding.
ISO_API double iso_load_element(const void *data, iso_dtype dtype, size_t index);
ISO_API void iso_store_element(void *data, iso_dtype dtype, size_t index, double value);

#ifdef __cplusplus
}
#endif
#endif
