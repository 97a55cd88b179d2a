// SPDX-License-Identifier: MIT
//
// What kernels say of themselves. Around one case every number is moved by one, so that widths become odd,
// views unaligned and tiles partial: each yes to a neighbour is run and judged, each no must give a reason,
// asked twice the answer is the same, and what a device lacks is refused.
#include <stdio.h>
#include <string.h>

#include "conformance/ops/trial.h"
#include "conformance/ops/units.h"
#include "runtime/plan/plan_internal.h"

// Which of a case's numbers may move: those that are dimensions and margins, not choices. The first digit of
// a margin is 0, of a dimension 1.
typedef struct movable {
    const char *op;
    uint8_t numbers[8]; // 0: fixed, 1: a dimension, 2: a margin
} movable;

static const movable movables[] = {
    {"add", {1, 1, 2}},
    {"argmax", {1, 1}},
    {"gather", {1, 1, 1, 2}},
    {"gqa_attention", {1, 1, 1, 1, 0, 1, 0, 2}},
    {"grouped_linear", {1, 1, 0, 1, 1}},
    {"head_linear", {1, 1, 1, 1, 2, 2, 0, 2}},
    {"kv_write", {0, 0, 1, 2, 2}},
    {"linear", {1, 1, 1, 2}},
    {"mla_attention", {1, 1, 1, 1, 0, 1, 0, 2}},
    {"permute", {1, 1}},
    {"quantize_activation", {1, 1, 2}},
    {"rms_norm", {1, 1, 2}},
    {"rope", {1, 0, 1, 0, 2}},
    {"router", {1, 1, 1}},
    {"silu_mul", {1, 1, 2}},
    {"unpermute", {1, 1, 1}},
};

static const movable *movable_of(const iso_op_info *op)
{
    static const movable none = {"", {0}};
    for (size_t i = 0; i < sizeof movables / sizeof movables[0]; i++)
        if (strcmp(movables[i].op, op->name) == 0)
            return &movables[i];
    return &none;
}

typedef struct asked {
    conform_context *context;
    uint32_t neighbours, yes, no;
} asked;

static void complain(asked *asked, const iso_op_info *op, const iso_kernel *kernel, const char *what)
{
    conform_result result = conform_result_make(CONFORM_FAIL, kernel->name, "%s", what);
    snprintf(result.op, sizeof result.op, "%s", op->name);
    asked->context->report(asked->context, &result);
}

// The answer, checked for a reason and for being the same twice.
static bool ask(asked *asked, const iso_op_info *op, const iso_kernel *kernel, const void *params,
                const iso_device_info *info)
{
    char reasons[2][ISO_REASON_BYTES] = {"", ""};
    bool fits = iso_plan_kernel_fits(kernel, params, info, reasons[0]);
    bool again = iso_plan_kernel_fits(kernel, params, info, reasons[1]);
    if (fits != again || (!fits && strcmp(reasons[0], reasons[1]) != 0))
        complain(asked, op, kernel, "supports answers the same question differently when asked twice");
    if (!fits && reasons[0][0] == 0)
        complain(asked, op, kernel, "refused without a reason");
    return fits;
}

// What a device without the kernel's needs must be told.
static void ask_lesser_devices(asked *asked, const iso_op_info *op, const iso_kernel *kernel,
                               const void *params)
{
    iso_device_info info = *iso_device_get_info(asked->context->device);
    info.max_group_size = kernel->group_size - 1;
    if (kernel->group_size > 1 && ask(asked, op, kernel, params, &info))
        complain(asked, op, kernel, "accepts a device whose groups are smaller than the kernel's");
    info = *iso_device_get_info(asked->context->device);
    memset(info.code_formats, 0, sizeof info.code_formats);
    if (ask(asked, op, kernel, params, &info))
        complain(asked, op, kernel, "accepts a device that runs no kernels");
}

// Portable kernels index with 32 bits: a call that needs more must be refused.
static void ask_far_rows(asked *asked, const iso_op_info *op, const iso_kernel *kernel, const void *params)
{
    uint8_t far[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    if (kernel->codes[0].format == ISO_CODE_NATIVE)
        return;
    for (uint32_t i = 0; i < op->input_count + op->output_count; i++) {
        memcpy(far, params, sizeof far);
        iso_tensor *tensor = (iso_tensor *)far + i;
        if (!iso_tensor_present(tensor) || iso_tensor_rows(tensor) < 3)
            continue;
        tensor->row_stride = 0xfffffff0u;
        if (op->check(far) == ISO_OK &&
            ask(asked, op, kernel, far, iso_device_get_info(asked->context->device)))
            complain(asked, op, kernel, "accepts rows beyond the reach of a 32-bit index");
    }
}

static iso_status try_neighbour(asked *asked, const conform_op_case *wanted, const char *unit)
{
    const iso_op_info *op = wanted->op;
    conform_built built;
    iso_status status = conform_built_init(&built, wanted, asked->context->seed, false);
    if (status == ISO_INVALID_ARGUMENT)
        return ISO_OK; // outside of the op's contract: no kernel is ever asked
    ISO_TRY(status);
    asked->neighbours++;
    status = conform_built_refer(&built, wanted, &asked->context->numerics);
    for (uint32_t k = 0; k < op->kernel_count && status == ISO_OK; k++) {
        const iso_kernel *kernel = op->kernels[k];
        if (!ask(asked, op, kernel, built.params, iso_device_get_info(asked->context->device))) {
            asked->no++;
            continue;
        }
        asked->yes++;
        ask_lesser_devices(asked, op, kernel, built.params);
        ask_far_rows(asked, op, kernel, built.params);
        conform_result result;
        status = conform_run_kernel(asked->context, wanted, &built, kernel, unit, &result);
        if (status == ISO_OK && result.outcome != CONFORM_PASS)
            asked->context->report(asked->context, &result);
    }
    conform_built_deinit(&built);
    return status;
}

iso_status conform_unit_honesty(conform_context *context, const conform_op_case *wanted, const char *unit)
{
    asked asked = {.context = context};
    char name[CONFORM_UNIT_BYTES + 16];
    const movable *moves = movable_of(wanted->op);
    for (uint32_t i = 0; i < 8; i++) {
        for (int step = -1; step <= 1 && moves->numbers[i]; step += 2) {
            uint32_t numbers[8];
            memcpy(numbers, wanted->op->cases[wanted->number], sizeof numbers);
            if (step < 0 && numbers[i] <= (moves->numbers[i] == 1 ? 1u : 0u))
                continue;
            numbers[i] += (uint32_t)step;
            conform_op_case neighbour = *wanted;
            neighbour.numbers = numbers;
            // A case file of its own: number 2 plus 1.
            snprintf(name, sizeof name, "%s/%u%+d", unit, i, step);
            ISO_TRY(try_neighbour(&asked, &neighbour, name));
        }
    }
    conform_result result = conform_result_make(CONFORM_PASS, "supports",
                                                "%u neighbours, %u yes, all run; %u no, all with a reason",
                                                asked.neighbours, asked.yes, asked.no);
    snprintf(result.op, sizeof result.op, "%s", wanted->op->name);
    context->report(context, &result);
    return ISO_OK;
}
