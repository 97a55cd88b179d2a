// SPDX-License-Identifier: MIT
//
// A kernel made ready for one device: its modules, and how a call of it is recorded. The one place that knows
// that a kernel may have two launches. Knows no graph and no session.
#ifndef ISOMER_RUNTIME_PROGRAM_H
#define ISOMER_RUNTIME_PROGRAM_H

#include "isomer/device.h"
#include "isomer/op.h"

// ---- types ----

enum { ISO_MAX_LAUNCHES = 2 };

typedef struct iso_program {
    const iso_kernel *kernel;
    iso_module *modules[ISO_MAX_LAUNCHES]; // one for each launch; NULL beyond the last
} iso_program;

// ---- calls ----

// How many launches this call has: a kernel of two may leave nothing to combine.
uint32_t iso_kernel_launch_count(const iso_kernel *kernel, const void *params);

// Whether a device takes so many groups as the call's launches have; otherwise why not.
bool iso_kernel_groups_fit(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                           char reason[ISO_REASON_BYTES]);

// Bytes of scratch memory that a call needs; 0: none.
static inline uint64_t iso_kernel_scratch_bytes(const iso_kernel *kernel, const void *params)
{
    return kernel->combine_entry ? kernel->scratch_bytes(kernel, params) : 0;
}

// Builds the modules. `params` is any call that the kernel supports: it tells the kinds of the arguments.
// ISO_UNSUPPORTED where there is no code for the device; on failure there is nothing to deinit.
iso_status iso_program_init(iso_program *program, iso_device *device, const iso_kernel *kernel,
                            const void *params) ISO_MUST_USE;
void iso_program_deinit(iso_program *program);

// Records a call whose tensors are bound to device memory. `scratch`: iso_kernel_scratch_bytes of memory that
// nothing else uses between the list's barriers before and after; NULL where that is 0.
iso_status iso_program_record(const iso_program *program, const void *params, const iso_arg *scratch,
                              iso_list *list) ISO_MUST_USE;

#endif
