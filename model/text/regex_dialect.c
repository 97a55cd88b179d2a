// SPDX-License-Identifier: MIT
//
// The translation of regex_dialect.h: one pass over the expression, outside and inside of character classes.
// Sources: Oniguruma doc/RE and doc/SYNTAX.md; pcre2pattern(3), "Unicode character properties".
#include "model/text/regex_dialect.h"

#include <string.h>

// Unicode White_Space and its complement. PCRE2's own \s with UCP also takes U+180E.
#define SPACE_RANGES                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{" \
    "3000}"
#define NOT_SPACE_RANGES                                                                                     \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"          \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

// A letter after a backslash: its PCRE2 form outside and inside of a class. NULL: not allowed there.
typedef struct escape_rule {
    char letter;
    const char *outside;
    const char *inside;
} escape_rule;

static const escape_rule escape_rules[] = {
    {'s', "[" SPACE_RANGES "]", SPACE_RANGES},
    {'S', "[" NOT_SPACE_RANGES "]", NOT_SPACE_RANGES},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'r', "\\r", "\\r"},
    {'n', "\\n", "\\n"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'v', "\\x{b}", "\\x{b}"},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
};

// What may stand after "(?".
static const char *const group_openers[] = {":", "=", "!", ">", "<=", "<!", "i:", "i)"};

typedef struct translation {
    const char *pattern;
    size_t bytes;
    size_t at;
    bool in_class;
    iso_text *out;
} translation;

static iso_status refuse(const translation *t, const char *what)
{
    return iso_fail(ISO_UNSUPPORTED,
                    "the regular expression has %s at byte %zu, near \"%.*s\": not understood here", what,
                    t->at, (int)(t->bytes - t->at < 12 ? t->bytes - t->at : 12), t->pattern + t->at);
}

static bool starts_with(const translation *t, size_t ahead, const char *text)
{
    size_t length = strlen(text);
    return t->at + ahead + length <= t->bytes && memcmp(t->pattern + t->at + ahead, text, length) == 0;
}

static char peek(const translation *t, size_t ahead)
{
    return t->at + ahead < t->bytes ? t->pattern[t->at + ahead] : '\0';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static iso_status copy(translation *t, size_t count)
{
    ISO_TRY(iso_text_append_bytes(t->out, t->pattern + t->at, count));
    t->at += count;
    return ISO_OK;
}

// \p{L}, \P{Lu}, \p{^Han}, \p{Han}. A script name means the Script property in Oniguruma and
// Script_Extensions in PCRE2, so it is written out.
static iso_status translate_property(translation *t)
{
    size_t name = 3; // past \p{
    if (peek(t, 2) != '{')
        return refuse(t, "a property without braces");
    bool negated = peek(t, name) == '^';
    name += negated;
    size_t length = 0;
    while (is_letter(peek(t, name + length)) || peek(t, name + length) == '_')
        length++;
    if (length == 0 || peek(t, name + length) != '}')
        return refuse(t, "a property");
    ISO_TRY(iso_text_append(t->out, "\\%c{%s%s%.*s}", peek(t, 1), negated ? "^" : "", length > 2 ? "sc:" : "",
                            (int)length, t->pattern + t->at + name));
    t->at += name + length + 1;
    return ISO_OK;
}

// \x{...} and \uHHHH.
static iso_status translate_code_point(translation *t)
{
    bool braces = peek(t, 1) == 'x';
    if (braces && peek(t, 2) != '{')
        return refuse(t, "a byte escape");
    size_t first = braces ? 3 : 2, length = 0;
    while (is_hex(peek(t, first + length)) && length < (braces ? 6u : 4u))
        length++;
    if (length == 0 || (braces ? peek(t, first + length) != '}' : length != 4))
        return refuse(t, "a code point escape");
    ISO_TRY(iso_text_append(t->out, "\\x{%.*s}", (int)length, t->pattern + t->at + first));
    t->at += first + length + braces;
    return ISO_OK;
}

static iso_status translate_escape(translation *t)
{
    char letter = peek(t, 1);
    if (letter == 'p' || letter == 'P')
        return translate_property(t);
    if (letter == 'x' || letter == 'u')
        return translate_code_point(t);
    if (letter > ' ' && letter <= '~' && !is_letter(letter) && !is_digit(letter))
        return copy(t, 2); // punctuation stands for itself in both
    for (size_t i = 0; i < sizeof escape_rules / sizeof *escape_rules; i++) {
        const escape_rule *rule = &escape_rules[i];
        const char *form = t->in_class ? rule->inside : rule->outside;
        if (rule->letter == letter && form) {
            t->at += 2;
            return iso_text_append(t->out, "%s", form);
        }
    }
    return refuse(t, "an escape");
}

// From "[" to its "]".
static iso_status translate_class(translation *t)
{
    ISO_TRY(copy(t, 1));
    if (peek(t, 0) == '^')
        ISO_TRY(copy(t, 1));
    if (peek(t, 0) == ']')
        return refuse(t, "an empty character class");
    t->in_class = true;
    while (t->at < t->bytes && peek(t, 0) != ']') {
        if (peek(t, 0) == '[')
            return refuse(t, "a nested character class");
        if (starts_with(t, 0, "&&"))
            return refuse(t, "an intersection of character classes");
        if (peek(t, 0) == '\\')
            ISO_TRY(translate_escape(t));
        else
            ISO_TRY(copy(t, 1));
    }
    if (t->at == t->bytes)
        return refuse(t, "an unfinished character class");
    t->in_class = false;
    return copy(t, 1);
}

static iso_status translate_group(translation *t)
{
    if (peek(t, 1) == '*')
        return refuse(t, "a verb");
    if (peek(t, 1) != '?')
        return copy(t, 1);
    for (size_t i = 0; i < sizeof group_openers / sizeof *group_openers; i++)
        if (starts_with(t, 2, group_openers[i]))
            return copy(t, 2 + strlen(group_openers[i]));
    return refuse(t, "a group");
}

// {n}, {n,}, {n,m}: what follows them (`?`, `+`) means different things in the two.
static iso_status translate_brace(translation *t)
{
    size_t length = 1;
    bool comma = false;
    while (is_digit(peek(t, length)) || (peek(t, length) == ',' && length > 1 && !comma)) {
        comma = comma || peek(t, length) == ',';
        length++;
    }
    if (length == 1 || peek(t, length) != '}')
        return refuse(t, "a brace that is no repeat count");
    char after = peek(t, length + 1);
    if (after == '+' || (after == '?' && !comma))
        return refuse(t, "a repeat count with a suffix");
    return copy(t, length + 1);
}

iso_status iso_regex_translate(const char *pattern, size_t bytes, iso_text *out)
{
    translation t = {.pattern = pattern, .bytes = bytes, .out = out};
    while (t.at < bytes) {
        switch (pattern[t.at]) {
        case '\\':
            ISO_TRY(translate_escape(&t));
            break;
        case '[':
            ISO_TRY(translate_class(&t));
            break;
        case '(':
            ISO_TRY(translate_group(&t));
            break;
        case '{':
            ISO_TRY(translate_brace(&t));
            break;
        default:
            ISO_TRY(copy(&t, 1));
        }
    }
    return ISO_OK;
}
