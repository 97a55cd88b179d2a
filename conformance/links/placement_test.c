// SPDX-License-Identifier: MIT
//
// One model over several devices at once, all drivers loaded into this one process: every ordered pair of
// devices, cut after the first layer and in the middle; CPU, OpenCL and Vulkan together; MTP beside it; and a
// device without kernels whose ops fall back to the CPU. Against the float64 answers.
//
// What would be caught: a transfer that is missing, stale or of the wrong size, a step input or a cache that
// is on one device only, a placement that is ignored (each device must hold its part of the weights), drivers
// that disturb each other, a fallback that computes something else.
//
//     placement_test [MODEL ...]     ISOMER_TEST_DEVICES narrows the devices
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "conformance/support/golden.h"
#include "conformance/support/tally.h"

#define CHUNK     20
#define CONTEXT   192
#define F32_BOUND 5e-5 // of the RMS of the exact logits

static const char *const models[] = {"v3-bf16", "r1-distill-qwen"};

typedef struct trial {
    tally *counts;
    const golden *golden;
    char label[128];
    iso_runner *runner;
    iso_step_token tokens[CHUNK];
    iso_step_result results[CHUNK];
    double worst, mtp_worst; // of the latest run
} trial;

// Ranges over devices; `bounds` are the last layers of all but the last one.
typedef struct placement {
    iso_device *devices[ISO_MAX_PLAN_DEVICES];
    uint32_t count;
    int32_t bounds[ISO_MAX_PLAN_DEVICES];
} placement;

static int32_t last_layer(const trial *t, const placement *place, uint32_t range)
{
    return range + 1 < place->count ? place->bounds[range] : (int32_t)t->golden->config->layer_count - 1;
}

static void name_placement(trial *t, const placement *place)
{
    size_t at = (size_t)snprintf(t->label, sizeof t->label, "%s", t->golden->name);
    int32_t first = 0;
    for (uint32_t i = 0; i < place->count && at < sizeof t->label; i++) {
        at += (size_t)snprintf(t->label + at, sizeof t->label - at, "%s%s=%d-%d", i ? "," : " ",
                               iso_device_name(place->devices[i]), first, last_layer(t, place, i));
        first = last_layer(t, place, i) + 1;
    }
}

static bool open_runner(trial *t, const placement *place, bool mtp)
{
    iso_layer_range ranges[ISO_MAX_PLAN_DEVICES];
    int32_t first = 0;
    for (uint32_t i = 0; i < place->count; i++) {
        int32_t last = last_layer(t, place, i);
        ranges[i] = (iso_layer_range){first, last, i};
        first = last + 1;
    }
    iso_runner_options options = {
        .devices = place->devices,
        .device_count = place->count,
        .ranges = ranges,
        .range_count = place->count,
        .build = {.mtp = mtp},
        .context_tokens = CONTEXT,
        .chunk_tokens = CHUNK,
        .all_rows = true,
        .poison = true,
    };
    return tally_call(t->counts, iso_runner_create(t->golden->model, &options, &t->runner), "%s", t->label);
}

// Logits alone would not show that everything ran on one device.
static void check_weights(trial *t, const placement *place)
{
    for (uint32_t d = 0; d < place->count; d++) {
        iso_plan_memory memory;
        iso_plan_get_memory(iso_runner_plan(t->runner), d, &memory);
        uint64_t held = iso_device_allocated_bytes(place->devices[d], NULL);
        tally_check(t->counts, memory.weight_bytes && memory.cache_bytes && held >= memory.weight_bytes,
                    "%s: %s holds %llu bytes; planned: weights %llu, caches %llu", t->label,
                    iso_device_name(place->devices[d]), (unsigned long long)held,
                    (unsigned long long)memory.weight_bytes, (unsigned long long)memory.cache_bytes);
    }
}

