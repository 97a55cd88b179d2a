// SPDX-License-Identifier: MIT
//
// isomer compare: one device generates, all others are forced to take the same tokens, and what each computed
// on the way is measured against the first. Devices take turns: one model in memory at a time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/generate.h"
#include "tools/isomer/capture.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/clock.h"
#include "tools/isomer/compare.h"
#include "tools/isomer/device_list.h"
#include "tools/isomer/ids.h"
#include "tools/isomer/needs.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"
#include "runtime/base/strings.h"

#define CHAT_QUESTION "What is 347 + 285?"
#define PLAIN_PROMPT  "The capital of France is"

typedef struct compare_options {
    const char *model;
    cli_device_options where;
    const char *devices, *reference, *prompt, *ids;
    uint32_t max_tokens;
    bool json;
} compare_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(compare_options, model),
     .positional = true,
     .required = true},
    CLI_DEVICES_ROW(compare_options, devices),
    {.name = "reference",
     .value = "R",
     .help = "the device that generates, and that the others are measured against",
     .otherwise = "cpu",
     .kind = CLI_TEXT,
     .offset = offsetof(compare_options, reference)},
    {.name = "prompt",
     .value = "S",
     .help = "a user turn where the model has a chat template, else a text to continue\n"
             "(default: \"" CHAT_QUESTION "\" or \"" PLAIN_PROMPT "\")",
     .kind = CLI_TEXT,
     .offset = offsetof(compare_options, prompt)},
    {.name = "ids",
     .value = "1,2,3",
     .help = "token ids instead of a prompt, for models without a tokenizer",
     .kind = CLI_TEXT,
     .offset = offsetof(compare_options, ids)},
    {.name = "max-tokens",
     .value = "N",
     .help = "generate at most N tokens",
     .otherwise = "64",
     .kind = CLI_COUNT,
     .min = 1,
     .max = 1000000,
     .offset = offsetof(compare_options, max_tokens)},
    CLI_HOW_ROWS(compare_options, where),
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(compare_options, json)},
};

typedef struct compare_state {
    const compare_options *options;
    iso_model *model;
    iso_tokenizer *tokenizer; // NULL with --ids
    const char *question;
    iso_token_list ids; // the prompt, and then what the reference generated
    uint32_t prompt_count;
    cli_machine machine;
    cli_capture reference;
    compare_result *results; // the reference first
    uint32_t result_count;
    char *answer;
} compare_state;

static const iso_build_options build = {.expose_hidden = true, .expose_routing = true};

// ---- the prompt ----

static iso_status read_prompt(compare_state *s)
{
    const compare_options *o = s->options;
    const iso_model_config *config = iso_model_get_config(s->model);
    uint32_t context = o->where.context ? o->where.context : cli_default_context(config);
    if (o->ids && o->prompt)
        return iso_fail(ISO_INVALID_ARGUMENT, "compare: --ids and --prompt are both given; name one of them");
    if (o->ids) {
        ISO_TRY(cli_ids_read(o->ids, NULL, &s->ids));
    } else {
        ISO_TRY(iso_tokenizer_open(iso_model_folder(s->model), NULL, &s->tokenizer));
        bool chat = iso_tokenizer_chat_template(s->tokenizer) != NULL;
        s->question = o->prompt ? o->prompt : chat ? CHAT_QUESTION : PLAIN_PROMPT;
        ISO_TRY(iso_prompt_encode(s->tokenizer, s->question, chat, NULL, &s->ids));
    }
    for (size_t i = 0; i < s->ids.count; i++)
        if ((uint32_t)s->ids.ids[i] >= config->vocab_size)
            return iso_fail(ISO_NOT_FOUND,
                            "token %zu has id %d; the model has ids 0 to %u (vocab_size of config.json)", i,
                            s->ids.ids[i], config->vocab_size - 1);
    if (s->ids.count == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "compare: the prompt is empty; give at least one token");
    if (s->ids.count > context)
        return iso_fail(ISO_LIMIT,
                        "the prompt has %zu tokens; the context holds %u (the model's limit is %u)",
                        s->ids.count, context, config->max_positions);
    s->prompt_count = (uint32_t)s->ids.count;
    return ISO_OK;
}

