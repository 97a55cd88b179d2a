// SPDX-License-Identifier: MIT
//
// How a bundle can be tampered with, and what verification must say of each. "Forged" ones are made again as
// a whole after the edit, so that every hash fits. For verify_test.c alone.
#ifndef ISOMER_CONFORMANCE_REPORT_TAMPERINGS_H
#define ISOMER_CONFORMANCE_REPORT_TAMPERINGS_H

#include <math.h>

#include "conformance/report/temporary.h"

#include "conformance/report/manifest.h"
#include "conformance/report/report.h"

// Made by the test before: a bundle with another seed, and a key that nobody trusts.
static char other[512], forger_key[512];

// ---- tools of a forger ----

// Edits what was read, and makes all of the bundle again, every hash included.
static void forge(const char *folder, void (*edit)(conform_content *), const char *key_file)
{
    conform_content content;
    conform_bundle *bundle;
    must(conform_content_load(folder, NULL, NULL, &content));
    edit(&content);
    remove_folder(folder);
    must(conform_bundle_create(folder, &content.header, &bundle));
    for (size_t i = 0; i < content.count; i++)
        must(conform_bundle_append(bundle, &content.records[i]));
    must(conform_bundle_finish(bundle, &content.summary, key_file));
    conform_bundle_close(bundle);
    conform_content_deinit(&content);
}

// A record of an op's case that passed with a score between 0 and 1 and samples.
static conform_record *victim(conform_content *content)
{
    for (size_t i = content->count / 2; i < content->count; i++) {
        conform_record *record = &content->records[i];
        if (record->result.outcome == CONFORM_PASS && record->result.score > 0.01 &&
            record->result.score < 0.9 && record->result.sample_count > 2 && record->result.input_hash)
            return record;
    }
    fail_msg("no record to tamper with");
    return NULL;
}

static void results_path(char path[1024], const char *folder)
{
    snprintf(path, 1024, "%s/" CONFORM_RESULTS, folder);
}

// Start of line `number` (1 is the first) and its length with the newline.
static char *line_at(char *text, unsigned number, size_t *out_length)
{
    while (--number) {
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    *out_length = strcspn(text, "\n") + 1;
    return text;
}

static void edit_results(const char *folder, void (*edit)(char *text))
{
    char path[1024];
    results_path(path, folder);
    char *text = read_text(path, 4096);
    edit(text);
    write_text(path, text, strlen(text));
    free(text);
}

static void replace_once(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    memcpy(at, to, strlen(to));
}

// Gives line 5 the hash that fits its new content.
static void rehash_line_5(char *text)
{
    size_t before, length;
    char previous[65], hash[65];
    char *line = line_at(text, 4, &before);
    memcpy(previous, line + before - 67, 64);
    previous[64] = '\0';
    line = line_at(text, 5, &length);
    size_t tail = strlen(",\"hash\":\"") + 64 + 3;
    must(conform_sha256_chain(previous, line, length - tail, hash));
    memcpy(line + length - 67, hash, 64);
}

// ---- tamperings: bytes of files ----

static void edit_score(char *text)
{
    size_t length;
    replace_once(line_at(text, 5, &length), "\"score\":0.", "\"score\":0.1");
}

static void score_edited(const char *folder)
{
    edit_results(folder, edit_score);
}

static void edit_score_and_hash(char *text)
{
    edit_score(text);
    rehash_line_5(text);
}

static void line_hash_recomputed(const char *folder)
{
    edit_results(folder, edit_score_and_hash);
}

static void edit_outcome(char *text)
{
    size_t length;
    replace_once(line_at(text, 5, &length), "\"outcome\":\"pass\"", "\"outcome\":\"skip\"");
}

static void outcome_flipped(const char *folder)
{
    edit_results(folder, edit_outcome);
}

static void edit_space(char *text)
{
    size_t length;
    replace_once(line_at(text, 5, &length), "\"samples\":[", "\"samples\": [");
    rehash_line_5(text);
}

static void spelled_otherwise(const char *folder)
{
    edit_results(folder, edit_space);
}

static void edit_driver(char *text)
{
    replace_once(text, "\"driver\":\"", "\"driver\":\"Newest ");
}

static void driver_edited(const char *folder)
{
    edit_results(folder, edit_driver);
}

static void drop_line(char *text)
{
    size_t length;
    char *line = line_at(text, 7, &length);
    memmove(line, line + length, strlen(line + length) + 1);
}

static void line_dropped(const char *folder)
{
    edit_results(folder, drop_line);
}

static void swap_lines(char *text)
{
    size_t first, second;
    char *line = line_at(text, 7, &first);
    line_at(text, 8, &second);
    char *copy = strndup(line, first);
    memmove(line, line + first, second);
    memcpy(line + second, copy, first);
    free(copy);
}

static void lines_swapped(const char *folder)
{
    edit_results(folder, swap_lines);
}

static void double_line(char *text)
{
    size_t length;
    char *line = line_at(text, 7, &length);
    memmove(line + length, line, strlen(line) + 1);
}

static void line_doubled(const char *folder)
{
    char path[1024];
    size_t length;
    results_path(path, folder);
    char *text = read_text(path, 1 << 20);
    line_at(text, 7, &length);
    assert_true(length < 1 << 20);
    double_line(text);
    write_text(path, text, strlen(text));
    free(text);
}

static void cut_line(char *text)
{
    text[strlen(text) - 40] = '\0';
}

static void cut_short(const char *folder)
{
    edit_results(folder, cut_line);
}

static void cut_summary(char *text)
{
    text[strlen(text) - 1] = '\0';
    strrchr(text, '\n')[1] = '\0';
}

static void summary_removed(const char *folder)
{
    edit_results(folder, cut_summary);
}

static void edit_file(const char *folder, const char *name, const char *from, const char *to)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *text = read_text(path, 4096);
    replace_once(text, from, to);
    write_text(path, text, strlen(text));
    free(text);
}

