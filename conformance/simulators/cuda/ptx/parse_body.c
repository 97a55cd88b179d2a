// SPDX-License-Identifier: MIT
//
// The body of a kernel: statements, labels, instructions, and functions put in place of their calls.
#include "parse.h"

#include <string.h>

ptx_insn *ptx_emit(ptx_loader *loader, const ptx_insn *insn)
{
    ptx_kernel *kernel = loader->kernel;
    if (kernel->insn_count >= 1u << 21)
        ptx_fail(loader, insn->line, "more than 2^21 instructions in a kernel");
    kernel->insns =
        ptx_grow(loader, kernel->insns, kernel->insn_count, &loader->insn_capacity, sizeof(ptx_insn));
    ptx_insn *result = &kernel->insns[kernel->insn_count++];
    *result = *insn;
    result->loc = loader->loc;
    kernel->reads_nc |= insn->m.nc;
    return result;
}

// ---- labels ----

void ptx_branch_fixup(ptx_loader *loader, const ptx_token *label, uint32_t insn, uint32_t table)
{
    loader->fixups =
        ptx_grow(loader, loader->fixups, loader->fixup_count, &loader->fixup_capacity, sizeof(ptx_fixup));
    loader->fixups[loader->fixup_count++] = (ptx_fixup){.name = label->text,
                                                        .bytes = label->bytes,
                                                        .line = label->line,
                                                        .depth = loader->depth,
                                                        .insn = insn,
                                                        .table = table};
}

// Called where a scope ends: branches out of it wait for the scope around it, except at a function's root.
static void resolve_labels(ptx_loader *loader, bool is_root)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < loader->fixup_count; i++) {
        ptx_fixup *fixup = &loader->fixups[i];
        if (fixup->depth < loader->depth) {
            loader->fixups[kept++] = *fixup;
            continue;
        }
        ptx_symbol *label = ptx_find_symbol(loader, fixup->name, fixup->bytes);
        if (label && label->kind == SYMBOL_LABEL && label->depth == loader->depth) {
            if (fixup->table)
                loader->kernel->tables[fixup->table - 1] = label->place;
            else
                loader->kernel->insns[fixup->insn].target = label->place;
        } else if (is_root) {
            ptx_fail(loader, fixup->line, "no label '%.*s' here", (int)fixup->bytes, fixup->name);
        } else {
            fixup->depth--;
            loader->fixups[kept++] = *fixup;
        }
    }
    loader->fixup_count = kept;
}

static void parse_targets(ptx_loader *loader, const ptx_token *name)
{
    ptx_kernel *kernel = loader->kernel;
    ptx_symbol *table = ptx_add_symbol(loader, name, SYMBOL_TABLE);
    // a table: its length, then the targets
    table->place = kernel->table_count;
    kernel->tables =
        ptx_grow(loader, kernel->tables, kernel->table_count, &loader->table_capacity, sizeof(uint32_t));
    kernel->tables[kernel->table_count++] = 0;
    do {
        const ptx_token *label = ptx_expect_word(loader, "a label");
        kernel->tables =
            ptx_grow(loader, kernel->tables, kernel->table_count, &loader->table_capacity, sizeof(uint32_t));
        kernel->table_count++;
        ptx_branch_fixup(loader, label, 0, kernel->table_count);
        kernel->tables[table->place]++;
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, ";");
}

// ---- calls ----

static ptx_function *find_function(ptx_loader *loader, const ptx_token *name)
{
    for (ptx_function *f = loader->functions; f; f = f->next)
        if (!f->is_entry && f->name_bytes == name->bytes && memcmp(f->name, name->text, name->bytes) == 0 &&
            f->body)
            return f;
    for (ptx_function *f = loader->functions; f; f = f->next)
        if (!f->is_entry && f->name_bytes == name->bytes && memcmp(f->name, name->text, name->bytes) == 0)
            return f;
    return NULL;
}

