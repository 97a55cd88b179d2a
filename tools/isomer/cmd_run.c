// SPDX-License-Identifier: MIT
//
// isomer run: a prompt in, text out as it comes. With --chat the prompt is one user turn and only the answer
// goes to standard output: the thinking is shown to a person who looks on, on standard error, and to nobody
// else.
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "isomer/generate.h"
#include "model/text/text_file.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/clock.h"
#include "tools/isomer/device_names.h"
#include "tools/isomer/fallback.h"
#include "tools/isomer/machine.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

typedef struct run_options {
    const char *model;
    cli_device_options where;
    const char *prompt;
    double temperature, top_p;
    uint64_t seed;
    uint32_t max_tokens;
    bool chat, show_thinking, json, quiet;
} run_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(run_options, model),
     .positional = true,
     .required = true},
    {.name = "prompt",
     .value = "S",
     .help = "the text to continue, or the question (default: standard input, without its last\nnewline)",
     .kind = CLI_TEXT,
     .offset = offsetof(run_options, prompt)},
    {.name = "chat",
     .help = "ask the prompt as one user turn and print the answer alone",
     .kind = CLI_FLAG,
     .offset = offsetof(run_options, chat)},
    {.name = "show-thinking",
     .help = "with --chat: write the thinking to standard error although it is no terminal",
     .kind = CLI_FLAG,
     .offset = offsetof(run_options, show_thinking)},
    {.name = "max-tokens",
     .value = "N",
     .help = "stop after N tokens (default: when the model ends or the context is full)",
     .kind = CLI_COUNT,
     .min = 1,
     .max = UINT32_MAX,
     .offset = offsetof(run_options, max_tokens)},
    {.name = "temperature",
     .value = "T",
     .help = "0 always takes the likeliest token; above, tokens are drawn from softmax(logits / T)",
     .otherwise = "0",
     .kind = CLI_NUMBER,
     .min = 0,
     .max = 1000,
     .offset = offsetof(run_options, temperature)},
    {.name = "top-p",
     .value = "P",
     .help = "draw among the likeliest tokens that together reach this probability",
     .otherwise = "1",
     .kind = CLI_NUMBER,
     .min = 0.000001,
     .max = 1,
     .offset = offsetof(run_options, top_p)},
    {.name = "seed",
     .value = "N",
     .help = "of the draws: the same seed gives the same text",
     .otherwise = "0",
     .kind = CLI_SEED,
     .offset = offsetof(run_options, seed)},
    CLI_DEVICE_ROWS(run_options, where),
    {.name = "json",
     .help = "print one JSON object at the end: text, thinking, ids, counts, times",
     .kind = CLI_FLAG,
     .offset = offsetof(run_options, json)},
    {.name = "quiet",
     .help = "no progress, thinking or speed on standard error",
     .kind = CLI_FLAG,
     .offset = offsetof(run_options, quiet)},
};

typedef struct run_state {
    const run_options *options;
    iso_model *model;
    iso_tokenizer *tokenizer;
    iso_token_list prompt;
    cli_machine machine;
    iso_runner *runner;
    bool show_thinking;
    bool thought;              // thinking was shown, and the line is still open
    bool answered;             // something else than blanks was generated outside the thinking
    iso_text answer, thinking; // what --json prints
    int32_t *ids;              // [generated], --json only
    iso_generate_result result;
} run_state;

// ---- the prompt ----

static iso_status check_input(const char *text, size_t bytes)
{
    if (bytes == 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "run: standard input is empty; give --prompt, or pipe a prompt in");
    if (strlen(text) != bytes)
        return iso_fail(ISO_CORRUPT, "standard input holds a zero byte; a prompt is text");
    return ISO_OK;
}

static iso_status encode_prompt(run_state *s)
{
    const run_options *o = s->options;
    iso_text input = {0};
    iso_status status = ISO_OK;
    const char *prompt = o->prompt;
    if (!prompt) {
        if (isatty(STDIN_FILENO))
            return iso_fail(ISO_INVALID_ARGUMENT, "run: no prompt; give --prompt, or pipe one in");
        ISO_TRY_GOTO(iso_text_read_file(&input, "/dev/stdin"), done);
        if (input.length && input.data[input.length - 1] == '\n')
            input.data[--input.length] = '\0';
        prompt = iso_text_get(&input);
        ISO_TRY_GOTO(check_input(prompt, input.length), done);
    }
    status = iso_prompt_encode(s->tokenizer, prompt, o->chat, NULL, &s->prompt);
done:
    iso_text_deinit(&input);
    return status;
}

