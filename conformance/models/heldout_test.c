// SPDX-License-Identifier: MIT
//
// What the built-in model can do: the questions of model/tiny-r1/heldout.jsonl, asked under its chat
// template, greedy, many at once. At least 95 % must be right on the CPU; every other device must give the
// CPU's tokens.
//
// What would be caught: a checkpoint that was not trained far enough or not with this tokenizer, a chat
// template that is a character off, an end token that is missed, sequences that disturb each other while they
// come and go, a device whose rounding changes a token.
//
//     heldout_test [--count N] [--others N] [--devices A,B]
//         --count    questions on the first device (60; there are 500)
//         --others   questions on each other device, of the same (10)
//         --devices  which; as the environment variable ISOMER_TEST_DEVICES
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/support/fleet.h"
#include "conformance/support/tally.h"
#include "isomer/generate.h"

#define QUESTIONS   ISOMER_SOURCE_DIR "/model/tiny-r1/heldout.jsonl"
#define MODEL       ISOMER_SOURCE_DIR "/model/tiny-r1"
#define MOST_SLOTS  16
#define CONTEXT     384
#define MAX_COUNT   500
#define LEAST_RIGHT 0.95

// Under sanitizers a question costs tens of times as much, and what they look for shows in the first ones.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DEFAULT_COUNT 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DEFAULT_COUNT 20
#endif
#endif
#ifndef DEFAULT_COUNT
#define DEFAULT_COUNT 60
#endif
#define DEFAULT_OTHERS 10

typedef struct question {
    char *text;
    long long answer;
    iso_token_list prompt;
    uint32_t generated;   // tokens
    int32_t ids[CONTEXT]; // generated, without the end token
    bool ended;
    int32_t reference[CONTEXT]; // of the first device
    uint32_t reference_count;
} question;

typedef struct exam {
    iso_model *model;
    iso_tokenizer *tokenizer;
    const iso_model_config *config;
    question *questions;
    uint32_t count;
} exam;

// ---- questions ----

static bool read_question(question *q, const char *line)
{
    json_t *entry = json_loads(line, 0, NULL);
    json_t *text = json_object_get(entry, "question"), *answer = json_object_get(entry, "answer");
    bool ok = json_is_string(text) && json_is_integer(answer);
    if (ok) {
        q->text = strdup(json_string_value(text));
        q->answer = json_integer_value(answer);
    }
    json_decref(entry);
    return ok && q->text;
}

static iso_status open_exam(exam *e, uint32_t most)
{
    char line[512];
    ISO_TRY(iso_model_open(MODEL, NULL, &e->model));
    ISO_TRY(iso_tokenizer_open(iso_model_folder(e->model), NULL, &e->tokenizer));
    e->config = iso_model_get_config(e->model);
    ISO_TRY(ISO_NEW(NULL, most, &e->questions));
    FILE *file = fopen(QUESTIONS, "re");
    while (file && e->count < most && fgets(line, sizeof line, file) &&
           read_question(&e->questions[e->count], line))
        e->count++;
    if (file)
        fclose(file);
    if (e->count < most)
        return iso_fail(ISO_CORRUPT, QUESTIONS ": %u of %u questions could be read", e->count, most);
    for (uint32_t i = 0; i < e->count; i++)
        ISO_TRY(iso_prompt_encode(e->tokenizer, e->questions[i].text, true, NULL, &e->questions[i].prompt));
    return ISO_OK;
}

static void close_exam(exam *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        free(e->questions[i].text);
        iso_token_list_deinit(&e->questions[i].prompt);
    }
    iso_free(NULL, e->questions);
    iso_tokenizer_close(e->tokenizer);
    iso_model_close(e->model);
}

// ---- asking ----

typedef struct slot {
    question *question; // NULL: free
    uint32_t sequence, fed;
    bool picked;  // this step asked for its logits
    uint32_t row; // which token of the step that was
} slot;

typedef struct room {
    exam *exam;
    iso_runner *runner;
    slot slots[MOST_SLOTS];
    iso_step_token tokens[MOST_SLOTS];
    iso_step_result results[MOST_SLOTS];
    uint32_t slot_count; // also the largest step, so that decoding fills it
    uint32_t count, next, steps, total_tokens;
} room;

static bool is_end(const iso_model_config *config, int32_t id)
{
    for (uint32_t i = 0; i < config->eos_count; i++)
        if (id == config->eos_ids[i])
            return true;
    return false;
}

// What the slot feeds next: the rest of its prompt as far as the step has room, or its latest token.
static void fill_slot(room *r, slot *s)
{
    question *q = s->question;
    uint32_t length = (uint32_t)q->prompt.count + q->generated;
    s->picked = false;
    for (; s->fed < length && r->count < r->slot_count; s->fed++) {
        int32_t id = s->fed < q->prompt.count ? q->prompt.ids[s->fed] : q->ids[s->fed - q->prompt.count];
        s->picked = s->fed + 1 == length;
        s->row = r->count;
        r->tokens[r->count++] = (iso_step_token){.id = id, .sequence = s->sequence, .want_logits = s->picked};
    }
}

static void take_token(room *r, slot *s)
{
    question *q = s->question;
    int32_t id = r->results[s->row].picked;
    q->ended = is_end(r->exam->config, id);
    if (!q->ended)
        q->ids[q->generated++] = id;
    if (q->ended || q->prompt.count + q->generated == CONTEXT) {
        iso_runner_close_sequence(r->runner, s->sequence);
        s->question = NULL;
    }
}

