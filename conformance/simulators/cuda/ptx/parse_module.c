// SPDX-License-Identifier: MIT
//
// A module: directives, variables with their initial values, functions and kernels. Two passes: the first
// collects every declaration and steps over the bodies, the second reads the bodies.
#include "memory.h"
#include "parse.h"

#include <stdio.h>
#include <string.h>

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

// ---- declarations ----

typedef struct declaration {
    uint64_t align;
    ptx_type type;
    uint32_t vector;
} declaration;

static declaration parse_type(ptx_loader *loader)
{
    declaration d = {.align = 0, .vector = 1};
    for (;;) {
        ptx_token *word = ptx_expect_word(loader, "a type");
        if (ptx_is(word, ".align")) {
            int64_t align = ptx_expect_int(loader, "an alignment");
            if (align < 1 || align > 1 << 16 || (align & (align - 1)))
                ptx_fail(loader, word->line, "an alignment of %lld", (long long)align);
            d.align = (uint64_t)align;
        } else if (ptx_is(word, ".v2") || ptx_is(word, ".v4")) {
            d.vector = (uint32_t)(word->text[2] - '0');
        } else if (ptx_is(word, ".attribute")) {
            ptx_expect(loader, "(");
            while (!ptx_accept(loader, ")"))
                if (ptx_next(loader)->kind == TOKEN_END)
                    ptx_fail(loader, word->line, ".attribute without end");
        } else if (word->text[0] == '.' && (d.type = ptx_type_by_name(word->text + 1, word->bytes - 1))) {
            break;
        } else {
            ptx_fail(loader, word->line, "a type expected, not '%.*s'", (int)word->bytes, word->text);
        }
    }
    if (!d.align)
        d.align = (uint64_t)(ptx_types[d.type].bits / 8 ? ptx_types[d.type].bits / 8 : 1) * d.vector;
    return d;
}

void ptx_parse_registers(ptx_loader *loader)
{
    declaration d = parse_type(loader);
    if (d.vector != 1)
        ptx_fail(loader, ptx_peek(loader)->line, "registers that are vectors are not supported");
    do {
        const ptx_token *name = ptx_expect_word(loader, "a register");
        if (!ptx_accept(loader, "<")) {
            ptx_symbol *symbol = ptx_add_symbol(loader, name, SYMBOL_REGISTER);
            symbol->type = d.type;
            symbol->place = ptx_new_register(loader, ptx_types[d.type].bits);
            continue;
        }
        int64_t count = ptx_expect_int(loader, "a number of registers");
        ptx_expect(loader, ">");
        if (count < 0 || count > 1 << 24)
            ptx_fail(loader, name->line, "%lld registers", (long long)count);
        ptx_symbol *range = ptx_add_symbol(loader, name, SYMBOL_RANGE);
        range->type = d.type;
        range->count = (uint32_t)count;
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, ";");
}

// [4][8], [] : elements in all; 0 for an open array.
static uint64_t parse_extents(ptx_loader *loader, bool *is_open)
{
    uint64_t count = 1;
    *is_open = false;
    while (ptx_accept(loader, "[")) {
        uint32_t line = ptx_peek(loader)->line;
        if (ptx_accept(loader, "]")) {
            *is_open = true;
            continue;
        }
        int64_t extent = ptx_expect_int(loader, "an extent");
        ptx_expect(loader, "]");
        if (extent < 0 || (extent && count > (1ull << 40) / (uint64_t)extent))
            ptx_fail(loader, line, "an array of %lld", (long long)extent);
        count *= (uint64_t)extent;
    }
    return count;
}

