// SPDX-License-Identifier: MIT
//
// An interpreter of PTX: loads the text of a module, runs its kernels on the host's threads, and reports what
// a GPU hides. Made to stand behind a CUDA driver's entry points, and knows nothing of them, of Isomer, or of
// any kernel.
//
// Workflow: create a memory; load modules into it; find kernels; launch; read the memory back.
// Does not: clusters, wgmma, TMA, mbarrier, textures, surfaces, recursion, indirect calls. A module that
// needs one of these is refused at load, with the line.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ptx_memory ptx_memory;
typedef struct ptx_module ptx_module;
typedef struct ptx_kernel ptx_kernel;

typedef enum ptx_status {
    PTX_OK = 0,
    PTX_BAD_TEXT,      // not PTX, or PTX that the interpreter does not know; the message names the line
    PTX_NO_MEMORY,     // the host's memory, or the limit given to the memory, is used up
    PTX_NOT_FOUND,     // no such kernel or variable, no allocation at this address
    PTX_BAD_ARGUMENT,  // a size or a count that the kernel or the memory does not allow
    PTX_LAUNCH_FAILED, // the launch was stopped: a trap, a fault, or more instructions than allowed
} ptx_status;

#define PTX_MESSAGE_BYTES 512

// ---- memory ----

// limit_bytes: what all allocations together may take; 0: no limit but the host's.
ptx_memory *ptx_memory_create(uint64_t limit_bytes);
void ptx_memory_destroy(ptx_memory *memory);
// All of these may be called while a launch runs; what the launch uses must not be freed before it has ended,
// and the bytes that it works on are the caller's to leave alone. Addresses are never given twice, so that a
// use after free is always seen. name: for reports, copied, may be NULL.
ptx_status ptx_memory_alloc(ptx_memory *memory, uint64_t bytes, const char *name, uint64_t *out_address);
ptx_status ptx_memory_free(ptx_memory *memory, uint64_t address);
// Host memory that kernels may access (pinned, mapped). It counts as written; the caller keeps it until it is
// freed here.
ptx_status ptx_memory_register(ptx_memory *memory, void *host, uint64_t bytes, uint64_t *out_address);
// Whole ranges inside one allocation. Reading takes bytes as they are; *out_unwritten_bytes (may be NULL)
// counts those that nobody has written.
ptx_status ptx_memory_write(ptx_memory *memory, uint64_t address, const void *data, uint64_t bytes);
ptx_status ptx_memory_read(ptx_memory *memory, uint64_t address, void *data, uint64_t bytes,
                           uint64_t *out_unwritten_bytes);
ptx_status ptx_memory_copy(ptx_memory *memory, uint64_t to, uint64_t from, uint64_t bytes);
// Repeats the low unit_bytes (1, 2, 4) of value over the range.
ptx_status ptx_memory_fill(ptx_memory *memory, uint64_t address, uint32_t value, uint32_t unit_bytes,
                           uint64_t bytes);
// The allocation that holds the address: begin and size.
ptx_status ptx_memory_find(ptx_memory *memory, uint64_t address, uint64_t *out_begin, uint64_t *out_bytes);
uint64_t ptx_memory_used_bytes(const ptx_memory *memory);
// Several devices in one memory: whose what is allocated, registered or loaded from now on is. 0 at first.
void ptx_memory_set_owner(ptx_memory *memory, uint64_t owner);
// Of the allocation that holds the address; 0 where none does.
uint64_t ptx_memory_owner(ptx_memory *memory, uint64_t address);

// ---- modules ----

// Loads PTX text (need not end with a zero). The module's variables are allocated in `memory`, which must
// outlive it. message: at least PTX_MESSAGE_BYTES; holds "line N: ..." on failure.
ptx_status ptx_module_load(ptx_memory *memory, const char *text, size_t text_bytes, char *message,
                           ptx_module **out_module);
void ptx_module_destroy(ptx_module *module);
ptx_status ptx_module_find_variable(const ptx_module *module, const char *name, uint64_t *out_address,
                                    uint64_t *out_bytes);
const ptx_kernel *ptx_module_find_kernel(const ptx_module *module, const char *name);
uint32_t ptx_module_kernel_count(const ptx_module *module);
const ptx_kernel *ptx_module_kernel(const ptx_module *module, uint32_t index);
// 75 for sm_75, 90 for sm_90 and sm_90a
uint32_t ptx_module_target(const ptx_module *module);
// Of the language, as .version has it: 10 x major + minor.
uint32_t ptx_module_version(const ptx_module *module);

typedef struct ptx_param {
    uint32_t offset, bytes, align;
} ptx_param;

typedef struct ptx_kernel_info {
    const char *name;
    const ptx_param *params;
    uint32_t param_count, param_bytes;
    uint32_t shared_bytes; // static
    uint32_t local_bytes;  // per thread
    uint32_t max_threads;  // from .maxntid / .reqntid; 1024 where it says nothing
    uint32_t registers;    // virtual registers in use, in units of 32 bits: no promise about a chip's
    uint32_t instructions;
} ptx_kernel_info;

