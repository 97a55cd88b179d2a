// SPDX-License-Identifier: MIT
//
// Each record against itself, against the header, and against what a run of that level must hold: no unit
// missing, none invented, none twice; the numerics within what the suite allows; the verdicts those that
// follow from the records.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/device/expected.h"
#include "conformance/ops/judge.h"
#include "conformance/profile/profile.h"
#include "conformance/report/verify.h"
#include "conformance/suite/run.h"
#include "conformance/suite/verdict.h"

// ---- one record ----

static void check_address(verification *v, const conform_record *record, const char *where)
{
    const conform_header *header = &v->content.header;
    size_t length = strlen(record->suite);
    if (strncmp(record->unit, record->suite, length) != 0 || record->unit[length] != '/')
        verify_problem(v, where, "unit %s is not of suite %s", record->unit, record->suite);
    if (record->level > header->level)
        verify_problem(v, where, "unit %s is of level %s; the run was %s", record->unit,
                       conform_level_name(record->level), conform_level_name(header->level));
    if (strcmp(record->device, v->content.summary.device) != 0 && strcmp(record->device, header->device) != 0)
        verify_problem(v, where, "device is %s; the summary says %s", record->device,
                       v->content.summary.device);
    if (record->failures > record->tries)
        verify_problem(v, where, "failures is %u of %u tries", record->failures, record->tries);
}

static void check_outcome(verification *v, const conform_record *record, const char *where)
{
    const conform_result *result = &record->result;
    const iso_op_info op = {.name = result->op}; // whose contract says what may stand for a NaN or an Inf
    if (result->outcome != CONFORM_PASS)
        return;
    if (result->score > 1)
        verify_problem(v, where, "outcome is pass, and the score %.17g is above 1", result->score);
    for (uint32_t i = 0; i < result->sample_count; i++) {
        const conform_sample *s = &result->samples[i];
        // The output's type is not known here: F16 overflows first.
        if (!(conform_score_element(&op, ISO_DTYPE_F16, s->want, s->bound, s->got) <= 1))
            verify_problem(v, where,
                           "outcome is pass, and sample %u is outside its bound: got %.9g, want %.9g, "
                           "bound %.3g",
                           i, s->got, s->want, s->bound);
    }
}

// Whether a failure was expected is what this program's list says, not what the bundle says.
static void check_expectation(verification *v, const conform_record *record, const char *where)
{
    const char *reason;
    conform_outcome outcome = record->result.outcome;
    if ((outcome == CONFORM_EXPECTED_FAIL || outcome == CONFORM_UNEXPECTED_PASS) &&
        conform_expectation(&v->content.summary.info, record->unit, &reason) != CONFORM_EXPECT_FAILURE)
        verify_problem(v, where, "outcome is %s, and expected.def does not list %s as failing on this device",
                       conform_outcome_name(outcome), record->unit);
}

static void check_numerics(verification *v)
{
    const iso_numerics *n = &v->content.summary.numerics;
    const struct {
        const char *name;
        double value, low, cap;
    } limits[] = {
        {"unit", n->unit, iso_numerics_ieee.unit, CONFORM_CAP_UNIT},
        {"exp_unit", n->exp_unit, iso_numerics_ieee.exp_unit, CONFORM_CAP_EXP},
        {"root_unit", n->root_unit, iso_numerics_ieee.root_unit, CONFORM_CAP_ROOT},
        {"bf16_unit", n->bf16_unit, iso_numerics_ieee.bf16_unit, CONFORM_CAP_BF16},
        {"flush", n->flush, 0, fmax(iso_numerics_ieee.flush, 0x1p-126)},
        {"matrix_bf16_unit", n->matrix_units[ISO_MATRIX_BF16], 0, CONFORM_CAP_MATRIX_BF16},
        {"matrix_e4m3_unit", n->matrix_units[ISO_MATRIX_E4M3], 0, CONFORM_CAP_MATRIX_E4M3},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (!(limits[i].value >= limits[i].low && limits[i].value <= fmax(limits[i].cap, limits[i].low)))
            verify_problem(v, "the summary", "numerics.%s is %.9g; a suite allows %.9g to %.9g",
                           limits[i].name, limits[i].value, limits[i].low,
                           fmax(limits[i].cap, limits[i].low));
}

// ---- all units ----

typedef struct unit_place {
    const char *unit;
    size_t index; // of its first record
} unit_place;

static int by_unit(const void *a, const void *b)
{
    const unit_place *x = a, *y = b;
    int order = strcmp(x->unit, y->unit);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const unit_place *)a)->unit, ((const unit_place *)b)->unit);
}

