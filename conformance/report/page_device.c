// SPDX-License-Identifier: MIT
//
// The device on report.html: what its driver declares, and beside it what was measured and what the bounds
// were computed with.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/page.h"

#define MOST_MEASURED 80

static const struct {
    uint32_t bit;
    const char *name;
} features[] = {
    {ISO_FEATURE_NATIVE_AVX2, "AVX2"},    {ISO_FEATURE_NATIVE_AVX512, "AVX-512"},
    {ISO_FEATURE_F16, "float16"},         {ISO_FEATURE_F64, "float64"},
    {ISO_FEATURE_INT64, "int64"},         {ISO_FEATURE_STORAGE_8_16, "8- and 16-bit storage"},
    {ISO_FEATURE_SUBGROUPS, "subgroups"}, {ISO_FEATURE_HOST_VISIBLE, "host-visible memory"},
};

static void begin_row(page *page, const char *name)
{
    page_put(page, "<tr><th>");
    page_text(page, name);
    page_put(page, "</th><td>");
}

static void text_row(page *page, const char *name, const char *text)
{
    begin_row(page, name);
    page_text(page, text[0] ? text : "–");
    page_put(page, "</td></tr>\n");
}

static void bytes_row(page *page, const char *name, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    begin_row(page, name);
    page_put(page, value == floor(value) ? "%.0f %s" : "%.1f %s", value, units[unit]);
    page_put(page, "</td></tr>\n");
}

static void count_row(page *page, const char *name, uint64_t value)
{
    begin_row(page, name);
    if (value)
        page_count(page, value);
    else
        page_put(page, "not said");
    page_put(page, "</td></tr>\n");
}

// 2⁻²⁴ where it is a power of two, else 1.23e-07.
static void error_row(page *page, const char *name, double value)
{
    int exponent = 0;
    begin_row(page, name);
    if (value > 0 && !isinf(value) && frexp(value, &exponent) == 0.5)
        page_put(page, "2<sup>%d</sup>", exponent - 1);
    else
        page_put(page, "%.3g", value);
    page_put(page, "</td></tr>\n");
}

static void declared(page *page)
{
    const iso_device_info *info = &page->content->summary.info;
    bool any = false;
    page_put(page,
             "<div class=\"scroll\"><table><thead><tr><th colspan=\"2\">Declared by the driver</th></tr>"
             "</thead><tbody>\n");
    text_row(page, "Device", info->name);
    text_row(page, "Driver", info->driver);
    text_row(page, "Architecture", info->arch);
    bytes_row(page, "Memory", info->memory_bytes);
    bytes_row(page, "Largest allocation", info->max_allocation_bytes);
    bytes_row(page, "Local memory of a group", info->local_memory_bytes);
    count_row(page, "Threads of a group, at most", info->max_group_size);
    count_row(page, "Subgroup width", info->subgroup_size);
    count_row(page, "Compute units", info->compute_units);
    begin_row(page, "Features");
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (info->features & features[i].bit) {
            page_put(page, "%s%s", any ? ", " : "", features[i].name);
            any = true;
        }
    page_put(page, "%s</td></tr>\n</tbody></table></div>\n", any ? "" : "none");
}

static void value_row(page *page, const char *name, json_t *value)
{
    begin_row(page, name);
    if (json_is_string(value)) {
        page_text(page, json_string_value(value));
    } else if (json_is_real(value)) {
        page_put(page, "%.4g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        page_put(page, json_is_true(value) ? "yes" : "no");
    } else {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        page_text(page, text && strlen(text) < 400 ? text : "…");
        free(text);
    }
    page_put(page, "</td></tr>\n");
}

// The members' names as words: "sum_bits" becomes "sum bits".
static void measured_rows(page *page, json_t *object)
{
    const char *key;
    json_t *value;
    uint32_t rows = 0;
    json_object_foreach(object, key, value)
    {
        char name[96];
        // Objects (the numerics once more) have their rows above.
        if (json_is_object(value) || rows++ >= MOST_MEASURED)
            continue;
        iso_copy_text(name, sizeof name, key);
        for (char *at = name; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        value_row(page, name, value);
    }
}

static void measured(page *page)
{
    const conform_summary *summary = &page->content->summary;
    const iso_numerics *numerics = &summary->numerics;
    page_put(
        page,
        "<div class=\"scroll\"><table><thead><tr><th colspan=\"2\">Measured, and used for the bounds</th>"
        "</tr></thead><tbody>\n");
    error_row(page, "Largest relative error of + and ×", numerics->unit);
    text_row(page, "Roundings", numerics->biased ? "all to one side" : "to both sides");
    error_row(page, "Magnitudes below may be taken for 0", numerics->flush);
    error_row(page, "exp", numerics->exp_unit);
    error_row(page, "Square root and division", numerics->root_unit);
    error_row(page, "Storing as BF16", numerics->bf16_unit);
    if (numerics->matrix_units[ISO_MATRIX_BF16] > 0)
        error_row(page, "A term of a matrix instruction, BF16", numerics->matrix_units[ISO_MATRIX_BF16]);
    if (numerics->matrix_units[ISO_MATRIX_E4M3] > 0)
        error_row(page, "A term of a matrix instruction, E4M3", numerics->matrix_units[ISO_MATRIX_E4M3]);
    if (summary->measured)
        measured_rows(page, summary->measured);
    else
        text_row(page, "Profile", "not measured in this run: IEEE 754 is assumed");
    page_put(page, "</tbody></table></div>\n");
}

void page_device(page *page)
{
    page_put(
        page,
        "<h2 id=\"device\">The device</h2><p class=\"lead\">What a driver says of itself stands beside what "
        "small probe kernels found. The bounds follow what was measured.</p>\n<div class=\"pair\">\n");
    declared(page);
    measured(page);
    page_put(page, "</div>\n");
}
