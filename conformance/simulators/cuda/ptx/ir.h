// SPDX-License-Identifier: MIT
//
// What a module is after loading: instructions with their operands resolved to places in a warp's register
// file, and the layout of its memory. Written by the parser (parse_*.c, forms.c, operands.c), read by the
// executor (exec_*.c).
#pragma once

#include "ptx.h"

#include <setjmp.h>

typedef enum ptx_type {
    PTX_NO_TYPE,
#define TYPE(word, name, bits, kind) PTX_##name,
#include "types.def"
#undef TYPE
    PTX_TYPE_COUNT
} ptx_type;

typedef struct ptx_type_info {
    const char *word;
    uint8_t bits;
    char kind;
} ptx_type_info;
extern const ptx_type_info ptx_types[PTX_TYPE_COUNT];

typedef enum ptx_op {
#define PTX_OP(name, class) PTX_OP_##name,
#include "ops.def"
#undef PTX_OP
    PTX_OP_COUNT
} ptx_op;

enum { PTX_RN = 1, PTX_RZ, PTX_RM, PTX_RP, PTX_RNA, PTX_RNI, PTX_RZI, PTX_RMI, PTX_RPI };
enum { PTX_LO = 1, PTX_HI, PTX_WIDE };
enum {
    PTX_EQ = 1,
    PTX_NE,
    PTX_LT,
    PTX_LE,
    PTX_GT,
    PTX_GE,
    PTX_EQU,
    PTX_NEU,
    PTX_LTU,
    PTX_LEU,
    PTX_GTU,
    PTX_GEU,
    PTX_NUM,
    PTX_NAN
};
enum {
    PTX_AND = 1,
    PTX_OR,
    PTX_XOR,
    PTX_EXCH,
    PTX_CAS,
    PTX_ADD,
    PTX_INC,
    PTX_DEC,
    PTX_MIN,
    PTX_MAX,
    PTX_POPC
};
enum { PTX_SYNC = 1, PTX_ARRIVE, PTX_RED };
enum { PTX_CTA = 1, PTX_CLUSTER, PTX_GPU, PTX_SYS };
enum { PTX_WEAK = 1, PTX_VOLATILE, PTX_RELAXED, PTX_ACQUIRE, PTX_RELEASE, PTX_ACQ_REL, PTX_SC };
enum {
    PTX_SPACE_GENERIC,
    PTX_SPACE_CONST,
    PTX_SPACE_GLOBAL,
    PTX_SPACE_LOCAL,
    PTX_SPACE_PARAM,
    PTX_SPACE_SHARED
};
enum { PTX_SHFL_UP = 1, PTX_SHFL_DOWN, PTX_SHFL_BFLY, PTX_SHFL_IDX };
enum { PTX_VOTE_ALL = 1, PTX_VOTE_ANY, PTX_VOTE_UNI, PTX_VOTE_BALLOT };
enum { PTX_M8N8 = 1, PTX_M8N8K4, PTX_M8N8K16, PTX_M16N8K4, PTX_M16N8K8, PTX_M16N8K16, PTX_M16N8K32 };

typedef struct ptx_mods {
    uint8_t round, ftz, sat, relu, nan, xorsign, abs, oob, part, cc, approx, mode, clamp, left, cmp, atom;
    uint8_t barrier, warp, aligned, scope, order, space, to, nc, vec, cache, prefetch, hint, async, noftz,
        trans, count;
    uint8_t shape, layout;
} ptx_mods;

struct ptx_warp;
struct ptx_insn;
typedef void ptx_run(struct ptx_warp *warp, const struct ptx_insn *insn, uint32_t mask);

#define PTX_CONST_SLOT                                                                                       \
    0x80000000u // an operand that lies in the kernel's constants, not in the warp's registers
#define PTX_MAX_OPERANDS 6

typedef struct ptx_insn {
    ptx_run *run;
    int64_t imm;                    // address offset, table of lop3, ...
    int64_t imm2;                   // second address offset (cp.async)
    uint32_t o[PTX_MAX_OPERANDS];   // places of operands; of vectors: the index into the kernel's lists
    uint8_t n[PTX_MAX_OPERANDS];    // elements of a vector; 0: not a vector
    uint8_t lane[PTX_MAX_OPERANDS]; // bytes of one lane of the operand's register; 0: predicate or none
    uint32_t guard;                 // place of the guard predicate, 0: none
    uint32_t target;                // index of the instruction to branch to
    uint32_t line, loc;             // PTX line; index into the module's source lines, 0: unknown
    uint16_t op;
    uint8_t type[4], guard_not, leaves; // leaves: may change the set of active lanes or block it
    uint8_t wide_address;               // the address register has 64 bits
    uint8_t class;                      // ptx_class, that it is counted in
    ptx_mods m;
} ptx_insn;

