// SPDX-License-Identifier: MIT
//
// The runner: fills a step's inputs from tokens and pages, replays the recorded step, and reads what was
// asked for. Everything that a step needs is allocated at creation.
#include "isomer/runner.h"

#include <string.h>

#include "model/generate/kv_pages.h"

#define DEFAULT_CONTEXT_TOKENS 4096u
#define DEFAULT_CHUNK_TOKENS   64u
#define NAN_PATTERN            0x7fff7fffu // NaN as F32 and as two BF16

struct iso_runner {
    const iso_allocator *allocator;
    const iso_model *model;
    const iso_model_config *config;
    iso_model_graph *graph;
    iso_plan *plan;
    iso_session *session;
    iso_kv_pages pages;
    iso_build_options build;
    uint32_t context_tokens, chunk_tokens, max_rows;
    uint32_t size; // step size of the latest step
    // One step's inputs and outputs.
    int32_t *ids, *positions, *sequence, *slots, *next_ids, *rows, *forced;
    uint32_t *lengths; // [sequence]: length after the step that is being prepared
    float *logits, *mtp_logits;
    int32_t *picked;
    iso_step_token *chunk;
    iso_step_result *chunk_results;
};

// ---- creation ----

// 1, a few, and the whole chunk; with few rows of logits, and with all where steps may ask for them.
static uint32_t choose_sizes(const iso_runner *runner, bool all_rows, iso_step_size *sizes)
{
    static const uint32_t tokens[] = {1, 8, 32};
    uint32_t count = 0;
    const size_t small = sizeof tokens / sizeof tokens[0];
    for (size_t i = 0; i <= small; i++) {
        if (i < small && tokens[i] >= runner->chunk_tokens)
            continue;
        uint32_t t = i < small ? tokens[i] : runner->chunk_tokens;
        uint32_t few = runner->pages.sequence_count < t ? runner->pages.sequence_count : t;
        sizes[count++] = (iso_step_size){t, few};
        if (all_rows && few < t)
            sizes[count++] = (iso_step_size){t, t};
    }
    return count;
}

static iso_status create_plan(iso_runner *runner, const iso_runner_options *options)
{
    iso_step_size sizes[ISO_MAX_STEP_SIZES];
    iso_plan_options plan = {
        .allocator = options->allocator,
        .devices = options->devices,
        .device_count = options->device_count,
        .ranges = options->ranges,
        .range_count = options->range_count,
        .fallback_device = options->fallback_device,
        .activation = options->activation,
        .w8a8 = options->w8a8,
        .sizes = sizes,
        .size_count = choose_sizes(runner, options->all_rows, sizes),
    };
    plan.dims.value[-ISO_DIM_PAGES - 1] = runner->pages.page_count;
    plan.dims.value[-ISO_DIM_SEQUENCES - 1] = runner->pages.sequence_count;
    plan.dims.value[-ISO_DIM_SEQUENCE_PAGES - 1] = runner->pages.pages_per_sequence;
    return iso_plan_create(iso_model_graph_get(runner->graph), &plan, &runner->plan);
}

static iso_status create_step_memory(iso_runner *runner)
{
    const iso_allocator *allocator = runner->allocator;
    uint32_t t = runner->chunk_tokens, rows = runner->max_rows, vocab = runner->config->vocab_size;
    ISO_TRY(ISO_NEW(allocator, t, &runner->ids));
    ISO_TRY(ISO_NEW(allocator, t, &runner->positions));
    ISO_TRY(ISO_NEW(allocator, t, &runner->sequence));
    ISO_TRY(ISO_NEW(allocator, t, &runner->slots));
    ISO_TRY(ISO_NEW(allocator, t, &runner->next_ids));
    ISO_TRY(ISO_NEW(allocator, t, &runner->rows));
    ISO_TRY(iso_alloc_array(allocator, t, sizeof(int32_t) * (runner->config->experts_per_token + 1),
                            (void **)&runner->forced));
    ISO_TRY(ISO_NEW(allocator, runner->pages.sequence_count, &runner->lengths));
    ISO_TRY(iso_alloc_array(allocator, rows, sizeof(float) * vocab, (void **)&runner->logits));
    ISO_TRY(iso_alloc_array(allocator, runner->build.mtp ? rows : 0, sizeof(float) * vocab,
                            (void **)&runner->mtp_logits));
    ISO_TRY(ISO_NEW(allocator, rows, &runner->picked));
    ISO_TRY(ISO_NEW(allocator, t, &runner->chunk));
    return ISO_NEW(allocator, t, &runner->chunk_results);
}

