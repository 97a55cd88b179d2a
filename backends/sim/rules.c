// SPDX-License-Identifier: MIT
//
// The grammar of a fault line (sim.h describes it), as tables: which sites there are, which changes each
// allows, what operand a change takes; and the terms of a rule, asked of a passage. Whether a named variable
// exists is found when a kernel is decoded.
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

// ---- tables ----

typedef enum operand_kind {
    OPERAND_NONE,
    OPERAND_NUMBER,
    OPERAND_HEX,
    OPERAND_FORMAT,
    OPERAND_NAME
} operand_kind;
typedef enum target_kind { TARGET_NONE, TARGET_NAME, TARGET_ORDINAL } target_kind;

#define BIT(change) (UINT32_C(1) << (change))
#define VALUE_CHANGES                                                                                        \
    (BIT(SIM_ADD) | BIT(SIM_MULTIPLY) | BIT(SIM_SET) | BIT(SIM_XOR) | BIT(SIM_AND) | BIT(SIM_ROUND) |        \
     BIT(SIM_KEEP) | BIT(SIM_NEGATE))
#define WORD_CHANGES (VALUE_CHANGES | BIT(SIM_SWAP8) | BIT(SIM_SWAP16))

static const struct {
    const char *name;
    target_kind target;
    bool inside; // acts in the kernel's text
    uint32_t changes;
} sites[SIM_SITE_COUNT] = {
    [SIM_STORE] = {"store", TARGET_NAME, true, WORD_CHANGES | BIT(SIM_DROP)},
    [SIM_LOAD] = {"load", TARGET_NAME, true, WORD_CHANGES},
    [SIM_INDEX] = {"index", TARGET_NAME, true, VALUE_CHANGES},
    [SIM_READ] = {"read", TARGET_NAME, true, WORD_CHANGES | BIT(SIM_PAST)},
    [SIM_WRITE] = {"write", TARGET_NAME, true, WORD_CHANGES | BIT(SIM_PAST) | BIT(SIM_DROP)},
    [SIM_RESULT] = {"result", TARGET_NAME, true, WORD_CHANGES},
    [SIM_COMPARE] = {"compare", TARGET_ORDINAL, true,
                     BIT(SIM_FLIP) | BIT(SIM_NEGATE) | BIT(SIM_DROP) | BIT(SIM_SET)},
    [SIM_BARRIER] = {"barrier", TARGET_ORDINAL, true, BIT(SIM_DROP)},
    [SIM_LAUNCH] = {"launch", TARGET_NONE, false,
                    BIT(SIM_DROP) | BIT(SIM_EARLY) | BIT(SIM_TWICE) | BIT(SIM_CUT) | BIT(SIM_CLOBBER)},
    [SIM_LIST] = {"list", TARGET_NONE, false, BIT(SIM_STALE)},
    [SIM_MODULE] = {"module", TARGET_NONE, false, BIT(SIM_OTHER)},
    [SIM_COPY] = {"copy", TARGET_NONE, false, BIT(SIM_LATE) | BIT(SIM_CUT) | BIT(SIM_ALIGN)},
};

static const struct {
    const char *name;
    operand_kind operand;
} changes[SIM_CHANGE_COUNT] = {
    [SIM_ADD] = {"add", OPERAND_NUMBER},     [SIM_MULTIPLY] = {"mul", OPERAND_NUMBER},
    [SIM_SET] = {"set", OPERAND_NUMBER},     [SIM_XOR] = {"xor", OPERAND_HEX},
    [SIM_AND] = {"and", OPERAND_HEX},        [SIM_SWAP8] = {"swap8", OPERAND_NONE},
    [SIM_SWAP16] = {"swap16", OPERAND_NONE}, [SIM_ROUND] = {"round", OPERAND_FORMAT},
    [SIM_DROP] = {"drop", OPERAND_NONE},     [SIM_KEEP] = {"keep", OPERAND_NONE},
    [SIM_FLIP] = {"flip", OPERAND_NONE},     [SIM_NEGATE] = {"negate", OPERAND_NONE},
    [SIM_EARLY] = {"early", OPERAND_NONE},   [SIM_TWICE] = {"twice", OPERAND_NONE},
    [SIM_STALE] = {"stale", OPERAND_NAME},   [SIM_OTHER] = {"other", OPERAND_NONE},
    [SIM_LATE] = {"late", OPERAND_NAME},     [SIM_CUT] = {"cut", OPERAND_NAME},
    [SIM_ALIGN] = {"align", OPERAND_NAME},   [SIM_CLOBBER] = {"clobber", OPERAND_NAME},
    [SIM_PAST] = {"past", OPERAND_NONE},
};

