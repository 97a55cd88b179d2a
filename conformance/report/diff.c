// SPDX-License-Identifier: MIT
//
// Two bundles side by side: verdicts, checks that fail now or no longer, scores that moved by more than a
// factor of two, outputs whose bits changed, time. Built as JSON; the text is a shorter reading of it. Checks
// are matched by unit and check; between two backends, which have other kernels, by unit.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/content.h"
#include "conformance/report/fields.h"
#include "conformance/report/report.h"

#define SCORE_FACTOR 2.0
#define SCORE_FLOOR  1e-3 // below, nobody minds
#define TEXT_LINES   20   // of each kind

typedef struct pairing {
    const conform_record *a, *b; // NULL: only in the other one
} pairing;

typedef struct difference {
    const conform_content *a, *b;
    bool by_unit; // other backends have other kernels: a unit's worst result stands for it
    pairing *pairs;
    size_t count;
} difference;

// ---- matching ----

static int by_place(const void *left, const void *right)
{
    const conform_record *x = *(const conform_record *const *)left,
                         *y = *(const conform_record *const *)right;
    int order = strcmp(x->unit, y->unit);
    if (order == 0)
        order = strcmp(x->result.check, y->result.check);
    return order ? order : (x > y) - (x < y);
}

static int compare_place(const difference *d, const conform_record *x, const conform_record *y)
{
    int order = strcmp(x->unit, y->unit);
    return order || d->by_unit ? order : strcmp(x->result.check, y->result.check);
}

// Bad before good, skipped or refused last; then by the score.
static bool is_worse(const conform_record *x, const conform_record *y)
{
    const conform_record *both[2] = {x, y};
    int rank[2];
    for (int i = 0; i < 2; i++)
        rank[i] = conform_outcome_is_bad(both[i]->result.outcome) ? 0
                  : both[i]->result.outcome == CONFORM_PASS       ? 1
                                                                  : 2;
    return rank[0] != rank[1] ? rank[0] < rank[1] : x->result.score > y->result.score;
}

static iso_status sorted(const difference *d, const conform_content *content, const conform_record ***out,
                         size_t *out_count)
{
    size_t count = 0;
    ISO_TRY(ISO_NEW(NULL, content->count ? content->count : 1, out));
    const conform_record **list = *out;
    for (size_t i = 0; i < content->count; i++)
        list[i] = &content->records[i];
    qsort(list, content->count, sizeof *list, by_place);
    for (size_t i = 0; i < content->count; i++) {
        if (count == 0 || !d->by_unit || strcmp(list[count - 1]->unit, list[i]->unit) != 0)
            list[count++] = list[i];
        else if (is_worse(list[i], list[count - 1]))
            list[count - 1] = list[i];
    }
    *out_count = count;
    return ISO_OK;
}

static iso_status match(difference *d)
{
    const conform_record **a = NULL, **b = NULL;
    size_t i = 0, j = 0, a_count = 0, b_count = 0;
    iso_status status = sorted(d, d->a, &a, &a_count);
    if (status == ISO_OK)
        status = sorted(d, d->b, &b, &b_count);
    if (status == ISO_OK)
        status = ISO_NEW(NULL, a_count + b_count + 1, &d->pairs);
    while (status == ISO_OK && (i < a_count || j < b_count)) {
        int order = i == a_count ? 1 : j == b_count ? -1 : compare_place(d, a[i], b[j]);
        d->pairs[d->count++] = (pairing){order <= 0 ? a[i] : NULL, order >= 0 ? b[j] : NULL};
        i += order <= 0;
        j += order >= 0;
    }
    iso_free(NULL, a);
    iso_free(NULL, b);
    return status;
}

// ---- kinds of changes ----

static bool fails(const conform_record *record)
{
    return record && conform_outcome_is_bad(record->result.outcome);
}

static bool newly_failing(const pairing *p)
{
    return fails(p->b) && !fails(p->a);
}

static bool newly_passing(const pairing *p)
{
    return fails(p->a) && p->b && p->b->result.outcome == CONFORM_PASS;
}

static bool otherwise_changed(const pairing *p)
{
    return p->a && p->b && p->a->result.outcome != p->b->result.outcome && !newly_failing(p) &&
           !newly_passing(p);
}

static bool only_a(const pairing *p)
{
    return !p->b;
}

static bool only_b(const pairing *p)
{
    return !p->a;
}

static bool score_moved(const pairing *p)
{
    if (!p->a || !p->b || isnan(p->a->result.score) || isnan(p->b->result.score))
        return false;
    double a = fmax(p->a->result.score, SCORE_FLOOR), b = fmax(p->b->result.score, SCORE_FLOOR);
    return a > b * SCORE_FACTOR || b > a * SCORE_FACTOR;
}

static bool bits_changed(const pairing *p)
{
    return p->a && p->b && p->a->result.output_hash && p->b->result.output_hash &&
           p->a->result.input_hash == p->b->result.input_hash &&
           p->a->result.output_hash != p->b->result.output_hash;
}

