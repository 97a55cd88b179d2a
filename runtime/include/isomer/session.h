// SPDX-License-Identifier: MIT
//
// A session owns what a plan needs on its devices (weights, caches, arenas, recorded command lists) and
// replays steps: write inputs, run, read outputs. Nothing on that path allocates, looks a name up, or chooses
// a kernel.
//
// Threads: one thread at a time. The plan and its devices outlive the session.
#ifndef ISOMER_SESSION_H
#define ISOMER_SESSION_H

#include "isomer/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_session iso_session;

// Takes the bytes of one weight in any number of pieces.
typedef struct iso_weight_sink {
    void *context;
    iso_status (*write)(void *context, uint64_t offset_bytes, const void *data, uint64_t bytes);
} iso_weight_sink;

// Gives all bytes of the weight with this tag, laid out as the graph's value says, to the sink. Called once
// for each device that holds the weight.
typedef struct iso_weight_source {
    void *context;
    iso_status (*upload)(void *context, uint32_t tag, const iso_weight_sink *sink);
} iso_weight_source;

typedef struct iso_session_options {
    const iso_allocator *allocator;
    iso_weight_source weights;
    // May be NULL. Called after each weight.
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_context;
    bool poison; // fill each arena with NaN before each step: reads of what was never written show
} iso_session_options;

// ---- calls ----

// Uploads the weights and records a command list for each step size. ISO_OUT_OF_MEMORY names the device, what
// did not fit and how much is needed in all.
ISO_API iso_status iso_session_create(const iso_plan *plan, const iso_session_options *options,
                                      iso_session **out_session) ISO_MUST_USE;
ISO_API void iso_session_destroy(iso_session *session);

// The smallest recorded step size that holds `tokens` and `rows`. ISO_LIMIT when none does.
ISO_API iso_status iso_session_find_size(const iso_session *session, uint32_t tokens, uint32_t rows,
                                         uint32_t *out_size) ISO_MUST_USE;

// `input` is the source graph's value (not a view); it is written on every device that reads it, in order
// with the steps. ISO_INVALID_ARGUMENT: no input, or beyond its end.
ISO_API iso_status iso_session_write(iso_session *session, iso_value input, uint64_t offset_bytes,
                                     const void *data, uint64_t bytes) ISO_MUST_USE;
// Runs the whole step and waits for it; on failure too, nothing is in flight afterwards.
ISO_API iso_status iso_session_run(iso_session *session, uint32_t size) ISO_MUST_USE;
// Reads a value that the graph marked as an output, or a cache, in the dtype that the plan gave it.
// offset_bytes counts from the value's first element; rows of a view lie as in its base, row_stride apart.
// ISO_INVALID_ARGUMENT: not an output, beyond its end, or `size` is not that of the latest run.
ISO_API iso_status iso_session_read(const iso_session *session, uint32_t size, iso_value output,
                                    uint64_t offset_bytes, void *data, uint64_t bytes) ISO_MUST_USE;
// The dtype of a value in this plan.
ISO_API iso_dtype iso_session_dtype(const iso_session *session, iso_value value);

// Fills every cache with one word (a session's caches are zero at first).
ISO_API iso_status iso_session_fill_caches(iso_session *session, uint32_t pattern) ISO_MUST_USE;

// Time of each node of the latest run of `size`, in ns; the devices must have been opened with `profile`.
// out_ns has room for iso_graph_node_count(iso_plan_graph(plan)) entries.
ISO_API iso_status iso_session_node_times(const iso_session *session, uint32_t size,
                                          uint64_t *out_ns) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
