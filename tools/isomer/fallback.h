// SPDX-License-Identifier: MIT
//
// Tells which ops a plan moved to the fallback device, and what they cost. No fallback is silent.
#ifndef ISOMER_TOOLS_FALLBACK_H
#define ISOMER_TOOLS_FALLBACK_H

#include <jansson.h>

#include "isomer/runner.h"
#include "tools/isomer/machine.h"

// How many ops of the runner's plan run on the fallback device because their own has no kernel for them;
// prints a line to standard error for each when `print`.
uint32_t cli_fallback_count(const cli_machine *machine, const iso_runner *runner, bool print);

// The same ops as JSON: [{"op", "layer", "device", "instead_of"}].
json_t *cli_fallback_json(const cli_machine *machine, const iso_runner *runner);

// One line to standard error: time of these ops within the latest step of one token, if there was one. The
// devices must have been opened with `profile`.
iso_status cli_fallback_print_cost(const cli_machine *machine, iso_runner *runner) ISO_MUST_USE;

#endif
