// SPDX-License-Identifier: MIT
//
// What the driver's parts share: the devices' one state, living objects behind checked handles, and the work
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

#define SIM_DEVICES 8
#define SIM_PEERS   8    // contexts that one may have access to at once
#define SIM_STREAMS 64   // at once, with the two that each context has
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

typedef struct sim_device sim_device;

typedef struct sim_context {
    sim_object object;
    sim_device *device;
    CUresult error; // sticky
    uint32_t flags, retains;
    bool primary;
    uint32_t legacy;        // slot of the default stream
    uint32_t per_thread;    // of CU_STREAM_PER_THREAD: one for all threads
    void *peers[SIM_PEERS]; // handles of contexts whose memory this one may touch
} sim_context;

typedef struct sim_module {
    sim_object object;
    ptx_module *ptx;
    sim_device *device; // NULL until its variables are there
    uint64_t variable_bytes;
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
    sim_device *device;
    uint32_t access; // other devices that may touch its memory, a bit each
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
    bool portable;         // pinned for every context
    uint16_t (*guards)[2]; // for each page: operations that read, that write it; NULL: not guarded
    uint32_t watched;      // place in the list that the fault handler looks at
} sim_host;

typedef struct sim_allocation {
    uint64_t address, bytes, number;
    sim_context *context;
    sim_device *device;
    sim_pool *pool;
    bool pooled;                    // from a pool, which may be gone
    uint32_t access;                // of the pool, when it went
    const char *made_by, *freed_by; // freed_by also when the free is still queued
    uint32_t slot;                  // of a stream-ordered allocation: when it begins to be
    uint64_t seq;
    bool gone;
} sim_allocation;

// In the context's memory, or the pool's.
CUresult sim_allocate(sim_context *context, uint64_t bytes, sim_pool *pool, sim_allocation **out);
// The allocation at or below the address, living or not; NULL: none.
sim_allocation *sim_allocation_at(uint64_t address);
// The host's range: NULL where no pinned memory holds the first byte.
sim_host *sim_host_at(const void *address);
void sim_allocation_end(sim_allocation *allocation);
// Those of the context (NULL: all), reported as left behind.
void sim_memory_release(const sim_context *context, bool report);
void sim_memory_leave_pool(const sim_pool *pool);

// ---- whose what is ----

// What the context may touch: its own, pools of its device or opened to it, peers' memory, portable memory.
bool sim_reaches(const sim_context *context, uint64_t address);
// For the interpreter, about a launch of sim.subject.
const char *sim_foreign(void *user, uint64_t address);
// A finding where the current context is not the one that `what` belongs to.
bool sim_is_foreign(const sim_context *owner, const char *what);

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
    void *context; // handle of the one in which the address is meant
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
            void *context; // as a side's
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
    sim_context *context;
    bool used, non_blocking, dying;
    sim_op *first, *last;
    uint64_t queued, done, seen[SIM_STREAMS];
    struct sim_graph *capture;
    bool captures_origin;
    uint32_t *tails, tail_count; // nodes that the next captured one comes after
} sim_slot;

// Whether any stream of the context (NULL: at all) is being captured.
bool sim_is_capturing(const sim_context *context);
// A slot for a stream of the context; false: none is left.
bool sim_slot_take(sim_context *context, bool non_blocking, uint32_t *out_slot);
bool sim_slot_is_default(uint32_t slot);
// What comes next in the slot runs after all that is queued in the context, and that context's next after it.
void sim_slot_join(uint32_t slot, const sim_context *context);
void sim_slot_hold_up(uint32_t slot, const sim_context *context);
// Takes the work over in every case, also when it fails.
CUresult sim_submit(uint32_t slot, sim_work *work);
// The same, or a node of the graph where the stream is being captured.
CUresult sim_put(uint32_t slot, sim_work *work);
// The answer is the error of the slot's context.
CUresult sim_run_until(uint32_t slot, uint64_t seq);
// All that is queued anywhere; the answer is the error of the current context.
CUresult sim_run_all(void);
// The context's own streams, and its kernels in others'.
CUresult sim_run_context(const sim_context *context);
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

// ---- the devices ----

struct sim_device {
    CUdevice ordinal;
    uint32_t arch;
    uint64_t memory_limit; // 0: the chip's
    uint64_t used_bytes;
    sim_context *primary;
    sim_pool *default_pool, *current_pool;
    char foreign[80]; // why a launch elsewhere must not touch its memory
};

typedef struct sim_state {
    pthread_mutex_t lock;
    bool initialised;
    const char *call;           // the entry point that is running
    const sim_context *subject; // of the work that is running, or that is ending
    bool is_forced;             // the call was told to fail, and only releases
    uint64_t calls, findings, launches, instructions, numbers;
    sim_device devices[SIM_DEVICES];
    uint32_t device_count;
    // Settings, from the environment.
    char archs[8 * SIM_DEVICES]; // of all devices
    uint64_t fail_call, schedule_seed, approximation_seed;
    bool fail_from, quiet, guard;
    CUresult fail_error;
    const char *failed_call; // the first one that was told to fail
    uint32_t threads, version;
    ptx_mma mma;
    const char *lacks; // an entry point that cuGetProcAddress does not find
    struct {
        int device, attribute, value; // device -1: every one
    } changed[SIM_CHANGED];           // attributes that differ from the chip's
    uint32_t changed_count;
    const char *report_path;
    const char *counts_path; // NULL: nothing is counted
    bool in_host_call;
    ptx_memory *memory;
    sim_slot slots[SIM_STREAMS];
    sim_host *hosts;
} sim_state;

extern sim_state sim;

CUresult sim_set_up(void);
sim_context *sim_current(void);
// NULL: no such device.
sim_device *sim_device_at(CUdevice device);
int sim_attribute(const sim_device *device, CUdevice_attribute attribute, bool *out_known);
uint64_t sim_total_bytes(const sim_device *device);
uint64_t sim_left_bytes(const sim_device *device);
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
