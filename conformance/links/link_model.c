// SPDX-License-Identifier: MIT
//
// Copying the golden model's graph with a position for each op, and running a short conversation over one
// placement of it. Uses the graph's arrays (runtime/graph/graph_internal.h) as the plan's passes do: a public
// graph is constant.
#include "conformance/links/link_model.h"

#include <string.h>

#include "runtime/graph/graph_internal.h"
#include "runtime/plan/plan_internal.h"

#define MODEL_FOLDER   ISOMER_SOURCE_DIR "/conformance/golden/models/v3-bf16"
#define SEQUENCE_PAGES 2
#define NAN_PATTERN    0x7fff7fffu // as F32, and as two BF16

// ---- positions ----

// Marks that node `first` … `last` - 1 each hang together with the next.
static void join(bool *joined, size_t first, size_t last)
{
    for (size_t n = first; n < last; n++)
        joined[n] = true;
}

static void join_caches(const iso_graph *graph, bool *joined)
{
    for (size_t v = 1; v < graph->value_count; v++) {
        size_t first = SIZE_MAX, last = 0;
        if (graph->values[v].kind != ISO_VALUE_CACHE || graph->values[v].base != v)
            continue;
        for (size_t n = 0; n < graph->node_count; n++)
            for (uint32_t i = 0; i < graph->nodes[n].operand_count; i++)
                if (graph->values[graph->nodes[n].operands[i]].base == v) {
                    first = first == SIZE_MAX ? n : first;
                    last = n;
                }
        if (first != SIZE_MAX)
            join(joined, first, last);
    }
}

// The layer of a position ends where the next one's begins.
static void number_nodes(link_model *m, const bool *joined)
{
    int32_t position = 0, most = (int32_t)m->layers - 1;
    for (size_t n = 0; n < m->graph->node_count; n++) {
        int32_t layer = m->graph->nodes[n].layer;
        layer = layer < 0 ? 0 : layer > most ? most : layer;
        m->graph->nodes[n].layer = position;
        m->layer_ends[layer] = (uint32_t)position;
        position += !joined[n];
    }
    m->positions = (uint32_t)position;
}

static iso_status copy_graph(link_model *m)
{
    const iso_graph *source = iso_model_graph_get(m->source);
    bool *joined;
    ISO_TRY(iso_graph_clone_values(source, NULL, &m->graph));
    for (size_t n = 0; n < source->node_count; n++)
        ISO_TRY(iso_graph_append_node(m->graph, &source->nodes[n]));
    ISO_TRY(ISO_NEW(NULL, m->graph->node_count, &joined));
    join_caches(m->graph, joined);
    number_nodes(m, joined);
    iso_free(NULL, joined);
    return ISO_OK;
}

iso_status link_model_open(link_model *out)
{
    iso_status status;
    *out = (link_model){0};
    ISO_TRY_GOTO(iso_model_open(MODEL_FOLDER, NULL, &out->model), fail);
    out->vocab = iso_model_get_config(out->model)->vocab_size;
    out->layers = iso_model_get_config(out->model)->layer_count;
    ISO_TRY_GOTO(ISO_NEW(NULL, out->layers, &out->layer_ends), fail);
    ISO_TRY_GOTO(iso_model_graph_create(out->model, &(iso_build_options){0}, &out->source), fail);
    ISO_TRY_GOTO(copy_graph(out), fail);
    return ISO_OK;
fail:
    link_model_close(out);
    return status;
}

void link_model_close(link_model *model)
{
    iso_graph_destroy(model->graph);
    iso_model_graph_destroy(model->source);
    iso_model_close(model->model);
    iso_free(NULL, model->layer_ends);
    *model = (link_model){0};
}

const char *link_model_op(const link_model *model, uint32_t position)
{
    const char *name = "";
    for (size_t n = 0; n < model->graph->node_count; n++) {
        const iso_node *node = &model->graph->nodes[n];
        if (node->layer == (int32_t)position)
            name = model->graph->values[node->operands[node->operand_count - 1]].name;
    }
    return name;
}

// ---- a run ----