// Asks the first `count` questions; a slot that comes free takes the next one at once.
static iso_status ask(room *r, uint32_t count)
{
    for (;;) {
        r->count = 0;
        for (uint32_t i = 0; i < r->slot_count; i++) {
            slot *s = &r->slots[i];
            if (!s->question && r->next < count) {
                *s = (slot){.question = &r->exam->questions[r->next++]};
                s->question->generated = 0;
                s->question->ended = false;
                ISO_TRY(iso_runner_open_sequence(r->runner, &s->sequence));
            }
            if (s->question)
                fill_slot(r, s);
        }
        if (r->count == 0)
            return ISO_OK;
        ISO_TRY(iso_runner_step(r->runner, r->tokens, r->count, r->results));
        r->steps++;
        r->total_tokens += r->count;
        for (uint32_t i = 0; i < r->slot_count; i++)
            if (r->slots[i].question && r->slots[i].picked)
                take_token(r, &r->slots[i]);
    }
}

// ---- judging ----

// The last number after the thinking; false where there is none.
static bool parse_answer(const char *text, long long *out)
{
    const char *after = strstr(text, "</think>");
    bool found = false;
    for (const char *at = after ? after + strlen("</think>") : ""; *at;) {
        char *end;
        if ((*at < '0' || *at > '9') && !(*at == '-' && at[1] >= '0' && at[1] <= '9')) {
            at++;
            continue;
        }
        *out = strtoll(at, &end, 10);
        found = true;
        at = end;
    }
    return found;
}

static bool is_right(const exam *e, const question *q, bool print)
{
    char *text;
    size_t bytes;
    long long answer = 0;
    if (iso_tokenizer_decode(e->tokenizer, q->ids, q->generated, &(iso_decode_options){.skip_special = false},
                             &text, &bytes) != ISO_OK)
        return false;
    bool right = q->ended && parse_answer(text, &answer) && answer == q->answer;
    if (!right && print)
        printf("  wrong: %s -> %.400s%s (right: %lld)\n", q->text, text,
               q->ended ? "" : " ... without an end", q->answer);
    iso_free(NULL, text);
    return right;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// Asks on one device; the first one's tokens are what the others are held against.
static void examine(tally *counts, exam *e, iso_device *device, uint32_t count, bool first)
{
    static room r;
    r = (room){.exam = e, .slot_count = count < MOST_SLOTS ? count : MOST_SLOTS};
    iso_runner_options options = {.devices = &device,
                                  .device_count = 1,
                                  .context_tokens = CONTEXT,
                                  .sequence_count = r.slot_count,
                                  .chunk_tokens = r.slot_count};
    const char *name = iso_device_name(device);
    double start = seconds();
    unsigned right = 0, different = 0;
    if (tally_call(counts, iso_runner_create(e->model, &options, &r.runner), "%s", name) &&
        tally_call(counts, ask(&r, count), "%s", name)) {
        for (uint32_t i = 0; i < count; i++) {
            question *q = &e->questions[i];
            right += is_right(e, q, first);
            if (first) {
                q->reference_count = q->generated;
                memcpy(q->reference, q->ids, q->generated * sizeof *q->ids);
            }
            different += q->generated != q->reference_count ||
                         memcmp(q->ids, q->reference, q->generated * sizeof *q->ids) != 0;
        }
        double elapsed = seconds() - start;
        printf("%s: %u of %u right (%.1f %%), %u with other tokens; %u tokens in %u steps, %.1f s\n", name,
               right, count, 100.0 * right / count, different, r.total_tokens, r.steps, elapsed);
        if (first)
            tally_check(counts, right >= LEAST_RIGHT * count, "%s: %u of %u right; asked for: %.0f %%", name,
                        right, count, 100 * LEAST_RIGHT);
        else
            tally_check(counts, different == 0,
                        "%s: %u of %u answers have other tokens than on the first device", name, different,
                        count);
    }
    iso_runner_destroy(r.runner);
    fflush(stdout);
}

static uint32_t number_of(const char *text)
{
    unsigned long number = strtoul(text, NULL, 10);
    return number < 1 ? 1 : number > MAX_COUNT ? MAX_COUNT : (uint32_t)number;
}

int main(int argc, char **argv)
{
    uint32_t count = DEFAULT_COUNT, others = DEFAULT_OTHERS;
    tally counts = {0};
    fleet fleet;
    exam e = {0};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--count") == 0)
            count = number_of(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--others") == 0)
            others = number_of(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--devices") == 0)
            setenv("ISOMER_TEST_DEVICES", argv[i + 1], 1);
        else {
            fprintf(stderr, "usage: heldout_test [--count N] [--others N] [--devices A,B]\n");
            return 2;
        }
    }
    if (fleet_open(&fleet))
        return 1;
    if (tally_call(&counts, open_exam(&e, count), "tiny-r1"))
        for (uint32_t d = 0; d < fleet.count; d++)
            examine(&counts, &e, fleet.devices[d], d == 0 || others > count ? count : others, d == 0);
    close_exam(&e);
    fleet_close(&fleet);
    return tally_close(&counts, "heldout");
}
