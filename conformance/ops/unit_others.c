// SPDX-License-Identifier: MIT
//
// The same cases alone and with every other device of the machine open, each used once: the bits and
// what kernels answer must be the same.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/trial.h"
#include "conformance/ops/units.h"
#include "runtime/plan/plan_internal.h"

#define MAX_OTHERS 16
#define CASES_EACH 2

typedef struct answer {
    bool fits;
    char reason[ISO_REASON_BYTES];
    uint64_t output_hash;
} answer;

typedef struct others {
    iso_registry *registry;
    iso_device *devices[MAX_OTHERS];
    uint32_t count;
    char names[CONFORM_DETAIL_BYTES / 2];
} others;

static bool is_same_device(const iso_device_info *a, const iso_device_info *b)
{
    return strcmp(a->backend, b->backend) == 0 && a->ordinal == b->ordinal;
}

// Opens every other device that runs kernels, and uses each once.
static iso_status open_others(const conform_context *context, others *others)
{
    ISO_TRY(iso_registry_create(NULL, &others->registry));
    uint32_t found = iso_registry_device_count(others->registry);
    for (uint32_t i = 0; i < found && others->count < MAX_OTHERS; i++) {
        const iso_device_info *info = iso_registry_device_info(others->registry, i);
        char name[CONFORM_DEVICE_BYTES];
        if (!info->available || info->code_formats[0] == ISO_CODE_NONE ||
            is_same_device(info, iso_device_get_info(context->device)))
            continue;
        bool only = strcmp(info->backend, "cpu") == 0;
        snprintf(name, sizeof name, only ? "%s" : "%s:%u", info->backend, info->ordinal);
        // What is wrong with another device is for its own run to say.
        iso_device *device;
        if (iso_device_open(others->registry, name, NULL, &device) != ISO_OK)
            continue;
        others->devices[others->count] = device;
        const char *state = conform_load_device(device, NULL) == ISO_OK ? "" : " (idle)";
        others->count++;
        size_t length = strlen(others->names);
        snprintf(others->names + length, sizeof others->names - length, "%s%s%s", length ? ", " : "", name,
                 state);
    }
    return ISO_OK;
}

static void close_others(others *others)
{
    for (uint32_t i = 0; i < others->count; i++)
        iso_device_close(others->devices[i]);
    iso_registry_destroy(others->registry);
}

static iso_status run_once(conform_context *context, const conform_op_case *wanted,
                           const conform_built *built, const iso_kernel *kernel, conform_result *out_result)
{
    conform_kernel_expected expectation;
    ISO_TRY(conform_kernel_expected_init(built, wanted, kernel, &context->numerics, &expectation));
    const conform_trial trial = {.op = wanted->op,
                                 .kernel = kernel,
                                 .params = built->params,
                                 .expected = expectation.outputs,
                                 .device = context->device,
                                 .seed = context->seed,
                                 .modules = context->modules};
    iso_status status = conform_trial_run(&trial, out_result);
    conform_kernel_expected_deinit(&expectation);
    return status;
}

// Asks and runs every kernel over the case; with `before`, compares with what was then.
static iso_status ask_and_run(conform_context *context, const conform_op_case *wanted,
                              const conform_built *built, answer *answers, bool compare)
{
    for (uint32_t k = 0; k < wanted->op->kernel_count; k++) {
        const iso_kernel *kernel = wanted->op->kernels[k];
        answer now = {.fits = false};
        conform_result result = conform_result_make(CONFORM_PASS, kernel->name, "%s", "");
        now.fits =
            iso_plan_kernel_fits(kernel, built->params, iso_device_get_info(context->device), now.reason);
        if (now.fits) {
            memset(now.reason, 0, sizeof now.reason);
            ISO_TRY(run_once(context, wanted, built, kernel, &result));
            now.output_hash = result.output_hash;
        }
        snprintf(result.op, sizeof result.op, "%s", wanted->op->name);
        bool same = !compare || (now.fits == answers[k].fits && strcmp(now.reason, answers[k].reason) == 0 &&
                                 now.output_hash == answers[k].output_hash);
        if (!same) {
            result.outcome = CONFORM_FAIL;
            result.score = (double)INFINITY;
            snprintf(result.detail, sizeof result.detail,
                     "case %u alone: %.80s, output %016" PRIx64
                     "; with all devices open: %.80s, output %016" PRIx64,
                     wanted->number, answers[k].fits ? "yes" : answers[k].reason, answers[k].output_hash,
                     now.fits ? "yes" : now.reason, now.output_hash);
        }
        if (result.outcome != CONFORM_PASS)
            context->report(context, &result);
        answers[k] = now;
    }
    return ISO_OK;
}

typedef struct watched {
    conform_op_case wanted;
    conform_built built;
    answer answers[CONFORM_MAX_KERNELS];
} watched;

static iso_status prepare_watched(conform_context *context, watched *watched, const iso_op_info *op,
                                  uint32_t number)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t count = conform_triples(op, triples);
    ISO_TRY(conform_kernels_fit(op));
    watched->wanted = (conform_op_case){.op = op, .triple = triples[number % count], .number = number};
    ISO_TRY(conform_built_init(&watched->built, &watched->wanted, context->seed, false));
    ISO_TRY(conform_built_refer(&watched->built, &watched->wanted, &context->numerics));
    return ask_and_run(context, &watched->wanted, &watched->built, watched->answers, false);
}

static iso_status watch(conform_context *context, watched *all, uint32_t count, others *others)
{
    for (uint32_t i = 0; i < count; i++)
        ISO_TRY(prepare_watched(context, &all[i], iso_ops()->ops[i / CASES_EACH], i % CASES_EACH + 1));
    ISO_TRY(open_others(context, others));
    for (uint32_t i = 0; i < count; i++)
        ISO_TRY(ask_and_run(context, &all[i].wanted, &all[i].built, all[i].answers, true));
    conform_result result;
    if (others->count == 0)
        result = conform_result_make(CONFORM_SKIP, "others", "there is no other device on this machine");
    else
        result = conform_result_make(CONFORM_PASS, "others", "%u cases with %s open", count, others->names);
    context->report(context, &result);
    return ISO_OK;
}

iso_status conform_unit_others(conform_context *context)
{
    uint32_t count = iso_ops()->count * CASES_EACH;
    others others = {0};
    watched *all;
    ISO_TRY(ISO_NEW(NULL, count, &all));
    iso_status status = watch(context, all, count, &others);
    close_others(&others);
    for (uint32_t i = 0; i < count; i++)
        conform_built_deinit(&all[i].built);
    iso_free(NULL, all);
    return status;
}
