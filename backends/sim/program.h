// SPDX-License-Identifier: MIT
//
// A decoded kernel: what decode*.c make and lanes.c runs. Every value of the SPIR-V text is a row of a
// register file, one 32-bit word for each lane of a subgroup (structure of arrays); a step is one function
// over rows. Nothing is looked up by name or id while it runs.
//
// Truth is ~0 and falsehood 0. Function variables are rows too, so most loads are no step at all: the reader
// uses the variable's row. Pointers are resolved while decoding: an access names its variable or its
// argument.
#ifndef ISOMER_BACKENDS_SIM_PROGRAM_H
#define ISOMER_BACKENDS_SIM_PROGRAM_H

#include "backends/sim/sim.h"

#define SIM_POISON 0x7fc1a5a5u // NaN as F32 and as BF16; far outside of any array as an index
#define SIM_NONE   UINT32_MAX

enum {
    SIM_MAX_ROWS = 1 << 14,         // of one kernel
    SIM_MAX_SHARED_WORDS = 1 << 14, // of one group: 64 KiB
    SIM_MAX_CALL_DEPTH = 16,
    SIM_MAX_ROUNDS = 1 << 20, // backward jumps of a subgroup in a group; the dialect allows a lane 65535
    SIM_VECTOR = 4,           // lanes of one host vector; rows are whole vectors
};

struct sim_lanes;
struct sim_step;
// Runs one step; gives the step after it, or NULL when the lanes end, stop at a barrier or failed.
typedef const struct sim_step *(*sim_run)(struct sim_lanes *lanes, const struct sim_step *step);

// `to`, `a`, `b`, `c`: word offsets into the register file, or numbers of what the operation names.
typedef struct sim_step {
    sim_run run;
    uint32_t to, a, b, c;
} sim_step;

// What an index ranges over: an array of the text, or a buffer argument (length from the launch).
typedef struct sim_variable {
    char name[SIM_NAME_BYTES];
    uint32_t base;   // Function: word offset of the first row; Workgroup: word of the group's memory
    uint32_t length; // elements
} sim_variable;

typedef struct sim_argument {
    char name[SIM_NAME_BYTES];
    iso_arg_kind kind;
    bool is_float; // of its elements, or the value itself
    uint32_t row;  // of a value
} sim_argument;

typedef enum sim_kind { SIM_KIND_BOOL, SIM_KIND_U32, SIM_KIND_I32, SIM_KIND_F32 } sim_kind;

// A rule at one place of the text.
typedef struct sim_fault {
    sim_rule rule;     // with its terms' arguments bound
    sim_kind kind;     // of the value that passes
    uint32_t argument; // where `last` and `past` look, or SIM_NONE
    uint32_t length;   // elements where there is no argument
    uint32_t kept;     // keep: rows of the value before and of whether there is one
} sim_fault;

// One side of a branch, for coverage.
typedef struct sim_side {
    char text[120];
} sim_side;

typedef struct sim_case {
    uint32_t value, target; // step
} sim_case;

typedef struct sim_rows {
    uint32_t local_id[3], group_id[3], group_count[3], global_id[3], local_index; // SIM_NONE where unused
} sim_rows;

struct sim_program {
    const iso_allocator *allocator;
    const sim_chip *chip;
    char name[128];
    uint32_t group_size;
    uint32_t subgroup; // lanes that run together: at most the group's
    uint32_t width;    // words of a row: subgroup in whole vectors

    sim_step *steps;
    size_t step_count, step_capacity;
    uint32_t main_step;
    uint32_t row_words; // of the whole register file
    uint32_t label_count;
    uint32_t shared_words;

    // Rows with the same content in all lanes and launches.
    struct sim_constant {
        uint32_t row, value;
    } * constants;
    size_t constant_count, constant_capacity;
    uint32_t *poisoned; // rows of Function variables
    size_t poisoned_count, poisoned_capacity;
    sim_rows builtin;

    sim_argument arguments[ISO_MAX_KERNEL_ARGS];
    uint32_t argument_count;
    sim_variable *variables;
    size_t variable_count, variable_capacity;
    sim_fault *faults;
    size_t fault_count, fault_capacity;
    sim_case *cases;
    size_t case_count, case_capacity;
    sim_side *sides;
    size_t side_count, side_capacity;

    uint8_t *taken;       // [side_count], added to by each launch
    uint64_t *lane_steps; // steps times lanes, in all launches
};

// What the steps of one subgroup work on.
typedef struct sim_waiting {
    const sim_step *at;
    uint32_t *mask;
} sim_waiting;

typedef struct sim_frame {
    const sim_step *back;
    uint32_t *mask;
    uint32_t base; // of its waiting lanes
    bool full;
} sim_frame;

typedef struct sim_buffer {
    uint32_t *words;
    uint64_t length; // words in range
    uint64_t room;   // words to the end of the allocation, slack included
} sim_buffer;

typedef struct sim_group {
    const sim_work *work;
    const sim_program *program;
    uint32_t id[3];
    uint32_t *shared;
    sim_buffer buffers[ISO_MAX_KERNEL_ARGS];
} sim_group;

