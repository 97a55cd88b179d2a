// SPDX-License-Identifier: MIT
//
// Quantisation to FP8 on the host: a group takes some rows. Branch-free loops over a block, for the compiler
// to vectorise.
#include "kernels/cpu_vector.h"
#include "kernels/quantize_activation/op.h"

enum { ARG_X, ARG_Q, ARG_SCALE, ARG_X_DTYPE, ARG_ROWS, ARG_WIDTH, ARG_X_STRIDE, ARG_GROUP_ROWS };

// To nearest, ties to even, saturating. Below 2^-6 values are multiples of 2^-9: adding 2^14 rounds to them
// exactly.
static inline uint8_t e4m3_bits(float value)
{
    uint32_t u, shifted;
    memcpy(&u, &value, sizeof u);
    uint32_t sign = u >> 24 & 0x80u, magnitude = u & 0x7fffffffu;
    float absolute;
    memcpy(&absolute, &magnitude, sizeof absolute);
    absolute += 16384.0f;
    memcpy(&shifted, &absolute, sizeof shifted);
    uint32_t normal = (magnitude + 0x7ffffu + (magnitude >> 20 & 1u) - 0x3c000000u) >> 20;
    uint32_t bits = magnitude < 0x3c800000u ? shifted - 0x46800000u : normal;
    bits = magnitude >= 0x43e00000u ? 0x7eu : bits; // 448 and above
    bits = magnitude > 0x7f800000u ? 0x7fu : bits;
    return (uint8_t)(sign | bits);
}

// count is ISO_FP8_BLOCK or less. Returns the scale.
static float quantize_block(const void *x, iso_dtype dtype, uint32_t first, uint32_t count, uint8_t *q)
{
    float v[ISO_FP8_BLOCK], largest = 1e-4f;
    uint8_t bits[ISO_FP8_BLOCK];
    for (uint32_t i = 0; i < ISO_FP8_BLOCK; i += ISO_LANES) {
        iso_vector part = {0};
        if (i < count)
            part = iso_load_vector(x, dtype, first + i, first + count);
        memcpy(v + i, &part, sizeof part);
    }
    for (uint32_t i = 0; i < ISO_FP8_BLOCK; i++) {
        float magnitude = v[i] < 0.0f ? -v[i] : v[i];
        largest = magnitude > largest ? magnitude : largest;
    }
    float scale = largest / 448.0f;
    for (uint32_t i = 0; i < ISO_FP8_BLOCK; i++)
        bits[i] = e4m3_bits(v[i] / scale);
    memcpy(q + first, bits, count);
    return scale;
}

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t rows = args[ARG_ROWS].u32, width = args[ARG_WIDTH].u32, per_group = args[ARG_GROUP_ROWS].u32;
    uint32_t k_blocks = iso_div_up(width, ISO_FP8_BLOCK);
    iso_dtype dtype = (iso_dtype)args[ARG_X_DTYPE].u32;
    uint32_t r = group->id[0] * per_group, end = rows - r < per_group ? rows : r + per_group;
    for (; r < end; r++) {
        const void *x = iso_row(args[ARG_X].pointer, dtype, r, args[ARG_X_STRIDE].u32);
        uint8_t *q = (uint8_t *)args[ARG_Q].pointer + (size_t)r * width;
        float *scale = (float *)args[ARG_SCALE].pointer + (size_t)r * k_blocks;
        for (uint32_t b = 0; b < k_blocks; b++) {
            uint32_t first = b * ISO_FP8_BLOCK;
            scale[b] = quantize_block(x, dtype, first,
                                      width - first < ISO_FP8_BLOCK ? width - first : ISO_FP8_BLOCK, q);
        }
    }
}

static bool supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                     char reason[ISO_REASON_BYTES])
{
    (void)kernel, (void)params, (void)device, (void)reason;
    return true; // every call that fits the op's contract
}

static void launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_quantize_activation *p = params;
    const uint32_t worth_while = 16384; // elements, some microseconds
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x);
    uint32_t per_group = width < worth_while ? worth_while / width : 1;
    out->groups[0] = iso_div_up(rows, per_group);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_tensor(out, &p->q, NULL);
    iso_launch_tensor(out, &p->scale, NULL);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, rows);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, per_group);
}

ISO_DEFINE_CPU_KERNEL(quantize_activation, run, supports, launch, 0)
