// SPDX-License-Identifier: MIT
//
// What all decoders share: step inputs, embedding, pre-norm layers, head.
#include "kernels/argmax/op.h"
#include "kernels/op_list.h"
#include "model/blocks/builder.h"
#include "model/checkpoint/rope_frequencies.h"

static iso_value add_input(iso_builder *b, const char *name, const iso_dim *dims, uint32_t rank)
{
    return iso_graph_add_value(b->graph, ISO_VALUE_INPUT, name, ISO_DTYPE_I32, dims, rank);
}

// The frequency table as a weight of its own, so that every device gets one.
static void add_rope_table(iso_builder *b)
{
    const iso_model_config *c = b->config;
    uint32_t pairs = (c->kv_lora_rank ? c->qk_rope_head_dim : c->head_dim) / 2;
    iso_weight_entry entry = {
        .name = "rope frequencies", .part_count = 1, .rows = pairs, .columns = 2, .dtype = ISO_DTYPE_U32};
    uint32_t tag;
    iso_status status = iso_alloc_array(b->weights->allocator, pairs, 2 * sizeof(uint32_t), &entry.constant);
    if (status == ISO_OK) {
        iso_rope_table(c, entry.constant, &b->rope_scale);
        status = iso_weight_table_add(b->weights, &entry, &tag);
        if (status != ISO_OK)
            iso_free(b->weights->allocator, entry.constant);
    }
    if (status != ISO_OK) {
        iso_graph_set_failure(b->graph, status);
        return;
    }
    b->rope_frequency = iso_graph_add_value(b->graph, ISO_VALUE_WEIGHT, "rope_frequency", ISO_DTYPE_U32,
                                            ISO_SHAPE((iso_dim)pairs, 2));
    iso_graph_set_tag(b->graph, b->rope_frequency, tag);
}

void iso_build_step_inputs(iso_builder *b)
{
    iso_model_values *v = &b->values;
    iso_graph_scope(b->graph, -1, "%s", "");
    v->ids = add_input(b, "ids", ISO_SHAPE(ISO_DIM_TOKENS));
    v->positions = add_input(b, "positions", ISO_SHAPE(ISO_DIM_TOKENS));
    v->sequence = add_input(b, "sequence", ISO_SHAPE(ISO_DIM_TOKENS));
    v->slots = add_input(b, "slots", ISO_SHAPE(ISO_DIM_TOKENS));
    v->block_table = add_input(b, "block_table", ISO_SHAPE(ISO_DIM_SEQUENCES, ISO_DIM_SEQUENCE_PAGES));
    v->rows = add_input(b, "rows", ISO_SHAPE(ISO_DIM_ROWS));
    if (b->options.mtp)
        v->next_ids = add_input(b, "next_ids", ISO_SHAPE(ISO_DIM_TOKENS));
    add_rope_table(b);
}

iso_value iso_build_embedding(iso_builder *b)
{
    iso_graph_scope(b->graph, -1, "%s", "");
    b->embedding = iso_build_matrix(b, ISO_ROLE_EMBEDDING);
    iso_value x = iso_build_gather(b, "embedded", b->embedding.weight, b->values.ids, ISO_DIM_TOKENS);
    if (b->options.expose_hidden)
        iso_graph_mark_output(b->graph, x);
    b->values.hidden[0] = x;
    return x;
}

iso_value iso_build_decoder_layer(iso_builder *b, uint32_t layer, iso_value x,
                                  iso_value (*attention)(iso_builder *b, iso_value x))
{
    const iso_model_config *c = b->config;
    iso_build_layer(b, layer);
    iso_value h = iso_build_norm(b, "attention_input", x, ISO_ROLE_INPUT_NORM, c->rms_norm_eps);
    x = iso_build_add(b, "after_attention", x, attention(b, h));
    h = iso_build_norm(b, "mlp_input", x, ISO_ROLE_POST_NORM, c->rms_norm_eps);
    iso_value mlp = iso_config_layer_is_moe(c, layer)
                        ? iso_block_moe(b, h)
                        : iso_block_mlp(b, h, ISO_ROLE_GATE, ISO_ROLE_UP, ISO_ROLE_DOWN);
    x = iso_build_add(b, "out", x, mlp);
    if (b->options.expose_hidden && layer < c->layer_count)
        iso_graph_mark_output(b->graph, x);
    if (layer < c->layer_count)
        b->values.hidden[layer + 1] = x;
    return x;
}

iso_value iso_build_head(iso_builder *b, iso_value x)
{
    iso_graph_scope(b->graph, (int32_t)b->config->layer_count, "%s", "");
    iso_value state = iso_build_norm(b, "state", x, ISO_ROLE_FINAL_NORM, b->config->rms_norm_eps);
    iso_value rows = iso_build_gather(b, "state_rows", state, b->values.rows, ISO_DIM_ROWS);
    iso_matrix head = b->config->tie_word_embeddings ? b->embedding : iso_build_matrix(b, ISO_ROLE_HEAD);
    iso_value logits = iso_build_linear_f32(b, "logits", rows, head);
    iso_value picked =
        iso_graph_add_value(b->graph, ISO_VALUE_ACTIVATION, "picked", ISO_DTYPE_I32, ISO_SHAPE(ISO_DIM_ROWS));
    iso_graph_add_op(b->graph, iso_op_argmax, &(iso_argmax){0}, (iso_value[]){logits, picked});
    iso_graph_mark_output(b->graph, logits);
    iso_graph_mark_output(b->graph, picked);
    b->values.logits = logits;
    b->values.picked = picked;
    return state;
}