static bool inputs_changed(const pairing *p)
{
    return p->a && p->b && p->a->result.input_hash != p->b->result.input_hash;
}

static const struct {
    const char *key, *title;
    bool (*holds)(const pairing *);
} kinds[] = {
    {"newly_failing", "fail now", newly_failing},
    {"newly_passing", "pass again", newly_passing},
    {"outcome_changed", "end otherwise", otherwise_changed},
    {"score_changed", "have a score that moved by more than a factor of 2", score_moved},
    {"bits_changed", "give other bits for the same inputs", bits_changed},
    {"inputs_changed", "have other inputs: suite or seed differ", inputs_changed},
    {"only_in_a", "are in A only", only_a},
    {"only_in_b", "are in B only", only_b},
};

// ---- JSON ----

static json_t *pair_json(const pairing *p)
{
    const conform_record *any = p->b ? p->b : p->a;
    json_t *object = NULL;
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "unit", any->unit);
    conform_put_text(&writer, "check", any->result.check);
    if (p->a)
        conform_put_text(&writer, "outcome_a", conform_outcome_name(p->a->result.outcome));
    if (p->b)
        conform_put_text(&writer, "outcome_b", conform_outcome_name(p->b->result.outcome));
    if (p->a)
        conform_put_double(&writer, "score_a", p->a->result.score);
    if (p->b)
        conform_put_double(&writer, "score_b", p->b->result.score);
    conform_put_text(&writer, "detail", any->result.detail);
    return conform_writer_end(&writer, &object) == ISO_OK ? object : NULL;
}

