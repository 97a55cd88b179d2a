// SPDX-License-Identifier: MIT
//
// A plan, condensed for reading: equal ops (same op, device, shapes and kernels) counted once, each with the
// kernels that were bound and refused, and the memory of each device against what it has. Part of `plan`.
#ifndef ISOMER_TOOLS_PLAN_REPORT_H
#define ISOMER_TOOLS_PLAN_REPORT_H

#include "isomer/model.h"
#include "isomer/plan.h"
#include "tools/isomer/machine.h"
#include "tools/isomer/needs.h"

typedef struct plan_group {
    uint32_t node;  // the first of its kind
    uint32_t count; // how many nodes are like it
    int32_t first_layer, last_layer;
} plan_group;

typedef struct plan_device {
    const iso_device_info *info;
    const char *name;
    iso_plan_memory memory;
    uint64_t total_bytes;
    uint64_t largest_bytes;   // the largest single buffer
    const char *largest_name; // what is in it
    bool enough_memory, enough_allocation;
} plan_device;

typedef struct plan_report {
    const iso_plan *plan;
    const iso_graph *graph; // the plan's own
    const iso_model_config *config;
    const cli_machine *machine;
    cli_needs needs;
    uint32_t context, size_count;
    plan_group *groups;
    size_t group_count, group_capacity;
    plan_device devices[ISO_MAX_PLAN_DEVICES];
    bool fits; // every device can hold its part
} plan_report;

// Fills groups and devices from the members above them, which the caller has set.
iso_status plan_report_fill(plan_report *report) ISO_MUST_USE;
void plan_report_deinit(plan_report *report);

void plan_report_print(const plan_report *report);
json_t *plan_report_json(const plan_report *report);

#endif
