// SPDX-License-Identifier: MIT
//
// Linear layer of each head on the host. K along the columns of the weight is cpu_matmul.h's product, one
// head at a time. K along its rows (transposed): a register tile of columns adds x[k] * weight[k, …] in
// ascending k, so that the bits of a token do not depend on the other tokens.
#include "kernels/cpu_matmul.h"
#include "kernels/head_linear/op.h"

enum {
    ARG_X,
    ARG_WEIGHT,
    ARG_WEIGHT_SCALE,
    ARG_Y,
    ARG_X_DTYPE,
    ARG_WEIGHT_DTYPE,
    ARG_TOKENS,
    ARG_HEADS,
    ARG_WIDTH,
    ARG_FEATURES,
    ARG_COLUMNS,
    ARG_HEAD_ROWS,
    ARG_ROW_OFFSET,
    ARG_TRANSPOSED,
    ARG_X_STRIDE,
    ARG_Y_STRIDE,
    ARG_GROUP_FEATURES,
    ARG_GROUP_HEADS,
};

#define TILE_PARTS   4
#define TILE_COLUMNS (TILE_PARTS * ISO_PART_LANES)

// One head, K along the rows: what one register tile works on.
typedef struct columns_tile {
    float x[ISO_TILE_ROWS][ISO_FP8_BLOCK]; // the part of K at hand, widened
    const char *weight;                    // its first row, at the tile's first column
    uint32_t row_bytes;
    uint32_t depth;   // elements of K at hand
    uint32_t columns; // of the tile; fewer than TILE_COLUMNS at the end of a row
    float scale;
} columns_tile;

// Adds the part of K at hand to `sums`; with scales, its sum times the scale.
static inline __attribute__((always_inline)) void columns_add(const columns_tile *tile, const int rows,
                                                              const iso_dtype dtype, const bool whole,
                                                              iso_part sums[ISO_TILE_ROWS][TILE_PARTS])
{
    const bool scaled = dtype == ISO_DTYPE_F8_E4M3;
    iso_part part[ISO_TILE_ROWS][TILE_PARTS];
    ISO_UNROLL
    for (int r = 0; r < rows; r++)
        ISO_UNROLL
    for (int c = 0; c < TILE_PARTS; c++)
        part[r][c] = scaled ? (iso_part){0} : sums[r][c];
    for (uint32_t k = 0; k < tile->depth; k++) {
        const char *row = tile->weight + (size_t)k * tile->row_bytes;
        ISO_UNROLL
        for (int c = 0; c < TILE_PARTS; c++) {
            uint32_t first = (uint32_t)c * ISO_PART_LANES;
            iso_part w = whole ? iso_part_load(row + first * ISO_WIDTH_OF(dtype), dtype)
                               : iso_part_load_some(row + first * ISO_WIDTH_OF(dtype), dtype,
                                                    first < tile->columns ? tile->columns - first : 0);
            ISO_UNROLL
            for (int r = 0; r < rows; r++)
                part[r][c] += tile->x[r][k] * w;
        }
    }
    ISO_UNROLL
    for (int r = 0; r < rows; r++)
        ISO_UNROLL
    for (int c = 0; c < TILE_PARTS; c++)
        sums[r][c] = scaled ? sums[r][c] + part[r][c] * tile->scale : part[r][c];
}

static void columns_step(const columns_tile *tile, bool one_row, iso_dtype dtype,
                         iso_part sums[ISO_TILE_ROWS][TILE_PARTS])
{
    bool whole = tile->columns == TILE_COLUMNS;
    switch (dtype) {
#define COLUMNS_CASE(type)                                                                                   \
    case type:                                                                                               \
        if (whole && one_row)                                                                                \
            columns_add(tile, 1, type, true, sums);                                                          \
        else if (whole)                                                                                      \
            columns_add(tile, ISO_TILE_ROWS, type, true, sums);                                              \
        else                                                                                                 \
            columns_add(tile, ISO_TILE_ROWS, type, false, sums);                                             \
        break;
        COLUMNS_CASE(ISO_DTYPE_BF16)
        COLUMNS_CASE(ISO_DTYPE_F16)
        COLUMNS_CASE(ISO_DTYPE_F8_E4M3)
        COLUMNS_CASE(ISO_DTYPE_F32)
#undef COLUMNS_CASE
    default:
        break;
    }
}

