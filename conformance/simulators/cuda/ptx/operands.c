// SPDX-License-Identifier: MIT
//
// From an operand's text to a place in the register file or in the kernel's constants, with PTX's rule for
// types: a register has the size of the instruction's type, and is a predicate where one is asked for.
#include "parse.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t special, bits;
} special_names[] = {
    {"%tid.x", PTX_SR_TID_X, 32},
    {"%tid.y", PTX_SR_TID_Y, 32},
    {"%tid.z", PTX_SR_TID_Z, 32},
    {"%ntid.x", PTX_SR_NTID_X, 32},
    {"%ntid.y", PTX_SR_NTID_Y, 32},
    {"%ntid.z", PTX_SR_NTID_Z, 32},
    {"%ctaid.x", PTX_SR_CTAID_X, 32},
    {"%ctaid.y", PTX_SR_CTAID_Y, 32},
    {"%ctaid.z", PTX_SR_CTAID_Z, 32},
    {"%nctaid.x", PTX_SR_NCTAID_X, 32},
    {"%nctaid.y", PTX_SR_NCTAID_Y, 32},
    {"%nctaid.z", PTX_SR_NCTAID_Z, 32},
    {"%laneid", PTX_SR_LANEID, 32},
    {"%warpid", PTX_SR_WARPID, 32},
    {"%nwarpid", PTX_SR_NWARPID, 32},
    {"%smid", PTX_SR_SMID, 32},
    {"%nsmid", PTX_SR_NSMID, 32},
    {"%gridid", PTX_SR_GRIDID, 64},
    {"%lanemask_eq", PTX_SR_LANEMASK_EQ, 32},
    {"%lanemask_le", PTX_SR_LANEMASK_LE, 32},
    {"%lanemask_lt", PTX_SR_LANEMASK_LT, 32},
    {"%lanemask_ge", PTX_SR_LANEMASK_GE, 32},
    {"%lanemask_gt", PTX_SR_LANEMASK_GT, 32},
    {"%dynamic_smem_size", PTX_SR_DYNAMIC_SMEM, 32},
    {"%total_smem_size", PTX_SR_TOTAL_SMEM, 32},
    {"%clock", PTX_SR_CLOCK, 32},
    {"%clock64", PTX_SR_CLOCK64, 64},
    {"%clock_hi", PTX_SR_CLOCK_HI, 32},
    {"%globaltimer", PTX_SR_GLOBALTIMER, 64},
    {"%globaltimer_lo", PTX_SR_GLOBALTIMER_LO, 32},
    {"%globaltimer_hi", PTX_SR_GLOBALTIMER_HI, 32},
};

bool ptx_special_by_name(const char *name, uint32_t bytes, ptx_special *out_special, uint32_t *out_bits)
{
    for (size_t i = 0; i < sizeof special_names / sizeof *special_names; i++)
        if (strlen(special_names[i].name) == bytes && memcmp(special_names[i].name, name, bytes) == 0) {
            *out_special = (ptx_special)special_names[i].special;
            *out_bits = special_names[i].bits;
            return true;
        }
    return false;
}

static uint32_t lane_bytes(uint32_t bits)
{
    return bits == 1 ? 0 : bits <= 16 ? 2 : bits / 8;
}

uint32_t ptx_new_register(ptx_loader *loader, uint32_t bits)
{
    ptx_kernel *kernel = loader->kernel;
    uint32_t bytes = bits == 1 ? 64 : lane_bytes(bits) * 32;
    uint32_t place = kernel->register_bytes;
    if (place > 8u << 20)
        ptx_fail(loader, ptx_peek(loader)->line, "a kernel that uses more than 65536 registers");
    kernel->register_bytes += bytes;
    kernel->registers += bits == 64 ? 2 : bits != 1;
    return place;
}

uint32_t ptx_special_place(ptx_loader *loader, ptx_special special)
{
    uint32_t *place = &loader->kernel->special[special];
    if (!*place) {
        bool wide = special == PTX_SR_GRIDID || special == PTX_SR_CLOCK64 || special == PTX_SR_GLOBALTIMER;
        *place = ptx_new_register(loader, wide ? 64 : 32);
    }
    return *place;
}