static uint32_t parse_arguments(ptx_loader *loader, ptx_symbol **arguments)
{
    uint32_t count = 0;
    ptx_expect(loader, "(");
    if (ptx_accept(loader, ")"))
        return 0;
    do {
        const ptx_token *token = ptx_expect_word(loader, "a parameter");
        ptx_symbol *symbol = ptx_find_symbol(loader, token->text, token->bytes);
        if (!symbol || symbol->kind != SYMBOL_VARIABLE || symbol->space != PTX_SPACE_PARAM ||
            symbol->is_kernel_param)
            ptx_fail(loader, token->line,
                     "'%.*s' is not a .param variable: only these are passed to functions", (int)token->bytes,
                     token->text);
        if (count == 64)
            ptx_fail(loader, token->line, "more than 64 parameters in a call");
        arguments[count++] = symbol;
    } while (ptx_accept(loader, ","));
    ptx_expect(loader, ")");
    return count;
}

static void bind_parameters(ptx_loader *loader, const ptx_parameter *params, ptx_symbol **arguments,
                            uint32_t count, uint32_t line)
{
    for (uint32_t i = 0; i < count; i++) {
        ptx_token name = {.kind = TOKEN_WORD, .text = params[i].name, .bytes = params[i].bytes, .line = line};
        if (params[i].is_register)
            ptx_fail(loader, line, "a function with parameters in registers is not supported");
        if (params[i].size > arguments[i]->size)
            ptx_fail(loader, line, "argument %u has %llu bytes, the parameter %llu", i + 1,
                     (unsigned long long)arguments[i]->size, (unsigned long long)params[i].size);
        ptx_symbol *symbol = ptx_add_symbol(loader, &name, SYMBOL_VARIABLE);
        symbol->space = PTX_SPACE_PARAM;
        symbol->address = arguments[i]->address;
        symbol->size = params[i].size;
        symbol->type = arguments[i]->type;
    }
}

static void put_in_place(ptx_loader *loader, ptx_function *function, ptx_symbol **arguments,
                         ptx_symbol **results, uint32_t line)
{
    if (function->is_open)
        ptx_fail(loader, line, "'%.*s' calls itself: recursion is not supported", (int)function->name_bytes,
                 function->name);
    if (++loader->inline_depth > 40)
        ptx_fail(loader, line, "calls nested deeper than 40");
    uint32_t at = loader->at, floor = loader->floor, first_return = loader->return_count;
    ptx_enter(loader);
    bind_parameters(loader, function->returns, results, function->return_count, line);
    bind_parameters(loader, function->params, arguments, function->param_count, line);
    loader->floor = loader->depth;
    function->is_open = true;
    loader->at = function->body;
    ptx_parse_statements(loader);
    resolve_labels(loader, true);
    function->is_open = false;
    ptx_leave(loader);
    for (uint32_t i = first_return; i < loader->return_count; i++)
        loader->kernel->insns[loader->returns[i]].target = loader->kernel->insn_count;
    loader->return_count = first_return;
    loader->at = at;
    loader->floor = floor;
    loader->inline_depth--;
}

static void parse_call(ptx_loader *loader, ptx_insn *insn)
{
    ptx_symbol *results[64], *arguments[64];
    uint32_t result_count = 0, argument_count = 0;
    if (ptx_is(ptx_peek(loader), "(")) {
        result_count = parse_arguments(loader, results);
        ptx_expect(loader, ",");
    }
    const ptx_token *name = ptx_expect_word(loader, "a function");
    if (ptx_accept(loader, ","))
        argument_count = parse_arguments(loader, arguments);
    ptx_expect(loader, ";");
    ptx_function *function = find_function(loader, name);
    if (!function)
        ptx_fail(loader, name->line, "no function '%.*s'; indirect calls are not supported", (int)name->bytes,
                 name->text);
    if (result_count != function->return_count || argument_count != function->param_count)
        ptx_fail(loader, name->line, "'%.*s' takes %u and gives %u parameters, not %u and %u",
                 (int)name->bytes, name->text, function->param_count, function->return_count, argument_count,
                 result_count);
    if (!function->body && ptx_is(name, "__assertfail")) {
        insn->op = PTX_OP_TRAP;
        insn->leaves = 1;
        ptx_emit(loader, insn);
        return;
    }
    if (!function->body)
        ptx_fail(loader, name->line, "function '%.*s' has no body in this module", (int)name->bytes,
                 name->text);
    uint32_t around = loader->kernel->insn_count;
    if (insn->guard) {
        insn->op = PTX_OP_BRA;
        insn->guard_not = !insn->guard_not;
        insn->leaves = 1;
        ptx_emit(loader, insn);
    }
    put_in_place(loader, function, arguments, results, insn->line);
    if (insn->guard)
        loader->kernel->insns[around].target = loader->kernel->insn_count;
}