static void html_edited(const char *folder)
{
    edit_file(folder, "report.html", "Isomer conformance report", "Isomer conformance Report");
}

static void junit_edited(const char *folder)
{
    edit_file(folder, "junit.xml", "failures=\"0\"", "failures=\"1\"");
}

// The manifest is made again, so that its hash of the page fits.
static void html_and_manifest_edited(const char *folder)
{
    conform_content content;
    char *manifest, path[1024];
    html_edited(folder);
    must(conform_content_load(folder, NULL, NULL, &content));
    must(conform_manifest_make(folder, &content, &manifest));
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    write_text(path, manifest, strlen(manifest));
    free(manifest);
    conform_content_deinit(&content);
}

static void file_added(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/notes.txt", folder);
    write_text(path, "all is well", 11);
}

static void link_added(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/junit.xml", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void junit_removed(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/junit.xml", folder);
    assert_int_equal(unlink(path), 0);
}

static void manifest_of_another(const char *folder)
{
    char from[1024], to[1024];
    snprintf(from, sizeof from, "%s/manifest.json", other);
    snprintf(to, sizeof to, "%s/manifest.json", folder);
    char *text = read_text(from, 0);
    write_text(to, text, strlen(text));
    free(text);
}

static void manifest_removed(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    assert_int_equal(unlink(path), 0);
}

static void manifest_seed_edited(const char *folder)
{
    edit_file(folder, "manifest.json", "0x0000000000000001", "0x0000000000000003");
}

static void signature_removed(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/manifest.sig", folder);
    assert_int_equal(unlink(path), 0);
}

static void manifest_spaced(const char *folder)
{
    edit_file(folder, "manifest.json", "{\n", "{ \n");
}

static void signature_broken(const char *folder)
{
    edit_file(folder, "manifest.sig", "signature 1\n", "signature 2\n");
}

// Bytes behind the signature that no reader of text sees.
static void signature_longer(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/manifest.sig", folder);
    char *text = read_text(path, 16);
    size_t length = strlen(text);
    memcpy(text + length, "\0behind", 7);
    write_text(path, text, length + 7);
    free(text);
}

// ---- tamperings: forged as a whole ----

static void edit_nothing(conform_content *content)
{
    (void)content;
}

static void forged_unsigned(const char *folder)
{
    forge(folder, edit_nothing, NULL);
}

static void forged_forger_key(const char *folder)
{
    forge(folder, edit_nothing, forger_key);
}

static void worse_sample(conform_content *content)
{
    conform_sample *s = &victim(content)->result.samples[1];
    s->got = s->want + 3 * s->bound + 1;
}