// Constants are kept once for each value and width, spread over the 32 lanes.
uint32_t ptx_constant(ptx_loader *loader, uint64_t bits, uint32_t lane, bool is_dynamic)
{
    ptx_kernel *kernel = loader->kernel;
    bits = lane == 8   ? bits
           : lane == 4 ? (uint32_t)bits
           : lane == 2 ? (uint16_t)bits
           : bits != 0 ? 0xffffffffu
                       : 0;
    for (uint32_t i = 0; i < kernel->constant_count && !is_dynamic; i++)
        if (loader->constant_keys[2 * i] == bits && loader->constant_keys[2 * i + 1] == lane)
            return PTX_CONST_SLOT | i * 256;
    if (kernel->constant_count == loader->constant_capacity) {
        uint32_t capacity = loader->constant_capacity;
        loader->constant_keys =
            ptx_grow(loader, loader->constant_keys, kernel->constant_count, &capacity, 16);
        kernel->constants =
            ptx_grow(loader, kernel->constants, kernel->constant_count, &loader->constant_capacity, 256);
    }
    uint32_t index = kernel->constant_count++;
    if (index >= 1u << 20)
        ptx_fail(loader, ptx_peek(loader)->line, "more than 2^20 constants in a kernel");
    loader->constant_keys[2 * index] = bits;
    loader->constant_keys[2 * index + 1] = is_dynamic ? 255 : lane;
    for (uint32_t i = 0; i < 32; i++)
        memcpy(kernel->constants + index * 256ull + i * (lane ? lane : 4), &bits, lane ? lane : 4);
    if (is_dynamic) {
        loader->dynamic_constants = ptx_grow(loader, loader->dynamic_constants, loader->dynamic_count,
                                             &loader->dynamic_capacity, sizeof(uint32_t));
        loader->dynamic_constants[loader->dynamic_count++] = index | (lane == 8 ? 0x80000000u : 0);
    }
    return PTX_CONST_SLOT | index * 256;
}

// ---- parsing ----

static void parse_offset(ptx_loader *loader, ptx_operand *operand)
{
    for (;;) {
        ptx_token *sign = ptx_peek(loader);
        if (!ptx_is(sign, "+") && !ptx_is(sign, "-"))
            return;
        ptx_next(loader);
        int64_t value = ptx_expect_int(loader, "an offset");
        operand->offset += ptx_is(sign, "-") ? (int64_t)(0 - (uint64_t)value) : value;
        if (operand->offset > INT32_MAX || operand->offset < INT32_MIN)
            ptx_fail(loader, sign->line, "an offset beyond 2^31");
    }
}

static void parse_name(ptx_loader *loader, ptx_operand *operand)
{
    ptx_token *token = ptx_next(loader);
    uint32_t bits;
    if (ptx_is(token, "_")) {
        operand->kind = OPERAND_SINK;
    } else if (ptx_is(token, "WARP_SZ")) {
        operand->kind = OPERAND_NUMBER;
        operand->number = TOKEN_INT;
        operand->bits = 32;
    } else if ((operand->symbol = ptx_find_symbol(loader, token->text, token->bytes))) {
        operand->kind = operand->symbol->kind == SYMBOL_REGISTER ? OPERAND_REGISTER : OPERAND_SYMBOL;
        if (operand->kind == OPERAND_SYMBOL && operand->symbol->kind != SYMBOL_VARIABLE)
            ptx_fail(loader, token->line, "'%.*s' is neither register nor variable", (int)token->bytes,
                     token->text);
    } else if (ptx_special_by_name(token->text, token->bytes, &operand->special, &bits)) {
        operand->kind = OPERAND_SPECIAL;
        operand->count = bits;
    } else {
        ptx_fail(loader, token->line, "'%.*s' is not declared", (int)token->bytes, token->text);
    }
}

static void parse_number(ptx_loader *loader, ptx_operand *operand)
{
    bool negative = ptx_accept(loader, "-");
    ptx_token *token = ptx_next(loader);
    operand->kind = OPERAND_NUMBER;
    operand->number = token->kind;
    operand->bits = token->bits;
    if (token->kind == TOKEN_INT)
        operand->bits = negative ? 0 - token->bits : token->bits;
    else if (token->kind == TOKEN_F64 || token->kind == TOKEN_F32)
        operand->bits ^= negative ? token->kind == TOKEN_F64 ? 1ull << 63 : 1u << 31 : 0;
    else
        ptx_fail(loader, token->line, "an operand expected, not '%.*s'", (int)token->bytes, token->text);
}