// The units of the records, sorted; one that begins twice is named.
static iso_status collect_units(verification *v, unit_place **out, size_t *out_count)
{
    const conform_content *content = &v->content;
    size_t count = 0;
    char where[160];
    ISO_TRY(ISO_NEW(NULL, content->count ? content->count : 1, out));
    for (size_t i = 0; i < content->count; i++)
        if (i == 0 || strcmp(content->records[i].unit, content->records[i - 1].unit) != 0)
            (*out)[count++] = (unit_place){content->records[i].unit, i};
    qsort(*out, count, sizeof **out, by_unit);
    for (size_t i = 1; i < count; i++)
        if (strcmp((*out)[i].unit, (*out)[i - 1].unit) == 0)
            verify_problem(v, verify_place(v, (*out)[i].index, where),
                           "unit %s begins again; its first results stand in line %llu", (*out)[i].unit,
                           (unsigned long long)content->lines[(*out)[i - 1].index]);
    *out_count = count;
    return ISO_OK;
}

// Within a unit a check passes once.
static void check_doubles(verification *v)
{
    const conform_content *content = &v->content;
    char where[160];
    for (size_t i = 0; i < content->count; i++) {
        const conform_record *a = &content->records[i];
        for (size_t j = i + 1; j < content->count && j < i + 64; j++) {
            const conform_record *b = &content->records[j];
            if (strcmp(a->unit, b->unit) != 0)
                break;
            if (a->result.outcome == CONFORM_PASS && b->result.outcome == CONFORM_PASS &&
                a->result.output_hash && a->result.output_hash == b->result.output_hash &&
                strcmp(a->result.check, b->result.check) == 0)
                verify_problem(v, verify_place(v, j, where), "check %s of unit %s is there twice",
                               b->result.check, b->unit);
        }
    }
}

static iso_status list_of_suites(const conform_header *header, const conform_summary *summary,
                                 conform_unit_list *out)
{
    size_t kept = 0;
    for (uint32_t s = 0; s < conform_suite_count(); s++)
        ISO_TRY(conform_suite_at(s)->list(out, &summary->info));
    for (size_t i = 0; i < out->count; i++) {
        const conform_unit *unit = &out->units[i];
        if (conform_unit_wanted(unit, header->level, header->only[0] ? header->only : NULL) &&
            (header->profile[0] == '\0' || conform_profile_wants(header->profile, unit->id)))
            out->units[kept++] = *unit;
    }
    out->count = kept;
    return ISO_OK;
}

