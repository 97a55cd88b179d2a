// SPDX-License-Identifier: MIT
//
// isomer conform: what the conformance suite does, by command line. Runs suites on a device
// (conform_suites.c), a single case, the self-test; checks, compares and signs bundles. Decides nothing about
// results.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "conformance/ops/case_file.h"
#include "conformance/report/report.h"
#include "conformance/selftest/branches.h"
#include "conformance/selftest/selftest.h"
#include "conformance/suite/verdict.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/conform.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

#define LEVELS "quick|standard|exhaustive"

static const cli_option options_table[] = {
    {.name = "ACTION",
     .help = "verify DIR, diff A B, keygen FILE; without one the suites run",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, action),
     .positional = true},
    {.name = "A",
     .help = "a bundle's folder, or the file of a new key",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, first),
     .positional = true},
    {.name = "B",
     .help = "the bundle to compare with",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, second),
     .positional = true},
    {.name = "device",
     .value = "D",
     .help = "the device that is tested (isomer devices lists them)",
     .otherwise = "cpu",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, device)},
    {.name = "level",
     .value = LEVELS,
     .help = "under a minute, under ten minutes, or everything",
     .otherwise = "quick",
     .kind = CLI_CHOICE,
     .offset = offsetof(conform_options, level)},
    {.name = "profile",
     .value = "P",
     .help = "only what this profile needs (Core, MLA, MoE, FP8-native, FP8-emulated, GQA, Mixed,\n"
             "Deterministic); the answer is then no unless it is passed as a whole",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, profile)},
    {.name = "unit",
     .value = "ID",
     .help = "only the units with this name; * and ? stand for anything: 'ops/linear/*'; with\n"
             "--self-test only these faults and chips",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, unit)},
    {.name = "seed",
     .value = "N",
     .help = "of all inputs (default 1); verify: of what is drawn to run again (default: by chance)",
     .kind = CLI_SEED,
     .offset = offsetof(conform_options, seed)},
    {.name = "out",
     .value = "DIR",
     .help = "write the bundle there: results, report.html, junit.xml, failing cases, manifest",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, out)},
    {.name = "resume",
     .help = "go on with the bundle of an interrupted run in --out",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, resume)},
    {.name = "key",
     .value = "FILE",
     .help = "sign the bundle with this secret key (keygen makes one)",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, key)},
    {.name = "public-key",
     .value = "FILE",
     .help = "verify: the key that must have signed",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, public_key)},
    {.name = "samples",
     .value = "N",
     .help = "verify: units that run again on --device, drawn at random",
     .otherwise = "16",
     .kind = CLI_COUNT,
     .max = 1000000,
     .offset = offsetof(conform_options, samples)},
    {.name = "case",
     .value = "FILE",
     .help = "run one standalone case on the device",
     .kind = CLI_TEXT,
     .offset = offsetof(conform_options, case_file)},
    {.name = "self-test",
     .help = "put every known fault into a simulated chip and count how many the suite catches",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, self_test)},
    {.name = "list",
     .help = "the names of all units of the level",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, list)},
    {.name = "table",
     .help = "the ops: bound, tightness, cases, time; with --self-test the faults",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, table)},
    {.name = "branches",
     .help = "which branches of the kernels the op suite runs, counted by a simulated chip",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, branches)},
    {.name = "in-process",
     .help = "no worker process: for debuggers; a driver's crash is then the program's",
     .kind = CLI_FLAG,
     .offset = offsetof(conform_options, in_process)},
    {.name = "json", .help = "as JSON", .kind = CLI_FLAG, .offset = offsetof(conform_options, json)},
};

static iso_status run_case(const conform_options *options, bool *out_yes)
{
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    conform_result result = {0};
    iso_status status;
    ISO_TRY(iso_registry_create_for(NULL, &options->device, 1, &registry));
    ISO_TRY_GOTO(iso_device_open(registry, options->device, &(iso_device_options){.validate = true}, &device),
                 done);
    ISO_TRY_GOTO(conform_case_run(options->case_file, device, &result), done);
    *out_yes = result.outcome == CONFORM_PASS;
    printf("%s: %s on %s: worst error / bound %.3g%s%s\n", conform_outcome_name(result.outcome), result.check,
           iso_device_name(device), result.score, result.detail[0] ? "; " : "", result.detail);
    for (uint32_t i = 0; i < result.sample_count; i++)
        printf("  output %u [%llu]: got %.9g, expected %.9g, bound %.3g\n", result.samples[i].output,
               (unsigned long long)result.samples[i].index, result.samples[i].got, result.samples[i].want,
               result.samples[i].bound);
done:
    json_decref(result.more);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return status;
}

static void show_self_test(void *context, uint32_t done, uint32_t total, const char *text)
{
    (void)text;
    cli_progress_update(context, done, total);
}

static iso_status self_test(const conform_options *options, bool *out_yes)
{
    cli_progress progress;
    cli_progress_begin(&progress, "faults and honest chips");
    conform_self_test_options wanted = {
        .only = options->unit, .seed = options->seed, .on_progress = show_self_test, .context = &progress};
    conform_self_test_report report;
    iso_status status = conform_self_test(&wanted, &report);
    cli_progress_end(&progress);
    ISO_TRY(status);
    *out_yes = conform_self_test_passed(&report);
    status = conform_self_test_print(&report, options->table, stdout);
    conform_self_test_deinit(&report);
    return status;
}

static iso_status list_units(const conform_options *options)
{
    conform_unit_list list = {0};
    iso_status status = conform_verdict_check_name(options->profile);
    for (uint32_t s = 0; s < conform_suite_count() && status == ISO_OK; s++)
        status = conform_suite_at(s)->list(&list, NULL);
    for (size_t i = 0; i < list.count && status == ISO_OK; i++)
        if (conform_unit_wanted(&list.units[i], (conform_level)options->level, options->unit) &&
            (!options->profile || conform_profile_wants(options->profile, list.units[i].id)))
            printf("%s\n", list.units[i].id);
    conform_unit_list_deinit(&list);
    return status;
}

