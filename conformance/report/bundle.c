// SPDX-License-Identifier: MIT
//
// Making a bundle: the folder, one whole line after another, and the files that follow from the lines. What
// was finished stays readable after a crash at any point and on a full disk.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/report/files.h"
#include "conformance/report/key.h"
#include "conformance/report/manifest.h"
#include "conformance/report/pages.h"
#include "conformance/report/report.h"

struct conform_bundle {
    char folder[CONFORM_PATH_BYTES], results[CONFORM_PATH_BYTES], cases[CONFORM_PATH_BYTES];
    int file;
    off_t bytes;     // of whole lines
    uint64_t number; // of the next line
    char head[CONFORM_SHA256_TEXT];
    char (*units)[CONFORM_UNIT_BYTES]; // done before a resumption, sorted
    size_t unit_count;
    bool finished;
};

// ---- lines ----

// All of the line or nothing of it.
static iso_status add_line(conform_bundle *bundle, const char *kind, const json_t *json)
{
    char head[CONFORM_SHA256_TEXT], *line;
    memcpy(head, bundle->head, sizeof head);
    ISO_TRY(conform_content_line(bundle->number, kind, json, head, &line));
    size_t length = strlen(line);
    iso_status status = conform_write_all(bundle->file, bundle->results, line, length);
    free(line);
    if (status != ISO_OK) {
        if (ftruncate(bundle->file, bundle->bytes) != 0)
            return iso_status_prefix("half a line may remain at the end");
        lseek(bundle->file, bundle->bytes, SEEK_SET);
        return iso_status_prefix("%" PRIu64 " lines are kept", bundle->number);
    }
    memcpy(bundle->head, head, sizeof head);
    bundle->bytes += (off_t)length;
    bundle->number++;
    return ISO_OK;
}

iso_status conform_bundle_append(void *opaque, const conform_record *record)
{
    conform_bundle *bundle = opaque;
    json_t *json;
    ISO_TRY(conform_record_to_json(record, &json));
    iso_status status = add_line(bundle, "record", json);
    json_decref(json);
    return status;
}

// ---- create, resume, close ----

static iso_status new_bundle(const char *folder, conform_bundle **out)
{
    conform_bundle *bundle;
    ISO_TRY(ISO_NEW(NULL, 1, &bundle));
    bundle->file = -1;
    memcpy(bundle->head, CONFORM_CHAIN_START, sizeof bundle->head);
    iso_status status = ISO_OK;
    if (strlen(folder) >= sizeof bundle->folder - 32 || folder[0] == '\0')
        status = iso_fail(ISO_INVALID_ARGUMENT, "the output folder's name has %zu bytes; allowed: 1 to %zu",
                          strlen(folder), sizeof bundle->folder - 33);
    if (status == ISO_OK) {
        iso_copy_text(bundle->folder, sizeof bundle->folder, folder);
        status = conform_path(bundle->results, folder, CONFORM_RESULTS);
    }
    if (status == ISO_OK)
        status = conform_path(bundle->cases, folder, "cases");
    if (status != ISO_OK) {
        iso_free(NULL, bundle);
        return status;
    }
    *out = bundle;
    return ISO_OK;
}

static iso_status make_folder(const char *folder)
{
    conform_file_list list;
    if (mkdir(folder, 0755) == 0)
        return ISO_OK;
    int reason = errno;
    struct stat info;
    if (reason == EEXIST && stat(folder, &info) == 0 && !S_ISDIR(info.st_mode))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s is a file; name a new or an empty folder", folder);
    if (reason != EEXIST)
        return iso_fail(reason == ENOENT ? ISO_NOT_FOUND : ISO_IO, "cannot make the output folder %s: %s",
                        folder, strerror(reason));
    ISO_TRY(conform_folder_list(folder, &list));
    size_t count = list.count;
    conform_file_list_deinit(&list);
    if (count > 0)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "the output folder %s exists and holds %zu files; name a new or an empty one", folder,
                        count);
    return ISO_OK;
}