typedef struct ptx_loc {
    uint32_t file, line;
} ptx_loc;

typedef struct ptx_variable {
    const char *name;
    uint8_t space;
    uint64_t address, bytes; // shared: the offset in the block's window
} ptx_variable;

// Special registers that a kernel uses have places of their own, filled when a block starts.
typedef enum ptx_special {
    PTX_SR_TID_X,
    PTX_SR_TID_Y,
    PTX_SR_TID_Z,
    PTX_SR_NTID_X,
    PTX_SR_NTID_Y,
    PTX_SR_NTID_Z,
    PTX_SR_CTAID_X,
    PTX_SR_CTAID_Y,
    PTX_SR_CTAID_Z,
    PTX_SR_NCTAID_X,
    PTX_SR_NCTAID_Y,
    PTX_SR_NCTAID_Z,
    PTX_SR_LANEID,
    PTX_SR_WARPID,
    PTX_SR_NWARPID,
    PTX_SR_SMID,
    PTX_SR_NSMID,
    PTX_SR_GRIDID,
    PTX_SR_LANEMASK_EQ,
    PTX_SR_LANEMASK_LE,
    PTX_SR_LANEMASK_LT,
    PTX_SR_LANEMASK_GE,
    PTX_SR_LANEMASK_GT,
    PTX_SR_DYNAMIC_SMEM,
    PTX_SR_TOTAL_SMEM,
    PTX_SR_ZERO,
    PTX_SR_CLOCK,
    PTX_SR_CLOCK64,
    PTX_SR_CLOCK_HI,
    PTX_SR_GLOBALTIMER,
    PTX_SR_GLOBALTIMER_LO,
    PTX_SR_GLOBALTIMER_HI,
    PTX_SR_COUNT,
    PTX_SR_FIRST_CLOCK = PTX_SR_CLOCK
} ptx_special;

struct ptx_kernel {
    const char *name;
    ptx_module *module;
    ptx_insn *insns;
    uint32_t insn_count;
    uint32_t *lists; // places of the elements of vector operands
    uint32_t list_count;
    uint32_t *tables; // branch targets of brx.idx
    uint32_t table_count;
    uint8_t *constants; // broadcast to 32 lanes, 256 bytes each
    uint32_t constant_count;
    uint32_t register_bytes;
    uint32_t special[PTX_SR_COUNT]; // place, 0: not used
    ptx_param *params;
    uint32_t param_count, param_bytes;
    ptx_variable *shared; // static ones, by offset
    uint32_t shared_count;
    uint32_t shared_bytes, dynamic_offset; // offset of dynamic shared memory in the window
    uint32_t local_bytes;
    ptx_variable *locals;
    uint32_t locals_count;
    uint32_t max_threads, required[3]; // required: extents of a block, 0: any
    uint32_t registers;
    bool reads_nc; // holds an ld.global.nc or an ldu
};

struct ptx_module {
    struct ptx_arena *arena;
    ptx_memory *memory;
    uint32_t version_major, version_minor, target;
    ptx_kernel *kernels;
    uint32_t kernel_count;
    ptx_variable *variables; // global and constant
    uint32_t variable_count;
    const char **files; // by .file number
    uint32_t file_count;
    ptx_loc *locs;
    uint32_t loc_count;
};

// Windows of the generic address space. Global memory is above PTX_GLOBAL_BASE, one address for both.
#define PTX_SHARED_FIRST 1024u // offset of the first shared variable, so that a null pointer is never valid
#define PTX_SHARED_BASE  0x0000010000000000ull
#define PTX_LOCAL_BASE   0x0000020000000000ull
#define PTX_PARAM_BASE   0x0000030000000000ull
#define PTX_WINDOW_BYTES 0x0000000001000000ull
#define PTX_GLOBAL_BASE  0x0000700000000000ull
#define PTX_LOCAL_FIRST  1024u
#define PTX_SHARED_MAX   (232u * 1024u)

// ---- memory that lives as long as the module ----
typedef struct ptx_arena ptx_arena;
ptx_arena *ptx_arena_create(void);
void ptx_arena_destroy(ptx_arena *arena);
void *ptx_arena_alloc(ptx_arena *arena, size_t bytes); // zeroed; NULL when there is none

// The class that the instruction is counted in.
ptx_class ptx_class_of(const ptx_insn *insn);

// The function that executes an instruction; NULL: the interpreter has none for this form.
ptx_run *ptx_select(const ptx_insn *insn);
