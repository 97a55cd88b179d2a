// SPDX-License-Identifier: MIT
//
// A large launch that leaves a device as a busy one would be: registers, local memory and caches full of
// other numbers. Its own result is of no interest.
#include <string.h>

#include "conformance/ops/guarded.h"
#include "conformance/ops/trial.h"
#include "kernels/case.h"
#include "kernels/rms_norm/op.h"
#include "runtime/plan/plan_internal.h"

enum { LOAD_ROWS = 128, LOAD_WIDTH = 2048 };

static const iso_op_info *load_op(void)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        if (strcmp(iso_ops()->ops[o]->name, "rms_norm") == 0)
            return iso_ops()->ops[o];
    return NULL;
}

static iso_status build_load(iso_case_builder *builder, iso_rms_norm *params)
{
    params->eps = 1e-6f;
    ISO_TRY(
        iso_case_float(builder, &params->x, ISO_DTYPE_F32, ISO_FILL_NORMAL, ISO_DIMS(LOAD_ROWS, LOAD_WIDTH)));
    ISO_TRY(iso_case_float(builder, &params->weight, ISO_DTYPE_F32, ISO_FILL_POSITIVE, ISO_DIMS(LOAD_WIDTH)));
    return iso_case_empty(builder, &params->y, ISO_DTYPE_F32, ISO_DIMS(LOAD_ROWS, LOAD_WIDTH));
}

static iso_status run_load(iso_device *device, conform_modules *modules, const iso_op_info *op,
                           const iso_kernel *kernel, const void *params)
{
    guarded buffers;
    iso_program program;
    iso_list *list = NULL;
    iso_status status = guarded_init(&buffers, op, params, device);
    if (status != ISO_OK)
        return status;
    ISO_TRY_GOTO(conform_program_take(modules, device, kernel, buffers.params, &program), done);
    ISO_TRY_GOTO(conform_list_create(device, &program, buffers.params, NULL, &list), done);
    ISO_TRY_GOTO(guarded_upload(&buffers, GUARD_WILD, false), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    status = iso_device_wait(device);
done:
    iso_list_destroy(list);
    conform_program_return(modules, &program);
    guarded_deinit(&buffers);
    return status;
}

iso_status conform_load_device(iso_device *device, conform_modules *modules)
{
    const iso_op_info *op = load_op();
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8))) = {0};
    char reason[ISO_REASON_BYTES] = "";
    iso_case_builder builder = {.seed = 1};
    iso_status status = op ? build_load(&builder, (iso_rms_norm *)params) : ISO_OK;
    bool ran = false;
    for (uint32_t k = 0; op && status == ISO_OK && !ran && k < op->kernel_count; k++) {
        if (!iso_plan_kernel_fits(op->kernels[k], params, iso_device_get_info(device), reason))
            continue;
        status = run_load(device, modules, op, op->kernels[k], params);
        ran = true;
    }
    iso_case_end(&builder);
    return status;
}
