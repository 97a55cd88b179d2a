// SPDX-License-Identifier: MIT
//
// The buffers of one call on a device, with guards: each storage stands between two margins, elements outside
// of every view and the margins of inputs hold NaN or wild numbers that a stray read picks up, outputs begin
// poisoned, and after the launch nothing but the outputs' views may have changed. Knows nothing of kernels or
// bounds.
#ifndef ISOMER_CONFORMANCE_GUARDED_H
#define ISOMER_CONFORMANCE_GUARDED_H

#include <stdbool.h>

#include "isomer/device.h"
#include "isomer/op.h"

// ---- types ----

// What stands where nothing may be read, and in outputs before the launch. Two rounds with different ones
// give different bits where a kernel lets any of it in.
typedef enum guard_pattern {
    GUARD_NAN,  // NaN in every float type, wild as an integer
    GUARD_WILD, // the largest finite number, another wild integer
    GUARD_PATTERN_COUNT
} guard_pattern;

// One distinct host memory; operands that share it (in place) share the buffer.
typedef struct guarded_storage {
    iso_buffer *buffer;
    uint8_t *image; // what was uploaded, margins included
    uint8_t *now;   // what was read back
    uint64_t bytes; // of image
    uint64_t margin;
    uint32_t operand; // the first operand that lies in it
    bool written;     // an output lies in it
} guarded_storage;

typedef struct guarded {
    const iso_op_info *op;
    iso_device *device;
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8))); // tensors bound to the buffers
    guarded_storage storages[ISO_MAX_OPERANDS];
    uint32_t storage_count;
    uint32_t storage_of[ISO_MAX_OPERANDS];
} guarded;

// ---- calls ----

// Makes the buffers of a call whose tensors lie in host memory.
iso_status guarded_init(guarded *guarded, const iso_op_info *op, const void *params,
                        iso_device *device) ISO_MUST_USE;
// Uploads inputs, margins and poison. With `decoy` the inputs are all zeros instead: a call that is safe to
// launch and whose outputs are others.
iso_status guarded_upload(guarded *guarded, guard_pattern pattern, bool decoy) ISO_MUST_USE;
// Reads everything back.
iso_status guarded_download(guarded *guarded) ISO_MUST_USE;
// After a download: false with a description where an input, a margin or an element between the views was
// changed.
bool guarded_intact(guarded *guarded, char *detail, size_t detail_bytes);
// After a download: rows of output `output`, packed, in its own type. Room for iso_tensor_elems of them.
void guarded_output(const guarded *guarded, uint32_t output, void *packed);
void guarded_deinit(guarded *guarded);

// Whether the op writes a part of this output only and keeps the rest, so that its content is uploaded.
bool guarded_keeps(const iso_op_info *op, uint32_t output);
// The tensor's elements from the start of its storage to its last one.
uint64_t guarded_extent(const iso_tensor *tensor);

#endif