iso_status iso_runner_create(const iso_model *model, const iso_runner_options *options,
                             iso_runner **out_runner)
{
    iso_runner *runner = NULL;
    iso_status status = ISO_OK;
    *out_runner = NULL;
    const iso_model_config *config = iso_model_get_config(model);
    uint32_t context = options->context_tokens;
    if (context == 0)
        context =
            config->max_positions < DEFAULT_CONTEXT_TOKENS ? config->max_positions : DEFAULT_CONTEXT_TOKENS;
    if (context > config->max_positions)
        return iso_fail(ISO_LIMIT, "context of %u tokens; the model's max_position_embeddings is %u", context,
                        config->max_positions);
    ISO_TRY(ISO_NEW(options->allocator, 1, &runner));
    runner->allocator = options->allocator;
    runner->model = model;
    runner->config = config;
    runner->build = options->build;
    runner->context_tokens = context;
    runner->chunk_tokens = options->chunk_tokens ? options->chunk_tokens : DEFAULT_CHUNK_TOKENS;
    uint32_t sequences = options->sequence_count ? options->sequence_count : 1;
    runner->max_rows =
        options->all_rows || sequences > runner->chunk_tokens ? runner->chunk_tokens : sequences;
    ISO_TRY_GOTO(iso_kv_pages_init(&runner->pages, options->allocator, sequences,
                                   (context + ISO_KV_PAGE_TOKENS - 1) / ISO_KV_PAGE_TOKENS),
                 fail);
    ISO_TRY_GOTO(create_step_memory(runner), fail);
    ISO_TRY_GOTO(iso_model_graph_create(model, &options->build, &runner->graph), fail);
    ISO_TRY_GOTO(create_plan(runner, options), fail);
    iso_session_options session = {
        .allocator = options->allocator,
        .weights = iso_model_graph_weights(runner->graph),
        .progress = options->progress,
        .progress_context = options->progress_context,
        .poison = options->poison,
    };
    ISO_TRY_GOTO(iso_session_create(runner->plan, &session, &runner->session), fail);
    if (options->poison)
        ISO_TRY_GOTO(iso_session_fill_caches(runner->session, NAN_PATTERN), fail);
    *out_runner = runner;
    return ISO_OK;
fail:
    iso_runner_destroy(runner);
    return status;
}

void iso_runner_destroy(iso_runner *runner)
{
    if (!runner)
        return;
    const iso_allocator *allocator = runner->allocator;
    iso_session_destroy(runner->session);
    iso_plan_destroy(runner->plan);
    iso_model_graph_destroy(runner->graph);
    iso_kv_pages_deinit(&runner->pages);
    void *memory[] = {runner->ids,          runner->positions,  runner->sequence, runner->slots,
                      runner->next_ids,     runner->rows,       runner->forced,   runner->lengths,
                      runner->logits,       runner->mtp_logits, runner->picked,   runner->chunk,
                      runner->chunk_results};
    for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
        iso_free(allocator, memory[i]);
    iso_free(allocator, runner);
}

// ---- facts ----

const iso_allocator *iso_runner_allocator(const iso_runner *runner)
{
    return runner->allocator;
}

const iso_model_config *iso_runner_config(const iso_runner *runner)
{
    return runner->config;
}

const iso_plan *iso_runner_plan(const iso_runner *runner)
{
    return runner->plan;
}

iso_session *iso_runner_session(iso_runner *runner)
{
    return runner->session;
}