static void forged_sample(const char *folder)
{
    forge(folder, worse_sample, NULL);
}

static void wider_bound(conform_content *content)
{
    conform_sample *s = &victim(content)->result.samples[1];
    s->bound = s->bound * 5 + 1;
    s->got = s->want + s->bound / 2;
}

static void forged_bound(const char *folder)
{
    forge(folder, wider_bound, NULL);
}

static void other_want(conform_content *content)
{
    conform_sample *s = &victim(content)->result.samples[1];
    s->want += 0.5;
    s->got += 0.5;
}

static void forged_want(const char *folder)
{
    forge(folder, other_want, NULL);
}

static void better_score(conform_content *content)
{
    victim(content)->result.score /= 2;
}

static void forged_score(const char *folder)
{
    forge(folder, better_score, NULL);
}

static void other_seed(conform_content *content)
{
    content->header.seed = 5;
}

static void forged_seed(const char *folder)
{
    forge(folder, other_seed, NULL);
}

// Two cases of one op change places: each result then stands under the other's name.
static void other_unit(conform_content *content)
{
    for (size_t i = 1; i < content->count; i++) {
        conform_record *a = &content->records[i - 1], *b = &content->records[i];
        char name[CONFORM_UNIT_BYTES];
        if (strcmp(a->unit, b->unit) == 0 || strcmp(a->result.op, b->result.op) != 0)
            continue;
        memcpy(name, a->unit, sizeof name);
        for (size_t j = 0; j < content->count; j++)
            if (strcmp(content->records[j].unit, name) == 0)
                memcpy(content->records[j].unit, b->unit, sizeof name);
            else if (j >= i && strcmp(content->records[j].unit, b->unit) == 0 && &content->records[j] != b)
                memcpy(content->records[j].unit, name, sizeof name);
        memcpy(b->unit, name, sizeof name);
        return;
    }
    fail_msg("no two cases of one op");
}

static void forged_unit(const char *folder)
{
    forge(folder, other_unit, NULL);
}

static void invented_unit(conform_content *content)
{
    conform_record *record = &content->records[content->count - 1];
    snprintf(record->unit, sizeof record->unit, "ops/perfection/f32_f32_f32/0/normal");
}

static void forged_new_unit(const char *folder)
{
    forge(folder, invented_unit, NULL);
}

static size_t unit_end(const conform_content *content, size_t first)
{
    size_t end = first;
    while (end < content->count && strcmp(content->records[end].unit, content->records[first].unit) == 0)
        end++;
    return end;
}

static void without_a_unit(conform_content *content)
{
    size_t first = unit_end(content, 0), end = unit_end(content, first);
    for (size_t i = first; i < end; i++)
        conform_record_deinit(&content->records[i]);
    memmove(&content->records[first], &content->records[end],
            (content->count - end) * sizeof *content->records);
    content->count -= end - first;
}

static void forged_dropped(const char *folder)
{
    forge(folder, without_a_unit, NULL);
}

static void with_a_record_twice(conform_content *content)
{
    conform_record *records = NULL;
    assert_int_equal(ISO_NEW(NULL, content->count + 1, &records), ISO_OK);
    memcpy(records + 1, content->records, content->count * sizeof *records);
    records[0] = records[1];
    json_incref(records[0].result.more);
    iso_free(NULL, content->records);
    content->records = records;
    content->count++;
}

static void forged_doubled(const char *folder)
{
    forge(folder, with_a_record_twice, NULL);
}

// The first unit's results behind the second's.
static void in_other_order(conform_content *content)
{
    size_t middle = unit_end(content, 0), end = unit_end(content, middle);
    conform_record *moved = calloc(end, sizeof *moved);
    assert_non_null(moved);
    memcpy(moved, &content->records[middle], (end - middle) * sizeof *moved);
    memcpy(moved + (end - middle), content->records, middle * sizeof *moved);
    memcpy(content->records, moved, end * sizeof *moved);
    free(moved);
}

static void forged_order(const char *folder)
{
    forge(folder, in_other_order, NULL);
}

static void other_bits(conform_content *content)
{
    victim(content)->result.output_hash ^= 1;
}