ptx_kernel_info ptx_kernel_describe(const ptx_kernel *kernel);

// ---- launches ----

typedef enum ptx_finding {
    PTX_OUT_OF_BOUNDS = 0,
    PTX_USE_AFTER_FREE,
    PTX_UNINITIALISED,
    PTX_MISALIGNED,
    PTX_RACE,
    PTX_BARRIER_DIVERGED,
    PTX_WRONG_MASK,
    PTX_DEADLOCK,
    PTX_ENDLESS,
    PTX_ASYNC_NOT_WAITED,
    PTX_READ_ONLY, // a store to constant or parameter memory
    PTX_TRAPPED,
    PTX_NON_COHERENT, // memory that one launch reads through .nc and writes, in whatever order
    PTX_BAD_OPERAND,  // a register whose value the instruction does not allow (barrier number, branch index)
    PTX_FINDING_COUNT
} ptx_finding;

typedef struct ptx_report {
    ptx_finding finding;
    const char *kernel;
    uint32_t ptx_line;
    const char *source_file; // NULL where the PTX has no .loc
    uint32_t source_line;
    uint32_t block[3], thread[3];
    uint64_t address; // 0 where the finding has none
    uint32_t access_bytes;
    const char *space;      // "global", "shared", ...; NULL where the finding has none
    const char *allocation; // name of the variable or allocation nearest to it, or NULL
    uint64_t allocation_address, allocation_bytes;
    // For races: the other access.
    uint32_t other_block[3], other_thread[3];
    char text[PTX_MESSAGE_BYTES]; // one sentence that says all of this
} ptx_report;

// Called with a lock held, from any of the launch's threads. Findings at the same line of the same kind are
// counted, and reported once a launch.
typedef void ptx_report_function(void *user, const ptx_report *report);

// Why a launch must not touch the allocation that begins at the address, in a few words that stay; NULL: it
// may. From any of the launch's threads.
typedef const char *ptx_foreign_function(void *user, uint64_t address);

// How mma forms its sums, which the ISA leaves open. Whole numbers and double precision are always exact and
// fused.
typedef enum ptx_mma {
    PTX_MMA_BY_SEED = 0, // EXACT, or with an approximation_seed STEPS
    PTX_MMA_EXACT,       // in double precision, rounded once
    PTX_MMA_STEPS,       // rounded to single precision after every product
    PTX_MMA_CHIP,        // a model of chips: cut off after a few bits, block by block (exec_mma.c)
} ptx_mma;

typedef enum ptx_class {
#define PTX_CLASS(name, word) PTX_CLASS_##name,
#include "classes.def"
#undef PTX_CLASS
    PTX_CLASS_COUNT
} ptx_class;

// What warps did. An instruction counts once for each time that lanes of a warp come to it together, also
// where its guard lets none of them execute it; bytes are those of the lanes that do. A sector is 32 aligned
// bytes of global memory, counted once for each access of a warp. A shared cycle is what one access takes of
// 32 banks of 4 bytes.
typedef struct ptx_counts {
    uint64_t warps[PTX_CLASS_COUNT];
    uint64_t tensor_flops,
        tensor_flops_8bit; // dense, 2 for a product and its sum; 8bit: those of operands of 8 bits
    uint64_t read_bytes, written_bytes; // of global memory
    uint64_t read_sectors, written_sectors;
    uint64_t shared_bytes, shared_cycles;
} ptx_counts;

const char *ptx_class_name(ptx_class class);

typedef struct ptx_launch {
    const ptx_kernel *kernel;
    uint32_t grid[3], block[3];
    uint32_t dynamic_shared_bytes;
    const void *params; // laid out as the kernel's params say
    uint32_t param_bytes;
    uint32_t thread_count; // host threads; 0: one
    bool cooperative;      // all blocks run at once
    // Checks. Bounds and alignment of what would harm the host are always on.
    bool skip_initialised, skip_races;
    // Approximate instructions: 0 exact (correctly rounded), else anywhere inside the ISA's bound, by this
    // seed.
    uint64_t approximation_seed;
    ptx_mma mma;
    uint32_t chip; // whose sums PTX_MMA_CHIP forms: 80 for sm_80, ...; 0: the module's target
    // Order of warps and blocks: 0 in turn, else by this seed.
    uint64_t schedule_seed;
    // Warp instructions that one block may execute; 0: 2^32.
    uint64_t instruction_limit;
    ptx_report_function *report;
    // Asked about what another owner has; NULL: the launch may touch everything.
    ptx_foreign_function *foreign;
    uint64_t owner;
    void *user;
    ptx_counts *counts; // added to; NULL: nothing is counted
} ptx_launch;

typedef struct ptx_launch_result {
    uint64_t warp_instructions, lane_instructions;
    uint64_t findings[PTX_FINDING_COUNT]; // all, also those not reported for being alike
    char message[PTX_MESSAGE_BYTES];      // why the launch failed
} ptx_launch_result;

ptx_status ptx_launch_run(ptx_memory *memory, const ptx_launch *launch, ptx_launch_result *out_result);
const char *ptx_finding_name(ptx_finding finding);