static bool is_end(const compare_state *s, int32_t id)
{
    const iso_model_config *config = iso_model_get_config(s->model);
    if (s->tokenizer && id == iso_tokenizer_eos_id(s->tokenizer))
        return true;
    for (uint32_t i = 0; i < config->eos_count; i++)
        if (id == config->eos_ids[i])
            return true;
    return false;
}

static iso_status continue_prompt(compare_state *s, iso_runner *runner, uint32_t sequence)
{
    iso_step_result last;
    ISO_TRY(iso_runner_prefill(runner, sequence, s->ids.ids, (uint32_t)s->ids.count, &last));
    for (uint32_t n = 0; n < s->options->max_tokens && !is_end(s, last.picked); n++) {
        if (iso_runner_length(runner, sequence) == iso_runner_context_tokens(runner))
            break;
        iso_step_token token = {.id = last.picked, .sequence = sequence, .want_logits = true};
        ISO_TRY(iso_token_list_append(&s->ids, last.picked));
        ISO_TRY(iso_runner_step(runner, &token, 1, &last));
    }
    return ISO_OK;
}

static iso_status generate(compare_state *s, iso_runner *runner)
{
    uint32_t sequence;
    size_t answer_bytes;
    ISO_TRY(iso_runner_open_sequence(runner, &sequence));
    iso_status status = continue_prompt(s, runner, sequence);
    iso_runner_close_sequence(runner, sequence);
    if (status == ISO_OK && s->tokenizer)
        status =
            iso_tokenizer_decode(s->tokenizer, s->ids.ids + s->prompt_count, s->ids.count - s->prompt_count,
                                 &(iso_decode_options){.skip_special = true}, &s->answer, &answer_bytes);
    return status;
}

// ---- one device ----

static iso_status capture(const compare_state *s, iso_runner *runner, const char *label, cli_capture *out)
{
    cli_progress progress;
    cli_capture_input input = {.ids = s->ids.ids,
                               .count = (uint32_t)s->ids.count,
                               .prefill_count = s->prompt_count,
                               .progress = cli_progress_update,
                               .progress_context = &progress};
    cli_progress_begin(&progress, label);
    iso_status status = cli_capture_run(runner, &build, &input, out);
    cli_progress_end(&progress);
    return status;
}

// The first run is what is measured; the second, with everything warm, gives the speed, and has to give the
// same bits.
static iso_status measure(compare_state *s, iso_runner *runner, compare_result *result)
{
    cli_capture first = {0}, second = {0};
    uint32_t decoded = (uint32_t)s->ids.count - s->prompt_count;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(capture(s, runner, result->device, &first), done);
    ISO_TRY_GOTO(capture(s, runner, result->device, &second), done);
    compare_measure(result->is_reference ? &first : &s->reference, result->is_reference ? &second : &first,
                    result);
    result->repeats = compare_same_bits(&first, &second);
    result->prefill_rate = cli_rate(s->prompt_count, second.prefill_ns);
    result->decode_rate = cli_rate(decoded, second.decode_ns);
    result->agrees = compare_verdict(result, compare_limits_of(&s->machine));
    if (result->is_reference) {
        s->reference = first;
        first = (cli_capture){0};
    }
done:
    cli_capture_deinit(&first);
    cli_capture_deinit(&second);
    return status;
}

static iso_status run_device(compare_state *s, compare_result *result)
{
    iso_device *device = NULL;
    iso_runner *runner = NULL;
    cli_progress progress;
    iso_status status = ISO_OK;
    iso_runner_options options = cli_runner_options(&s->machine);
    options.device_count = 1;
    options.devices = &device;
    options.build = build;
    options.all_rows = true;
    options.progress = cli_progress_update;
    options.progress_context = &progress;
    cli_progress_begin(&progress, result->device);
    ISO_TRY_GOTO(iso_device_open(s->machine.registry, result->device, &s->machine.open_options, &device),
                 done);
    ISO_TRY_GOTO(iso_runner_create(s->model, &options, &runner), done);
    cli_progress_end(&progress);
    if (result->is_reference)
        ISO_TRY_GOTO(generate(s, runner), done);
    ISO_TRY_GOTO(measure(s, runner, result), done);
done:
    cli_progress_end(&progress);
    iso_runner_destroy(runner);
    iso_device_close(device);
    return status;
}

