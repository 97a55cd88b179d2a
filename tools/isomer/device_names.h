// SPDX-License-Identifier: MIT
//
// How a device stands in an answer: by what it and its driver call themselves beside the name that chooses
// it, so that a simulated chip's figures are not taken for a chip's.
#ifndef ISOMER_TOOLS_DEVICE_NAMES_H
#define ISOMER_TOOLS_DEVICE_NAMES_H

#include <jansson.h>
#include <stdio.h>

#include "isomer/device.h"

// "cuda:0: NVIDIA H100 80GB HBM3 (simulated sm_90); CUDA 13.0" and a newline.
void cli_print_device(FILE *to, const char *device, const iso_device_info *info);

// "device", "name" and "driver" into an object (cli_json_put).
void cli_put_device(json_t **object, const char *device, const iso_device_info *info);

#endif