// Before weights are read, which may take minutes.
static iso_status check_prompt(const run_state *s)
{
    const iso_model_config *config = iso_model_get_config(s->model);
    uint32_t context = s->options->where.context ? s->options->where.context : cli_default_context(config);
    if (s->prompt.count == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "run: the prompt is empty; give at least one token");
    if (s->prompt.count > context)
        return iso_fail(
            ISO_LIMIT,
            "the prompt has %zu tokens; the context holds %u; shorten it%s (the model's limit is %u)",
            s->prompt.count, context, context < config->max_positions ? " or raise --context" : "",
            config->max_positions);
    return ISO_OK;
}

// ---- the text ----

static iso_status take_thinking(run_state *s, const char *text, size_t bytes)
{
    if (s->options->json)
        return iso_text_append_bytes(&s->thinking, text, bytes);
    if (s->show_thinking) {
        fwrite(text, 1, bytes, stderr);
        fflush(stderr);
        s->thought = true;
    }
    return ISO_OK;
}

static iso_status take_answer(run_state *s, const char *text, size_t bytes)
{
    // An answer begins after blank lines that belong to nothing.
    while (s->options->chat && !s->answered && bytes && isspace((unsigned char)*text)) {
        text++;
        bytes--;
    }
    if (bytes == 0)
        return ISO_OK;
    s->answered = true;
    if (s->options->json)
        return iso_text_append_bytes(&s->answer, text, bytes);
    if (s->thought)
        fputc('\n', stderr);
    s->thought = false;
    fwrite(text, 1, bytes, stdout);
    fflush(stdout);
    return cli_output_broken() ? cli_output_finish() : ISO_OK;
}

static iso_status take_text(void *context, const char *text, size_t bytes, bool thinking)
{
    run_state *s = context;
    return thinking && s->options->chat ? take_thinking(s, text, bytes) : take_answer(s, text, bytes);
}

// ---- the run ----

static iso_status create_runner(run_state *s)
{
    cli_progress progress = {0};
    iso_runner_options options = cli_runner_options(&s->machine);
    options.progress = cli_progress_update;
    options.progress_context = &progress;
    if (!s->options->quiet)
        cli_progress_begin(&progress, "loading");
    iso_status status = iso_runner_create(s->model, &options, &s->runner);
    cli_progress_end(&progress);
    return status;
}

static iso_status generate(run_state *s)
{
    const run_options *o = s->options;
    iso_generate_options options = {
        .prompt_ids = s->prompt.ids,
        .prompt_count = s->prompt.count,
        .max_tokens = o->max_tokens,
        .sampler = {.temperature = o->temperature, .top_p = o->top_p, .seed = o->seed},
        .sink = take_text,
        .sink_context = s,
    };
    if (o->json) {
        // The token after a full context is still picked.
        uint32_t most = iso_runner_context_tokens(s->runner) - (uint32_t)s->prompt.count + 1;
        options.max_tokens = o->max_tokens && o->max_tokens < most ? o->max_tokens : most;
        ISO_TRY(ISO_NEW(NULL, options.max_tokens, &s->ids));
        options.out_ids = s->ids;
    }
    iso_status status = iso_generate(s->runner, s->tokenizer, &options, &s->result);
    if (status == ISO_INVALID_ARGUMENT) {
        // Logits that cannot be sampled: not the user's fault, who would otherwise look for it on the command
        // line.
        char text[512];
        iso_copy_text(text, sizeof text, iso_status_last()->text);
        status = iso_fail(ISO_CORRUPT, "%s", text);
    }
    ISO_TRY(status);
    if (o->json && s->result.stop == ISO_STOP_MAX_TOKENS && s->result.generated_tokens != o->max_tokens)
        s->result.stop = ISO_STOP_CONTEXT;
    return ISO_OK;
}

static const char *stop_name(iso_stop_reason stop)
{
    static const char *const names[] = {"end", "max_tokens", "context"};
    return names[stop];
}

static json_t *devices_json(const cli_machine *machine)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < machine->device_count; i++) {
        json_t *entry = json_object();
        cli_put_device(&entry, iso_device_name(machine->devices[i]),
                       iso_device_get_info(machine->devices[i]));
        cli_json_add(&list, entry);
    }
    return list;
}

