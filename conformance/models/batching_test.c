// SPDX-License-Identifier: MIT
//
// Several sequences at once, on every device: whatever else is in a step, in whatever pieces a sequence is
// fed, and whoever had its pages before, each sequence gets bit for bit what it gets alone. Caches and arenas
// are poisoned with NaN, so a read of what was never written shows as well.
//
// What would be caught: a mask that lets one sequence see another's keys, a block table row or a slot mixed
// up, a kernel that sums in another order at another step size, a page given to two sequences or lost, a
// length that moved although the step failed, a row of logits that belongs to another token.
//
// Devices other than the first get shorter sequences and the subjects marked for it, because some of them are
// slow.
//
//     batching_test [--all] [MODEL ...]      --all: everything on every device; ISOMER_TEST_DEVICES narrows
//     the devices
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "conformance/support/golden.h"
#include "conformance/support/tally.h"

#define SLOTS   4
#define CONTEXT 160 // no multiple of a page: the limit is the context's, not the last page's
#define CHUNK   64
#define STREAMS 4
// Longest streams: those of the full run leave room up to the context, those of the short one cross a page.
#define FULL_LENGTH  156
#define SHORT_LENGTH 80

// What is run: a model under one choice of numbers.
typedef struct subject {
    const char *model;
    iso_dtype activation;
    bool w8a8, mtp;
    bool everywhere; // also on devices other than the first
} subject;

static const subject subjects[] = {
    {"v3-bf16", ISO_DTYPE_F32, false, true, false},
    {"v3-bf16", ISO_DTYPE_BF16, false, true, true},
    {"v2-lite", ISO_DTYPE_F32, false, false, false},
    {"v2-lite", ISO_DTYPE_BF16, false, false, false},
    {"r1-distill-qwen", ISO_DTYPE_F32, false, false, false},
    {"r1-distill-qwen", ISO_DTYPE_BF16, false, false, true},
    {"v3-fp8", ISO_DTYPE_F32, true, false, true},
};

// A sequence of tokens, and what it gives alone.
typedef struct stream {
    int32_t ids[CONTEXT];
    uint32_t length;
    float *logits, *mtp_logits; // [length, vocab]
} stream;

typedef struct trial {
    tally *counts;
    char label[96];
    const subject *subject;
    iso_device *device;
    bool full;
    golden golden;
    uint32_t vocab;
    stream streams[STREAMS];
    iso_runner *runner;
    iso_step_token tokens[CHUNK];
    uint32_t origin[CHUNK][2]; // stream and position of each token
    iso_step_result results[CHUNK];
    uint32_t count;
    uint64_t random;
} trial;

static uint32_t draw(trial *t, uint32_t below)
{
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(t->random >> 33) % below;
}

// ---- runner and streams ----

static bool open_runner(trial *t, uint32_t sequences, uint32_t chunk)
{
    iso_runner_options options = {
        .devices = &t->device,
        .device_count = 1,
        .activation = t->subject->activation,
        .w8a8 = t->subject->w8a8,
        .build = {.mtp = t->subject->mtp},
        .context_tokens = CONTEXT,
        .sequence_count = sequences,
        .chunk_tokens = chunk,
        .all_rows = true,
        .poison = true,
    };
    return tally_call(t->counts, iso_runner_create(t->golden.model, &options, &t->runner), "%s", t->label);
}

static void close_runner(trial *t)
{
    iso_runner_destroy(t->runner);
    t->runner = NULL;
}

static void append_ids(const trial *t, stream *stream, iso_tensor_view view)
{
    uint32_t longest = t->full ? FULL_LENGTH : SHORT_LENGTH;
    stream->length += golden_ids(&view, stream->ids + stream->length, longest - stream->length);
}