static void place_local(ptx_loader *loader, ptx_symbol *symbol, uint32_t line)
{
    ptx_kernel *kernel = loader->kernel;
    if (symbol->size > 512 * 1024 || kernel->local_bytes > 512 * 1024)
        ptx_fail(loader, line, "more than 512 KiB of local memory");
    symbol->address = align_up(PTX_LOCAL_FIRST + kernel->local_bytes, symbol->align);
    kernel->local_bytes = (uint32_t)align_up(symbol->address + symbol->size - PTX_LOCAL_FIRST, 16);
    kernel->locals = ptx_grow(loader, kernel->locals, kernel->locals_count, &loader->locals_capacity,
                              sizeof(ptx_variable));
    kernel->locals[kernel->locals_count++] =
        (ptx_variable){.name = ptx_name(loader, symbol->name, symbol->bytes),
                       .space = PTX_SPACE_LOCAL,
                       .address = symbol->address,
                       .bytes = symbol->size};
}

// Shared variables get their offset when a kernel first names them: a kernel pays for those it uses. A gap
// between them lets a step over the end of one be seen.
static void place_shared(ptx_loader *loader, ptx_symbol *symbol, uint32_t line)
{
    ptx_kernel *kernel = loader->kernel;
    symbol->shared_in = loader->kernel_number;
    if (symbol->is_dynamic) {
        loader->dynamic_align =
            symbol->align > loader->dynamic_align ? (uint32_t)symbol->align : loader->dynamic_align;
        symbol->address = 0;
        return;
    }
    uint64_t end = PTX_SHARED_FIRST;
    if (kernel->shared_count) {
        const ptx_variable *last = &kernel->shared[kernel->shared_count - 1];
        end = last->address + last->bytes + 16;
    }
    symbol->address = align_up(end, symbol->align > 4 ? symbol->align : 4);
    if (symbol->size > PTX_SHARED_MAX || kernel->shared_bytes + symbol->size > PTX_SHARED_MAX)
        ptx_fail(loader, line, "more than %u bytes of shared memory", PTX_SHARED_MAX);
    kernel->shared_bytes = (uint32_t)(align_up(kernel->shared_bytes, symbol->align) + symbol->size);
    kernel->shared = ptx_grow(loader, kernel->shared, kernel->shared_count, &loader->shared_capacity,
                              sizeof(ptx_variable));
    kernel->shared[kernel->shared_count++] =
        (ptx_variable){.name = ptx_name(loader, symbol->name, symbol->bytes),
                       .space = PTX_SPACE_SHARED,
                       .address = symbol->address,
                       .bytes = symbol->size};
}

uint64_t ptx_variable_address(ptx_loader *loader, ptx_symbol *symbol, uint32_t line)
{
    if (symbol->kind != SYMBOL_VARIABLE)
        ptx_fail(loader, line, "'%.*s' is not a variable", (int)symbol->bytes, symbol->name);
    if (symbol->space == PTX_SPACE_SHARED && symbol->shared_in != loader->kernel_number)
        place_shared(loader, symbol, line);
    return symbol->address;
}

// ---- initial values ----

static void put_value(ptx_loader *loader, declaration d, uint8_t *data, uint64_t *at, uint64_t bytes)
{
    uint32_t size = ptx_types[d.type].bits / 8;
    ptx_operand value = {0};
    ptx_token *token = ptx_peek(loader);
    if (*at + size > bytes || size == 0)
        ptx_fail(loader, token->line, "more initial values than the variable has elements");
    bool generic = ptx_accept(loader, "generic");
    if (generic)
        ptx_expect(loader, "(");
    value = ptx_parse_operand(loader);
    if (generic)
        ptx_expect(loader, ")");
    uint64_t bits = value.bits;
    if (value.kind == OPERAND_SYMBOL && value.symbol->kind == SYMBOL_VARIABLE &&
        value.symbol->space != PTX_SPACE_SHARED) {
        bits = value.symbol->address + (uint64_t)value.offset;
    } else if (value.kind != OPERAND_NUMBER) {
        ptx_fail(loader, token->line, "an initial value that is no constant");
    } else if (value.number == TOKEN_F64 && size == 4) {
        double wide;
        memcpy(&wide, &bits, 8);
        float narrow = (float)wide;
        memcpy(&bits, &narrow, 4);
    }
    memcpy(data + *at, &bits, size);
    *at += size;
}

