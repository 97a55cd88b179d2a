// SPDX-License-Identifier: MIT
//
// The steps of pretokenizer.h on PCRE2. Compiled to machine code where PCRE2 can; its interpreter does the
// same work slower where it cannot (no JIT in the build, memory that may not be executable).
#include "model/text/pretokenizer.h"

#include <string.h>

#include "model/text/regex_dialect.h"
#include "model/text/utf8.h"

// How often an expression may try anew: far more than linear ones ever do, and an end for exponential ones.
#define TRIES_PER_BYTE 64
#define FEWEST_TRIES   100000

// The whole of a run, for the recursion over steps (at most ISO_PRETOKENIZER_STEPS deep).
typedef struct cutting {
    iso_pretokenizer *pretokenizer;
    iso_piece_sink sink;
    void *sink_context;
} cutting;

static void *pcre2_allocate(size_t bytes, void *context)
{
    void *memory;
    return iso_alloc(context, bytes, &memory) == ISO_OK ? memory : NULL;
}

static void pcre2_release(void *memory, void *context)
{
    iso_free(context, memory);
}

iso_status iso_pretokenizer_init(iso_pretokenizer *pretokenizer, const iso_allocator *allocator)
{
    memset(pretokenizer, 0, sizeof *pretokenizer);
    pretokenizer->allocator = allocator;
    pretokenizer->prefixed.allocator = allocator;
    // PCRE2 hands the allocator back as it is; nothing writes through it.
    pretokenizer->context = pcre2_general_context_create(pcre2_allocate, pcre2_release, (void *)allocator);
    if (pretokenizer->context) {
        pretokenizer->match_context = pcre2_match_context_create(pretokenizer->context);
        pretokenizer->match = pcre2_match_data_create(1, pretokenizer->context);
    }
    if (!pretokenizer->match_context || !pretokenizer->match)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory for matching regular expressions");
    return ISO_OK;
}

void iso_pretokenizer_deinit(iso_pretokenizer *pretokenizer)
{
    for (size_t i = 0; i < pretokenizer->step_count; i++)
        pcre2_code_free(pretokenizer->steps[i].code);
    pcre2_match_data_free(pretokenizer->match);
    pcre2_match_context_free(pretokenizer->match_context);
    pcre2_general_context_free(pretokenizer->context);
    iso_text_deinit(&pretokenizer->prefixed);
    memset(pretokenizer, 0, sizeof *pretokenizer);
}

static iso_status add_step(iso_pretokenizer *pretokenizer, iso_pretokenizer_step **out)
{
    if (pretokenizer->step_count == ISO_PRETOKENIZER_STEPS)
        return iso_fail(ISO_UNSUPPORTED, "more than %d steps", ISO_PRETOKENIZER_STEPS);
    *out = &pretokenizer->steps[pretokenizer->step_count++];
    return ISO_OK;
}

static iso_status compile(iso_pretokenizer *pretokenizer, const iso_text *pattern, pcre2_code **out)
{
    pcre2_compile_context *context = pcre2_compile_context_create(pretokenizer->context);
    if (!context)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory for a regular expression");
    // Ruby's ^ and $ match at every line; a line ends with LF alone.
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)iso_text_get(pattern), pattern->length, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (*out)
        return ISO_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory for a regular expression");
    char reason[120] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
    return iso_fail(ISO_UNSUPPORTED, "the regular expression is not understood by PCRE2: %s", reason);
}

iso_status iso_pretokenizer_add_split(iso_pretokenizer *pretokenizer, const char *pattern, size_t bytes)
{
    iso_text translated = {.allocator = pretokenizer->allocator};
    iso_pretokenizer_step *step = NULL;
    pcre2_code *code = NULL;
    iso_status status;
    ISO_TRY_GOTO(iso_regex_translate(pattern, bytes, &translated), done);
    ISO_TRY_GOTO(compile(pretokenizer, &translated, &code), done);
    status = add_step(pretokenizer, &step);
    if (status != ISO_OK) {
        pcre2_code_free(code);
        goto done;
    }
    step->code = code;
    // May fail where there is no memory for machine code; matching is then slower and finds the same.
    step->has_jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
done:
    iso_text_deinit(&translated);
    return status;
}

