// SPDX-License-Identifier: MIT
//
// What the parts of the loader share: tokens, symbols, and the kernel under construction. Not seen by the
// executor.
#pragma once

#include "ir.h"

typedef enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_INT,
    TOKEN_F32,
    TOKEN_F64,
    TOKEN_STRING,
    TOKEN_PUNCT
} token_kind;

typedef struct ptx_token {
    token_kind kind;
    uint32_t line, bytes;
    const char *text;
    uint64_t bits; // value of a number
} ptx_token;

typedef enum symbol_kind {
    SYMBOL_REGISTER,
    SYMBOL_RANGE, // %r<100>
    SYMBOL_VARIABLE,
    SYMBOL_LABEL,
    SYMBOL_FUNCTION,
    SYMBOL_TABLE,
} symbol_kind;

typedef struct ptx_symbol {
    struct ptx_symbol *next;  // in the hash bucket
    struct ptx_symbol *older; // in order of declaration
    const char *name;
    uint32_t bytes, hash;
    symbol_kind kind;
    uint32_t depth;
    ptx_type type;
    uint32_t place; // of a register; instruction of a label; index of a table
    uint32_t count; // of a range
    uint8_t space;  // of a variable
    bool is_kernel_param, is_dynamic;
    uint64_t address, size, align;
    uint32_t shared_in; // number of the kernel for which a shared variable has its address, from 1
    struct ptx_function *function;
} ptx_symbol;

typedef struct ptx_parameter {
    const char *name;
    uint32_t bytes;
    uint64_t size, align;
    bool is_register;
} ptx_parameter;

typedef struct ptx_function {
    const char *name;
    uint32_t name_bytes;
    bool is_entry, is_extern, is_open; // open: being put in place, so that recursion is seen
    ptx_parameter *params, *returns;
    uint32_t param_count, return_count;
    uint32_t body; // token after '{', 0: no body
    uint32_t line;
    uint32_t max_threads, required[3]; // required: of .reqntid, 0 without
    struct ptx_function *next;
} ptx_function;

// A place where a label is used before it is known.
typedef struct ptx_fixup {
    const char *name;
    uint32_t bytes, line, depth, floor;
    uint32_t insn;  // whose target it is, or
    uint32_t table; // entry of a table + 1
} ptx_fixup;

typedef enum operand_kind {
    OPERAND_NONE,
    OPERAND_REGISTER,
    OPERAND_NUMBER,
    OPERAND_SYMBOL,
    OPERAND_SPECIAL,
    OPERAND_VECTOR,
    OPERAND_ADDRESS,
    OPERAND_SINK
} operand_kind;

typedef struct ptx_operand {
    operand_kind kind;
    token_kind number; // of a number: int, f32 or f64
    bool negated;      // !p
    uint64_t bits;
    int64_t offset; // symbol + offset, [base + offset]
    ptx_symbol *symbol;
    ptx_special special;
    uint32_t count; // of a vector, 1 for an address
    struct ptx_operand *elements;
    struct ptx_operand *second; // p|q
} ptx_operand;

#define PTX_MAX_PARSED 8
#define PTX_MAX_DEPTH  200

typedef struct ptx_loader {
    jmp_buf failed;
    char *message;
    ptx_status status;
    ptx_module *module;
    ptx_arena *arena;
    ptx_token *tokens;
    uint32_t token_count, at;
    ptx_symbol *buckets[1024], *newest;
    ptx_symbol *marks[PTX_MAX_DEPTH]; // the newest symbol when the scope was entered
    uint32_t depth, floor;            // symbols below `floor` and above 0 belong to a caller
    ptx_function *functions;
    uint32_t kernel_capacity, variable_capacity, loc_capacity, file_capacity;

    // the kernel under construction
    ptx_kernel *kernel;
    uint32_t kernel_number;
    uint32_t insn_capacity, list_capacity, table_capacity, constant_capacity, fixup_capacity, fixup_count;
    uint32_t shared_capacity, locals_capacity;
    ptx_fixup *fixups;
    uint32_t dynamic_align;
    uint32_t *dynamic_constants; // entries to which the offset of dynamic shared memory is added
    uint32_t dynamic_count, dynamic_capacity;
    uint32_t *returns; // branches to the end of the function being put in place
    uint32_t return_count, return_capacity, inline_depth;
    uint64_t *constant_keys;
    uint32_t loc; // of the next instruction
} ptx_loader;