static uint8_t *parse_values(ptx_loader *loader, declaration d, uint64_t bytes, uint64_t *out_bytes)
{
    uint32_t depth = 0, line = ptx_peek(loader)->line;
    uint64_t at = 0;
    // at most one value a token
    uint64_t room = bytes ? bytes : (uint64_t)(loader->token_count - loader->at) * 8;
    if (room > 1ull << 32)
        ptx_fail(loader, line, "initial values for %llu bytes", (unsigned long long)room);
    uint8_t *data = ptx_new(loader, room + 1);
    do {
        while (ptx_accept(loader, "{"))
            if (++depth > 16)
                ptx_fail(loader, line, "initial values nested deeper than 16");
        if (depth && ptx_is(ptx_peek(loader), "}"))
            ptx_next(loader), depth--;
        else
            put_value(loader, d, data, &at, room);
        while (depth && ptx_accept(loader, "}"))
            depth--;
    } while (ptx_accept(loader, ","));
    if (depth)
        ptx_fail(loader, line, "initial values without end");
    *out_bytes = bytes ? bytes : at;
    return data;
}

static void place_global(ptx_loader *loader, ptx_symbol *symbol, const uint8_t *data, uint32_t line)
{
    ptx_module *module = loader->module;
    char *name = ptx_name(loader, symbol->name, symbol->bytes);
    uint64_t address;
    loader->status = ptx_memory_alloc(module->memory, symbol->size ? symbol->size : 1, name, &address);
    if (loader->status)
        ptx_fail(loader, line, "no memory for '%s' of %llu bytes", name, (unsigned long long)symbol->size);
    loader->status = PTX_BAD_TEXT;
    module->variables = ptx_grow(loader, module->variables, module->variable_count,
                                 &loader->variable_capacity, sizeof(ptx_variable));
    module->variables[module->variable_count++] =
        (ptx_variable){.name = name, .space = symbol->space, .address = address, .bytes = symbol->size};
    symbol->address = address;
    if (symbol->space == PTX_SPACE_CONST)
        ptx_memory_at(module->memory, address)->read_only = true;
    // variables without a value are zero
    if (data)
        ptx_memory_write(module->memory, address, data, symbol->size);
    else
        ptx_memory_fill(module->memory, address, 0, 1, symbol->size);
}

void ptx_parse_variables(ptx_loader *loader, uint8_t space, bool is_extern)
{
    declaration d = parse_type(loader);
    do {
        const ptx_token *name = ptx_expect_word(loader, "a variable");
        uint64_t element = (ptx_types[d.type].bits + 7) / 8 * d.vector, bytes;
        uint32_t capacity_line = name->line;
        bool is_open;
        ptx_symbol *symbol;
        if (ptx_accept(loader, "<"))
            ptx_fail(loader, name->line, "a range of variables is not supported");
        bytes = parse_extents(loader, &is_open) * element;
        if (bytes > 1ull << 40)
            ptx_fail(loader, capacity_line, "a variable of %llu bytes", (unsigned long long)bytes);
        if (is_open && !is_extern)
            bytes = 0;
        uint8_t *data = NULL;
        symbol = ptx_add_symbol(loader, name, SYMBOL_VARIABLE);
        if (ptx_accept(loader, "=")) {
            if (space != PTX_SPACE_GLOBAL && space != PTX_SPACE_CONST)
                ptx_fail(loader, name->line, "an initial value outside .global and .const");
            data = parse_values(loader, d, is_open ? 0 : bytes, &bytes);
        }
        symbol->space = space;
        symbol->type = d.type;
        symbol->size = bytes;
        symbol->align = d.align;
        symbol->is_dynamic = space == PTX_SPACE_SHARED && is_extern;
        if (is_extern && space != PTX_SPACE_SHARED)
            ptx_fail(loader, name->line, "'%.*s' is defined in another module: there is no linking",
                     (int)name->bytes, name->text);
        if (space == PTX_SPACE_LOCAL || space == PTX_SPACE_PARAM)
            place_local(loader, symbol, name->line);
        else if (space != PTX_SPACE_SHARED)
            place_global(loader, symbol, data, name->line);
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, ";");
}

