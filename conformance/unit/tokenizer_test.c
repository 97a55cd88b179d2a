// SPDX-License-Identifier: MIT
//
// Tests of model/text's tokenizer: every entry of conformance/golden/tokenizer with the published V3
// tokenizer, then what that file does not reach, with small tokenizers made here: merge order against a plain
// re-implementation, both forms of merges, prefix space, normalisation, stripping, broken UTF-8, streaming,
// bad files, failing allocations.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "conformance/unit/text_fixture.h"
#include "model/text/utf8.h"

static const iso_encode_options no_bos = {ISO_BOS_NEVER};

// Encodes and compares; the expected ids end with -1.
static void assert_ids(iso_tokenizer *tokenizer, const char *text, size_t bytes, const int32_t *expected)
{
    iso_token_list ids = {0};
    if (iso_tokenizer_encode(tokenizer, text, bytes, &no_bos, &ids) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    size_t count = 0;
    while (expected[count] >= 0)
        count++;
    assert_int_equal(ids.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids.ids[i], expected[i]);
    iso_token_list_deinit(&ids);
}

#define ASSERT_IDS(tokenizer, text, ...)                                                                     \
    assert_ids((tokenizer), (text), strlen(text), (const int32_t[]){__VA_ARGS__, -1})

static void assert_text(const iso_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special,
                        const char *expected, size_t bytes)
{
    char *text;
    size_t got;
    iso_decode_options options = {skip_special};
    assert_int_equal(iso_tokenizer_decode(tokenizer, ids, count, &options, &text, &got), ISO_OK);
    if (got != bytes || memcmp(text, expected, bytes) != 0)
        fail_msg("decoded \"%s\", expected \"%s\"", text, expected);
    assert_int_equal(text[got], 0);
    free(text);
    // Streaming: the same text, and only whole characters on the way.
    iso_detokenizer *stream;
    size_t at = 0;
    assert_int_equal(iso_detokenizer_create(tokenizer, &options, &stream), ISO_OK);
    for (size_t i = 0; i <= count; i++) {
        const char *part;
        size_t length;
        assert_int_equal(i < count ? iso_detokenizer_feed(stream, ids[i], &part, &length)
                                   : iso_detokenizer_finish(stream, &part, &length),
                         ISO_OK);
        assert_int_equal(iso_utf8_valid_prefix((const uint8_t *)part, length), length);
        assert_true(at + length <= bytes);
        assert_memory_equal(part, expected + at, length);
        at += length;
    }
    assert_int_equal(at, bytes);
    iso_detokenizer_destroy(stream);
}

// ---- golden ----

static iso_tokenizer *v3;
static json_t *golden;

static int open_v3(void **state)
{
    (void)state;
    const char *folder = v3_tokenizer_folder();
    golden = load_golden("tokenizer/golden.json");
    if (folder && iso_tokenizer_open(folder, NULL, &v3) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    return 0;
}

static int close_v3(void **state)
{
    (void)state;
    iso_tokenizer_close(v3);
    json_decref(golden);
    return 0;
}

// To be freed; *out_count ids.
static int32_t *ids_of(const json_t *list, size_t *out_count)
{
    *out_count = json_array_size(list);
    int32_t *ids = malloc((*out_count + 1) * sizeof *ids);
    for (size_t i = 0; i < *out_count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    ids[*out_count] = -1;
    return ids;
}

static void test_golden_encode(void **state)
{
    (void)state;
    if (!v3)
        skip();
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(golden, "encode"), index, entry)
    {
        const json_t *text = json_object_get(entry, "text"), *decoded = json_object_get(entry, "decoded");
        size_t count, count_with;
        int32_t *ids = ids_of(json_object_get(entry, "ids"), &count);
        int32_t *with = ids_of(json_object_get(entry, "ids_with_specials"), &count_with);
        assert_ids(v3, json_string_value(text), json_string_length(text), ids);
        iso_token_list list = {0};
        assert_int_equal(
            iso_tokenizer_encode(v3, json_string_value(text), json_string_length(text), NULL, &list), ISO_OK);
        assert_int_equal(list.count, count_with);
        assert_memory_equal(list.ids, with, count_with * sizeof *with);
        assert_text(v3, ids, count, false, json_string_value(decoded), json_string_length(decoded));
        iso_token_list_deinit(&list);
        free(ids);
        free(with);
    }
    assert_true(index >= 398);
}

static void test_golden_decode(void **state)
{
    (void)state;
    if (!v3)
        skip();
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(golden, "decode"), index, entry)
    {
        size_t count;
        int32_t *ids = ids_of(json_object_get(entry, "ids"), &count);
        const json_t *text = json_object_get(entry, "text"),
                     *plain = json_object_get(entry, "text_without_specials");
        assert_text(v3, ids, count, false, json_string_value(text), json_string_length(text));
        assert_text(v3, ids, count, true, json_string_value(plain), json_string_length(plain));
        free(ids);
    }
    assert_true(index >= 44);
}

static void test_v3_facts(void **state)
{
    (void)state;
    if (!v3)
        skip();
    assert_int_equal(iso_tokenizer_vocab_size(v3), 128815);
    assert_int_equal(iso_tokenizer_bos_id(v3), 0);
    assert_int_equal(iso_tokenizer_eos_id(v3), 1);
    assert_int_equal(iso_tokenizer_token_id(v3, "<｜User｜>"), 128803);
    assert_int_equal(iso_tokenizer_token_id(v3, "<think>"), ISO_NO_TOKEN);
    assert_int_equal(iso_tokenizer_token_id(v3, "no such token"), ISO_NO_TOKEN);
    assert_true(iso_tokenizer_is_special(v3, 1));
    assert_false(iso_tokenizer_is_special(v3, 128803));
    size_t bytes;
    assert_string_equal(iso_tokenizer_token_bytes(v3, 201, &bytes), "\n");
    assert_null(iso_tokenizer_token_bytes(v3, 128815, &bytes));
    assert_null(iso_tokenizer_token_bytes(v3, -1, &bytes));
    assert_non_null(iso_tokenizer_chat_template(v3));
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void test_one_letter_is_not_quadratic(void **state)
{
    (void)state;
    if (!v3)
        skip();
    const size_t bytes = 1000000;
    char *text = malloc(bytes);
    memset(text, 'a', bytes);
    iso_token_list ids = {0};
    double start = seconds();
    assert_int_equal(iso_tokenizer_encode(v3, text, bytes, &no_bos, &ids), ISO_OK);
    double took = seconds() - start;
    print_message("1 MB of one letter: %zu ids in %.3f s\n", ids.count, took);
    // Quadratic would be minutes; sanitizers slow it down some tenfold.
    assert_true(took < 30);
    char *back;
    size_t back_bytes;
    assert_int_equal(iso_tokenizer_decode(v3, ids.ids, ids.count, NULL, &back, &back_bytes), ISO_OK);
    assert_int_equal(back_bytes, bytes);
    assert_memory_equal(back, text, bytes);
    free(back);
    free(text);
    iso_token_list_deinit(&ids);
}

// ---- merging ----

static const char *const ab_vocab =
    "\"ab\":256,\"bc\":257,\"abc\":258,\"aa\":259,\"aaaa\":260,\"ca\":261,\"bca\":262";
static const char *const ab_merges = "[\"b c\",\"a a\",\"a b\",\"a bc\",\"aa aa\",\"c a\",\"bc a\"]";

// The definition, plainly: find the lowest rank, leftmost; merge; again.
typedef struct plain_merge {
    int32_t left, right, result;
} plain_merge;

static const plain_merge plain_merges[] = {
    {'b', 'c', 257}, {'a', 'a', 259}, {'a', 'b', 256}, {'a', 257, 258},
    {259, 259, 260}, {'c', 'a', 261}, {257, 'a', 262},
};

static size_t merge_plainly(int32_t *ids, size_t count)
{
    for (;;) {
        size_t best_rank = sizeof plain_merges / sizeof *plain_merges, best_at = 0;
        for (size_t at = 0; at + 1 < count; at++)
            for (size_t rank = 0; rank < best_rank; rank++)
                if (plain_merges[rank].left == ids[at] && plain_merges[rank].right == ids[at + 1]) {
                    best_rank = rank;
                    best_at = at;
                }
        if (best_rank == sizeof plain_merges / sizeof *plain_merges)
            return count;
        ids[best_at] = plain_merges[best_rank].result;
        memmove(ids + best_at + 1, ids + best_at + 2, (count - best_at - 2) * sizeof *ids);
        count--;
    }
}

// Short pieces are merged in arrays, long ones with a heap: both against the definition, twice for the word
// cache.
static void test_merge_order(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer =
        must_open_small(&(small_tokenizer){.more_vocab = ab_vocab, .merges = ab_merges});
    uint32_t random = 12345; // the seed; a failure repeats
    for (int round = 0; round < 4000; round++) {
        char text[200];
        int32_t expected[201];
        random = random * 1664525 + 1013904223;
        size_t bytes = 1 + (random >> 8) % (round % 2 ? 199 : 12);
        for (size_t i = 0; i < bytes; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = (char)('a' + (random >> 16) % 3);
            expected[i] = text[i];
        }
        expected[merge_plainly(expected, bytes)] = -1;
        assert_ids(tokenizer, text, bytes, expected);
    }
    iso_tokenizer_close(tokenizer);
}

static void test_merges_as_pairs(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer = must_open_small(&(small_tokenizer){
        .more_vocab = "\"ab\":256,\"bc\":257,\"abc\":258",
        .merges = "[[\"b\",\"c\"],[\"a\",\"b\"],[\"a\",\"bc\"]]",
    });
    ASSERT_IDS(tokenizer, "abcab", 258, 256);
    iso_tokenizer_close(tokenizer);
}

static void test_ignore_merges(void **state)
{
    (void)state;
    small_tokenizer small = {.more_vocab = "\"xyz\":256", .pre_tokenizer = SPLIT_THEN_BYTES("[a-z]+")};
    iso_tokenizer *tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "xyz!", 'x', 'y', 'z', '!');
    iso_tokenizer_close(tokenizer);
    small.more_model = "\"ignore_merges\":true";
    tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "xyz!xy", 256, '!', 'x', 'y');
    iso_tokenizer_close(tokenizer);
}

