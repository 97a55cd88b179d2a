// SPDX-License-Identifier: MIT
//
// The top of report.html: one sentence, how all checks ended, each profile's verdict, and every failure with
// the line that shows it again.
#include <stdio.h>
#include <string.h>

#include "conformance/report/page.h"

#define MOST_FAILURES 300 // written out; the rest is counted

static const struct {
    conform_outcome outcome;
    const char *name, *colour;
} outcomes[] = {
    {CONFORM_PASS, "passed", "ok"},
    {CONFORM_FAIL, "failed", "bad"},
    {CONFORM_CRASH, "crashed", "bad"},
    {CONFORM_HANG, "hung", "bad"},
    {CONFORM_UNEXPECTED_PASS, "passed unexpectedly", "bad"},
    {CONFORM_EXPECTED_FAIL, "failed as expected", "part"},
    {CONFORM_UNSUPPORTED, "unsupported", "none"},
    {CONFORM_SKIP, "skipped", "none"},
};

#define OUTCOMES (sizeof outcomes / sizeof outcomes[0])

// ---- the banner ----

static void count_outcomes(const conform_content *content, uint64_t counts[CONFORM_OUTCOME_COUNT])
{
    for (size_t i = 0; i < content->count; i++)
        counts[content->records[i].result.outcome]++;
}

static uint64_t bad_of(const uint64_t counts[CONFORM_OUTCOME_COUNT])
{
    uint64_t bad = 0;
    for (int i = 0; i < CONFORM_OUTCOME_COUNT; i++)
        bad += conform_outcome_is_bad((conform_outcome)i) ? counts[i] : 0;
    return bad;
}

static const char *verdict_colour(const char *verdict)
{
    return strcmp(verdict, "pass") == 0         ? "ok"
           : strcmp(verdict, "fail") == 0       ? "bad"
           : strcmp(verdict, "incomplete") == 0 ? "part"
                                                : "none";
}

static void put_sentence(page *page, uint32_t passed, uint64_t bad)
{
    const conform_summary *summary = &page->content->summary;
    if (bad > 0) {
        page_count(page, bad);
        page_put(page, " check%s failed; %u of %u profile%s pass%s", bad == 1 ? "" : "s", passed,
                 summary->verdict_count, summary->verdict_count == 1 ? "" : "s",
                 passed == 1 && summary->verdict_count != 1 ? "es" : "");
    } else if (passed == summary->verdict_count && passed > 0) {
        page_put(page, passed == 1 ? "Passes the profile" : "Passes all %u profiles", passed);
    } else {
        page_put(page, "Nothing failed; passes %u of %u profiles", passed, summary->verdict_count);
    }
}

static void put_outcomes(page *page, const uint64_t counts[CONFORM_OUTCOME_COUNT])
{
    size_t all = page->content->count ? page->content->count : 1;
    page_put(page, "<div class=\"bar\" role=\"img\" aria-label=\"how the checks ended\">");
    for (size_t i = 0; i < OUTCOMES; i++)
        if (counts[outcomes[i].outcome])
            page_put(page, "<i class=\"c-%s\" style=\"width:%.3f%%\"></i>", outcomes[i].colour,
                     100.0 * (double)counts[outcomes[i].outcome] / (double)all);
    page_put(page, "</div><ul class=\"keys\">");
    for (size_t i = 0; i < OUTCOMES; i++) {
        if (!counts[outcomes[i].outcome])
            continue;
        page_put(page, "<li><i class=\"c-%s\"></i>", outcomes[i].colour);
        page_count(page, counts[outcomes[i].outcome]);
        page_put(page, " %s</li>", outcomes[i].name);
    }
    page_put(page, "</ul>");
}

static void put_profile(page *page, const conform_verdict *verdict)
{
    page_put(page, "<article class=\"card\"><div class=\"top\"><h3>");
    page_text(page, verdict->profile);
    page_put(page, "</h3><span class=\"tag %s\">", verdict_colour(verdict->verdict));
    page_text(page, verdict->verdict);
    page_put(page, "</span></div>");
    if (verdict->missing[0]) {
        page_put(page, "<p>");
        page_text(page, verdict->missing);
        page_put(page, "</p>");
    }
    page_put(page, "</article>\n");
}

void page_verdict(page *page)
{
    const conform_summary *summary = &page->content->summary;
    uint64_t counts[CONFORM_OUTCOME_COUNT] = {0};
    uint32_t passed = 0;
    count_outcomes(page->content, counts);
    for (uint32_t i = 0; i < summary->verdict_count; i++)
        passed += strcmp(summary->verdicts[i].verdict, "pass") == 0;
    uint64_t bad = bad_of(counts);
    bool all = passed == summary->verdict_count && passed > 0;
    page_put(page, "<section class=\"banner %s\"><p class=\"big\">", bad ? "bad" : all ? "ok" : "part");
    put_sentence(page, passed, bad);
    page_put(page, "</p>");
    put_outcomes(page, counts);
    page_put(page, "</section>\n<div class=\"cards\">\n");
    for (uint32_t i = 0; i < summary->verdict_count; i++)
        put_profile(page, &summary->verdicts[i]);
    page_put(page, "</div>\n");
}

// ---- failures ----

static void put_failure(page *page, const conform_record *record)
{
    const conform_result *result = &record->result;
    page_put(page, "<article class=\"card fail\"><div class=\"top\"><h3>");
    page_text(page, record->unit);
    page_put(page, "</h3><span class=\"tag bad\">%s</span></div><p>", conform_outcome_name(result->outcome));
    page_text(page, result->check);
    page_put(page, result->detail[0] ? ": " : "");
    page_text(page, result->detail);
    page_put(page, "</p><p>");
    if (result->score == result->score) {
        page_put(page, "error / bound ");
        page_score(page, result->score);
        page_put(page, " · ");
    }
    if (record->tries)
        page_put(page, "failed %u of %u tries with the same seed", record->failures, record->tries);
    page_put(page, "</p>");
    page_reproducer(page, record);
    page_put(page, "</article>\n");
}

void page_failures(page *page)
{
    const conform_content *content = page->content;
    uint64_t counts[CONFORM_OUTCOME_COUNT] = {0}, shown = 0;
    count_outcomes(content, counts);
    uint64_t bad = bad_of(counts);
    if (bad == 0)
        return;
    page_put(page,
             "<h2 id=\"failures\">Failures</h2><p class=\"lead\">Each can be run again alone: the seed fixes "
             "every input. Cases that stand in the folder <code>cases</code> run without the suite.</p>\n"
             "<div class=\"list\">\n");
    for (size_t i = 0; i < content->count && shown < MOST_FAILURES; i++) {
        if (!conform_outcome_is_bad(content->records[i].result.outcome))
            continue;
        if (shown++ == 8)
            page_put(page, "</div><details><summary>The other %llu</summary><div class=\"list\">\n",
                     (unsigned long long)(bad - 8));
        put_failure(page, &content->records[i]);
    }
    page_put(page, shown > 8 ? "</div></details>\n" : "</div>\n");
    if (bad > shown)
        page_put(page, "<p class=\"soft\">%llu more stand in results.jsonl.</p>\n",
                 (unsigned long long)(bad - shown));
}