static json_t *kind_json(const difference *d, bool (*holds)(const pairing *))
{
    json_t *array = json_array();
    for (size_t i = 0; i < d->count; i++)
        if (holds(&d->pairs[i]) && json_array_append_new(array, pair_json(&d->pairs[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *side_json(const conform_content *content)
{
    json_t *object = NULL;
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "device", content->finished ? content->summary.device : content->header.device);
    conform_put_text(&writer, "name", content->summary.info.name);
    conform_put_text(&writer, "driver", content->summary.info.driver);
    conform_put_text(&writer, "program", content->header.program);
    conform_put_text(&writer, "suite", content->header.suite);
    conform_put_text(&writer, "kernels", content->header.kernels);
    conform_put_text(&writer, "level", conform_level_name(content->header.level));
    conform_put_wide(&writer, "seed", content->header.seed);
    conform_put_text(&writer, "date", content->header.date);
    conform_put_count(&writer, "results", content->count);
    conform_put_double(&writer, "seconds", content->summary.seconds);
    conform_put(&writer, "finished", json_boolean(content->finished));
    return conform_writer_end(&writer, &object) == ISO_OK ? object : NULL;
}

static const conform_verdict *find_verdict(const conform_summary *summary, const char *profile)
{
    for (uint32_t i = 0; i < summary->verdict_count; i++)
        if (strcmp(summary->verdicts[i].profile, profile) == 0)
            return &summary->verdicts[i];
    return NULL;
}

static int add_verdict(json_t *array, const conform_verdict *a, const conform_verdict *b)
{
    json_t *object = NULL;
    if (a && b && strcmp(a->verdict, b->verdict) == 0 && strcmp(a->missing, b->missing) == 0)
        return 0;
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "profile", a ? a->profile : b->profile);
    conform_put_text(&writer, "a", a ? a->verdict : "absent");
    conform_put_text(&writer, "b", b ? b->verdict : "absent");
    conform_put_text(&writer, "missing_b", b ? b->missing : "");
    return conform_writer_end(&writer, &object) == ISO_OK ? json_array_append_new(array, object) : -1;
}

static json_t *verdicts_json(const conform_summary *a, const conform_summary *b)
{
    json_t *array = json_array();
    int failed = array ? 0 : -1;
    for (uint32_t i = 0; i < a->verdict_count; i++)
        failed |= add_verdict(array, &a->verdicts[i], find_verdict(b, a->verdicts[i].profile));
    for (uint32_t i = 0; i < b->verdict_count; i++)
        if (!find_verdict(a, b->verdicts[i].profile))
            failed |= add_verdict(array, NULL, &b->verdicts[i]);
    if (failed == 0)
        return array;
    json_decref(array);
    return NULL;
}

static double seconds_of(const conform_content *content, const char *suite)
{
    double seconds = 0;
    for (size_t i = 0; i < content->count; i++)
        if (strcmp(content->records[i].suite, suite) == 0)
            seconds += content->records[i].seconds;
    return seconds;
}

static json_t *times_json(const difference *d)
{
    json_t *array = json_array();
    for (uint32_t s = 0; s < conform_suite_count(); s++) {
        const char *suite = conform_suite_at(s)->name;
        double a = seconds_of(d->a, suite), b = seconds_of(d->b, suite);
        json_t *object = NULL;
        if (!(a > 0) && !(b > 0))
            continue;
        conform_writer writer = conform_writer_make();
        conform_put_text(&writer, "suite", suite);
        conform_put_double(&writer, "a", a);
        conform_put_double(&writer, "b", b);
        if (conform_writer_end(&writer, &object) != ISO_OK || json_array_append_new(array, object) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static iso_status difference_json(const difference *d, json_t **out)
{
    conform_writer writer = conform_writer_make();
    conform_put(&writer, "a", side_json(d->a));
    conform_put(&writer, "b", side_json(d->b));
    conform_put(&writer, "by_unit", json_boolean(d->by_unit));
    conform_put(&writer, "verdicts", verdicts_json(&d->a->summary, &d->b->summary));
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        conform_put(&writer, kinds[k].key, kind_json(d, kinds[k].holds));
    conform_put(&writer, "seconds", times_json(d));
    return conform_writer_end(&writer, out);
}

// ---- text ----

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "–";
}

static iso_status put_side(iso_text *out, const char *name, json_t *side)
{
    return iso_text_append(out, "%s: %s, %s, %s; level %s, %s, %s%s\n", name, text_of(side, "device"),
                           text_of(side, "name"), text_of(side, "driver"), text_of(side, "level"),
                           text_of(side, "program"), text_of(side, "date"),
                           json_is_true(json_object_get(side, "finished")) ? "" : " (interrupted)");
}

static iso_status put_kind(iso_text *out, const char *title, json_t *array)
{
    size_t count = json_array_size(array);
    if (count == 0)
        return ISO_OK;
    ISO_TRY(iso_text_append(out, "\n%zu check%s %s\n", count, count == 1 ? "" : "s", title));
    for (size_t i = 0; i < count && i < TEXT_LINES; i++) {
        json_t *one = json_array_get(array, i);
        double a = (double)NAN, b = (double)NAN;
        conform_double_of(json_object_get(one, "score_a"), &a);
        conform_double_of(json_object_get(one, "score_b"), &b);
        ISO_TRY(iso_text_append(out, "  %s %s: %s -> %s", text_of(one, "unit"), text_of(one, "check"),
                                text_of(one, "outcome_a"), text_of(one, "outcome_b")));
        if (!isnan(a) || !isnan(b))
            ISO_TRY(iso_text_append(out, ", score %.3g -> %.3g", a, b));
        ISO_TRY(iso_text_append(out, "\n"));
    }
    return count > TEXT_LINES ? iso_text_append(out, "  and %zu more\n", count - TEXT_LINES) : ISO_OK;
}

static iso_status put_difference(json_t *json, iso_text *out)
{
    json_t *one;
    size_t i, changes = 0;
    ISO_TRY(put_side(out, "A", json_object_get(json, "a")));
    ISO_TRY(put_side(out, "B", json_object_get(json, "b")));
    if (json_is_true(json_object_get(json, "by_unit")))
        ISO_TRY(iso_text_append(
            out, "other backends have other kernels: each unit is compared by its worst result\n"));
    json_array_foreach(json_object_get(json, "verdicts"), i, one)
    {
        ISO_TRY(iso_text_append(out, "%sverdict %s: %s -> %s%s%s\n", i == 0 ? "\n" : "",
                                text_of(one, "profile"), text_of(one, "a"), text_of(one, "b"),
                                text_of(one, "missing_b")[0] ? ": " : "", text_of(one, "missing_b")));
        changes++;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        changes += json_array_size(json_object_get(json, kinds[k].key));
        ISO_TRY(put_kind(out, kinds[k].title, json_object_get(json, kinds[k].key)));
    }
    if (changes == 0)
        ISO_TRY(iso_text_append(out, "\nno check differs\n"));
    ISO_TRY(iso_text_append(out, "\nseconds\n"));
    json_array_foreach(json_object_get(json, "seconds"), i, one) ISO_TRY(iso_text_append(
        out, "  %-10s %8.1f -> %8.1f\n", text_of(one, "suite"), json_number_value(json_object_get(one, "a")),
        json_number_value(json_object_get(one, "b"))));
    return ISO_OK;
}

iso_status conform_diff(const char *folder_a, const char *folder_b, iso_text *out_text, json_t **out_json,
                        bool *out_worse)
{
    conform_content a = {0}, b = {0};
    json_t *json = NULL;
    *out_worse = false;
    if (out_json)
        *out_json = NULL;
    iso_status status = conform_content_load(folder_a, NULL, NULL, &a);
    if (status == ISO_OK)
        status = conform_content_load(folder_b, NULL, NULL, &b);
    difference d = {.a = &a, .b = &b, .by_unit = strcmp(a.summary.info.backend, b.summary.info.backend) != 0};
    if (status == ISO_OK)
        status = match(&d);
    if (status == ISO_OK)
        status = difference_json(&d, &json);
    for (size_t i = 0; i < d.count && status == ISO_OK; i++)
        *out_worse = *out_worse || newly_failing(&d.pairs[i]);
    if (status == ISO_OK && out_text)
        status = put_difference(json, out_text);
    if (status == ISO_OK && out_json)
        *out_json = json_incref(json);
    json_decref(json);
    iso_free(NULL, d.pairs);
    conform_content_deinit(&a);
    conform_content_deinit(&b);
    return status;
}
