// SPDX-License-Identifier: MIT
//
// One kernel over one call on one device, with every guard: run twice from fresh buffers with different
// poison and margins, judged, compared bit by bit. Knows nothing of units, levels or files.
#ifndef ISOMER_CONFORMANCE_TRIAL_H
#define ISOMER_CONFORMANCE_TRIAL_H

#include "conformance/ops/modules.h"

// ---- types ----

typedef struct conform_trial {
    const iso_op_info *op;
    const iso_kernel *kernel;
    const void *params; // host tensors
    const iso_reference_output *expected;
    iso_device *device;
    uint64_t seed; // of the drawn samples
    // Also: a list recorded once and submitted with other inputs before, a module of another kernel in
    // between, and a heavy launch right before. Finds state that is kept where none may be.
    bool thorough;
    conform_modules *modules; // of the device, or NULL
} conform_trial;

// ---- calls ----

// ISO_OK with the verdict in out_result (check, op, hashes, score, samples), whatever it is; a driver that
// refuses to build or to run the kernel is a verdict, too. ISO_UNAVAILABLE where the device was lost.
iso_status conform_trial_run(const conform_trial *trial, conform_result *out_result) ISO_MUST_USE;

// XXH3 of the inputs' views, the shapes and the attributes.
uint64_t conform_input_hash(const iso_op_info *op, const void *params);

// Records a list of one call, whose tensors are bound; `scratch` as for iso_program_record.
iso_status conform_list_create(iso_device *device, const iso_program *program, const void *params,
                               const iso_arg *scratch, iso_list **out_list) ISO_MUST_USE;
// Runs a large launch of another op on the device: what a busy chip leaves behind.
iso_status conform_load_device(iso_device *device, conform_modules *modules) ISO_MUST_USE;

#endif
