// SPDX-License-Identifier: MIT
//
// Tables of report.html: op by types with the worst score of each, reasons of what did not run, time by
// suite.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/page.h"

// ---- op by types ----

#define MOST_TYPES 128

typedef struct matrix_cell {
    uint32_t passed, bad, other;
    double worst;
} matrix_cell;

// The types in "ops/linear/f32_bf16_f32/7/cancel"; false: the unit names none.
static bool types_of(const conform_record *record, char out[CONFORM_UNIT_BYTES])
{
    const char *at = record->unit;
    size_t op_length = strlen(record->result.op);
    // Other units of the suite (coverage, …) are about no types.
    if (strncmp(at, "ops/", 4) != 0 || op_length == 0 || strncmp(at + 4, record->result.op, op_length) != 0 ||
        at[4 + op_length] != '/')
        return false;
    at += 4 + op_length;
    size_t length = strcspn(at + 1, "/");
    memcpy(out, at + 1, length);
    out[length] = '\0';
    return length > 0;
}

static void put_cell(page *page, const matrix_cell *cell)
{
    if (cell->bad) {
        page_put(page, "<td class=\"x\" title=\"%u failed, %u passed\">✕ %u</td>", cell->bad, cell->passed,
                 cell->bad);
    } else if (!cell->passed) {
        page_put(page,
                 cell->other ? "<td class=\"u\" title=\"unsupported or skipped\">no</td>" : "<td></td>");
    } else {
        int heat = isnan(cell->worst) || cell->worst < 0.05 ? 0
                   : cell->worst < 0.25                     ? 1
                   : cell->worst < 0.6                      ? 2
                                                            : 3;
        page_put(page, "<td class=\"h%d\" title=\"%u passed\">", heat, cell->passed);
        if (isnan(cell->worst))
            page_put(page, "✓");
        else
            page_score(page, cell->worst);
        page_put(page, "</td>");
    }
}

static void put_matrix(page *page, const page_names *ops, const page_names *types, const matrix_cell *cells)
{
    page_put(page, "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>op</th>");
    for (size_t t = 0; t < types->count; t++) {
        page_put(page, "<th>");
        for (const char *at = types->names[t]; *at;) {
            char part[CONFORM_UNIT_BYTES];
            size_t length = strcspn(at, "_");
            snprintf(part, sizeof part, "%.*s", (int)length, at);
            page_text(page, strcmp(part, "none") == 0 ? "–" : part);
            at += length + (at[length] == '_');
            page_put(page, *at ? "<br>" : "");
        }
        page_put(page, "</th>");
    }
    page_put(page, "</tr></thead><tbody>\n");
    for (size_t o = 0; o < ops->count; o++) {
        page_put(page, "<tr><th>");
        page_text(page, ops->names[o]);
        page_put(page, "</th>");
        for (size_t t = 0; t < types->count; t++)
            put_cell(page, &cells[o * types->count + t]);
        page_put(page, "</tr>\n");
    }
    page_put(page, "</tbody></table></div>\n");
}

static size_t find(const page_names *names, const char *name)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->names[i], name) != 0)
        i++;
    return i;
}

static void fill_cells(const conform_content *content, const page_names *ops, const page_names *types,
                       matrix_cell *cells)
{
    char type[CONFORM_UNIT_BYTES];
    for (size_t i = 0; i < content->count; i++) {
        const conform_record *record = &content->records[i];
        if (!types_of(record, type))
            continue;
        size_t o = find(ops, record->result.op), t = find(types, type);
        if (o == ops->count || t == types->count)
            continue;
        matrix_cell *cell = &cells[o * types->count + t];
        bool bad = conform_outcome_is_bad(record->result.outcome);
        cell->bad += bad;
        cell->passed += record->result.outcome == CONFORM_PASS;
        cell->other += !bad && record->result.outcome != CONFORM_PASS;
        if (!(record->result.score <= cell->worst) && !isnan(record->result.score))
            cell->worst = record->result.score;
    }
}

