// SPDX-License-Identifier: MIT
//
// junit.xml for build servers: a test suite for each suite, a test case for each check. Unsupported is
// skipped; an expected failure is skipped, too, with its reason. Made from the content alone.
#include <string.h>

#include "conformance/report/page.h"

static const char *element_of(conform_outcome outcome)
{
    switch (outcome) {
    case CONFORM_PASS:
        return NULL;
    case CONFORM_FAIL:
    case CONFORM_UNEXPECTED_PASS:
        return "failure";
    case CONFORM_CRASH:
    case CONFORM_HANG:
        return "error";
    default:
        return "skipped";
    }
}

static void put_case(page *page, const conform_record *record)
{
    const char *element = element_of(record->result.outcome);
    page_put(page, "    <testcase classname=\"");
    page_text(page, record->unit);
    page_put(page, "\" name=\"");
    page_text(page, record->result.check[0] ? record->result.check : record->unit);
    page_put(page, "\" time=\"%.6f\"", record->seconds > 0 && record->seconds < 1e9 ? record->seconds : 0);
    if (!element) {
        page_put(page, "/>\n");
        return;
    }
    page_put(page, "><%s message=\"%s: ", element, conform_outcome_name(record->result.outcome));
    page_text(page, record->result.detail);
    page_put(page, "\"/></testcase>\n");
}

static void put_suite(page *page, const char *suite)
{
    uint64_t counts[4] = {0}; // all, failures, errors, skipped
    double seconds = 0;
    for (size_t i = 0; i < page->content->count; i++) {
        const conform_record *record = &page->content->records[i];
        const char *element = element_of(record->result.outcome);
        if (strcmp(record->suite, suite) != 0)
            continue;
        counts[0]++;
        counts[1] += element && strcmp(element, "failure") == 0;
        counts[2] += element && strcmp(element, "error") == 0;
        counts[3] += element && strcmp(element, "skipped") == 0;
        seconds += record->seconds > 0 && record->seconds < 1e9 ? record->seconds : 0;
    }
    page_put(page, "  <testsuite name=\"");
    page_text(page, suite);
    page_put(page,
             "\" tests=\"%llu\" failures=\"%llu\" errors=\"%llu\" skipped=\"%llu\" time=\"%.6f\" hostname=\"",
             (unsigned long long)counts[0], (unsigned long long)counts[1], (unsigned long long)counts[2],
             (unsigned long long)counts[3], seconds);
    page_text(page, page->content->summary.device);
    page_put(page, "\" timestamp=\"");
    page_text(page, page->content->header.date);
    page_put(page, "\">\n");
    for (size_t i = 0; i < page->content->count; i++)
        if (strcmp(page->content->records[i].suite, suite) == 0)
            put_case(page, &page->content->records[i]);
    page_put(page, "  </testsuite>\n");
}

iso_status conform_junit_make(const conform_content *content, iso_text *out)
{
    page page = {.content = content, .out = out, .status = ISO_OK};
    page_put(&page, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"isomer conform ");
    page_text(&page, content->summary.device);
    page_put(&page, "\">\n");
    page_names suites = {0};
    for (size_t i = 0; i < content->count; i++)
        page_name(&page, &suites, content->records[i].suite);
    for (size_t i = 0; i < suites.count; i++)
        put_suite(&page, suites.names[i]);
    page_put(&page, "</testsuites>\n");
    page_names_deinit(&suites);
    return page.status;
}
