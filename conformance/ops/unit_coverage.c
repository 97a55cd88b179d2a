// SPDX-License-Identifier: MIT
//
// Coverage: for each kernel of each op a case that it accepts, on a device without limits and on this one. A
// static walk over all cases: nothing is launched.
#include <stdio.h>
#include <string.h>

#include "conformance/ops/units.h"
#include "runtime/plan/plan_internal.h"

// A device that has everything the kernel may ask for.
static iso_device_info unlimited_for(const iso_kernel *kernel)
{
    iso_device_info info = {.struct_bytes = sizeof info,
                            .backend = "any",
                            .name = "a device without limits",
                            .available = true,
                            .memory_bytes = UINT64_MAX,
                            .max_allocation_bytes = UINT64_MAX,
                            .buffer_alignment_bytes = 4,
                            .max_group_size = UINT32_MAX,
                            .local_memory_bytes = UINT32_MAX,
                            .subgroup_size = 32,
                            .compute_units = 1,
                            .max_argument_bytes = UINT32_MAX,
                            .features = UINT32_MAX};
    info.code_formats[0] = kernel->codes[0].format;
    if (kernel->backend) {
        iso_copy_text(info.backend, sizeof info.backend, kernel->backend);
        iso_copy_text(info.arch, sizeof info.arch, kernel->arch);
    }
    return info;
}

typedef struct reach {
    uint32_t anywhere, here; // cases that it accepts
    char reason[ISO_REASON_BYTES];
} reach;

// Asks all kernels of the op about one case.
static iso_status ask_kernels(const conform_context *context, const conform_op_case *wanted, reach *reached)
{
    conform_built built;
    ISO_TRY(conform_built_init(&built, wanted, context->seed, true));
    for (uint32_t k = 0; k < wanted->op->kernel_count; k++) {
        char reason[ISO_REASON_BYTES] = "";
        const iso_kernel *kernel = wanted->op->kernels[k];
        const iso_device_info unlimited = unlimited_for(kernel);
        if (!iso_plan_kernel_fits(kernel, built.params, &unlimited, reason))
            continue;
        reached[k].anywhere++;
        if (iso_plan_kernel_fits(kernel, built.params, iso_device_get_info(context->device), reason))
            reached[k].here++;
        else
            memcpy(reached[k].reason, reason, sizeof reason);
    }
    conform_built_deinit(&built);
    return ISO_OK;
}

static void report_kernel(conform_context *context, const iso_op_info *op, const iso_kernel *kernel,
                          const reach *reached)
{
    conform_result result;
    if (reached->anywhere == 0)
        result = conform_result_make(CONFORM_FAIL, kernel->name,
                                     "no case reaches it: the op's %u cases are all refused", op->case_count);
    else if (reached->here == 0)
        result = conform_result_make(CONFORM_UNSUPPORTED, kernel->name, "%s", reached->reason);
    else
        result = conform_result_make(CONFORM_PASS, kernel->name, "%u of %u cases that it accepts run here",
                                     reached->here, reached->anywhere);
    snprintf(result.op, sizeof result.op, "%s", op->name);
    context->report(context, &result);
}

iso_status conform_unit_coverage(conform_context *context)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        conform_op_case wanted = {.op = iso_ops()->ops[o], .stress = ISO_STRESS_NORMAL};
        conform_triple triples[CONFORM_MAX_TRIPLES];
        uint32_t count = conform_triples(wanted.op, triples);
        reach reached[CONFORM_MAX_KERNELS] = {{0}};
        ISO_TRY(conform_kernels_fit(wanted.op));
        for (uint32_t t = 0; t < count; t++)
            for (wanted.number = 0; wanted.number < wanted.op->case_count; wanted.number++) {
                wanted.triple = triples[t];
                ISO_TRY(ask_kernels(context, &wanted, reached));
            }
        for (uint32_t k = 0; k < wanted.op->kernel_count; k++)
            report_kernel(context, wanted.op, wanted.op->kernels[k], &reached[k]);
    }
    return ISO_OK;
}
