// SPDX-License-Identifier: MIT
//
// The words of a chip file's line, and the failures that name them. Knows neither features nor faults.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sim/shell.h"

iso_status iso_sim_words_split(sim_words *words, const char *line, size_t length)
{
    words->count = words->at = 0;
    if (length >= SIM_LINE_BYTES)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: the line has %zu characters; allowed: at most %d",
                        words->file, words->line, length, SIM_LINE_BYTES - 1);
    char *to = words->text;
    bool inside = false;
    for (size_t i = 0; i < length && line[i] != '#'; i++) {
        char c = line[i];
        bool blank = c == ' ' || c == '\t' || c == '\r';
        if (inside && (blank || c == ';')) {
            *to++ = '\0';
            inside = false;
        }
        if (blank)
            continue;
        if (!inside) {
            if (words->count == SIM_MAX_WORDS)
                return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: more than %d words in a line", words->file,
                                words->line, SIM_MAX_WORDS);
            words->words[words->count++] = to;
            inside = true;
        }
        *to++ = c;
        if (c == ';') {
            *to++ = '\0';
            inside = false;
        }
    }
    *to = '\0';
    return ISO_OK;
}

const char *iso_sim_words_peek(const sim_words *words)
{
    return words->at < words->count ? words->words[words->at] : NULL;
}

const char *iso_sim_words_next(sim_words *words)
{
    return words->at < words->count ? words->words[words->at++] : NULL;
}

iso_status iso_sim_words_fail(const sim_words *words, const char *word, const char *what, const char *allowed)
{
    if (!word)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: the line ends where %s is wanted; allowed: %s",
                        words->file, words->line, what, allowed);
    return iso_fail(ISO_INVALID_ARGUMENT, "%s:%u: \"%.48s\" is no %s; allowed: %s", words->file, words->line,
                    word, what, allowed);
}

iso_status iso_sim_words_number(sim_words *words, const char *what, double *out)
{
    const char *word = iso_sim_words_next(words);
    char *end = NULL;
    *out = word ? strtod(word, &end) : 0;
    if (!word || end == word || *end || !isfinite(*out))
        return iso_sim_words_fail(words, word, what, "a finite number");
    return ISO_OK;
}

iso_status iso_sim_words_hex(sim_words *words, const char *what, uint32_t *out)
{
    const char *word = iso_sim_words_next(words);
    *out = 0;
    size_t digits = word && strncmp(word, "0x", 2) == 0 ? strspn(word + 2, "0123456789abcdefABCDEF") : 0;
    if (digits == 0 || digits > 8 || word[2 + digits])
        return iso_sim_words_fail(words, word, what, "0x and 1 to 8 hexadecimal digits");
    *out = (uint32_t)strtoul(word + 2, NULL, 16);
    return ISO_OK;
}

iso_status iso_sim_words_whole(sim_words *words, const char *what, const uint64_t range[2], uint64_t *out)
{
    char allowed[96];
    snprintf(allowed, sizeof allowed, "%" PRIu64 " to %" PRIu64 ", K, M or G may follow", range[0], range[1]);
    const char *word = iso_sim_words_next(words);
    *out = 0;
    size_t digits = word ? strspn(word, "0123456789") : 0;
    if (digits == 0 || digits > 18)
        return iso_sim_words_fail(words, word, what, allowed);
    uint64_t value = strtoull(word, NULL, 10);
    const char *unit = word + digits;
    static const char units[] = "KMG";
    const char *found = *unit ? strchr(units, *unit) : NULL;
    unsigned shift = found ? 10 * (unsigned)(found - units + 1) : 0;
    if ((*unit && (!found || unit[1])) || value > UINT64_MAX >> shift)
        return iso_sim_words_fail(words, word, what, allowed);
    value <<= shift;
    if (value < range[0] || value > range[1])
        return iso_sim_words_fail(words, word, what, allowed);
    *out = value;
    return ISO_OK;
}
