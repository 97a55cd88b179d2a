// SPDX-License-Identifier: MIT
//
// Error by layer of each model that was run, from records whose `more` holds
// {"layers": [{"layer": n, "worst": x, "rms": x}, …]}.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance/report/fields.h"
#include "conformance/report/page.h"

#define MOST_CURVES 24
#define MOST_LAYERS 512

typedef struct curve {
    double layer[MOST_LAYERS], worst[MOST_LAYERS], rms[MOST_LAYERS];
    size_t count;
    double low, high; // decades
    double most;      // worst of all
} curve;

static void widen(curve *curve, double value)
{
    if (!(value > 0) || isinf(value))
        return;
    curve->low = fmin(curve->low, floor(log10(value)));
    curve->high = fmax(curve->high, ceil(log10(value)));
}

static bool read_curve(const conform_record *record, curve *out)
{
    json_t *layers = record->result.more ? json_object_get(record->result.more, "layers") : NULL;
    *out = (curve){.low = 99, .high = -99, .most = 0};
    for (size_t i = 0; json_is_array(layers) && i < json_array_size(layers) && out->count < MOST_LAYERS;
         i++) {
        json_t *one = json_array_get(layers, i);
        size_t at = out->count;
        if (!conform_double_of(json_object_get(one, "layer"), &out->layer[at]) ||
            !conform_double_of(json_object_get(one, "worst"), &out->worst[at]))
            continue;
        if (!conform_double_of(json_object_get(one, "rms"), &out->rms[at]))
            out->rms[at] = (double)NAN;
        widen(out, out->worst[at]);
        widen(out, out->rms[at]);
        out->most = !(out->worst[at] <= out->most) ? out->worst[at] : out->most;
        out->count++;
    }
    if (out->low > out->high)
        out->low = out->high = 0;
    if (out->low == out->high)
        out->high = out->low + 1;
    return out->count > 1;
}

static double part_of(const curve *curve, double value)
{
    double part = value > 0 ? (log10(value) - curve->low) / (curve->high - curve->low) : 0;
    return part < 0 ? 0 : !(part < 1) ? 1 : part;
}

static void put_polyline(page *page, const curve *curve, const double *values, const char *kind)
{
    double first = curve->layer[0], span = fmax(1, curve->layer[curve->count - 1] - first);
    page_put(page, "<polyline class=\"%s\" points=\"", kind);
    for (size_t i = 0; i < curve->count; i++)
        if (!isnan(values[i]))
            page_put(page, "%.1f,%.1f ", 40 + 270 * (curve->layer[i] - first) / span,
                     124 - 114 * part_of(curve, values[i]));
    page_put(page, "\"/>");
}

static void put_curve(page *page, const conform_record *record, const curve *curve)
{
    page_put(page, "<figure class=\"card\" style=\"margin:0\"><div class=\"top\"><h3>");
    page_text(page, record->unit);
    page_put(page, "</h3><span>worst ");
    page_score(page, curve->most);
    page_put(page, "</span></div><p style=\"margin:0\">");
    page_text(page, record->result.check);
    page_put(page, "</p><svg viewBox=\"0 0 320 150\" role=\"img\" aria-label=\"error by layer\">"
                   "<line class=\"ax\" x1=\"40\" y1=\"124\" x2=\"310\" y2=\"124\"/>");
    for (int decade = (int)curve->low; decade <= (int)curve->high; decade++) {
        double y = 124 - 114 * (decade - curve->low) / (curve->high - curve->low);
        if (curve->high - curve->low > 6 && (decade - (int)curve->low) % 2)
            continue;
        page_put(page,
                 "<line class=\"ax\" x1=\"40\" y1=\"%.1f\" x2=\"310\" y2=\"%.1f\"/>"
                 "<text x=\"36\" y=\"%.1f\" text-anchor=\"end\">1e%d</text>",
                 y, y, y + 3, decade);
    }
    put_polyline(page, curve, curve->rms, "l2");
    put_polyline(page, curve, curve->worst, "ln");
    page_put(page,
             "<text x=\"40\" y=\"137\">%.0f</text><text x=\"310\" y=\"137\" text-anchor=\"end\">%.0f</text>"
             "<text x=\"175\" y=\"148\" text-anchor=\"middle\">layer · solid: worst, dotted: RMS</text>"
             "</svg></figure>\n",
             curve->layer[0], curve->layer[curve->count - 1]);
}

void page_layers(page *page)
{
    curve curve;
    size_t found = 0;
    for (size_t i = 0; i < page->content->count; i++) {
        const conform_record *record = &page->content->records[i];
        if (!read_curve(record, &curve) || ++found > MOST_CURVES)
            continue;
        if (found == 1)
            page_put(
                page,
                "<h2 id=\"layers\">Error through the model, layer by layer</h2><p class=\"lead\">Relative "
                "error of the hidden state behind each layer. Rounding grows slowly; a step upwards names "
                "the layer to look at.</p>\n<div class=\"plots\">\n");
        put_curve(page, record, &curve);
    }
    page_put(page, found ? "</div>\n" : "");
    if (found > MOST_CURVES)
        page_put(page, "<p class=\"soft\">%zu more stand in results.jsonl.</p>\n", found - MOST_CURVES);
}
