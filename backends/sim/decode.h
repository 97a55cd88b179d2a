// SPDX-License-Identifier: MIT
//
// What the files that decode SPIR-V share: text.c reads the module (names, types, constants, variables),
// scan.c finds how long each value lives, emit.c, access.c and flow.c make the steps, sites.c puts the faults
// in. Whatever is not understood is a failure that names the instruction and its word. Numbers: SPIR-V
// specification 1.5.
#ifndef ISOMER_BACKENDS_SIM_DECODE_H
#define ISOMER_BACKENDS_SIM_DECODE_H

#include "backends/sim/program.h"

// ---- opcodes that are handled by name; arithmetic is a table (opcodes.c) ----

enum sim_opcode_number {
    OP_NOP = 0,
    OP_UNDEF = 1,
    OP_SOURCE_CONTINUED = 2,
    OP_SOURCE = 3,
    OP_SOURCE_EXTENSION = 4,
    OP_NAME = 5,
    OP_MEMBER_NAME = 6,
    OP_STRING = 7,
    OP_LINE = 8,
    OP_EXT_INST_IMPORT = 11,
    OP_EXT_INST = 12,
    OP_MEMORY_MODEL = 14,
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_TYPE_VOID = 19,
    OP_TYPE_BOOL = 20,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_RUNTIME_ARRAY = 29,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_TYPE_FUNCTION = 33,
    OP_TYPE_FORWARD_POINTER = 39,
    OP_CONSTANT_TRUE = 41,
    OP_CONSTANT_FALSE = 42,
    OP_CONSTANT = 43,
    OP_CONSTANT_COMPOSITE = 44,
    OP_CONSTANT_NULL = 46,
    OP_FUNCTION = 54,
    OP_FUNCTION_PARAMETER = 55,
    OP_FUNCTION_END = 56,
    OP_FUNCTION_CALL = 57,
    OP_VARIABLE = 59,
    OP_LOAD = 61,
    OP_STORE = 62,
    OP_ACCESS_CHAIN = 65,
    OP_IN_BOUNDS_ACCESS_CHAIN = 66,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    OP_COMPOSITE_CONSTRUCT = 80,
    OP_COMPOSITE_EXTRACT = 81,
    OP_FADD = 129,
    OP_FSUB = 131,
    OP_FMUL = 133,
    OP_UMUL_EXTENDED = 151,
    OP_SELECT = 169,
    OP_CONTROL_BARRIER = 224,
    OP_MEMORY_BARRIER = 225,
    OP_PHI = 245,
    OP_LOOP_MERGE = 246,
    OP_SELECTION_MERGE = 247,
    OP_LABEL = 248,
    OP_BRANCH = 249,
    OP_BRANCH_CONDITIONAL = 250,
    OP_SWITCH = 251,
    OP_RETURN = 253,
    OP_RETURN_VALUE = 254,
    OP_UNREACHABLE = 255,
    OP_NO_LINE = 317,
    OP_MODULE_PROCESSED = 330,
};

enum sim_storage {
    STORAGE_INPUT = 1,
    STORAGE_WORKGROUP = 4,
    STORAGE_PRIVATE = 6,
    STORAGE_FUNCTION = 7,
    STORAGE_PUSH_CONSTANT = 9,
    STORAGE_BUFFER = 5349, // PhysicalStorageBuffer
};

enum sim_decoration { DECORATION_ARRAY_STRIDE = 6, DECORATION_BUILTIN = 11, DECORATION_OFFSET = 35 };

enum sim_builtin {
    BUILTIN_NUM_WORKGROUPS = 24,
    BUILTIN_WORKGROUP_SIZE = 25,
    BUILTIN_WORKGROUP_ID = 26,
    BUILTIN_LOCAL_ID = 27,
    BUILTIN_GLOBAL_ID = 28,
    BUILTIN_LOCAL_INDEX = 29,
};

// An operation over rows. `form`: the kinds of result and operands: i 32-bit integer, f float, b truth, x any
// one kind.
typedef struct sim_opcode {
    uint32_t number;
    const char *name;
    const char *form;
    sim_run run;
    bool swapped;     // operands in the other order
    uint32_t flipped; // compare: the opcode that treats equality the other way; 0: it becomes constant
    bool compare;
    const char *site; // of rules; NULL
    const char *sign; // of descriptions; NULL
} sim_opcode;

// NULL where it is not an operation of the table.
const sim_opcode *iso_sim_find_opcode(uint32_t number);
const sim_opcode *iso_sim_find_extended(uint32_t number); // of GLSL.std.450

// Which operands are ids: the first `ids` words behind the result (all: 255).
typedef struct sim_shape {
    uint32_t number;
    const char *name;
    bool has_result;
    uint8_t least; // words
    uint8_t ids;
} sim_shape;
// NULL where the instruction is not known inside of functions.
const sim_shape *iso_sim_find_shape(uint32_t number);

// ---- ids ----

