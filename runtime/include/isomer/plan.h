// SPDX-License-Identifier: MIT
//
// The plan: how a graph runs on given devices. Passes, in this order, each a file of its own under
// runtime/plan/:
//
//   legalise  activations get their dtype; FP8 linears get quantised inputs where W8A8 is asked for
//   place     each op goes to the device of its layer; transfers appear where a value crosses over
//   select    each op is bound to the first kernel that accepts it, for each step size; every refusal is kept
//   lay out   activations get offsets in one arena per device, by liveness
//   record    command lists (done by the session, which owns the memory)
//
// A plan is made for a few step sizes (T tokens, R rows of logits); a step runs under the smallest that fits,
// padded.
#ifndef ISOMER_PLAN_H
#define ISOMER_PLAN_H

#include "isomer/device.h"
#include "isomer/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

typedef struct iso_plan iso_plan;

#define ISO_MAX_PLAN_DEVICES 8
#define ISO_MAX_STEP_SIZES   12

// Layers first … last (inclusive) run on devices[device]. The first range begins at layer 0, each other where
// the one before ends. Layer -1 goes with the first range, layers beyond the last range (the head) with the
// last.
typedef struct iso_layer_range {
    int32_t first_layer, last_layer;
    uint32_t device;
} iso_layer_range;

typedef struct iso_step_size {
    uint32_t tokens; // T
    uint32_t rows;   // R <= T
} iso_step_size;

typedef struct iso_plan_options {
    const iso_allocator *allocator;
    iso_device *const *devices;    // lent; outlive the plan
    uint32_t device_count;         // 1 to ISO_MAX_PLAN_DEVICES
    const iso_layer_range *ranges; // NULL: everything on devices[0]
    uint32_t range_count;
    // 0: an op without a kernel on its device fails the plan; else 1 + the device that runs such ops, and
    // with them all ops that use the same cache.
    uint32_t fallback_device;
    iso_dtype activation;       // F32 (also when NONE) or BF16
    bool w8a8;                  // quantise the inputs of FP8 linears per token and 128 channels
    const iso_step_size *sizes; // ascending in tokens, then rows
    uint32_t size_count;        // 1 to ISO_MAX_STEP_SIZES
    // Pages, sequences and pages per sequence, above 0 where the graph uses them; T and R are ignored.
    iso_dim_values dims;
} iso_plan_options;

// An activation copied from one device to another through the host, before segment `segment`; after the last
// one where `segment` is their count (an output whose latest content is not where the host reads it). One of
// the two is the value itself, or both are copies of it.
typedef struct iso_transfer {
    uint32_t segment;
    iso_value source, target; // root values, each on its device
} iso_transfer;

// Consecutive ops on one device.
typedef struct iso_segment {
    uint32_t device;
    uint32_t first_node, node_count;
} iso_segment;

// Memory that a plan needs on one device.
typedef struct iso_plan_memory {
    uint64_t weight_bytes;
    uint64_t cache_bytes;
    uint64_t arena_bytes; // the largest step size's
    uint64_t input_bytes;
} iso_plan_memory;

// ---- calls ----

// The graph is only read and may be destroyed afterwards. ISO_UNSUPPORTED when an op has no kernel on its
// device: the text names the op and the kernels' reasons. ISO_LIMIT when a value would be too large.
ISO_API iso_status iso_plan_create(const iso_graph *graph, const iso_plan_options *options,
                                   iso_plan **out_plan) ISO_MUST_USE;
ISO_API void iso_plan_destroy(iso_plan *plan);

ISO_API const iso_graph *iso_plan_graph(const iso_plan *plan); // legalised and placed
ISO_API iso_step_size iso_plan_size(const iso_plan *plan, uint32_t size);
ISO_API void iso_plan_get_memory(const iso_plan *plan, uint32_t device, iso_plan_memory *out_memory);
// The kernel bound to a node at step size `size`.
ISO_API const iso_kernel *iso_plan_kernel(const iso_plan *plan, uint32_t size, uint32_t node);

// Whether the kernel has code for the device, accepts the call, and launches no more groups than the device
// allows; otherwise why not.
ISO_API bool iso_plan_kernel_fits(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                  char reason[ISO_REASON_BYTES]);

// What each pass decided, as text; released by iso_free(allocator, …). pass: "legalise", "place", "select",
// "layout".
ISO_API iso_status iso_plan_dump(const iso_plan *plan, const char *pass, const iso_allocator *allocator,
                                 char **out_text) ISO_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