static void forged_bits(const char *folder)
{
    forge(folder, other_bits, NULL);
}

static void now_unsupported(conform_content *content)
{
    conform_record *record = victim(content);
    record->result.outcome = CONFORM_UNSUPPORTED;
    snprintf(record->result.detail, sizeof record->result.detail, "the device has no such thing");
}

static void forged_outcome(const char *folder)
{
    forge(folder, now_unsupported, NULL);
}

static void expected_to_fail(conform_content *content)
{
    victim(content)->result.outcome = CONFORM_EXPECTED_FAIL;
}

static void forged_expectation(const char *folder)
{
    forge(folder, expected_to_fail, NULL);
}

static void no_number(conform_content *content)
{
    victim(content)->result.samples[1].got = (double)NAN;
}

static void forged_nan(const char *folder)
{
    forge(folder, no_number, NULL);
}

static void other_infinity(conform_content *content)
{
    conform_sample *s = &victim(content)->result.samples[1];
    s->want = (double)INFINITY;
    s->got = 1;
}

static void forged_infinity(const char *folder)
{
    forge(folder, other_infinity, NULL);
}

static void more_failures(conform_content *content)
{
    conform_record *record = victim(content);
    record->failures = record->tries + 1;
}

static void forged_failures(const char *folder)
{
    forge(folder, more_failures, NULL);
}

static void all_pass(conform_content *content)
{
    for (uint32_t i = 0; i < content->summary.verdict_count; i++) {
        snprintf(content->summary.verdicts[i].verdict, sizeof content->summary.verdicts[i].verdict, "pass");
        content->summary.verdicts[i].missing[0] = '\0';
    }
}

static void forged_verdict(const char *folder)
{
    forge(folder, all_pass, NULL);
}

static void coarse(conform_content *content)
{
    content->summary.numerics.unit = 0x1p-10;
}

static void forged_numerics(const char *folder)
{
    forge(folder, coarse, NULL);
}

static void coarse_matrix(conform_content *content)
{
    content->summary.numerics.matrix_units[ISO_MATRIX_E4M3] = 0x1p-10;
}

static void forged_matrix_unit(const char *folder)
{
    forge(folder, coarse_matrix, NULL);
}

static void a_little_coarse(conform_content *content)
{
    content->summary.numerics.exp_unit *= 2;
    content->summary.numerics.unit *= 2;
}

static void forged_numerics_within_caps(const char *folder)
{
    forge(folder, a_little_coarse, NULL);
}

static void other_suite(conform_content *content)
{
    memset(content->header.suite, '0', 64);
}

static void forged_suite(const char *folder)
{
    forge(folder, other_suite, NULL);
}

// ---- the table ----

typedef struct tampering {
    const char *name;
    void (*apply)(const char *folder);
    const char *where, *what; // parts of one finding's texts
    bool is_signed, demand_key, demand_other_key;
    bool run_again; // all units on the CPU
} tampering;