// ---- functions ----

static ptx_parameter *parse_parameters(ptx_loader *loader, uint32_t *out_count)
{
    ptx_parameter *params = NULL;
    uint32_t capacity = 0;
    *out_count = 0;
    ptx_expect(loader, "(");
    if (ptx_accept(loader, ")"))
        return NULL;
    do {
        ptx_parameter param = {.is_register = ptx_is(ptx_peek(loader), ".reg")};
        ptx_token *word = ptx_expect_word(loader, "a parameter");
        bool is_open;
        if (!param.is_register && !ptx_is(word, ".param"))
            ptx_fail(loader, word->line, "'.param' expected, not '%.*s'", (int)word->bytes, word->text);
        declaration d = parse_type(loader);
        if (ptx_accept(loader,
                       ".ptr")) { // what the pointer points to: says nothing about the parameter itself
            while (ptx_peek(loader)->kind == TOKEN_WORD && ptx_peek(loader)->text[0] == '.')
                if (ptx_is(ptx_next(loader), ".align"))
                    ptx_expect_int(loader, "an alignment");
        }
        const ptx_token *name = ptx_expect_word(loader, "a parameter's name");
        param.name = name->text;
        param.bytes = name->bytes;
        param.size = parse_extents(loader, &is_open) * ((ptx_types[d.type].bits + 7) / 8) * d.vector;
        param.align = d.align;
        if (param.size > 32764)
            ptx_fail(loader, name->line, "a parameter of %llu bytes", (unsigned long long)param.size);
        params = ptx_grow(loader, params, *out_count, &capacity, sizeof *params);
        params[(*out_count)++] = param;
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, ")");
    return params;
}

static void parse_performance(ptx_loader *loader, ptx_function *function)
{
    for (;;) {
        ptx_token *word = ptx_peek(loader);
        bool threads = ptx_is(word, ".maxntid") || ptx_is(word, ".reqntid");
        if (ptx_is(word, ".noreturn")) {
            ptx_next(loader);
        } else if (ptx_is(word, ".pragma")) {
            ptx_next(loader);
            ptx_next(loader);
            ptx_expect(loader, ";");
        } else if (threads || ptx_is(word, ".minnctapersm") || ptx_is(word, ".maxnreg") ||
                   ptx_is(word, ".maxnctapersm")) {
            ptx_next(loader);
            int64_t product = 1, extents[3] = {1, 1, 1};
            uint32_t count = 0;
            do {
                int64_t n = ptx_expect_int(loader, "a number");
                if (n < 1 || n > 1 << 20 || product > 1 << 20 || count == 3)
                    ptx_fail(loader, word->line, "%.*s of %lld", (int)word->bytes, word->text, (long long)n);
                product *= n;
                extents[count++] = n;
            } while (ptx_accept(loader, ","));
            if (threads)
                function->max_threads = product > 1024 ? 1024 : (uint32_t)product;
            for (uint32_t i = 0; i < 3 && ptx_is(word, ".reqntid"); i++)
                function->required[i] = (uint32_t)extents[i];
        } else {
            return;
        }
    }
}