// Words that the operand of a change must be one of; changes without a line take any name.
static const struct {
    sim_site site;
    sim_change change;
    const char *words;
} closed_names[] = {
    {SIM_COPY, SIM_LATE, "write, read"},
    {SIM_COPY, SIM_CUT, "write, read, fill"},
    {SIM_COPY, SIM_ALIGN, "write, read, fill"},
    {SIM_LAUNCH, SIM_CUT, "x, y, z"},
};

static const struct {
    const char *name;
    uint32_t bits;
} formats[] = {{"bf16", 16}, {"f16", 11}, {"e4m3", 8}};

static const char *const subjects[SIM_SUBJECT_COUNT] = {"lane", "group", "launch", "index", "value", "arg"};
static const char *const relations[SIM_RELATION_COUNT] = {"==", ">=", "<="};

const char *iso_sim_site_name(sim_site site)
{
    return (unsigned)site < SIM_SITE_COUNT ? sites[site].name : "unknown";
}

const char *iso_sim_change_name(sim_change change)
{
    return (unsigned)change < SIM_CHANGE_COUNT ? changes[change].name : "unknown";
}

// ---- small parsers ----

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static iso_status parse_word(sim_words *words, const char *what, const char *allowed, const char *characters,
                             char out[SIM_NAME_BYTES])
{
    const char *word = iso_sim_words_next(words);
    if (!word || strlen(word) >= SIM_NAME_BYTES || word[strspn(word, characters)])
        return iso_sim_words_fail(words, word, what, allowed);
    iso_copy_text(out, SIM_NAME_BYTES, word);
    return ISO_OK;
}

static iso_status parse_name(sim_words *words, const char *what, const char *allowed,
                             char out[SIM_NAME_BYTES])
{
    return parse_word(words, what, allowed, NAME_CHARACTERS, out);
}

static iso_status parse_site(sim_words *words, sim_site *out)
{
    const char *word = iso_sim_words_next(words);
    char allowed[160] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < SIM_SITE_COUNT; i++) {
        if (word && strcmp(word, sites[i].name) == 0) {
            *out = (sim_site)i;
            return ISO_OK;
        }
        length +=
            (size_t)snprintf(allowed + length, sizeof allowed - length, "%s%s", i ? ", " : "", sites[i].name);
    }
    return iso_sim_words_fail(words, word, "site", allowed);
}

static iso_status parse_change(sim_words *words, sim_site site, sim_change *out)
{
    const char *word = iso_sim_words_next(words);
    char allowed[160] = "", what[48];
    size_t length = 0;
    for (uint32_t i = 0; i < SIM_CHANGE_COUNT; i++) {
        if (!(sites[site].changes & BIT(i)))
            continue;
        if (word && strcmp(word, changes[i].name) == 0) {
            *out = (sim_change)i;
            return ISO_OK;
        }
        length += (size_t)snprintf(allowed + length, sizeof allowed - length, "%s%s", length ? ", " : "",
                                   changes[i].name);
    }
    snprintf(what, sizeof what, "change of a %s", sites[site].name);
    return iso_sim_words_fail(words, word, what, allowed);
}

static iso_status parse_format(sim_words *words, uint32_t *out_bits)
{
    const char *word = iso_sim_words_next(words);
    for (size_t i = 0; word && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(word, formats[i].name) == 0) {
            *out_bits = formats[i].bits;
            return ISO_OK;
        }
    }
    return iso_sim_words_fail(words, word, "format to round to", "bf16, f16, e4m3");
}

// Whether `word` is one of the words of a list with ", " between them.
static bool is_listed(const char *word, const char *list)
{
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strspn(at, ", ")) {
        size_t here = strcspn(at, ",");
        if (here == length && strncmp(at, word, length) == 0)
            return true;
        at += here;
    }
    return false;
}