const iso_model_values *iso_runner_values(const iso_runner *runner)
{
    return iso_model_graph_values(runner->graph);
}

uint32_t iso_runner_context_tokens(const iso_runner *runner)
{
    return runner->context_tokens;
}

uint32_t iso_runner_chunk_tokens(const iso_runner *runner)
{
    return runner->chunk_tokens;
}

// ---- sequences ----

iso_status iso_runner_open_sequence(iso_runner *runner, uint32_t *out_sequence)
{
    return iso_kv_pages_open(&runner->pages, out_sequence);
}

void iso_runner_close_sequence(iso_runner *runner, uint32_t sequence)
{
    iso_kv_pages_close(&runner->pages, sequence);
}

static iso_status check_sequence(const iso_runner *runner, uint32_t sequence)
{
    if (sequence < runner->pages.sequence_count && runner->pages.sequences[sequence].open)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT, "sequence %u is not open", sequence);
}

iso_status iso_runner_truncate(iso_runner *runner, uint32_t sequence, uint32_t tokens)
{
    ISO_TRY(check_sequence(runner, sequence));
    if (tokens > iso_runner_length(runner, sequence))
        return iso_fail(ISO_INVALID_ARGUMENT, "sequence %u holds %u tokens; it cannot be cut to %u", sequence,
                        iso_runner_length(runner, sequence), tokens);
    iso_kv_pages_set_length(&runner->pages, sequence, tokens);
    return ISO_OK;
}

uint32_t iso_runner_length(const iso_runner *runner, uint32_t sequence)
{
    return sequence < runner->pages.sequence_count ? runner->pages.sequences[sequence].length : 0;
}

// ---- steps ----

static iso_status check_id(const iso_runner *runner, int32_t id)
{
    if (id >= 0 && (uint32_t)id < runner->config->vocab_size)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT, "token id %d; allowed: 0 to %u (vocab_size of config.json)", id,
                    runner->config->vocab_size - 1);
}

static iso_status check_forced(const iso_runner *runner, const iso_step_token *token)
{
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t k = runner->config->experts_per_token, count = 0;
    for (uint32_t layer = 0; layer < ISO_MAX_LAYERS; layer++)
        count += values->forced_experts[layer] != ISO_NO_VALUE ? k : 0;
    if (count && !token->forced_experts)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "a token without forced_experts; the graph was built with force_routing");
    for (uint32_t i = 0; i < count; i++)
        if (token->forced_experts[i] < 0 ||
            (uint32_t)token->forced_experts[i] >= runner->config->routed_expert_count)
            return iso_fail(ISO_INVALID_ARGUMENT, "forced expert %d; allowed: 0 to %u",
                            token->forced_experts[i], runner->config->routed_expert_count - 1);
    return ISO_OK;
}

// Gives each token its position and slot; *out_rows is how many logits are wanted.
static iso_status prepare_tokens(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                                 uint32_t *out_rows)
{
    iso_kv_pages *pages = &runner->pages;
    *out_rows = 0;
    for (uint32_t s = 0; s < pages->sequence_count; s++)
        runner->lengths[s] = pages->sequences[s].length;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t s = tokens[i].sequence;
        ISO_TRY(check_sequence(runner, s));
        ISO_TRY(check_id(runner, tokens[i].id));
        if (runner->build.mtp)
            ISO_TRY(check_id(runner, tokens[i].next_id));
        if (runner->build.force_routing)
            ISO_TRY(check_forced(runner, &tokens[i]));
        if (runner->lengths[s] >= runner->context_tokens)
            return iso_fail(ISO_LIMIT,
                            "sequence %u is full: the context holds %u tokens; the model's limit is %u", s,
                            runner->context_tokens, runner->config->max_positions);
        ISO_TRY(iso_kv_pages_reserve(pages, s, runner->lengths[s] + 1));
        runner->ids[i] = tokens[i].id;
        runner->next_ids[i] = tokens[i].next_id;
        runner->positions[i] = (int32_t)runner->lengths[s];
        runner->sequence[i] = (int32_t)s;
        runner->slots[i] = iso_kv_pages_slot(pages, s, runner->lengths[s]);
        runner->lengths[s]++;
        if (tokens[i].want_logits && *out_rows == runner->max_rows)
            return iso_fail(ISO_LIMIT,
                            "a step asks for more than %u rows of logits; create the runner with all_rows",
                            runner->max_rows);
        if (tokens[i].want_logits)
            runner->rows[(*out_rows)++] = (int32_t)i;
    }
    return ISO_OK;
}