static void parse_function(ptx_loader *loader, bool is_entry, bool is_extern)
{
    ptx_function *function = ptx_new(loader, sizeof *function);
    *function = (ptx_function){.is_entry = is_entry, .is_extern = is_extern, .max_threads = 1024};
    if (!is_entry && ptx_is(ptx_peek(loader), "("))
        function->returns = parse_parameters(loader, &function->return_count);
    const ptx_token *name = ptx_expect_word(loader, "a function's name");
    function->name = name->text;
    function->name_bytes = name->bytes;
    function->line = name->line;
    if (ptx_is(ptx_peek(loader), "("))
        function->params = parse_parameters(loader, &function->param_count);
    parse_performance(loader, function);
    if (ptx_accept(loader, "{")) {
        function->body = loader->at;
        for (uint32_t depth = 1; depth;) {
            ptx_token *token = ptx_next(loader);
            if (token->kind == TOKEN_END)
                ptx_fail(loader, name->line, "the body of '%.*s' has no end", (int)name->bytes, name->text);
            if (token->kind == TOKEN_PUNCT)
                depth += token->text[0] == '{' ? 1u : token->text[0] == '}' ? -1u : 0u;
        }
    } else {
        ptx_expect(loader, ";");
    }
    ptx_function **last = &loader->functions;
    for (; *last; last = &(*last)->next)
        if (is_entry && function->body && (*last)->is_entry && (*last)->body &&
            (*last)->name_bytes == function->name_bytes &&
            !memcmp((*last)->name, function->name, function->name_bytes))
            ptx_fail(loader, name->line, "kernel '%.*s' is defined twice", (int)name->bytes, name->text);
    *last = function;
}

// ---- kernels ----

static void begin_kernel(ptx_loader *loader, const ptx_function *function)
{
    ptx_module *module = loader->module;
    module->kernels =
        ptx_grow(loader, module->kernels, module->kernel_count, &loader->kernel_capacity, sizeof(ptx_kernel));
    ptx_kernel *kernel = loader->kernel = &module->kernels[module->kernel_count++];
    *kernel = (ptx_kernel){.name = ptx_name(loader, function->name, function->name_bytes),
                           .module = module,
                           .register_bytes = 256,
                           .max_threads = function->max_threads};
    memcpy(kernel->required, function->required, sizeof kernel->required);
    loader->insn_capacity = loader->list_capacity = loader->table_capacity = loader->constant_capacity = 0;
    loader->shared_capacity = loader->locals_capacity = loader->dynamic_capacity = 0;
    loader->dynamic_count = loader->fixup_count = loader->return_count = loader->loc = 0;
    loader->dynamic_align = 16;
    loader->kernel_number++;
    kernel->params = ptx_new(loader, (function->param_count + 1) * sizeof(ptx_param));
    for (uint32_t i = 0; i < function->param_count; i++) {
        const ptx_parameter *param = &function->params[i];
        ptx_token name = {
            .kind = TOKEN_WORD, .text = param->name, .bytes = param->bytes, .line = function->line};
        ptx_symbol *symbol = ptx_add_symbol(loader, &name, SYMBOL_VARIABLE);
        kernel->param_bytes = (uint32_t)align_up(kernel->param_bytes, param->align);
        symbol->space = PTX_SPACE_PARAM;
        symbol->is_kernel_param = true;
        symbol->address = kernel->param_bytes;
        symbol->size = param->size;
        kernel->params[kernel->param_count++] = (ptx_param){
            .offset = kernel->param_bytes, .bytes = (uint32_t)param->size, .align = (uint32_t)param->align};
        kernel->param_bytes += (uint32_t)param->size;
        if (kernel->param_bytes > 32764)
            ptx_fail(loader, function->line, "more than 32764 bytes of parameters");
    }
}

