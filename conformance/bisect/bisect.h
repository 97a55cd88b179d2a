// SPDX-License-Identifier: MIT
//
// Names the op that makes a model wrong on a device.
//
//   1. The reference runs all steps, observed; its tensors are kept. It is judged, too: a reference that is
//   itself
//      wrong is refused.
//   2. The device runs all steps, observed: every op is judged by its own bound on what it read (observe.h).
//   That
//      finds each op that is wrong whenever it runs, and separates it from those that inherit.
//   3. Where there were any, once more with the reference's tensors in place of what they wrote: finds what
//   their
//      wreckage covered.
//   4. The device runs all steps as a model is really run: one list a step, memory shared, nothing read in
//   between.
//      What differs now, bit by bit, from the observed run is a fault that hides: a list replayed with old
//      inputs, memory used too early, an order not kept. The cut is halved: nodes [first, b) are planned,
//      recorded and run alone, fed with tensors of the observed run, until one more node makes the
//      difference.
//
// Each of these is one partial run of the device over the steps.
#ifndef ISOMER_CONFORMANCE_BISECT_H
#define ISOMER_CONFORMANCE_BISECT_H

#include "conformance/bisect/observe.h"

// ---- types ----

// A fault that hides costs a halving for each op where it shows; after so many the hunt ends.
#define CONFORM_MAX_HIDDEN 4

typedef struct conform_bisect_options {
    const conform_subject *subject;
    iso_device *device, *reference;
    const iso_op_table *device_ops; // other kernels for the device; NULL: those of the library
    const iso_numerics *numerics;   // of the device
    const iso_numerics *reference_numerics;
    double flops_limit; // a call above is judged by a sample of its rows; 0: never
    // May be NULL. What is being done, for people who wait; `done` of `total` steps of it are.
    void (*progress)(void *context, const char *what, uint32_t done, uint32_t total);
    void *progress_context;
} conform_bisect_options;

// An op that adds error above its bound.
typedef struct conform_guilty {
    uint32_t node, step; // the first step where it shows
    uint32_t tokens;     // of that step, without padding
    uint32_t runs;       // partial runs of the device until it was named
    bool beneath;        // shows only when ops before it are repaired
    bool hidden;         // shows only when nothing is read between the ops
    bool late;           // an earlier step of the same size, by the same list, was right
    bool one_size;       // the other sizes that ran were right
    const iso_kernel *kernel;
    conform_verdict verdict; // of that step
} conform_guilty;

typedef struct conform_bisection {
    conform_guilty *guilty; // [op_count]; those that show under observation first, in the order of the graph
    uint32_t guilty_count;
    uint32_t runs;     // partial runs on the device
    uint32_t op_count; // nodes of the graph
    bool *inherits;    // [node]: off by more than its own bound, and only because of what it read
    uint32_t unjudged; // calls of the first observed run of which no element was judged
    bool sampled;      // some calls were judged by a sample of their rows
    // An op that makes indices is guilty, or one failed. It is not run unobserved: what reads wrong indices
    // could touch any memory.
    bool wild;
    char transport[CONFORM_DETAIL_BYTES]; // what the host writes does not arrive, or late; "" otherwise
    conform_trace reference, device;
} conform_bisection;

// ---- calls ----

// ISO_OK with what was found. ISO_UNSUPPORTED: the device has no kernel for an op. ISO_INVALID_ARGUMENT: the
// reference is wrong itself.
iso_status conform_bisect(const conform_bisect_options *options, conform_bisection *out) ISO_MUST_USE;
// Accepts a zeroed one.
void conform_bisection_destroy(conform_bisection *bisection);

// Writes the guilty call with its inputs, what is expected and the bounds (conformance/ops/case_file.h).
iso_status conform_bisect_write_case(const conform_bisect_options *options, const conform_bisection *found,
                                     const conform_guilty *guilty, const char *path) ISO_MUST_USE;

// ---- swap ----

// The effect of running one class of ops on the device and all others on the reference.
typedef struct conform_swap {
    uint32_t op;         // in the op table
    uint32_t node_count; // of that class
    double worst, rms;   // of the logits' differences, in units of the RMS of the reference's logits
    uint32_t choices;    // routed experts that are not the reference's
} conform_swap;

// Fills an entry for each op class of the graph, the one with the largest effect first. `out` has room for
// ISO_OP_COUNT.
iso_status conform_swap_run(const conform_bisect_options *options, conform_swap *out,
                            uint32_t *out_count) ISO_MUST_USE;

#endif
