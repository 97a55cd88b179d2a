// SPDX-License-Identifier: MIT
//
// The plots of report.html as small SVG drawings, one op or model each, so that they are readable on a phone:
// how near scores come to the bound, scores over the reduction length, error by layer of a model.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/fields.h"
#include "conformance/report/page.h"

#define WIDTH  320.0
#define HEIGHT 150.0
#define LEFT   40.0
#define RIGHT  10.0
#define TOP    10.0
#define BOTTOM 26.0

// Scores from 1e-4 to 10 in quarters of a decade; what is smaller or greater has a bin of its own.
#define LOW_DECADE  (-4)
#define HIGH_DECADE 1
#define PER_DECADE  4
#define BINS        ((HIGH_DECADE - LOW_DECADE) * PER_DECADE + 2)

static double x_at(double part)
{
    return LEFT + part * (WIDTH - LEFT - RIGHT);
}

static double y_at(double part)
{
    return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP);
}

static void begin_plot(page *page, const char *title, const char *worst_word, double worst)
{
    page_put(page, "<figure class=\"card\" style=\"margin:0\"><div class=\"top\"><h3>");
    page_text(page, title);
    page_put(page, "</h3><span>%s ", worst_word);
    page_score(page, worst);
    page_put(page, "</span></div><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    page_text(page, title);
    page_put(page, "\">");
}

static void end_plot(page *page)
{
    page_put(page, "</svg></figure>\n");
}

static void put_line(page *page, const char *kind, double x1, double y1, double x2, double y2)
{
    page_put(page, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", kind, x1, y1, x2,
             y2);
}

static void put_label(page *page, double x, double y, const char *anchor, const char *text)
{
    page_put(page, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>", x, y, anchor, text);
}

// 10 to the power of `decade`, in few characters.
static const char *power_label(int decade, char out[24])
{
    static const char *const powers[] = {"0.0001", "0.001", "0.01", "0.1",  "1", "10",
                                         "100",    "1k",    "10k",  "100k", "1M"};
    if (decade >= -4 && decade < (int)(sizeof powers / sizeof powers[0]) - 4)
        return powers[decade + 4];
    snprintf(out, 24, "1e%d", decade);
    return out;
}

// ---- scores ----

static int bin_of(double score)
{
    if (!(score < 10))
        return BINS - 1;
    if (score < 1e-4)
        return 0;
    int bin = (int)floor((log10(score) - LOW_DECADE) * PER_DECADE + 1e-9) + 1;
    int last = score <= 1 ? -LOW_DECADE * PER_DECADE : BINS - 2; // exactly 1 passes
    return bin < 1 ? 1 : bin > last ? last : bin;
}

static bool has_score(const conform_record *record, const char *op)
{
    return !isnan(record->result.score) && strcmp(record->result.op, op) == 0;
}

static void put_histogram(page *page, const char *op)
{
    uint64_t bins[BINS] = {0}, most = 1, all = 0;
    double worst = (double)NAN;
    char label[24], text[64];
    for (size_t i = 0; i < page->content->count; i++) {
        const conform_record *record = &page->content->records[i];
        if (!has_score(record, op))
            continue;
        uint64_t *bin = &bins[bin_of(record->result.score)];
        most = ++*bin > most ? *bin : most;
        all++;
        worst = !(record->result.score <= worst) ? record->result.score : worst;
    }
    begin_plot(page, op, "worst", worst);
    put_line(page, "ax", x_at(0), y_at(0), x_at(1), y_at(0));
    for (int b = 0; b < BINS; b++) {
        if (!bins[b])
            continue;
        double part = log10(1 + (double)bins[b]) / log10(1 + (double)most);
        bool over = b > -LOW_DECADE * PER_DECADE;
        page_put(page,
                 "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%llu</title>"
                 "</rect>",
                 over ? "r" : "b", x_at((double)b / BINS) + 0.5, y_at(part * 0.9),
                 (WIDTH - LEFT - RIGHT) / BINS - 1, y_at(0) - y_at(part * 0.9), (unsigned long long)bins[b]);
    }
    for (int decade = LOW_DECADE + 1; decade <= 0; decade++)
        put_label(page, x_at((1.0 + (decade - LOW_DECADE) * PER_DECADE) / BINS), HEIGHT - 12, "middle",
                  power_label(decade, label));
    put_label(page, x_at(0), HEIGHT - 12, "start", "less");
    put_label(page, x_at(1), HEIGHT - 12, "end", "more");
    double bound = x_at((1.0 - LOW_DECADE * PER_DECADE) / BINS);
    put_line(page, "bd", bound, TOP, bound, y_at(0));
    page_put(page, "<text class=\"rt\" x=\"%.1f\" y=\"%.1f\">bound</text>", bound + 4, TOP + 8);
    snprintf(text, sizeof text, "%llu", (unsigned long long)most);
    put_label(page, LEFT - 4, y_at(0.9) + 4, "end", text);
    put_label(page, LEFT - 4, y_at(0) + 3, "end", "0");
    snprintf(text, sizeof text, "error / bound of %llu checks", (unsigned long long)all);
    put_label(page, x_at(0.5), HEIGHT - 1, "middle", text);
    end_plot(page);
}

static page_names scored_ops(page *page)
{
    page_names ops = {0};
    for (size_t i = 0; i < page->content->count; i++) {
        const conform_result *result = &page->content->records[i].result;
        if (!isnan(result->score) && result->op[0])
            page_name(page, &ops, result->op);
    }
    page_names_sort(&ops);
    return ops;
}

void page_scores(page *page)
{
    page_names ops = scored_ops(page);
    if (ops.count) {
        page_put(
            page,
            "<h2 id=\"scores\">How near to the bound</h2><p class=\"lead\">Each check's worst element: its "
            "error divided by the largest error that an honest implementation can make there. At 1 the "
            "check fails. Far below, the bound says little. Heights are logarithmic.</p>\n"
            "<div class=\"plots\">\n");
        for (size_t i = 0; i < ops.count; i++)
            put_histogram(page, ops.names[i]);
        page_put(page, "</div>\n");
    }
    page_names_deinit(&ops);
}

// ---- score over reduction length ----

#define COLUMNS 64
#define ROWS    40

typedef struct length_cells {
    bool hit[2][COLUMNS]
            [ROWS];        // [0]: float32 outputs, [1]: others, whose own rounding is most of their error
    double worst[COLUMNS]; // of float32 outputs, part of the height; < 0: nothing
    double low, high;      // log10 of the lengths
    size_t count;
    double worst_score;
} length_cells;

static bool length_of(const conform_record *record, const char *op, double *out)
{
    return has_score(record, op) && record->result.more &&
           conform_double_of(json_object_get(record->result.more, "k"), out) && *out >= 1 && *out < 1e12;
}

// Whether the output's type, the last one in "ops/linear/f32_bf16_bf16/7/cancel", has fewer bits than
// float32.
static bool is_narrow(const conform_record *record)
{
    static const char *const narrow[] = {"_bf16", "_f16", "_e4m3"};
    const char *types = strncmp(record->unit, "ops/", 4) == 0 ? strchr(record->unit + 4, '/') : NULL;
    size_t length = types ? strcspn(types + 1, "/") : 0;
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++) {
        size_t bytes = strlen(narrow[i]);
        if (length > bytes && strncmp(types + 1 + length - bytes, narrow[i], bytes) == 0)
            return true;
    }
    return false;
}

static double score_part(double score)
{
    double part = score > 0 ? (log10(score) - LOW_DECADE) / (HIGH_DECADE - LOW_DECADE) : 0;
    return part < 0 ? 0 : !(part < 1) ? 1 : part;
}

static void collect_lengths(const conform_content *content, const char *op, length_cells *cells)
{
    double k;
    *cells = (length_cells){.low = 99, .high = 0, .worst_score = (double)NAN};
    for (int c = 0; c < COLUMNS; c++)
        cells->worst[c] = -1;
    for (size_t i = 0; i < content->count; i++)
        if (length_of(&content->records[i], op, &k)) {
            cells->low = fmin(cells->low, floor(log10(k)));
            cells->high = fmax(cells->high, fmax(ceil(log10(k)), cells->low + 1));
            cells->count++;
        }
    for (size_t i = 0; i < content->count; i++) {
        if (!length_of(&content->records[i], op, &k))
            continue;
        double score = content->records[i].result.score, part = score_part(score);
        int column = (int)((log10(k) - cells->low) / (cells->high - cells->low) * (COLUMNS - 1) + 0.5);
        bool other = is_narrow(&content->records[i]);
        cells->hit[other][column][(int)(part * (ROWS - 1) + 0.5)] = true;
        if (!other)
            cells->worst[column] = fmax(cells->worst[column], part);
        cells->worst_score = !(score <= cells->worst_score) ? score : cells->worst_score;
    }
}

static void put_cells(page *page, const length_cells *cells, int series)
{
    for (int c = 0; c < COLUMNS; c++)
        for (int r = 0; r < ROWS; r++)
            if (cells->hit[series][c][r])
                page_put(page, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"/>",
                         (double)r / (ROWS - 1) > score_part(1) + 0.02 ? "r"
                         : series                                      ? "p2"
                                                                       : "pt",
                         x_at((double)c / (COLUMNS - 1)), y_at((double)r / (ROWS - 1)));
}

static void put_lengths(page *page, const char *op, const length_cells *cells)
{
    char label[24];
    bool first = true;
    begin_plot(page, op, "worst", cells->worst_score);
    put_line(page, "ax", x_at(0), y_at(0), x_at(1), y_at(0));
    put_line(page, "bd", x_at(0), y_at(score_part(1)), x_at(1), y_at(score_part(1)));
    for (int decade = LOW_DECADE; decade <= HIGH_DECADE; decade++)
        put_label(page, LEFT - 5, y_at(score_part(pow(10, decade))) + 3, "end", power_label(decade, label));
    for (int decade = (int)cells->low; decade <= (int)cells->high; decade++)
        put_label(page, x_at((decade - cells->low) / (cells->high - cells->low)), HEIGHT - 13, "middle",
                  power_label(decade, label));
    put_label(page, x_at(0.5), HEIGHT - 2, "middle", "terms of a sum");
    put_cells(page, cells, 1);
    put_cells(page, cells, 0);
    page_put(page, "<polyline class=\"ln\" points=\"");
    for (int c = 0; c < COLUMNS; c++)
        if (cells->worst[c] >= 0) {
            page_put(page, "%s%.1f,%.1f", first ? "" : " ", x_at((double)c / (COLUMNS - 1)),
                     y_at(cells->worst[c]));
            first = false;
        }
    page_put(page, "\"/>");
    end_plot(page);
}

void page_lengths(page *page)
{
    page_names ops = scored_ops(page);
    length_cells cells;
    bool any = false;
    for (size_t i = 0; i < ops.count; i++) {
        collect_lengths(page->content, ops.names[i], &cells);
        if (cells.count == 0)
            continue;
        if (!any)
            page_put(
                page,
                "<h2 id=\"lengths\">Error over the length of the sum</h2><p class=\"lead\">Error / bound "
                "of each check against how many terms it adds: float32 outputs in blue, with a line through "
                "the "
                "worst of each length; others in grey, their own rounding is most of their error. A line "
                "that "
                "climbs to the right adds in too few bits.</p>\n<div class=\"plots\">\n");
        any = true;
        put_lengths(page, ops.names[i], &cells);
    }
    page_put(page, any ? "</div>\n" : "");
    page_names_deinit(&ops);
}