iso_status conform_bundle_create(const char *folder, const conform_header *header,
                                 conform_bundle **out_bundle)
{
    conform_bundle *bundle;
    json_t *json;
    *out_bundle = NULL;
    ISO_TRY(new_bundle(folder, &bundle));
    iso_status status = make_folder(folder);
    if (status == ISO_OK) {
        bundle->file = open(bundle->results, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (bundle->file < 0)
            status = iso_fail(ISO_IO, "cannot create %s: %s", bundle->results, strerror(errno));
    }
    if (status == ISO_OK)
        status = conform_header_to_json(header, &json);
    if (status == ISO_OK) {
        status = add_line(bundle, "header", json);
        json_decref(json);
    }
    if (status != ISO_OK) {
        conform_bundle_close(bundle);
        return status;
    }
    *out_bundle = bundle;
    return ISO_OK;
}

static iso_status check_same_run(const conform_header *was, const conform_header *now)
{
    const struct {
        const char *name, *was, *now;
    } facts[] = {
        {"program", was->program, now->program},
        {"suite", was->suite, now->suite},
        {"kernels", was->kernels, now->kernels},
        {"program file", was->binary, now->binary},
        {"device", was->device, now->device},
        {"profile", was->profile, now->profile},
        {"pattern of units", was->only, now->only},
        {"level", conform_level_name(was->level), conform_level_name(now->level)},
    };
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        if (strcmp(facts[i].was, facts[i].now) != 0)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "the run was begun with %s \"%s\", not \"%s\"; it can only go on as it began",
                            facts[i].name, facts[i].was, facts[i].now);
    if (was->seed != now->seed)
        return iso_fail(ISO_INVALID_ARGUMENT, "the run was begun with seed %" PRIu64 ", not %" PRIu64,
                        was->seed, now->seed);
    return ISO_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

// Keeps all but the last unit: it may have been in the middle of its results.
static iso_status keep_units(conform_bundle *bundle, const conform_content *content)
{
    size_t keep = content->count;
    while (keep > 0 &&
           strcmp(content->records[keep - 1].unit, content->records[content->count - 1].unit) == 0)
        keep--;
    bundle->bytes = (off_t)(keep < content->count ? content->offsets[keep]
                            : content->finished   ? content->summary_at
                                                  : content->good_bytes);
    ISO_TRY(iso_alloc_array(NULL, keep, sizeof *bundle->units, (void **)&bundle->units));
    for (size_t i = 0; i < keep; i++)
        memcpy(bundle->units[i], content->records[i].unit, sizeof bundle->units[i]);
    bundle->unit_count = keep;
    if (keep)
        qsort(bundle->units, keep, sizeof *bundle->units, by_text);
    return ISO_OK;
}

// The hash and the number that the next line follows.
static iso_status find_end(conform_bundle *bundle)
{
    conform_content content;
    ISO_TRY(conform_content_load(bundle->folder, NULL, NULL, &content));
    memcpy(bundle->head, content.head, sizeof bundle->head);
    bundle->number = content.line_count;
    conform_content_deinit(&content);
    return ISO_OK;
}

static bool has_manifest(const conform_bundle *bundle)
{
    char path[CONFORM_PATH_BYTES];
    return conform_path(path, bundle->folder, CONFORM_MANIFEST) == ISO_OK && access(path, F_OK) == 0;
}

// What a finish that failed or was killed left: a signature whose manifest never came, and files half
// written aside.
static void drop_leftovers(const conform_bundle *bundle)
{
    static const char *const names[] = {CONFORM_MANIFEST_ASIDE, CONFORM_SIGNATURE_ASIDE, CONFORM_SIGNATURE,
                                        "." CONFORM_JUNIT ".new", "." CONFORM_HTML ".new"};
    char path[CONFORM_PATH_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (conform_path(path, bundle->folder, names[i]) == ISO_OK)
            unlink(path);
}

static iso_status reopen(conform_bundle *bundle, const conform_header *header)
{
    conform_content content;
    ISO_TRY(conform_content_load(bundle->folder, NULL, NULL, &content));
    // A summary without a manifest: the pages could not be written, and the last unit runs again.
    iso_status status =
        content.finished && has_manifest(bundle)
            ? iso_fail(ISO_INVALID_ARGUMENT, "%s is finished; name a new folder", bundle->folder)
            : check_same_run(&content.header, header);
    if (status == ISO_OK)
        status = keep_units(bundle, &content);
    conform_content_deinit(&content);
    ISO_TRY(status);
    bundle->file = open(bundle->results, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (bundle->file < 0 || ftruncate(bundle->file, bundle->bytes) != 0 ||
        lseek(bundle->file, bundle->bytes, SEEK_SET) < 0)
        return iso_fail(ISO_IO, "cannot go on with %s: %s", bundle->results, strerror(errno));
    drop_leftovers(bundle);
    return find_end(bundle);
}

iso_status conform_bundle_resume(const char *folder, const conform_header *header,
                                 conform_bundle **out_bundle)
{
    conform_bundle *bundle;
    *out_bundle = NULL;
    ISO_TRY(new_bundle(folder, &bundle));
    iso_status status = reopen(bundle, header);
    if (status != ISO_OK) {
        conform_bundle_close(bundle);
        return status;
    }
    *out_bundle = bundle;
    return ISO_OK;
}

bool conform_bundle_has(void *opaque, const char *unit)
{
    const conform_bundle *bundle = opaque;
    return bundle->unit_count > 0 &&
           bsearch(unit, bundle->units, bundle->unit_count, sizeof *bundle->units, by_text) != NULL;
}

iso_status conform_bundle_replay(const conform_bundle *bundle,
                                 iso_status (*visit)(void *context, const conform_record *record),
                                 void *context)
{
    conform_content content;
    ISO_TRY(conform_content_load(bundle->folder, NULL, NULL, &content));
    iso_status status = ISO_OK;
    for (size_t i = 0; i < content.count && status == ISO_OK; i++)
        status = visit(context, &content.records[i]);
    conform_content_deinit(&content);
    return status;
}

const char *conform_bundle_case_folder(const conform_bundle *bundle)
{
    return bundle->cases;
}

void conform_bundle_close(conform_bundle *bundle)
{
    if (!bundle)
        return;
    if (bundle->file >= 0)
        close(bundle->file);
    iso_free(NULL, bundle->units);
    iso_free(NULL, bundle);
}

// ---- finish ----

static iso_status write_page(const conform_bundle *bundle, const char *name, const conform_content *content,
                             iso_status (*make)(const conform_content *, iso_text *))
{
    iso_text text = {0};
    iso_status status = make(content, &text);
    if (status == ISO_OK)
        status = conform_file_write(bundle->folder, name, text.data, text.length);
    iso_text_deinit(&text);
    return status;
}

static iso_status write_manifest(const conform_bundle *bundle, const conform_content *content,
                                 const char *secret_key_file)
{
    char *manifest = NULL, *signature = NULL;
    iso_status status = conform_manifest_make(bundle->folder, content, &manifest);
    if (status == ISO_OK && secret_key_file)
        status = conform_sign(secret_key_file, manifest, strlen(manifest), &signature);
    // The manifest last: where it is, the bundle is finished.
    if (status == ISO_OK && signature)
        status = conform_file_write(bundle->folder, CONFORM_SIGNATURE, signature, strlen(signature));
    if (status == ISO_OK)
        status = conform_file_write(bundle->folder, CONFORM_MANIFEST, manifest, strlen(manifest));
    free(manifest);
    free(signature);
    return status;
}

iso_status conform_bundle_finish(conform_bundle *bundle, const conform_summary *summary,
                                 const char *secret_key_file)
{
    json_t *json;
    conform_content content;
    if (bundle->finished)
        return iso_fail(ISO_INVALID_ARGUMENT, "the bundle %s is finished already", bundle->folder);
    ISO_TRY(conform_summary_to_json(summary, &json));
    iso_status status = add_line(bundle, "summary", json);
    json_decref(json);
    if (status == ISO_OK && fsync(bundle->file) != 0)
        status = iso_fail(ISO_IO, "cannot write %s: %s", bundle->results, strerror(errno));
    ISO_TRY(status);
    bundle->finished = true;
    // From what is on the disk now: whoever checks the bundle has nothing else.
    ISO_TRY(conform_content_load(bundle->folder, NULL, NULL, &content));
    status = write_page(bundle, CONFORM_JUNIT, &content, conform_junit_make);
    if (status == ISO_OK)
        status = write_page(bundle, CONFORM_HTML, &content, conform_html_make);
    if (status == ISO_OK)
        status = write_manifest(bundle, &content, secret_key_file);
    conform_content_deinit(&content);
    return status;
}