static void finish_kernel(ptx_loader *loader, uint32_t line)
{
    ptx_kernel *kernel = loader->kernel;
    ptx_insn end = {.op = PTX_OP_EXIT, .line = line, .leaves = 1};
    ptx_emit(loader, &end);
    uint64_t static_end = PTX_SHARED_FIRST;
    if (kernel->shared_count) {
        const ptx_variable *last = &kernel->shared[kernel->shared_count - 1];
        static_end = last->address + last->bytes + 16;
    }
    kernel->dynamic_offset =
        (uint32_t)align_up(static_end, loader->dynamic_align > 128 ? loader->dynamic_align : 128);
    for (uint32_t i = 0; i < loader->dynamic_count; i++) {
        uint32_t index = loader->dynamic_constants[i] & 0x7fffffffu;
        bool wide = loader->dynamic_constants[i] >> 31;
        uint8_t *constant = kernel->constants + index * 256ull;
        for (uint32_t lane = 0; lane < 32; lane++) {
            uint64_t value = 0;
            memcpy(&value, constant + lane * (wide ? 8u : 4u), wide ? 8 : 4);
            value += kernel->dynamic_offset;
            memcpy(constant + lane * (wide ? 8u : 4u), &value, wide ? 8 : 4);
        }
    }
    for (uint32_t i = 0; i < kernel->insn_count; i++) {
        ptx_insn *insn = &kernel->insns[i];
        insn->run = ptx_select(insn);
        insn->class = (uint8_t)ptx_class_of(insn);
        if (!insn->run)
            ptx_fail(loader, insn->line, "no way to execute this form of the instruction");
    }
}

// A function that no kernel calls is read as well, so that nothing in a module is left unchecked.
static void parse_body(ptx_loader *loader, ptx_function *function)
{
    ptx_enter(loader);
    begin_kernel(loader, function);
    if (!function->is_entry) {
        for (uint32_t i = 0; i < function->return_count; i++) {
            ptx_token name = {.kind = TOKEN_WORD,
                              .text = function->returns[i].name,
                              .bytes = function->returns[i].bytes,
                              .line = function->line};
            ptx_symbol *symbol = ptx_add_symbol(loader, &name, SYMBOL_VARIABLE);
            symbol->space = PTX_SPACE_PARAM;
        }
        for (ptx_symbol *symbol = loader->newest; symbol && symbol->depth == loader->depth;
             symbol = symbol->older)
            symbol->is_kernel_param = false;
    }
    loader->floor = loader->depth;
    loader->at = function->body;
    function->is_open = true;
    ptx_parse_statements(loader);
    ptx_finish_labels(loader);
    function->is_open = false;
    finish_kernel(loader, ptx_peek(loader)->line);
    ptx_leave(loader);
    if (!function->is_entry)
        loader->module->kernel_count--;
}

// ---- the module ----

static void parse_file(ptx_loader *loader)
{
    ptx_module *module = loader->module;
    int64_t number = ptx_expect_int(loader, "a file number");
    ptx_token *name = ptx_next(loader);
    if (name->kind != TOKEN_STRING || number < 0 || number > 1 << 16)
        ptx_fail(loader, name->line, ".file without number and name");
    while (ptx_accept(loader, ","))
        ptx_expect_int(loader, "a number");
    uint32_t count = (uint32_t)number + 1;
    if (count > module->file_count) {
        const char **files = ptx_new(loader, count * sizeof *files);
        if (module->file_count)
            memcpy(files, module->files, module->file_count * sizeof *files);
        module->files = files;
        module->file_count = count;
    }
    module->files[number] = ptx_name(loader, name->text, name->bytes);
}

static void parse_header(ptx_loader *loader)
{
    ptx_module *module = loader->module;
    ptx_expect(loader, ".version");
    ptx_token *version = ptx_next(loader);
    if (version->kind != TOKEN_F64 || sscanf(ptx_name(loader, version->text, version->bytes), "%2u.%2u",
                                             &module->version_major, &module->version_minor) != 2)
        ptx_fail(loader, version->line, "a version expected, not '%.*s'", (int)version->bytes, version->text);
    if (module->version_major < 6 || module->version_major > 9)
        ptx_fail(loader, version->line, "PTX %u.%u; 6.0 to 9.x are read", module->version_major,
                 module->version_minor);
    ptx_expect(loader, ".target");
    ptx_token *target = ptx_expect_word(loader, "a target");
    char name[32] = "";
    memcpy(name, target->text, target->bytes < 31 ? target->bytes : 31);
    if (sscanf(name, "sm_%3u", &module->target) != 1 || module->target < 30)
        ptx_fail(loader, target->line, "target '%s'", name);
    while (ptx_accept(loader, ",")) {
        ptx_token *option = ptx_expect_word(loader, "an option of the target");
        if (!ptx_is(option, "debug") && !ptx_is(option, "texmode_independent"))
            ptx_fail(loader, option->line, "option '%.*s' of the target", (int)option->bytes, option->text);
    }
    ptx_expect(loader, ".address_size");
    if (ptx_expect_int(loader, "an address size") != 64)
        ptx_fail(loader, target->line, "addresses of 64 bits are supported only");
}

