// SPDX-License-Identifier: MIT
//
// isomer bisect: which op makes a model wrong on a device (conformance/bisect). Prints what is found and
// writes the first guilty call as a case that runs alone.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/bisect/bisect.h"
#include "conformance/profile/profile.h"
#include "isomer/generate.h"
#include "kernels/op_list.h"
#include "runtime/base/strings.h"
#include "tools/isomer/bisect_print.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/ids.h"
#include "tools/isomer/machine.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

// Tokens of all step sizes: a chunk, two decoded, a chunk over a page's edge, a small one, one decoded.
#define STEP_TOKENS    81u
#define DEFAULT_PROMPT "What is 347 + 285?"
// Multiply-adds of one call that the reference judges in a second or two.
#define JUDGED_FLOPS 1e9

typedef struct bisect_options {
    const char *model;
    const char *reference, *prompt, *ids, *out;
    cli_device_options where;
    uint32_t tokens;
    bool swap, json;
} bisect_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, model),
     .positional = true,
     .required = true},
    {.name = "device",
     .value = "D",
     .help = "the device that is examined (isomer devices lists them)",
     .otherwise = "cpu",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, where.device)},
    {.name = "reference",
     .value = "R",
     .help = "the device whose tensors are fed in where the examined one's are wrong",
     .otherwise = "cpu",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, reference)},
    {.name = "prompt",
     .value = "S",
     .help = "text to go by, repeated to --tokens (default: \"" DEFAULT_PROMPT "\", or ids 0, 1, 2, ...\n"
             "where the model has no tokenizer)",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, prompt)},
    {.name = "ids",
     .value = "1,2,3",
     .help = "token ids instead of a prompt",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, ids)},
    {.name = "tokens",
     .value = "N",
     .help = "how many tokens the steps have in all; 81 fill steps of 9, 1, 1, 64, 5 and 1",
     .otherwise = "81",
     .kind = CLI_COUNT,
     .min = 1,
     .max = 4096,
     .offset = offsetof(bisect_options, tokens)},
    {.name = "swap",
     .help = "instead: each class of ops in turn on the device and all else on the reference, ranked by\n"
             "what it does to the logits",
     .kind = CLI_FLAG,
     .offset = offsetof(bisect_options, swap)},
    {.name = "out",
     .value = "FILE",
     .help = "the guilty call as a case for isomer conform --case (default: <op>.case)",
     .kind = CLI_TEXT,
     .offset = offsetof(bisect_options, out)},
    CLI_THREADS_ROW(bisect_options, where),
    {.name = "activation",
     .value = CLI_ACTIVATIONS,
     .help = "number format of activations",
     .otherwise = "f32",
     .kind = CLI_CHOICE,
     .offset = offsetof(bisect_options, where.activation)},
    {.name = "w8a8",
     .help = "quantise the inputs of FP8 linears per token and 128 channels, as DeepSeek runs them",
     .kind = CLI_FLAG,
     .offset = offsetof(bisect_options, where.w8a8)},
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(bisect_options, json)},
};

typedef struct bisect_state {
    const bisect_options *options;
    iso_model *model;
    iso_token_list ids;
    cli_machine machine;
    conform_subject subject;
    conform_bisect_options bisect;
    iso_numerics numerics[2]; // of the device and of the reference
} bisect_state;

// ---- tokens ----

static iso_status read_prompt(bisect_state *s)
{
    iso_tokenizer *tokenizer = NULL;
    const char *prompt = s->options->prompt ? s->options->prompt : DEFAULT_PROMPT;
    iso_status status = iso_tokenizer_open(iso_model_folder(s->model), NULL, &tokenizer);
    if (status == ISO_NOT_FOUND && !s->options->prompt) {
        for (int32_t id = 0; id < (int32_t)STEP_TOKENS; id++)
            ISO_TRY(iso_token_list_append(&s->ids, id));
        return ISO_OK;
    }
    if (status == ISO_OK)
        status = iso_prompt_encode(tokenizer, prompt, iso_tokenizer_chat_template(tokenizer) != NULL, NULL,
                                   &s->ids);
    iso_tokenizer_close(tokenizer);
    return status;
}

static iso_status read_ids(bisect_state *s)
{
    const bisect_options *o = s->options;
    if (o->ids && o->prompt)
        return iso_fail(ISO_INVALID_ARGUMENT, "bisect: --ids and --prompt are both given; name one of them");
    ISO_TRY(o->ids ? cli_ids_read(o->ids, NULL, &s->ids) : read_prompt(s));
    size_t given = s->ids.count;
    if (given == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "bisect: the prompt is empty; give at least one token");
    for (size_t i = given; i < o->tokens; i++)
        ISO_TRY(iso_token_list_append(&s->ids, s->ids.ids[i % given]));
    if (s->ids.count > o->tokens)
        s->ids.count = o->tokens;
    return ISO_OK;
}

// ---- devices ----

// Bounds are made of what the device's own arithmetic was measured to be.
static iso_status measure(bisect_state *s, iso_device *device, iso_numerics *out)
{
    conform_context context = {.registry = s->machine.registry,
                               .device = device,
                               .level = CONFORM_QUICK,
                               .seed = 1,
                               .numerics = iso_numerics_ieee};
    ISO_TRY(conform_profile_measure(&context));
    *out = context.numerics;
    return ISO_OK;
}

