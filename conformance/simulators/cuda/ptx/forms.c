// SPDX-License-Identifier: MIT
//
// Compares an instruction's words with the forms in opcodes.def. What matches none is refused: nothing is
// ever skipped.
#include "parse.h"
#include "forms.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const ptx_type_info ptx_types[PTX_TYPE_COUNT] = {
    [PTX_NO_TYPE] = {"", 0, 0},
#define TYPE(word, name, bits, kind) [PTX_##name] = {word, bits, kind},
#include "types.def"
#undef TYPE
};

typedef struct mod_word {
    const char *word;
    uint8_t field, value;
} mod_word;

static const mod_word mod_words[] = {
#define MOD(word, field, value) {word, offsetof(ptx_mods, field), value},
#include "modifiers.def"
#undef MOD
};

const ptx_form ptx_forms[] = {
#define FORM(op, pattern, operands) {PTX_OP_##op, pattern, operands},
#include "opcodes.def"
#undef FORM
};
const uint32_t ptx_form_count = sizeof ptx_forms / sizeof *ptx_forms;

// Lists that stand in patterns under a letter.
static const char *const lists[128] = {
    ['I'] = ".u16,.u32,.u64,.s16,.s32,.s64",
    ['X'] = ".u8,.u16,.u32,.u64,.s8,.s16,.s32,.s64",
    ['B'] = ".b16,.b32,.b64",
    ['R'] = ".rn,.rz,.rm,.rp",
    ['C'] = ".eq,.ne,.lt,.le,.gt,.ge",
    ['U'] = ".lo,.ls,.hi,.hs",
    ['F'] = ".eq,.ne,.lt,.le,.gt,.ge,.equ,.neu,.ltu,.leu,.gtu,.geu,.num,.nan",
    ['L'] = ".and,.or,.xor",
    ['A'] = ".b8,.b16,.b32,.b64,.u8,.u16,.u32,.u64,.s8,.s16,.s32,.s64,.f32,.f64",
    ['S'] = ".const,.global,.local,.param,.param::entry,.param::func,.shared,.shared::cta",
    ['Y'] = ".const,.global,.local,.param,.param::entry,.shared,.shared::cta",
    ['V'] = ".global,.local,.param,.param::func,.shared,.shared::cta",
    ['G'] = ".global,.shared,.shared::cta",
    ['N'] = ".rni,.rzi,.rmi,.rpi",
    ['H'] = ".shared,.shared::cta",
    ['K'] = ".ca,.cg,.cs,.lu,.cv",
    ['W'] = ".wb,.cg,.cs,.wt",
    ['E'] = ".L1::evict_normal,.L1::evict_unchanged,.L1::evict_first,.L1::evict_last,.L1::no_allocate",
    ['Q'] = ".L2::evict_last,.L2::evict_normal,.L2::evict_first,.L2::evict_unchanged",
    ['P'] = ".L2::64B,.L2::128B,.L2::256B",
    ['O'] = ".relaxed,.acquire,.release,.acq_rel",
    ['Z'] = ".cta,.cluster,.gpu,.sys",
};

const char *ptx_list(char letter)
{
    return lists[(unsigned char)letter & 127];
}

ptx_type ptx_type_by_name(const char *name, uint32_t bytes)
{
    for (int i = 1; i < PTX_TYPE_COUNT; i++)
        if (strlen(ptx_types[i].word) == bytes && memcmp(ptx_types[i].word, name, bytes) == 0)
            return (ptx_type)i;
    return PTX_NO_TYPE;
}

#define MAX_WORDS 24

typedef struct words {
    const char *text[MAX_WORDS];
    uint32_t bytes[MAX_WORDS];
    uint32_t count;
} words;

// The words after the dots; "::" never stands at a word's beginning.
static bool split(const ptx_token *token, words *out)
{
    out->count = 0;
    const char *at = token->text, *end = at + token->bytes;
    for (;;) {
        const char *dot = at;
        while (dot < end && *dot != '.')
            dot++;
        if (out->count == MAX_WORDS)
            return false;
        out->text[out->count] = at;
        out->bytes[out->count++] = (uint32_t)(dot - at);
        if (dot == end)
            return true;
        at = dot + 1;
    }
}

static bool word_is(const words *words, uint32_t index, const char *text, size_t bytes)
{
    return index < words->count && words->bytes[index] == bytes &&
           memcmp(words->text[index], text, bytes) == 0;
}