static iso_status parse_operand_name(sim_words *words, sim_rule *rule)
{
    const char *allowed = "the name of an argument of the kernel";
    for (size_t i = 0; i < sizeof closed_names / sizeof closed_names[0]; i++) {
        if (closed_names[i].site != rule->site || closed_names[i].change != rule->change)
            continue;
        allowed = closed_names[i].words;
        const char *word = iso_sim_words_peek(words);
        if (!word || !is_listed(word, allowed))
            return iso_sim_words_fail(words, word, "operand", allowed);
    }
    return parse_name(words, "operand", allowed, rule->target);
}

static iso_status parse_operand(sim_words *words, sim_rule *rule)
{
    switch (changes[rule->change].operand) {
    case OPERAND_NUMBER:
        return iso_sim_words_number(words, "amount", &rule->amount);
    case OPERAND_HEX:
        return iso_sim_words_hex(words, "bit pattern", &rule->bits);
    case OPERAND_FORMAT:
        return parse_format(words, &rule->bits);
    case OPERAND_NAME:
        return parse_operand_name(words, rule);
    case OPERAND_NONE:
        break;
    }
    return ISO_OK;
}

// ---- terms ----

static iso_status parse_listed(sim_words *words, const char *what, const char *const *names, uint32_t count,
                               uint32_t *out)
{
    const char *word = iso_sim_words_next(words);
    char allowed[96] = "";
    size_t length = 0;
    for (*out = 0; *out < count; ++*out) {
        if (word && strcmp(word, names[*out]) == 0)
            return ISO_OK;
        length += (size_t)snprintf(allowed + length, sizeof allowed - length, "%s%s", length ? ", " : "",
                                   names[*out]);
    }
    return iso_sim_words_fail(words, word, what, allowed);
}

static iso_status parse_term(sim_words *words, sim_term *out)
{
    static const uint64_t modulus_range[2] = {2, UINT32_MAX};
    uint32_t choice;
    uint64_t modulus;
    ISO_TRY(parse_listed(words, "subject of a condition", subjects, SIM_SUBJECT_COUNT, &choice));
    out->subject = (sim_subject)choice;
    if (out->subject == SIM_ARGUMENT)
        ISO_TRY(parse_name(words, "argument", "the name of a VALUE argument of the kernel", out->arg));
    const char *word = iso_sim_words_peek(words);
    if (word && strcmp(word, "%") == 0) {
        iso_sim_words_next(words);
        ISO_TRY(iso_sim_words_whole(words, "modulus", modulus_range, &modulus));
        out->modulus = (uint32_t)modulus;
    }
    ISO_TRY(parse_listed(words, "relation", relations, SIM_RELATION_COUNT, &choice));
    out->relation = (sim_relation)choice;
    word = iso_sim_words_peek(words);
    bool has_last = out->subject == SIM_LANE || out->subject == SIM_GROUP || out->subject == SIM_ELEMENT;
    if (has_last && word && strcmp(word, "last") == 0) {
        iso_sim_words_next(words);
        out->last = true;
        return ISO_OK;
    }
    return iso_sim_words_number(words, has_last ? "number or last" : "number", &out->number);
}

static iso_status parse_terms(sim_words *words, sim_rule *rule)
{
    const char *word = iso_sim_words_peek(words);
    if (!word || strcmp(word, "when") != 0)
        return ISO_OK;
    do {
        iso_sim_words_next(words);
        if (rule->term_count == SIM_MAX_TERMS)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: a rule with more than %d conditions", words->file,
                            words->line, SIM_MAX_TERMS);
        ISO_TRY(parse_term(words, &rule->terms[rule->term_count++]));
        word = iso_sim_words_peek(words);
    } while (word && strcmp(word, "and") == 0);
    return ISO_OK;
}

// ---- rules ----

