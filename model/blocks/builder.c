// SPDX-License-Identifier: MIT
//
// Weights by role, and one call per op.
#include "model/blocks/builder.h"

#include <stdio.h>
#include <string.h>

#include "kernels/add/op.h"
#include "kernels/gather/op.h"
#include "kernels/kv_write/op.h"
#include "kernels/linear/op.h"
#include "kernels/op_list.h"
#include "kernels/rms_norm/op.h"
#include "kernels/rope/op.h"

static const char *const role_names[ISO_ROLE_COUNT] = {
#define ISO_ROLE(role, name) [ISO_ROLE_##role] = name,
#include "model/blocks/roles.def"
#undef ISO_ROLE
};

void iso_build_layer(iso_builder *b, uint32_t layer)
{
    b->layer = layer;
    iso_graph_scope(b->graph, (int32_t)layer, "layers.%u", layer);
}

// ---- weights ----

// "{layer}" becomes the current layer.
static void tensor_name(const iso_builder *b, const char *pattern, const char *suffix,
                        char out[ISO_WEIGHT_NAME_BYTES])
{
    static const char mark[] = "{layer}";
    const char *at = strstr(pattern, mark);
    if (!at)
        snprintf(out, ISO_WEIGHT_NAME_BYTES, "%s%s", pattern, suffix);
    else
        snprintf(out, ISO_WEIGHT_NAME_BYTES, "%.*s%u%s%s", (int)(at - pattern), pattern, b->layer,
                 at + sizeof mark - 1, suffix);
}

static iso_value add_weight(iso_builder *b, const char *name, const iso_weight_entry *entry)
{
    uint32_t tag;
    iso_dim dims[3];
    uint32_t rank = 0;
    if (entry->part_count > 1)
        dims[rank++] = (iso_dim)entry->part_count;
    dims[rank++] = (iso_dim)entry->rows;
    if (entry->columns)
        dims[rank++] = (iso_dim)entry->columns;
    iso_status status = iso_weight_table_add(b->weights, entry, &tag);
    if (status != ISO_OK) {
        iso_graph_set_failure(b->graph, status);
        return ISO_NO_VALUE;
    }
    iso_value value = iso_graph_add_value(b->graph, ISO_VALUE_WEIGHT, name, entry->dtype, dims, rank);
    iso_graph_set_tag(b->graph, value, tag);
    return value;
}

static iso_dtype expected_dtype(const iso_builder *b, iso_weight_kind kind)
{
    bool quantised = kind == ISO_WEIGHT_LINEAR || kind == ISO_WEIGHT_EXPERT;
    return quantised && b->config->fp8_block ? ISO_DTYPE_F8_E4M3 : b->config->weight_dtype;
}

iso_matrix iso_build_matrix(iso_builder *b, iso_role role)
{
    iso_matrix matrix = {ISO_NO_VALUE, ISO_NO_VALUE};
    iso_weight_shape shape;
    if (!b->architecture->describe(b->config, role, b->layer, &shape))
        return matrix;
    iso_weight_entry entry = {
        .part_count = shape.kind == ISO_WEIGHT_EXPERT ? b->config->routed_expert_count : 1,
        .rows = shape.rows,
        .columns = shape.columns,
    };
    tensor_name(b, shape.name, "", entry.name);
    entry.dtype = iso_weight_table_stored_dtype(b->weights, entry.name, expected_dtype(b, shape.kind));
    char name[ISO_VALUE_NAME_BYTES];
    snprintf(name, sizeof name, "%s.weight", role_names[role]);
    matrix.weight = add_weight(b, name, &entry);
    if (entry.dtype == ISO_DTYPE_F8_E4M3) {
        tensor_name(b, shape.name, "_scale_inv", entry.name);
        entry.rows = (shape.rows + ISO_FP8_BLOCK - 1) / ISO_FP8_BLOCK;
        entry.columns = (shape.columns + ISO_FP8_BLOCK - 1) / ISO_FP8_BLOCK;
        entry.dtype = ISO_DTYPE_F32;
        entry.positive_finite = true;
        snprintf(name, sizeof name, "%s.scale", role_names[role]);
        matrix.scale = add_weight(b, name, &entry);
    }
    return matrix;
}

iso_value iso_build_vector(iso_builder *b, iso_role role)
{
    iso_weight_shape shape;
    if (!b->architecture->describe(b->config, role, b->layer, &shape))
        return ISO_NO_VALUE;
    iso_weight_entry entry = {.part_count = 1, .rows = shape.rows};
    tensor_name(b, shape.name, "", entry.name);
    entry.dtype = shape.kind == ISO_WEIGHT_F32
                      ? ISO_DTYPE_F32
                      : iso_weight_table_stored_dtype(b->weights, entry.name, expected_dtype(b, shape.kind));
    return add_weight(b, role_names[role], &entry);
}

// ---- ops ----