// Padding: token 0 in no sequence; it writes nothing to the caches and nobody reads its rows.
static void pad(iso_runner *runner, uint32_t from, uint32_t to, uint32_t rows_from, uint32_t rows_to)
{
    for (uint32_t i = from; i < to; i++) {
        runner->ids[i] = runner->next_ids[i] = runner->positions[i] = 0;
        runner->sequence[i] = runner->slots[i] = -1;
    }
    for (uint32_t i = rows_from; i < rows_to; i++)
        runner->rows[i] = -1;
}

static iso_status write_forced(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                               uint32_t padded)
{
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t k = runner->config->experts_per_token, moe_layer = 0;
    for (uint32_t layer = 0; layer < ISO_MAX_LAYERS; layer++) {
        if (values->forced_experts[layer] == ISO_NO_VALUE)
            continue;
        for (uint32_t i = 0; i < padded; i++)
            for (uint32_t j = 0; j < k; j++)
                runner->forced[i * k + j] =
                    i < count ? tokens[i].forced_experts[moe_layer * k + j] : (int32_t)j;
        ISO_TRY(iso_session_write(runner->session, values->forced_experts[layer], 0, runner->forced,
                                  (uint64_t)padded * k * sizeof(int32_t)));
        moe_layer++;
    }
    return ISO_OK;
}

static iso_status write_inputs(iso_runner *runner, uint32_t padded, uint32_t padded_rows)
{
    const iso_model_values *values = iso_runner_values(runner);
    iso_session *session = runner->session;
    uint64_t bytes = padded * sizeof(int32_t);
    ISO_TRY(iso_session_write(session, values->ids, 0, runner->ids, bytes));
    ISO_TRY(iso_session_write(session, values->positions, 0, runner->positions, bytes));
    ISO_TRY(iso_session_write(session, values->sequence, 0, runner->sequence, bytes));
    ISO_TRY(iso_session_write(session, values->slots, 0, runner->slots, bytes));
    if (runner->build.mtp)
        ISO_TRY(iso_session_write(session, values->next_ids, 0, runner->next_ids, bytes));
    ISO_TRY(iso_session_write(session, values->rows, 0, runner->rows, padded_rows * sizeof(int32_t)));
    return iso_session_write(session, values->block_table, 0, runner->pages.block_table,
                             runner->pages.page_count * sizeof(int32_t));
}

static iso_status read_results(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                               uint32_t rows, iso_step_result *results)
{
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t vocab = runner->config->vocab_size;
    uint64_t bytes = (uint64_t)rows * vocab * sizeof(float);
    if (rows) {
        ISO_TRY(iso_session_read(runner->session, runner->size, values->logits, 0, runner->logits, bytes));
        ISO_TRY(iso_session_read(runner->session, runner->size, values->picked, 0, runner->picked,
                                 rows * sizeof(int32_t)));
        if (runner->build.mtp)
            ISO_TRY(iso_session_read(runner->session, runner->size, values->mtp_logits, 0, runner->mtp_logits,
                                     bytes));
    }
    for (uint32_t i = 0, row = 0; i < count; i++) {
        results[i] = (iso_step_result){0};
        if (!tokens[i].want_logits)
            continue;
        results[i].logits = runner->logits + (size_t)row * vocab;
        results[i].mtp_logits = runner->build.mtp ? runner->mtp_logits + (size_t)row * vocab : NULL;
        results[i].picked = runner->picked[row++];
    }
    return ISO_OK;
}

