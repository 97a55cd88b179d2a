// SPDX-License-Identifier: MIT
//
// The guilty call as a file that runs alone (bisect.h).
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/bisect/bisect.h"
#include "conformance/ops/case_file.h"

// The unit is the file's name without its ending.
static iso_status write_named(const char *path, conform_case *test_case)
{
    char unit[CONFORM_UNIT_BYTES];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strlen(name);
    if (length == 0 || length >= sizeof unit)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "the case's path \"%.100s\" has a name of %zu characters; allowed: 1 to %zu", path,
                        length, sizeof unit - 1);
    snprintf(unit, sizeof unit, "%s", name);
    if (length > 5 && strcmp(name + length - 5, ".case") == 0)
        unit[length - 5] = 0;
    test_case->unit = unit;
    return conform_case_write_file(path, test_case);
}

// Elements that the op leaves alone may hold anything.
static void free_unwritten(const iso_op_info *op, const void *params, iso_reference_output *expected)
{
    const iso_tensor *outputs = (const iso_tensor *)params + op->input_count;
    for (uint32_t o = 0; o < op->output_count; o++)
        for (uint64_t i = 0; i < iso_tensor_elems(&outputs[o]); i++)
            if (expected[o].bound[i] < 0)
                expected[o].bound[i] = (double)INFINITY;
}

iso_status conform_bisect_write_case(const conform_bisect_options *options, const conform_bisection *found,
                                     const conform_guilty *guilty, const char *path)
{
    const conform_subject *s = options->subject;
    const iso_op_info *op = conform_node_op(s->graph, guilty->node);
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_reference_output expected[ISO_MAX_OPERANDS] = {{0}};
    const iso_numerics numerics = iso_kernel_numerics(guilty->kernel, options->numerics);
    char detail[CONFORM_DETAIL_BYTES];
    void **inputs = NULL;
    iso_status status = ISO_OK;
    snprintf(detail, sizeof detail, "%s, step %u of %u tokens, on %s: error / bound %.3g",
             conform_node_name(s->graph, guilty->node), guilty->step, guilty->tokens,
             iso_device_name(options->device), guilty->verdict.score);
    conform_case test_case = {.op = op,
                              .params = params,
                              .expected = expected,
                              .kernel = guilty->kernel ? guilty->kernel->name : "",
                              .detail = detail};
    ISO_TRY_GOTO(ISO_NEW(NULL, iso_graph_value_count(s->graph), &inputs), done);
    ISO_TRY_GOTO(conform_trace_params(guilty->beneath ? &found->reference : &found->device, s, guilty->step,
                                      guilty->node, inputs, params),
                 done);
    ISO_TRY_GOTO(conform_make_expected(op, params, &numerics, expected), done);
    free_unwritten(op, params, expected);
    ISO_TRY_GOTO(write_named(path, &test_case), done);
done:
    conform_free_expected(op, expected);
    conform_free_inputs(s, inputs);
    return status;
}
