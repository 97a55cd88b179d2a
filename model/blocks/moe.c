// SPDX-License-Identifier: MIT
//
// DeepSeekMoE (DeepSeek-V3 technical report, section 2.1.2): router, routed experts in grouped matrix
// products, and the shared expert. Tokens are sorted by expert, and put back in a fixed order.
#include "kernels/grouped_linear/op.h"
#include "kernels/op_list.h"
#include "kernels/permute/op.h"
#include "kernels/router/op.h"
#include "kernels/silu_mul/op.h"
#include "kernels/unpermute/op.h"
#include "model/blocks/builder.h"

typedef struct routing {
    iso_value experts, weights; // [T, k]
    iso_value row, slot, tiles; // permutation
} routing;

static iso_value add_index(iso_builder *b, const char *name, const iso_dim *dims, uint32_t rank)
{
    return iso_graph_add_value(b->graph, ISO_VALUE_ACTIVATION, name, ISO_DTYPE_I32, dims, rank);
}

static iso_value forced_experts(iso_builder *b)
{
    if (!b->options.force_routing)
        return ISO_NO_VALUE;
    iso_value forced = iso_graph_add_value(b->graph, ISO_VALUE_INPUT, "forced", ISO_DTYPE_I32,
                                           ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)b->config->experts_per_token));
    b->values.forced_experts[b->layer] = forced;
    return forced;
}

static routing route(iso_builder *b, iso_value x)
{
    const iso_model_config *c = b->config;
    iso_dim k = (iso_dim)c->experts_per_token;
    iso_value logits = iso_build_linear_f32(b, "router", x, iso_build_matrix(b, ISO_ROLE_ROUTER));
    routing r = {.experts = add_index(b, "experts", ISO_SHAPE(ISO_DIM_TOKENS, k))};
    r.weights = iso_graph_add_value(b->graph, ISO_VALUE_ACTIVATION, "expert_weights", ISO_DTYPE_F32,
                                    ISO_SHAPE(ISO_DIM_TOKENS, k));
    iso_router params = {
        .sigmoid = c->scoring == ISO_SCORING_SIGMOID,
        .group_count = c->group_count,
        .group_keep = c->group_keep,
        .group_top2 = c->topk_method == ISO_TOPK_BIASED_GROUP_TOP2,
        .normalise = c->normalise_weights,
        .scaling = (float)c->routed_scaling_factor,
    };
    iso_graph_add_op(b->graph, iso_op_router, &params,
                     (iso_value[]){logits, iso_build_vector(b, ISO_ROLE_ROUTER_BIAS), forced_experts(b),
                                   r.experts, r.weights});
    if (b->options.expose_routing) {
        iso_graph_mark_output(b->graph, r.experts);
        iso_graph_mark_output(b->graph, r.weights);
    }
    b->values.experts[b->layer] = r.experts;
    b->values.expert_weights[b->layer] = r.weights;

    r.row = add_index(b, "row", ISO_SHAPE(ISO_DIM_TOKENS, k));
    r.slot = add_index(b, "slot", ISO_SHAPE(ISO_DIM_TOKENS, k));
    r.tiles = add_index(b, "tiles", ISO_SHAPE(ISO_DIM_TOKENS, k, 4));
    iso_graph_add_op(b->graph, iso_op_permute, &(iso_permute){.expert_count = c->routed_expert_count},
                     (iso_value[]){r.experts, r.row, r.slot, r.tiles});
    return r;
}

// One matrix product per expert over the tokens routed to it; the result is in sorted order [T, k, N].
static iso_value experts(iso_builder *b, const char *name, iso_value x, const routing *r, iso_role role)
{
    const iso_model_config *c = b->config;
    bool down = role == ISO_ROLE_EXPERT_DOWN;
    iso_matrix matrix = iso_build_matrix(b, role);
    uint32_t width = down ? c->hidden_size : c->moe_intermediate_size;
    iso_value y = iso_build_activation(
        b, name, ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)c->experts_per_token, (iso_dim)width));
    iso_grouped_linear params = {.rows_per_token = down ? 0 : c->experts_per_token};
    iso_graph_add_op(b->graph, iso_op_grouped_linear, &params,
                     (iso_value[]){x, ISO_NO_VALUE, matrix.weight, matrix.scale, r->row, r->tiles, y});
    return y;
}

iso_value iso_block_moe(iso_builder *b, iso_value x)
{
    const iso_model_config *c = b->config;
    routing r = route(b, x);
    iso_value gate = experts(b, "experts.gate", x, &r, ISO_ROLE_EXPERT_GATE);
    iso_value up = experts(b, "experts.up", x, &r, ISO_ROLE_EXPERT_UP);
    iso_value gated = iso_build_activation(
        b, "experts.gated",
        ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)c->experts_per_token, (iso_dim)c->moe_intermediate_size));
    iso_graph_add_op(b->graph, iso_op_silu_mul, &(iso_silu_mul){0}, (iso_value[]){gate, up, gated});
    iso_value down = experts(b, "experts.down", gated, &r, ISO_ROLE_EXPERT_DOWN);

    iso_value shared = ISO_NO_VALUE;
    if (c->shared_expert_count)
        shared = iso_block_mlp(b, x, ISO_ROLE_SHARED_GATE, ISO_ROLE_SHARED_UP, ISO_ROLE_SHARED_DOWN);
    iso_value y = iso_build_activation(b, "moe", ISO_SHAPE(ISO_DIM_TOKENS, (iso_dim)c->hidden_size));
    iso_graph_add_op(b->graph, iso_op_unpermute, &(iso_unpermute){0},
                     (iso_value[]){down, r.slot, r.weights, shared, y});
    return y;
}
