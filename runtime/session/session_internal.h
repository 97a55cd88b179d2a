// SPDX-License-Identifier: MIT
//
// What a session owns; shared by its three files: session.c (create, steps), upload.c (memory and weights),
// record.c in runtime/plan (command lists).
#ifndef ISOMER_RUNTIME_SESSION_INTERNAL_H
#define ISOMER_RUNTIME_SESSION_INTERNAL_H

#include "isomer/session.h"
#include "runtime/plan/plan_internal.h"

// A kernel built for one device of the plan.
typedef struct iso_bound_program {
    uint32_t device;
    iso_program program;
} iso_bound_program;

struct iso_session {
    const iso_allocator *allocator;
    const iso_plan *plan;
    bool poison;
    iso_buffer **buffers;                     // [value]: of root weights, inputs and caches
    iso_buffer *arenas[ISO_MAX_PLAN_DEVICES]; // NULL where a device needs none
    iso_bound_program *programs;
    size_t program_count, program_capacity;
    iso_list **lists[ISO_MAX_STEP_SIZES]; // [segment]
    void *staging;                        // for transfers
    uint32_t latest_size; // of the latest run; ISO_MAX_STEP_SIZES before the first, and after one that failed
};

// Allocates buffers and arenas, uploads weights, clears caches.
iso_status iso_session_upload(iso_session *session, const iso_session_options *options) ISO_MUST_USE;
// Records the command lists of one step size.
iso_status iso_plan_record(iso_session *session, uint32_t size) ISO_MUST_USE;

#endif
