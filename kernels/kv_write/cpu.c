// SPDX-License-Identifier: MIT
//
// KV write on the host: one group copies the rows of 16 tokens.
#include "kernels/cpu_vector.h"
#include "kernels/kv_write/op.h"

enum { GROUP_TOKENS = 16 };
enum { ARG_X, ARG_SLOTS, ARG_CACHE, ARG_TOKENS, ARG_ROW_BYTES, ARG_X_STRIDE_BYTES };

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    const int32_t *slots = args[ARG_SLOTS].pointer;
    size_t bytes = args[ARG_ROW_BYTES].u32;
    uint32_t first = group->id[0] * GROUP_TOKENS, tokens = args[ARG_TOKENS].u32;
    uint32_t end = tokens - first < GROUP_TOKENS ? tokens : first + GROUP_TOKENS;
    for (uint32_t t = first; t < end; t++)
        if (slots[t] >= 0)
            memcpy((char *)args[ARG_CACHE].pointer + (size_t)slots[t] * bytes,
                   (const char *)args[ARG_X].pointer + (size_t)t * args[ARG_X_STRIDE_BYTES].u32, bytes);
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
    const iso_kv_write *p = params;
    uint32_t elem_bytes = (uint32_t)iso_dtype_bytes(p->x.dtype);
    uint32_t row_bytes = p->x.dims[1] * p->x.dims[2] * p->x.dims[3] * elem_bytes;
    out->groups[0] = iso_div_up(p->x.dims[0], GROUP_TOKENS);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_view(out, &p->slots);
    iso_launch_view(out, &p->cache);
    iso_launch_u32(out, p->x.dims[0]);
    iso_launch_u32(out, row_bytes);
    iso_launch_u32(out, p->x.rank == 2 ? p->x.row_stride * elem_bytes : row_bytes);
}

ISO_DEFINE_CPU_KERNEL(kv_write, run, supports, launch, 0)