static iso_status print_json(const run_state *s)
{
    const iso_generate_result *r = &s->result;
    json_t *root = json_object(), *ids = json_array();
    for (uint32_t i = 0; i < r->generated_tokens; i++)
        cli_json_add(&ids, json_integer(s->ids[i]));
    cli_json_put(&root, "text", json_stringn(iso_text_get(&s->answer), s->answer.length));
    if (s->options->chat)
        cli_json_put(&root, "thinking", json_stringn(iso_text_get(&s->thinking), s->thinking.length));
    cli_json_put(&root, "ids", ids);
    cli_json_put(&root, "stop", json_string(stop_name(r->stop)));
    cli_json_put(&root, "prompt_tokens", json_integer(r->prompt_tokens));
    cli_json_put(&root, "generated_tokens", json_integer(r->generated_tokens));
    cli_json_put(&root, "prefill_seconds", json_real((double)r->prefill_ns / 1e9));
    cli_json_put(&root, "decode_seconds", json_real((double)r->decode_ns / 1e9));
    cli_json_put(&root, "devices", devices_json(&s->machine));
    cli_json_put(&root, "fallback", cli_fallback_json(&s->machine, s->runner));
    return cli_print_json(root);
}

static void print_ending(const run_state *s, bool no_answer)
{
    const iso_generate_result *r = &s->result;
    bool watched = !s->options->quiet && isatty(STDERR_FILENO);
    if (s->thought)
        fputc('\n', stderr);
    if (no_answer)
        cli_note("no answer: the model stopped after %u tokens (%s)%s", r->generated_tokens,
                 stop_name(r->stop),
                 r->stop == ISO_STOP_END ? "" : "; allow more by --max-tokens or --context");
    if (watched)
        cli_note("prompt: %u tokens, %.0f a second; generated: %u tokens, %.0f a second; stopped: %s",
                 r->prompt_tokens, cli_rate(r->prompt_tokens, r->prefill_ns), r->generated_tokens,
                 cli_rate(r->generated_tokens, r->decode_ns), stop_name(r->stop));
    for (uint32_t i = 0; watched && i < s->machine.device_count; i++)
        cli_print_device(stderr, iso_device_name(s->machine.devices[i]),
                         iso_device_get_info(s->machine.devices[i]));
}

static iso_status finish(run_state *s, bool *out_yes)
{
    bool no_answer = s->options->chat && !s->answered;
    *out_yes = !no_answer;
    if (s->options->json)
        ISO_TRY(print_json(s));
    else if (!no_answer)
        putchar('\n');
    // The answer comes before what is said about it.
    ISO_TRY(cli_output_finish());
    print_ending(s, no_answer);
    if (cli_fallback_count(&s->machine, s->runner, false) && s->result.generated_tokens > 1)
        return cli_fallback_print_cost(&s->machine, s->runner);
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const run_options *options = opaque;
    run_state s = {.options = options};
    iso_status status = ISO_OK;
    s.show_thinking = !options->quiet && (options->show_thinking || isatty(STDERR_FILENO));
    ISO_TRY_GOTO(iso_model_open(options->model, NULL, &s.model), done);
    ISO_TRY_GOTO(iso_tokenizer_open(iso_model_folder(s.model), NULL, &s.tokenizer), done);
    ISO_TRY_GOTO(encode_prompt(&s), done);
    ISO_TRY_GOTO(check_prompt(&s), done);
    ISO_TRY_GOTO(cli_machine_open(&options->where, iso_model_get_config(s.model),
                                  options->where.fallback != NULL, &s.machine),
                 done);
    ISO_TRY_GOTO(create_runner(&s), done);
    cli_fallback_count(&s.machine, s.runner, true);
    if (!options->quiet)
        cli_note_kernel_cache();
    ISO_TRY_GOTO(generate(&s), done);
    ISO_TRY_GOTO(finish(&s, out_yes), done);
done:
    iso_runner_destroy(s.runner);
    cli_machine_close(&s.machine);
    iso_free(NULL, s.ids);
    iso_text_deinit(&s.answer);
    iso_text_deinit(&s.thinking);
    iso_token_list_deinit(&s.prompt);
    iso_tokenizer_close(s.tokenizer);
    iso_model_close(s.model);
    return status;
}

const cli_command cli_command_run = {
    .synopsis = "MODEL [--device D | --place P] [--prompt S] [--chat] [options]",
    .about = "Prints what the model says as it comes. With --chat only the answer goes to standard output; "
             "the thinking\n"
             "goes to standard error, if that is a terminal.",
    .examples = "  isomer run tiny-r1 --chat --prompt 'What is 347 + 285?'\n"
                "  isomer run tiny-r1 --place 'cpu=0-1,vulkan:0=2-' --chat --prompt '12 + 30'\n"
                "  isomer run DeepSeek-V2-Lite --prompt 'The capital of France is' --max-tokens 20\n"
                "  echo 'Why is the sky blue?' | isomer run DeepSeek-R1 --chat --temperature 0.6 --top-p "
                "0.95 --seed 1\n",
    .no_means = "with --chat: the model stopped before it answered",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(run_options),
    .run = run,
};
