// SPDX-License-Identifier: MIT
//
// What the driver's parts share: the device's one state, living objects behind checked handles, and the work
// that streams hold back. Knows the interpreter by ptx.h alone. All of it is used under one lock, which
// exports.c takes for every call.
//
// Work is done only when a call waits for it, and then only what that call may rely on: a program that forgot
// to wait sees what it would see on a slow device. Order is kept in clocks: for each stream, how much of
// every other stream comes before.
#pragma once

#include "api.h"
#include "ptx.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define SIM_STREAMS 64   // at once, with the two that are always there
#define SIM_LEGACY  0    // slot of the default stream
#define SIM_PTDS    1    // slot of CU_STREAM_PER_THREAD: one for all threads
#define SIM_PENDING 4096 // operations that a stream holds back
#define SIM_HANDLES (1u << 20)
#define SIM_CHANGED 8
#define SIM_VERSION 13000 // of the interface

// ---- objects ----

typedef enum sim_kind {
    SIM_CONTEXT = 1,
    SIM_STREAM,
    SIM_EVENT,
    SIM_MODULE,
    SIM_FUNCTION,
    SIM_GRAPH,
    SIM_NODE,
    SIM_EXEC,
    SIM_POOL
} sim_kind;

typedef struct sim_object {
    sim_kind kind;
    uint64_t number; // what reports call it
    void *handle;
    struct sim_context *context;
    const char *made_by;
} sim_object;

typedef struct sim_context {
    sim_object object;
    CUresult error; // sticky
    uint32_t flags, retains;
    bool primary;
} sim_context;

typedef struct sim_module {
    sim_object object;
    ptx_module *ptx;
    uint32_t checksum, text_bytes;   // of its text, where instructions are counted
    struct sim_function **functions; // one for each kernel, made when first asked for
} sim_module;

typedef struct sim_function {
    sim_object object;
    sim_module *module;
    const ptx_kernel *kernel;
    ptx_kernel_info info;
    uint32_t dynamic_shared_max;
} sim_function;

typedef struct sim_stream {
    sim_object object;
    uint32_t slot, flags;
    int priority;
} sim_stream;

typedef struct sim_event {
    sim_object object;
    uint32_t flags, slot;
    bool recorded;
    uint64_t seq, time_ns, clock[SIM_STREAMS];
    uint64_t captured;      // number of the graph, where recorded in a stream under capture
    uint32_t captured_node; // UINT32_MAX: before its first node
} sim_event;

typedef struct sim_pool {
    sim_object object;
    uint64_t used, used_high, release_threshold;
    int flags[3];
} sim_pool;

// A new handle for the object, which begins with a sim_object. NULL: too many.
void *sim_handle_add(sim_kind kind, void *object);
// NULL: not a handle, or not of this kind, or no longer.
void *sim_handle_get(sim_kind kind, const void *handle);
void sim_handle_remove(const void *handle);
// The first object of the context (NULL: of any) that has the kind; NULL: none.
sim_object *sim_handle_first(sim_kind kind, const sim_context *context);
void sim_handles_release(void);

// ---- memory ----

// Pinned host memory. `alias` is the simulator's own view of the same pages, so that guarding `user` never
// hits itself.
typedef struct sim_host {
    struct sim_host *next;
    sim_context *context;
    const char *made_by;
    uint8_t *user, *alias;
    uint64_t bytes, number, device;
    bool registered;       // the program's own pages: not guarded
    uint16_t (*guards)[2]; // for each page: operations that read, that write it; NULL: not guarded
    uint32_t watched;      // place in the list that the fault handler looks at
} sim_host;

typedef struct sim_allocation {
    uint64_t address, bytes, number;
    sim_context *context;
    sim_pool *pool;
    const char *made_by, *freed_by; // freed_by also when the free is still queued
    uint32_t slot;                  // of a stream-ordered allocation: when it begins to be
    uint64_t seq;
    bool gone;
} sim_allocation;

CUresult sim_allocate(uint64_t bytes, sim_pool *pool, sim_allocation **out);
// The allocation at or below the address, living or not; NULL: none.
sim_allocation *sim_allocation_at(uint64_t address);
// The host's range: NULL where no pinned memory holds the first byte.
sim_host *sim_host_at(const void *address);
void sim_allocation_end(sim_allocation *allocation);
// Those of the context (NULL: all), reported as left behind.
void sim_memory_release(const sim_context *context, bool report);
void sim_memory_leave_pool(const sim_pool *pool);

// Gives the fault's signal back to whoever had it.
void sim_guard_end(void);
void sim_guard_add(sim_host *host, const uint8_t *alias, uint64_t bytes, bool written);
void sim_guard_remove(sim_host *host, const uint8_t *alias, uint64_t bytes, bool written);

// ---- work ----

typedef enum sim_work_kind {
    SIM_EMPTY,
    SIM_COPY,
    SIM_FILL,
    SIM_LAUNCH,
    SIM_HOST_CALL,
    SIM_FREE,
    SIM_RECORD
} sim_work_kind;

