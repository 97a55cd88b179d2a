// SPDX-License-Identifier: MIT
//
// Grouped linear layer on the host: a group takes some features of every tile. Neighbouring tiles of one
// expert are joined, so that its weights are widened once for all of them; cpu_matmul.h does the work.
#include "kernels/cpu_matmul.h"
#include "kernels/grouped_linear/op.h"

enum {
    ARG_X,
    ARG_X_SCALE,
    ARG_WEIGHT,
    ARG_WEIGHT_SCALE,
    ARG_ROW,
    ARG_TILES,
    ARG_Y,
    ARG_X_DTYPE,
    ARG_WEIGHT_DTYPE,
    ARG_Y_DTYPE,
    ARG_TILE_COUNT,
    ARG_FEATURES,
    ARG_WIDTH,
    ARG_X_STRIDE,
    ARG_ROWS_PER_TOKEN,
    ARG_GROUP_FEATURES,
    ARG_GROUP_ROWS, // at most this many rows at once
};

enum { TILE_EXPERT, TILE_FIRST_ROW, TILE_ROWS, TILE_WORDS = 4 };

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t features = args[ARG_FEATURES].u32, width = args[ARG_WIDTH].u32;
    uint32_t per_group = args[ARG_GROUP_FEATURES].u32, feature = group->id[0] * per_group;
    uint32_t tile_count = args[ARG_TILE_COUNT].u32, rows_per_token = args[ARG_ROWS_PER_TOKEN].u32;
    iso_dtype weight_dtype = (iso_dtype)args[ARG_WEIGHT_DTYPE].u32,
              y_dtype = (iso_dtype)args[ARG_Y_DTYPE].u32;
    const int32_t *tiles = args[ARG_TILES].pointer, *row = args[ARG_ROW].pointer;
    const float *weight_scale = args[ARG_WEIGHT_SCALE].pointer;
    size_t expert_scales = (size_t)iso_div_up(features, ISO_FP8_BLOCK) * iso_div_up(width, ISO_FP8_BLOCK);
    iso_matmul_block block = {
        .x = args[ARG_X].pointer,
        .x_dtype = (iso_dtype)args[ARG_X_DTYPE].u32,
        .x_stride = args[ARG_X_STRIDE].u32,
        .x_scale = args[ARG_X_SCALE].pointer,
        .row_divisor = rows_per_token,
        .weight_dtype = weight_dtype,
        .width = width,
        .scale_feature = feature,
        .feature_count = features - feature < per_group ? features - feature : per_group,
        .y_dtype = y_dtype,
        .y_stride = features,
    };
    uint32_t next = 0;
    while (next < tile_count && tiles[next * TILE_WORDS + TILE_EXPERT] >= 0) {
        const int32_t *tile = tiles + next * TILE_WORDS;
        uint32_t expert = (uint32_t)tile[TILE_EXPERT], first = (uint32_t)tile[TILE_FIRST_ROW], end = first;
        while (next < tile_count && tile[TILE_EXPERT] == (int32_t)expert &&
               tile[TILE_FIRST_ROW] == (int32_t)end) {
            end += (uint32_t)tile[TILE_ROWS];
            next++;
            tile += TILE_WORDS;
        }
        block.weight =
            iso_row(args[ARG_WEIGHT].pointer, weight_dtype, (size_t)expert * features + feature, width);
        block.weight_scale = weight_scale + expert * expert_scales;
        for (; first < end; first += block.row_count) {
            block.row_count = end - first < args[ARG_GROUP_ROWS].u32 ? end - first : args[ARG_GROUP_ROWS].u32;
            block.first_row = first;
            block.row_list = rows_per_token ? row + first : NULL;
            block.y = (char *)iso_row_out(args[ARG_Y].pointer, y_dtype, first, features) +
                      feature * iso_dtype_bytes(y_dtype);
            iso_matmul_run(&block, group->scratch);
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
    const iso_grouped_linear *p = params;
    uint32_t rows = iso_tensor_rows(&p->y), width = iso_tensor_width(&p->x),
             features = iso_tensor_width(&p->y);
    // While experts get few rows each, weights are the cost, and a group may have many features.
    bool few = rows <= p->weight.dims[0] * ISO_MATMUL_FEW_ROWS;
    uint32_t together = !few ? ISO_MATMUL_ROWS : rows < ISO_MATMUL_FEW_ROWS ? rows : ISO_MATMUL_FEW_ROWS;
    uint32_t per_group = iso_matmul_group_features(together, features, width);
    out->groups[0] = iso_div_up(features, per_group);
    out->groups[1] = out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_tensor(out, &p->x_scale, &p->x);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_tensor(out, &p->row, NULL);
    iso_launch_tensor(out, &p->tiles, NULL);
    iso_launch_tensor(out, &p->y, NULL);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->weight.dtype);
    iso_launch_u32(out, p->y.dtype);
    iso_launch_u32(out, iso_tensor_rows(&p->tiles));
    iso_launch_u32(out, features);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->rows_per_token);
    iso_launch_u32(out, per_group);
    iso_launch_u32(out, together);
}

ISO_DEFINE_CPU_KERNEL(grouped_linear, run, supports, launch, sizeof(iso_matmul_scratch))
