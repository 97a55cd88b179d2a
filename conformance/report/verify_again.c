// SPDX-License-Identifier: MIT
//
// What a stranger can compute again. From seed and unit id: inputs, their hash, reference values, bounds, and
// every sample against them, on no device. On a device, this one or another: a random choice of units, whose
// inputs must hash the same and whose results must be inside the same bounds; on the very device of the
// bundle even the outputs' bits must come out again.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/judge.h"
#include "conformance/ops/trial.h"
#include "conformance/report/verify.h"
#include "conformance/suite/run.h"

// Mathematics libraries may differ in the last bits of exp and its like.
#define SAME_WITHIN 1e-9

// ---- choosing ----

typedef struct chosen_unit {
    size_t first, end; // records
    uint64_t draw;
} chosen_unit;

static uint64_t draw(uint64_t seed, uint64_t index)
{
    iso_case_builder builder = {.seed = seed, .stream = 77};
    return iso_case_random(&builder, index);
}

static int by_draw(const void *a, const void *b)
{
    const chosen_unit *x = a, *y = b;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

static int by_first(const void *a, const void *b)
{
    const chosen_unit *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

// `most` (0: all) of the units that are cases of ops, in the order of the records.
static iso_status choose(verification *v, uint32_t most, uint64_t seed, chosen_unit **out, size_t *out_count)
{
    const conform_content *content = &v->content;
    conform_op_case parsed;
    *out_count = 0;
    ISO_TRY(ISO_NEW(NULL, content->count ? content->count : 1, out));
    for (size_t i = 0, end; i < content->count; i = end) {
        const conform_record *record = &content->records[i];
        for (end = i + 1; end < content->count && strcmp(content->records[end].unit, record->unit) == 0;)
            end++;
        if (strncmp(record->unit, "ops/", 4) != 0 || conform_parse_case(record->unit + 4, &parsed) != ISO_OK)
            continue;
        (*out)[*out_count] = (chosen_unit){i, end, draw(seed, *out_count)};
        ++*out_count;
    }
    if (most && most < *out_count) {
        qsort(*out, *out_count, sizeof **out, by_draw);
        *out_count = most;
    }
    qsort(*out, *out_count, sizeof **out, by_first);
    return ISO_OK;
}

// ---- inputs, references, bounds ----

static bool same(double a, double b, double scale)
{
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= SAME_WITHIN * fmax(fabs(a), scale);
}

// The kernel that a record is of; NULL: its check is none of the op's kernels.
static const iso_kernel *kernel_of(const iso_op_info *op, const conform_record *record)
{
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (strcmp(op->kernels[k]->name, record->result.check) == 0)
            return op->kernels[k];
    return NULL;
}

static void judge_sample(verification *v, const conform_op_case *parsed, const conform_built *built,
                         const iso_reference_output *expected, size_t index, uint32_t number)
{
    const conform_record *record = &v->content.records[index];
    const conform_sample *s = &record->result.samples[number];
    const iso_tensor *outputs = (const iso_tensor *)built->params + parsed->op->input_count;
    char where[160];
    verify_place(v, index, where);
    if (s->output >= parsed->op->output_count || s->index >= iso_tensor_elems(&outputs[s->output])) {
        verify_problem(v, where, "sample %u is element %llu of output %u of %s; there is no such element",
                       number, (unsigned long long)s->index, s->output, record->unit);
        return;
    }
    double want = expected[s->output].value[s->index], bound = expected[s->output].bound[s->index];
    if (!same(want, s->want, bound))
        verify_problem(v, where, "sample %u of %s wants %.17g; made again it is %.17g", number, record->unit,
                       s->want, want);
    if (!same(bound, s->bound, 0))
        verify_problem(v, where, "sample %u of %s has the bound %.17g; made again it is %.17g", number,
                       record->unit, s->bound, bound);
    double score = conform_score_element(parsed->op, outputs[s->output].dtype, want, bound, s->got);
    bool passed = record->result.outcome == CONFORM_PASS;
    if (passed && !(score <= 1))
        verify_problem(v, where, "sample %u of %s has an error of %.3g times its bound; the outcome is pass",
                       number, record->unit, score);
    if (passed && number == 0 && !same(score, record->result.score, 1e-6))
        verify_problem(v, where, "the score of %s is %.9g; its worst sample gives %.9g", record->unit,
                       record->result.score, score);
    else if (passed && !(score <= record->result.score * (1 + 1e-6) + 1e-9))
        verify_problem(v, where, "the score of %s is %.9g; its sample %u gives %.9g", record->unit,
                       record->result.score, number, score);
    v->report->sample_count++;
}

static iso_status rebuild_record(verification *v, const conform_op_case *parsed, const conform_built *built,
                                 uint64_t inputs, size_t index)
{
    const conform_record *record = &v->content.records[index];
    const iso_kernel *kernel = kernel_of(parsed->op, record);
    conform_kernel_expected expectation;
    char where[160];
    verify_place(v, index, where);
    if (record->result.input_hash && record->result.input_hash != inputs)
        verify_problem(v, where, "the inputs of %s hash to %016llx; made again from seed %llu to %016llx",
                       record->unit, (unsigned long long)record->result.input_hash,
                       (unsigned long long)v->content.header.seed, (unsigned long long)inputs);
    if (record->result.outcome == CONFORM_PASS && record->result.input_hash == 0)
        verify_problem(v, where, "%s passed without a hash of its inputs", record->unit);
    if (record->result.op[0] && strcmp(record->result.op, parsed->op->name) != 0)
        verify_problem(v, where, "op is %s; unit %s is of %s", record->result.op, record->unit,
                       parsed->op->name);
    if (!kernel && record->result.sample_count > 0) {
        verify_problem(v, where, "this program has no kernel %s: its bounds cannot be made again",
                       record->result.check);
        return ISO_OK;
    }
    ISO_TRY(conform_kernel_expected_init(built, parsed, kernel, &v->content.summary.numerics, &expectation));
    for (uint32_t s = 0; s < record->result.sample_count; s++)
        judge_sample(v, parsed, built, expectation.outputs, index, s);
    conform_kernel_expected_deinit(&expectation);
    return ISO_OK;
}

static iso_status rebuild_unit(verification *v, const chosen_unit *chosen)
{
    const conform_record *first = &v->content.records[chosen->first];
    conform_op_case parsed;
    conform_built built;
    ISO_TRY(conform_parse_case(first->unit + 4, &parsed));
    ISO_TRY(conform_built_init(&built, &parsed, v->content.header.seed, false));
    iso_status status = conform_built_refer(&built, &parsed, &v->content.summary.numerics);
    uint64_t inputs = status == ISO_OK ? conform_input_hash(parsed.op, built.params) : 0;
    for (size_t i = chosen->first; i < chosen->end && status == ISO_OK; i++)
        status = rebuild_record(v, &parsed, &built, inputs, i);
    conform_built_deinit(&built);
    v->report->rebuilt_units += status == ISO_OK;
    return status;
}

static void progress(const verification *v, const char *part, size_t done, size_t total)
{
    if (v->options->on_progress)
        v->options->on_progress(v->options->context, part, (uint32_t)done, (uint32_t)total);
}

void verify_rebuild(verification *v)
{
    chosen_unit *chosen = NULL;
    size_t count = 0;
    if (!verify_has_suite(v))
        return;
    v->status = choose(v, v->options->rebuild_count, v->options->seed ^ 0x5eed, &chosen, &count);
    for (size_t i = 0; i < count && v->status == ISO_OK; i++) {
        progress(v, "inputs and bounds", i, count);
        v->status = rebuild_unit(v, &chosen[i]);
    }
    iso_free(NULL, chosen);
}

// ---- on a device ----

typedef struct rerun {
    verification *v;
    const chosen_unit *chosen;
    size_t count, done;
    conform_record *records; // what the device gave now
    size_t record_count, record_capacity;
} rerun;

static const chosen_unit *find_chosen(const rerun *r, const char *unit)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->v->content.records[r->chosen[i].first].unit, unit) == 0)
            return &r->chosen[i];
    return NULL;
}