static void parse_elements(ptx_loader *loader, ptx_operand *operand, const char *close)
{
    operand->elements = ptx_new(loader, 8 * sizeof(ptx_operand));
    do {
        if (operand->count == 8)
            ptx_fail(loader, ptx_peek(loader)->line, "more than 8 elements in a vector");
        ptx_operand *element = &operand->elements[operand->count++];
        ptx_token *token = ptx_peek(loader);
        if (token->kind == TOKEN_WORD && token->text[0] != '0')
            parse_name(loader, element);
        else
            parse_number(loader, element);
        parse_offset(loader, operand->kind == OPERAND_ADDRESS ? operand : element);
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, close);
}

ptx_operand ptx_parse_operand(ptx_loader *loader)
{
    ptx_operand operand = {.kind = OPERAND_NONE};
    if (ptx_accept(loader, "{")) {
        operand.kind = OPERAND_VECTOR;
        parse_elements(loader, &operand, "}");
        return operand;
    }
    if (ptx_accept(loader, "[")) {
        operand.kind = OPERAND_ADDRESS;
        parse_elements(loader, &operand, "]");
        if (operand.count != 1)
            ptx_fail(loader, ptx_peek(loader)->line, "an address of %u parts", operand.count);
        return operand;
    }
    operand.negated = ptx_accept(loader, "!");
    ptx_token *token = ptx_peek(loader);
    if (token->kind != TOKEN_WORD || (token->bits == 0 && token->text[0] >= '0' && token->text[0] <= '9')) {
        parse_number(loader, &operand);
        return operand;
    }
    parse_name(loader, &operand);
    if (operand.kind == OPERAND_SYMBOL)
        parse_offset(loader, &operand);
    if (ptx_accept(loader, "|")) {
        operand.second = ptx_new(loader, sizeof(ptx_operand));
        operand.second->negated = ptx_accept(loader, "!");
        parse_name(loader, operand.second);
    }
    return operand;
}

// ---- binding ----

static void check_register(ptx_loader *loader, const ptx_symbol *symbol, uint32_t bits, bool wider)
{
    uint32_t has = ptx_types[symbol->type].bits;
    if (has == bits || (wider && bits != 1 && has > bits))
        return;
    ptx_fail(loader, ptx_peek(loader)->line, "register '%.*s' has %u bits where %s%u are asked for",
             (int)symbol->bytes, symbol->name, has, wider ? "at least " : "", bits);
}

// The value of a number as the type takes it.
static uint64_t number_bits(ptx_loader *loader, const ptx_operand *operand, ptx_type type)
{
    bool is_float = type == PTX_F32 || type == PTX_F64;
    double wide;
    float narrow;
    uint32_t bits32 = (uint32_t)operand->bits;
    if (operand->number == TOKEN_INT) {
        if (is_float)
            ptx_fail(loader, ptx_peek(loader)->line, "an integer where a float is asked for");
        return operand->bits;
    }
    if (operand->number == TOKEN_F32) {
        if (type != PTX_F64)
            return operand->bits;
        memcpy(&narrow, &bits32, 4);
        wide = narrow;
        uint64_t result;
        memcpy(&result, &wide, 8);
        return result;
    }
    if (ptx_types[type].bits == 64)
        return operand->bits;
    memcpy(&wide, &operand->bits, 8);
    narrow = (float)wide;
    memcpy(&bits32, &narrow, 4);
    return bits32;
}