iso_status iso_pretokenizer_add_prefix_space(iso_pretokenizer *pretokenizer)
{
    iso_pretokenizer_step *step;
    return add_step(pretokenizer, &step);
}

// The next match at or after `from`; *out_found is false at the end.
static iso_status next_match(cutting *cut, const iso_pretokenizer_step *step, const uint8_t *text,
                             size_t bytes, size_t from, bool *out_found)
{
    iso_pretokenizer *p = cut->pretokenizer;
    int count = PCRE2_ERROR_JIT_STACKLIMIT;
    if (step->has_jit)
        count =
            pcre2_jit_match(step->code, text, bytes, from, PCRE2_NO_UTF_CHECK, p->match, p->match_context);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count = pcre2_match(step->code, text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, p->match,
                            p->match_context);
    *out_found = count >= 0; // 0: groups that are not asked for did not fit
    if (count >= 0 || count == PCRE2_ERROR_NOMATCH)
        return ISO_OK;
    if (count == PCRE2_ERROR_NOMEMORY)
        return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory for matching a regular expression");
    char reason[120] = "";
    pcre2_get_error_message(count, (PCRE2_UCHAR *)reason, sizeof reason);
    return iso_fail(ISO_LIMIT, "an expression of pre_tokenizer gave up on a text of %zu bytes: %s", bytes,
                    reason);
}

static iso_status run_step(cutting *cut, size_t index, const uint8_t *text, size_t bytes);

// Walks matches as the reference does: an empty match right behind a match is skipped, another empty one
// cuts.
static iso_status split(cutting *cut, size_t index, const uint8_t *text, size_t bytes)
{
    const iso_pretokenizer_step *step = &cut->pretokenizer->steps[index];
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(cut->pretokenizer->match);
    size_t from = 0, done = 0;
    bool any = false;
    while (from <= bytes) {
        bool found;
        ISO_TRY(next_match(cut, step, text, bytes, from, &found));
        if (!found)
            break;
        size_t start = span[0], end = span[1];
        if (start == end && any && end == done) {
            size_t length = 1;
            if (from < bytes)
                iso_utf8_read(text + from, &length);
            from += length;
            continue;
        }
        ISO_TRY(run_step(cut, index + 1, text + done, start - done));
        ISO_TRY(run_step(cut, index + 1, text + start, end - start));
        done = from = end;
        any = true;
    }
    return run_step(cut, index + 1, text + done, bytes - done);
}

static iso_status run_step(cutting *cut, size_t index, const uint8_t *text, size_t bytes)
{
    iso_pretokenizer *p = cut->pretokenizer;
    if (bytes == 0)
        return ISO_OK;
    if (index == p->step_count)
        return cut->sink(cut->sink_context, text, bytes);
    if (p->steps[index].code)
        return split(cut, index, text, bytes);
    if (text[0] == ' ')
        return run_step(cut, index + 1, text, bytes);
    p->prefixed.length = 0;
    ISO_TRY(iso_text_append_bytes(&p->prefixed, " ", 1));
    ISO_TRY(iso_text_append_bytes(&p->prefixed, (const char *)text, bytes));
    return run_step(cut, index + 1, (const uint8_t *)p->prefixed.data, p->prefixed.length);
}

iso_status iso_pretokenizer_run(iso_pretokenizer *pretokenizer, const uint8_t *text, size_t bytes,
                                iso_piece_sink sink, void *sink_context)
{
    uint64_t tries = (uint64_t)bytes * TRIES_PER_BYTE + FEWEST_TRIES;
    pcre2_set_match_limit(pretokenizer->match_context, tries > UINT32_MAX ? UINT32_MAX : (uint32_t)tries);
    cutting cut = {.pretokenizer = pretokenizer, .sink = sink, .sink_context = sink_context};
    return run_step(&cut, 0, text, bytes);
}