static int by_index(const void *a, const void *b)
{
    const unit_place *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

// Both sorted by name.
static void compare_units(verification *v, const unit_place *wanted, size_t wanted_count,
                          const unit_place *units, size_t count)
{
    char where[160];
    for (size_t i = 0; i < wanted_count; i++)
        if (count == 0 || !bsearch(&wanted[i], units, count, sizeof *units, by_name))
            verify_problem(v, CONFORM_RESULTS, "unit %s is missing: a run of level %s has it", wanted[i].unit,
                           conform_level_name(v->content.header.level));
    for (size_t i = 0; i < count; i++)
        if (wanted_count == 0 || !bsearch(&units[i], wanted, wanted_count, sizeof *wanted, by_name))
            verify_problem(v, verify_place(v, units[i].index, where),
                           "unit %s is none of the suite's at this level", units[i].unit);
}

// A run goes through the list in its order, whatever happens on the way.
static void check_order(verification *v, const unit_place *wanted, size_t wanted_count,
                        const unit_place *in_order, size_t count)
{
    const unit_place *latest = NULL;
    char where[160];
    for (size_t i = 0; i < count && wanted_count; i++) {
        const unit_place *at = bsearch(&in_order[i], wanted, wanted_count, sizeof *wanted, by_name);
        if (at && latest && at->index < latest->index)
            verify_problem(v, verify_place(v, in_order[i].index, where),
                           "unit %s stands behind %s; a run has it before", at->unit, latest->unit);
        else if (at)
            latest = at;
    }
}

static iso_status check_units(verification *v)
{
    conform_unit_list list = {0};
    unit_place *units = NULL, *wanted = NULL;
    size_t count = 0;
    iso_status status = collect_units(v, &units, &count);
    if (status == ISO_OK)
        status = list_of_suites(&v->content.header, &v->content.summary, &list);
    if (status == ISO_OK)
        status = ISO_NEW(NULL, list.count ? list.count : 1, &wanted);
    if (status == ISO_OK) {
        for (size_t i = 0; i < list.count; i++)
            wanted[i] = (unit_place){list.units[i].id, i};
        qsort(wanted, list.count, sizeof *wanted, by_name);
        compare_units(v, wanted, list.count, units, count);
        qsort(units, count, sizeof *units, by_index);
        check_order(v, wanted, list.count, units, count);
    }
    iso_free(NULL, units);
    iso_free(NULL, wanted);
    conform_unit_list_deinit(&list);
    return status;
}

// ---- verdicts ----

static iso_status judge_again(const conform_content *content, conform_summary *out)
{
    conform_verdict_count *count;
    ISO_TRY(ISO_NEW(NULL, 1, &count));
    for (size_t i = 0; i < content->count; i++)
        conform_verdict_add(count, &content->records[i]);
    iso_status status =
        conform_verdict_close(count, content->header.profile[0] ? content->header.profile : NULL, out);
    iso_free(NULL, count);
    return status;
}

static iso_status check_verdicts(verification *v)
{
    conform_summary *again;
    const conform_summary *summary = &v->content.summary;
    ISO_TRY(ISO_NEW(NULL, 1, &again));
    iso_status status = judge_again(&v->content, again);
    for (uint32_t i = 0; i < summary->verdict_count && status == ISO_OK && i < again->verdict_count; i++) {
        const conform_verdict *was = &summary->verdicts[i], *now = &again->verdicts[i];
        if (strcmp(was->profile, now->profile) != 0 || strcmp(was->verdict, now->verdict) != 0)
            verify_problem(v, "the summary", "verdict %s is \"%s\"; the records give \"%s\" for %s",
                           was->profile, was->verdict, now->verdict, now->profile);
        else if (strcmp(was->missing, now->missing) != 0)
            verify_problem(v, "the summary", "what %s misses is \"%.120s\"; the records give \"%.120s\"",
                           was->profile, was->missing, now->missing);
    }
    if (status == ISO_OK && again->verdict_count != summary->verdict_count)
        verify_problem(v, "the summary", "it has %u verdicts; the records give %u", summary->verdict_count,
                       again->verdict_count);
    else if (status == ISO_INVALID_ARGUMENT) {
        verify_problem(v, "the header", "%s", iso_status_last()->text);
        status = ISO_OK;
    }
    iso_free(NULL, again);
    return status;
}

void verify_records(verification *v)
{
    char where[160];
    if (!v->content.has_header || !v->content.finished)
        return;
    for (size_t i = 0; i < v->content.count; i++) {
        verify_place(v, i, where);
        check_address(v, &v->content.records[i], where);
        check_outcome(v, &v->content.records[i], where);
    }
    check_numerics(v);
    check_doubles(v);
    if (!verify_has_suite(v)) {
        verify_problem(
            v, "the header",
            "the suite is %.16s…; this program has %.16s…: units, inputs and bounds cannot be made again. "
            "Verify with the program that made the bundle (%s)",
            v->content.header.suite, v->suite, v->content.header.program);
        return;
    }
    for (size_t i = 0; i < v->content.count; i++)
        check_expectation(v, &v->content.records[i], verify_place(v, i, where));
    v->status = check_units(v);
    if (v->status == ISO_OK)
        v->status = check_verdicts(v);
}
