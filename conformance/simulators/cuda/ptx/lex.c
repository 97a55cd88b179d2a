// SPDX-License-Identifier: MIT
//
// Cuts PTX text into tokens, and the small things that every part of the loader needs: failing with a line,
// growing arrays, names and scopes.
#include "parse.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ptx_fail(ptx_loader *loader, uint32_t line, const char *format, ...)
{
    int used = snprintf(loader->message, PTX_MESSAGE_BYTES, "line %u: ", line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(loader->message + used, PTX_MESSAGE_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *c = loader->message; *c; c++) // the text may be anything; the message is to be printed
        if ((unsigned char)*c < 32 || (unsigned char)*c > 126)
            *c = '?';
    longjmp(loader->failed, 1);
}

void *ptx_new(ptx_loader *loader, size_t bytes)
{
    void *result = ptx_arena_alloc(loader->arena, bytes);
    if (!result) {
        loader->status = PTX_NO_MEMORY;
        ptx_fail(loader, ptx_peek(loader)->line, "no memory for %zu bytes", bytes);
    }
    return result;
}

void *ptx_grow(ptx_loader *loader, void *array, uint32_t count, uint32_t *capacity, size_t element_bytes)
{
    if (count < *capacity)
        return array;
    uint32_t more = *capacity ? *capacity * 2 : 16;
    void *result = ptx_new(loader, more * element_bytes);
    if (count)
        memcpy(result, array, count * element_bytes);
    *capacity = more;
    return result;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

static const char *skip_space(ptx_loader *loader, const char *at, const char *end, uint32_t *line)
{
    while (at < end) {
        if (*at == '\n')
            ++*line;
        if (isspace((unsigned char)*at)) {
            at++;
        } else if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
            while (at < end && *at != '\n')
                at++;
        } else if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
            uint32_t began = *line;
            for (at += 2;; at++) {
                if (end - at < 2)
                    ptx_fail(loader, began, "a comment without end");
                if (*at == '\n')
                    ++*line;
                if (at[0] == '*' && at[1] == '/')
                    break;
            }
            at += 2;
        } else if (*at == '#') { // preprocessor line
            while (at < end && *at != '\n')
                at++;
        } else {
            break;
        }
    }
    return at;
}

