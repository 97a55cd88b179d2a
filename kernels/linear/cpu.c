// SPDX-License-Identifier: MIT
//
// Linear layer on the host: a group takes some features of up to 32 rows; cpu_matmul.h does the work.
#include "kernels/cpu_matmul.h"
#include "kernels/linear/op.h"

enum {
    ARG_X,
    ARG_X_SCALE,
    ARG_WEIGHT,
    ARG_WEIGHT_SCALE,
    ARG_BIAS,
    ARG_Y,
    ARG_X_DTYPE,
    ARG_WEIGHT_DTYPE,
    ARG_BIAS_DTYPE, // ISO_DTYPE_NONE: no bias
    ARG_Y_DTYPE,
    ARG_ROWS,
    ARG_FEATURES,
    ARG_WIDTH,
    ARG_X_STRIDE,
    ARG_Y_STRIDE,
    ARG_GROUP_FEATURES,
};

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t features = args[ARG_FEATURES].u32, width = args[ARG_WIDTH].u32, rows = args[ARG_ROWS].u32;
    uint32_t per_group = args[ARG_GROUP_FEATURES].u32;
    uint32_t feature = group->id[0] * per_group, row = group->id[1] * ISO_MATMUL_ROWS;
    iso_dtype weight_dtype = (iso_dtype)args[ARG_WEIGHT_DTYPE].u32,
              bias_dtype = (iso_dtype)args[ARG_BIAS_DTYPE].u32;
    iso_dtype y_dtype = (iso_dtype)args[ARG_Y_DTYPE].u32;
    uint32_t y_stride = args[ARG_Y_STRIDE].u32;
    char *y = iso_row_out(args[ARG_Y].pointer, y_dtype, row, y_stride);
    iso_matmul_block block = {
        .x = args[ARG_X].pointer,
        .x_dtype = (iso_dtype)args[ARG_X_DTYPE].u32,
        .x_stride = args[ARG_X_STRIDE].u32,
        .x_scale = args[ARG_X_SCALE].pointer,
        .first_row = row,
        .row_count = rows - row < ISO_MATMUL_ROWS ? rows - row : ISO_MATMUL_ROWS,
        .weight = iso_row(args[ARG_WEIGHT].pointer, weight_dtype, feature, width),
        .weight_dtype = weight_dtype,
        .width = width,
        .weight_scale = args[ARG_WEIGHT_SCALE].pointer,
        .scale_feature = feature,
        .feature_count = features - feature < per_group ? features - feature : per_group,
        .bias_dtype = bias_dtype,
        .y = y + feature * iso_dtype_bytes(y_dtype),
        .y_dtype = y_dtype,
        .y_stride = y_stride,
    };
    if (bias_dtype != ISO_DTYPE_NONE)
        block.bias = iso_row(args[ARG_BIAS].pointer, bias_dtype, feature, 1);
    iso_matmul_run(&block, group->scratch);
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
    const iso_linear *p = params;
    uint32_t rows = iso_tensor_rows(&p->x), width = iso_tensor_width(&p->x),
             features = iso_tensor_width(&p->y);
    uint32_t per_group = iso_matmul_group_features(rows, features, width);
    out->groups[0] = iso_div_up(features, per_group);
    out->groups[1] = iso_div_up(rows, ISO_MATMUL_ROWS);
    out->groups[2] = 1;
    iso_launch_view(out, &p->x);
    iso_launch_tensor(out, &p->x_scale, &p->x);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_tensor(out, &p->weight_scale, &p->weight);
    iso_launch_tensor(out, &p->bias, &p->weight);
    iso_launch_view(out, &p->y);
    iso_launch_u32(out, p->x.dtype);
    iso_launch_u32(out, p->weight.dtype);
    iso_launch_u32(out, p->bias.dtype);
    iso_launch_u32(out, p->y.dtype);
    iso_launch_u32(out, rows);
    iso_launch_u32(out, features);
    iso_launch_u32(out, width);
    iso_launch_u32(out, p->x.row_stride);
    iso_launch_u32(out, p->y.row_stride);
    iso_launch_u32(out, per_group);
}

ISO_DEFINE_CPU_KERNEL(linear, run, supports, launch, sizeof(iso_matmul_scratch))