static iso_status run_prepared(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                               uint32_t rows, iso_step_result *results)
{
    const iso_plan *plan = runner->plan;
    ISO_TRY(iso_session_find_size(runner->session, count, rows ? rows : 1, &runner->size));
    iso_step_size size = iso_plan_size(plan, runner->size);
    pad(runner, count, size.tokens, rows, size.rows);
    ISO_TRY(write_inputs(runner, size.tokens, size.rows));
    if (runner->build.force_routing)
        ISO_TRY(write_forced(runner, tokens, count, size.tokens));
    ISO_TRY(iso_session_run(runner->session, runner->size));
    return read_results(runner, tokens, count, rows, results);
}

iso_status iso_runner_step(iso_runner *runner, const iso_step_token *tokens, uint32_t count,
                           iso_step_result *results)
{
    if (count == 0 || count > runner->chunk_tokens)
        return iso_fail(ISO_INVALID_ARGUMENT, "a step of %u tokens; allowed: 1 to %u", count,
                        runner->chunk_tokens);
    uint32_t rows;
    iso_status status = prepare_tokens(runner, tokens, count, &rows);
    if (status == ISO_OK)
        status = run_prepared(runner, tokens, count, rows, results);
    // On failure the lengths stay as they were, and pages reserved for the step go back.
    for (uint32_t s = 0; s < runner->pages.sequence_count; s++)
        if (runner->pages.sequences[s].open)
            iso_kv_pages_set_length(
                &runner->pages, s, status == ISO_OK ? runner->lengths[s] : runner->pages.sequences[s].length);
    return status;
}

iso_status iso_runner_prefill(iso_runner *runner, uint32_t sequence, const int32_t *ids, uint32_t count,
                              iso_step_result *out_last)
{
    *out_last = (iso_step_result){0};
    if (count == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "the prompt is empty; needed: at least 1 token");
    uint32_t room = runner->context_tokens - iso_runner_length(runner, sequence);
    if (count > room)
        return iso_fail(ISO_LIMIT, "the prompt has %u tokens; the context has room for %u of %u", count, room,
                        runner->context_tokens);
    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < runner->chunk_tokens ? count - done : runner->chunk_tokens;
        for (uint32_t i = 0; i < n; i++)
            runner->chunk[i] = (iso_step_token){.id = ids[done + i],
                                                .sequence = sequence,
                                                .want_logits = done + i + 1 == count,
                                                .next_id = done + i + 1 < count ? ids[done + i + 1] : 0};
        ISO_TRY(iso_runner_step(runner, runner->chunk, n, runner->chunk_results));
        done += n;
        *out_last = runner->chunk_results[n - 1];
    }
    return ISO_OK;
}

// ---- exposed values ----

// Elements of one row of a value whose first dimension is the only symbolic one.
static uint64_t row_elems(const iso_value_info *info)
{
    uint64_t elems = 1;
    for (uint32_t i = 1; i < info->rank; i++)
        elems *= (uint64_t)info->dims[i];
    return elems;
}

iso_status iso_runner_read_indices(iso_runner *runner, iso_value value, uint32_t count, int32_t *out)
{
    const iso_value_info *info = iso_graph_value_info(iso_plan_graph(runner->plan), value);
    return iso_session_read(runner->session, runner->size, value, 0, out,
                            count * row_elems(info) * sizeof(int32_t));
}

iso_status iso_runner_read_rows(iso_runner *runner, iso_value value, uint32_t count, float *out)
{
    const iso_value_info *info = iso_graph_value_info(iso_plan_graph(runner->plan), value);
    uint64_t elems = count * row_elems(info);
    size_t elem_bytes = iso_dtype_bytes(info->dtype);
    ISO_TRY(iso_session_read(runner->session, runner->size, value, 0, out, elems * elem_bytes));
    // Narrow values are widened in place, from the last to the first.
    for (uint64_t i = elems; info->dtype != ISO_DTYPE_F32 && i-- > 0;)
        out[i] = (float)iso_load_element(out, info->dtype, i);
    return ISO_OK;
}
