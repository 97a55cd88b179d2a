// SPDX-License-Identifier: MIT
//
// What the files of the sim backend share. A simulated chip is a text file (chip.c): features that real chips
// have, and faults that broken ones have. It runs the very SPIR-V that ships for Vulkan, by interpretation
// (program.c decodes, execute.c runs), so that whatever a chip does differently can be done to any named
// variable, argument, function or barrier of a kernel's text. Deterministic: no threads, no clock, no chance.
//
// Way of a launch: commands.c resolves arguments -> execute.c runs groups one after the other, the lanes of a
// group together -> faults.c changes what passes a site that a rule names -> memory.c checks each address.
#ifndef ISOMER_BACKENDS_SIM_H
#define ISOMER_BACKENDS_SIM_H

#include "isomer/backend.h"

// ---- types: chip ----

#define SIM_NAME_BYTES  64
#define SIM_NAME_SUFFIX " (simulated)" // of the device's name
#define SIM_MAX_RULES   32

// Features: what an honest chip may have. Zero is a plain chip (IEEE, no contraction).
typedef struct sim_features {
    bool contract;             // a product that only a sum uses is fused with it
    bool flush_subnormals;     // operands and results of float operations
    bool truncate_sums;        // sums of a product keep 24 bits and cut the rest off
    bool no_fp8;               // refuses modules compiled for E4M3 ("linear.portable.f32_e4m3_f32")
    bool fnuz_fp8;             // the same, with the reason that its FP8 is FNUZ (half the value, 0x80 is NaN)
    bool no_f16;               // refuses modules compiled for F16
    uint32_t subgroup;         // reported; lanes that run in lock step; 0: 32
    uint32_t group_limit;      // 0: 1024
    uint64_t memory_bytes;     // 0: 1 GiB
    uint64_t allocation_bytes; // largest allocation; 0: memory_bytes
    uint64_t link_bytes_per_second; // of read and write; 0: as fast as it goes
    uint32_t alignment;             // buffer_alignment_bytes; 0: 16
} sim_features;

// Where a fault acts.
typedef enum sim_site {
    SIM_STORE,   // store VAR: a value stored to a variable, array or shared array of the kernel's text
    SIM_LOAD,    // load VAR: a value read from one, or from a VALUE argument
    SIM_INDEX,   // index PTR: the element index of an access through pointer argument PTR
    SIM_READ,    // read PTR: the 32-bit word read through it
    SIM_WRITE,   // write PTR: the 32-bit word written through it
    SIM_RESULT,  // result FUNC: what a function returns (exp_exact, bf16_bits, e4m3_to_float, sin_phase),
                 // or an instruction: sqrt, fadd, fmul, fdiv, floor, fmax
    SIM_COMPARE, // compare N: the N-th comparison of the kernel's main text, from 0, in SPIR-V order
    SIM_BARRIER, // barrier N: the N-th barrier of the kernel's text, from 0
    SIM_LAUNCH,  // launch: a whole launch
    SIM_LIST,    // list: a submission
    SIM_MODULE,  // module
    SIM_COPY,    // copy: a host write or read
    SIM_SITE_COUNT
} sim_site;

typedef enum sim_change {
    SIM_ADD,      // add X: float sites add X; integer sites add X
    SIM_MULTIPLY, // mul X
    SIM_SET,      // set X
    SIM_XOR,      // xor HEX: bits of the 32-bit value
    SIM_AND,      // and HEX
    SIM_SWAP8,    // swap8: the four bytes of the 32-bit value in reverse order
    SIM_SWAP16,   // swap16: the two halves of the 32-bit value change places
    SIM_ROUND,    // round bf16 | f16 | e4m3: of a float value; of an integer: as a number, to that many bits
    SIM_DROP, // drop: a store, a write or a barrier does not happen; a compare gives false; a launch is left
              // out
    SIM_KEEP, // keep: the value that the site had the time before (this lane's)
    SIM_FLIP, // compare: < becomes <=, > becomes >=, and the other way round; == becomes true
    SIM_NEGATE, // negate
    SIM_EARLY,  // launch: it runs before the launch that was recorded before it
    SIM_TWICE,  // launch: it runs twice
    SIM_STALE,  // list: stale NAME: the buffer bound to argument NAME is seen as it was at the list's first
                // submission where the host has written to it since
    SIM_OTHER, // module: the module created before this one runs in its place where the argument count agrees
    SIM_LATE,  // copy: late write: a write arrives after the next submission, unless a read or a wait comes
               // first; late read: a read gives what was there before the last submission, unless a wait came
               // first
    SIM_CUT,   // launch: cut x | y | z: the last group along it is left out;
               // copy: cut write | read | fill: bytes past the last whole word (of a fill: the last word) are
               // left out
    SIM_ALIGN, // copy: align write | read | fill: the offset is rounded down to a multiple of 4 (of a fill:
               // of 16)
    SIM_CLOBBER, // clobber PTR: after the launch, one bit of the middle of an input buffer is flipped
    SIM_PAST,    // past: read PTR takes the word after the one asked for when it is the last of the buffer's
                 // argument; write PTR writes the word after the last as well
    SIM_CHANGE_COUNT
} sim_change;

// Which passages of the site are changed: all terms must hold; none: each passage. A term is
//     lane | group | launch | index | value | arg NAME   [% N]   == | >= | <=   NUMBER | last
// lane: in its group. group: x. launch: of this kernel on this device, from 0 (of a list: its submissions).
// index: the element index of an access through a pointer, or into an array or shared array (0 without one).
// value: what passes the site, before the change. arg: a VALUE argument of the launch ("count" too).
// last: the last lane of the group, the last group, the last element of the argument's range or of the array.
#define SIM_MAX_TERMS 4

