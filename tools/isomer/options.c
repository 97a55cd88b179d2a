// SPDX-License-Identifier: MIT
//
// The table-driven parser. Long options as "--name value" or "--name=value", short ones as "-p value", "--"
// ends options. Distance between words is Levenshtein's.
#include "tools/isomer/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#define MAX_WORD_BYTES 32
#define SHOWN_NEAREST  3

// ---- nearest words ----

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t least = a < b ? a : b;
    return least < c ? least : c;
}

// Words are cut at MAX_WORD_BYTES: longer ones are typing accidents.
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[MAX_WORD_BYTES + 1];
    size_t a_length = strnlen(a, MAX_WORD_BYTES), b_length = strnlen(b, MAX_WORD_BYTES);
    for (uint32_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_length; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_length; j++) {
            uint32_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_length];
}

void cli_nearest_words(const char *word, const char *const *words, size_t word_count, char *out,
                       size_t out_bytes)
{
    bool taken[CLI_MAX_OPTIONS] = {false};
    size_t at = 0;
    out[0] = '\0';
    for (int shown = 0; shown < SHOWN_NEAREST; shown++) {
        size_t best = word_count;
        uint32_t best_distance = UINT32_MAX;
        for (size_t i = 0; i < word_count && i < CLI_MAX_OPTIONS; i++) {
            uint32_t d = distance(word, words[i]);
            if (!taken[i] && d < best_distance) {
                best = i;
                best_distance = d;
            }
        }
        if (best == word_count || at >= out_bytes)
            return;
        taken[best] = true;
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", shown ? ", " : "", words[best]);
    }
}

// ---- values ----

static iso_status parse_number(const cli_option *option, const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    bool limited = option->min != 0 || option->max != 0;
    bool number = text[0] && !strchr(" \t\n", text[0]) && *end == '\0' && errno == 0 && isfinite(*out);
    if (number && (!limited || (*out >= option->min && *out <= option->max)))
        return ISO_OK;
    if (limited)
        return iso_fail(ISO_INVALID_ARGUMENT, "--%s is \"%.64s\"; allowed: a number from %g to %g",
                        option->name, text, option->min, option->max);
    return iso_fail(ISO_INVALID_ARGUMENT, "--%s is \"%.64s\"; allowed: a number", option->name, text);
}

static iso_status parse_integer(const cli_option *option, const char *text, uint64_t *out)
{
    bool limited = option->min != 0 || option->max != 0;
    uint64_t least = limited ? (uint64_t)option->min : 0;
    uint64_t most = limited ? (uint64_t)option->max : option->kind == CLI_COUNT ? UINT32_MAX : UINT64_MAX;
    errno = 0;
    size_t digits = strspn(text, "0123456789");
    *out = strtoull(text, NULL, 10);
    if (digits > 0 && text[digits] == '\0' && errno == 0 && *out >= least && *out <= most)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT, "--%s is \"%.64s\"; allowed: a whole number from %llu to %llu",
                    option->name, text, (unsigned long long)least, (unsigned long long)most);
}

static iso_status parse_choice(const cli_option *option, const char *text, uint32_t *out)
{
    const char *word = option->value;
    for (uint32_t index = 0;; index++) {
        size_t length = strcspn(word, "|");
        if (strlen(text) == length && strncmp(text, word, length) == 0) {
            *out = index;
            return ISO_OK;
        }
        if (word[length] == '\0')
            return iso_fail(ISO_INVALID_ARGUMENT, "--%s is \"%.64s\"; allowed: %s", option->name, text,
                            option->value);
        word += length + 1;
    }
}

static iso_status store(const cli_option *option, const char *text, void *out)
{
    unsigned char *field = (unsigned char *)out + option->offset;
    uint64_t integer = 0;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return ISO_OK;
    case CLI_TEXT:
        *(const char **)field = text;
        return ISO_OK;
    case CLI_COUNT:
        ISO_TRY(parse_integer(option, text, &integer));
        *(uint32_t *)field = (uint32_t)integer;
        return ISO_OK;
    case CLI_SEED:
        return parse_integer(option, text, (uint64_t *)field);
    case CLI_NUMBER:
        return parse_number(option, text, (double *)field);
    case CLI_CHOICE:
        return parse_choice(option, text, (uint32_t *)field);
    }
    return iso_fail(ISO_INTERNAL, "option --%s has no kind", option->name);
}

// ---- the command line ----

typedef struct parse {
    const cli_option *options;
    size_t option_count;
    int argument_count;
    char *const *arguments;
    int at; // the argument being read
    bool seen[CLI_MAX_OPTIONS];
    void *out;
} parse;

static const cli_option *find_long(const parse *p, const char *name, size_t length)
{
    for (size_t i = 0; i < p->option_count; i++)
        if (!p->options[i].positional && strlen(p->options[i].name) == length &&
            strncmp(p->options[i].name, name, length) == 0)
            return &p->options[i];
    return NULL;
}

