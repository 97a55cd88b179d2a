// SPDX-License-Identifier: MIT
//
// The table of all ops, from ops.def. Each entry is defined in a file generated from op_table.c.in.
#include "isomer/ops.h"
#include "kernels/op_list.h"

#define ISO_OP(name, inputs, outputs) extern const iso_op_info iso_op_info_##name;
#include "kernels/ops.def"
#undef ISO_OP

static const iso_op_info *const ops[ISO_OP_COUNT] = {
#define ISO_OP(name, inputs, outputs) &iso_op_info_##name,
#include "kernels/ops.def"
#undef ISO_OP
};

static const iso_quantise_rule quantise_rules[] = {
    {.op = iso_op_linear, .input = 0, .input_scale = 1, .weight = 2},
    {.op = iso_op_grouped_linear, .input = 0, .input_scale = 1, .weight = 2},
};

const iso_op_table *iso_ops(void)
{
    static const iso_op_table table = {
        .ops = ops,
        .count = ISO_OP_COUNT,
        .quantise_op = iso_op_quantize_activation,
        .quantise_rules = quantise_rules,
        .quantise_rule_count = sizeof quantise_rules / sizeof quantise_rules[0],
    };
    return &table;
}