static iso_status open_devices(bisect_state *s)
{
    uint32_t device, reference;
    ISO_TRY(cli_machine_open_empty(&s->options->where, false, &s->machine));
    ISO_TRY(cli_machine_add(&s->machine, s->options->where.device, &device));
    ISO_TRY(cli_machine_add(&s->machine, s->options->reference, &reference));
    s->bisect.device = s->machine.devices[device];
    s->bisect.reference = s->machine.devices[reference];
    ISO_TRY(measure(s, s->bisect.device, &s->numerics[0]));
    return measure(s, s->bisect.reference, &s->numerics[1]);
}

// ---- answers ----

static iso_status write_case(bisect_state *s, const conform_bisection *found, char *path, size_t path_bytes)
{
    path[0] = 0;
    if (found->guilty_count == 0)
        return ISO_OK;
    const char *op = conform_node_op(s->subject.graph, found->guilty[0].node)->name;
    if (s->options->out)
        iso_copy_text(path, path_bytes, s->options->out);
    else
        snprintf(path, path_bytes, "%s.case", op);
    return conform_bisect_write_case(&s->bisect, found, &found->guilty[0], path);
}

static iso_status find_guilty(bisect_state *s, bool *out_yes)
{
    conform_bisection found;
    bisect_report report = {.model = s->options->model, .options = &s->bisect, .found = &found};
    ISO_TRY(conform_bisect(&s->bisect, &found));
    cli_progress_end(s->bisect.progress_context);
    // What was found took long: it is told even where the case cannot be written.
    iso_status status = write_case(s, &found, report.case_path, sizeof report.case_path), printed = ISO_OK;
    if (status != ISO_OK)
        report.case_path[0] = 0;
    *out_yes = found.guilty_count == 0 && !found.transport[0] && found.unjudged == 0;
    if (s->options->json)
        printed = cli_print_json(bisect_json(&report));
    else
        bisect_print(&report);
    conform_bisection_destroy(&found);
    return status != ISO_OK ? status : printed;
}

static iso_status swap(bisect_state *s)
{
    conform_swap swaps[ISO_OP_COUNT];
    uint32_t count;
    ISO_TRY(conform_swap_run(&s->bisect, swaps, &count));
    cli_progress_end(s->bisect.progress_context);
    if (s->options->json)
        return cli_print_json(swap_json(&s->bisect, swaps, count));
    swap_print(&s->bisect, swaps, count);
    return ISO_OK;
}

static void show_progress(void *context, const char *what, uint32_t done, uint32_t total)
{
    if (done == 0) {
        cli_progress_end(context);
        cli_progress_begin(context, what);
    }
    cli_progress_update(context, done, total);
}

static iso_status run(const void *opaque, bool *out_yes)
{
    bisect_state s = {.options = opaque};
    cli_progress progress = {0};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(iso_model_open(s.options->model, NULL, &s.model), done);
    ISO_TRY_GOTO(read_ids(&s), done);
    ISO_TRY_GOTO(open_devices(&s), done);
    conform_subject_options subject = {
        .device = s.bisect.reference,
        .activation = s.machine.activation,
        .w8a8 = s.machine.w8a8,
        .build = {.mtp = iso_model_get_config(s.model)->mtp_layer_count > 0},
        .ids = s.ids.ids,
        .id_count = (uint32_t)s.ids.count,
    };
    ISO_TRY_GOTO(conform_subject_create(s.model, &subject, &s.subject), done);
    s.bisect.subject = &s.subject;
    s.bisect.numerics = &s.numerics[0];
    s.bisect.reference_numerics = &s.numerics[1];
    s.bisect.flops_limit = JUDGED_FLOPS;
    s.bisect.progress = show_progress;
    s.bisect.progress_context = &progress;
    ISO_TRY_GOTO(s.options->swap ? swap(&s) : find_guilty(&s, out_yes), done);
done:
    cli_progress_end(&progress);
    conform_subject_destroy(&s.subject);
    cli_machine_close(&s.machine);
    iso_token_list_deinit(&s.ids);
    iso_model_close(s.model);
    return status;
}

const cli_command cli_command_bisect = {
    .synopsis =
        "MODEL [--device D] [--reference R] [--prompt S | --ids 1,2,3] [--swap] [--out FILE] [options]",
    .about = "Runs the model op by op on the device and judges each op by its own error bound on the inputs "
             "that it\n"
             "really read: guilty is who adds error above its bound, the rest inherits. What goes wrong only "
             "when\n"
             "nobody looks (a list replayed with old inputs, memory used too early) is found by halving: "
             "parts of\n"
             "the model run unobserved, fed with sound tensors, until one op makes the difference.",
    .examples = "  isomer bisect tiny-r1 --device opencl:pocl\n"
                "  isomer bisect DeepSeek-V2-Lite --device vulkan:0 --activation bf16 --out found.case\n"
                "  isomer conform --case found.case --device vulkan:0\n"
                "  isomer bisect tiny-r1 --device vulkan:llvmpipe --swap\n",
    .no_means = "an op or the transport is guilty, or a call could not be judged",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(bisect_options),
    .run = run,
};