static void test_unknown_byte_is_refused(void **state)
{
    (void)state;
    const char *json = "{\"pre_tokenizer\":" PLAIN_BYTE_LEVEL
                       ",\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}";
    iso_tokenizer_source source = {.tokenizer_json = json, .tokenizer_json_bytes = strlen(json)};
    iso_tokenizer *tokenizer;
    assert_int_equal(iso_tokenizer_parse(&source, NULL, &tokenizer), ISO_OK);
    iso_token_list ids = {0};
    assert_int_equal(iso_token_list_append(&ids, 7), ISO_OK);
    assert_int_equal(iso_tokenizer_encode(tokenizer, "aab", 3, NULL, &ids), ISO_UNSUPPORTED);
    assert_error_has("0x62");
    assert_int_equal(ids.count, 1); // as it was
    iso_token_list_deinit(&ids);
    iso_tokenizer_close(tokenizer);
}

// ---- steps ----

static void test_byte_level_forms(void **state)
{
    (void)state;
    // GPT-2's own expression keeps the space with the word: merging " b" shows it.
    small_tokenizer small = {.more_vocab = "\"\\u0120b\":256,\"a\\u0120\":257",
                             .merges = "[\"a \\u0120\",\"\\u0120 b\"]",
                             .pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"};
    small.merges = "[[\"a\",\"\\u0120\"],[\"\\u0120\",\"b\"]]";
    iso_tokenizer *tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "a b", 'a', 256);
    iso_tokenizer_close(tokenizer);
    small.pre_tokenizer = PLAIN_BYTE_LEVEL;
    tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "a b", 257, 'b');
    iso_tokenizer_close(tokenizer);
    small.pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}";
    tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "b b", 256, 256);
    ASSERT_IDS(tokenizer, " b", 256);
    iso_tokenizer_close(tokenizer);
    // Each piece of a sequence gets its space.
    small.pre_tokenizer =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}]}";
    tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "b12b", 256, ' ', '1', ' ', '2', 256);
    iso_tokenizer_close(tokenizer);
}