// ---- bundles ----

static iso_status print_text(iso_text *text, iso_status status)
{
    if (status == ISO_OK)
        fputs(iso_text_get(text), stdout);
    iso_text_deinit(text);
    return status;
}

static iso_status verify(const conform_options *options, bool *out_yes)
{
    conform_verify_options wanted = {.public_key = options->public_key,
                                     .device = options->device,
                                     .rerun_count = options->samples,
                                     .seed = options->seed};
    conform_verify_report report;
    ISO_TRY(conform_verify(options->first, &wanted, &report));
    *out_yes = report.problem_count == 0;
    iso_status status;
    if (options->json) {
        json_t *json = NULL;
        status = conform_verify_json(&report, &json);
        if (status == ISO_OK)
            status = cli_print_json(json);
    } else {
        iso_text text = {0};
        status = print_text(&text, conform_verify_text(&report, &text));
        printf("what ran again was drawn with --seed %llu\n", (unsigned long long)options->seed);
    }
    conform_verify_report_deinit(&report);
    return status;
}

static iso_status diff(const conform_options *options, bool *out_yes)
{
    iso_text text = {0};
    json_t *json = NULL;
    bool worse = false;
    ISO_TRY(conform_diff(options->first, options->second, options->json ? NULL : &text,
                         options->json ? &json : NULL, &worse));
    *out_yes = !worse;
    return options->json ? cli_print_json(json) : print_text(&text, ISO_OK);
}

static iso_status keygen(const conform_options *options, bool *out_yes)
{
    (void)out_yes;
    ISO_TRY(conform_keygen(options->first));
    printf("%s: secret key, keep it to yourself\n%s.pub: public key, give it to whoever verifies\n",
           options->first, options->first);
    return ISO_OK;
}

static const struct {
    const char *name;
    uint32_t operands;
    iso_status (*run)(const conform_options *options, bool *out_yes);
} actions[] = {
    {"verify", 1, verify},
    {"diff", 2, diff},
    {"keygen", 1, keygen},
};

static iso_status run_action(const conform_options *options, bool *out_yes)
{
    uint32_t operands = (options->first != NULL) + (options->second != NULL);
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, options->action) != 0)
            continue;
        if (operands != actions[i].operands)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s takes %u names, here are %u", actions[i].name,
                            actions[i].operands, operands);
        return actions[i].run(options, out_yes);
    }
    return iso_fail(ISO_INVALID_ARGUMENT, "no action \"%.40s\"; actions: verify, diff, keygen",
                    options->action);
}

static iso_status check_options(const conform_options *options)
{
    uint32_t modes = (options->action != NULL) + (options->case_file != NULL) + options->self_test +
                     options->list + options->branches;
    if (modes > 1)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%u of an action, --case, --self-test, --branches and --list are given; allowed: one",
                        modes);
    if (options->out && (modes > 0 || options->table))
        return iso_fail(ISO_INVALID_ARGUMENT, "--out is given; only a run of the suites writes a bundle");
    if (!options->out && (options->key || options->resume))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s is given without --out, the bundle's folder",
                        options->key ? "--key" : "--resume");
    if (options->public_key && !options->action)
        return iso_fail(ISO_INVALID_ARGUMENT, "--public-key is given; only verify looks at it");
    return ISO_OK;
}

// What a bundle's maker could foresee proves nothing, so that a verification draws its seed by chance.
static iso_status choose_seed(conform_options *options)
{
    if (options->seed != 0)
        return ISO_OK;
    options->seed = 1;
    if (!options->action || strcmp(options->action, "verify") != 0)
        return ISO_OK;
    if (getrandom(&options->seed, sizeof options->seed, 0) != (ssize_t)sizeof options->seed)
        return iso_fail(ISO_IO, "no random number for --seed: %s; give one", strerror(errno));
    return ISO_OK;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    conform_options chosen = *(const conform_options *)opaque;
    const conform_options *options = &chosen;
    ISO_TRY(check_options(options));
    ISO_TRY(choose_seed(&chosen));
    if (options->action)
        return run_action(options, out_yes);
    if (options->case_file)
        return run_case(options, out_yes);
    if (options->self_test)
        return self_test(options, out_yes);
    if (options->table)
        return cli_conform_table(options, out_yes);
    if (options->branches)
        return conform_branches_print((conform_level)options->level, options->seed, stdout, out_yes);
    if (options->list)
        return list_units(options);
    return cli_conform_suites(options, out_yes);
}

const cli_command cli_command_conform = {
    .synopsis = "[--device D] [--level L] [--profile P] [--out DIR] | verify DIR | diff A B | keygen FILE",
    .about = "Whether a device computes what it should: its measured profile, the contract of its backend, "
             "every op "
             "against\n"
             "a double-precision reference with an error bound for each element, its links to other devices, "
             "and whole\n"
             "models. Each device is tested in a process of its own. The bundle in --out can be checked by "
             "somebody\n"
             "who trusts neither the device nor its owner.",
    .examples = "  isomer conform --device vulkan:llvmpipe\n"
                "  isomer conform --device opencl:pocl --level standard --out pocl-report\n"
                "  isomer conform verify pocl-report --device cpu\n"
                "  isomer conform diff pocl-report pocl-report-new\n"
                "  isomer conform --device cpu --unit 'ops/rope/*'\n"
                "  isomer conform --self-test\n",
    .no_means = "the device fails, a bundle is not what it claims to be, or a fault was not caught",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(conform_options),
    .run = run,
};