// The three prompts with their greedy continuations, and the longest one backwards.
static void make_streams(trial *t)
{
    for (uint32_t s = 0; s < STREAMS; s++) {
        stream *stream = &t->streams[s];
        append_ids(t, stream, golden_tensor(&t->golden, "prompt%u.input_ids", s % GOLDEN_PROMPTS));
        append_ids(t, stream, golden_tensor(&t->golden, "prompt%u.greedy_ids", s % GOLDEN_PROMPTS));
    }
    stream *backwards = &t->streams[STREAMS - 1], *longest = &t->streams[GOLDEN_PROMPTS - 1];
    backwards->length = longest->length;
    for (uint32_t i = 0; i < longest->length; i++)
        backwards->ids[i] = longest->ids[longest->length - 1 - i];
    for (uint32_t s = 0; s < STREAMS; s++) {
        size_t elems = (size_t)t->streams[s].length * t->vocab;
        t->streams[s].logits = calloc(elems, sizeof(float));
        t->streams[s].mtp_logits = calloc(elems, sizeof(float));
        if (!t->streams[s].logits || !t->streams[s].mtp_logits)
            abort();
    }
}

// ---- steps ----

static void add_token(trial *t, uint32_t stream, uint32_t position, uint32_t sequence, bool want_logits)
{
    const struct stream *from = &t->streams[stream];
    t->tokens[t->count] = (iso_step_token){
        .id = from->ids[position],
        .sequence = sequence,
        .want_logits = want_logits,
        .next_id = position + 1 < from->length ? from->ids[position + 1] : 0,
    };
    t->origin[t->count][0] = stream;
    t->origin[t->count][1] = position;
    t->count++;
}

// The prepared step; clears it.
static iso_status run_step(trial *t)
{
    iso_status status = iso_runner_step(t->runner, t->tokens, t->count, t->results);
    t->count = 0;
    return status;
}

static int32_t best_of(const float *logits, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

// How many of the step's tokens got something else than alone; prints the first.
static unsigned count_strangers(trial *t, uint32_t count, const char *when)
{
    unsigned strange = 0;
    for (uint32_t i = 0; i < count; i++) {
        const iso_step_result *got = &t->results[i];
        const stream *from = &t->streams[t->origin[i][0]];
        size_t row = (size_t)t->origin[i][1] * t->vocab, bytes = t->vocab * sizeof(float);
        if (!t->tokens[i].want_logits)
            continue;
        bool same = memcmp(got->logits, from->logits + row, bytes) == 0 &&
                    got->picked == best_of(from->logits + row, t->vocab) &&
                    (!t->subject->mtp || memcmp(got->mtp_logits, from->mtp_logits + row, bytes) == 0);
        if (!same && strange++ == 0) {
            double worst = 0;
            for (uint32_t v = 0; v < t->vocab; v++)
                worst = fmax(worst, fabs((double)got->logits[v] - (double)from->logits[row + v]));
            printf("  %s, %s: stream %u, position %u: logits up to %g from those alone, picked %d\n",
                   t->label, when, t->origin[i][0], t->origin[i][1], worst, got->picked);
        }
    }
    return strange;
}

static bool step_and_compare(trial *t, const char *when, unsigned *strange)
{
    uint32_t count = t->count;
    iso_status status = run_step(t);
    if (status != ISO_OK)
        return tally_call(t->counts, status, "%s, %s", t->label, when);
    *strange += count_strangers(t, count, when);
    return true;
}

// ---- alone ----

static bool run_alone(trial *t, uint32_t index)
{
    stream *stream = &t->streams[index];
    uint32_t sequence;
    if (!tally_call(t->counts, iso_runner_open_sequence(t->runner, &sequence), "%s", t->label))
        return false;
    for (uint32_t done = 0; done < stream->length;) {
        uint32_t count = 0;
        for (; count < CHUNK && done + count < stream->length; count++)
            add_token(t, index, done + count, sequence, true);
        if (!tally_call(t->counts, run_step(t), "%s, alone", t->label))
            return false;
        for (uint32_t i = 0; i < count; i++, done++) {
            size_t row = (size_t)done * t->vocab, bytes = t->vocab * sizeof(float);
            memcpy(stream->logits + row, t->results[i].logits, bytes);
            if (t->subject->mtp)
                memcpy(stream->mtp_logits + row, t->results[i].mtp_logits, bytes);
        }
    }
    iso_runner_close_sequence(t->runner, sequence);
    unsigned wild = 0;
    for (size_t i = 0; i < (size_t)stream->length * t->vocab; i++)
        wild += !isfinite(stream->logits[i]) || !isfinite(stream->mtp_logits[i]);
    return tally_check(t->counts, wild == 0, "%s: stream %u alone: %u logits are not finite", t->label, index,
                       wild);
}

// ---- together ----

// Who is in which slot, and how far.
typedef struct mixture {
    const uint32_t *queue; // streams, in the order in which they come in
    uint32_t queue_count, next;
    bool busy[SLOTS];
    uint32_t stream[SLOTS], position[SLOTS], sequence[SLOTS];
    unsigned strange;
} mixture;

static bool refill(trial *t, mixture *m, uint32_t slot)
{
    if (m->busy[slot] && m->position[slot] == t->streams[m->stream[slot]].length) {
        iso_runner_close_sequence(t->runner, m->sequence[slot]);
        m->busy[slot] = false;
    }
    // Not all come in at once, so that some decode while others are in prefill.
    if (m->busy[slot] || m->next == m->queue_count || (m->next && draw(t, 2)))
        return true;
    m->stream[slot] = m->queue[m->next++];
    m->position[slot] = 0;
    m->busy[slot] = true;
    return tally_call(t->counts, iso_runner_open_sequence(t->runner, &m->sequence[slot]), "%s", t->label);
}

// Tokens of all slots in turn, in pieces of random length, up to `largest`; a token of another sequence may
// come between two of the same.
static void fill_step(trial *t, mixture *m, uint32_t largest)
{
    uint32_t rounds = 1 + draw(t, 8);
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            uint32_t piece = 1 + draw(t, draw(t, 4) ? 3 : 40);
            for (; m->busy[slot] && piece && t->count < largest &&
                   m->position[slot] < t->streams[m->stream[slot]].length;
                 piece--)
                add_token(t, m->stream[slot], m->position[slot]++, m->sequence[slot], draw(t, 4) > 0);
        }
}