// ---- normalisation, added tokens, broken text ----

static void test_nfc(void **state)
{
    (void)state;
    small_tokenizer small = {.normalizer = "{\"type\":\"NFC\"}",
                             .added_tokens = "[{\"id\":300,\"content\":\"e\\u0301\",\"normalized\":true},"
                                             "{\"id\":301,\"content\":\"o\\u0301\",\"normalized\":false}]"};
    iso_tokenizer *tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "a\xcc\x81", 0xc3, 0xa1); // á
    ASSERT_IDS(tokenizer, "xe\xcc\x81", 'x', 300);  // the token's own text is normalised too
    ASSERT_IDS(tokenizer, "\xc3\xa9", 300);         // é
    ASSERT_IDS(tokenizer, "o\xcc\x81", 301);        // found before normalisation
    ASSERT_IDS(tokenizer, "\xc3\xb3", 0xc3, 0xb3);  // ó is not that token
    ASSERT_IDS(tokenizer, "\xe1\x84\x80\xe1\x85\xa1", 0xea, 0xb0, 0x80);      // Hangul
    ASSERT_IDS(tokenizer, "u\xcc\xa3\xcc\x88", 0xe1, 0xbb, 0xa5, 0xcc, 0x88); // reordered classes
    // Longer than a stretch: "é" decomposed, 100,000 times, with plain text on both sides.
    const size_t repeats = 100000;
    char *text = malloc(repeats * 3 + 2), *at = text;
    *at++ = 'p';
    for (size_t i = 0; i < repeats; i++, at += 3)
        memcpy(at, i % 7 ? "a\xcc\x81" : "zzz", 3);
    *at++ = 'q';
    iso_token_list ids = {0};
    assert_int_equal(iso_tokenizer_encode(tokenizer, text, (size_t)(at - text), &no_bos, &ids), ISO_OK);
    size_t next = 1;
    for (size_t i = 0; i < repeats; i++) {
        assert_int_equal(ids.ids[next], i % 7 ? 0xc3 : 'z');
        next += i % 7 ? 2 : 3;
    }
    assert_int_equal(ids.ids[next], 'q');
    assert_int_equal(ids.count, next + 1);
    iso_token_list_deinit(&ids);
    free(text);
    iso_tokenizer_close(tokenizer);
    small.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}";
    tokenizer = must_open_small(&small);
    ASSERT_IDS(tokenizer, "a\xcc\x81", 0xc3, 0xa1);
    iso_tokenizer_close(tokenizer);
}

