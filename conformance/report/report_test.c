// SPDX-License-Identifier: MIT
//
// Making bundles: records as JSON both ways, full disks, interruptions, resuming, the same bytes twice, pages
// that hostile names cannot break, keys; comparing two bundles; and folders that are no bundles.
//
//     report_test                  the tests
//     report_test --make FOLDER    writes the made-up bundle there, to be looked at
#include "conformance/report/temporary.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "conformance/report/content.h"
#include "conformance/report/fixture.h"
#include "conformance/report/pages.h"

static char root[256];

static int set_up(void **state)
{
    (void)state;
    temporary_folder(root, sizeof root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

static void refused(iso_status status, iso_status wanted, const char *part)
{
    assert_int_equal(status, wanted);
    if (!strstr(iso_status_last()->text, part))
        fail_msg("\"%s\" does not say \"%s\"", iso_status_last()->text, part);
}

// The folder's whole made-up bundle.
static iso_status make(const char *folder, const char *key)
{
    fixture f;
    conform_bundle *bundle = NULL;
    conform_header header = fixture_header();
    conform_summary summary = fixture_summary();
    fixture_make(&f);
    iso_status status = conform_bundle_create(folder, &header, &bundle);
    for (size_t i = 0; i < f.count && status == ISO_OK; i++)
        status = conform_bundle_append(bundle, &f.records[i]);
    if (status == ISO_OK)
        status = conform_bundle_finish(bundle, &summary, key);
    conform_bundle_close(bundle);
    conform_summary_deinit(&summary);
    fixture_end(&f);
    return status;
}

static const char *below(const char *name)
{
    static char paths[4][600];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

// ---- records ----

static void test_record_round_trip(void **state)
{
    (void)state;
    const double values[] = {0.1, -0.0,        5e-324,           DBL_MAX,          1.0 / 3,
                             1,   (double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        conform_record record = {.unit = "ops/add/f32/0/x", .suite = "ops", .device = "cpu"}, back;
        json_t *json, *parsed;
        char *line, *again;
        record.result = conform_result_make(CONFORM_FAIL, "a \"check\" \\ \x01 \xff\xc3\xa9 \xc3", "%s", "é");
        record.result.score = values[i];
        record.result.input_hash = UINT64_MAX - i;
        record.result.sample_count = 1;
        record.result.samples[0] = (conform_sample){.output = 2, .index = 1ull << 40, .got = values[i]};
        record.seconds = values[i];
        must(conform_record_to_json(&record, &json));
        must(conform_json_line(json, &line));
        parsed = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(parsed);
        must(conform_record_from_json(parsed, &back));
        assert_memory_equal(&back.result.samples[0].index, &record.result.samples[0].index, 8);
        assert_string_equal(back.result.check, "a \"check\" \\ ? ?é ?");
        assert_true(back.result.input_hash == record.result.input_hash);
        assert_true(isnan(values[i]) ? isnan(back.result.score)
                                     : memcmp(&back.result.score, &values[i], sizeof values[i]) == 0);
        json_decref(json);
        must(conform_record_to_json(&back, &json));
        must(conform_json_line(json, &again));
        assert_string_equal(line, again);
        free(line);
        free(again);
        json_decref(json);
        json_decref(parsed);
        conform_record_deinit(&back);
    }
}

static void test_record_strict(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *says;
    } edits[] = {
        {"unit", "7", "\"unit\" is 7"},
        {"outcome", "\"perfect\"", "outcome is \"perfect\""},
        {"level", "\"easy\"", "level is"},
        {"input_hash", "\"12\"", "input_hash"},
        {"score", "\"good\"", "score"},
        {"samples", "{}", "samples"},
        {"samples", "[1]", "a sample"},
        {"more", "[]", "more"},
        {"tries", "-1", "tries"},
        {"tries", "4294967296", "tries"},
        {"extra", "1", "17 members"},
        {"unit", NULL, "\"unit\" is missing"},
        {"unit", "\"a\\u0000b\"", "\"unit\""},
    };
    conform_record record = {.unit = "a/b", .suite = "a", .device = "cpu"}, back;
    json_t *json;
    must(conform_record_to_json(&record, &json));
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        json_t *copy = json_deep_copy(json);
        if (edits[i].value)
            json_object_set_new(copy, edits[i].key,
                                json_loads(edits[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
        else
            json_object_del(copy, edits[i].key);
        refused(conform_record_from_json(copy, &back), ISO_CORRUPT, edits[i].says);
        json_decref(copy);
    }
    json_decref(json);
}

// ---- making ----

static void test_folder(void **state)
{
    (void)state;
    conform_header header = fixture_header();
    conform_bundle *bundle;
    must(make(below("taken"), NULL));
    refused(make(below("taken"), NULL), ISO_INVALID_ARGUMENT, "exists and holds");
    refused(make(below("no/such/parent"), NULL), ISO_NOT_FOUND, "cannot make the output folder");
    write_text(below("file"), "x", 1);
    refused(make(below("file"), NULL), ISO_INVALID_ARGUMENT, "file is a file; name a new");
    assert_int_equal(mkdir(below("empty"), 0755), 0);
    must(make(below("empty"), NULL));
    refused(conform_bundle_resume(below("empty"), &header, &bundle), ISO_INVALID_ARGUMENT, "is finished");
    refused(conform_bundle_create("", &header, &bundle), ISO_INVALID_ARGUMENT, "0 bytes");
}

static void test_same_bytes_twice(void **state)
{
    static const char *const names[] = {"results.jsonl", "junit.xml", "report.html", "manifest.json"};
    (void)state;
    must(make(below("once"), NULL));
    must(make(below("twice"), NULL));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[800];
        snprintf(path, sizeof path, "%s/%s", below("once"), names[i]);
        char *a = read_text(path, 0);
        snprintf(path, sizeof path, "%s/%s", below("twice"), names[i]);
        char *b = read_text(path, 0);
        assert_string_equal(a, b);
        free(a);
        free(b);
    }
}

static uint64_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_size;
}

// Files may grow to a limit only, as on a disk that fills up.
static void test_full_disk(void **state)
{
    (void)state;
    fixture f;
    conform_bundle *bundle;
    conform_content content;
    conform_header header = fixture_header();
    struct rlimit before, limit;
    fixture_make(&f);
    signal(SIGXFSZ, SIG_IGN);
    must(conform_bundle_create(below("full"), &header, &bundle));
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){5000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    size_t kept = 0;
    iso_status status = ISO_OK;
    while (kept < f.count && (status = conform_bundle_append(bundle, &f.records[kept])) == ISO_OK)
        kept++;
    setrlimit(RLIMIT_FSIZE, &before);
    refused(status, ISO_IO, "lines are kept");
    must(conform_content_load(below("full"), NULL, NULL, &content));
    assert_true(kept > 2 && content.count == kept && !content.cut);
    conform_content_deinit(&content);
    // With room again the run can go on.
    must(conform_bundle_append(bundle, &f.records[kept]));
    conform_bundle_close(bundle);
    must(conform_content_load(below("full"), NULL, NULL, &content));
    assert_int_equal(content.count, kept + 1);
    conform_content_deinit(&content);
    fixture_end(&f);
}

static iso_status count_record(void *context, const conform_record *record)
{
    *(size_t *)context += record->unit[0] != '\0';
    return ISO_OK;
}

static void test_interrupted(void **state)
{
    (void)state;
    fixture f;
    conform_bundle *bundle;
    conform_content content;
    conform_header header = fixture_header(), changed = fixture_header();
    conform_summary summary = fixture_summary();
    char results[700];
    fixture_make(&f);
    must(make(below("whole"), NULL));
    snprintf(results, sizeof results, "%s/results.jsonl", below("whole"));
    char *whole = read_text(results, 0);
    must(conform_bundle_create(below("cut"), &header, &bundle));
    for (size_t i = 0; i < 40; i++)
        must(conform_bundle_append(bundle, &f.records[i]));
    conform_bundle_close(bundle);
    snprintf(results, sizeof results, "%s/results.jsonl", below("cut"));
    FILE *file = fopen(results, "ab");
    fputs("{\"n\":41,\"record\":{\"unit\":\"ops/", file); // the program died here
    fclose(file);
    must(conform_content_load(below("cut"), NULL, NULL, &content));
    assert_true(content.cut && content.count == 40 && !content.finished);
    conform_content_deinit(&content);
    changed.seed = 2;
    refused(conform_bundle_resume(below("cut"), &changed, &bundle), ISO_INVALID_ARGUMENT, "seed 1, not 2");
    changed = header;
    memset(changed.binary, 'd', 64);
    refused(conform_bundle_resume(below("cut"), &changed, &bundle), ISO_INVALID_ARGUMENT, "program file");
    must(conform_bundle_resume(below("cut"), &header, &bundle));
    assert_true(conform_bundle_has(bundle, f.records[38].unit));
    assert_false(conform_bundle_has(bundle, f.records[39].unit)); // may have been half done
    assert_false(conform_bundle_has(bundle, f.records[40].unit));
    size_t replayed = 0;
    must(conform_bundle_replay(bundle, count_record, &replayed));
    assert_int_equal(replayed, 39);
    for (size_t i = 39; i < f.count; i++)
        must(conform_bundle_append(bundle, &f.records[i]));
    must(conform_bundle_finish(bundle, &summary, NULL));
    conform_bundle_close(bundle);
    char *now = read_text(results, 0);
    assert_string_equal(now, whole);
    free(now);
    free(whole);
    conform_summary_deinit(&summary);
    fixture_end(&f);
}

// A bundle whose last files could not be written goes on where it stopped.
static void test_finished_without_manifest(void **state)
{
    (void)state;
    conform_bundle *bundle;
    conform_header header = fixture_header();
    conform_content content;
    char path[700];
    static const char *const leftovers[] = {"late/manifest.sig", "late/.manifest.sig.new",
                                            "late/.manifest.json.new", "late/.report.html.new"};
    must(make(below("late"), NULL));
    snprintf(path, sizeof path, "%s/manifest.json", below("late"));
    assert_int_equal(unlink(path), 0);
    for (size_t i = 0; i < sizeof leftovers / sizeof leftovers[0]; i++)
        write_text(below(leftovers[i]), "x", 1);
    must(conform_bundle_resume(below("late"), &header, &bundle));
    for (size_t i = 0; i < sizeof leftovers / sizeof leftovers[0]; i++)
        assert_int_not_equal(access(below(leftovers[i]), F_OK), 0);
    conform_bundle_close(bundle);
    must(conform_content_load(below("late"), NULL, NULL, &content));
    assert_true(!content.finished && content.count > 1000);
    conform_content_deinit(&content);
}

// ---- pages ----

static void test_page(void **state)
{
    static const char *const parts[] = {
        "id=\"failures\"",
        "id=\"ops\"",
        "id=\"scores\"",
        "id=\"lengths\"",
        "id=\"layers\"",
        "id=\"device\"",
        "id=\"reasons\"",
        "id=\"time\"",
        "class=\"banner bad\"",
        "FP8-emulated",
        "default-src 'none'",
        "isomer conform --device opencl:0 --unit 'device/module/damaged' --level standard --seed 1"};
    static const char *const never[] = {"<script",  "<img", "<u>",     "http://",
                                        "https://", "url(", "@import", "src="};
    char path[700];
    (void)state;
    must(make(below("page"), NULL));
    snprintf(path, sizeof path, "%s/report.html", below("page"));
    char *page = read_text(path, 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(page, parts[i]))
            fail_msg("the page has no %s", parts[i]);
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        const char *at = strstr(page, never[i]);
        // Escaped texts may hold "src=": within a tag it may not stand.
        if (at && strcmp(never[i], "src=") != 0)
            fail_msg("the page has %.40s", at);
    }
    assert_non_null(strstr(page, "&lt;script&gt;alert(1)"));
    assert_non_null(
        strstr(page, "pthread &lt;img src=x onerror=alert(1)&gt; &quot;AMD&quot; &amp; &#39;EPYC&#39;"));
    free(page);
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static void test_plots(void **state)
{
    char path[700];
    (void)state;
    must(make(below("plots"), NULL));
    snprintf(path, sizeof path, "%s/report.html", below("plots"));
    char *page = read_text(path, 0);
    assert_int_equal(count_of(page, "<svg "), 12 + 12 + 2); // scores, lengths, layers
    assert_int_equal(count_of(page, "</svg>"), 26);
    assert_true(count_of(page, "<rect") > 100 && count_of(page, "<circle") > 300);
    assert_int_equal(count_of(page, "nan"), 0);
    assert_int_equal(count_of(page, "<article class=\"card fail\">"), 6);
    free(page);
}

static void test_junit(void **state)
{
    char path[700];
    (void)state;
    must(make(below("junit"), NULL));
    snprintf(path, sizeof path, "%s/junit.xml", below("junit"));
    char *text = read_text(path, 0);
    assert_int_equal(count_of(text, "<testsuite "), 4);
    assert_int_equal(count_of(text, "<testcase "), 12 * 6 * 24 + 24 + 3 + 2);
    assert_int_equal(count_of(text, "<failure "), 4);
    assert_int_equal(count_of(text, "<error "), 2);
    assert_int_equal(count_of(text, "<script"), 0);
    free(text);
}

// ---- keys ----

static void test_keys(void **state)
{
    struct stat info;
    char public_path[700];
    (void)state;
    must(conform_keygen(below("k")));
    assert_int_equal(stat(below("k"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    refused(conform_keygen(below("k")), ISO_INVALID_ARGUMENT, "never overwritten");
    refused(conform_keygen(below("no/k")), ISO_IO, "cannot create");
    snprintf(public_path, sizeof public_path, "%s.pub", below("k"));
    must(conform_secret_key_check(below("k")));
    refused(conform_secret_key_check(public_path), ISO_CORRUPT, "is no key");
    refused(conform_secret_key_check(below("absent")), ISO_NOT_FOUND, "absent");
    refused(make(below("public-as-secret"), public_path), ISO_CORRUPT, "is no key");
    refused(make(below("absent-key"), below("absent")), ISO_NOT_FOUND, "absent");
    // A signature that cannot be written leaves no manifest behind: the bundle is not finished.
    assert_int_equal(mkdir(below("unsigned"), 0755), 0);
    assert_int_equal(mkdir(below("unsigned/.manifest.sig.new"), 0755), 0);
    refused(make(below("unsigned"), below("k")), ISO_IO, "manifest.sig");
    assert_int_not_equal(access(below("unsigned/manifest.json"), F_OK), 0);
    must(make(below("with-key"), below("k")));
    assert_true(size_of(below("with-key/manifest.sig")) > 100);
}

// ---- comparing ----

static void make_later(const char *folder)
{
    fixture f;
    conform_bundle *bundle;
    conform_header header = fixture_header();
    conform_summary summary = fixture_summary();
    fixture_make(&f);
    snprintf(summary.info.driver, sizeof summary.info.driver, "a newer driver");
    snprintf(summary.verdicts[0].verdict, sizeof summary.verdicts[0].verdict, "fail");
    f.records[0].result.outcome = CONFORM_FAIL;
    f.records[1].result.score *= 5;
    f.records[2].result.output_hash ^= 1;
    must(conform_bundle_create(folder, &header, &bundle));
    for (size_t i = 0; i < f.count; i++)
        if (i != 5)
            must(conform_bundle_append(bundle, &f.records[i]));
    must(conform_bundle_finish(bundle, &summary, NULL));
    conform_bundle_close(bundle);
    conform_summary_deinit(&summary);
    fixture_end(&f);
}

static void test_diff(void **state)
{
    static const struct {
        const char *key;
        size_t count;
    } wanted[] = {{"newly_failing", 1}, {"newly_passing", 0}, {"score_changed", 1}, {"bits_changed", 1},
                  {"only_in_a", 1},     {"only_in_b", 0},     {"verdicts", 1},      {"outcome_changed", 0}};
    iso_text text = {0};
    json_t *json;
    bool worse;
    (void)state;
    must(make(below("a"), NULL));
    make_later(below("b"));
    must(conform_diff(below("a"), below("b"), &text, &json, &worse));
    assert_true(worse);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (json_array_size(json_object_get(json, wanted[i].key)) != wanted[i].count)
            fail_msg("%s: %zu; wanted: %zu", wanted[i].key,
                     json_array_size(json_object_get(json, wanted[i].key)), wanted[i].count);
    assert_non_null(strstr(text.data, "verdict Core: pass -> fail"));
    assert_non_null(strstr(text.data, "a newer driver"));
    assert_non_null(strstr(text.data, "pass -> fail, score"));
    iso_text_deinit(&text);
    json_decref(json);
    must(conform_diff(below("b"), below("a"), NULL, NULL, &worse));
    assert_false(worse);
    must(conform_diff(below("a"), below("a"), &text, NULL, &worse));
    assert_non_null(strstr(text.data, "no check differs"));
    iso_text_deinit(&text);
}

// ---- no bundles ----

static char *repeat(const char *text, size_t times)
{
    size_t length = strlen(text);
    char *out = malloc(length * times + 1);
    assert_non_null(out);
    for (size_t i = 0; i < times; i++)
        memcpy(out + i * length, text, length);
    out[length * times] = '\0';
    return out;
}

static void finds(const char *folder, const char *part)
{
    conform_verify_report report;
    must(conform_verify(folder, &(conform_verify_options){0}, &report));
    assert_true(report.problem_count > 0);
    bool said = false;
    for (size_t i = 0; i < report.count; i++)
        said = said || strstr(report.findings[i].what, part);
    if (!said)
        fail_msg("nothing says \"%s\"; the first says \"%s\"", part, report.findings[0].what);
    conform_verify_report_deinit(&report);
}

static void test_no_bundles(void **state)
{
    conform_verify_report report;
    char absent_key[600];
    const conform_verify_options plain = {0}, with_key = {.public_key = absent_key};
    conform_content content;
    bool worse;
    (void)state;
    snprintf(absent_key, sizeof absent_key, "%s/no-key", root);
    refused(conform_verify(below("absent"), &plain, &report), ISO_NOT_FOUND, "there is no folder");
    write_text(below("plain-file"), "x", 1);
    refused(conform_verify(below("plain-file"), &plain, &report), ISO_INVALID_ARGUMENT, "is no folder");
    refused(conform_diff(below("absent"), below("absent"), NULL, NULL, &worse), ISO_NOT_FOUND,
            "results.jsonl");
    must(make(below("unkeyed"), NULL));
    refused(conform_verify(below("unkeyed"), &with_key, &report), ISO_NOT_FOUND, "no-key");
    assert_int_equal(mkdir(below("bad"), 0755), 0);
    finds(below("bad"), "absent");
    char *deep = repeat("[", 100000), *wide = repeat(" ", CONFORM_MOST_LINE + 2);
    write_text(below("bad/results.jsonl"), deep, strlen(deep));
    finds(below("bad"), "cut short");
    deep[strlen(deep) - 1] = '\n';
    write_text(below("bad/results.jsonl"), deep, strlen(deep));
    finds(below("bad"), "no JSON");
    write_text(below("bad/results.jsonl"), wide, strlen(wide));
    finds(below("bad"), "longer than 4 MiB");
    write_text(below("bad/results.jsonl"), "{}\0{}\n", 6);
    finds(below("bad"), "zero byte");
    refused(conform_content_load(below("bad"), NULL, NULL, &content), ISO_CORRUPT, "zero byte");
    write_text(below("bad/results.jsonl"), "", 0);
    finds(below("bad"), "no header");
    write_text(below("bad/manifest.json"), deep, strlen(deep));
    finds(below("bad"), "no JSON");
    write_text(below("bad/manifest.json"), "{\"version\":1}", 13);
    finds(below("bad"), "\"suite\" is missing");
    assert_int_equal(unlink(below("bad/results.jsonl")), 0);
    assert_int_equal(mkdir(below("bad/results.jsonl"), 0755), 0);
    finds(below("bad"), "no regular file");
    free(deep);
    free(wide);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_record_strict),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_same_bytes_twice),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_finished_without_manifest),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_plots),
        cmocka_unit_test(test_junit),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_no_bundles),
    };
    if (argc == 3 && strcmp(argv[1], "--make") == 0 && make(argv[2], NULL) == ISO_OK)
        return 0;
    if (argc > 1) {
        fprintf(stderr, "report_test [--make FOLDER]: %s\n", iso_status_last()->text);
        return 2;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
