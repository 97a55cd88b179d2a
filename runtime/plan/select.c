// SPDX-License-Identifier: MIT
//
// Pass 3: the first kernel that accepts a node, at one step size. Depends on the params and the device's
// facts only, never on what else is loaded.
#include <string.h>

#include "runtime/plan/plan_internal.h"

void iso_plan_bind_shapes(const iso_plan *plan, const iso_node *node, const iso_dim_values *dims,
                          void *params)
{
    memcpy(params, node->params, sizeof node->params);
    iso_tensor *tensors = params;
    for (uint32_t i = 0; i < node->operand_count; i++)
        tensors[i] = iso_graph_tensor(plan->graph, node->operands[i], dims);
}

bool iso_plan_kernel_fits(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                          char reason[ISO_REASON_BYTES])
{
    return iso_kernel_find_code(kernel, device, reason) && kernel->supports(kernel, params, device, reason) &&
           iso_kernel_groups_fit(kernel, params, device, reason);
}

iso_status iso_plan_explain(const iso_plan *plan, const iso_sized_plan *sized, uint32_t index, iso_text *text)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    char reason[ISO_REASON_BYTES], before[ISO_REASON_BYTES] = "";
    const iso_node *node = &plan->graph->nodes[index];
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    const iso_device_info *device = iso_device_get_info(plan->devices[node->device]);
    iso_plan_bind_shapes(plan, node, &sized->dims, params);
    bool fits = false;
    for (uint32_t k = 0; k < op->kernel_count && !fits; k++) {
        fits = iso_plan_kernel_fits(op->kernels[k], params, device, reason);
        if (fits)
            iso_copy_text(reason, sizeof reason, "yes");
        // Neighbours that say the same say it once.
        if (k && strcmp(reason, before) != 0)
            ISO_TRY(iso_text_append(text, ": %s; ", before));
        else if (k)
            ISO_TRY(iso_text_append(text, ", "));
        ISO_TRY(iso_text_append(text, "%s", op->kernels[k]->name));
        iso_copy_text(before, sizeof before, reason);
    }
    return iso_text_append(text, ": %s", op->kernel_count ? before : "there are no kernels");
}

static iso_status no_kernel(const iso_plan *plan, const iso_sized_plan *sized, uint32_t index)
{
    const iso_node *node = &plan->graph->nodes[index];
    const iso_op_info *op = plan->graph->ops->ops[node->op];
    iso_text reasons = {.allocator = plan->allocator};
    iso_status status = iso_plan_explain(plan, sized, index, &reasons);
    // The remedy comes before the reasons, which may be longer than a record's text.
    if (status == ISO_OK)
        status = iso_fail(
            ISO_UNSUPPORTED,
            "device %s has no kernel for op %s that writes %s; name another device, or a fallback (%s)",
            iso_device_name(plan->devices[node->device]), op->name,
            plan->graph->values[node->operands[op->input_count]].name, iso_text_get(&reasons));
    iso_text_deinit(&reasons);
    return status;
}

iso_status iso_plan_select(const iso_plan *plan, iso_sized_plan *sized)
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    char reason[ISO_REASON_BYTES];
    ISO_TRY(ISO_NEW(plan->allocator, plan->graph->node_count, &sized->kernels));
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        const iso_node *node = &plan->graph->nodes[n];
        const iso_op_info *op = plan->graph->ops->ops[node->op];
        const iso_device_info *device = iso_device_get_info(plan->devices[node->device]);
        iso_plan_bind_shapes(plan, node, &sized->dims, params);
        for (uint32_t k = 0; k < op->kernel_count && !sized->kernels[n]; k++)
            if (iso_plan_kernel_fits(op->kernels[k], params, device, reason))
                sized->kernels[n] = op->kernels[k];
        if (!sized->kernels[n])
            return no_kernel(plan, sized, n);
    }
    return ISO_OK;
}
