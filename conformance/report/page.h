// SPDX-License-Identifier: MIT
//
// The parts of report.html and what they share: a text that is appended to until something fails, names that
// occur in the records, and the sizes of the small plots. Private to the page's files.
#ifndef ISOMER_CONFORMANCE_PAGE_H
#define ISOMER_CONFORMANCE_PAGE_H

#include "conformance/report/pages.h"

// ---- types ----

// The first failure is kept, and nothing is appended after it.
typedef struct page {
    const conform_content *content;
    iso_text *out;
    iso_status status;
} page;

// Distinct texts in the order of their first use; each stands in a record.
typedef struct page_names {
    const char **names;
    size_t count, capacity;
} page_names;

// ---- calls: text ----

void page_put(page *page, const char *format, ...) ISO_PRINTF(2, 3);
void page_text(page *page, const char *text); // escaped
void page_count(page *page, uint64_t value);  // 12,345
void page_score(page *page, double score);    // 0.43, 2.1e-05, ∞, –
void page_seconds(page *page, double seconds);

// Finds or adds; the index, or SIZE_MAX after a failure (which the page keeps) or where there are too many.
size_t page_name(page *page, page_names *names, const char *name);
void page_names_sort(page_names *names);
void page_names_deinit(page_names *names);

// "unit", "check" as the one-line reproducer.
void page_reproducer(page *page, const conform_record *record);

// ---- calls: parts, in their order on the page ----

extern const char page_style[];
void page_verdict(page *page);  // banner, outcomes, profiles
void page_failures(page *page); // each with its reproducer
void page_device(page *page);   // declared and measured
void page_matrix(page *page);   // op by types
void page_scores(page *page);   // histograms, one per op
void page_lengths(page *page);  // score over reduction length
void page_layers(page *page);   // error by layer
void page_reasons(page *page);  // skipped, unsupported, expected
void page_times(page *page);

#endif
