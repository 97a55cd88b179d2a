// SPDX-License-Identifier: MIT
//
// Chip files: one chip each, as text. A line is "name TEXT", "feature NAME [VALUE]" or "fault ..." (rules.c);
// '#' begins a comment. What a feature does is the business of those who read sim_features.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

// ---- features ----

typedef enum feature_kind { FEATURE_FLAG, FEATURE_U32, FEATURE_U64 } feature_kind;

typedef struct feature_entry {
    const char *name;
    feature_kind kind;
    size_t offset;
    uint64_t range[2];
    bool power_of_two;
} feature_entry;

#define AT(field) offsetof(sim_features, field)

static const feature_entry features[] = {
    {"contract", FEATURE_FLAG, AT(contract), {0, 0}, false},
    {"flush-subnormals", FEATURE_FLAG, AT(flush_subnormals), {0, 0}, false},
    {"truncate-sums", FEATURE_FLAG, AT(truncate_sums), {0, 0}, false},
    {"no-fp8", FEATURE_FLAG, AT(no_fp8), {0, 0}, false},
    {"fnuz-fp8", FEATURE_FLAG, AT(fnuz_fp8), {0, 0}, false},
    {"no-f16", FEATURE_FLAG, AT(no_f16), {0, 0}, false},
    {"subgroup", FEATURE_U32, AT(subgroup), {1, 128}, true},
    {"group-limit", FEATURE_U32, AT(group_limit), {1, 1024}, false},
    {"alignment", FEATURE_U32, AT(alignment), {4, 4096}, true},
    {"memory", FEATURE_U64, AT(memory_bytes), {4096, UINT64_C(1) << 40}, false},
    {"allocation", FEATURE_U64, AT(allocation_bytes), {4096, UINT64_C(1) << 40}, false},
    {"link", FEATURE_U64, AT(link_bytes_per_second), {1024, UINT64_C(1) << 40}, false},
};

#define FEATURE_COUNT (sizeof features / sizeof features[0])

static const feature_entry *find_feature(const char *name)
{
    for (size_t i = 0; name && i < FEATURE_COUNT; i++)
        if (strcmp(features[i].name, name) == 0)
            return &features[i];
    return NULL;
}

static iso_status fail_unknown_feature(const sim_words *words, const char *name)
{
    char allowed[256] = "";
    size_t length = 0;
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        length += (size_t)snprintf(allowed + length, sizeof allowed - length, "%s%s", i ? ", " : "",
                                   features[i].name);
    return iso_sim_words_fail(words, name, "feature", allowed);
}

static iso_status parse_feature(sim_words *words, sim_features *out)
{
    const char *name = iso_sim_words_next(words);
    const feature_entry *feature = find_feature(name);
    if (!feature)
        return fail_unknown_feature(words, name);
    char *field = (char *)out + feature->offset;
    if (feature->kind == FEATURE_FLAG) {
        *(bool *)field = true;
        return ISO_OK;
    }
    uint64_t value;
    const char *word = iso_sim_words_peek(words);
    ISO_TRY(iso_sim_words_whole(words, feature->name, feature->range, &value));
    if (feature->power_of_two && (value & (value - 1)) != 0)
        return iso_sim_words_fail(words, word, feature->name, "a power of two");
    if (feature->kind == FEATURE_U32) {
        uint32_t narrow = (uint32_t)value;
        memcpy(field, &narrow, sizeof narrow);
    } else {
        memcpy(field, &value, sizeof value);
    }
    return ISO_OK;
}

// ---- lines ----

// The rest of a "name" line, blanks at both ends left out; it must be printable ASCII, as it becomes a
// device's name.
static iso_status parse_name(const sim_words *words, const char *line, size_t length, char *out,
                             size_t out_bytes)
{
    size_t first = strspn(line, " \t") + strlen("name");
    while (first < length && (line[first] == ' ' || line[first] == '\t'))
        first++;
    const char *comment = memchr(line + first, '#', length - first);
    size_t end = comment ? (size_t)(comment - line) : length;
    while (end > first && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '\r'))
        end--;
    size_t bytes = end - first;
    if (bytes == 0 || bytes >= out_bytes)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: the chip's name has %zu characters; allowed: 1 to %zu",
                        words->file, words->line, bytes, out_bytes - 1);
    for (size_t i = first; i < end; i++)
        if (line[i] < 0x20 || line[i] > 0x7e)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "%s:%u: the chip's name has the byte 0x%02x; allowed: printable ASCII",
                            words->file, words->line, (unsigned)(unsigned char)line[i]);
    memcpy(out, line + first, bytes);
    out[bytes] = '\0';
    return ISO_OK;
}

static iso_status parse_line(sim_words *words, const char *line, size_t length, sim_chip *chip)
{
    ISO_TRY(iso_sim_words_split(words, line, length));
    const char *keyword = iso_sim_words_next(words);
    if (!keyword)
        return ISO_OK;
    if (strcmp(keyword, "name") == 0) {
        if (chip->name[0])
            return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: a second name; the chip is called \"%s\" already",
                            words->file, words->line, chip->name);
        return parse_name(words, line, length, chip->name, sizeof chip->name - sizeof SIM_NAME_SUFFIX);
    }
    if (strcmp(keyword, "feature") == 0)
        ISO_TRY(parse_feature(words, &chip->features));
    else if (strcmp(keyword, "fault") == 0)
        ISO_TRY(iso_sim_rules_parse(words, chip));
    else
        return iso_sim_words_fail(words, keyword, "line", "name, feature, fault");
    const char *rest = iso_sim_words_peek(words);
    return rest ? iso_sim_words_fail(words, rest, "word here", "the end of the line") : ISO_OK;
}

iso_status iso_sim_chip_parse(const char *text, const char *file, sim_chip *out_chip)
{
    memset(out_chip, 0, sizeof *out_chip);
    sim_words words = {.file = file};
    while (*text) {
        size_t length = strcspn(text, "\n");
        words.line++;
        ISO_TRY(parse_line(&words, text, length, out_chip));
        text += length + (text[length] == '\n');
    }
    if (!out_chip->name[0])
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: the chip has no name; allowed: one line \"name TEXT\"",
                        file);
    sim_features *f = &out_chip->features;
    if (f->memory_bytes == 0)
        f->memory_bytes = UINT64_C(1) << 30;
    if (f->allocation_bytes == 0)
        f->allocation_bytes = f->memory_bytes;
    if (f->allocation_bytes > f->memory_bytes)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: allocation is above memory; allowed: at most as much",
                        file);
    f->subgroup = f->subgroup ? f->subgroup : 32;
    f->group_limit = f->group_limit ? f->group_limit : 1024;
    f->alignment = f->alignment ? f->alignment : 16;
    return ISO_OK;
}
