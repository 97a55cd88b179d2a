// SPDX-License-Identifier: MIT
//
// Runs a model on a device op by op and sees everything: what each op read and wrote, judged by the op's own
// bound on the inputs that it really saw, so that guilt and inheritance cannot be mixed up. The lists are
// recorded once and replayed in each step, like those of a runner. What was seen is kept in a trace.
#ifndef ISOMER_CONFORMANCE_OBSERVE_H
#define ISOMER_CONFORMANCE_OBSERVE_H

#include "conformance/bisect/rig.h"
#include "conformance/bisect/subject.h"
#include "conformance/bisect/verdict.h"

// ---- types: trace ----

// What every node of every step left in the storage of its outputs.
typedef struct conform_trace {
    uint32_t step_count, node_count, value_count;
    void **content;            // [step, node, output]
    conform_verdict *verdicts; // [step, node]
} conform_trace;

#define CONFORM_MAX_OUTPUTS 4

// ---- types: observer ----

typedef struct conform_observer_options {
    const conform_subject *subject;
    iso_device *device;
    const iso_op_table *ops; // NULL: the graph's
    const iso_numerics *numerics;
    double flops_limit;
    bool judge; // else the trace has no verdicts
    // After a guilty op its outputs are replaced by those of `sound`, so that what follows is judged on sound
    // inputs. Indices are replaced without `repair`, too: what reads wrong ones could touch any memory.
    const conform_trace *sound; // NULL: nothing is replaced
    bool repair;
} conform_observer_options;

typedef struct conform_observer {
    conform_observer_options options;
    conform_rig rig;
    void **mirror;  // [value]: what each root value holds on the device; weights are the subject's
    void **scratch; // [output]: storage read back
    void *spare;    // as large
    uint64_t scratch_bytes;
    char input_fault[CONFORM_DETAIL_BYTES]; // what the host wrote to an input did not arrive; "" otherwise
} conform_observer;

// ---- calls ----

iso_status conform_observer_create(const conform_observer_options *options,
                                   conform_observer *out) ISO_MUST_USE;
// Accepts a zeroed observer.
void conform_observer_destroy(conform_observer *observer);
// Whether a node's outputs are indices that later nodes go by.
bool conform_makes_indices(const iso_graph *graph, uint32_t node);
// Steps come in order. The trace is made with conform_trace_create.
iso_status conform_observe_step(conform_observer *observer, uint32_t step, conform_trace *trace) ISO_MUST_USE;

// The call that node made last: its params with the mirror's memory. Valid until the next run.
void conform_observer_params(const conform_observer *observer, uint32_t step, uint32_t node, void *params);

iso_status conform_trace_create(const conform_subject *subject, conform_trace *out) ISO_MUST_USE;
// Accepts a zeroed trace.
void conform_trace_destroy(conform_trace *trace);
const conform_verdict *conform_trace_verdict(const conform_trace *trace, uint32_t step, uint32_t node);
// What a root activation or cache holds in `step` before node `node`; NULL where nothing has written it by
// then.
const void *conform_trace_content(const conform_trace *trace, const iso_graph *graph, uint32_t step,
                                  uint32_t node, iso_value root);
// All that node `node` read, as it was then, with the weights and inputs of the subject. Inputs of the step
// are written to `inputs`, [value], whose memory the caller frees with conform_free_inputs.
iso_status conform_trace_params(const conform_trace *trace, const conform_subject *subject, uint32_t step,
                                uint32_t node, void **inputs, void *params) ISO_MUST_USE;
void conform_free_inputs(const conform_subject *subject, void **inputs);

#endif
