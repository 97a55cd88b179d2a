// SPDX-License-Identifier: MIT
//
// Permute on the host: a counting sort in one group.
#include "kernels/cpu_vector.h"
#include "kernels/permute/op.h"

enum { ARG_INDEX, ARG_ROW, ARG_SLOT, ARG_TILES, ARG_COUNT, ARG_EXPERTS };

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    (void)group;
    const int32_t *index = args[ARG_INDEX].pointer;
    int32_t *row = args[ARG_ROW].pointer, *slot = args[ARG_SLOT].pointer;
    int32_t(*tiles)[4] = args[ARG_TILES].pointer;
    uint32_t count = args[ARG_COUNT].u32, experts = args[ARG_EXPERTS].u32;
    int32_t next[ISO_PERMUTE_MAX_EXPERTS] = {0}; // rows of an expert, then where its next row goes
    int32_t first = 0;
    uint32_t tile = 0;
    for (uint32_t i = 0; i < count; i++)
        next[index[i]]++;
    for (uint32_t e = 0; e < experts; e++) {
        int32_t rows = next[e];
        next[e] = first;
        for (int32_t done = 0; done < rows; done += ISO_PERMUTE_TILE_ROWS) {
            int32_t left = rows - done;
            tiles[tile][0] = (int32_t)e;
            tiles[tile][1] = first + done;
            tiles[tile][2] = left < ISO_PERMUTE_TILE_ROWS ? left : ISO_PERMUTE_TILE_ROWS;
            tiles[tile++][3] = 0;
        }
        first += rows;
    }
    for (; tile < count; tile++) {
        tiles[tile][0] = -1;
        tiles[tile][1] = tiles[tile][2] = tiles[tile][3] = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t position = next[index[i]]++;
        row[position] = (int32_t)i;
        slot[i] = position;
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
    const iso_permute *p = params;
    out->groups[0] = out->groups[1] = out->groups[2] = 1;
    iso_launch_tensor(out, &p->index, NULL);
    iso_launch_tensor(out, &p->row, NULL);
    iso_launch_tensor(out, &p->slot, NULL);
    iso_launch_tensor(out, &p->tiles, NULL);
    iso_launch_u32(out, (uint32_t)iso_tensor_elems(&p->index));
    iso_launch_u32(out, p->expert_count);
}

ISO_DEFINE_CPU_KERNEL(permute, run, supports, launch, 0)