static void run_together(trial *t, const uint32_t *queue, uint32_t queue_count, uint32_t largest)
{
    mixture m = {.queue = queue, .queue_count = queue_count};
    char when[48];
    snprintf(when, sizeof when, "together, steps of up to %u tokens", largest);
    t->random = 7 + largest;
    for (;;) {
        bool any = false;
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            if (!refill(t, &m, slot))
                return;
            any = any || m.busy[slot];
        }
        if (!any && m.next == m.queue_count)
            break;
        fill_step(t, &m, largest);
        if (t->count && !step_and_compare(t, when, &m.strange))
            return;
    }
    tally_check(t->counts, m.strange == 0, "%s, %s: %u rows differ from those alone", t->label, when,
                m.strange);
}

// ---- truncation ----

// Cuts one sequence and feeds it again, with another one growing beside it.
static void run_truncated(trial *t)
{
    static const uint32_t cuts[] = {70, 64, 63, 20, 0};
    const uint32_t cut_stream = 2, other_stream = 1;
    uint32_t cut, other, position = 0, other_position = 0;
    unsigned strange = 0;
    if (!tally_call(t->counts, iso_runner_open_sequence(t->runner, &cut), "%s", t->label) ||
        !tally_call(t->counts, iso_runner_open_sequence(t->runner, &other), "%s", t->label))
        return;
    for (uint32_t i = 0; i <= sizeof cuts / sizeof cuts[0]; i++) {
        uint32_t until = i ? position + 10 : 75;
        while (position < until) {
            while (t->count < CHUNK - 5 && position < until)
                add_token(t, cut_stream, position++, cut, true);
            for (uint32_t j = 0; j < 5; j++)
                add_token(t, other_stream, other_position++, other, true);
            if (!step_and_compare(t, "after truncation", &strange))
                return;
        }
        if (i == sizeof cuts / sizeof cuts[0])
            break;
        position = cuts[i];
        if (!tally_call(t->counts, iso_runner_truncate(t->runner, cut, position), "%s", t->label))
            return;
        tally_check(t->counts, iso_runner_length(t->runner, cut) == position,
                    "%s: length %u after truncation to %u", t->label, iso_runner_length(t->runner, cut),
                    position);
    }
    iso_runner_close_sequence(t->runner, cut);
    iso_runner_close_sequence(t->runner, other);
    tally_check(t->counts, strange == 0, "%s: %u rows differ after truncation", t->label, strange);
}

