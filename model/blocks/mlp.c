// SPDX-License-Identifier: MIT
//
// SwiGLU (Shazeer 2020): down( silu(gate x) * up x ).
#include "kernels/op_list.h"
#include "kernels/silu_mul/op.h"
#include "model/blocks/builder.h"

iso_value iso_block_mlp(iso_builder *b, iso_value x, iso_role gate, iso_role up, iso_role down)
{
    iso_value g = iso_build_linear(b, "gate", x, gate, ISO_NO_VALUE);
    iso_value u = iso_build_linear(b, "up", x, up, ISO_NO_VALUE);
    const iso_value_info *info = iso_graph_value_info(b->graph, g);
    iso_value h = iso_build_activation(b, "gated", info->dims, info->rank);
    iso_graph_add_op(b->graph, iso_op_silu_mul, &(iso_silu_mul){0}, (iso_value[]){g, u, h});
    return iso_build_linear(b, "mlp", h, down, ISO_NO_VALUE);
}
