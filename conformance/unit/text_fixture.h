// SPDX-License-Identifier: MIT
//
// What the tests of model/text share: where golden files and the published V3 tokenizer lie, a maker of small
// tokenizers, and an allocator that fails at a chosen call. For inclusion after cmocka.h.
#ifndef ISOMER_CONFORMANCE_UNIT_TEXT_FIXTURE_H
#define ISOMER_CONFORMANCE_UNIT_TEXT_FIXTURE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isomer/tokenizer.h"

// ---- files ----

// The V3 tokenizer is not ours to hand on: it lies beside the repository, or where ISOMER_SHARED says. NULL
// with a printed reason where it is absent.
static inline const char *v3_tokenizer_folder(void)
{
    static char path[4096];
    const char *shared = getenv("ISOMER_SHARED");
    (void)!snprintf(path, sizeof path, "%s/data/deepseek-v3-tokenizer",
                    shared ? shared : ISOMER_SOURCE_DIR "/../shared");
    char file[4200];
    (void)!snprintf(file, sizeof file, "%s/tokenizer.json", path);
    if (access(file, R_OK) == 0)
        return path;
    print_message("skipped: %s is absent; set ISOMER_SHARED to the folder that holds data/\n", file);
    return NULL;
}

static inline json_t *load_golden(const char *name)
{
    char path[4096];
    json_error_t error;
    (void)!snprintf(path, sizeof path, ISOMER_SOURCE_DIR "/conformance/golden/%s", name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root)
        fail_msg("%s: line %d: %s", path, error.line, error.text);
    return root;
}

static inline void assert_error_has(const char *fragment)
{
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

// ---- small tokenizers ----

// Each part is JSON text; NULL takes the default: only the byte symbols (ids 0 to 255 in byte order), no
// merges, no added tokens, one ByteLevel step without a regular expression.
typedef struct small_tokenizer {
    const char *more_vocab; // "\"ab\": 256, \"abc\": 257"
    const char *merges;     // "[\"a b\"]"
    const char *added_tokens;
    const char *normalizer;
    const char *pre_tokenizer;
    const char *more_model; // "\"ignore_merges\": true"
    const char *decoder;
    const char *config; // tokenizer_config.json
} small_tokenizer;

#define PLAIN_BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT_THEN_BYTES(regex)                                                                              \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex          \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}," PLAIN_BYTE_LEVEL "]}"

static inline const char *or_else(const char *text, const char *fallback)
{
    return text ? text : fallback;
}

// The character that stands for a byte in the published alphabet, written independently of the library.
static inline unsigned alphabet_character(unsigned byte)
{
    unsigned extra = 256;
    for (unsigned b = 0; b < 256; b++) {
        int printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return printable ? b : extra;
        extra += !printable;
    }
    return 0;
}

// To be freed.
static inline char *small_tokenizer_json(const small_tokenizer *small)
{
    char *json;
    size_t bytes;
    FILE *out = open_memstream(&json, &bytes);
    fprintf(out,
            "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"decoder\":%s,\"model\":{\"type\":"
            "\"BPE\"",
            or_else(small->added_tokens, "[]"), or_else(small->normalizer, "null"),
            or_else(small->pre_tokenizer, PLAIN_BYTE_LEVEL),
            or_else(small->decoder, "{\"type\":\"ByteLevel\"}"));
    fprintf(out, ",\"merges\":%s%s%s,\"vocab\":{", or_else(small->merges, "[]"), small->more_model ? "," : "",
            or_else(small->more_model, ""));
    for (unsigned byte = 0; byte < 256; byte++)
        fprintf(out, "%s\"\\u%04x\":%u", byte ? "," : "", alphabet_character(byte), byte);
    fprintf(out, "%s%s}}}", small->more_vocab ? "," : "", or_else(small->more_vocab, ""));
    fclose(out);
    return json;
}

static inline iso_status open_small(const small_tokenizer *small, const iso_allocator *allocator,
                                    iso_tokenizer **out)
{
    char *json = small_tokenizer_json(small);
    iso_tokenizer_source source = {
        .tokenizer_json = json,
        .tokenizer_json_bytes = strlen(json),
        .config_json = small->config,
        .config_json_bytes = small->config ? strlen(small->config) : 0,
    };
    iso_status status = iso_tokenizer_parse(&source, allocator, out);
    free(json);
    return status;
}

static inline iso_tokenizer *must_open_small(const small_tokenizer *small)
{
    iso_tokenizer *tokenizer;
    if (open_small(small, NULL, &tokenizer) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    return tokenizer;
}

// ---- an allocator whose n-th call fails ----

typedef struct failing_heap {
    long living;
    long calls_left; // below 0: never fails
} failing_heap;

static inline void *failing_resize(void *context, void *memory, size_t bytes)
{
    failing_heap *heap = context;
    if (heap->calls_left == 0)
        return NULL;
    heap->calls_left -= heap->calls_left > 0;
    heap->living += memory == NULL;
    return realloc(memory, bytes);
}

static inline void failing_release(void *context, void *memory)
{
    failing_heap *heap = context;
    heap->living -= memory != NULL;
    free(memory);
}

#endif
