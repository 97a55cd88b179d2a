// SPDX-License-Identifier: MIT
//
// One case of one op under one stress, with every kernel of the op that accepts it on the device.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/ops/case_file.h"
#include "conformance/ops/guarded.h"
#include "conformance/ops/tightness_models.h"
#include "conformance/ops/trial.h"
#include "conformance/ops/units.h"
#include "runtime/plan/plan_internal.h"

bool conform_case_is_thorough(const conform_op_case *wanted)
{
    uint32_t sum = wanted->number + (uint32_t)wanted->stress;
    for (const char *at = wanted->triple.name; *at; at++)
        sum += (uint8_t)*at;
    return sum % 4 == 0;
}

bool conform_call_fits(const iso_op_info *op, const void *params, const iso_device_info *device,
                       char reason[ISO_REASON_BYTES])
{
    const iso_tensor *tensors = params;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < op->input_count + op->output_count; i++) {
        uint64_t bytes = guarded_extent(&tensors[i]) * iso_dtype_bytes(tensors[i].dtype) + 4096;
        sum += bytes;
        if (bytes > device->max_allocation_bytes || sum > device->memory_bytes / 2) {
            snprintf(reason, ISO_REASON_BYTES,
                     "operand %u has %" PRIu64 " bytes, %" PRIu64
                     " with those before; the device allocates %" PRIu64 " at once and half of %" PRIu64
                     " are for a case",
                     i, bytes, sum, device->max_allocation_bytes, device->memory_bytes);
            return false;
        }
    }
    return true;
}

// Several kernels of one unit may fail: each has a file of its own.
static void keep_case(const conform_context *context, const conform_trial *trial, const char *unit,
                      conform_result *result)
{
    char name[2 * CONFORM_UNIT_BYTES];
    snprintf(name, sizeof name, "%s/%s", unit, result->check);
    const conform_case test_case = {.op = trial->op,
                                    .params = trial->params,
                                    .expected = trial->expected,
                                    .kernel = result->check,
                                    .unit = name,
                                    .detail = result->detail,
                                    .seed = context->seed};
    char path[1024];
    json_t *more = json_object();
    // A case that cannot be written does not hide the failure: the report says so beside it.
    if (conform_case_write(context->case_folder, &test_case, path, sizeof path) == ISO_OK)
        json_object_set_new(more, "case", json_string(path));
    else
        json_object_set_new(more, "case_not_written", json_string(iso_status_last()->text));
    result->more = more;
}

iso_status conform_run_kernel(conform_context *context, const conform_op_case *wanted,
                              const conform_built *built, const iso_kernel *kernel, const char *unit,
                              conform_result *out_result)
{
    conform_kernel_expected expectation;
    ISO_TRY(conform_kernel_expected_init(built, wanted, kernel, &context->numerics, &expectation));
    const conform_trial trial = {.op = wanted->op,
                                 .kernel = kernel,
                                 .params = built->params,
                                 .expected = expectation.outputs,
                                 .device = context->device,
                                 .seed = context->seed,
                                 .thorough = conform_case_is_thorough(wanted),
                                 .modules = context->modules};
    iso_status status = conform_trial_run(&trial, out_result);
    if (status == ISO_OK && out_result->outcome == CONFORM_FAIL && context->case_folder)
        keep_case(context, &trial, unit, out_result);
    conform_kernel_expected_deinit(&expectation);
    return status;
}

// The kernels once more, the last first: what one leaves behind must not show in another.
static iso_status run_backwards(conform_context *context, const conform_op_case *wanted,
                                const conform_built *built, const char *unit, const uint64_t *hashes)
{
    for (uint32_t k = wanted->op->kernel_count; k-- > 0;) {
        conform_result again;
        if (hashes[k] == 0)
            continue;
        ISO_TRY(conform_run_kernel(context, wanted, built, wanted->op->kernels[k], unit, &again));
        if (again.outcome == CONFORM_PASS && again.output_hash == hashes[k])
            continue;
        if (again.outcome == CONFORM_PASS) {
            again.outcome = CONFORM_FAIL;
            again.score = (double)INFINITY;
            snprintf(again.detail, sizeof again.detail,
                     "other bits when the op's kernels run in the opposite order: %016" PRIx64
                     ", before %016" PRIx64,
                     again.output_hash, hashes[k]);
        }
        context->report(context, &again);
    }
    return ISO_OK;
}

// "k": how many terms the call's longest sums have, for the report's plot of errors over it.
static void add_terms(const conform_op_case *wanted, const conform_built *built, conform_result *result)
{
    const conform_model *model = conform_model_find(wanted->op->name);
    uint32_t terms = model ? model->terms(built->params) : 0;
    if (terms < 2)
        return;
    if (!result->more)
        result->more = json_object();
    json_object_set_new(result->more, "k", json_integer(terms));
}

static iso_status run_kernels(conform_context *context, const conform_op_case *wanted,
                              const conform_built *built, const char *unit)
{
    char reason[ISO_REASON_BYTES], refusal[ISO_REASON_BYTES] = "the op has no kernels";
    uint64_t hashes[CONFORM_MAX_KERNELS] = {0};
    uint32_t accepted = 0, repeat = 0;
    ISO_TRY(conform_kernels_fit(wanted->op));
    for (uint32_t k = 0; k < wanted->op->kernel_count; k++) {
        const iso_kernel *kernel = wanted->op->kernels[k];
        conform_result result;
        reason[0] = 0;
        if (!iso_plan_kernel_fits(kernel, built->params, iso_device_get_info(context->device), reason)) {
            snprintf(refusal, sizeof refusal, "%s", reason);
            result = conform_result_make(CONFORM_FAIL, kernel->name, "refused without a reason");
            if (reason[0] == 0)
                context->report(context, &result);
            continue;
        }
        accepted++;
        ISO_TRY(conform_run_kernel(context, wanted, built, kernel, unit, &result));
        if (result.outcome == CONFORM_PASS) {
            hashes[k] = result.output_hash;
            repeat++;
        }
        add_terms(wanted, built, &result);
        context->report(context, &result);
    }
    if (accepted == 0) {
        conform_result result = conform_result_make(CONFORM_UNSUPPORTED, "supports", "%s", refusal);
        snprintf(result.op, sizeof result.op, "%s", wanted->op->name);
        context->report(context, &result);
    }
    return repeat > 1 && conform_case_is_thorough(wanted)
               ? run_backwards(context, wanted, built, unit, hashes)
               : ISO_OK;
}

iso_status conform_unit_case(conform_context *context, const conform_op_case *wanted, const char *unit)
{
    char reason[ISO_REASON_BYTES];
    conform_built built;
    ISO_TRY(conform_built_init(&built, wanted, context->seed, false));
    iso_status status = ISO_OK;
    if (conform_call_fits(wanted->op, built.params, iso_device_get_info(context->device), reason)) {
        status = conform_built_refer(&built, wanted, &context->numerics);
        if (status == ISO_OK)
            status = run_kernels(context, wanted, &built, unit);
    } else {
        conform_result result = conform_result_make(CONFORM_SKIP, "memory", "%s", reason);
        snprintf(result.op, sizeof result.op, "%s", wanted->op->name);
        context->report(context, &result);
    }
    conform_built_deinit(&built);
    return status;
}