// Whether the word is one of a group's: ".a,.b,%L".
static bool in_group(const words *words, uint32_t index, const char *group, const char *end)
{
    while (group < end) {
        const char *comma = memchr(group, ',', (size_t)(end - group));
        if (!comma)
            comma = end;
        if (*group == '%') {
            const char *list = ptx_list(group[1]);
            if (in_group(words, index, list, list + strlen(list)))
                return true;
        } else if (word_is(words, index, group + 1, (size_t)(comma - group - 1))) {
            return true;
        }
        group = comma + 1;
    }
    return false;
}

static bool matches(const words *words, const char *pattern)
{
    size_t first = strcspn(pattern, ".[{");
    if (!word_is(words, 0, pattern, first))
        return false;
    uint32_t at = 1;
    for (const char *p = pattern + first; *p;) {
        bool group = *p == '[' || *p == '{';
        const char *end = group ? strchr(p, *p == '[' ? ']' : '}') : p + 1 + strcspn(p + 1, ".[{");
        if (in_group(words, at, group ? p + 1 : p, end))
            at++;
        else if (*p != '[')
            return false;
        p = group ? end + 1 : end;
    }
    return at == words->count;
}

static void set_words(const words *words, ptx_insn *insn)
{
    uint32_t type_count = 0;
    for (uint32_t i = 1; i < words->count; i++) {
        ptx_type type = ptx_type_by_name(words->text[i], words->bytes[i]);
        if (type) {
            if (type_count < 4)
                insn->type[type_count++] = (uint8_t)type;
            continue;
        }
        for (size_t k = 0; k < sizeof mod_words / sizeof *mod_words; k++)
            if (word_is(words, i, mod_words[k].word, strlen(mod_words[k].word)))
                ((uint8_t *)&insn->m)[mod_words[k].field] = mod_words[k].value;
    }
    // addc, subc and madc take the flag that add.cc, sub.cc and mad.cc only set.
    if (insn->op == PTX_OP_ADDC || insn->op == PTX_OP_SUBC || insn->op == PTX_OP_MADC)
        insn->m.mode = words->bytes[0] == 4;
    if (insn->op == PTX_OP_LD && words->bytes[0] == 3) // ldu, too, reads what is to stay as it is
        insn->m.nc = 1;
    if (insn->m.barrier && words->bytes[0] == 3) // bar is barrier.aligned
        insn->m.aligned = 1;
    // The unsigned comparisons `lo` and `hi` share their words with the halves of a product.
    bool compares = insn->op == PTX_OP_SETP || insn->op == PTX_OP_SETPB || insn->op == PTX_OP_SET ||
                    insn->op == PTX_OP_SETB;
    if (compares && insn->m.part)
        insn->m.cmp = insn->m.part == PTX_LO ? PTX_LT : PTX_GT;
}

// How many operands a form's list allows.
static void operand_range(const char *list, uint32_t *least, uint32_t *most)
{
    *least = *most = 0;
    bool optional = false;
    for (const char *p = list; *p;) {
        optional = optional || *p == '?';
        *least += !optional;
        ++*most;
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    if (strcmp(list, "M") == 0)
        *most = PTX_MAX_PARSED;
}

void ptx_match_form(ptx_loader *loader, const ptx_token *word, uint32_t operand_count, ptx_insn *insn,
                    const char **out_operands)
{
    words words;
    bool known = false, fits = false;
    if (!split(word, &words))
        ptx_fail(loader, word->line, "'%.*s' has more than %d words", (int)word->bytes, word->text,
                 MAX_WORDS);
    for (uint32_t i = 0; i < ptx_form_count; i++) {
        const ptx_form *form = &ptx_forms[i];
        size_t first = strcspn(form->pattern, ".[{");
        if (!word_is(&words, 0, form->pattern, first))
            continue;
        known = true;
        if (!matches(&words, form->pattern))
            continue;
        fits = true;
        uint32_t least, most;
        operand_range(form->operands, &least, &most);
        if (operand_count < least || operand_count > most)
            continue;
        insn->op = (uint16_t)form->op;
        set_words(&words, insn);
        *out_operands = form->operands;
        return;
    }
    if (fits)
        ptx_fail(loader, word->line, "'%.*s' with %u operands", (int)word->bytes, word->text, operand_count);
    ptx_fail(loader, word->line,
             known ? "'%.*s': a form that the interpreter does not know"
                   : "'%.*s': an instruction that the interpreter does not know",
             (int)word->bytes, word->text);
}