void ptx_bind_source(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                     ptx_type type, bool wider)
{
    uint32_t bits = ptx_types[type].bits, line = insn->line;
    if (operand->second || (operand->negated && type != PTX_PRED))
        ptx_fail(loader, line, "operand %u: '|' or '!' does not belong here", index + 1);
    insn->lane[index] = (uint8_t)lane_bytes(bits);
    switch (operand->kind) {
    case OPERAND_REGISTER:
        check_register(loader, operand->symbol, bits, wider);
        insn->o[index] = operand->symbol->place;
        insn->lane[index] = (uint8_t)lane_bytes(ptx_types[operand->symbol->type].bits);
        break;
    case OPERAND_NUMBER:
        insn->o[index] = ptx_constant(loader, number_bits(loader, operand, type), lane_bytes(bits), false);
        break;
    case OPERAND_SPECIAL:
        if (bits != operand->count && !(wider && operand->count > bits))
            ptx_fail(loader, line, "operand %u: a special register of %u bits where %u are asked for",
                     index + 1, operand->count, bits);
        if (operand->special >= PTX_SR_FIRST_CLOCK) // read anew each time
            ptx_emit(loader, &(ptx_insn){.op = PTX_OP_CLOCK, .line = line});
        insn->o[index] = ptx_special_place(loader, operand->special);
        insn->lane[index] = (uint8_t)(operand->count / 8);
        break;
    case OPERAND_SYMBOL:
        if (bits < 32)
            ptx_fail(loader, line, "operand %u: an address in %u bits", index + 1, bits);
        if (operand->symbol->space == PTX_SPACE_PARAM && !operand->symbol->is_kernel_param)
            ptx_fail(loader, line, "the address of a call's parameter is not supported");
        insn->o[index] = ptx_constant(
            loader, ptx_variable_address(loader, operand->symbol, line) + (uint64_t)operand->offset,
            lane_bytes(bits), operand->symbol->is_dynamic);
        break;
    default:
        ptx_fail(loader, line, "operand %u is not a source", index + 1);
    }
}

void ptx_bind_dest(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                   uint32_t bits, bool wider)
{
    insn->lane[index] = (uint8_t)lane_bytes(bits);
    if (operand->kind == OPERAND_SINK) {
        insn->o[index] = 0;
        return;
    }
    if (operand->kind != OPERAND_REGISTER || operand->negated)
        ptx_fail(loader, insn->line, "operand %u is not a register to write to", index + 1);
    check_register(loader, operand->symbol, bits, wider);
    insn->o[index] = operand->symbol->place;
    insn->lane[index] = (uint8_t)lane_bytes(ptx_types[operand->symbol->type].bits);
}

void ptx_bind_vector(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand,
                     ptx_elements wanted)
{
    const ptx_operand *elements = operand->kind == OPERAND_VECTOR ? operand->elements : operand;
    uint32_t has = operand->kind == OPERAND_VECTOR ? operand->count : 1;
    if (has != wanted.count)
        ptx_fail(loader, insn->line, "operand %u has %u elements instead of %u", index + 1, has,
                 wanted.count);
    ptx_kernel *kernel = loader->kernel;
    uint32_t first = kernel->list_count, lane = 0;
    for (uint32_t i = 0; i < wanted.count; i++) {
        bool sink = wanted.is_dest && elements[i].kind == OPERAND_SINK;
        if (wanted.is_dest)
            ptx_bind_dest(loader, insn, index, &elements[i], ptx_types[wanted.type].bits, wanted.wider);
        else
            ptx_bind_source(loader, insn, index, &elements[i], wanted.type, wanted.wider);
        if (!sink && lane && lane != insn->lane[index])
            ptx_fail(loader, insn->line, "operand %u: registers of different sizes in a vector", index + 1);
        lane = sink ? lane : insn->lane[index];
        kernel->lists =
            ptx_grow(loader, kernel->lists, kernel->list_count, &loader->list_capacity, sizeof(uint32_t));
        kernel->lists[kernel->list_count++] = insn->o[index];
    }
    insn->lane[index] = lane ? (uint8_t)lane : insn->lane[index];
    insn->o[index] = first;
    insn->n[index] = (uint8_t)wanted.count;
}

void ptx_bind_address(ptx_loader *loader, ptx_insn *insn, uint32_t index, const ptx_operand *operand)
{
    if (operand->kind != OPERAND_ADDRESS)
        ptx_fail(loader, insn->line, "operand %u is not an address", index + 1);
    const ptx_operand *base = operand->elements;
    int64_t offset = operand->offset;
    uint8_t *space = &insn->m.space;
    insn->lane[index] = 8;
    if (base->kind == OPERAND_REGISTER) {
        check_register(loader, base->symbol, 32, true);
        insn->o[index] = base->symbol->place;
        insn->lane[index] = (uint8_t)lane_bytes(ptx_types[base->symbol->type].bits);
        if (*space == PTX_SPACE_PARAM && loader->floor > 1)
            ptx_fail(loader, insn->line, "parameters of a function are read by name only");
    } else if (base->kind == OPERAND_SYMBOL) {
        ptx_symbol *symbol = base->symbol;
        uint64_t address = ptx_variable_address(loader, symbol, insn->line);
        if (*space == PTX_SPACE_PARAM && symbol->space == PTX_SPACE_PARAM && !symbol->is_kernel_param)
            *space = PTX_SPACE_LOCAL; // parameters of calls lie in the caller's local memory
        else if (*space == PTX_SPACE_GENERIC && symbol->space == PTX_SPACE_GLOBAL)
            *space = PTX_SPACE_GLOBAL;
        else if (*space != symbol->space)
            ptx_fail(loader, insn->line, "'%.*s' is not in the state space that the instruction names",
                     (int)symbol->bytes, symbol->name);
        insn->o[index] = ptx_constant(loader, address, 8, symbol->is_dynamic);
    } else if (base->kind == OPERAND_NUMBER && base->number == TOKEN_INT) {
        insn->o[index] = ptx_constant(loader, base->bits, 8, false);
    } else {
        ptx_fail(loader, insn->line, "operand %u is not an address", index + 1);
    }
    *(index == 1 && insn->op == PTX_OP_CPASYNC ? &insn->imm2 : &insn->imm) = offset;
}