// ---- limits and refusals ----

// Feeds stream 2, over and over, until the sequence holds `length` tokens.
static bool fill_to(trial *t, uint32_t sequence, uint32_t length)
{
    uint32_t held = iso_runner_length(t->runner, sequence);
    while (held < length) {
        for (; t->count < CHUNK && held < length; held++)
            add_token(t, 2, held % t->streams[2].length, sequence, held + 1 == length);
        if (!tally_call(t->counts, run_step(t), "%s, filling up to %u", t->label, length))
            return false;
    }
    return true;
}

// A full sequence refuses, changes nothing, harms no other, and goes on after a truncation.
static void run_to_limit(trial *t)
{
    uint32_t full = 0, other = 0, last = (CONTEXT - 1) % t->streams[2].length;
    float *before = calloc(t->vocab, sizeof *before);
    if (!before || !tally_call(t->counts, iso_runner_open_sequence(t->runner, &full), "%s", t->label) ||
        !tally_call(t->counts, iso_runner_open_sequence(t->runner, &other), "%s", t->label) ||
        !fill_to(t, full, CONTEXT - 1))
        goto done;
    add_token(t, 2, last, full, true);
    if (!tally_call(t->counts, run_step(t), "%s, last token of the context", t->label))
        goto done;
    memcpy(before, t->results[0].logits, t->vocab * sizeof *before);
    // As often as would use up every page, were one lost each time.
    for (uint32_t i = 0; i < 2 * SLOTS * (CONTEXT / 64 + 1); i++) {
        add_token(t, 1, 0, other, true);
        add_token(t, 2, 0, full, true);
        tally_refused(t->counts, run_step(t), ISO_LIMIT, "%s, token beyond the context", t->label);
    }
    tally_check(t->counts,
                iso_runner_length(t->runner, full) == CONTEXT && iso_runner_length(t->runner, other) == 0,
                "%s: a refused step changed lengths to %u and %u", t->label,
                iso_runner_length(t->runner, full), iso_runner_length(t->runner, other));
    tally_call(t->counts, iso_runner_truncate(t->runner, full, CONTEXT - 1), "%s", t->label);
    add_token(t, 2, last, full, true);
    if (tally_call(t->counts, run_step(t), "%s, after the limit", t->label))
        tally_check(t->counts, memcmp(before, t->results[0].logits, t->vocab * sizeof *before) == 0,
                    "%s: the last token again, after a refused step, gives something else", t->label);
    // Room for one token, asked for two.
    tally_call(t->counts, iso_runner_truncate(t->runner, full, CONTEXT - 1), "%s", t->label);
    add_token(t, 2, 0, full, true);
    add_token(t, 2, 1, full, true);
    tally_refused(t->counts, run_step(t), ISO_LIMIT, "%s, two tokens with room for one", t->label);
    tally_check(t->counts, iso_runner_length(t->runner, full) == CONTEXT - 1, "%s: half a step was kept",
                t->label);
done:
    iso_runner_close_sequence(t->runner, full);
    iso_runner_close_sequence(t->runner, other);
    free(before);
}