// The pages of the one sequence are not in the order of their numbers.
static int32_t slot_of(uint32_t position)
{
    uint32_t page = SEQUENCE_PAGES - 1 - position / ISO_KV_PAGE_TOKENS;
    return (int32_t)(page * ISO_KV_PAGE_TOKENS + position % ISO_KV_PAGE_TOKENS);
}

static iso_status write_step(const link_model *m, iso_session *session, uint32_t first, uint32_t count)
{
    const iso_model_values *values = iso_model_graph_values(m->source);
    int32_t ids[LINK_PROMPT], positions[LINK_PROMPT], sequence[LINK_PROMPT] = {0}, slots[LINK_PROMPT],
                                                      rows[LINK_PROMPT], table[SEQUENCE_PAGES];
    uint64_t bytes = count * sizeof ids[0];
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = (int32_t)((37 * (first + i) + 11) % m->vocab);
        positions[i] = (int32_t)(first + i);
        slots[i] = slot_of(first + i);
        rows[i] = (int32_t)i;
    }
    for (int32_t p = 0; p < SEQUENCE_PAGES; p++)
        table[p] = SEQUENCE_PAGES - 1 - p;
    ISO_TRY(iso_session_write(session, values->ids, 0, ids, bytes));
    ISO_TRY(iso_session_write(session, values->positions, 0, positions, bytes));
    ISO_TRY(iso_session_write(session, values->sequence, 0, sequence, bytes));
    ISO_TRY(iso_session_write(session, values->slots, 0, slots, bytes));
    ISO_TRY(iso_session_write(session, values->rows, 0, rows, bytes));
    return iso_session_write(session, values->block_table, 0, table, sizeof table);
}

static iso_status run_step(const link_model *m, iso_session *session, uint32_t first, uint32_t count,
                           float *logits)
{
    uint32_t size;
    const iso_model_values *values = iso_model_graph_values(m->source);
    ISO_TRY(iso_session_find_size(session, count, count, &size));
    ISO_TRY(write_step(m, session, first, count));
    ISO_TRY(iso_session_run(session, size));
    return iso_session_read(session, size, values->logits, 0, logits + (size_t)first * m->vocab,
                            (uint64_t)count * m->vocab * sizeof *logits);
}

static iso_status run_conversation(const link_model *m, iso_session *session, float *logits)
{
    ISO_TRY(iso_session_fill_caches(session, NAN_PATTERN));
    ISO_TRY(run_step(m, session, 0, LINK_PROMPT, logits));
    for (uint32_t i = 0; i < LINK_SINGLES; i++)
        ISO_TRY(run_step(m, session, LINK_PROMPT + i, 1, logits));
    return ISO_OK;
}

iso_status link_model_run(const link_model *model, const link_placement *placement, float *out_logits,
                          uint32_t *out_transfers)
{
    static const iso_step_size sizes[] = {{1, 1}, {LINK_PROMPT, LINK_PROMPT}};
    iso_plan_options options = {
        .devices = placement->devices,
        .device_count = placement->device_count,
        .ranges = placement->ranges,
        .range_count = placement->range_count,
        .activation = placement->activation,
        .sizes = sizes,
        .size_count = sizeof sizes / sizeof sizes[0],
    };
    iso_session_options session_options = {.weights = iso_model_graph_weights(model->source), .poison = true};
    iso_plan *plan = NULL;
    iso_session *session = NULL;
    iso_status status;
    options.dims.value[-ISO_DIM_PAGES - 1] = SEQUENCE_PAGES;
    options.dims.value[-ISO_DIM_SEQUENCES - 1] = 1;
    options.dims.value[-ISO_DIM_SEQUENCE_PAGES - 1] = SEQUENCE_PAGES;
    ISO_TRY_GOTO(iso_plan_create(model->graph, &options, &plan), done);
    if (out_transfers)
        *out_transfers = (uint32_t)plan->transfer_count;
    ISO_TRY_GOTO(iso_session_create(plan, &session_options, &session), done);
    ISO_TRY_GOTO(run_conversation(model, session, out_logits), done);
done:
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    return status;
}
