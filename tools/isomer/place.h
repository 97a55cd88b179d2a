// SPDX-License-Identifier: MIT
//
// The text of --place, 'cpu=0-1,vulkan:0=2-': which device runs which layers. Text only: whether the devices
// exist is machine.h's business.
#ifndef ISOMER_TOOLS_PLACE_H
#define ISOMER_TOOLS_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "isomer/status.h"

#define CLI_MAX_RANGES        64
#define CLI_DEVICE_TEXT_BYTES 96

typedef struct cli_place_range {
    char device[CLI_DEVICE_TEXT_BYTES];
    uint32_t first_layer, last_layer; // inclusive
} cli_place_range;

typedef struct cli_place {
    cli_place_range ranges[CLI_MAX_RANGES]; // ascending, without gap or overlap, from 0 to layer_count - 1
    uint32_t range_count;
} cli_place;

// Entries "DEVICE=N", "DEVICE=N-M" or "DEVICE=N-" (to the last layer) in any order, commas between. They must
// cover each of the layers 0 … layer_count - 1 once. ISO_INVALID_ARGUMENT names the entry, or the layers that
// no entry covers.
iso_status cli_place_parse(const char *text, uint32_t layer_count, cli_place *out) ISO_MUST_USE;

#endif