static void refuse_token(trial *t, iso_step_token bad, const char *what)
{
    uint32_t held = iso_runner_length(t->runner, 0);
    // Good tokens come first and would begin a new page.
    for (uint32_t i = 0; i < 3; i++)
        add_token(t, 2, i, 0, false);
    t->tokens[t->count++] = bad;
    tally_refused(t->counts, run_step(t), ISO_INVALID_ARGUMENT, "%s, %s", t->label, what);
    tally_check(t->counts, iso_runner_length(t->runner, 0) == held, "%s, %s: the length changed", t->label,
                what);
}

static void run_refusals(trial *t)
{
    uint32_t s[SLOTS + 1];
    for (uint32_t i = 0; i < SLOTS; i++)
        if (!tally_call(t->counts, iso_runner_open_sequence(t->runner, &s[i]), "%s", t->label))
            return;
    tally_refused(t->counts, iso_runner_open_sequence(t->runner, &s[SLOTS]), ISO_LIMIT,
                  "%s, one more sequence", t->label);
    iso_runner_close_sequence(t->runner, s[SLOTS - 1]);
    iso_runner_close_sequence(t->runner, 99);
    if (!fill_to(t, s[0], 63))
        return;
    for (uint32_t i = 0; i < SLOTS * (CONTEXT / 64 + 1); i++) {
        refuse_token(t, (iso_step_token){.id = (int32_t)t->vocab, .sequence = s[0]},
                     "id beyond the vocabulary");
        refuse_token(t, (iso_step_token){.id = -1, .sequence = s[0]}, "negative id");
        refuse_token(t, (iso_step_token){.id = 1, .sequence = s[SLOTS - 1]}, "closed sequence");
        refuse_token(t, (iso_step_token){.id = 1, .sequence = 99}, "unknown sequence");
    }
    if (t->subject->mtp)
        refuse_token(t, (iso_step_token){.id = 1, .sequence = s[0], .next_id = (int32_t)t->vocab}, "next id");
    tally_refused(t->counts, iso_runner_truncate(t->runner, s[0], 64), ISO_INVALID_ARGUMENT,
                  "%s, truncation to more than it holds", t->label);
    tally_refused(t->counts, iso_runner_truncate(t->runner, s[SLOTS - 1], 0), ISO_INVALID_ARGUMENT,
                  "%s, truncation of a closed sequence", t->label);
    tally_refused(t->counts, iso_runner_step(t->runner, t->tokens, 0, t->results), ISO_INVALID_ARGUMENT,
                  "%s, a step of no tokens", t->label);
    tally_refused(t->counts, iso_runner_step(t->runner, t->tokens, CHUNK + 1, t->results),
                  ISO_INVALID_ARGUMENT, "%s, a step above the largest", t->label);
    // Whatever was refused: every page is still there.
    if (tally_call(t->counts, iso_runner_open_sequence(t->runner, &s[SLOTS - 1]), "%s", t->label))
        for (uint32_t i = 0; i < SLOTS; i++)
            fill_to(t, s[i], CONTEXT);
    for (uint32_t i = 0; i < SLOTS; i++)
        iso_runner_close_sequence(t->runner, s[i]);
}

// ---- W8A8 ----