typedef enum sim_subject {
    SIM_LANE,
    SIM_GROUP,
    SIM_LAUNCH_NUMBER,
    SIM_ELEMENT,
    SIM_VALUE,
    SIM_ARGUMENT,
    SIM_SUBJECT_COUNT
} sim_subject;

typedef enum sim_relation { SIM_EQUAL, SIM_AT_LEAST, SIM_AT_MOST, SIM_RELATION_COUNT } sim_relation;

typedef struct sim_term {
    sim_subject subject;
    char arg[SIM_NAME_BYTES]; // SIM_ARGUMENT
    uint32_t arg_number;      // bound by iso_sim_program_create
    uint32_t modulus;         // 0: none
    sim_relation relation;
    bool last; // instead of a number
    double number;
} sim_term;

// One fault: a line "fault KERNEL SITE [TARGET] CHANGE [AMOUNT] [when TERM [and TERM]...]"; further rules of
// the same kernel follow after ';' ("fault rms_norm load eps set 0; result sqrt add 1e-3"). KERNEL is an op's
// name, or a pattern of whole kernel names ("linear.*_e4m3_*", "*").
typedef struct sim_rule {
    char kernel[SIM_NAME_BYTES];
    sim_site site;
    char target[SIM_NAME_BYTES]; // variable, argument, function; "" where the site has none
    uint32_t ordinal;            // of compare, barrier
    sim_change change;
    double amount; // of add, mul, set
    uint32_t bits; // of xor, and; of round: 16, 11 or 8 for bf16, f16, e4m3
    uint32_t term_count;
    sim_term terms[SIM_MAX_TERMS];
} sim_rule;

// What a term is asked of.
typedef struct sim_passage {
    uint32_t lane, group, launch, index;
    uint32_t last_lane, last_group, last_index;
    double value;
    const iso_arg *args; // of the launch
} sim_passage;

// Whether every term of the rule holds (rules.c).
bool iso_sim_rule_applies(const sim_rule *rule, const sim_passage *passage);
// Whether the rule is for the kernel called "op.backend.variant" (rules.c).
bool iso_sim_rule_names(const sim_rule *rule, const char *kernel);

typedef struct sim_chip {
    char name[128];
    sim_features features;
    sim_rule rules[SIM_MAX_RULES];
    uint32_t rule_count;
} sim_chip;

// The names of sites and changes as chip files have them ("store", "add").
const char *iso_sim_site_name(sim_site site);
const char *iso_sim_change_name(sim_change change);

// Parses a chip's text; `file` is for messages. ISO_INVALID_ARGUMENT names line, word and what is allowed.
iso_status iso_sim_chip_parse(const char *text, const char *file, sim_chip *out_chip) ISO_MUST_USE;

// ---- types: program (program.c, execute.c, faults.c) ----

typedef struct sim_program sim_program;

// Decodes a module and binds the chip's rules to its sites. ISO_BUILD_FAILED names the instruction that is
// not understood with its word number; nothing is ever skipped. A rule for this kernel whose target does not
// exist in it is ISO_BUILD_FAILED too, with the names that exist.
iso_status iso_sim_program_create(const iso_allocator *allocator, const sim_chip *chip,
                                  const iso_module_source *source, sim_program **out_program) ISO_MUST_USE;
void iso_sim_program_destroy(sim_program *program);
// Number of the kernel's argument of that name ("count" is one), or -1.
int iso_sim_program_argument(const sim_program *program, const char *name);

// A launch, ready to run; arguments as recorded.
typedef struct sim_work {
    const sim_program *program;
    const char *label;
    uint32_t groups[3];
    uint32_t arg_count;
    iso_arg args[ISO_MAX_KERNEL_ARGS];
    uint32_t launch_number; // of this kernel on this device, from 0
} sim_work;

typedef struct sim_device sim_device;

// Runs all groups. ISO_DEVICE_LOST or the like with kernel, lane, address and argument when an access is
// outside its argument's range (on a chip without faults: others read and lose what real ones would), a
// barrier is not reached by all, or a loop does not end.
iso_status iso_sim_execute(sim_device *device, const sim_work *work) ISO_MUST_USE;

// Branch coverage of a program so far: conditional branches and switches in all, sides taken at least once,
// sides in all. A side that never ran is described by *out_text, one line each ("main, branch 7 (compare of
// `before`): never false"); released by iso_free.
typedef struct sim_coverage {
    uint32_t sides, sides_taken;
} sim_coverage;
void iso_sim_program_coverage(const sim_program *program, sim_coverage *out);
iso_status iso_sim_program_describe_untaken(const sim_program *program, char **out_text) ISO_MUST_USE;
// Appends the program's coverage to the file that ISOMER_SIM_COVERAGE names, if it does: a line "kernel TAB
// sides TAB taken", then a line "kernel TAB text" for each side that never ran.
void iso_sim_coverage_append(const sim_program *program, const char *kernel);

// ---- types: device (sim.c, memory.c, commands.c) ----

// Bytes of a buffer. iso_memory.host is NULL (the memory of a chip is reached over its link); SIM_SLACK_BYTES
// before and after the data belong to the allocation, for SIM_PAST.
#define SIM_SLACK_BYTES 64
unsigned char *iso_sim_memory_data(const iso_memory *memory);

struct sim_device {
    const iso_allocator *allocator;
    const sim_chip *chip;
    uint64_t allocated_bytes;
    bool profile;
    void *state; // of commands.c: lists of late copies, launch counts, the module before
};

#endif