// Feeds a prompt and keeps the worst row, then the greedy continuation; false when a call failed.
static bool run_prompt(trial *t, uint32_t prompt, uint32_t greedy_tokens, unsigned *wrong)
{
    iso_tensor_view ids = golden_tensor(t->golden, "prompt%u.input_ids", prompt);
    iso_tensor_view want = golden_tensor(t->golden, "prompt%u.logits", prompt);
    iso_tensor_view greedy = golden_tensor(t->golden, "prompt%u.greedy_ids", prompt);
    iso_tensor_view next = golden_tensor(t->golden, "mtp.input_ids"),
                    mtp = golden_tensor(t->golden, "mtp.logits");
    bool with_mtp = iso_runner_values(t->runner)->mtp_logits != ISO_NO_VALUE && prompt == GOLDEN_PROMPTS - 1;
    int32_t tokens[GOLDEN_MAX_PROMPT], nexts[GOLDEN_MAX_PROMPT] = {0}, follow[GOLDEN_GREEDY_TOKENS];
    uint32_t length = golden_ids(&ids, tokens, GOLDEN_MAX_PROMPT), sequence, n = 0;
    double rms = golden_rms(&want), mtp_rms = with_mtp ? golden_rms(&mtp) : 1;
    golden_ids(&greedy, follow, GOLDEN_GREEDY_TOKENS);
    if (with_mtp)
        golden_ids(&next, nexts, GOLDEN_MAX_PROMPT);
    if (!tally_call(t->counts, iso_runner_open_sequence(t->runner, &sequence), "%s", t->label))
        return false;
    for (uint32_t done = 0; done < length; done += n) {
        n = length - done < CHUNK ? length - done : CHUNK;
        for (uint32_t i = 0; i < n; i++)
            t->tokens[i] = (iso_step_token){.id = tokens[done + i],
                                            .sequence = sequence,
                                            .want_logits = true,
                                            .next_id = nexts[done + i]};
        if (!tally_call(t->counts, iso_runner_step(t->runner, t->tokens, n, t->results), "%s", t->label))
            return false;
        for (uint32_t i = 0; i < n; i++) {
            t->worst = fmax(t->worst, golden_distance(&want, done + i, t->results[i].logits, NULL) / rms);
            if (with_mtp)
                t->mtp_worst = fmax(
                    t->mtp_worst, golden_distance(&mtp, done + i, t->results[i].mtp_logits, NULL) / mtp_rms);
        }
    }
    for (uint32_t i = 0; i < greedy_tokens; i++) {
        int32_t picked = t->results[i ? 0 : n - 1].picked;
        iso_step_token token = {.id = picked, .sequence = sequence, .want_logits = true};
        *wrong += picked != follow[i];
        if (!tally_call(t->counts, iso_runner_step(t->runner, &token, 1, t->results), "%s", t->label))
            return false;
    }
    iso_runner_close_sequence(t->runner, sequence);
    return true;
}

static void run_placement(trial *t, const placement *place, uint32_t prompt, uint32_t greedy_tokens, bool mtp)
{
    unsigned wrong = 0;
    name_placement(t, place);
    t->worst = t->mtp_worst = 0;
    if (open_runner(t, place, mtp)) {
        check_weights(t, place);
        if (run_prompt(t, prompt, greedy_tokens, &wrong)) {
            tally_check(t->counts, t->worst <= F32_BOUND, "%s: %.1e of RMS from exact; allowed: %.0e",
                        t->label, t->worst, F32_BOUND);
            tally_check(t->counts, wrong == 0, "%s: %u of %u greedy tokens differ", t->label, wrong,
                        greedy_tokens);
            if (mtp)
                tally_check(t->counts, t->mtp_worst > 0 && t->mtp_worst <= F32_BOUND,
                            "%s: MTP %.1e of RMS from exact", t->label, t->mtp_worst);
            printf("%s: %.1e of RMS, %u tokens differ", t->label, t->worst, wrong);
            if (mtp)
                printf(", MTP %.1e", t->mtp_worst);
            printf("\n");
        }
    }
    iso_runner_destroy(t->runner);
    t->runner = NULL;
    fflush(stdout);
}