static bool skip_others(void *context, const char *unit)
{
    return find_chosen(context, unit) == NULL;
}

static iso_status take_record(void *context, const conform_record *record)
{
    rerun *r = context;
    if (!find_chosen(r, record->unit))
        return ISO_OK;
    if (r->record_count == 0 || strcmp(r->records[r->record_count - 1].unit, record->unit) != 0)
        progress(r->v, "run again", ++r->done, r->count);
    ISO_TRY(
        iso_grow(NULL, sizeof *r->records, r->record_count + 1, (void **)&r->records, &r->record_capacity));
    conform_record *kept = &r->records[r->record_count++];
    *kept = *record;
    kept->result.more = NULL;
    return ISO_OK;
}

// Against the bundle's record of the same check: the device is the same, so must be the bits.
static void compare_bits(verification *v, const chosen_unit *chosen, const conform_record *now)
{
    char where[160];
    for (size_t i = chosen->first; i < chosen->end; i++) {
        const conform_record *was = &v->content.records[i];
        if (strcmp(was->result.check, now->result.check) != 0)
            continue;
        verify_place(v, i, where);
        if (was->result.outcome != now->result.outcome)
            verify_problem(v, where, "%s, check %s: %s; run again on the same device: %s", was->unit,
                           was->result.check, conform_outcome_name(was->result.outcome),
                           conform_outcome_name(now->result.outcome));
        else if (was->result.output_hash != now->result.output_hash)
            verify_problem(v, where,
                           "%s, check %s: outputs hash to %016llx; run again on the same device to "
                           "%016llx",
                           was->unit, was->result.check, (unsigned long long)was->result.output_hash,
                           (unsigned long long)now->result.output_hash);
        return;
    }
    verify_problem(v, now->unit, "check %s is not in the bundle; run again on the same device it is there",
                   now->result.check);
}