typedef struct sim_lanes {
    const sim_group *group;
    uint32_t *rows;
    uint32_t vectors; // of a row
    uint32_t width;
    uint32_t first; // number of lane 0 in its group
    uint32_t *active, *all, *saved;
    bool full; // all lanes that exist are active
    bool saved_full;
    sim_waiting *waiting; // the lowest step last; each frame's own from `base`
    uint32_t waiting_count, base;
    sim_frame frames[SIM_MAX_CALL_DEPTH];
    uint32_t depth;
    uint32_t rounds;
    const sim_step *resume;  // after a barrier; NULL: ended
    const sim_step *barrier; // where it waits
    iso_status status;
} sim_lanes;

// ---- steps (arithmetic.c, lanes.c, faults.c) ----

// arithmetic.c: to = a op b; whole rows, whichever lanes are active.
const sim_step *iso_sim_run_copy(sim_lanes *lanes, const sim_step *step);
#define SIM_DECLARE(name) const sim_step *iso_sim_run_##name(sim_lanes *lanes, const sim_step *step);
// clang-format off
#define SIM_ARITHMETIC(X)                                                                              \
    X(iadd) X(isub) X(imul) X(udiv) X(sdiv) X(umod) X(srem) X(smod) X(ineg)                            \
    X(and) X(or) X(xor) X(not) X(equal_bits) X(shl) X(shr) X(sar) X(select)                            \
    X(ieq) X(ine) X(ult) X(ule) X(slt) X(sle)                                                          \
    X(feq) X(fne) X(flt) X(fle) X(fone) X(fueq) X(funlt) X(funle)                                      \
    X(umin) X(umax) X(smin) X(smax) X(sabs) X(umul_extended)                                           \
    X(fadd) X(fsub) X(fmul) X(fdiv) X(fneg) X(fabs) X(fmin) X(fmax) X(sqrt) X(floor) X(ceil) X(trunc)  \
    X(round_even) X(fma) X(fms) X(fnma)                                                                \
    X(fadd_cut) X(fsub_cut) X(fma_cut) X(fms_cut) X(fnma_cut) X(flush)                                 \
    X(u2f) X(s2f) X(f2u) X(f2s)
// clang-format on
SIM_ARITHMETIC(SIM_DECLARE)

// lanes.c: what depends on the active lanes, and flow.
const sim_step *iso_sim_run_set(sim_lanes *lanes, const sim_step *step);        // to = a where active
const sim_step *iso_sim_run_get_at(sim_lanes *lanes, const sim_step *step);     // to = variable c [a]
const sim_step *iso_sim_run_set_at(sim_lanes *lanes, const sim_step *step);     // variable c [a] = to
const sim_step *iso_sim_run_get_shared(sim_lanes *lanes, const sim_step *step); // to = shared variable c [a]
const sim_step *iso_sim_run_set_shared(sim_lanes *lanes, const sim_step *step); // shared variable c [a] = to
const sim_step *iso_sim_run_get_buffer(sim_lanes *lanes, const sim_step *step); // to = argument c [a + b]
const sim_step *iso_sim_run_set_buffer(sim_lanes *lanes, const sim_step *step); // argument c [a + b] = to
const sim_step *iso_sim_run_jump(sim_lanes *lanes, const sim_step *step);       // to step b
const sim_step *iso_sim_run_branch(sim_lanes *lanes,
                                   const sim_step *step); // a: step b, else c; sides from `to`
const sim_step *iso_sim_run_switch(sim_lanes *lanes, const sim_step *step); // a: cases from b, c in all
const sim_step *iso_sim_run_call(sim_lanes *lanes, const sim_step *step);   // to step b
const sim_step *iso_sim_run_return(sim_lanes *lanes, const sim_step *step); // of the active lanes
const sim_step *iso_sim_run_barrier(sim_lanes *lanes,
                                    const sim_step *step); // number `to`; fault c or SIM_NONE
const sim_step *iso_sim_run_unreachable(sim_lanes *lanes, const sim_step *step);

// faults.c: row `to` is changed by fault c where its condition holds; a is the row of the index or SIM_NONE.
const sim_step *iso_sim_run_fault(sim_lanes *lanes, const sim_step *step);
const sim_step *iso_sim_run_fault_other(sim_lanes *lanes, const sim_step *step); // takes row b instead
const sim_step *iso_sim_run_fault_hole(sim_lanes *lanes,
                                       const sim_step *step); // those lanes rest until `heal`
const sim_step *iso_sim_run_fault_heal(sim_lanes *lanes, const sim_step *step);
const sim_step *iso_sim_run_fault_past_read(sim_lanes *lanes, const sim_step *step);
const sim_step *iso_sim_run_fault_past_write(sim_lanes *lanes, const sim_step *step);

// Whether a fault without an index acts on the group as a whole.
bool iso_sim_fault_in_group(const sim_group *group, const sim_fault *fault);

// The lanes of `mask` are the active ones.
void iso_sim_lanes_set_mask(sim_lanes *lanes, const uint32_t *mask);

#endif
