// SPDX-License-Identifier: MIT
//
// What `isomer bisect` prints: guilty ops by kernel, who inherits, and the op-swap matrix.
#ifndef ISOMER_TOOLS_BISECT_PRINT_H
#define ISOMER_TOOLS_BISECT_PRINT_H

#include <jansson.h>

#include "conformance/bisect/bisect.h"

typedef struct bisect_report {
    const char *model;
    const conform_bisect_options *options;
    const conform_bisection *found;
    char case_path[1024]; // "" where there is none
} bisect_report;

void bisect_print(const bisect_report *report);
json_t *bisect_json(const bisect_report *report);
void swap_print(const conform_bisect_options *options, const conform_swap *swaps, uint32_t count);
json_t *swap_json(const conform_bisect_options *options, const conform_swap *swaps, uint32_t count);

#endif