typedef enum sim_type_kind {
    SIM_TYPE_NONE,
    SIM_TYPE_VOID,
    SIM_TYPE_BOOL,
    SIM_TYPE_INT,
    SIM_TYPE_FLOAT,
    SIM_TYPE_VECTOR,
    SIM_TYPE_ARRAY,
    SIM_TYPE_RUNTIME_ARRAY,
    SIM_TYPE_STRUCT,
    SIM_TYPE_POINTER,
    SIM_TYPE_FUNCTION,
} sim_type_kind;

typedef struct sim_type {
    sim_type_kind kind;
    bool is_signed;
    uint32_t element; // type of elements; what is pointed to; what is returned
    uint32_t count;   // elements, members, parameters
    uint32_t storage; // pointer
    uint32_t words;   // rows of one value; 0: it has none
    uint32_t stride;  // decoration, bytes
} sim_type;

// What an id of pointer type points to.
typedef struct sim_pointer {
    uint32_t storage;
    uint32_t root;     // id of the variable
    uint32_t pointee;  // type
    uint32_t argument; // of push constants and buffers, else SIM_NONE
    uint32_t at;       // word offset of the row; of shared memory or a buffer: words
    uint32_t index;    // row of the element index, or SIM_NONE
    uint32_t length;   // elements that the index ranges over
    bool dynamic;      // the index is not in `at` yet
} sim_pointer;

typedef enum sim_id_kind {
    SIM_ID_NONE,
    SIM_ID_TYPE,
    SIM_ID_VALUE,
    SIM_ID_POINTER,
    SIM_ID_FUNCTION,
    SIM_ID_LABEL,
    SIM_ID_INSTRUCTIONS, // GLSL.std.450
} sim_id_kind;

typedef struct sim_id {
    sim_id_kind kind;
    uint32_t type; // of a value, pointer or function
    uint32_t at;   // word of the instruction that makes it
    uint32_t name; // word of its text, or 0
    uint32_t builtin;
    sim_type shape; // of a type
    sim_pointer pointer;

    // Values. `row` is SIM_NONE until it is made.
    uint32_t row;
    uint32_t literal;
    bool constant, temporary, deferred;
    uint32_t block; // label of the block that makes it; 0: global
    uint32_t owner; // function of a variable; 0: global
    uint32_t uses, last_use, user;
    bool escapes;    // used in another block
    uint32_t source; // id of the variable it was read from, or 0

    // Functions and labels.
    uint32_t step;
    uint32_t first_parameter, parameter_count; // function: in decoder.parameters
    uint32_t result_row, depth;
    bool changed; // parameter: written by its function
    bool has_phi; // label
    bool no_contraction;
} sim_id;

typedef struct sim_call {
    uint32_t caller, callee;
} sim_call;

// A step whose field is a label yet; `from`: the block that it leaves.
typedef struct sim_fixup {
    uint32_t step;
    char field; // 'b', 'c', or 'k' for a case
    uint32_t label, from;
    bool function; // the label is a function's id
} sim_fixup;

// Where lanes that come from block `from` into a block with phis enter.
typedef struct sim_edge {
    uint32_t label, from, step;
} sim_edge;

typedef struct sim_decoder {
    const iso_allocator *allocator;
    const iso_module_source *source;
    sim_program *program;
    const uint32_t *words;
    size_t count;
    sim_id *ids;
    uint32_t bound;
    size_t functions_at; // word of the first function
    uint32_t main;
    bool in_main;
    uint32_t push_struct; // type of the push-constant block, 0: none

    uint32_t *parameters;
    size_t parameter_count, parameter_capacity;
    sim_call *calls;
    size_t call_count, call_capacity;
    sim_fixup *fixups;
    size_t fixup_count, fixup_capacity;
    sim_edge *edges;
    size_t edge_count, edge_capacity;
    uint32_t *live; // ids of temporaries
    size_t live_count, live_capacity;
    uint32_t *spare; // rows that are free
    size_t spare_count, spare_capacity;

    uint32_t function, block; // ids, of what is decoded now
    uint32_t at;              // word of the instruction
    uint32_t compares, barriers, branches;
    uint32_t matched; // bit per rule of the chip
    uint32_t zero;    // row of constant 0
} sim_decoder;

// One instruction.
typedef struct sim_op {
    const uint32_t *words;
    uint32_t code, length, at;
} sim_op;

// ---- text.c ----

// ISO_BUILD_FAILED "…, word N: <format>".
#define sim_fail(d, ...)                                                                                     \
    (iso_fail(ISO_BUILD_FAILED, __VA_ARGS__), iso_status_prefix("SPIR-V word %u", (unsigned)(d)->at))