// Columns first … of up to ISO_TILE_ROWS tokens of one head.
static void columns_run(const iso_native_arg *args, uint32_t head, uint32_t token, uint32_t first,
                        uint32_t columns)
{
    uint32_t heads = args[ARG_HEADS].u32, width = args[ARG_WIDTH].u32, tokens = args[ARG_TOKENS].u32;
    uint32_t w_row = head * args[ARG_HEAD_ROWS].u32 + args[ARG_ROW_OFFSET].u32;
    iso_dtype dtype = (iso_dtype)args[ARG_X_DTYPE].u32, w_dtype = (iso_dtype)args[ARG_WEIGHT_DTYPE].u32;
    const float *scales = args[ARG_WEIGHT_SCALE].pointer;
    iso_part sums[ISO_TILE_ROWS][TILE_PARTS] = {0};
    columns_tile tile = {
        .row_bytes = args[ARG_COLUMNS].u32 * (uint32_t)iso_dtype_bytes(w_dtype),
        .columns = columns,
        .scale = 1.0f,
    };
    for (uint32_t k = 0; k < width; k += tile.depth) {
        tile.depth = ISO_FP8_BLOCK - (w_row + k) % ISO_FP8_BLOCK; // no further than one row of scales reaches
        tile.depth = width - k < tile.depth ? width - k : tile.depth;
        for (uint32_t r = 0; r < ISO_TILE_ROWS; r++) {
            uint32_t t = token + r < tokens ? token + r : token; // beyond the last one: computed, not stored
            iso_matmul_widen(
                iso_row(args[ARG_X].pointer, dtype, (size_t)t * heads + head, args[ARG_X_STRIDE].u32), dtype,
                k, tile.depth, tile.x[r]);
        }
        tile.weight =
            (const char *)iso_row(args[ARG_WEIGHT].pointer, w_dtype, w_row + k, args[ARG_COLUMNS].u32) +
            first * iso_dtype_bytes(w_dtype);
        if (w_dtype == ISO_DTYPE_F8_E4M3)
            tile.scale = scales[(size_t)((w_row + k) / ISO_FP8_BLOCK) *
                                    iso_div_up(args[ARG_COLUMNS].u32, ISO_FP8_BLOCK) +
                                first / ISO_FP8_BLOCK];
        columns_step(&tile, tokens - token == 1, w_dtype, sums);
    }
    for (uint32_t r = 0; r < ISO_TILE_ROWS && token + r < tokens; r++) {
        char *y = iso_row_out(args[ARG_Y].pointer, dtype, (size_t)(token + r) * heads + head,
                              args[ARG_Y_STRIDE].u32);
        float row[ISO_LANES * TILE_PARTS];
        memcpy(row, sums[r], sizeof sums[r]);
        for (uint32_t c = 0; c < columns; c += ISO_LANES)
            iso_store_vector(y + first * iso_dtype_bytes(dtype), dtype, c, columns,
                             iso_load_vector(row, ISO_DTYPE_F32, c, columns));
    }
}

static void run_transposed(const iso_native_arg *args, uint32_t head, uint32_t token, uint32_t first,
                           uint32_t end)
{
    uint32_t last =
        args[ARG_TOKENS].u32 - token < ISO_MATMUL_ROWS ? args[ARG_TOKENS].u32 : token + ISO_MATMUL_ROWS;
    for (; first < end; first += TILE_COLUMNS)
        for (uint32_t t = token; t < last; t += ISO_TILE_ROWS)
            columns_run(args, head, t, first, end - first < TILE_COLUMNS ? end - first : TILE_COLUMNS);
}

