// SPDX-License-Identifier: MIT
//
// What the files of the device suite share: counting checks of a unit, and the step kernel with its answer on
// the host. Each unit is a function over a bench; suite_device.c lists them. A unit returns ISO_OK when it
// ran to its end: what it found is counted. A call on the way that must not fail is forwarded, and is then
// the unit's failure.
#ifndef ISOMER_CONFORMANCE_DEVICE_BENCH_H
#define ISOMER_CONFORMANCE_DEVICE_BENCH_H

#include "conformance/profile/probe.h"
#include "conformance/suite/suite.h"

typedef struct device_bench {
    conform_context *context;
    const char *unit; // within the suite: "memory/offsets"
    iso_device *device;
    conform_lab lab;
    uint32_t checks, failures;
} device_bench;

// Counts a check; the first failures of a unit are reported with their text. Returns `right`.
bool device_expect(device_bench *bench, bool right, const char *format, ...) ISO_PRINTF(3, 4);
// A call that must be refused, with one of two statuses (the same twice for one) and a text.
bool device_refused(device_bench *bench, iso_status status, iso_status want, iso_status or_want,
                    const char *what);
// Reports that the unit could not be tried.
void device_skip(device_bench *bench, const char *format, ...) ISO_PRINTF(2, 3);

// `count` bytes that differ from call to call with `salt`.
void device_pattern(uint8_t *bytes, size_t count, uint32_t salt);

// One dispatch of probe_step: y[i] = step of x[i], for `count` words at byte offsets of two buffers.
typedef struct device_step {
    iso_buffer *x, *y;
    uint64_t x_offset, y_offset; // multiples of the device's alignment
    uint32_t count;
    uint32_t multiplier, addend;
    uint32_t rounds; // 0: 1
} device_step;
iso_status device_record_step(device_bench *bench, iso_list *list, const device_step *step) ISO_MUST_USE;
// The same with a count that is far beyond the buffers: it must fail.
iso_status device_record_beyond(device_bench *bench, iso_list *list, const device_step *step) ISO_MUST_USE;
// The step on the host.
void device_apply_step(const device_step *step, const uint32_t *x, uint32_t *y);
// A finished list of one step.
iso_status device_step_list(device_bench *bench, const device_step *step, iso_list **out_list) ISO_MUST_USE;
// A buffer of words, written.
iso_status device_words(iso_device *device, const uint32_t *words, uint32_t count,
                        iso_buffer **out_buffer) ISO_MUST_USE;
// Reads `count` words and compares; what differs is counted as one failed check with the first place.
iso_status device_compare(device_bench *bench, const iso_buffer *buffer, const uint32_t *want, uint32_t count,
                          const char *what) ISO_MUST_USE;
// That the device still works: one small step.
iso_status device_works_on(device_bench *bench, const char *after) ISO_MUST_USE;

// ---- the units ----

iso_status device_alloc_sizes(device_bench *bench);
iso_status device_refuses_ranges(device_bench *bench);
iso_status device_write_offsets(device_bench *bench);
iso_status device_read_offsets(device_bench *bench);
iso_status device_fill_ranges(device_bench *bench);
iso_status device_large_copies(device_bench *bench);
iso_status device_many_buffers(device_bench *bench);
iso_status device_too_large(device_bench *bench);
iso_status device_out_of_memory(device_bench *bench);
iso_status device_counts_bytes(device_bench *bench);

iso_status device_refuses_code(device_bench *bench);
iso_status device_damaged_code(device_bench *bench);
iso_status device_many_modules(device_bench *bench);

iso_status device_list_states(device_bench *bench);
iso_status device_wrong_arguments(device_bench *bench);
iso_status device_odd_counts(device_bench *bench);
iso_status device_argument_offsets(device_bench *bench);
iso_status device_in_place(device_bench *bench);
iso_status device_barriers(device_bench *bench);
iso_status device_independent(device_bench *bench);
iso_status device_wide_grids(device_bench *bench);

iso_status device_replays(device_bench *bench);
iso_status device_write_order(device_bench *bench);
iso_status device_read_waits(device_bench *bench);
iso_status device_fill_order(device_bench *bench);
iso_status device_many_lists(device_bench *bench);
iso_status device_deep_queue(device_bench *bench);
iso_status device_frees_in_flight(device_bench *bench);
iso_status device_lost(device_bench *bench);
iso_status device_empty_lists(device_bench *bench);

iso_status device_times(device_bench *bench);
iso_status device_two_at_once(device_bench *bench);
iso_status device_reopened(device_bench *bench);
iso_status device_copies(device_bench *bench);

#endif