static void test_added_tokens(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer = must_open_small(&(small_tokenizer){
        .added_tokens = "[{\"id\":300,\"content\":\"<a>\",\"special\":true},"
                        "{\"id\":301,\"content\":\"<a>b\",\"special\":true},"
                        "{\"id\":302,\"content\":\"x<a>\"},"
                        "{\"id\":303,\"content\":\"<l>\",\"lstrip\":true,\"special\":true},"
                        "{\"id\":304,\"content\":\"<r>\",\"rstrip\":true,\"special\":true}]",
    });
    ASSERT_IDS(tokenizer, "<a>", 300);
    ASSERT_IDS(tokenizer, "<a>b<a>c", 301, 300, 'c'); // the longest
    ASSERT_IDS(tokenizer, "x<a>", 'x', 300);          // those on the raw text come first
    ASSERT_IDS(tokenizer, "<<a>><a", '<', 300, '>', '<', 'a');
    ASSERT_IDS(tokenizer, "p \xe3\x80\x80\n<l> q", 'p', 303, ' ', 'q');
    ASSERT_IDS(tokenizer, "p <r> \xc2\x85q", 'p', ' ', 304, 'q');
    ASSERT_IDS(tokenizer, "<r> <l>", 304, 303); // a space is taken once
    assert_text(tokenizer, (const int32_t[]){300, 'x', 302}, 3, true, "xx<a>", 5);
    iso_tokenizer_close(tokenizer);
}

// deepseek-llm has letters as added tokens that stand for bytes in the alphabet: cut out of the text, and
// decoded as that byte, as the reference does.
static void test_added_token_of_one_byte(void **state)
{
    (void)state;
    const char *json = "{\"added_tokens\":[{\"id\":1,\"content\":\"\\u00fc\",\"normalized\":true}],\"pre_"
                       "tokenizer\":" PLAIN_BYTE_LEVEL
                       ",\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"F\":0},\"merges\":[]}}";
    iso_tokenizer_source source = {.tokenizer_json = json, .tokenizer_json_bytes = strlen(json)};
    iso_tokenizer *tokenizer;
    assert_int_equal(iso_tokenizer_parse(&source, NULL, &tokenizer), ISO_OK);
    ASSERT_IDS(tokenizer,
               "F\xc3\xbc"
               "F",
               0, 1, 0);
    assert_text(tokenizer, (const int32_t[]){0, 1}, 2, false, "F\xef\xbf\xbd", 4);
    iso_tokenizer_close(tokenizer);
}