static const tampering tamperings[] = {
    {.name = "score", .apply = score_edited, .where = "line 5", .what = "not that of its content"},
    {.name = "score and line hash",
     .apply = line_hash_recomputed,
     .where = "line 6",
     .what = "after the line before"},
    {.name = "outcome", .apply = outcome_flipped, .where = "line 5", .what = "not that of its content"},
    {.name = "spelling",
     .apply = spelled_otherwise,
     .where = "line 5",
     .what = "not written as this program"},
    {.name = "driver",
     .apply = driver_edited,
     .where = "results.jsonl, line",
     .what = "not that of its content"},
    {.name = "line dropped", .apply = line_dropped, .where = "line 7", .what = "numbered 7; wanted: 6"},
    {.name = "lines swapped", .apply = lines_swapped, .where = "line 8", .what = "moved"},
    {.name = "line doubled", .apply = line_doubled, .where = "line 8", .what = "numbered 6; wanted: 7"},
    {.name = "cut short", .apply = cut_short, .where = "results.jsonl", .what = "cut short"},
    {.name = "summary removed", .apply = summary_removed, .where = "results.jsonl", .what = "no summary"},
    {.name = "page", .apply = html_edited, .where = "report.html", .what = "it was changed"},
    {.name = "junit", .apply = junit_edited, .where = "junit.xml", .what = "it was changed"},
    {.name = "page and manifest", .apply = html_and_manifest_edited, .where = "report.html", .what = "byte "},
    {.name = "file added", .apply = file_added, .where = "notes.txt", .what = "not in the manifest"},
    {.name = "link", .apply = link_added, .where = "junit.xml", .what = "no regular file"},
    {.name = "file removed", .apply = junit_removed, .where = "junit.xml", .what = "not in the folder"},
    {.name = "another manifest",
     .apply = manifest_of_another,
     .where = "manifest.json",
     .what = "its chain is"},
    {.name = "no manifest", .apply = manifest_removed, .where = "manifest.json", .what = "absent"},
    {.name = "manifest's seed", .apply = manifest_seed_edited, .where = "manifest.json", .what = "seed"},
    {.name = "manifest's spaces",
     .apply = manifest_spaced,
     .where = "manifest.sig",
     .what = "does not fit",
     .is_signed = true},
    {.name = "no signature",
     .apply = signature_removed,
     .where = "manifest.sig",
     .what = "absent",
     .is_signed = true,
     .demand_key = true},
    {.name = "broken signature",
     .apply = signature_broken,
     .where = "manifest.sig",
     .what = "no signature",
     .is_signed = true},
    {.name = "longer signature",
     .apply = signature_longer,
     .where = "manifest.sig",
     .what = "ends at byte",
     .is_signed = true},
    {.name = "another key demanded",
     .apply = NULL,
     .where = "manifest.sig",
     .what = "not with that of",
     .is_signed = true,
     .demand_other_key = true},
    {.name = "forged, unsigned",
     .apply = forged_unsigned,
     .where = "manifest.sig",
     .what = "absent",
     .is_signed = true,
     .demand_key = true},
    {.name = "forged, other key",
     .apply = forged_forger_key,
     .where = "manifest.sig",
     .what = "not with that of",
     .is_signed = true,
     .demand_key = true},
    {.name = "forged sample", .apply = forged_sample, .where = "line", .what = "times its bound"},
    {.name = "forged bound", .apply = forged_bound, .where = "line", .what = "has the bound"},
    {.name = "forged reference", .apply = forged_want, .where = "line", .what = "made again it is"},
    {.name = "forged score", .apply = forged_score, .where = "line", .what = "its worst sample gives"},
    {.name = "forged seed", .apply = forged_seed, .where = "line", .what = "made again from seed 5"},
    {.name = "forged unit", .apply = forged_unit, .where = "line", .what = "made again from seed 1"},
    {.name = "invented unit", .apply = forged_new_unit, .where = "line", .what = "none of the suite's"},
    {.name = "forged, a unit dropped",
     .apply = forged_dropped,
     .where = "results.jsonl",
     .what = "is missing"},
    {.name = "forged, a result twice", .apply = forged_doubled, .where = "line 3", .what = "is there twice"},
    {.name = "forged order", .apply = forged_order, .where = "line", .what = "a run has it before"},
    {.name = "forged bits",
     .apply = forged_bits,
     .where = "line",
     .what = "run again on the same device to",
     .run_again = true},
    {.name = "forged outcome",
     .apply = forged_outcome,
     .where = "line",
     .what = "run again on the same device: pass",
     .run_again = true},
    {.name = "forged expectation",
     .apply = forged_expectation,
     .where = "line",
     .what = "expected.def does not list"},
    {.name = "forged NaN", .apply = forged_nan, .where = "line", .what = "outside its bound"},
    {.name = "forged infinity", .apply = forged_infinity, .where = "line", .what = "outside its bound"},
    {.name = "forged failures", .apply = forged_failures, .where = "line", .what = "failures is"},
    {.name = "forged verdict", .apply = forged_verdict, .where = "the summary", .what = "the records give"},
    {.name = "forged numerics", .apply = forged_numerics, .where = "the summary", .what = "numerics.unit"},
    {.name = "forged matrix unit",
     .apply = forged_matrix_unit,
     .where = "the summary",
     .what = "numerics.matrix_e4m3_unit"},
    {.name = "forged numerics within the caps",
     .apply = forged_numerics_within_caps,
     .where = "line",
     .what = "has the bound"},
    {.name = "forged suite", .apply = forged_suite, .where = "the header", .what = "this program has"},
};

#endif