// The types are parts of unit names, so that they need room of their own.
static void collect_types(page *page, page_names *ops, page_names *types, char (*room)[CONFORM_UNIT_BYTES])
{
    for (size_t i = 0; i < page->content->count; i++) {
        const conform_record *record = &page->content->records[i];
        if (!types_of(record, room[types->count < MOST_TYPES ? types->count : MOST_TYPES]))
            continue;
        page_name(page, ops, record->result.op);
        if (types->count < MOST_TYPES)
            page_name(page, types, room[types->count]);
    }
    page_names_sort(ops);
    page_names_sort(types);
}

// Types that many ops have come first; cells are in the old order then.
static void order_types(const page_names *ops, page_names *types, const matrix_cell *cells)
{
    uint32_t used[MOST_TYPES] = {0};
    for (size_t t = 0; t < types->count; t++)
        for (size_t o = 0; o < ops->count; o++) {
            const matrix_cell *cell = &cells[o * types->count + t];
            used[t] += cell->passed + cell->bad + cell->other > 0;
        }
    for (size_t i = 1; i < types->count; i++)
        for (size_t t = i; t > 0 && used[t] > used[t - 1]; t--) {
            const char *name = types->names[t];
            uint32_t count = used[t];
            types->names[t] = types->names[t - 1];
            types->names[t - 1] = name;
            used[t] = used[t - 1];
            used[t - 1] = count;
        }
}

static void clear_cells(matrix_cell *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cells[i] = (matrix_cell){.worst = (double)NAN};
}

void page_matrix(page *page)
{
    page_names ops = {0}, types = {0};
    matrix_cell *cells = NULL;
    char(*room)[CONFORM_UNIT_BYTES] = NULL;
    if (page->status == ISO_OK)
        page->status = iso_alloc_array(NULL, MOST_TYPES + 1, sizeof *room, (void **)&room);
    if (page->status == ISO_OK)
        collect_types(page, &ops, &types, room);
    if (page->status == ISO_OK && ops.count && types.count)
        page->status = ISO_NEW(NULL, ops.count * types.count, &cells);
    if (cells) {
        clear_cells(cells, ops.count * types.count);
        fill_cells(page->content, &ops, &types, cells);
        order_types(&ops, &types, cells);
        clear_cells(cells, ops.count * types.count);
        fill_cells(page->content, &ops, &types, cells);
        page_put(
            page,
            "<h2 id=\"ops\">Ops by types</h2><p class=\"lead\">Types of input, weight and output, top to "
            "bottom. The number is the worst error / bound of all checks; the darker, the nearer to the "
            "bound. ✕ counts failures, “no” is what the device or its kernels refuse.</p>\n");
        put_matrix(page, &ops, &types, cells);
        if (types.count == MOST_TYPES)
            page_put(page, "<p class=\"soft\">More types stand in results.jsonl.</p>\n");
    }
    iso_free(NULL, cells);
    iso_free(NULL, room);
    page_names_deinit(&ops);
    page_names_deinit(&types);
}

// ---- reasons ----

#define MOST_REASONS 40
#define MOST_KINDS   2000 // told apart at all

typedef struct reason {
    const conform_record *first;
    size_t count;
} reason;

// Equal but for numbers: "width 4100 is above 4096" and "width 7168 is above 4096" are one reason.
static bool alike(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            a += strspn(a, "0123456789.");
            b += strspn(b, "0123456789.");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

static int by_count(const void *a, const void *b)
{
    const reason *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->first->unit, y->first->unit);
}

static bool did_not_run(conform_outcome outcome)
{
    return outcome == CONFORM_SKIP || outcome == CONFORM_UNSUPPORTED || outcome == CONFORM_EXPECTED_FAIL;
}