// ---- what is placed ----

static void run_pairs(trial *t, const fleet *fleet)
{
    int32_t middle = (int32_t)t->golden->config->layer_count / 2;
    for (uint32_t a = 0; a < fleet->count; a++)
        for (uint32_t b = 0; b < fleet->count; b++) {
            if (a == b)
                continue;
            placement first = {{fleet->devices[a], fleet->devices[b]}, 2, {0}};
            placement half = {{fleet->devices[a], fleet->devices[b]}, 2, {middle}};
            run_placement(t, &first, 1, GOLDEN_GREEDY_TOKENS, false);
            run_placement(t, &half, 1, 2, false);
        }
    if (fleet->count < 2)
        tally_skip(t->counts, "%s: pairs need two devices, here are %u", t->golden->name, fleet->count);
}

static iso_device *first_of(const fleet *fleet, const char *backend)
{
    for (uint32_t d = 0; d < fleet->count; d++)
        if (strcmp(iso_device_get_info(fleet->devices[d])->backend, backend) == 0)
            return fleet->devices[d];
    return NULL;
}

// Three backends in one model; the long prompt crosses pages and chunks.
static void run_three(trial *t, const fleet *fleet)
{
    iso_device *cpu = first_of(fleet, "cpu"), *opencl = first_of(fleet, "opencl"),
               *vulkan = first_of(fleet, "vulkan");
    if (!cpu || !opencl || !vulkan) {
        tally_skip(t->counts, "%s: no device of each of cpu, opencl and vulkan is here", t->golden->name);
        return;
    }
    placement place = {{cpu, opencl, vulkan}, 3, {0, 1}};
    run_placement(t, &place, GOLDEN_PROMPTS - 1, GOLDEN_GREEDY_TOKENS, false);
    if (!t->golden->config->mtp_layer_count)
        return;
    // The MTP layer comes after the last range and reads the first one's embedding.
    run_placement(t, &place, GOLDEN_PROMPTS - 1, 0, true);
    placement back = {{vulkan, cpu}, 2, {1}};
    run_placement(t, &back, GOLDEN_PROMPTS - 1, 0, true);
}

// One layer range after another on the same device pair, more ranges than devices.
static void run_there_and_back(trial *t, const fleet *fleet)
{
    if (fleet->count < 2)
        return;
    iso_device *devices[] = {fleet->devices[0], fleet->devices[fleet->count - 1]};
    iso_layer_range ranges[] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 0}};
    iso_runner_options options = {.devices = devices,
                                  .device_count = 2,
                                  .ranges = ranges,
                                  .range_count = 3,
                                  .context_tokens = CONTEXT,
                                  .chunk_tokens = CHUNK,
                                  .all_rows = true,
                                  .poison = true};
    unsigned wrong = 0;
    snprintf(t->label, sizeof t->label, "%s %s, %s and back", t->golden->name, iso_device_name(devices[0]),
             iso_device_name(devices[1]));
    t->worst = 0;
    if (tally_call(t->counts, iso_runner_create(t->golden->model, &options, &t->runner), "%s", t->label) &&
        run_prompt(t, 1, GOLDEN_GREEDY_TOKENS, &wrong))
        tally_check(t->counts, t->worst <= F32_BOUND && wrong == 0, "%s: %.1e of RMS, %u tokens differ",
                    t->label, t->worst, wrong);
    iso_runner_destroy(t->runner);
    t->runner = NULL;
}

// ---- fallback ----