// Hexadecimal digits of a float's bits: 0f3F800000, 0d3FF0000000000000.
static bool float_bits(ptx_token *token, int digits)
{
    if ((int)token->bytes != digits + 2)
        return false;
    for (int i = 0; i < digits; i++) {
        char c = token->text[i + 2];
        if (!isxdigit((unsigned char)c))
            return false;
        token->bits =
            token->bits << 4 | (uint64_t)(isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    return true;
}

static void read_number(ptx_loader *loader, ptx_token *token)
{
    char text[64];
    uint32_t bytes = token->bytes;
    const char *from = token->text;
    char second = bytes > 1 ? (char)(from[1] | 32) : 0;
    if (from[0] == '0' && (second == 'f' || second == 'd')) {
        token->kind = second == 'f' ? TOKEN_F32 : TOKEN_F64;
        if (!float_bits(token, second == 'f' ? 8 : 16))
            ptx_fail(loader, token->line, "'%.*s' is not a number", (int)bytes, from);
        return;
    }
    if (bytes >= sizeof text)
        ptx_fail(loader, token->line, "a number of %u digits", bytes);
    memcpy(text, from, bytes);
    text[bytes] = 0;
    char *end;
    if (second != 'x' && (strpbrk(text, ".eE"))) {
        double value = strtod(text, &end);
        memcpy(&token->bits, &value, 8);
        token->kind = TOKEN_F64;
    } else {
        if (text[bytes - 1] == 'U')
            text[--bytes] = 0;
        token->kind = TOKEN_INT;
        token->bits = second == 'b' ? strtoull(text + 2, &end, 2) : strtoull(text, &end, 0);
    }
    if (*end || end == text)
        ptx_fail(loader, token->line, "'%.*s' is not a number", (int)token->bytes, from);
}

// Directives end at the next dot (".reg.b32" are two); instructions keep their modifiers.
static uint32_t word_bytes(const char *at, const char *end)
{
    const char *from = at;
    for (; at < end; at++) {
        if (*at == '.' && *from == '.' && at > from)
            break;
        if (*at == ':' && end - at > 2 && at[1] == ':' && is_word(at[2]))
            at++; // .shared::cta
        else if (!is_word(*at))
            break;
    }
    return (uint32_t)(at - from);
}

static const char *read_string(ptx_loader *loader, const char *at, const char *end, ptx_token *token)
{
    token->kind = TOKEN_STRING;
    token->text = ++at;
    while (at < end && *at != '"' && *at != '\n')
        at += *at == '\\' && end - at > 1 && at[1] != '\n' ? 2 : 1;
    if (at >= end || *at != '"')
        ptx_fail(loader, token->line, "a string without end");
    token->bytes = (uint32_t)(at - token->text);
    return at + 1;
}

void ptx_tokenize(ptx_loader *loader, const char *text, size_t text_bytes)
{
    const char *at = text, *end = text + text_bytes;
    uint32_t line = 1, capacity = 0;
    if (text_bytes > 1u << 30)
        ptx_fail(loader, 1, "a text of %zu bytes; at most 2^30", text_bytes);
    for (;;) {
        at = skip_space(loader, at, end, &line);
        loader->tokens = ptx_grow(loader, loader->tokens, loader->token_count, &capacity, sizeof(ptx_token));
        ptx_token *token = &loader->tokens[loader->token_count++];
        *token = (ptx_token){.kind = TOKEN_END, .line = line, .text = at};
        if (at >= end || *at == 0) {
            token->text = "end of text";
            token->bytes = 11;
            return;
        }
        if (*at == '"') {
            at = read_string(loader, at, end, token);
            continue;
        }
        if (is_word(*at) && !(*at == '.' && end - at > 1 && isdigit((unsigned char)at[1]))) {
            token->kind = TOKEN_WORD;
            token->bytes = word_bytes(at, end);
            if (isdigit((unsigned char)*at)) {
                // the sign of a decimal exponent belongs to the number
                if (at[0] != '0' && (at[token->bytes - 1] | 32) == 'e' && end - at > token->bytes + 1 &&
                    (at[token->bytes] == '-' || at[token->bytes] == '+'))
                    token->bytes += 1 + word_bytes(at + token->bytes + 1, end);
                read_number(loader, token);
            }
        } else {
            token->kind = TOKEN_PUNCT;
            token->bytes = 1;
        }
        at += token->bytes;
    }
}

ptx_token *ptx_peek(ptx_loader *loader)
{
    static ptx_token none = {.kind = TOKEN_END, .text = "", .line = 1};
    return loader->token_count ? &loader->tokens[loader->at] : &none;
}

ptx_token *ptx_next(ptx_loader *loader)
{
    ptx_token *token = &loader->tokens[loader->at];
    if (token->kind != TOKEN_END)
        loader->at++;
    return token;
}

bool ptx_is(const ptx_token *token, const char *text)
{
    return token->kind != TOKEN_STRING && token->kind != TOKEN_END && strlen(text) == token->bytes &&
           memcmp(token->text, text, token->bytes) == 0;
}

bool ptx_accept(ptx_loader *loader, const char *text)
{
    if (!ptx_is(ptx_peek(loader), text))
        return false;
    ptx_next(loader);
    return true;
}

void ptx_expect(ptx_loader *loader, const char *text)
{
    ptx_token *token = ptx_next(loader);
    if (!ptx_is(token, text))
        ptx_fail(loader, token->line, "'%s' expected, not '%.*s'", text, (int)token->bytes, token->text);
}

ptx_token *ptx_expect_word(ptx_loader *loader, const char *what)
{
    ptx_token *token = ptx_next(loader);
    if (token->kind != TOKEN_WORD)
        ptx_fail(loader, token->line, "%s expected, not '%.*s'", what, (int)token->bytes, token->text);
    return token;
}

int64_t ptx_expect_int(ptx_loader *loader, const char *what)
{
    bool negative = ptx_accept(loader, "-");
    ptx_token *token = ptx_next(loader);
    if (token->kind != TOKEN_INT)
        ptx_fail(loader, token->line, "%s expected, not '%.*s'", what, (int)token->bytes, token->text);
    return negative ? (int64_t)(0 - token->bits) : (int64_t)token->bits;
}

char *ptx_name(ptx_loader *loader, const char *text, uint32_t bytes)
{
    char *name = ptx_new(loader, bytes + 1);
    memcpy(name, text, bytes);
    return name;
}

static uint32_t hash_name(const char *name, uint32_t bytes)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

static ptx_symbol *find_exact(ptx_loader *loader, const char *name, uint32_t bytes)
{
    uint32_t hash = hash_name(name, bytes);
    for (ptx_symbol *symbol = loader->buckets[hash % 1024]; symbol; symbol = symbol->next)
        if (symbol->hash == hash && symbol->bytes == bytes && memcmp(symbol->name, name, bytes) == 0 &&
            (symbol->depth == 0 || symbol->depth >= loader->floor))
            return symbol;
    return NULL;
}

static ptx_symbol *add(ptx_loader *loader, const char *name, uint32_t bytes, symbol_kind kind)
{
    ptx_symbol *symbol = ptx_new(loader, sizeof *symbol);
    *symbol = (ptx_symbol){
        .name = name, .bytes = bytes, .hash = hash_name(name, bytes), .kind = kind, .depth = loader->depth};
    ptx_symbol **bucket = &loader->buckets[symbol->hash % 1024];
    symbol->next = *bucket;
    *bucket = symbol;
    symbol->older = loader->newest;
    loader->newest = symbol;
    return symbol;
}

// The n-th register of a range gets a symbol of its own when it is first used, beside the range.
ptx_symbol *ptx_find_symbol(ptx_loader *loader, const char *name, uint32_t bytes)
{
    ptx_symbol *symbol = find_exact(loader, name, bytes);
    if (symbol && symbol->kind != SYMBOL_RANGE)
        return symbol;
    uint32_t digits = 0;
    while (digits < bytes && digits < 9 && isdigit((unsigned char)name[bytes - 1 - digits]))
        digits++;
    for (uint32_t n = digits; n > 0; n--) {
        if (n > 1 && name[bytes - n] == '0')
            continue;
        ptx_symbol *range = find_exact(loader, name, bytes - n);
        if (!range || range->kind != SYMBOL_RANGE)
            continue;
        uint32_t index = 0;
        for (uint32_t i = bytes - n; i < bytes; i++)
            index = index * 10 + (uint32_t)(name[i] - '0');
        if (index >= range->count)
            continue;
        uint32_t here = loader->depth;
        loader->depth = range->depth;
        symbol = add(loader, name, bytes, SYMBOL_REGISTER);
        loader->depth = here;
        symbol->type = range->type;
        symbol->place = ptx_new_register(loader, ptx_types[range->type].bits);
        return symbol;
    }
    return NULL;
}

ptx_symbol *ptx_add_symbol(ptx_loader *loader, const ptx_token *name, symbol_kind kind)
{
    ptx_symbol *old = find_exact(loader, name->text, name->bytes);
    if (old && old->depth == loader->depth)
        ptx_fail(loader, name->line, "'%.*s' is declared twice", (int)name->bytes, name->text);
    return add(loader, name->text, name->bytes, kind);
}

void ptx_enter(ptx_loader *loader)
{
    if (++loader->depth >= PTX_MAX_DEPTH)
        ptx_fail(loader, ptx_peek(loader)->line, "blocks nested deeper than %d", PTX_MAX_DEPTH);
    loader->marks[loader->depth] = loader->newest;
}

// A register of an outer scope's range may have been added in between; it stays.
void ptx_leave(ptx_loader *loader)
{
    ptx_symbol **link = &loader->newest, *mark = loader->marks[loader->depth];
    while (*link != mark) {
        ptx_symbol *symbol = *link;
        if (symbol->depth < loader->depth) {
            link = &symbol->older;
            continue;
        }
        *link = symbol->older;
        ptx_symbol **at = &loader->buckets[symbol->hash % 1024];
        while (*at != symbol)
            at = &(*at)->next;
        *at = symbol->next;
    }
    loader->depth--;
}