// The quantised run is chaotic (an expert flips at the smallest rounding), so whole prompts are only held
// against the distance that expected.json gives for it, from both sides: a run that quantises nothing is far
// too good.
static void check_w8a8(trial *t)
{
    static const double rms_distance[GOLDEN_PROMPTS] = {0.07579, 0.3568,
                                                        0.33}; // expected.json, w8a8.rms_rel_to_rms
    static const uint32_t stream_of_prompt[GOLDEN_PROMPTS] = {0, 1, 2};
    for (uint32_t p = 0; p < GOLDEN_PROMPTS; p++) {
        iso_tensor_view exact = golden_tensor(&t->golden, "prompt%u.logits", p);
        iso_tensor_view quantised = golden_tensor(&t->golden, "prompt%u.logits_w8a8", p);
        const float *got = t->streams[stream_of_prompt[p]].logits;
        double rms = golden_rms(&exact), sum = 0, row_rms;
        for (uint64_t row = 0; row < exact.dims[0]; row++) {
            golden_distance(&exact, row, got + row * t->vocab, &row_rms);
            sum += row_rms * row_rms;
        }
        double distance = sqrt(sum / (double)exact.dims[0]) / rms;
        double first = golden_distance(&quantised, 0, got, &row_rms) / rms;
        printf("%s: prompt %u: %.3f of RMS from exact (reference run: %.3f), first row %.1e from the "
               "reference\n",
               t->label, p, distance, rms_distance[p], first);
        tally_check(t->counts, distance <= 3 * rms_distance[p] && distance >= rms_distance[p] / 3,
                    "%s: prompt %u is %.3f of RMS from exact; W8A8 costs %.3f", t->label, p, distance,
                    rms_distance[p]);
        tally_check(t->counts, first <= 0.05,
                    "%s: prompt %u: the first token is %.3f of RMS from the W8A8 reference", t->label, p,
                    first);
    }
}

// ---- all ----

#define QUEUE(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

// Everything, the refusals on top: these are the host's alone, so one device and model do.
static void run_fully(trial *t, bool first)
{
    run_together(t, QUEUE(2, 1, 3, 0, 1, 0, 2, 1, 0), CHUNK);
    run_together(t, QUEUE(1, 0, 0), 1);
    run_truncated(t);
    if (!first)
        return;
    run_to_limit(t);
    run_refusals(t);
    run_together(t, QUEUE(2, 1, 3, 0, 1, 0, 2, 1, 0), CHUNK);
}

static void run_subject(trial *t, bool first)
{
    bool alone = open_runner(t, 1, CHUNK);
    for (uint32_t s = 0; s < STREAMS && alone; s++)
        alone = run_alone(t, s);
    close_runner(t);
    if (!alone)
        return;
    if (t->subject->w8a8)
        check_w8a8(t);
    if (open_runner(t, SLOTS, CHUNK)) {
        if (t->full)
            run_fully(t, first);
        else
            run_together(t, QUEUE(2, 0, 3, 1), CHUNK);
    }
    close_runner(t);
    // Kernels are bound for steps of exactly 7 here, not for padded ones.
    if (open_runner(t, SLOTS, 7)) {
        if (t->full)
            run_together(t, QUEUE(2, 1, 3, 0, 1), 7);
        run_together(t, QUEUE(0, 0), t->full ? 7 : 1);
    }
    close_runner(t);
}

static bool wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

static void run_on(trial *t, tally *counts, bool first)
{
    unsigned failed = counts->failed;
    t->counts = counts;
    snprintf(t->label, sizeof t->label, "%s %s%s on %s", t->subject->model,
             iso_dtype_name(t->subject->activation), t->subject->w8a8 ? " w8a8" : "",
             iso_device_name(t->device));
    if (golden_open(&t->golden, t->subject->model)) {
        counts->failed++;
        return;
    }
    t->vocab = t->golden.config->vocab_size;
    make_streams(t);
    run_subject(t, first);
    for (uint32_t s = 0; s < STREAMS; s++) {
        free(t->streams[s].logits);
        free(t->streams[s].mtp_logits);
    }
    golden_close(&t->golden);
    printf("%s: %s\n", t->label, counts->failed == failed ? "ok" : "FAIL");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static trial t;
    bool all = argc > 1 && strcmp(argv[1], "--all") == 0;
    tally counts = {0};
    fleet fleet;
    if (fleet_open(&fleet))
        return 1;
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        for (uint32_t d = 0; d < fleet.count; d++) {
            bool full = all || d == 0;
            if (!wanted(subjects[i].model, argc - 1 - all, argv + 1 + all) ||
                !(full || subjects[i].everywhere))
                continue;
            t = (trial){.subject = &subjects[i], .device = fleet.devices[d], .full = full};
            run_on(&t, &counts, i == 0);
        }
    }
    fleet_close(&fleet);
    return tally_close(&counts, "batching");
}