static void bind_second(ptx_loader *loader, const ptx_operand *operand, ptx_insn *insn)
{
    if (operand->second)
        ptx_bind_dest(loader, insn, 5, operand->second, 1, false);
}

static void bind_immediate(ptx_loader *loader, const ptx_operand *operand, uint32_t index, ptx_insn *insn)
{
    if (operand->kind != OPERAND_NUMBER || operand->number != TOKEN_INT)
        ptx_fail(loader, insn->line, "operand %u is not an integer constant", index + 1);
    insn->imm = (int64_t)operand->bits;
}

static void bind_one(ptx_loader *loader, const char *p, const ptx_operand *operand, uint32_t index,
                     ptx_insn *insn)
{
    char digit = p[1];
    ptx_type type = (ptx_type)insn->type[digit >= '0' && digit <= '3' ? digit - '0' : 0];
    char flag = digit >= '0' && digit <= '3' ? p[2] : p[1];
    uint32_t bits = ptx_types[type].bits;
    ptx_type wide = bits == 16 ? PTX_B32 : PTX_B64;
    switch (p[0]) {
    case 'd':
        ptx_bind_dest(loader, insn, index, operand, flag == 'w' ? bits * 2 : bits, flag == 'x');
        break;
    case 's':
        if (strncmp(p, "s64", 3) == 0)
            ptx_bind_source(loader, insn, 4, operand, PTX_B64, false);
        else
            ptx_bind_source(loader, insn, index, operand, flag == 'w' ? wide : type, flag == 'x');
        break;
    case 'u':
        ptx_bind_source(loader, insn, index, operand, PTX_B32, false);
        break;
    case 'f':
        ptx_bind_source(loader, insn, index, operand, PTX_F32, false);
        break;
    case 'U':
        ptx_bind_dest(loader, insn, index, operand, 32, false);
        break;
    case 'p':
        ptx_bind_source(loader, insn, index, operand, PTX_PRED, false);
        insn->n[index] = operand->negated;
        break;
    case 'P':
        ptx_bind_dest(loader, insn, index, operand, 1, false);
        break;
    case 'v':
    case 'V':
        if (bits * insn->m.vec > 128)
            ptx_fail(loader, insn->line, "a vector of %u bits: up to sm_90 128 are the most",
                     bits * insn->m.vec);
        ptx_bind_vector(
            loader, insn, index, operand,
            (ptx_elements){
                .type = type, .count = insn->m.vec ? insn->m.vec : 1, .is_dest = p[0] == 'v', .wider = true});
        break;
    case 'a':
        ptx_bind_source(loader, insn, index, operand, PTX_B32, true);
        break;
    case 'm':
        ptx_bind_address(loader, insn, index, operand);
        break;
    default: // 'i'
        bind_immediate(loader, operand, index, insn);
        break;
    }
    if (p[strcspn(p, " ") - 1] == 'Q')
        bind_second(loader, operand, insn);
    else if (operand->second)
        ptx_fail(loader, insn->line, "operand %u: a second destination does not belong here", index + 1);
}

void ptx_bind_operands(ptx_loader *loader, const char *list, const ptx_operand *operands, uint32_t count,
                       ptx_insn *insn)
{
    const char *p = list;
    for (uint32_t i = 0, place = 0; i < count; i++) {
        p += *p == '?';
        bind_one(loader, p, &operands[i], place, insn);
        place += *p != 'i';
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
}