static void test_broken_utf8(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer = must_open_small(&(small_tokenizer){0});
#define FFFD 0xef, 0xbf, 0xbd
    ASSERT_IDS(tokenizer,
               "a\xff"
               "b",
               'a', FFFD, 'b');
    ASSERT_IDS(tokenizer, "\xe4\xb8", FFFD); // one cut character, one mark
    ASSERT_IDS(tokenizer, "\xe4\xb8x", FFFD, 'x');
    ASSERT_IDS(tokenizer, "\xc0\x80", FFFD, FFFD);           // overlong
    ASSERT_IDS(tokenizer, "\xed\xa0\x80", FFFD, FFFD, FFFD); // surrogate
    ASSERT_IDS(tokenizer, "\xf0\x9f\x98", FFFD);
    ASSERT_IDS(tokenizer, "\xf4\x90\x80\x80", FFFD, FFFD, FFFD, FFFD); // above U+10FFFF
    assert_ids(tokenizer, "\0x", 2, (const int32_t[]){0, 'x', -1});
    assert_ids(tokenizer, NULL, 0, (const int32_t[]){-1});
    iso_tokenizer_close(tokenizer);
}

static void test_streaming(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer = must_open_small(&(small_tokenizer){0});
    iso_detokenizer *stream;
    const char *text;
    size_t bytes;
    assert_int_equal(iso_detokenizer_create(tokenizer, NULL, &stream), ISO_OK);
    static const int32_t smile[] = {0xf0, 0x9f, 0x98, 0x80};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(iso_detokenizer_feed(stream, smile[i], &text, &bytes), ISO_OK);
        assert_int_equal(bytes, i == 3 ? 4 : 0);
    }
    assert_string_equal(text, "\xf0\x9f\x98\x80");
    assert_int_equal(iso_detokenizer_feed(stream, 0xe4, &text, &bytes), ISO_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(iso_detokenizer_feed(stream, 'x', &text, &bytes), ISO_OK);
    assert_string_equal(text, "\xef\xbf\xbdx");
    assert_int_equal(iso_detokenizer_feed(stream, 0xe4, &text, &bytes), ISO_OK);
    assert_int_equal(iso_detokenizer_finish(stream, &text, &bytes), ISO_OK);
    assert_string_equal(text, "\xef\xbf\xbd");
    assert_int_equal(iso_detokenizer_finish(stream, &text, &bytes), ISO_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(iso_detokenizer_feed(stream, 1000000, &text, &bytes), ISO_OK); // no token: nothing
    assert_int_equal(bytes, 0);
    assert_int_equal(iso_detokenizer_feed(stream, -5, &text, &bytes), ISO_INVALID_ARGUMENT);
    assert_error_has("-5");
    iso_detokenizer_destroy(stream);
    iso_detokenizer_destroy(NULL);
    char *whole;
    assert_int_equal(iso_tokenizer_decode(tokenizer, (const int32_t[]){'a', -1}, 2, NULL, &whole, &bytes),
                     ISO_INVALID_ARGUMENT);
    assert_null(whole);
    iso_tokenizer_close(tokenizer);
}

// ---- tokenizer_config.json ----

static void test_config(void **state)
{
    (void)state;
    small_tokenizer small = {
        .added_tokens = "[{\"id\":300,\"content\":\"<s>\",\"special\":true}]",
        .config = "{\"add_bos_token\":true,\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"!\",\"chat_"
                  "template\":"
                  "[{\"name\":\"tool\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}",
    };
    iso_tokenizer *tokenizer = must_open_small(&small);
    assert_int_equal(iso_tokenizer_bos_id(tokenizer), 300);
    assert_int_equal(iso_tokenizer_eos_id(tokenizer), '!');
    assert_string_equal(iso_tokenizer_chat_template(tokenizer), "D");
    iso_token_list ids = {0};
    assert_int_equal(iso_tokenizer_encode(tokenizer, "a", 1, NULL, &ids), ISO_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.ids[0], 300);
    iso_tokenizer_close(tokenizer);
    small.config = NULL;
    tokenizer = must_open_small(&small);
    assert_int_equal(iso_tokenizer_bos_id(tokenizer), ISO_NO_TOKEN);
    assert_null(iso_tokenizer_chat_template(tokenizer));
    assert_int_equal(iso_tokenizer_encode(tokenizer, "a", 1, &(iso_encode_options){ISO_BOS_ALWAYS}, &ids),
                     ISO_INVALID_ARGUMENT);
    assert_int_equal(ids.count, 2);
    iso_token_list_deinit(&ids);
    iso_tokenizer_close(tokenizer);
}

// ---- bad input ----

typedef struct bad_case {
    small_tokenizer small;
    iso_status status;
    const char *fragment; // of the error text
} bad_case;

static const bad_case bad_cases[] = {
    {{.merges = "[\"a b\"]"}, ISO_CORRUPT, "model.merges[0] needs \"ab\""},
    {{.merges = "[\"a zz\"]"}, ISO_CORRUPT, "model.merges[0] needs \"zz\""},
    {{.merges = "[\"ab\"]"}, ISO_UNSUPPORTED, "model.merges[0]"},
    {{.merges = "[\"a b c\"]"}, ISO_UNSUPPORTED, "model.merges[0]"},
    {{.merges = "[[\"a\"]]"}, ISO_UNSUPPORTED, "model.merges[0]"},
    {{.merges = "[7]"}, ISO_UNSUPPORTED, "model.merges[0]"},
    {{.merges = "{}"}, ISO_CORRUPT, "model.merges is an object, an array is expected"},
    {{.merges = "null"}, ISO_CORRUPT, "model.merges is null"},
    {{.more_vocab = "\"ab\":5"}, ISO_CORRUPT, "the id 5"},
    {{.more_vocab = "\"ab\":-1"}, ISO_CORRUPT, "model.vocab.ab is -1"},
    {{.more_vocab = "\"ab\":99999999999"}, ISO_CORRUPT, "model.vocab.ab is 99999999999"},
    {{.more_vocab = "\"ab\":\"5\""}, ISO_CORRUPT, "model.vocab.ab is a string"},
    {{.more_vocab = "\"ab\":1.5"}, ISO_CORRUPT, "model.vocab.ab is a fraction"},
    {{.more_vocab = "\"a\":256"}, ISO_CORRUPT, "duplicate"},
    {{.more_model = "\"unk_token\":\"<unk>\""}, ISO_UNSUPPORTED, "model.unk_token is \"<unk>\""},
    {{.more_model = "\"byte_fallback\":true"}, ISO_UNSUPPORTED, "model.byte_fallback is true"},
    {{.more_model = "\"dropout\":0.1"}, ISO_UNSUPPORTED, "model.dropout"},
    {{.more_model = "\"ignore_merges\":3"}, ISO_CORRUPT, "model.ignore_merges is an integer"},
    {{.added_tokens = "[{\"id\":300}]"}, ISO_CORRUPT, "added_tokens[0].content is missing"},
    {{.added_tokens = "[{\"content\":\"x\"}]"}, ISO_CORRUPT, "added_tokens[0].id is missing"},
    {{.added_tokens = "[{\"id\":300,\"content\":\"\"}]"}, ISO_CORRUPT, "added_tokens[0].content is empty"},
    {{.added_tokens = "[{\"id\":300,\"content\":\"a\"}]"}, ISO_CORRUPT, "has 97 already"},
    {{.added_tokens = "[{\"id\":97,\"content\":\"zz\"}]"}, ISO_CORRUPT, "\"a\" has already"},
    {{.added_tokens = "[{\"id\":300,\"content\":\"zz\",\"single_word\":true}]"},
     ISO_UNSUPPORTED,
     "single_word is true"},
    {{.added_tokens = "[{\"id\":300,\"content\":\"zz\",\"lstrip\":1}]"}, ISO_CORRUPT, "lstrip is an integer"},
    {{.added_tokens = "[3]"}, ISO_CORRUPT, "added_tokens[0] is an integer"},
    {{.added_tokens = "{}"}, ISO_CORRUPT, "added_tokens is an object"},
    {{.normalizer = "{\"type\":\"NFKC\"}"}, ISO_UNSUPPORTED, "normalizer is {\"type\":\"NFKC\"}"},
    {{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}"},
     ISO_UNSUPPORTED,
     "Lowercase"},
    {{.pre_tokenizer = "null"}, ISO_CORRUPT, "pre_tokenizer is null"},
    {{.pre_tokenizer = "{\"type\":\"Whitespace\"}"}, ISO_UNSUPPORTED, "pre_tokenizer.type is \"Whitespace\""},
    {{.pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[]}"}, ISO_UNSUPPORTED, "is empty"},
    {{.pre_tokenizer = SPLIT_THEN_BYTES("\\\\w+")},
     ISO_UNSUPPORTED,
     "pre_tokenizer.pretokenizers[0].pattern.Regex"},
    {{.pre_tokenizer =
          "{\"type\":\"Sequence\",\"pretokenizers\":[" PLAIN_BYTE_LEVEL "," PLAIN_BYTE_LEVEL "]}"},
     ISO_UNSUPPORTED,
     "pretokenizers[0].type is \"ByteLevel\""},
    {{.pre_tokenizer =
          "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
          "\"behavior\":\"Removed\"}," PLAIN_BYTE_LEVEL "]}"},
     ISO_UNSUPPORTED,
     "behavior is \"Removed\""},
    {{.pre_tokenizer =
          "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
          "\"behavior\":\"Isolated\",\"invert\":true}," PLAIN_BYTE_LEVEL "]}"},
     ISO_UNSUPPORTED,
     "invert is true"},
    {{.pre_tokenizer =
          "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
          "\"behavior\":\"Isolated\"}," PLAIN_BYTE_LEVEL "]}"},
     ISO_UNSUPPORTED,
     "pattern is {\"String\":\"a\"}"},
    {{.decoder = "{\"type\":\"WordPiece\"}"}, ISO_UNSUPPORTED, "decoder.type is \"WordPiece\""},
    {{.decoder = "null"}, ISO_CORRUPT, "decoder is null"},
    {{.config = "{\"bos_token\":\"<s>\"}"}, ISO_CORRUPT, "tokenizer_config.json: bos_token is \"<s>\""},
    {{.config = "{\"bos_token\":{\"content\":5}}"}, ISO_CORRUPT, "bos_token.content is an integer"},
    {{.config = "{\"add_bos_token\":true}"}, ISO_CORRUPT, "bos_token names none"},
    {{.config = "{\"add_bos_token\":\"yes\"}"}, ISO_CORRUPT, "add_bos_token is a string"},
    {{.config = "{\"add_eos_token\":true}"}, ISO_UNSUPPORTED, "add_eos_token is true"},
    {{.config = "{\"chat_template\":5}"}, ISO_CORRUPT, "chat_template is an integer"},
    {{.config = "{\n\n\"x\":"}, ISO_CORRUPT, "tokenizer_config.json: line 3"},
    {{.config = "[]"}, ISO_CORRUPT, "the file holds an array"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        iso_tokenizer *tokenizer = (iso_tokenizer *)state;
        iso_status status = open_small(&bad_cases[i].small, NULL, &tokenizer);
        if (status != bad_cases[i].status)
            fail_msg("case %zu (%s): %s: %s", i, bad_cases[i].fragment, iso_status_name(status),
                     iso_status_last()->text);
        assert_null(tokenizer);
        assert_error_has(bad_cases[i].fragment);
        assert_null(strchr(iso_status_last()->text, '\n'));
    }
}

static void write_file(const char *folder, const char *name, const char *content, size_t bytes)
{
    char path[300];
    (void)!snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    fclose(file);
}

static void remove_file(const char *folder, const char *name)
{
    char path[300];
    (void)!snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void test_folders(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer;
    assert_int_equal(iso_tokenizer_open("/nowhere at all", NULL, &tokenizer), ISO_NOT_FOUND);
    assert_error_has("/nowhere at all/tokenizer.json");
    char folder[] = "/tmp/isomer-tokenizer-XXXXXX", path[300];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(iso_tokenizer_open(folder, NULL, &tokenizer), ISO_NOT_FOUND);
    char *json = small_tokenizer_json(&(small_tokenizer){0});
    size_t bytes = strlen(json);
    write_file(folder, "tokenizer.json", json, bytes);
    assert_int_equal(iso_tokenizer_open(folder, NULL, &tokenizer), ISO_OK); // tokenizer.json is enough
    iso_tokenizer_close(tokenizer);
    write_file(folder, "chat_template.jinja", "J", 1);
    write_file(folder, "tokenizer_config.json", "{\"chat_template\":\"C\"}", 21);
    assert_int_equal(iso_tokenizer_open(folder, NULL, &tokenizer), ISO_OK);
    assert_string_equal(iso_tokenizer_chat_template(tokenizer), "J");
    iso_tokenizer_close(tokenizer);
    // Cut anywhere, a file is not taken.
    for (size_t cut = 0; cut < bytes; cut += 1 + bytes / 50) {
        write_file(folder, "tokenizer.json", json, cut);
        assert_int_equal(iso_tokenizer_open(folder, NULL, &tokenizer), ISO_CORRUPT);
        assert_error_has("tokenizer.json: line 1");
    }
    remove_file(folder, "tokenizer.json");
    (void)!snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(iso_tokenizer_open(folder, NULL, &tokenizer), ISO_IO);
    assert_int_equal(rmdir(path), 0);
    remove_file(folder, "chat_template.jinja");
    remove_file(folder, "tokenizer_config.json");
    assert_int_equal(rmdir(folder), 0);
    free(json);
}

// Everything an allocator serves, with its n-th call failing, for all n: an error or a right answer, nothing
// kept.
static void test_failing_allocations(void **state)
{
    (void)state;
    small_tokenizer small = {
        .more_vocab = ab_vocab,
        .merges = ab_merges,
        .added_tokens =
            "[{\"id\":300,\"content\":\"<s>\",\"special\":true},{\"id\":301,\"content\":\"<t>\"}]",
        .normalizer = "{\"type\":\"NFC\"}",
        .pre_tokenizer = SPLIT_THEN_BYTES("[a-z]+"),
        .config = "{\"bos_token\":\"<s>\",\"chat_template\":\"x\"}",
    };
    char text[200] = "<s>e\xcc\x81 abc\xff<t>";
    memset(text + strlen(text), 'a', 100); // a long piece as well
    bool done = false;
    long n = 0;
    for (; !done; n++) {
        failing_heap heap = {.calls_left = n};
        iso_allocator allocator = {&heap, failing_resize, failing_release};
        iso_tokenizer *tokenizer = NULL;
        iso_detokenizer *stream = NULL;
        iso_token_list ids = {.allocator = &allocator};
        char *back = NULL;
        const char *part;
        size_t bytes;
        iso_status status = open_small(&small, &allocator, &tokenizer);
        if (status == ISO_OK)
            status = iso_tokenizer_encode(tokenizer, text, strlen(text), NULL, &ids);
        if (status == ISO_OK)
            status = iso_tokenizer_decode(tokenizer, ids.ids, ids.count, NULL, &back, &bytes);
        if (status == ISO_OK)
            status = iso_detokenizer_create(tokenizer, NULL, &stream);
        if (status == ISO_OK)
            status = iso_detokenizer_feed(stream, 'a', &part, &bytes);
        if (status != ISO_OK)
            assert_int_equal(status, ISO_OUT_OF_MEMORY);
        done = status == ISO_OK;
        iso_detokenizer_destroy(stream);
        iso_free(&allocator, back);
        iso_token_list_deinit(&ids);
        iso_tokenizer_close(tokenizer);
        assert_int_equal(heap.living, 0);
    }
    print_message("%ld allocations, each failed once\n", n - 1);
    assert_true(n > 20);
}

static void *encode_many(void *context)
{
    iso_tokenizer *tokenizer = context;
    for (int i = 0; i < 500; i++) {
        char text[64];
        int length = snprintf(text, sizeof text, "abcaab %d cab", i % 50);
        iso_token_list ids = {0};
        char *back = NULL;
        size_t bytes;
        bool good = iso_tokenizer_encode(tokenizer, text, (size_t)length, NULL, &ids) == ISO_OK &&
                    iso_tokenizer_decode(tokenizer, ids.ids, ids.count, NULL, &back, &bytes) == ISO_OK &&
                    strcmp(back, text) == 0;
        free(back);
        iso_token_list_deinit(&ids);
        if (!good)
            return context;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    iso_tokenizer *tokenizer = must_open_small(&(small_tokenizer){
        .more_vocab = ab_vocab, .merges = ab_merges, .pre_tokenizer = SPLIT_THEN_BYTES("[a-z]+")});
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, tokenizer), 0);
    for (int i = 0; i < 3; i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    iso_tokenizer_close(tokenizer);
    iso_tokenizer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_encode),    cmocka_unit_test(test_golden_decode),
        cmocka_unit_test(test_v3_facts),         cmocka_unit_test(test_one_letter_is_not_quadratic),
        cmocka_unit_test(test_merge_order),      cmocka_unit_test(test_merges_as_pairs),
        cmocka_unit_test(test_ignore_merges),    cmocka_unit_test(test_unknown_byte_is_refused),
        cmocka_unit_test(test_byte_level_forms), cmocka_unit_test(test_nfc),
        cmocka_unit_test(test_added_tokens),     cmocka_unit_test(test_added_token_of_one_byte),
        cmocka_unit_test(test_broken_utf8),      cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_config),           cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_folders),          cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, open_v3, close_v3);
}