static iso_status collect_reasons(const conform_content *content, reason **out, size_t *out_count)
{
    size_t capacity = 0;
    *out = NULL;
    *out_count = 0;
    for (size_t i = 0; i < content->count; i++) {
        const conform_record *record = &content->records[i];
        size_t at = 0;
        if (!did_not_run(record->result.outcome))
            continue;
        while (at < *out_count && ((*out)[at].first->result.outcome != record->result.outcome ||
                                   strcmp((*out)[at].first->suite, record->suite) != 0 ||
                                   !alike((*out)[at].first->result.detail, record->result.detail)))
            at++;
        if (at == MOST_KINDS)
            continue;
        if (at == *out_count) {
            ISO_TRY(iso_grow(NULL, sizeof **out, at + 1, (void **)out, &capacity));
            (*out)[(*out_count)++] = (reason){.first = record};
        }
        (*out)[at].count++;
    }
    if (*out_count)
        qsort(*out, *out_count, sizeof **out, by_count);
    return ISO_OK;
}

void page_reasons(page *page)
{
    reason *reasons = NULL;
    size_t count = 0;
    if (page->status == ISO_OK)
        page->status = collect_reasons(page->content, &reasons, &count);
    if (page->status == ISO_OK && count) {
        page_put(
            page,
            "<h2 id=\"reasons\">What did not run, and why</h2><p class=\"lead\">A skip could not be tried "
            "here; unsupported is the device's or a kernel's own “no”. Reasons that differ in numbers only "
            "are counted together.</p>\n<div class=\"scroll\"><table><thead><tr><th>checks</th><th>how</th>"
            "<th>suite</th><th>reason</th></tr></thead><tbody>\n");
        for (size_t i = 0; i < count && i < MOST_REASONS; i++) {
            page_put(page, "<tr><td class=\"n\">");
            page_count(page, reasons[i].count);
            page_put(page, "</td><td><span class=\"tag none\">%s</span></td><td>",
                     conform_outcome_name(reasons[i].first->result.outcome));
            page_text(page, reasons[i].first->suite);
            page_put(page, "</td><td>");
            page_text(page,
                      reasons[i].first->result.detail[0] ? reasons[i].first->result.detail : "none given");
            page_put(page, "</td></tr>\n");
        }
        page_put(page, "</tbody></table></div>\n");
        if (count > MOST_REASONS)
            page_put(page, "<p class=\"soft\">%zu more reasons stand in results.jsonl.</p>\n",
                     count - MOST_REASONS);
    }
    iso_free(NULL, reasons);
}

// ---- time ----

static double suite_seconds(const conform_content *content, const char *suite, size_t *out_checks)
{
    double seconds = 0;
    *out_checks = 0;
    for (size_t i = 0; i < content->count; i++) {
        const conform_record *record = &content->records[i];
        if (strcmp(record->suite, suite) != 0)
            continue;
        seconds += record->seconds > 0 && record->seconds < 1e9 ? record->seconds : 0;
        ++*out_checks;
    }
    return seconds;
}

void page_times(page *page)
{
    page_names suites = {0};
    double most = 0;
    size_t checks;
    for (size_t i = 0; i < page->content->count; i++)
        page_name(page, &suites, page->content->records[i].suite);
    for (size_t i = 0; i < suites.count; i++)
        most = fmax(most, suite_seconds(page->content, suites.names[i], &checks));
    page_put(page, "<h2 id=\"time\">Time</h2><p class=\"lead\">The whole run took ");
    page_seconds(page, page->content->summary.seconds);
    page_put(page, " for %u units in %u worker process%s.</p>\n<div class=\"scroll\"><table><tbody>\n",
             page->content->summary.unit_count, page->content->summary.worker_count,
             page->content->summary.worker_count == 1 ? "" : "es");
    for (size_t i = 0; i < suites.count; i++) {
        double seconds = suite_seconds(page->content, suites.names[i], &checks);
        page_put(page, "<tr><th>");
        page_text(page, suites.names[i]);
        page_put(page, "</th><td class=\"n\">");
        page_count(page, checks);
        page_put(page, " checks</td><td class=\"n\">");
        page_seconds(page, seconds);
        page_put(
            page,
            "</td><td style=\"width:50%%\"><div class=\"hbar\" style=\"width:%.1f%%;margin-top:7px\"></div>"
            "</td></tr>\n",
            most > 0 ? 100 * seconds / most : 0);
    }
    page_put(page, "</tbody></table></div>\n");
    page_names_deinit(&suites);
}
