// SPDX-License-Identifier: MIT
//
// GQA on the host: one group for up to 4 heads of a token that share a key and value head.
#include "kernels/cpu_attention.h"
#include "kernels/gqa_attention/op.h"

_Static_assert(ISO_GQA_MAX_DIM <= ISO_ATTEND_VALUE_MAX, "a head does not fit the scratch");

enum {
    ARG_Q,
    ARG_K_CACHE,
    ARG_V_CACHE,
    ARG_BLOCK_TABLE,
    ARG_POSITIONS,
    ARG_SEQUENCE,
    ARG_Y,
    ARG_DTYPE,
    ARG_HEADS,
    ARG_KV_HEADS,
    ARG_DIM,
    ARG_MAX_PAGES,
    ARG_Q_STRIDE,
    ARG_Y_STRIDE,
    ARG_SCALE
};

// Groups: token, key and value head, then 4 of the query heads that share it.
static void run(const iso_native_group *group, const iso_native_arg *args)
{
    iso_attend_scratch *scratch = group->scratch;
    iso_dtype dtype = (iso_dtype)args[ARG_DTYPE].u32;
    uint32_t heads = args[ARG_HEADS].u32, kv_heads = args[ARG_KV_HEADS].u32, dim = args[ARG_DIM].u32;
    uint32_t token = group->id[0], kv_head = group->id[1], sharing = heads / kv_heads;
    uint32_t first = group->id[2] * ISO_ATTEND_HEADS;
    uint32_t here = sharing - first < ISO_ATTEND_HEADS ? sharing - first : ISO_ATTEND_HEADS;
    int32_t owner = ((const int32_t *)args[ARG_SEQUENCE].pointer)[token];
    size_t row = (size_t)token * heads + kv_head * sharing + first;

    if (owner < 0) {
        for (uint32_t h = 0; h < here; h++)
            memset(iso_row_out(args[ARG_Y].pointer, dtype, row + h, args[ARG_Y_STRIDE].u32), 0,
                   dim * iso_dtype_bytes(dtype));
        return;
    }
    memset(scratch->query, 0, sizeof scratch->query);
    for (uint32_t h = 0; h < here; h++)
        iso_attend_query(scratch->query[h],
                         iso_row(args[ARG_Q].pointer, dtype, row + h, args[ARG_Q_STRIDE].u32), dtype, dim);
    const iso_attend attend = {
        .keys = iso_row(args[ARG_K_CACHE].pointer, dtype, kv_head, dim),
        .values = iso_row(args[ARG_V_CACHE].pointer, dtype, kv_head, dim),
        .pages = (const int32_t *)args[ARG_BLOCK_TABLE].pointer + (size_t)owner * args[ARG_MAX_PAGES].u32,
        .key_count = (uint32_t)((const int32_t *)args[ARG_POSITIONS].pointer)[token] + 1,
        .stride = kv_heads * dim,
        .key_width = dim,
        .value_width = dim,
        .scale = args[ARG_SCALE].f32,
    };
    iso_attend_run(&attend, scratch, dtype);
    for (uint32_t h = 0; h < here; h++) {
        void *y = iso_row_out(args[ARG_Y].pointer, dtype, row + h, args[ARG_Y_STRIDE].u32);
        for (uint32_t i = 0; i < dim; i += ISO_LANES)
            iso_store_vector(y, dtype, i, dim, iso_load_vector(scratch->average[h], ISO_DTYPE_F32, i, dim));
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
    const iso_gqa_attention *p = params;
    out->groups[0] = p->q.dims[0];
    out->groups[1] = p->k_cache.dims[2];
    out->groups[2] = iso_div_up(p->q.dims[1] / p->k_cache.dims[2], ISO_ATTEND_HEADS);
    iso_launch_view(out, &p->q);
    iso_launch_view(out, &p->k_cache);
    iso_launch_view(out, &p->v_cache);
    iso_launch_view(out, &p->block_table);
    iso_launch_view(out, &p->positions);
    iso_launch_view(out, &p->sequence);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->q.dtype);
    iso_launch_u32(out, p->q.dims[1]);
    iso_launch_u32(out, p->k_cache.dims[2]);
    iso_launch_u32(out, p->q.dims[2]);
    iso_launch_u32(out, p->block_table.dims[1]);
    iso_launch_u32(out, p->q.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_f32(out, p->scale);
}

ISO_DEFINE_CPU_KERNEL(gqa_attention, run, supports, launch, sizeof(iso_attend_scratch))