static const cli_option *find_letter(const parse *p, char letter)
{
    for (size_t i = 0; i < p->option_count; i++)
        if (!p->options[i].positional && p->options[i].letter == letter)
            return &p->options[i];
    return NULL;
}

static iso_status fail_unknown(const parse *p, const char *argument)
{
    char names[CLI_MAX_OPTIONS][MAX_WORD_BYTES + 3], nearest[160];
    const char *words[CLI_MAX_OPTIONS];
    size_t count = 0;
    for (size_t i = 0; i < p->option_count && count < CLI_MAX_OPTIONS - 1; i++) {
        if (p->options[i].positional)
            continue;
        snprintf(names[count], sizeof names[count], "--%.*s", MAX_WORD_BYTES, p->options[i].name);
        words[count] = names[count];
        count++;
    }
    words[count++] = "--" CLI_HELP_NAME;
    cli_nearest_words(argument, words, count, nearest, sizeof nearest);
    return iso_fail(ISO_INVALID_ARGUMENT, "unknown option %.*s; nearest: %s", (int)strcspn(argument, "="),
                    argument, nearest);
}

// The value of the option at p->at: after "=", or the next argument, unless that is itself an option.
static iso_status take_value(parse *p, const cli_option *option, const char *attached, const char **out_value)
{
    *out_value = attached;
    if (option->kind == CLI_FLAG) {
        if (attached)
            return iso_fail(ISO_INVALID_ARGUMENT, "--%s takes no value, but \"%.64s\" is given", option->name,
                            attached);
        return ISO_OK;
    }
    if (attached)
        return ISO_OK;
    const char *next = p->at + 1 < p->argument_count ? p->arguments[p->at + 1] : NULL;
    bool is_option = next && strncmp(next, "--", 2) == 0 && find_long(p, next + 2, strcspn(next + 2, "="));
    if (!next || is_option)
        return iso_fail(ISO_INVALID_ARGUMENT, "--%s needs a value: --%s %s", option->name, option->name,
                        option->value);
    p->at++;
    *out_value = next;
    return ISO_OK;
}

static iso_status accept(parse *p, const cli_option *option, const char *value)
{
    bool *seen = &p->seen[option - p->options];
    if (*seen)
        return iso_fail(ISO_INVALID_ARGUMENT, "--%s is given twice; name it once", option->name);
    *seen = true;
    return store(option, value, p->out);
}

static iso_status parse_option(parse *p)
{
    const char *argument = p->arguments[p->at], *equals = strchr(argument, '='), *value;
    const cli_option *option;
    if (argument[1] == '-') {
        option = find_long(p, argument + 2, strcspn(argument + 2, "="));
        value = equals ? equals + 1 : NULL;
    } else {
        option = find_letter(p, argument[1]);
        value = argument[2] ? argument + 2 : NULL;
    }
    if (!option)
        return fail_unknown(p, argument);
    ISO_TRY(take_value(p, option, value, &value));
    return accept(p, option, value);
}

static iso_status parse_positional(parse *p)
{
    for (size_t i = 0; i < p->option_count; i++)
        if (p->options[i].positional && !p->seen[i])
            return accept(p, &p->options[i], p->arguments[p->at]);
    return iso_fail(ISO_INVALID_ARGUMENT, "\"%.64s\" is one argument too many; text with blanks needs quotes",
                    p->arguments[p->at]);
}

static iso_status fill_absent(parse *p)
{
    for (size_t i = 0; i < p->option_count; i++) {
        const cli_option *option = &p->options[i];
        if (p->seen[i])
            continue;
        if (option->required)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s%s is missing", option->positional ? "" : "--",
                            option->name);
        if (option->otherwise)
            ISO_TRY(store(option, option->otherwise, p->out));
    }
    return ISO_OK;
}

iso_status cli_options_parse(const cli_option *options, size_t option_count, int argument_count,
                             char *const *arguments, void *out, bool *out_help)
{
    parse p = {.options = options,
               .option_count = option_count,
               .argument_count = argument_count,
               .arguments = arguments,
               .out = out};
    *out_help = false;
    bool only_positional = false;
    for (; p.at < argument_count; p.at++) {
        const char *argument = arguments[p.at];
        if (only_positional || argument[0] != '-' || argument[1] == '\0')
            ISO_TRY(parse_positional(&p));
        else if (strcmp(argument, "--") == 0)
            only_positional = true;
        else if (strcmp(argument, "--" CLI_HELP_NAME) == 0 || strcmp(argument, "-h") == 0) {
            *out_help = true;
            return ISO_OK;
        } else
            ISO_TRY(parse_option(&p));
    }
    return fill_absent(&p);
}
