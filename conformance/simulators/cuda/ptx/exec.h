// SPDX-License-Identifier: MIT
//
// What the parts of the executor share: the state of a warp, of a block, of a launch. A register is 32 lanes
// of its size, a predicate one word of 32 bits. An instruction's function gets the lanes that are to execute
// it.
#pragma once

#include "ir.h"
#include "memory.h"

#include <pthread.h>
#include <string.h>

#define PTX_LANES       32
#define PTX_MAX_WARPS   32
#define PTX_ALL         0xffffffffu
#define PTX_BARRIERS    16
#define PTX_MAX_PENDING (1u << 16) // cp.async of a warp
#define PTX_TURNS       4096 // backward branches after which the lowest lanes of a warp let the others run

// An access to a word of shared memory: thread 10 bits, clock 17, atomic 1, bytes 4. 0: none.
#define PTX_S_CLOCK_BITS 17
#define PTX_S_CLOCK_MAX  ((1u << PTX_S_CLOCK_BITS) - 1)

// State of a byte of shared memory.
enum { PTX_BYTE_UNWRITTEN = 0, PTX_BYTE_WRITTEN = 1, PTX_BYTE_PENDING = 2, PTX_BYTE_OUTSIDE = 4 };

typedef struct ptx_pending { // one cp.async of one thread
    uint32_t to, bytes, group, lane;
    uint8_t data[16];
} ptx_pending;

typedef struct ptx_barrier {
    uint32_t arrived, expected;       // threads; expected 0: all of the block
    uint32_t counted;                 // where threads are expected: 32 for each warp that has come as a whole
    uint32_t part[PTX_MAX_WARPS];     // lanes of a warp that have come, of which others are still to come
    uint32_t any, all, count;         // of the predicates
    uint32_t clock_of[PTX_MAX_WARPS]; // at arrival; 0: takes no part
} ptx_barrier;

typedef struct ptx_warp {
    uint8_t *base[2]; // registers, constants
    struct ptx_block *block;
    uint32_t index;
    uint32_t pc;                    // of the active lanes
    uint32_t active, live, next_pc; // next_pc: lowest pc of the other lanes that may run
    uint32_t done;                  // lanes that the instruction has been executed for
    uint32_t at_sync, at_barrier;   // lanes that wait for others of the warp; for others of the block
    uint32_t members[PTX_LANES];    // masks that the lanes at_sync asked for
    uint8_t barrier_of[PTX_LANES];
    uint32_t lane_pc[PTX_LANES];
    bool forced;    // execute the waiting lanes without the missing ones
    uint32_t turns; // times that the lowest lanes went back while others waited
    uint8_t *local;
    uint32_t carry[PTX_LANES];
    uint32_t clock, floor,
        warp_floor; // accesses before `floor` are ordered; before `warp_floor`, those of this warp
    uint32_t lane_known[PTX_LANES][PTX_LANES]; // [lane][other lane]: the clock up to which it is ordered
    uint32_t commit_group[PTX_LANES];
    ptx_pending *pending; // cp.async that nobody has waited for
    uint32_t pending_count, pending_capacity;
    uint64_t executed, lanes_executed;
    uint64_t random;
} ptx_warp;

typedef struct ptx_block {
    struct ptx_run_state *run;
    uint64_t number; // in the grid
    uint32_t serial; // among the blocks of all launches
    uint32_t id[3];
    uint32_t threads, warp_count;
    ptx_warp *warps;
    uint8_t *shared, *state;                    // bytes and what is known of them
    uint32_t *shared_w, *shared_r1, *shared_r2; // last accesses, a word each
    uint32_t shared_limit;                      // end of the window in use
    ptx_barrier barriers[PTX_BARRIERS];
    uint32_t clock, live; // live threads
    uint32_t known[PTX_MAX_WARPS][PTX_MAX_WARPS];
    bool clocks_used_up, stopped,
        may_wait;                 // may_wait: has made strong accesses, as who waits for another block does
    struct ptx_release *acquired; // what other blocks have released to this one
    uint64_t budget;
    uint32_t next_warp;
    uint64_t random;
    ptx_counts counts;
} ptx_block;

// One launch.
typedef struct ptx_run_state {
    const ptx_launch *launch;
    const ptx_kernel *kernel;
    ptx_memory *memory;
    uint8_t *params;
    uint64_t block_count, next_block;
    uint64_t first_serial;
    bool check_initialised, check_races;
    uint32_t window_bytes; // shared memory: all a block may use
    pthread_mutex_t lock;  // reports, releases, next_block
    bool stopped;
    ptx_status status;
    ptx_launch_result *result;
    uint64_t *seen; // findings already reported: line and kind
    uint32_t seen_count, seen_capacity;
    struct ptx_release **releases; // by address
    ptx_arena *arena;
} ptx_run_state;

