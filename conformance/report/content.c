// SPDX-License-Identifier: MIT
//
// Lines of results.jsonl (content.h). A line is accepted only in the exact bytes that writing it again gives,
// so that nothing can hide in spaces, doubled members or other spellings of a number.
#include "conformance/report/content.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/fields.h"
#include "conformance/report/files.h"

#define HASH_MEMBER ",\"hash\":\""
#define TAIL_BYTES  (sizeof HASH_MEMBER - 1 + 64 + 2)

typedef struct line_parser {
    conform_content *content;
    conform_line_complaint complain;
    void *context;
    const conform_lines *lines;
} line_parser;

iso_status conform_content_line(uint64_t number, const char *kind, const json_t *json,
                                char head[CONFORM_SHA256_TEXT], char **out_line)
{
    char *body = NULL, *line = NULL;
    char hash[CONFORM_SHA256_TEXT];
    *out_line = NULL;
    ISO_TRY(conform_json_line(json, &body));
    int length = asprintf(&line, "{\"n\":%" PRIu64 ",\"%s\":%s", number, kind, body);
    free(body);
    if (length < 0)
        return iso_fail(ISO_OUT_OF_MEMORY, "no memory for a line of " CONFORM_RESULTS);
    iso_status status = conform_sha256_chain(head, line, (size_t)length, hash);
    if (status == ISO_OK && (size_t)length + TAIL_BYTES > CONFORM_MOST_LINE)
        status = iso_fail(ISO_LIMIT, "a %s of %d bytes; allowed: %u", kind, length, CONFORM_MOST_LINE);
    if (status == ISO_OK && asprintf(out_line, "%s" HASH_MEMBER "%s\"}\n", line, hash) < 0)
        status = iso_fail(ISO_OUT_OF_MEMORY, "no memory for a line of " CONFORM_RESULTS);
    free(line);
    if (status == ISO_OK)
        memcpy(head, hash, CONFORM_SHA256_TEXT);
    return status;
}

// ---- reading a line ----

// The first complaint fails the reading where nobody listens.
static iso_status complain(line_parser *parser, const char *text)
{
    if (!parser->complain)
        return iso_fail(ISO_CORRUPT, "line %" PRIu64 ": %s", parser->lines->number, text);
    parser->complain(parser->context, parser->lines->number, text);
    return ISO_OK;
}

// Checks the hash at the line's end, and takes it as what the next line follows.
static iso_status check_hash(line_parser *parser)
{
    const conform_lines *lines = parser->lines;
    char wanted[CONFORM_SHA256_TEXT], text[256];
    const char *tail = lines->length > TAIL_BYTES ? lines->line + lines->length - TAIL_BYTES : "";
    const char *digits = tail + sizeof HASH_MEMBER - 1;
    if (strncmp(tail, HASH_MEMBER, sizeof HASH_MEMBER - 1) != 0 || strspn(digits, "0123456789abcdef") != 64 ||
        strcmp(digits + 64, "\"}") != 0)
        return complain(parser, "it does not end in its hash");
    ISO_TRY(conform_sha256_chain(parser->content->head, lines->line, lines->length - TAIL_BYTES, wanted));
    bool equal = memcmp(wanted, digits, 64) == 0;
    snprintf(text, sizeof text,
             "its hash %.16s… is not that of its content after the line before (%.16s…): one of the two was "
             "edited, or a line between them dropped, added or moved",
             digits, wanted);
    memcpy(parser->content->head, digits, 64);
    parser->content->head[64] = '\0';
    return equal ? ISO_OK : complain(parser, text);
}

static iso_status keep_record(conform_content *content, json_t *json, uint64_t line, uint64_t offset)
{
    conform_record record;
    size_t room = content->count + 1;
    ISO_TRY(iso_grow(NULL, sizeof *content->records, room, (void **)&content->records, &content->capacity));
    ISO_TRY(iso_grow(NULL, sizeof *content->lines, room, (void **)&content->lines, &content->line_capacity));
    ISO_TRY(iso_grow(NULL, sizeof *content->offsets, room, (void **)&content->offsets,
                     &content->offset_capacity));
    ISO_TRY(conform_record_from_json(json, &record));
    content->records[content->count] = record;
    content->lines[content->count] = line;
    content->offsets[content->count] = offset;
    content->count++;
    return ISO_OK;
}

