// SPDX-License-Identifier: MIT
//
// isomer plan: how a model would run on given devices. Opens the devices but puts nothing on them, so that it
// answers for models that fit nowhere here.
#include <stdio.h>

#include "tools/isomer/cli.h"
#include "tools/isomer/output.h"
#include "tools/isomer/plan_report.h"

typedef struct plan_options {
    const char *model;
    cli_device_options devices;
    uint32_t tokens;
    uint32_t pass; // 0: the report; else position in PASSES
    bool mtp, json;
} plan_options;

#define PASSES "report|legalise|place|select|layout"
static const char *const pass_names[] = {NULL, "legalise", "place", "select", "layout"};

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a checkpoint's folder, a config.json alone, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(plan_options, model),
     .positional = true,
     .required = true},
    CLI_DEVICE_ROWS(plan_options, devices),
    {.name = "tokens",
     .value = "N",
     .help = "tokens of the largest step (a chunk of prefill)",
     .otherwise = "64",
     .kind = CLI_COUNT,
     .offset = offsetof(plan_options, tokens),
     .min = 1,
     .max = 65536},
    {.name = "mtp",
     .help = "with the multi-token-prediction layer",
     .kind = CLI_FLAG,
     .offset = offsetof(plan_options, mtp)},
    {.name = "pass",
     .value = PASSES,
     .help = "print what one pass of the planner decided, op by op, instead of the summary",
     .otherwise = "report",
     .kind = CLI_CHOICE,
     .offset = offsetof(plan_options, pass)},
    {.name = "json", .help = "print JSON", .kind = CLI_FLAG, .offset = offsetof(plan_options, json)},
};

static iso_status check_context(const iso_model_config *config, uint32_t context)
{
    if (context <= config->max_positions)
        return ISO_OK;
    return iso_fail(ISO_LIMIT, "--context is %u tokens; the model's max_position_embeddings is %u", context,
                    config->max_positions);
}

static iso_status create_plan(const iso_graph *graph, const plan_report *report, uint32_t tokens,
                              iso_plan **out)
{
    const cli_machine *machine = report->machine;
    iso_step_size sizes[] = {{1, 1}, {tokens, 1}};
    iso_plan_options options = {
        .devices = machine->devices,
        .device_count = machine->device_count,
        .ranges = machine->range_count ? machine->ranges : NULL,
        .range_count = machine->range_count,
        .fallback_device = machine->fallback_device,
        .activation = machine->activation,
        .w8a8 = machine->w8a8,
        .sizes = sizes,
        .size_count = report->size_count,
        .dims = cli_step_dims(tokens, 1, report->context),
    };
    return iso_plan_create(graph, &options, out);
}

static iso_status print_plan(const plan_report *report, const plan_options *options)
{
    char *text;
    if (options->pass) {
        ISO_TRY(iso_plan_dump(report->plan, pass_names[options->pass], NULL, &text));
        fputs(text ? text : "", stdout);
        iso_free(NULL, text);
        return ISO_OK;
    }
    if (options->json)
        return cli_print_json(plan_report_json(report));
    plan_report_print(report);
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const plan_options *options = opaque;
    iso_model *model = NULL;
    iso_model_graph *graph = NULL;
    cli_machine machine = {0};
    iso_plan *plan = NULL;
    plan_report report = {.machine = &machine, .size_count = options->tokens > 1 ? 2 : 1};
    iso_status status = ISO_OK;
    if (options->pass && options->json)
        return iso_fail(ISO_INVALID_ARGUMENT, "plan: --pass and --json are both given; name one of them");
    ISO_TRY_GOTO(iso_model_open(options->model, NULL, &model), done);
    report.config = iso_model_get_config(model);
    ISO_TRY_GOTO(check_context(report.config, options->devices.context), done);
    report.context = options->devices.context ? options->devices.context : cli_default_context(report.config);
    ISO_TRY_GOTO(iso_model_graph_create(model, &(iso_build_options){.mtp = options->mtp}, &graph), done);
    ISO_TRY_GOTO(cli_machine_open(&options->devices, report.config, false, &machine), done);
    ISO_TRY_GOTO(create_plan(iso_model_graph_get(graph), &report, options->tokens, &plan), done);
    report.plan = plan;
    report.graph = iso_plan_graph(plan);
    ISO_TRY_GOTO(cli_needs_of(report.graph, report.config, machine.activation, report.context, &report.needs),
                 done);
    ISO_TRY_GOTO(plan_report_fill(&report), done);
    ISO_TRY_GOTO(print_plan(&report, options), done);
    *out_yes = report.fits;
done:
    plan_report_deinit(&report);
    iso_plan_destroy(plan);
    cli_machine_close(&machine);
    iso_model_graph_destroy(graph);
    iso_model_close(model);
    return status;
}

const cli_command cli_command_plan = {
    .synopsis = "MODEL [--device D | --place P] [options]",
    .about = "Says which kernel each op gets and which were refused and why, how much memory each device "
             "needs, and\n"
             "what crosses from one device to another. Nothing is loaded onto the devices.",
    .examples = "  isomer plan tiny-r1\n"
                "  isomer plan DeepSeek-V3/config.json --context 32768 --activation bf16\n"
                "  isomer plan tiny-r1 --place 'cpu=0-1,vulkan:0=2-'\n"
                "  isomer plan tiny-r1 --device opencl:0 --pass select\n",
    .no_means = "a device cannot hold its part of the model",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(plan_options),
    .run = run,
};