_Noreturn void ptx_fail(ptx_loader *loader, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *ptx_new(ptx_loader *loader, size_t bytes);
// Makes room for one more element of an array in the arena.
void *ptx_grow(ptx_loader *loader, void *array, uint32_t count, uint32_t *capacity, size_t element_bytes);

void ptx_tokenize(ptx_loader *loader, const char *text, size_t text_bytes);
ptx_token *ptx_peek(ptx_loader *loader);
ptx_token *ptx_next(ptx_loader *loader);
bool ptx_is(const ptx_token *token, const char *text);
bool ptx_accept(ptx_loader *loader, const char *text);
void ptx_expect(ptx_loader *loader, const char *text);
ptx_token *ptx_expect_word(ptx_loader *loader, const char *what);
int64_t ptx_expect_int(ptx_loader *loader, const char *what);

ptx_symbol *ptx_find_symbol(ptx_loader *loader, const char *name, uint32_t bytes);
ptx_symbol *ptx_add_symbol(ptx_loader *loader, const ptx_token *name, symbol_kind kind);
void ptx_enter(ptx_loader *loader);
void ptx_leave(ptx_loader *loader);
char *ptx_name(ptx_loader *loader, const char *text, uint32_t bytes);

bool ptx_special_by_name(const char *name, uint32_t bytes, ptx_special *out_special, uint32_t *out_bits);
uint32_t ptx_new_register(ptx_loader *loader, uint32_t bits);
uint32_t ptx_special_place(ptx_loader *loader, ptx_special special);
uint32_t ptx_constant(ptx_loader *loader, uint64_t bits, uint32_t lane_bytes, bool is_dynamic);
ptx_insn *ptx_emit(ptx_loader *loader, const ptx_insn *insn);

ptx_operand ptx_parse_operand(ptx_loader *loader);
uint64_t ptx_variable_address(ptx_loader *loader, ptx_symbol *symbol, uint32_t line);

// Parses what may stand before a name in a declaration, and the declaration itself.
void ptx_parse_variables(ptx_loader *loader, uint8_t space, bool is_extern);
void ptx_parse_registers(ptx_loader *loader);
void ptx_parse_statements(ptx_loader *loader); // up to the closing brace
void ptx_parse_instruction(ptx_loader *loader);
void ptx_inline_call(ptx_loader *loader, uint32_t line);
void ptx_branch_fixup(ptx_loader *loader, const ptx_token *label, uint32_t insn, uint32_t table);
ptx_type ptx_type_by_name(const char *name, uint32_t bytes);

// Finds the form; fills op, types, modifiers. *out_operands: the form's list. Fails with the line.
void ptx_match_form(ptx_loader *loader, const ptx_token *word, uint32_t operand_count, ptx_insn *insn,
                    const char **out_operands);
// Resolves operands to places as the form's list says; checks types.
void ptx_bind_operands(ptx_loader *loader, const char *list, const ptx_operand *operands, uint32_t count,
                       ptx_insn *insn);
// Forms whose operands depend on more than the types: mov, ldmatrix, mma, ... (list "M").
void ptx_bind_by_op(ptx_loader *loader, const ptx_operand *operands, uint32_t count, ptx_insn *insn);
// One operand each. bits: of the register (1: predicate); wider: a larger register will do.
void ptx_bind_source(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                     ptx_type type, bool wider);
void ptx_bind_dest(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                   uint32_t bits, bool wider);
// What the elements of a vector operand have to be.
typedef struct ptx_elements {
    ptx_type type;
    uint32_t count;
    bool is_dest, wider;
} ptx_elements;
void ptx_bind_vector(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                     ptx_elements elements);
void ptx_bind_address(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand);
void ptx_finish_labels(ptx_loader *loader);