static void compare_record(rerun *r, const conform_record *now, bool same_device)
{
    const chosen_unit *chosen = find_chosen(r, now->unit);
    const conform_record *was = &r->v->content.records[chosen->first];
    if (now->result.input_hash && was->result.input_hash && now->result.input_hash != was->result.input_hash)
        verify_problem(r->v, now->unit, "run again, its inputs hash to %016llx; the bundle says %016llx",
                       (unsigned long long)now->result.input_hash,
                       (unsigned long long)was->result.input_hash);
    if (same_device)
        compare_bits(r->v, chosen, now);
    else if (conform_outcome_is_bad(now->result.outcome))
        verify_remark(r->v, now->unit, "on %s, check %s: %s: %s", now->device, now->result.check,
                      conform_outcome_name(now->result.outcome), now->result.detail);
}

// Native kernels are a part of the program: another program may give other bits.
static bool is_same_device(const verification *v, const iso_device_info *here)
{
    const iso_device_info *was = &v->content.summary.info;
    char binary[CONFORM_SHA256_TEXT] = "";
    uint64_t bytes;
    return conform_sha256_file("/proc/self/exe", binary, &bytes) == ISO_OK &&
           strcmp(binary, v->content.header.binary) == 0 && strcmp(here->backend, was->backend) == 0 &&
           strcmp(here->name, was->name) == 0 && strcmp(here->driver, was->driver) == 0 &&
           here->features == was->features;
}

static iso_status run_chosen(rerun *r)
{
    verification *v = r->v;
    conform_run_facts facts = {0};
    conform_run_options options = {.device = v->options->device ? v->options->device : "cpu",
                                   .level = v->content.header.level,
                                   .seed = v->content.header.seed,
                                   .skip = skip_others,
                                   .on_record = take_record,
                                   .context = r};
    ISO_TRY(conform_run(&options, &facts));
    bool same_device = is_same_device(v, &facts.device);
    for (size_t i = 0; i < r->record_count; i++)
        compare_record(r, &r->records[i], same_device);
    iso_copy_text(v->report->rerun_device, sizeof v->report->rerun_device, facts.device_name);
    v->report->rerun_units = (uint32_t)r->done;
    if (r->done != r->count)
        verify_problem(v, "run again", "%zu of %zu units gave results on %s", r->done, r->count,
                       options.device);
    conform_run_facts_deinit(&facts);
    return ISO_OK;
}

void verify_rerun(verification *v)
{
    rerun r = {.v = v};
    chosen_unit *chosen = NULL;
    if (!verify_has_suite(v) || v->options->rerun_count == 0)
        return;
    v->status = choose(v, v->options->rerun_count, v->options->seed, &chosen, &r.count);
    r.chosen = chosen;
    if (v->status == ISO_OK && r.count)
        v->status = run_chosen(&r);
    iso_free(NULL, chosen);
    iso_free(NULL, r.records);
}