typedef struct sim_side {
    uint64_t device; // 0: host
    uint8_t *host;   // where the simulator reads or writes it
    sim_host *pinned;
} sim_side;

typedef struct sim_work {
    sim_work_kind kind;
    const char *call;
    union {
        struct {
            sim_side to, from;
            uint64_t bytes;
            void *snapshot; // of a source that is not pinned
            uint64_t hash;  // of registered memory on either side, when queued
        } copy;
        struct {
            uint64_t address, bytes;
            uint32_t value, unit_bytes;
        } fill;
        struct {
            sim_function *function;
            void *function_handle;
            uint32_t grid[3], block[3], shared_bytes;
            bool cooperative;
            void *params;
        } launch;
        struct {
            CUhostFn function;
            void *user;
        } host;
        uint64_t free_address;
        void *event_handle;
    } u;
} sim_work;

typedef struct sim_op {
    struct sim_op *next;
    uint64_t seq, after[SIM_STREAMS];
    sim_work work;
} sim_op;

typedef struct sim_slot {
    bool used, non_blocking, dying;
    sim_op *first, *last;
    uint64_t queued, done, seen[SIM_STREAMS];
    struct sim_graph *capture;
    bool captures_origin;
    uint32_t *tails, tail_count; // nodes that the next captured one comes after
} sim_slot;

// Whether any stream is being captured.
bool sim_is_capturing(void);
// Takes the work over in every case, also when it fails.
CUresult sim_submit(uint32_t slot, sim_work *work);
// The same, or a node of the graph where the stream is being captured.
CUresult sim_put(uint32_t slot, sim_work *work);
CUresult sim_run_until(uint32_t slot, uint64_t seq);
CUresult sim_run_all(void);
// One operation towards it; false: nothing was left to do.
bool sim_run_step(uint32_t slot, uint64_t seq);
CUresult sim_slot_of(CUstream stream, uint32_t *out_slot);
// Pending work that uses device memory [begin, end); slot: only what is not ordered before that stream's next
// operation (SIM_STREAMS: all). NULL: none.
const sim_op *sim_pending_use(uint64_t begin, uint64_t end, uint32_t slot);
bool sim_pending_function(const sim_module *module);
void sim_queue_drop(void);

CUresult sim_work_copy(const sim_work *from, sim_work *out);
void sim_work_release(sim_work *work);
// Refuses, with a report, what cannot be right: ranges, dead memory.
CUresult sim_work_check(const sim_work *work);
CUresult sim_work_run(sim_work *work);
// Reports pending work that may run at the same time and touches the same bytes.
void sim_work_report_unordered(const sim_work *work, const uint64_t *after, uint32_t slot);
bool sim_work_uses(const sim_work *work, uint64_t begin, uint64_t end);
// Whether it touches this byte; only_writes: writes it.
bool sim_work_touches(const sim_work *work, uint64_t address, bool only_writes);
void sim_work_guard(sim_work *work, bool on);

// Where the launch adds what it executes; NULL: nothing is counted.
ptx_counts *sim_counts_of(const sim_work *work);
// Appends what was counted to the file, and forgets it.
void sim_counts_write(void);
// POSIX's cksum of the text without `//` comments and white space, up to a zero; *out_bytes: what that
// leaves.
uint32_t sim_checksum(const char *text, size_t bytes, uint32_t *out_bytes);

// ---- the device ----

typedef struct sim_state {
    pthread_mutex_t lock;
    bool initialised;
    const char *call; // the entry point that is running
    uint64_t calls, findings, launches, instructions, numbers;
    // Settings, from the environment.
    uint32_t arch;
    uint64_t memory_limit, fail_call, schedule_seed, approximation_seed;
    bool fail_from, quiet, guard;
    CUresult fail_error;
    const char *failed_call; // the first one that was told to fail
    uint32_t threads, version;
    ptx_mma mma;
    const char *lacks; // an entry point that cuGetProcAddress does not find
    struct {
        int attribute, value;
    } changed[SIM_CHANGED]; // attributes that differ from the chip's
    uint32_t changed_count;
    const char *report_path;
    const char *counts_path; // NULL: nothing is counted
    bool in_host_call;
    ptx_memory *memory;
    sim_slot slots[SIM_STREAMS];
    sim_context *primary;
    sim_pool *default_pool, *current_pool;
    sim_host *hosts;
} sim_state;

extern sim_state sim;

CUresult sim_set_up(void);
sim_context *sim_current(void);
int sim_attribute(CUdevice_attribute attribute, bool *out_known);
uint64_t sim_total_bytes(void);
CUresult sim_parse_error(const char *name);
void sim_context_end(sim_context *context, bool report);

typedef enum sim_finding {
#define SIM_FINDING(name, text) SIM_##name##_FINDING,
#include "findings.def"
#undef SIM_FINDING
} sim_finding;

__attribute__((format(printf, 3, 4))) void sim_report(sim_finding finding, const char *call,
                                                      const char *format, ...);
// "allocation 3 by cuMemAlloc_v2 (4096 bytes at 0x...)"
const char *sim_describe(uint64_t address, char *text, size_t text_bytes);
void *sim_new(size_t bytes);