// ---- instructions ----

static bool may_leave(const ptx_insn *insn)
{
    switch (insn->op) {
    case PTX_OP_BRA:
    case PTX_OP_BRX:
    case PTX_OP_EXIT:
    case PTX_OP_TRAP:
    case PTX_OP_BAR:
    case PTX_OP_BARREDP:
    case PTX_OP_BARREDN:
    case PTX_OP_WARPSYNC:
    case PTX_OP_SHFL:
    case PTX_OP_VOTEP:
    case PTX_OP_BALLOT:
    case PTX_OP_MATCH:
    case PTX_OP_MATCHALL:
    case PTX_OP_REDUX:
    case PTX_OP_ELECT:
    case PTX_OP_LDMATRIX:
    case PTX_OP_STMATRIX:
    case PTX_OP_MOVMATRIX:
    case PTX_OP_MMA:
        return true;
    default:
        return false;
    }
}

static void parse_guard(ptx_loader *loader, ptx_insn *insn)
{
    insn->guard_not = ptx_accept(loader, "!");
    ptx_operand guard = ptx_parse_operand(loader);
    ptx_insn probe = {.line = ptx_peek(loader)->line};
    if (guard.kind != OPERAND_REGISTER)
        ptx_fail(loader, probe.line, "a guard that is no predicate register");
    ptx_bind_source(loader, &probe, 0, &guard, PTX_PRED, false);
    insn->guard = probe.o[0];
}

static bool mnemonic_is(const ptx_token *word, const char *name)
{
    size_t bytes = strlen(name);
    return word->bytes >= bytes && memcmp(word->text, name, bytes) == 0 &&
           (word->bytes == bytes || word->text[bytes] == '.');
}

static void parse_branch(ptx_loader *loader, const ptx_token *word, ptx_insn *insn)
{
    const char *list;
    ptx_operand operand = {0};
    bool indexed = mnemonic_is(word, "brx");
    ptx_match_form(loader, word, indexed ? 2 : 1, insn, &list);
    insn->leaves = 1;
    if (indexed) {
        operand = ptx_parse_operand(loader);
        ptx_bind_source(loader, insn, 0, &operand, PTX_B32, false);
        ptx_expect(loader, ",");
    }
    const ptx_token *label = ptx_expect_word(loader, "a label");
    ptx_expect(loader, ";");
    if (!indexed) {
        ptx_emit(loader, insn);
        ptx_branch_fixup(loader, label, loader->kernel->insn_count - 1, 0);
        return;
    }
    ptx_symbol *table = ptx_find_symbol(loader, label->text, label->bytes);
    if (!table || table->kind != SYMBOL_TABLE)
        ptx_fail(loader, label->line, "'%.*s' is not a list of branch targets", (int)label->bytes,
                 label->text);
    insn->target = table->place;
    ptx_emit(loader, insn);
}

static void finish_return(ptx_loader *loader, ptx_insn *insn)
{
    insn->leaves = 1;
    if (loader->inline_depth == 0) {
        insn->op = PTX_OP_EXIT;
        ptx_emit(loader, insn);
        return;
    }
    insn->op = PTX_OP_BRA;
    ptx_emit(loader, insn);
    loader->returns =
        ptx_grow(loader, loader->returns, loader->return_count, &loader->return_capacity, sizeof(uint32_t));
    loader->returns[loader->return_count++] = loader->kernel->insn_count - 1;
}