iso_status iso_sim_next_op(sim_decoder *d, size_t at, sim_op *out) ISO_MUST_USE;
iso_status iso_sim_read_module(sim_decoder *d) ISO_MUST_USE;
// The id itself, which is then safe to look up; fails beyond the bound.
iso_status iso_sim_check_id(sim_decoder *d, uint32_t id) ISO_MUST_USE;
iso_status iso_sim_define(sim_decoder *d, uint32_t id, sim_id_kind kind, uint32_t type) ISO_MUST_USE;
const sim_type *iso_sim_type_of(const sim_decoder *d, uint32_t type); // a NONE type where it is none
iso_status iso_sim_member_offset(sim_decoder *d, uint32_t type, uint32_t member,
                                 uint32_t *out_bytes) ISO_MUST_USE;
uint32_t iso_sim_member_type(const sim_decoder *d, uint32_t type, uint32_t member);
// A text inside the module, cleaned; functions without what follows '('.
void iso_sim_get_name(const sim_decoder *d, uint32_t id, char out[SIM_NAME_BYTES]);
void iso_sim_get_member_name(const sim_decoder *d, uint32_t type, uint32_t member, char out[SIM_NAME_BYTES]);
// Fails with `what` unless `right`.
iso_status iso_sim_want(sim_decoder *d, bool right, const char *what) ISO_MUST_USE;

// ---- types.c, variables.c ----
iso_status iso_sim_read_type(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_read_constant(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_take_rows(sim_decoder *d, uint32_t count, uint32_t *out_row) ISO_MUST_USE;
iso_status iso_sim_constant_row(sim_decoder *d, uint32_t value, uint32_t *out_row) ISO_MUST_USE;
iso_status iso_sim_read_variable(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_poison_rows(sim_decoder *d, uint32_t row, uint32_t count) ISO_MUST_USE;

// ---- scan.c ----
iso_status iso_sim_scan_functions(sim_decoder *d) ISO_MUST_USE;

// ---- emit.c ----
iso_status iso_sim_emit_functions(sim_decoder *d) ISO_MUST_USE;
iso_status iso_sim_emit(sim_decoder *d, sim_run run, uint32_t to, uint32_t a, uint32_t b,
                        uint32_t c) ISO_MUST_USE;
// The first row of a value that is made.
iso_status iso_sim_value(sim_decoder *d, uint32_t id, uint32_t *out_row) ISO_MUST_USE;
iso_status iso_sim_take_temporary(sim_decoder *d, uint32_t *out_row) ISO_MUST_USE;
iso_status iso_sim_give_temporary(sim_decoder *d, uint32_t row) ISO_MUST_USE;
// A row for the result of the instruction, kept until its last use.
iso_status iso_sim_result(sim_decoder *d, uint32_t id, uint32_t type, uint32_t *out_row) ISO_MUST_USE;
// After the steps that make it.
iso_status iso_sim_finish_result(sim_decoder *d, uint32_t id) ISO_MUST_USE;
iso_status iso_sim_emit_operation(sim_decoder *d, const sim_op *op, const sim_opcode *operation,
                                  const uint32_t *operands) ISO_MUST_USE;
iso_status iso_sim_kind_of(sim_decoder *d, uint32_t type, sim_kind *out) ISO_MUST_USE; // of a scalar

// ---- operations.c ----
iso_status iso_sim_emit_arithmetic(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_emit_composite(sim_decoder *d, const sim_op *op) ISO_MUST_USE;

// ---- access.c ----
iso_status iso_sim_emit_chain(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_emit_load(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_emit_store(sim_decoder *d, const sim_op *op) ISO_MUST_USE;

// ---- flow.c ----
iso_status iso_sim_emit_label(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_emit_flow(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_emit_call(sim_decoder *d, const sim_op *op) ISO_MUST_USE;
iso_status iso_sim_fix_labels(sim_decoder *d) ISO_MUST_USE;

// ---- sites.c ----

// A place of the text where rules may act.
typedef struct sim_place {
    sim_site site;
    const char *name; // variable, argument or function; NULL for ordinals
    uint32_t ordinal;
    sim_kind kind;
    uint32_t argument, length, index; // index: its row, or SIM_NONE
} sim_place;

// Whether any rule for this kernel acts there.
bool iso_sim_has_rule(sim_decoder *d, const sim_place *place);
// Steps that change row `row`; drop and past are left to the two below.
iso_status iso_sim_emit_faults(sim_decoder *d, const sim_place *place, uint32_t row) ISO_MUST_USE;
iso_status iso_sim_emit_holes(sim_decoder *d, const sim_place *place, uint32_t row,
                              bool *out_hole) ISO_MUST_USE;
iso_status iso_sim_emit_past(sim_decoder *d, const sim_place *place, uint32_t row,
                             uint32_t offset) ISO_MUST_USE;
// The fault of a compare that takes another row, of a barrier that is left out: number or SIM_NONE.
iso_status iso_sim_find_fault(sim_decoder *d, const sim_place *place, sim_change change,
                              uint32_t *out_fault) ISO_MUST_USE;
// Fails for rules that found no place.
iso_status iso_sim_check_rules(sim_decoder *d) ISO_MUST_USE;

#endif