typedef struct ptx_fault {
    ptx_finding finding;
    uint32_t lane; // the thread; PTX_LANES: none in particular
    uint64_t address;
    uint32_t bytes;
    uint8_t space;
    bool is_write;
    uint64_t other_block;
    uint32_t other_thread;
    bool has_other;
    const char *detail;
} ptx_fault;

// Tells the caller's function; finds the allocation and the source line. Thread-safe.
// Which bytes of its word an access touches, a bit each; of all words where it has several.
static inline uint32_t ptx_byte_mask(uint64_t address, uint32_t bytes)
{
    return bytes >= 4 ? 15u : ((1u << bytes) - 1) << (address & 3);
}

void ptx_report_fault(ptx_warp *warp, const ptx_insn *insn, const ptx_fault *fault);
// The same, and nothing of the launch is executed further.
void ptx_stop(ptx_warp *warp, const ptx_insn *insn, const ptx_fault *fault);

static inline void *ptx_place(const ptx_warp *warp, uint32_t place)
{
    return warp->base[place >> 31] + (place & ~PTX_CONST_SLOT);
}

static inline uint32_t ptx_pred(const ptx_warp *warp, const ptx_insn *insn, uint32_t index)
{
    uint32_t value = *(uint32_t *)ptx_place(warp, insn->o[index]);
    return insn->n[index] ? ~value : value;
}

static inline void ptx_set_pred(ptx_warp *warp, uint32_t place, uint32_t value, uint32_t mask)
{
    uint32_t *p = ptx_place(warp, place);
    *p = (*p & ~mask) | (value & mask);
}

// One lane of a register of 2, 4 or 8 bytes.
static inline uint64_t ptx_get(const ptx_warp *warp, uint32_t place, uint32_t lane_bytes, uint32_t lane)
{
    const uint8_t *p = ptx_place(warp, place);
    return lane_bytes == 8   ? ((const uint64_t *)p)[lane]
           : lane_bytes == 4 ? ((const uint32_t *)p)[lane]
                             : ((const uint16_t *)p)[lane];
}

static inline void ptx_set(ptx_warp *warp, uint32_t place, uint32_t lane_bytes, uint32_t lane, uint64_t value)
{
    uint8_t *p = ptx_place(warp, place);
    if (lane_bytes == 8)
        ((uint64_t *)p)[lane] = value;
    else if (lane_bytes == 4)
        ((uint32_t *)p)[lane] = (uint32_t)value;
    else
        ((uint16_t *)p)[lane] = (uint16_t)value;
}

static inline uint64_t ptx_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

#define PTX_EACH_LANE(lane, mask)                                                                            \
    for (uint32_t lane##_rest = (mask), lane;                                                                \
         lane##_rest && (lane = (uint32_t)__builtin_ctz(lane##_rest), true); lane##_rest &= lane##_rest - 1)

// Warps: see exec_warp.c. The lanes that executed; the others of `mask` wait.
uint32_t ptx_gather_members(ptx_warp *warp, const ptx_insn *insn, uint32_t mask, uint32_t place);
void ptx_warp_synced(ptx_warp *warp, uint32_t lanes);
void ptx_lanes_exit(ptx_warp *warp, const ptx_insn *insn, uint32_t mask);
void ptx_run_warp(ptx_warp *warp, uint64_t quantum);
void ptx_barriers_check(ptx_block *block);
bool ptx_block_step(ptx_block *block, uint64_t quantum); // false: the block has ended

// Adds the instruction to the block's counts, before it is executed.
void ptx_count(ptx_warp *warp, const ptx_insn *insn, uint32_t mask);
void ptx_counts_add(ptx_counts *to, const ptx_counts *from);

// One access of up to 32 lanes to one space.
typedef struct ptx_access {
    uint64_t address[PTX_LANES]; // in the space
    uint8_t *host[PTX_LANES];    // where the bytes are
    uint32_t mask, bytes;        // lanes, and bytes of a lane
    uint8_t space;
    bool is_write, is_strong;
    const uint8_t *values; // what is to be written: [lane][16 bytes], or NULL
} ptx_access;
// Whether an earlier access of another thread of the block is ordered before this lane.
bool ptx_ordered_in_block(const ptx_warp *warp, uint32_t lane, uint32_t thread, uint32_t clock);
bool ptx_ordered_over_blocks(ptx_block *block, uint32_t serial);
// Notes that a lane reads through .nc or writes, in words that begin at `use`; reports bytes that are both.
void ptx_note_use(ptx_warp *warp, const ptx_insn *insn, const ptx_access *access, uint32_t lane,
                  ptx_word_use *use);
// A strong access to global memory: may order the accesses of blocks.
void ptx_release_acquire(ptx_warp *warp, uint64_t address, bool releases, bool acquires);

// The functions that ptx_select chooses from; the others are compiled per kind of host (lanes.h).
ptx_run *ptx_select_sync(const ptx_insn *insn);
ptx_run *ptx_select_barrier(const ptx_insn *insn);
void ptx_read_clock(ptx_warp *warp, const ptx_insn *insn, uint32_t mask);
