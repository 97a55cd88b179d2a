// SPDX-License-Identifier: MIT
//
// RoPE on the host: one group a token, so that its angles are computed once for all heads.
#include "kernels/cpu_vector.h"
#include "kernels/rope/op.h"

#include <math.h>

enum {
    ARG_X,
    ARG_POSITIONS,
    ARG_FREQUENCY,
    ARG_Y,
    ARG_DTYPE,
    ARG_HEADS,
    ARG_WIDTH,
    ARG_INTERLEAVED,
    ARG_X_STRIDE,
    ARG_Y_STRIDE,
    ARG_SCALE
};

enum { MAX_PAIRS = ISO_ROPE_MAX_WIDTH / 2 };

static void turn(float *row, uint32_t pairs, bool interleaved, const float *cosine, const float *sine)
{
    if (interleaved) {
        for (uint32_t i = 0; i < pairs; i++) {
            float a = row[2 * i], b = row[2 * i + 1];
            row[2 * i] = a * cosine[i] - b * sine[i];
            row[2 * i + 1] = a * sine[i] + b * cosine[i];
        }
        return;
    }
    for (uint32_t i = 0; i < pairs; i++) {
        float a = row[i], b = row[i + pairs];
        row[i] = a * cosine[i] - b * sine[i];
        row[i + pairs] = a * sine[i] + b * cosine[i];
    }
}

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t width = args[ARG_WIDTH].u32, pairs = width / 2, heads = args[ARG_HEADS].u32;
    iso_dtype dtype = (iso_dtype)args[ARG_DTYPE].u32;
    const uint32_t *frequency = args[ARG_FREQUENCY].pointer;
    uint64_t position = (uint64_t)((const int32_t *)args[ARG_POSITIONS].pointer)[group->id[0]];
    float cosine[MAX_PAIRS], sine[MAX_PAIRS], row[ISO_ROPE_MAX_WIDTH];
    for (uint32_t i = 0; i < pairs; i++) {
        uint64_t turns = position * ((uint64_t)frequency[2 * i] << 32 | frequency[2 * i + 1]);
        double angle = (double)(uint32_t)(turns >> 32) * (6.283185307179586 / 0x1p32);
        cosine[i] = (float)cos(angle) * args[ARG_SCALE].f32;
        sine[i] = (float)sin(angle) * args[ARG_SCALE].f32;
    }
    for (uint32_t h = 0; h < heads; h++) {
        size_t at = (size_t)group->id[0] * heads + h;
        const void *x = iso_row(args[ARG_X].pointer, dtype, at, args[ARG_X_STRIDE].u32);
        void *y = iso_row_out(args[ARG_Y].pointer, dtype, at, args[ARG_Y_STRIDE].u32);
        for (uint32_t i = 0; i < width; i += ISO_LANES)
            iso_store_vector(row, ISO_DTYPE_F32, i, width, iso_load_vector(x, dtype, i, width));
        turn(row, pairs, args[ARG_INTERLEAVED].u32 != 0, cosine, sine);
        for (uint32_t i = 0; i < width; i += ISO_LANES)
            iso_store_vector(y, dtype, i, width, iso_load_vector(row, ISO_DTYPE_F32, i, width));
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
    const iso_rope *p = params;
    out->groups[0] = p->x.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_view(out, &p->positions);
    iso_launch_view(out, &p->frequency);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->x.rank == 3 ? p->x.dims[1] : 1);
    iso_launch_u32(out, iso_tensor_width(&p->x));
    iso_launch_u32(out, p->interleaved);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}

ISO_DEFINE_CPU_KERNEL(rope, run, supports, launch, 0)