// What is asked where nothing answers would hold always or never: that is a mistake in the line.
static iso_status check_asked(const sim_words *words, const sim_rule *rule)
{
    if (rule->site == SIM_COPY && (rule->term_count > 0 || strcmp(rule->kernel, "*") != 0))
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "%s:%u: a copy belongs to no kernel; write \"fault * copy ...\" without conditions",
                        words->file, words->line);
    if (rule->site == SIM_MODULE && rule->term_count > 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: a rule of a module has no conditions", words->file,
                        words->line);
    for (uint32_t i = 0; i < rule->term_count && !sites[rule->site].inside; i++) {
        sim_subject subject = rule->terms[i].subject;
        if (subject != SIM_LAUNCH_NUMBER && subject != SIM_ARGUMENT)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "%s:%u: \"%s\" is no subject of a condition on a %s; allowed: launch, arg",
                            words->file, words->line, subjects[subject], sites[rule->site].name);
    }
    return ISO_OK;
}

static iso_status parse_rule(sim_words *words, sim_rule *rule)
{
    static const uint64_t ordinal_range[2] = {0, 9999};
    uint64_t ordinal;
    ISO_TRY(parse_site(words, &rule->site));
    if (sites[rule->site].target == TARGET_NAME)
        ISO_TRY(parse_name(words, "name", "letters, digits and _", rule->target));
    if (sites[rule->site].target == TARGET_ORDINAL) {
        ISO_TRY(iso_sim_words_whole(words, "ordinal", ordinal_range, &ordinal));
        rule->ordinal = (uint32_t)ordinal;
    }
    ISO_TRY(parse_change(words, rule->site, &rule->change));
    ISO_TRY(parse_operand(words, rule));
    ISO_TRY(parse_terms(words, rule));
    return check_asked(words, rule);
}

iso_status iso_sim_rules_parse(sim_words *words, sim_chip *chip)
{
    char kernel[SIM_NAME_BYTES];
    ISO_TRY(parse_word(words, "kernel", "the name of an op, or a pattern of kernel names with * and ?",
                       NAME_CHARACTERS ".*?", kernel));
    do {
        if (chip->rule_count == SIM_MAX_RULES)
            return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: more than %d rules in one chip", words->file,
                            words->line, SIM_MAX_RULES);
        sim_rule *rule = &chip->rules[chip->rule_count];
        memset(rule, 0, sizeof *rule);
        iso_copy_text(rule->kernel, sizeof rule->kernel, kernel);
        ISO_TRY(parse_rule(words, rule));
        chip->rule_count++;
        const char *word = iso_sim_words_peek(words);
        if (!word || strcmp(word, ";") != 0)
            return ISO_OK;
        iso_sim_words_next(words);
    } while (true);
}

bool iso_sim_rule_names(const sim_rule *rule, const char *kernel)
{
    size_t length = strlen(rule->kernel);
    if (strpbrk(rule->kernel, ".*?"))
        return fnmatch(rule->kernel, kernel, 0) == 0;
    return strncmp(rule->kernel, kernel, length) == 0 && (kernel[length] == '.' || kernel[length] == '\0');
}

bool iso_sim_rule_is_inside(const sim_rule *rule)
{
    return sites[rule->site].inside;
}

// ---- asking ----

static double argument_value(const iso_arg *arg)
{
    return arg->kind == ISO_ARG_F32 ? (double)arg->value.f32 : (double)arg->value.u32;
}

static bool term_holds(const sim_term *term, const sim_passage *passage)
{
    double subject = 0, number = term->number;
    switch (term->subject) {
    case SIM_LANE:
        subject = passage->lane;
        number = term->last ? passage->last_lane : number;
        break;
    case SIM_GROUP:
        subject = passage->group;
        number = term->last ? passage->last_group : number;
        break;
    case SIM_LAUNCH_NUMBER:
        subject = passage->launch;
        break;
    case SIM_ELEMENT:
        subject = passage->index;
        number = term->last ? passage->last_index : number;
        break;
    case SIM_VALUE:
        subject = passage->value;
        break;
    case SIM_ARGUMENT:
        subject = argument_value(&passage->args[term->arg_number]);
        break;
    case SIM_SUBJECT_COUNT:
        return false;
    }
    if (term->modulus > 0)
        subject = fmod(subject, term->modulus);
    return term->relation == SIM_EQUAL      ? subject == number
           : term->relation == SIM_AT_LEAST ? subject >= number
                                            : subject <= number;
}

bool iso_sim_rule_applies(const sim_rule *rule, const sim_passage *passage)
{
    for (uint32_t i = 0; i < rule->term_count; i++)
        if (!term_holds(&rule->terms[i], passage))
            return false;
    return true;
}
