// SPDX-License-Identifier: MIT
//
// MLA on the host: one group for up to 4 heads of a token, which share every cache row they read.
#include "kernels/cpu_attention.h"
#include "kernels/mla_attention/op.h"

_Static_assert(ISO_MLA_MAX_LATENT + ISO_MLA_MAX_ROPE <= ISO_ATTEND_KEY_MAX, "a key does not fit the scratch");
_Static_assert(ISO_MLA_MAX_LATENT <= ISO_ATTEND_VALUE_MAX, "a latent does not fit the scratch");

enum {
    ARG_Q_LATENT,
    ARG_Q_ROPE,
    ARG_CACHE,
    ARG_BLOCK_TABLE,
    ARG_POSITIONS,
    ARG_SEQUENCE,
    ARG_Y,
    ARG_DTYPE,
    ARG_HEADS,
    ARG_LATENT,
    ARG_ROPE,
    ARG_MAX_PAGES,
    ARG_LATENT_STRIDE,
    ARG_ROPE_STRIDE,
    ARG_Y_STRIDE,
    ARG_SCALE
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    iso_attend_scratch *scratch = group->scratch;
    iso_dtype dtype = (iso_dtype)args[ARG_DTYPE].u32;
    uint32_t heads = args[ARG_HEADS].u32, latent = args[ARG_LATENT].u32, rope = args[ARG_ROPE].u32;
    uint32_t token = group->id[0], first = group->id[1] * ISO_ATTEND_HEADS;
    uint32_t here = heads - first < ISO_ATTEND_HEADS ? heads - first : ISO_ATTEND_HEADS;
    int32_t owner = ((const int32_t *)args[ARG_SEQUENCE].pointer)[token];
    size_t row = (size_t)token * heads + first;

    if (owner < 0) {
        for (uint32_t h = 0; h < here; h++)
            memset(iso_row_out(args[ARG_Y].pointer, dtype, row + h, args[ARG_Y_STRIDE].u32), 0,
                   latent * iso_dtype_bytes(dtype));
        return;
    }
    memset(scratch->query, 0, sizeof scratch->query);
    for (uint32_t h = 0; h < here; h++) {
        iso_attend_query(scratch->query[h],
                         iso_row(args[ARG_Q_LATENT].pointer, dtype, row + h, args[ARG_LATENT_STRIDE].u32),
                         dtype, latent);
        iso_attend_query(scratch->query[h] + latent,
                         iso_row(args[ARG_Q_ROPE].pointer, dtype, row + h, args[ARG_ROPE_STRIDE].u32), dtype,
                         rope);
    }
    const iso_attend attend = {
        .keys = args[ARG_CACHE].pointer,
        .values = args[ARG_CACHE].pointer,
        .pages = (const int32_t *)args[ARG_BLOCK_TABLE].pointer + (size_t)owner * args[ARG_MAX_PAGES].u32,
        .key_count = (uint32_t)((const int32_t *)args[ARG_POSITIONS].pointer)[token] + 1,
        .stride = latent + rope,
        .key_width = latent + rope,
        .value_width = latent,
        .scale = args[ARG_SCALE].f32,
    };
    iso_attend_run(&attend, scratch, dtype);
    for (uint32_t h = 0; h < here; h++) {
        void *y = iso_row_out(args[ARG_Y].pointer, dtype, row + h, args[ARG_Y_STRIDE].u32);
        for (uint32_t i = 0; i < latent; i += ISO_LANES)
            iso_store_vector(y, dtype, i, latent,
                             iso_load_vector(scratch->average[h], ISO_DTYPE_F32, i, latent));
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
    const iso_mla_attention *p = params;
    out->groups[0] = p->q_latent.dims[0];
    out->groups[1] = iso_div_up(p->q_latent.dims[1], ISO_ATTEND_HEADS);
    out->groups[2] = 1;
    iso_launch_view(out, &p->q_latent);
    iso_launch_view(out, &p->q_rope);
    iso_launch_view(out, &p->cache);
    iso_launch_view(out, &p->block_table);
    iso_launch_view(out, &p->positions);
    iso_launch_view(out, &p->sequence);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->q_latent.dtype);
    iso_launch_u32(out, p->q_latent.dims[1]);
    iso_launch_u32(out, p->q_latent.dims[2]);
    iso_launch_u32(out, p->q_rope.dims[2]);
    iso_launch_u32(out, p->block_table.dims[1]);
    iso_launch_u32(out, p->q_latent.row_stride);
    iso_launch_u32(out, p->q_rope.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}

ISO_DEFINE_CPU_KERNEL(mla_attention, run, supports, launch, sizeof(iso_attend_scratch))
