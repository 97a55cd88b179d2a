// SPDX-License-Identifier: MIT
//
// The devices that a command line asks for, opened: --device, --place, --fallback and what goes with them.
// One struct holds the registry, each device once, and the layer ranges in the form that plans and runners
// take.
#ifndef ISOMER_TOOLS_MACHINE_H
#define ISOMER_TOOLS_MACHINE_H

#include "isomer/plan.h"
#include "isomer/runner.h"
#include "tools/isomer/options.h"
#include "tools/isomer/place.h"

// Filled from the command line; a member of a command's options struct.
typedef struct cli_device_options {
    const char *device;   // NULL: the CPU
    const char *place;    // NULL: everything on `device`
    const char *fallback; // NULL: none
    uint32_t threads;     // 0: one per core
    uint32_t activation;  // position in CLI_ACTIVATIONS
    uint32_t context;     // tokens; 0: the runner's own choice
    bool w8a8;
} cli_device_options;

#define CLI_ACTIVATIONS "f32|bf16"

// The rows of an option table that fill `member`, a cli_device_options, of `type`.
#define CLI_DEVICE_ROWS(type, member) CLI_WHERE_ROWS(type, member), CLI_HOW_ROWS(type, member)
#define CLI_WHERE_ROWS(type, member)                                                                         \
    {.name = "device",                                                                                       \
     .value = "D",                                                                                           \
     .help = "run on this device: cpu, opencl:0, vulkan:llvmpipe, ... (isomer devices lists them;\n"         \
             "default: cpu)",                                                                                \
     .kind = CLI_TEXT,                                                                                       \
     .offset = offsetof(type, member.device)},                                                               \
        {.name = "place",                                                                                    \
         .value = "P",                                                                                       \
         .help = "run each layer on its own device: 'cpu=0-1,vulkan:0=2-' (instead of --device)",            \
         .kind = CLI_TEXT,                                                                                   \
         .offset = offsetof(type, member.place)},                                                            \
    {                                                                                                        \
        .name = "fallback", .value = "D", .help = "run the ops that a device has no kernel for on this one", \
        .kind = CLI_TEXT, .offset = offsetof(type, member.fallback)                                          \
    }
#define CLI_HOW_ROWS(type, member)                                                                           \
    CLI_THREADS_ROW(type, member),                                                                           \
        {.name = "activation",                                                                               \
         .value = CLI_ACTIVATIONS,                                                                           \
         .help = "number format of activations",                                                             \
         .otherwise = "f32",                                                                                 \
         .kind = CLI_CHOICE,                                                                                 \
         .offset = offsetof(type, member.activation)},                                                       \
        {.name = "w8a8",                                                                                     \
         .help = "quantise the inputs of FP8 linears per token and 128 channels, as DeepSeek runs them",     \
         .kind = CLI_FLAG,                                                                                   \
         .offset = offsetof(type, member.w8a8)},                                                             \
    {                                                                                                        \
        .name = "context", .value = "N",                                                                     \
        .help = "tokens of the longest sequence (default: the model's limit, at most 4096)",                 \
        .kind = CLI_COUNT, .min = 1, .max = UINT32_MAX, .offset = offsetof(type, member.context)             \
    }
#define CLI_THREADS_ROW(type, member)                                                                        \
    {                                                                                                        \
        .name = "threads", .value = "N", .help = "host threads of the CPU device (default: one per core)",   \
        .kind = CLI_COUNT, .min = 1, .max = 1024, .offset = offsetof(type, member.threads)                   \
    }

typedef struct cli_machine {
    iso_registry *registry;
    iso_device *devices[ISO_MAX_PLAN_DEVICES]; // each once
    uint32_t device_count;
    iso_layer_range ranges[CLI_MAX_RANGES];
    uint32_t range_count;     // 0: everything on devices[0]
    bool has_fallback;        // then a device that runs no kernels may be named
    uint32_t fallback_device; // as in iso_plan_options: 0, or 1 + index into devices
    iso_dtype activation;
    bool w8a8;
    uint32_t context_tokens; // 0: not given
    iso_device_options open_options;
} cli_machine;

// Loads the backends that the options name and opens their devices; the ranges cover layers 0 …
// config->layer_count - 1. `profile`: record time stamps. *out is always safe to close.
iso_status cli_machine_open(const cli_device_options *options, const iso_model_config *config, bool profile,
                            cli_machine *out) ISO_MUST_USE;

// All backends and no device, for commands that open their own.
iso_status cli_machine_open_empty(const cli_device_options *options, bool profile,
                                  cli_machine *out) ISO_MUST_USE;

// Opens the device called `name` unless it is open already; *out_index is its position in machine->devices.
iso_status cli_machine_add(cli_machine *machine, const char *name, uint32_t *out_index) ISO_MUST_USE;

// Closes devices and registry. Accepts a zeroed machine; what runs on the devices is destroyed before.
void cli_machine_close(cli_machine *machine);

// The machine's part of the runner's options; the rest is zero. `machine` is lent to the result.
iso_runner_options cli_runner_options(const cli_machine *machine);

#define CLI_DEVICE_NAME_BYTES 32
// The name that a command line knows a device by: "cpu", "opencl:0".
const char *cli_device_name(const iso_device_info *info, char out[CLI_DEVICE_NAME_BYTES]);

// A line on standard error where compiled kernels cannot be kept for the next run.
void cli_note_kernel_cache(void);

// Whether the device takes code in any form (the template backend does not).
bool cli_device_runs_kernels(const iso_device_info *info);

#endif
