// SPDX-License-Identifier: MIT
//
// What the files of an op share: appending launch arguments, refusing with a reason, checking contracts,
// defining a CPU kernel. Error bounds are in bound.h.
// Knows no vendor and no model.
#ifndef ISOMER_KERNELS_KERNEL_H
#define ISOMER_KERNELS_KERNEL_H

#include "isomer/op.h"

// The types as op.def writes them.
#define ISO_DTYPE_KEY_NONE ISO_DTYPE_NONE
#define ISO_DTYPE_KEY_F32  ISO_DTYPE_F32
#define ISO_DTYPE_KEY_F16  ISO_DTYPE_F16
#define ISO_DTYPE_KEY_BF16 ISO_DTYPE_BF16
#define ISO_DTYPE_KEY_E4M3 ISO_DTYPE_F8_E4M3

// ---- launch plans ----

// Arguments are appended in the order of the kernel's text. A tensor passes its storage; strides and view
// offsets go as values of their own. An absent tensor passes `stand_in`'s storage, so that the kernel has a
// valid address that it never reads.
void iso_launch_tensor(iso_launch *launch, const iso_tensor *tensor, const iso_tensor *stand_in);
// The memory between the two launches of a kernel.
void iso_launch_scratch(iso_launch *launch);
void iso_launch_u32(iso_launch *launch, uint32_t value);
void iso_launch_f32(iso_launch *launch, float value);

static inline uint32_t iso_div_up(uint32_t value, uint32_t by)
{
    return value / by + (value % by != 0);
}

// ---- supports ----

// Writes the reason and returns false.
bool iso_refuse(char reason[ISO_REASON_BYTES], const char *format, ...) ISO_PRINTF(2, 3);

// Whether the types that a portable kernel was compiled for are those of the call, and every BF16 or FP8
// tensor can be addressed in 32-bit words (even width, stride and view offset; multiples of 4 for FP8) by
// 32-bit indices: of words for the weight, of elements for x and y. NULL: no such operand.
bool iso_portable_fits(const iso_kernel *kernel, const iso_device_info *device,
                       const iso_tensor *const xwy[3], char reason[ISO_REASON_BYTES]);

// Whether `tensor`, which may be absent, can be addressed in 32-bit words by 32-bit indices of elements.
bool iso_words_addressable(const iso_tensor *tensor, const char *name, char reason[ISO_REASON_BYTES]);

// ---- checks of contracts ----

// Fails with ISO_INVALID_ARGUMENT and a text that begins with the op's and the operand's name.
iso_status iso_check_shape(const char *op, const char *operand, const iso_tensor *tensor, uint32_t rank,
                           const uint32_t *dims) ISO_MUST_USE;
// `allowed` is a bit set over iso_dtype: 1u << ISO_DTYPE_F32 | …
iso_status iso_check_dtype(const char *op, const char *operand, const iso_tensor *tensor,
                           uint32_t allowed) ISO_MUST_USE;

// No view: the rows lie one after the other from the start of the storage.
iso_status iso_check_contiguous(const char *op, const char *operand, const iso_tensor *tensor) ISO_MUST_USE;

#define ISO_DTYPES_ACTIVATION (1u << ISO_DTYPE_F32 | 1u << ISO_DTYPE_BF16)
#define ISO_DTYPES_WEIGHT     (1u << ISO_DTYPE_F32 | 1u << ISO_DTYPE_F16 | 1u << ISO_DTYPE_BF16)

// ---- host tensors (references and CPU kernels) ----

static inline size_t iso_elem(const iso_tensor *t, uint32_t row, uint32_t column)
{
    return (size_t)t->view_offset + (size_t)row * t->row_stride + column;
}
static inline double iso_at(const iso_tensor *t, uint32_t row, uint32_t column)
{
    return iso_load_element(t->host, t->dtype, iso_elem(t, row, column));
}
static inline int32_t iso_index_at(const iso_tensor *t, size_t i)
{
    return ((const int32_t *)t->host)[t->view_offset + i];
}

// ---- CPU kernels ----
//
// kernels/<op>/cpu.c is compiled once for each variant listed in op.def, with ISO_CPU_VARIANT set to its name
// and ISO_CPU_FEATURES to the iso_feature bits that it needs. It ends with
//     ISO_DEFINE_CPU_KERNEL(rms_norm, run, supports, launch, scratch_bytes)
// `supports` sees only calls on devices that run this variant.

#define ISO_JOIN_(a, b, c, d) a##b##c##d
#define ISO_JOIN(a, b, c, d)  ISO_JOIN_(a, b, c, d)
#define ISO_STRING_(x)        #x
#define ISO_STRING(x)         ISO_STRING_(x)

bool iso_cpu_variant_fits(const iso_device_info *device, uint32_t features, char reason[ISO_REASON_BYTES]);

#define ISO_DEFINE_CPU_KERNEL(op_name, run_fn, supports_fn, launch_fn, scratch)                              \
    static bool supports_variant(const iso_kernel *kernel, const void *params,                               \
                                 const iso_device_info *device, char reason[ISO_REASON_BYTES])               \
    {                                                                                                        \
        return iso_cpu_variant_fits(device, ISO_CPU_FEATURES, reason) &&                                     \
               supports_fn(kernel, params, device, reason);                                                  \
    }                                                                                                        \
    static const iso_native_kernel native_kernel = {run_fn, scratch};                                        \
    extern const iso_kernel ISO_JOIN(iso_kernel_, op_name, _cpu_, ISO_CPU_VARIANT);                          \
    const iso_kernel ISO_JOIN(iso_kernel_, op_name, _cpu_, ISO_CPU_VARIANT) = {                              \
        .name = #op_name ".cpu." ISO_STRING(ISO_CPU_VARIANT),                                                \
        .op = #op_name,                                                                                      \
        .group_size = 1,                                                                                     \
        .supports = supports_variant,                                                                        \
        .launch = launch_fn,                                                                                 \
        .codes = {{.format = ISO_CODE_NATIVE, .native = &native_kernel}},                                    \
    };

#endif
