// SPDX-License-Identifier: MIT
//
// Permute: contract check, reference, cost, and test inputs. The bound is 0: integers.
#include "kernels/permute/op.h"

#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_permute_check(const void *params)
{
    const iso_permute *p = params;
    const iso_tensor *const tensors[] = {&p->index, &p->row, &p->slot, &p->tiles};
    static const char *const names[] = {"index", "row", "slot", "tiles"};
    const uint32_t dims[] = {p->index.dims[0], p->index.dims[1], 4};
    for (int i = 0; i < 4; i++) {
        ISO_TRY(iso_check_dtype("permute", names[i], tensors[i], 1u << ISO_DTYPE_I32));
        ISO_TRY(iso_check_shape("permute", names[i], tensors[i], i == 3 ? 3 : 2, dims));
        ISO_TRY(iso_check_contiguous("permute", names[i], tensors[i]));
    }
    if (p->expert_count == 0 || p->expert_count > ISO_PERMUTE_MAX_EXPERTS)
        return iso_fail(ISO_INVALID_ARGUMENT, "permute: expert_count is %u; allowed: 1 to %d",
                        p->expert_count, ISO_PERMUTE_MAX_EXPERTS);
    return ISO_OK;
}

static void set_tile(double *tile, double expert, double first, double rows)
{
    tile[0] = expert;
    tile[1] = first;
    tile[2] = rows;
    tile[3] = 0;
}

iso_status iso_permute_reference(const void *params, const iso_numerics *numerics,
                                 const iso_reference_output *outputs)
{
    (void)numerics; // exact
    const iso_permute *p = params;
    uint64_t count = iso_tensor_elems(&p->index);
    double *row = outputs[0].value, *slot = outputs[1].value, *tile = outputs[2].value;
    uint64_t sorted = 0, used = 0;
    for (uint32_t e = 0; e < p->expert_count; e++) {
        uint64_t in_tile = ISO_PERMUTE_TILE_ROWS;
        for (uint64_t flat = 0; flat < count; flat++) {
            if (iso_index_at(&p->index, flat) != (int32_t)e)
                continue;
            if (in_tile == ISO_PERMUTE_TILE_ROWS) {
                set_tile(tile + 4 * used++, e, (double)sorted, 0);
                in_tile = 0;
            }
            tile[4 * (used - 1) + 2] = (double)++in_tile;
            row[sorted] = (double)flat;
            slot[flat] = (double)sorted++;
        }
    }
    for (uint64_t i = used; i < count; i++)
        set_tile(tile + 4 * i, -1, 0, 0);
    for (uint64_t i = 0; i < 4 * count; i++)
        outputs[2].bound[i] = 0;
    for (uint64_t i = 0; i < count; i++)
        outputs[0].bound[i] = outputs[1].bound[i] = 0;
    return ISO_OK;
}

void iso_permute_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_permute *p = params;
    uint64_t count = iso_tensor_elems(&p->index);
    out_cost->flops = 0;
    out_cost->read_bytes = 4 * count;
    out_cost->written_bytes = 24 * count;
}

iso_status iso_permute_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_permute *p = params;
    uint32_t tokens = numbers[0], chosen = numbers[1], used = numbers[3];
    p->expert_count = numbers[2];
    ISO_TRY(iso_case_index(builder, &p->index, used, ISO_DIMS(tokens, chosen)));
    int32_t *index = p->index.host;
    for (uint32_t i = 0; i < tokens * chosen && p->expert_count > used; i++)
        index[i]++;
    ISO_TRY(iso_case_empty(builder, &p->row, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
    ISO_TRY(iso_case_empty(builder, &p->slot, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
    return iso_case_empty(builder, &p->tiles, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen, 4));
}
