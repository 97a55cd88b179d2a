// SPDX-License-Identifier: MIT
//
// Helpers that the launch plans and checks of all ops share.
#include "kernels/kernel.h"

#include <stdarg.h>
#include <stdio.h>

#include "kernels/case.h"
#include "kernels/cpu_vector.h"

// Elements from the start of the storage to the tensor's end.
static uint64_t extent(const iso_tensor *tensor)
{
    uint64_t elems = tensor->view_offset;
    if (iso_tensor_rows(tensor) > 0)
        elems += (uint64_t)(iso_tensor_rows(tensor) - 1) * tensor->row_stride + iso_tensor_width(tensor);
    return elems;
}

static void launch_storage(iso_launch *launch, const iso_tensor *tensor, uint64_t skip_bytes)
{
    iso_arg *arg = &launch->args[launch->arg_count++];
    arg->kind = ISO_ARG_BUFFER;
    arg->memory = tensor->memory;
    arg->offset_bytes = tensor->offset_bytes + skip_bytes;
    // Whole words: kernels read BF16 and FP8 through 32-bit words.
    arg->range_bytes = (extent(tensor) * iso_dtype_bytes(tensor->dtype) + 3) / 4 * 4 - skip_bytes;
}

void iso_launch_tensor(iso_launch *launch, const iso_tensor *tensor, const iso_tensor *stand_in)
{
    launch_storage(launch, iso_tensor_present(tensor) ? tensor : stand_in, 0);
}

void iso_launch_view(iso_launch *launch, const iso_tensor *tensor)
{
    launch_storage(launch, tensor, (uint64_t)tensor->view_offset * iso_dtype_bytes(tensor->dtype));
}

void iso_launch_scratch(iso_launch *launch)
{
    launch->args[launch->arg_count++] = launch->scratch;
}

void iso_launch_u32(iso_launch *launch, uint32_t value)
{
    launch->args[launch->arg_count++] = (iso_arg){.kind = ISO_ARG_U32, .value.u32 = value};
}

void iso_launch_f32(iso_launch *launch, float value)
{
    launch->args[launch->arg_count++] = (iso_arg){.kind = ISO_ARG_F32, .value.f32 = value};
}

bool iso_refuse(char reason[ISO_REASON_BYTES], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(reason, ISO_REASON_BYTES, format, list);
    va_end(list);
    return false;
}

// `per_index`: elements that one step of the kernel's index covers.
static bool addressable(const iso_tensor *tensor, const char *name, uint32_t per_index,
                        char reason[ISO_REASON_BYTES])
{
    if (extent(tensor) / per_index > UINT32_MAX)
        return iso_refuse(reason, "%s: %llu elements of %s are more than a 32-bit index reaches", name,
                          (unsigned long long)extent(tensor), iso_dtype_name(tensor->dtype));
    if (iso_dtype_bytes(tensor->dtype) >= 4)
        return true;
    uint32_t per_word = 4 / (uint32_t)iso_dtype_bytes(tensor->dtype);
    uint32_t width = iso_tensor_width(tensor);
    if (width % per_word || tensor->row_stride % per_word || tensor->view_offset % per_word)
        return iso_refuse(reason, "%s: width %u, stride %u, offset %u of %s must be multiples of %u", name,
                          width, tensor->row_stride, tensor->view_offset, iso_dtype_name(tensor->dtype),
                          per_word);
    return true;
}

bool iso_words_addressable(const iso_tensor *tensor, const char *name, char reason[ISO_REASON_BYTES])
{
    return !iso_tensor_present(tensor) || addressable(tensor, name, 1, reason);
}

bool iso_portable_fits(const iso_kernel *kernel, const iso_device_info *device,
                       const iso_tensor *const xwy[3], char reason[ISO_REASON_BYTES])
{
    static const char *const names[3] = {"x", "weight", "y"};
    if (device->max_group_size < kernel->group_size)
        return iso_refuse(reason, "needs groups of %u threads, the device allows %u", kernel->group_size,
                          device->max_group_size);
    for (int i = 0; i < 3; i++) {
        if (!xwy[i])
            continue;
        if (xwy[i]->dtype != kernel->dtypes[i])
            return iso_refuse(reason, "%s is %s, compiled for %s", names[i], iso_dtype_name(xwy[i]->dtype),
                              iso_dtype_name(kernel->dtypes[i]));
        // The weights of matrix products are indexed by words, all else by elements.
        uint32_t per_index =
            i == 1 && iso_dtype_bytes(xwy[i]->dtype) < 4 ? 4 / (uint32_t)iso_dtype_bytes(xwy[i]->dtype) : 1;
        if (!addressable(xwy[i], names[i], per_index, reason))
            return false;
    }
    return true;
}

bool iso_cpu_variant_fits(const iso_device_info *device, uint32_t features, char reason[ISO_REASON_BYTES])
{
    if ((device->features & features) == features)
        return true;
    return iso_refuse(reason, "compiled for %s, which the device lacks",
                      features & ISO_FEATURE_NATIVE_AVX512 ? "AVX-512" : "AVX2");
}

iso_status iso_check_shape(const char *op, const char *operand, const iso_tensor *tensor, uint32_t rank,
                           const uint32_t *dims)
{
    if (tensor->rank != rank)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: %s has %u dimensions; allowed: %u", op, operand,
                        tensor->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        if (tensor->dims[i] != dims[i])
            return iso_fail(ISO_INVALID_ARGUMENT, "%s: dimension %u of %s is %u; the other operands need %u",
                            op, i, operand, tensor->dims[i], dims[i]);
    return ISO_OK;
}

iso_status iso_check_dtype(const char *op, const char *operand, const iso_tensor *tensor, uint32_t allowed)
{
    if (1u << tensor->dtype & allowed)
        return ISO_OK;
    char names[128] = "";
    int length = 0;
    for (int d = 0; d < ISO_DTYPE_COUNT; d++)
        if (allowed >> d & 1u)
            length += snprintf(names + length, sizeof names - (size_t)length, "%s%s", length ? ", " : "",
                               iso_dtype_name((iso_dtype)d));
    return iso_fail(ISO_INVALID_ARGUMENT, "%s: %s is %s; allowed: %s", op, operand,
                    iso_dtype_name(tensor->dtype), names);
}

iso_status iso_check_contiguous(const char *op, const char *operand, const iso_tensor *tensor)
{
    if (tensor->row_stride == iso_tensor_width(tensor) && tensor->view_offset == 0)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT,
                    "%s: %s is a view (offset %u, stride %u, width %u); it must be contiguous", op, operand,
                    tensor->view_offset, tensor->row_stride, iso_tensor_width(tensor));
}

iso_tensor iso_tensor_describe(iso_dtype dtype, const uint32_t *dims, uint32_t rank)
{
    iso_tensor tensor = {.dtype = dtype, .rank = rank, .dims = {1, 1, 1, 1}};
    for (uint32_t i = 0; i < rank; i++)
        tensor.dims[i] = dims[i];
    tensor.row_stride = dims[rank - 1];
    return tensor;
}