// The logits of a prompt; NULL when a call failed.
static float *logits_of(trial *t, const iso_runner_options *options)
{
    iso_tensor_view view = golden_tensor(t->golden, "prompt1.input_ids");
    int32_t ids[GOLDEN_MAX_PROMPT];
    uint32_t length = golden_ids(&view, ids, CHUNK), sequence, vocab = t->golden->config->vocab_size;
    float *logits = calloc((size_t)length * vocab, sizeof *logits);
    if (!logits ||
        !tally_call(t->counts, iso_runner_create(t->golden->model, options, &t->runner), "%s", t->label) ||
        !tally_call(t->counts, iso_runner_open_sequence(t->runner, &sequence), "%s", t->label))
        goto fail;
    for (uint32_t i = 0; i < length; i++)
        t->tokens[i] = (iso_step_token){.id = ids[i], .sequence = sequence, .want_logits = true};
    if (!tally_call(t->counts, iso_runner_step(t->runner, t->tokens, length, t->results), "%s", t->label))
        goto fail;
    for (uint32_t i = 0; i < length; i++)
        memcpy(logits + (size_t)i * vocab, t->results[i].logits, vocab * sizeof *logits);
    iso_runner_destroy(t->runner);
    t->runner = NULL;
    return logits;
fail:
    iso_runner_destroy(t->runner);
    t->runner = NULL;
    free(logits);
    return NULL;
}

static void run_fallback(trial *t, const fleet *fleet)
{
    iso_device *null = NULL, *cpu = first_of(fleet, "cpu");
    snprintf(t->label, sizeof t->label, "%s null:0 with fallback", t->golden->name);
    if (!cpu) {
        tally_skip(t->counts, "%s: the CPU is not among the devices", t->label);
        return;
    }
    if (!tally_call(
            t->counts,
            iso_device_open(fleet->registry, "null:0", &(iso_device_options){.validate = true}, &null), "%s",
            t->label))
        return;
    iso_device *devices[] = {null, cpu};
    iso_runner_options options = {.devices = &cpu,
                                  .device_count = 1,
                                  .context_tokens = CONTEXT,
                                  .chunk_tokens = CHUNK,
                                  .all_rows = true};
    size_t bytes = 0;
    float *alone = logits_of(t, &options);
    options.devices = devices;
    options.device_count = 2;
    tally_refused(t->counts, iso_runner_create(t->golden->model, &options, &t->runner), ISO_UNSUPPORTED,
                  "%s: a device without kernels and no fallback", t->label);
    tally_check(t->counts, strstr(iso_status_last()->text, "null:0") != NULL,
                "%s: the refusal does not name it: %s", t->label, iso_status_last()->text);
    options.fallback_device = 2;
    float *fallen = logits_of(t, &options);
    iso_tensor_view ids = golden_tensor(t->golden, "prompt1.input_ids");
    bytes = (size_t)ids.dims[0] * t->golden->config->vocab_size * sizeof *alone;
    if (alone && fallen)
        tally_check(t->counts, memcmp(alone, fallen, bytes) == 0, "%s: not the CPU's bits", t->label);
    // With the first layer placed on the CPU, the rest falls back to it.
    iso_layer_range ranges[] = {{0, 0, 1}, {1, 100, 0}};
    options.ranges = ranges;
    options.range_count = 2;
    float *half = logits_of(t, &options);
    if (alone && half)
        tally_check(t->counts, memcmp(alone, half, bytes) == 0, "%s: half of it gives not the CPU's bits",
                    t->label);
    free(alone);
    free(fallen);
    free(half);
    iso_device_close(null);
}

static bool wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    static trial t;
    tally counts = {0};
    fleet fleet;
    if (fleet_open(&fleet))
        return 1;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        golden golden;
        if (!wanted(models[m], argc - 1, argv + 1))
            continue;
        if (golden_open(&golden, models[m])) {
            counts.failed++;
            continue;
        }
        t = (trial){.counts = &counts, .golden = &golden};
        run_pairs(&t, &fleet);
        run_three(&t, &fleet);
        run_there_and_back(&t, &fleet);
        run_fallback(&t, &fleet);
        golden_close(&golden);
    }
    fleet_close(&fleet);
    return tally_close(&counts, "placement");
}
