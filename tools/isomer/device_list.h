// SPDX-License-Identifier: MIT
//
// --devices: several devices, one after the other, each on its own. They are named here and opened by the
// command when their turn comes, so that no more than one of them holds a model.
#ifndef ISOMER_TOOLS_DEVICE_LIST_H
#define ISOMER_TOOLS_DEVICE_LIST_H

#include "isomer/device.h"
#include "tools/isomer/options.h"

#define CLI_MAX_LISTED_DEVICES 32

typedef struct cli_device_list {
    uint32_t indices[CLI_MAX_LISTED_DEVICES]; // in the registry, each once
    uint32_t count;
} cli_device_list;

// The row of an option table that fills `member`, a const char *, of `type`.
#define CLI_DEVICES_ROW(type, member)                                                                        \
    {                                                                                                        \
        .name = "devices", .value = "A,B,...",                                                               \
        .help = "these devices (default: all of this machine that run kernels)", .kind = CLI_TEXT,           \
        .offset = offsetof(type, member)                                                                     \
    }

// `text`: names, commas between; NULL: every device that is available and runs kernels. ISO_NOT_FOUND,
// ISO_UNAVAILABLE or ISO_INVALID_ARGUMENT names what cannot be used.
iso_status cli_device_list_read(const iso_registry *registry, const char *text,
                                cli_device_list *out) ISO_MUST_USE;

#endif