// ---- all devices ----

static compare_result *add_result(compare_state *s, uint32_t device)
{
    compare_result *result = &s->results[s->result_count++];
    result->info = iso_registry_device_info(s->machine.registry, device);
    cli_device_name(result->info, result->device);
    return result;
}

static iso_status run_all(compare_state *s)
{
    cli_device_list reference, others;
    ISO_TRY(cli_machine_open_empty(&s->options->where, false, &s->machine));
    ISO_TRY(cli_device_list_read(s->machine.registry, s->options->reference, &reference));
    if (reference.count != 1)
        return iso_fail(ISO_INVALID_ARGUMENT, "compare: --reference is \"%.64s\"; needed: one device",
                        s->options->reference);
    ISO_TRY(cli_device_list_read(s->machine.registry, s->options->devices, &others));
    ISO_TRY(ISO_NEW(NULL, others.count + 1, &s->results));
    compare_result *first = add_result(s, reference.indices[0]);
    first->is_reference = true;
    ISO_TRY(run_device(s, first));
    for (uint32_t i = 0; i < others.count; i++) {
        if (others.indices[i] == reference.indices[0])
            continue;
        compare_result *result = add_result(s, others.indices[i]);
        // A device that fails does not keep the others from their turn.
        if (run_device(s, result) != ISO_OK)
            iso_copy_text(result->problem, sizeof result->problem, iso_status_last()->text);
    }
    return ISO_OK;
}

static iso_status print_report(const compare_state *s, bool *out_yes)
{
    compare_report report = {.model = s->options->model,
                             .question = s->question,
                             .answer = s->answer,
                             .prompt_count = s->prompt_count,
                             .count = (uint32_t)s->ids.count,
                             .limits = compare_limits_of(&s->machine),
                             .results = s->results,
                             .result_count = s->result_count};
    cli_note_kernel_cache();
    for (uint32_t i = 0; i < s->result_count; i++)
        *out_yes = *out_yes && s->results[i].agrees;
    if (s->options->json)
        return cli_print_json(compare_json(&report));
    compare_print(&report);
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    compare_state s = {.options = opaque};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(iso_model_open(s.options->model, NULL, &s.model), done);
    ISO_TRY_GOTO(read_prompt(&s), done);
    ISO_TRY_GOTO(run_all(&s), done);
    ISO_TRY_GOTO(print_report(&s, out_yes), done);
done:
    cli_capture_deinit(&s.reference);
    iso_free(NULL, s.answer);
    iso_free(NULL, s.results);
    cli_machine_close(&s.machine);
    iso_token_list_deinit(&s.ids);
    iso_tokenizer_close(s.tokenizer);
    iso_model_close(s.model);
    return status;
}

const cli_command cli_command_compare = {
    .synopsis = "MODEL [--devices A,B,...] [--reference R] [--prompt S] [--max-tokens N] [options]",
    .about = "The reference generates greedily; every device then gets these same tokens, and all rows' "
             "logits, the residual\n"
             "stream after each layer and the routing are measured against the reference's. Each device runs "
             "twice.\n"
             "\n"
             "A device agrees if its second run gives the same bits, and\n"
             "  f32         |logit difference| <= 1e-4 of the logits' RMS everywhere, and the same experts;\n"
             "  bf16, w8a8  the RMS of the logit differences <= 0.25 of the logits' RMS, and, where all "
             "experts are the\n"
             "              same, no logit off by more than 0.5;\n"
             "and another greedy token is picked only where the reference's two logits are less than 4 times "
             "the worst\n"
             "difference apart.",
    .examples = "  isomer compare tiny-r1\n"
                "  isomer compare tiny-r1 --devices opencl:pocl,vulkan:llvmpipe --prompt '12 + 30'\n"
                "  isomer compare DeepSeek-V2-Lite --activation bf16 --json\n",
    .no_means = "a device disagrees, or failed",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(compare_options),
    .run = run,
};
