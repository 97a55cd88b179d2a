// SPDX-License-Identifier: MIT
//
// MLA on CUDA with tensor cores: when the kernel fits, and how it is launched. A launch that has few groups
// splits the context over more (design: cuda_sm80.cu); the result's bits are the same either way.
#include "kernels/functions.h"
#include "kernels/mla_attention/op.h"
#include "kernels/tuned_cuda.h"

#define HEADS        16u
#define SEGMENT      256u
#define MAX_SEGMENTS 16u
// So many groups have enough to do without splitting. It also limits the scratch memory, to 64.3 MiB.
#define ENOUGH_GROUPS 128u

ISO_TUNED_PLAN(iso_mla_attention_cuda_sm80)

bool iso_mla_attention_cuda_sm80_supports(const iso_kernel *kernel, const void *params,
                                          const iso_device_info *device, char reason[ISO_REASON_BYTES])
{
    const iso_mla_attention *p = params;
    uint32_t width = iso_tensor_width(&p->cache);
    if (!iso_tuned_cuda_at_least(device, 80, reason) ||
        !iso_portable_fits(kernel, device, (const iso_tensor *const[3]){&p->q_latent, NULL, &p->y}, reason) ||
        !iso_words_addressable(&p->q_rope, "q_rope", reason))
        return false;
    if (width % 8)
        return iso_refuse(reason, "cache: rows of %u elements must be multiples of 8 for 16-byte copies",
                          width);
    return true;
}

static uint32_t group_count(const iso_mla_attention *p)
{
    return p->q_latent.dims[0] * iso_div_up(p->q_latent.dims[1], HEADS);
}

// Segments that get a group of their own; 0: none do.
static uint32_t slot_count(const iso_mla_attention *p)
{
    uint32_t most = iso_div_up(p->block_table.dims[1], SEGMENT / ISO_KV_PAGE_TOKENS);
    if (group_count(p) >= ENOUGH_GROUPS)
        return 0;
    return most < MAX_SEGMENTS ? most : MAX_SEGMENTS;
}

uint64_t iso_mla_attention_cuda_sm80_scratch_bytes(const iso_kernel *kernel, const void *params)
{
    (void)kernel;
    const iso_mla_attention *p = params;
    uint64_t rows = iso_tensor_rows(&p->q_latent), slots = slot_count(p);
    return slots ? rows * slots * (iso_tensor_width(&p->q_latent) + 2) * sizeof(float) : sizeof(float);
}

void iso_mla_attention_cuda_sm80_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    const iso_mla_attention *p = params;
    uint32_t slots = slot_count(p);
    iso_mla_attention_portable_launch(kernel, params, out); // whose arguments come first
    out->groups[0] = group_count(p);
    out->groups[1] = slots ? slots : 1;
    iso_launch_scratch(out);
    iso_launch_u32(out, slots);
}

void iso_mla_attention_cuda_sm80_combine_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_mla_attention *p = params;
    uint32_t slots = slot_count(p);
    out->groups[0] = slots ? iso_tensor_rows(&p->q_latent) : 0; // 0: there is nothing to combine
    out->groups[1] = out->groups[2] = 1;
    iso_launch_u32(out, p->q_latent.dims[0]);
    iso_launch_scratch(out);
    iso_launch_tensor(out, &p->positions, NULL);
    iso_launch_tensor(out, &p->sequence, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->q_latent.dims[1]);
    iso_launch_u32(out, p->q_latent.dims[2]);
    iso_launch_u32(out, slots);
    iso_launch_u32(out, p->y.view_offset);
    iso_launch_u32(out, p->y.row_stride);
}
