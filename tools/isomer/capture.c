// SPDX-License-Identifier: MIT
//
// Teacher forcing, with everything kept.
#include "tools/isomer/capture.h"

#include <string.h>

#include "tools/isomer/clock.h"

typedef struct run {
    iso_runner *runner;
    const cli_capture_input *input;
    cli_capture *out;
    uint32_t sequence;
    iso_step_token *tokens;   // [chunk]
    iso_step_result *results; // [chunk]
    int32_t last_next_id;     // what follows the last token
    size_t forced_stride;     // of one token's forced experts
} run;

uint32_t cli_routed_layers(const iso_runner *runner, uint32_t out[ISO_MAX_LAYERS])
{
    const iso_model_values *values = iso_runner_values(runner);
    uint32_t count = 0;
    for (uint32_t layer = 0; layer < ISO_MAX_LAYERS; layer++)
        if (values->experts[layer] != ISO_NO_VALUE)
            out[count++] = layer;
    return count;
}

static iso_status check_ids(const iso_runner *runner, const cli_capture_input *input)
{
    int64_t vocab = iso_runner_config(runner)->vocab_size;
    for (uint32_t i = 0; i < input->count; i++)
        if (input->ids[i] < 0 || input->ids[i] >= vocab)
            return iso_fail(ISO_NOT_FOUND,
                            "token %u has id %d; the model has ids 0 to %lld (vocab_size of config.json)", i,
                            input->ids[i], (long long)vocab - 1);
    return ISO_OK;
}

static iso_status allocate(cli_capture *c)
{
    size_t n = c->count;
    ISO_TRY(iso_alloc_array(NULL, n, sizeof(float) * c->vocab, (void **)&c->logits));
    ISO_TRY(ISO_NEW(NULL, n, &c->picked));
    ISO_TRY(iso_alloc_array(NULL, n * c->hidden_count, sizeof(float) * c->width, (void **)&c->hidden));
    ISO_TRY(iso_alloc_array(NULL, n * c->routed_count, sizeof(int32_t) * c->choices, (void **)&c->experts));
    return iso_alloc_array(NULL, n * c->routed_count, sizeof(float) * c->choices,
                           (void **)&c->expert_weights);
}

// ---- one step ----

static void prepare(run *r, uint32_t first, uint32_t count)
{
    const cli_capture_input *input = r->input;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = first + i;
        r->tokens[i] = (iso_step_token){
            .id = input->ids[at],
            .sequence = r->sequence,
            .want_logits = true,
            .next_id = at + 1 < input->count ? input->ids[at + 1] : r->last_next_id,
            .forced_experts = input->forced_experts ? input->forced_experts + at * r->forced_stride : NULL,
        };
    }
}

static iso_status keep(run *r, uint32_t first, uint32_t count)
{
    cli_capture *c = r->out;
    const iso_model_values *values = iso_runner_values(r->runner);
    for (uint32_t i = 0; i < count; i++) {
        size_t row = (size_t)(first + i) * c->vocab;
        memcpy(c->logits + row, r->results[i].logits, c->vocab * sizeof(float));
        if (c->mtp_logits)
            memcpy(c->mtp_logits + row, r->results[i].mtp_logits, c->vocab * sizeof(float));
        c->picked[first + i] = r->results[i].picked;
    }
    for (uint32_t h = 0; h < c->hidden_count; h++)
        ISO_TRY(iso_runner_read_rows(r->runner, values->hidden[h], count,
                                     c->hidden + ((size_t)h * c->count + first) * c->width));
    for (uint32_t l = 0; l < c->routed_count; l++) {
        size_t at = ((size_t)l * c->count + first) * c->choices;
        uint32_t layer = c->routed_layers[l];
        ISO_TRY(iso_runner_read_indices(r->runner, values->experts[layer], count, c->experts + at));
        ISO_TRY(
            iso_runner_read_rows(r->runner, values->expert_weights[layer], count, c->expert_weights + at));
    }
    return ISO_OK;
}

static iso_status step(run *r, uint32_t first, uint32_t count, uint64_t *inout_ns)
{
    prepare(r, first, count);
    uint64_t start = cli_now_ns();
    ISO_TRY(iso_runner_step(r->runner, r->tokens, count, r->results));
    *inout_ns += cli_now_ns() - start;
    ISO_TRY(keep(r, first, count));
    if (r->input->progress)
        r->input->progress(r->input->progress_context, first + count, r->input->count);
    return ISO_OK;
}

// ---- the whole ----

static iso_status feed(run *r)
{
    const cli_capture_input *input = r->input;
    uint32_t chunk = iso_runner_chunk_tokens(r->runner), done = 0;
    while (done < input->prefill_count) {
        uint32_t count = input->prefill_count - done < chunk ? input->prefill_count - done : chunk;
        ISO_TRY(step(r, done, count, &r->out->prefill_ns));
        done += count;
    }
    for (; done < input->count; done++)
        ISO_TRY(step(r, done, 1, &r->out->decode_ns));
    if (!r->out->mtp_logits)
        return ISO_OK;
    // Only now is it known what follows the last token: it runs again.
    uint64_t ignored = 0;
    r->last_next_id = r->out->picked[input->count - 1];
    ISO_TRY(iso_runner_truncate(r->runner, r->sequence, input->count - 1));
    return step(r, input->count - 1, 1, &ignored);
}

iso_status cli_capture_run(iso_runner *runner, const iso_build_options *build, const cli_capture_input *input,
                           cli_capture *out)
{
    const iso_model_config *config = iso_runner_config(runner);
    uint32_t chunk = iso_runner_chunk_tokens(runner);
    run r = {.runner = runner, .input = input, .out = out};
    iso_status status = ISO_OK;
    *out = (cli_capture){.count = input->count,
                         .vocab = config->vocab_size,
                         .width = config->hidden_size,
                         .hidden_count = build->expose_hidden ? config->layer_count + 1 : 0,
                         .choices = config->experts_per_token};
    uint32_t routed_count = cli_routed_layers(runner, out->routed_layers);
    out->routed_count = build->expose_routing ? routed_count : 0;
    r.forced_stride = (size_t)routed_count * out->choices;
    ISO_TRY(check_ids(runner, input));
    if (input->count > iso_runner_context_tokens(runner))
        return iso_fail(ISO_LIMIT, "%u tokens; the context holds %u, the model at most %u", input->count,
                        iso_runner_context_tokens(runner), config->max_positions);
    ISO_TRY(allocate(out));
    if (build->mtp)
        ISO_TRY(iso_alloc_array(NULL, out->count, sizeof(float) * out->vocab, (void **)&out->mtp_logits));
    ISO_TRY(iso_runner_open_sequence(runner, &r.sequence));
    ISO_TRY_GOTO(ISO_NEW(NULL, chunk, &r.tokens), done);
    ISO_TRY_GOTO(ISO_NEW(NULL, chunk, &r.results), done);
    ISO_TRY_GOTO(feed(&r), done);
done:
    iso_free(NULL, r.tokens);
    iso_free(NULL, r.results);
    iso_runner_close_sequence(runner, r.sequence);
    return status;
}

void cli_capture_deinit(cli_capture *capture)
{
    iso_free(NULL, capture->logits);
    iso_free(NULL, capture->mtp_logits);
    iso_free(NULL, capture->picked);
    iso_free(NULL, capture->hidden);
    iso_free(NULL, capture->experts);
    iso_free(NULL, capture->expert_weights);
    *capture = (cli_capture){0};
}