void ptx_parse_instruction(ptx_loader *loader)
{
    ptx_insn insn = {.line = ptx_peek(loader)->line};
    ptx_operand operands[PTX_MAX_PARSED] = {{0}};
    uint32_t count = 0;
    const char *list;
    if (ptx_accept(loader, "@"))
        parse_guard(loader, &insn);
    const ptx_token *word = ptx_expect_word(loader, "an instruction");
    insn.line = word->line;
    if (mnemonic_is(word, "bra") || mnemonic_is(word, "brx")) {
        parse_branch(loader, word, &insn);
        return;
    }
    if (mnemonic_is(word, "call")) {
        ptx_match_form(loader, word, 1, &insn, &list);
        parse_call(loader, &insn);
        return;
    }
    if (!ptx_accept(loader, ";")) {
        do {
            if (count == PTX_MAX_PARSED)
                ptx_fail(loader, word->line, "more than %d operands", PTX_MAX_PARSED);
            operands[count++] = ptx_parse_operand(loader);
        } while (ptx_accept(loader, ","));
        ptx_expect(loader, ";");
    }
    ptx_match_form(loader, word, count, &insn, &list);
    if (strcmp(list, "M") == 0)
        ptx_bind_by_op(loader, operands, count, &insn);
    else
        ptx_bind_operands(loader, list, operands, count, &insn);
    insn.leaves = may_leave(&insn);
    if (insn.op == PTX_OP_RET)
        finish_return(loader, &insn);
    else
        ptx_emit(loader, &insn);
}

// ---- statements ----

static void parse_loc(ptx_loader *loader)
{
    ptx_module *module = loader->module;
    int64_t file = ptx_expect_int(loader, "a file number"), line = ptx_expect_int(loader, "a line");
    ptx_expect_int(loader, "a column");
    while (ptx_accept(loader, ",")) { // function_name label [+ n], inlined_at file line column
        ptx_token *word = ptx_expect_word(loader, "an attribute of .loc");
        if (ptx_is(word, "function_name")) {
            ptx_expect_word(loader, "a label");
            if (ptx_accept(loader, "+"))
                ptx_expect_int(loader, "an offset");
        } else if (ptx_is(word, "inlined_at")) {
            for (int i = 0; i < 3; i++)
                ptx_expect_int(loader, "a number");
        } else {
            ptx_fail(loader, word->line, "'%.*s' in .loc", (int)word->bytes, word->text);
        }
    }
    module->locs = ptx_grow(loader, module->locs, module->loc_count, &loader->loc_capacity, sizeof(ptx_loc));
    module->locs[module->loc_count] = (ptx_loc){.file = (uint32_t)file, .line = (uint32_t)line};
    loader->loc = module->loc_count++;
}

static bool parse_directive(ptx_loader *loader, const ptx_token *word)
{
    if (ptx_is(word, ".loc")) {
        parse_loc(loader);
    } else if (ptx_is(word, ".pragma")) {
        do
            ptx_next(loader);
        while (ptx_accept(loader, ","));
        ptx_expect(loader, ";");
    } else if (ptx_is(word, ".reg")) {
        ptx_parse_registers(loader);
    } else if (ptx_is(word, ".local")) {
        ptx_parse_variables(loader, PTX_SPACE_LOCAL, false);
    } else if (ptx_is(word, ".shared")) {
        ptx_parse_variables(loader, PTX_SPACE_SHARED, false);
    } else if (ptx_is(word, ".param")) {
        ptx_parse_variables(loader, PTX_SPACE_PARAM, false);
    } else {
        return false;
    }
    return true;
}

void ptx_parse_statements(ptx_loader *loader)
{
    uint32_t root = loader->depth;
    for (;;) {
        ptx_token *token = ptx_peek(loader);
        if (token->kind == TOKEN_END)
            ptx_fail(loader, token->line, "the text ends inside a body");
        if (ptx_accept(loader, ";"))
            continue;
        if (ptx_accept(loader, "{")) {
            ptx_enter(loader);
            continue;
        }
        if (ptx_accept(loader, "}")) {
            if (loader->depth == root)
                return;
            resolve_labels(loader, false);
            ptx_leave(loader);
            continue;
        }
        if (token->kind == TOKEN_WORD && token->text[0] == '.') {
            if (!parse_directive(loader, ptx_next(loader)))
                ptx_fail(loader, token->line, "'%.*s' inside a body", (int)token->bytes, token->text);
            continue;
        }
        if (token->kind == TOKEN_WORD && ptx_is(token + 1, ":")) {
            loader->at += 2;
            if (ptx_accept(loader, ".branchtargets"))
                parse_targets(loader, token);
            else
                ptx_add_symbol(loader, token, SYMBOL_LABEL)->place = loader->kernel->insn_count;
            continue;
        }
        ptx_parse_instruction(loader);
    }
}

void ptx_finish_labels(ptx_loader *loader)
{
    resolve_labels(loader, true);
}
