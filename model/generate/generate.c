// SPDX-License-Identifier: MIT
//
// Generation: prefill, then pick, hand out, feed back, until the model ends its turn.
#include "isomer/generate.h"

#include <string.h>
#include <time.h>

#include "isomer/chat.h"

typedef struct generation {
    iso_runner *runner;
    const iso_tokenizer *tokenizer;
    const iso_model_config *config;
    const iso_generate_options *options;
    iso_detokenizer *text;
    iso_sampler sampler;
    uint32_t sequence;
    int32_t think_begin, think_end; // ISO_NO_TOKEN where the model has none
    bool thinking;
} generation;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

iso_status iso_prompt_encode(iso_tokenizer *tokenizer, const char *text, bool chat,
                             const iso_allocator *allocator, iso_token_list *out_ids)
{
    if (!chat)
        return iso_tokenizer_encode(tokenizer, text, strlen(text), &(iso_encode_options){0}, out_ids);
    iso_chat_form form;
    ISO_TRY(iso_chat_recognise(iso_tokenizer_chat_template(tokenizer), allocator, &form));
    iso_chat_message message = {.role = "user", .content = text};
    iso_conversation conversation = {
        .messages = &message, .message_count = 1, .add_generation_prompt = true, .thinking = true};
    char *rendered;
    size_t bytes;
    ISO_TRY(iso_chat_render(&form, tokenizer, &conversation, allocator, &rendered, &bytes));
    iso_status status = iso_tokenizer_encode(tokenizer, rendered, bytes,
                                             &(iso_encode_options){.bos = ISO_BOS_NEVER}, out_ids);
    iso_free(allocator, rendered);
    return status;
}

static bool is_end(const generation *g, int32_t id)
{
    if (id == iso_tokenizer_eos_id(g->tokenizer))
        return true;
    for (uint32_t i = 0; i < g->config->eos_count; i++)
        if (id == g->config->eos_ids[i])
            return true;
    return false;
}

// Whether the prompt leaves the model inside <think>.
static bool prompt_opens_thinking(const generation *g)
{
    bool thinking = false;
    for (size_t i = 0; i < g->options->prompt_count && g->think_begin != ISO_NO_TOKEN; i++) {
        if (g->options->prompt_ids[i] == g->think_begin)
            thinking = true;
        else if (g->options->prompt_ids[i] == g->think_end)
            thinking = false;
    }
    return thinking;
}

static iso_status hand_out(generation *g, const char *text, size_t bytes)
{
    if (!g->options->sink || bytes == 0)
        return ISO_OK;
    return g->options->sink(g->options->sink_context, text, bytes, g->thinking);
}

static iso_status hand_out_token(generation *g, int32_t id)
{
    const char *text;
    size_t bytes;
    if (g->think_begin != ISO_NO_TOKEN && id == g->think_begin)
        g->thinking = true;
    ISO_TRY(iso_detokenizer_feed(g->text, id, &text, &bytes));
    ISO_TRY(hand_out(g, text, bytes));
    if (id == g->think_end)
        g->thinking = false;
    return ISO_OK;
}

static iso_status decode(generation *g, iso_step_result last, iso_generate_result *result)
{
    const iso_generate_options *o = g->options;
    const char *text;
    size_t bytes;
    for (;;) {
        int32_t id;
        ISO_TRY(iso_sampler_pick(&g->sampler, last.logits, (int32_t)g->config->vocab_size, &id));
        if (is_end(g, id)) {
            result->stop = ISO_STOP_END;
            break;
        }
        if (o->out_ids)
            o->out_ids[result->generated_tokens] = id;
        result->generated_tokens++;
        ISO_TRY(hand_out_token(g, id));
        if (o->max_tokens && result->generated_tokens == o->max_tokens) {
            result->stop = ISO_STOP_MAX_TOKENS;
            break;
        }
        if (iso_runner_length(g->runner, g->sequence) == iso_runner_context_tokens(g->runner)) {
            result->stop = ISO_STOP_CONTEXT;
            break;
        }
        iso_step_token token = {.id = id, .sequence = g->sequence, .want_logits = true};
        ISO_TRY(iso_runner_step(g->runner, &token, 1, &last));
    }
    ISO_TRY(iso_detokenizer_finish(g->text, &text, &bytes));
    return hand_out(g, text, bytes);
}

static iso_status prefill_and_decode(generation *g, iso_generate_result *result)
{
    uint64_t start = now_ns();
    iso_step_result last;
    ISO_TRY(iso_runner_prefill(g->runner, g->sequence, g->options->prompt_ids,
                               (uint32_t)g->options->prompt_count, &last));
    result->prompt_tokens = (uint32_t)g->options->prompt_count;
    uint64_t middle = now_ns();
    result->prefill_ns = middle - start;
    iso_status status = decode(g, last, result);
    result->decode_ns = now_ns() - middle;
    return status;
}

iso_status iso_generate(iso_runner *runner, const iso_tokenizer *tokenizer,
                        const iso_generate_options *options, iso_generate_result *out_result)
{
    *out_result = (iso_generate_result){0};
    if (options->out_ids && options->max_tokens == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "out_ids needs max_tokens above 0, so that its room is known");
    if (options->prompt_count > UINT32_MAX)
        return iso_fail(ISO_LIMIT, "the prompt has %zu tokens", options->prompt_count);
    generation g = {
        .runner = runner,
        .tokenizer = tokenizer,
        .config = iso_runner_config(runner),
        .options = options,
        .think_begin = iso_tokenizer_token_id(tokenizer, "<think>"),
        .think_end = iso_tokenizer_token_id(tokenizer, "</think>"),
    };
    g.thinking = prompt_opens_thinking(&g);
    const iso_allocator *allocator = iso_runner_allocator(runner);
    ISO_TRY(iso_runner_open_sequence(runner, &g.sequence));
    iso_status status =
        iso_sampler_init(&g.sampler, &options->sampler, (int32_t)g.config->vocab_size, allocator);
    if (status == ISO_OK) {
        status = iso_detokenizer_create(tokenizer, &(iso_decode_options){.skip_special = true}, &g.text);
        if (status == ISO_OK)
            status = prefill_and_decode(&g, out_result);
        iso_detokenizer_destroy(g.text);
        iso_sampler_deinit(&g.sampler);
    }
    iso_runner_close_sequence(runner, g.sequence);
    return status;
}
