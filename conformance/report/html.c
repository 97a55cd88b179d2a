// SPDX-License-Identifier: MIT
//
// report.html: one page that loads nothing and runs no script (its own policy forbids both), so that texts of
// drivers cannot do anything on it; they are escaped besides. Made from the content alone: the same content
// gives the same bytes.
#include <inttypes.h>

#include "conformance/report/page.h"

static void head(page *page)
{
    const conform_summary *summary = &page->content->summary;
    page_put(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                   "'unsafe-inline'; img-src data:\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<link rel=\"icon\" href=\"data:,\">\n<title>");
    page_text(page, summary->info.name);
    page_put(page, " · Isomer conformance</title>\n<style>\n");
    if (page->status == ISO_OK)
        page->status = iso_text_append(page->out, "%s", page_style);
    page_put(page, "</style></head>\n<body><main>\n");
}

static void fact(page *page, const char *name, const char *text)
{
    page_put(page, "<li>%s <b>", name);
    page_text(page, text);
    page_put(page, "</b></li>");
}

static void title(page *page)
{
    const conform_header *header = &page->content->header;
    const conform_summary *summary = &page->content->summary;
    page_put(page, "<header><p class=\"kicker\">Isomer conformance report</p><h1>");
    page_text(page, summary->info.name[0] ? summary->info.name : summary->device);
    page_put(page, "</h1><ul class=\"facts\">");
    fact(page, "device", summary->device);
    fact(page, "driver", summary->info.driver);
    fact(page, "level", conform_level_name(header->level));
    fact(page, "profile", header->profile[0] ? header->profile : "all");
    if (header->only[0])
        fact(page, "only", header->only);
    page_put(page, "<li>seed <b>%" PRIu64 "</b></li>", header->seed);
    fact(page, "date", header->date);
    fact(page, "made by", header->program);
    fact(page, "on", header->host);
    page_put(page, "</ul></header>\n");
    if (header->only[0])
        page_put(page, "<p class=\"soft\">Only a part of the suite was run.</p>\n");
}

static void foot(page *page)
{
    const conform_header *header = &page->content->header;
    page_put(
        page,
        "<footer><p>Check this bundle, on any machine and without a network: <code>isomer conform verify "
        "DIR</code>. It makes inputs and bounds again from the seed, runs a sample again, and names every "
        "byte that was changed.</p><p>suite <code>%.16s</code> · kernels <code>%.16s</code> · program "
        "<code>%.16s</code> · chain <code>%.16s</code></p></footer>\n</main></body></html>\n",
        header->suite, header->kernels, header->binary, page->content->head);
}

iso_status conform_html_make(const conform_content *content, iso_text *out)
{
    page page = {.content = content, .out = out, .status = ISO_OK};
    head(&page);
    title(&page);
    page_verdict(&page);
    page_failures(&page);
    page_matrix(&page);
    page_scores(&page);
    page_lengths(&page);
    page_layers(&page);
    page_device(&page);
    page_reasons(&page);
    page_times(&page);
    foot(&page);
    return page.status;
}