// Takes the line's object in; *out_again is what writing it gives.
static iso_status take(conform_content *content, const char *kind, json_t *json, uint64_t line,
                       json_t **out_again)
{
    *out_again = NULL;
    if (strcmp(kind, "header") == 0) {
        if (line != 1)
            return iso_fail(ISO_CORRUPT, "a header; it belongs in line 1");
        ISO_TRY(conform_header_from_json(json, &content->header));
        content->has_header = true;
        return conform_header_to_json(&content->header, out_again);
    }
    if (!content->has_header)
        return iso_fail(ISO_CORRUPT, "a %s; the header must come first", kind);
    if (content->finished)
        return iso_fail(ISO_CORRUPT, "a %s behind the summary; nothing may follow it", kind);
    if (strcmp(kind, "summary") == 0) {
        ISO_TRY(conform_summary_from_json(json, &content->summary));
        content->finished = true;
        content->summary_at = content->good_bytes;
        return conform_summary_to_json(&content->summary, out_again);
    }
    ISO_TRY(keep_record(content, json, line, content->good_bytes));
    return conform_record_to_json(&content->records[content->count - 1], out_again);
}

// Whether the line up to its hash is what writing its content gives.
static bool canonical(const conform_lines *lines, const char *kind, json_t *again)
{
    char *body = NULL, *text = NULL;
    bool equal = false;
    if (conform_json_line(again, &body) == ISO_OK &&
        asprintf(&text, "{\"n\":%" PRIu64 ",\"%s\":%s", lines->number - 1, kind, body) >= 0) {
        size_t length = strlen(text);
        equal = length + TAIL_BYTES == lines->length && memcmp(text, lines->line, length) == 0;
        free(text);
    }
    free(body);
    return equal;
}

static iso_status read_object(line_parser *parser, json_t *root)
{
    static const char *const kinds[] = {"header", "record", "summary"};
    const conform_lines *lines = parser->lines;
    char text[512];
    json_t *json = NULL, *again = NULL, *n = json_object_get(root, "n");
    const char *kind = "";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && !json; i++) {
        kind = kinds[i];
        json = json_object_get(root, kind);
    }
    if (!json || json_object_size(root) != 3)
        return complain(parser, "it is no object of n, one of header, record, summary, and hash");
    if (!json_is_integer(n) || json_integer_value(n) != (json_int_t)lines->number - 1) {
        snprintf(text, sizeof text,
                 "it is numbered %" JSON_INTEGER_FORMAT "; wanted: %" PRIu64
                 ": lines were dropped, added or moved",
                 json_integer_value(n), lines->number - 1);
        ISO_TRY(complain(parser, text));
    }
    iso_status status = take(parser->content, kind, json, lines->number, &again);
    if (status == ISO_OUT_OF_MEMORY)
        return status;
    if (status != ISO_OK) {
        snprintf(text, sizeof text, "%s", iso_status_last()->text);
        return complain(parser, text);
    }
    bool same = !json_is_integer(n) || json_integer_value(n) != (json_int_t)lines->number - 1 ||
                canonical(lines, kind, again);
    json_decref(again);
    return same ? ISO_OK : complain(parser, "it is not written as this program writes it");
}

static iso_status read_line(line_parser *parser)
{
    json_error_t error;
    char text[256];
    ISO_TRY(check_hash(parser));
    json_t *root = json_loadb(parser->lines->line, parser->lines->length, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        snprintf(text, sizeof text, "it is no JSON: %.160s", error.text);
        return complain(parser, text);
    }
    iso_status status = read_object(parser, root);
    json_decref(root);
    return status;
}

// ---- the file ----

static iso_status read_lines(line_parser *parser, conform_lines *lines)
{
    conform_content *content = parser->content;
    bool any = true;
    while (any) {
        ISO_TRY(conform_lines_next(lines, &any));
        if (!any)
            break;
        if (!lines->ended) {
            content->cut = true;
            return parser->complain ? complain(parser, "it is cut short: no newline ends it") : ISO_OK;
        }
        ISO_TRY(read_line(parser));
        content->line_count = lines->number;
        content->good_bytes += lines->length + 1;
    }
    return ISO_OK;
}

iso_status conform_content_load(const char *folder, conform_line_complaint complain_to, void *context,
                                conform_content *out)
{
    char path[CONFORM_PATH_BYTES];
    conform_lines lines;
    *out = (conform_content){.head = CONFORM_CHAIN_START};
    line_parser parser = {.content = out, .complain = complain_to, .context = context, .lines = &lines};
    ISO_TRY(conform_path(path, folder, CONFORM_RESULTS));
    ISO_TRY(conform_lines_open(&lines, path));
    iso_status status = read_lines(&parser, &lines);
    if (status == ISO_OK && !out->has_header && !complain_to)
        status = iso_fail(ISO_CORRUPT, "it has no header: this is no bundle");
    conform_lines_close(&lines);
    if (status != ISO_OK) {
        conform_content_deinit(out);
        return iso_status_prefix("%s", path);
    }
    return ISO_OK;
}

void conform_content_deinit(conform_content *content)
{
    for (size_t i = 0; i < content->count; i++)
        conform_record_deinit(&content->records[i]);
    iso_free(NULL, content->records);
    iso_free(NULL, content->lines);
    iso_free(NULL, content->offsets);
    conform_summary_deinit(&content->summary);
    *content = (conform_content){0};
}