static void run_plain(const iso_native_group *group, const iso_native_arg *args, uint32_t head,
                      uint32_t first, uint32_t end)
{
    uint32_t heads = args[ARG_HEADS].u32, tokens = args[ARG_TOKENS].u32,
             token = group->id[2] * ISO_MATMUL_ROWS;
    uint32_t w_row = head * args[ARG_HEAD_ROWS].u32 + args[ARG_ROW_OFFSET].u32 + first;
    iso_dtype dtype = (iso_dtype)args[ARG_X_DTYPE].u32, w_dtype = (iso_dtype)args[ARG_WEIGHT_DTYPE].u32;
    uint32_t x_stride = args[ARG_X_STRIDE].u32, y_stride = args[ARG_Y_STRIDE].u32;
    char *y = iso_row_out(args[ARG_Y].pointer, dtype, (size_t)token * heads + head, y_stride);
    iso_matmul_block block = {
        .x = iso_row(args[ARG_X].pointer, dtype, head, x_stride),
        .x_dtype = dtype,
        .x_stride = heads * x_stride,
        .first_row = token,
        .row_count = tokens - token < ISO_MATMUL_ROWS ? tokens - token : ISO_MATMUL_ROWS,
        .weight = iso_row(args[ARG_WEIGHT].pointer, w_dtype, w_row, args[ARG_COLUMNS].u32),
        .weight_dtype = w_dtype,
        .width = args[ARG_WIDTH].u32,
        .weight_scale = args[ARG_WEIGHT_SCALE].pointer,
        .scale_feature = w_row,
        .feature_count = end - first,
        .y = y + first * iso_dtype_bytes(dtype),
        .y_dtype = dtype,
        .y_stride = heads * y_stride,
    };
    iso_matmul_run(&block, group->scratch);
}

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t features = args[ARG_FEATURES].u32, per_group = args[ARG_GROUP_FEATURES].u32;
    uint32_t first = group->id[0] * per_group,
             end = features - first < per_group ? features : first + per_group;
    uint32_t heads = args[ARG_HEADS].u32, head = group->id[1] * args[ARG_GROUP_HEADS].u32;
    uint32_t last = heads - head < args[ARG_GROUP_HEADS].u32 ? heads : head + args[ARG_GROUP_HEADS].u32;
    for (; head < last; head++)
        if (args[ARG_TRANSPOSED].u32)
            run_transposed(args, head, group->id[2] * ISO_MATMUL_ROWS, first, end);
        else
            run_plain(group, args, head, first, end);
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
    const iso_head_linear *p = params;
    uint32_t tokens = p->x.dims[0], heads = p->x.dims[1];
    uint32_t width = iso_tensor_width(&p->x), features = iso_tensor_width(&p->y);
    // Small heads share a group; large ones are split. The columns of a group share scales: a multiple of 64.
    const uint64_t worth_while = 65536; // multiply-adds, some microseconds
    uint64_t head_work = (uint64_t)(tokens < ISO_MATMUL_ROWS ? tokens : ISO_MATMUL_ROWS) * width * features;
    uint32_t group_heads = head_work < worth_while ? (uint32_t)(worth_while / head_work) : 1;
    uint32_t group_features = features;
    if (p->transposed && features > ISO_FP8_BLOCK && head_work > worth_while)
        group_features = ISO_FP8_BLOCK;
    if (!p->transposed)
        group_features = iso_matmul_group_features(tokens, features, width);
    group_heads = group_heads < heads ? group_heads : heads;
    out->groups[0] = iso_div_up(features, group_features);
    out->groups[1] = iso_div_up(heads, group_heads);
    out->groups[2] = iso_div_up(tokens, ISO_MATMUL_ROWS);
    iso_launch_view(out, &p->x);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->weight.dtype);
    iso_launch_u32(out, tokens);
    iso_launch_u32(out, heads);
    iso_launch_u32(out, width);
    iso_launch_u32(out, features);
    iso_launch_u32(out, iso_tensor_width(&p->weight));
    iso_launch_u32(out, p->head_rows);
    iso_launch_u32(out, p->row_offset);
    iso_launch_u32(out, p->transposed);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_u32(out, group_features);
    iso_launch_u32(out, group_heads);
}

ISO_DEFINE_CPU_KERNEL(head_linear, run, supports, launch, sizeof(iso_matmul_scratch))
