// SPDX-License-Identifier: MIT
//
// Tests of the pre-tokenizer: where expressions cut, by machine code and by PCRE2's interpreter; \s against
// White_Space for every code point; expressions that are refused because Oniguruma and PCRE2 differ in them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "model/text/pretokenizer.h"
#include "model/text/regex_dialect.h"
#include "model/text/utf8.h"

typedef struct pieces {
    char text[400]; // "[a][bc]"
} pieces;

static iso_status take_piece(void *context, const uint8_t *piece, size_t bytes)
{
    pieces *all = context;
    size_t used = strlen(all->text);
    (void)!snprintf(all->text + used, sizeof all->text - used, "[%.*s]", (int)bytes, (const char *)piece);
    return ISO_OK;
}

static void assert_pieces(const char *const *patterns, const char *text, const char *expected)
{
    iso_pretokenizer pretokenizer;
    pieces all = {0};
    assert_int_equal(iso_pretokenizer_init(&pretokenizer, NULL), ISO_OK);
    for (; *patterns; patterns++)
        if (iso_pretokenizer_add_split(&pretokenizer, *patterns, strlen(*patterns)) != ISO_OK)
            fail_msg("%s", iso_status_last()->text);
    assert_int_equal(
        iso_pretokenizer_run(&pretokenizer, (const uint8_t *)text, strlen(text), take_piece, &all), ISO_OK);
    assert_string_equal(all.text, expected);
    // Without JIT: the interpreter cuts in the same places.
    for (size_t i = 0; i < pretokenizer.step_count; i++)
        pretokenizer.steps[i].has_jit = false;
    all.text[0] = '\0';
    assert_int_equal(
        iso_pretokenizer_run(&pretokenizer, (const uint8_t *)text, strlen(text), take_piece, &all), ISO_OK);
    assert_string_equal(all.text, expected);
    iso_pretokenizer_deinit(&pretokenizer);
}

#define ASSERT_PIECES(text, expected, ...)                                                                   \
    assert_pieces((const char *const[]){__VA_ARGS__, NULL}, text, expected)

static void test_pieces(void **state)
{
    (void)state;
    ASSERT_PIECES("ab12cd", "[ab][12][cd]", "\\d+");
    ASSERT_PIECES("a1234b", "[a][123][4][b]", "\\p{N}{1,3}");
    // In sequence: the lookahead of the second sees the end of the first one's piece.
    ASSERT_PIECES("a  1", "[a][  ][1]", "\\p{N}", "\\s+(?!\\S)|\\s+");
    ASSERT_PIECES("a  b", "[a][ ][ ][b]", "\\s+(?!\\S)|\\s+");
    // Ruby's $ and ^: at every line.
    ASSERT_PIECES("a \nb ", "[a][ ][\nb][ ]", " $");
    // Empty matches cut, but not twice in a place.
    ASSERT_PIECES("ab1", "[a][b][1]", "(?=b)|1*");
    // Scripts by Script, not by Script_Extensions: U+3001 is Common.
    ASSERT_PIECES("中、文", "[中][、][文]", "\\p{Han}");
    ASSERT_PIECES("x'ſy", "[x]['ſ][y]", "(?i:'s)");
}

// Every code point: \s is White_Space, \S the rest, in a class and outside.
static void test_white_space(void **state)
{
    (void)state;
    static const char *const patterns[] = {"\\s", "[\\s]", "[^\\S]", "(?!\\S)."};
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        iso_text translated = {0};
        int code;
        PCRE2_SIZE at;
        assert_int_equal(iso_regex_translate(patterns[p], strlen(patterns[p]), &translated), ISO_OK);
        pcre2_code *regex = pcre2_compile((PCRE2_SPTR)translated.data, translated.length,
                                          PCRE2_UTF | PCRE2_UCP | PCRE2_DOTALL, &code, &at, NULL);
        assert_non_null(regex);
        pcre2_match_data *match = pcre2_match_data_create(1, NULL);
        for (uint32_t c = 0; c < 0x110000; c++) {
            if (c >= 0xd800 && c < 0xe000)
                continue;
            // PropList.txt, White_Space, Unicode 15
            bool space = (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
                         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
                         c == 0x205f || c == 0x3000;
            char text[4];
            size_t length = iso_utf8_write(c, text);
            bool found =
                pcre2_match(regex, (PCRE2_SPTR)text, length, 0, PCRE2_NO_UTF_CHECK, match, NULL) >= 0;
            if (found != space)
                fail_msg("%s and U+%04X", patterns[p], c);
        }
        pcre2_match_data_free(match);
        pcre2_code_free(regex);
        iso_text_deinit(&translated);
    }
}

static void test_expressions_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "\\w",     "\\b",       "\\h",    "\\R",     "\\X",  "[[a]b]", "[a&&b]",  "[[:alpha:]]", "a{2}?",
        "a{1,2}+", "a{,3}",     "(?m:.)", "(?<n>a)", "(*F)", "(a)\\1", "\\Qa\\E", "[]a]",        "[a",
        "\\pL",    "\\p{Nope}", "(",      "*a",      "\\",   "\\x41",  "\\u12",   "[\\A]",       "\\p{L",
    };
    iso_pretokenizer pretokenizer;
    assert_int_equal(iso_pretokenizer_init(&pretokenizer, NULL), ISO_OK);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (iso_pretokenizer_add_split(&pretokenizer, refused[i], strlen(refused[i])) != ISO_UNSUPPORTED)
            fail_msg("\"%s\" was accepted", refused[i]);
    iso_pretokenizer_deinit(&pretokenizer);
}

static void test_exponential_expression_ends(void **state)
{
    (void)state;
    const char *pattern = "(?:a|aa)+[b-z]"; // every way of writing the length as ones and twos
    char text[64];
    memset(text, 'a', sizeof text);
    iso_pretokenizer pretokenizer;
    pieces all = {0};
    assert_int_equal(iso_pretokenizer_init(&pretokenizer, NULL), ISO_OK);
    assert_int_equal(iso_pretokenizer_add_split(&pretokenizer, pattern, strlen(pattern)), ISO_OK);
    pretokenizer.steps[0].has_jit = false;
    assert_int_equal(iso_pretokenizer_run(&pretokenizer, (uint8_t *)text, sizeof text, take_piece, &all),
                     ISO_LIMIT);
    iso_pretokenizer_deinit(&pretokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_white_space),
        cmocka_unit_test(test_expressions_refused),
        cmocka_unit_test(test_exponential_expression_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