static void parse_section(ptx_loader *loader)
{
    ptx_expect_word(loader, "a section");
    uint32_t line = ptx_peek(loader)->line;
    ptx_expect(loader, "{");
    while (!ptx_accept(loader, "}"))
        if (ptx_next(loader)->kind == TOKEN_END)
            ptx_fail(loader, line, "a section without end");
}

static void parse_top(ptx_loader *loader)
{
    bool is_extern = false;
    ptx_token *word = ptx_expect_word(loader, "a directive");
    while (ptx_is(word, ".visible") || ptx_is(word, ".extern") || ptx_is(word, ".weak") ||
           ptx_is(word, ".common")) {
        is_extern = is_extern || ptx_is(word, ".extern");
        word = ptx_expect_word(loader, "a directive");
    }
    if (ptx_is(word, ".entry"))
        parse_function(loader, true, is_extern);
    else if (ptx_is(word, ".func"))
        parse_function(loader, false, is_extern);
    else if (ptx_is(word, ".global"))
        ptx_parse_variables(loader, PTX_SPACE_GLOBAL, is_extern);
    else if (ptx_is(word, ".const"))
        ptx_parse_variables(loader, PTX_SPACE_CONST, is_extern);
    else if (ptx_is(word, ".shared"))
        ptx_parse_variables(loader, PTX_SPACE_SHARED, is_extern);
    else if (ptx_is(word, ".file"))
        parse_file(loader);
    else if (ptx_is(word, ".section"))
        parse_section(loader);
    else
        ptx_fail(loader, word->line, "'%.*s' in a module", (int)word->bytes, word->text);
}

static void parse_module(ptx_loader *loader, const char *text, size_t text_bytes)
{
    ptx_tokenize(loader, text, text_bytes);
    parse_header(loader);
    loader->module->loc_count = 1; // 0: unknown
    loader->module->locs = ptx_grow(loader, NULL, 0, &loader->loc_capacity, sizeof(ptx_loc));
    while (ptx_peek(loader)->kind != TOKEN_END)
        parse_top(loader);
    for (ptx_function *function = loader->functions; function; function = function->next)
        if (function->body)
            parse_body(loader, function);
}

ptx_status ptx_module_load(ptx_memory *memory, const char *text, size_t text_bytes, char *message,
                           ptx_module **out_module)
{
    *out_module = NULL;
    message[0] = 0;
    ptx_arena *arena = ptx_arena_create();
    ptx_loader *loader = arena ? ptx_arena_alloc(arena, sizeof *loader) : NULL;
    ptx_module *module = arena ? ptx_arena_alloc(arena, sizeof *module) : NULL;
    if (!loader || !module) {
        ptx_arena_destroy(arena);
        snprintf(message, PTX_MESSAGE_BYTES, "no memory for a module");
        return PTX_NO_MEMORY;
    }
    module->arena = loader->arena = arena;
    module->memory = memory;
    loader->message = message;
    loader->module = module;
    loader->status = PTX_BAD_TEXT;
    if (setjmp(loader->failed)) {
        ptx_status status = loader->status;
        ptx_module_destroy(loader->module);
        return status;
    }
    parse_module(loader, text, text_bytes);
    *out_module = module;
    return PTX_OK;
}

void ptx_module_destroy(ptx_module *module)
{
    if (!module)
        return;
    for (uint32_t i = 0; i < module->variable_count; i++)
        ptx_memory_free(module->memory, module->variables[i].address);
    ptx_arena_destroy(module->arena);
}