iso_value iso_build_activation(iso_builder *b, const char *name, const iso_dim *dims, uint32_t rank)
{
    return iso_graph_add_value(b->graph, ISO_VALUE_ACTIVATION, name, ISO_DTYPE_ACTIVATION, dims, rank);
}

iso_value iso_build_slice(iso_builder *b, const char *name, iso_value x, iso_slice part)
{
    iso_view_desc desc = {.offset = part.offset, .row_stride = part.row};
    desc.dims[desc.rank++] = ISO_DIM_TOKENS;
    if (part.heads)
        desc.dims[desc.rank++] = (iso_dim)part.heads;
    desc.dims[desc.rank++] = (iso_dim)part.width;
    return iso_graph_add_view(b->graph, name, x, &desc);
}

static uint32_t width_of(const iso_builder *b, iso_value value)
{
    const iso_value_info *info = iso_graph_value_info(b->graph, value);
    return value == ISO_NO_VALUE ? 1 : (uint32_t)info->dims[info->rank - 1];
}

static uint32_t rows_of(const iso_builder *b, iso_value matrix)
{
    return matrix == ISO_NO_VALUE ? 1 : (uint32_t)iso_graph_value_info(b->graph, matrix)->dims[0];
}

iso_value iso_build_gather(iso_builder *b, const char *name, iso_value table, iso_value index, iso_dim rows)
{
    iso_value y = iso_build_activation(b, name, ISO_SHAPE(rows, (iso_dim)width_of(b, table)));
    iso_graph_add_op(b->graph, iso_op_gather, &(iso_gather){0}, (iso_value[]){table, index, y});
    return y;
}

void iso_build_norm_into(iso_builder *b, iso_value x, iso_role role, double eps, iso_value y)
{
    iso_value weight = iso_build_vector(b, role);
    iso_graph_add_op(b->graph, iso_op_rms_norm, &(iso_rms_norm){.eps = (float)eps},
                     (iso_value[]){x, weight, y});
}

iso_value iso_build_norm(iso_builder *b, const char *name, iso_value x, iso_role role, double eps)
{
    const iso_value_info *info = iso_graph_value_info(b->graph, x);
    iso_value y = iso_build_activation(b, name, info->dims, info->rank);
    iso_build_norm_into(b, x, role, eps, y);
    return y;
}

static void add_linear(iso_builder *b, iso_value x, iso_matrix matrix, iso_value bias, iso_value y)
{
    iso_graph_add_op(b->graph, iso_op_linear, &(iso_linear){0},
                     (iso_value[]){x, ISO_NO_VALUE, matrix.weight, matrix.scale, bias, y});
}

iso_value iso_build_linear(iso_builder *b, const char *name, iso_value x, iso_role role, iso_value bias)
{
    iso_matrix matrix = iso_build_matrix(b, role);
    iso_dim rows = iso_graph_value_info(b->graph, x)->dims[0];
    iso_value y = iso_build_activation(b, name, ISO_SHAPE(rows, (iso_dim)rows_of(b, matrix.weight)));
    add_linear(b, x, matrix, bias, y);
    return y;
}

iso_value iso_build_linear_f32(iso_builder *b, const char *name, iso_value x, iso_matrix matrix)
{
    iso_dim rows = iso_graph_value_info(b->graph, x)->dims[0];
    iso_value y = iso_graph_add_value(b->graph, ISO_VALUE_ACTIVATION, name, ISO_DTYPE_F32,
                                      ISO_SHAPE(rows, (iso_dim)rows_of(b, matrix.weight)));
    add_linear(b, x, matrix, ISO_NO_VALUE, y);
    return y;
}

iso_value iso_build_add(iso_builder *b, const char *name, iso_value x, iso_value y)
{
    const iso_value_info *info = iso_graph_value_info(b->graph, x);
    iso_value sum = iso_build_activation(b, name, info->dims, info->rank);
    iso_graph_add_op(b->graph, iso_op_add, &(iso_add){0}, (iso_value[]){x, y, sum});
    return sum;
}

void iso_build_rope(iso_builder *b, iso_value x)
{
    iso_rope params = {.scale = b->rope_scale, .interleaved = b->config->rope_interleaved};
    iso_graph_add_op(b->graph, iso_op_rope, &params,
                     (iso_value[]){x, b->values.positions, b->rope_frequency, x});
}

iso_value iso_build_cache(iso_builder *b, const char *name, iso_value x, const iso_dim *row_dims,
                          uint32_t row_rank)
{
    iso_dim dims[ISO_MAX_DIMS] = {ISO_DIM_PAGES, ISO_KV_PAGE_TOKENS};
    for (uint32_t i = 0; i < row_rank; i++)
        dims[2 + i] = row_dims[i];
    iso_value cache =
        iso_graph_add_value(b->graph, ISO_VALUE_CACHE, name, ISO_DTYPE_ACTIVATION, dims, 2 + row_rank);
    iso_graph_add_op(b->graph, iso_op_kv_write, &(iso_kv_write){0}, (iso_value[]){x, b->values.slots, cache});
    return cache;
}
