// SPDX-License-Identifier: MIT
//
// What follows from a bundle's results for other readers: JUnit XML for build servers, and the HTML page.
// Both are made from the content alone, and the same content gives the same bytes.
#ifndef ISOMER_CONFORMANCE_PAGES_H
#define ISOMER_CONFORMANCE_PAGES_H

#include "conformance/report/content.h"
#include "runtime/base/strings.h"

#define CONFORM_JUNIT "junit.xml"
#define CONFORM_HTML  "report.html"

// Append to `out`. The content is finished (has a summary).
iso_status conform_junit_make(const conform_content *content, iso_text *out) ISO_MUST_USE;
iso_status conform_html_make(const conform_content *content, iso_text *out) ISO_MUST_USE;

// Appends text with the five characters that mean something to HTML and XML replaced.
iso_status conform_append_escaped(iso_text *out, const char *text) ISO_MUST_USE;

#endif
