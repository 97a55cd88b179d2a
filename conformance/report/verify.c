// SPDX-License-Identifier: MIT
//
// Verification of a bundle from outside to inside: files and signature, the chain of lines, the pages that
// follow from them, each record against itself, and then against what this program computes. Every part goes
// on after a finding, so that all that was changed is named.
#include "conformance/report/verify.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/report/fields.h"
#include "conformance/report/key.h"
#include "conformance/report/pages.h"

// ---- findings ----

static void add_finding(verification *v, bool problem, const char *where, const char *what)
{
    conform_verify_report *report = v->report;
    report->problem_count += problem;
    if (v->status != ISO_OK || report->count >= VERIFY_MOST_FINDINGS)
        return;
    v->status = iso_grow(NULL, sizeof *report->findings, report->count + 1, (void **)&report->findings,
                         &report->capacity);
    if (v->status != ISO_OK)
        return;
    conform_finding *finding = &report->findings[report->count++];
    finding->problem = problem;
    iso_copy_text(finding->where, sizeof finding->where, where);
    iso_copy_text(finding->what, sizeof finding->what, what);
    // Texts of a bundle that nobody vouches for end on a terminal.
    conform_clean(finding->where);
    conform_clean(finding->what);
}

void verify_problem(verification *v, const char *where, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_finding(v, true, where, text);
}

void verify_remark(verification *v, const char *where, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_finding(v, false, where, text);
}

const char *verify_place(const verification *v, size_t index, char out[160])
{
    snprintf(out, 160, CONFORM_RESULTS ", line %" PRIu64, v->content.lines[index]);
    return out;
}

bool verify_has_suite(const verification *v)
{
    return v->content.finished && strcmp(v->suite, v->content.header.suite) == 0;
}

// ---- files ----

static void check_listed_file(verification *v, const conform_file_list *here,
                              const conform_manifest_file *file)
{
    char path[CONFORM_PATH_BYTES], hash[CONFORM_SHA256_TEXT];
    uint64_t bytes;
    size_t i = 0;
    while (i < here->count && strcmp(here->files[i].name, file->name) != 0)
        i++;
    if (i == here->count) {
        verify_problem(v, file->name, "the manifest lists it, but it is not in the folder");
        return;
    }
    if (!here->files[i].regular)
        return; // check_extra_files names it
    if (here->files[i].bytes != file->bytes)
        verify_problem(v, file->name, "it has %" PRIu64 " bytes; the manifest says %" PRIu64,
                       here->files[i].bytes, file->bytes);
    else if (conform_path(path, v->folder, file->name) != ISO_OK ||
             conform_sha256_file(path, hash, &bytes) != ISO_OK)
        verify_problem(v, file->name, "it cannot be read: %s", iso_status_last()->text);
    else if (strcmp(hash, file->sha256) != 0)
        verify_problem(v, file->name, "its SHA-256 is %.16s…; the manifest says %.16s…: it was changed", hash,
                       file->sha256);
    v->report->file_count++;
}

static bool is_listed(const verification *v, const char *name)
{
    for (size_t i = 0; i < v->manifest.count; i++)
        if (strcmp(v->manifest.files[i].name, name) == 0)
            return true;
    return strcmp(name, CONFORM_MANIFEST) == 0 || strcmp(name, CONFORM_SIGNATURE) == 0;
}

static void check_extra_files(verification *v, const conform_file_list *here)
{
    static const char *const wanted[] = {CONFORM_RESULTS, CONFORM_JUNIT, CONFORM_HTML};
    for (size_t i = 0; i < here->count; i++) {
        const conform_file *file = &here->files[i];
        if (!file->regular)
            verify_problem(v, file->name, "it is no regular file; a bundle has no others");
        else if (v->has_manifest && !is_listed(v, file->name))
            verify_problem(v, file->name, "it is in the folder, but not in the manifest");
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && v->has_manifest; i++)
        if (!is_listed(v, wanted[i]))
            verify_problem(v, CONFORM_MANIFEST, "it does not list %s", wanted[i]);
    for (size_t i = 0; i + 1 < v->manifest.count; i++)
        if (strcmp(v->manifest.files[i].name, v->manifest.files[i + 1].name) >= 0)
            verify_problem(v, CONFORM_MANIFEST, "its files are not in order, or twice: %s",
                           v->manifest.files[i + 1].name);
}

static void check_signature(verification *v, const char *manifest, size_t manifest_bytes)
{
    char path[CONFORM_PATH_BYTES], *text = NULL;
    size_t bytes;
    unsigned char key[CONFORM_PUBLIC_BYTES], wanted[CONFORM_PUBLIC_BYTES];
    const char *key_file = v->options->public_key;
    if (key_file)
        v->status = conform_public_key_load(key_file, wanted);
    if (v->status != ISO_OK || conform_path(path, v->folder, CONFORM_SIGNATURE) != ISO_OK)
        return;
    iso_status status = conform_file_read(path, 4096, &text, &bytes);
    if (status == ISO_NOT_FOUND && key_file)
        verify_problem(v, CONFORM_SIGNATURE, "it is absent, and a signature by %s is demanded", key_file);
    else if (status == ISO_NOT_FOUND)
        verify_remark(v, CONFORM_MANIFEST,
                      "it is not signed: whoever changed all of the bundle alike is found only "
                      "by what is computed again");
    else if (status == ISO_OK && strlen(text) != bytes)
        verify_problem(v, CONFORM_SIGNATURE, "no signature: its text ends at byte %zu of %zu", strlen(text),
                       bytes);
    else if (status != ISO_OK || conform_signature_check(text, manifest, manifest_bytes, key,
                                                         &v->report->signature_valid) != ISO_OK)
        verify_problem(v, CONFORM_SIGNATURE, "%s", iso_status_last()->text);
    else if (!v->report->signature_valid)
        verify_problem(v, CONFORM_SIGNATURE, "it does not fit manifest.json: one of the two was changed");
    if (v->report->signature_valid) {
        sodium_bin2hex(v->report->signer, sizeof v->report->signer, key, sizeof key);
        v->report->signer_trusted = key_file && memcmp(key, wanted, sizeof key) == 0;
        if (key_file && !v->report->signer_trusted)
            verify_problem(v, CONFORM_SIGNATURE, "it was made with the key %.16s…, not with that of %s",
                           v->report->signer, key_file);
        else if (!key_file)
            verify_remark(v, CONFORM_SIGNATURE, "made with the key %s; no key was named to compare it with",
                          v->report->signer);
    }
    free(text);
}

static void read_manifest(verification *v)
{
    char path[CONFORM_PATH_BYTES], *text = NULL;
    size_t bytes;
    v->status = conform_path(path, v->folder, CONFORM_MANIFEST);
    if (v->status != ISO_OK)
        return;
    iso_status status = conform_file_read(path, CONFORM_SMALL_FILE, &text, &bytes);
    if (status == ISO_NOT_FOUND) {
        verify_problem(v, CONFORM_MANIFEST, "it is absent: the run was interrupted, or it was removed");
        return;
    }
    if (status == ISO_OK)
        status = conform_manifest_parse(text, bytes, &v->manifest);
    v->has_manifest = status == ISO_OK;
    if (status != ISO_OK)
        verify_problem(v, CONFORM_MANIFEST, "%s", iso_status_last()->text);
    if (text)
        check_signature(v, text, bytes);
    free(text);
}

void verify_files(verification *v)
{
    conform_file_list here;
    v->status = conform_folder_list(v->folder, &here);
    if (v->status != ISO_OK)
        return;
    read_manifest(v);
    check_extra_files(v, &here);
    for (size_t i = 0; i < v->manifest.count; i++)
        check_listed_file(v, &here, &v->manifest.files[i]);
    conform_file_list_deinit(&here);
}

// ---- the chain ----

static void take_complaint(void *context, uint64_t line, const char *text)
{
    char where[64];
    snprintf(where, sizeof where, CONFORM_RESULTS ", line %" PRIu64, line);
    verify_problem(context, where, "%s", text);
}

static void compare(verification *v, const char *name, const char *manifest, const char *results)
{
    if (strcmp(manifest, results) != 0)
        verify_problem(v, CONFORM_MANIFEST, "its %s is %.16s…; results.jsonl gives %.16s…", name, manifest,
                       results);
}

static void compare_manifest(verification *v)
{
    const conform_manifest *manifest = &v->manifest;
    const conform_header *header = &v->content.header;
    char drivers[CONFORM_SHA256_TEXT];
    compare(v, "chain", manifest->chain, v->content.head);
    compare(v, "suite", manifest->suite, header->suite);
    compare(v, "kernels", manifest->kernels, header->kernels);
    compare(v, "binary", manifest->binary, header->binary);
    if (manifest->lines != v->content.line_count)
        verify_problem(v, CONFORM_MANIFEST, "it counts %" PRIu64 " lines; results.jsonl has %" PRIu64,
                       manifest->lines, v->content.line_count);
    if (manifest->seed != header->seed)
        verify_problem(v, CONFORM_MANIFEST, "its seed is %" PRIu64 "; results.jsonl has %" PRIu64,
                       manifest->seed, header->seed);
    if (conform_drivers_hash(&v->content.summary, drivers) == ISO_OK)
        compare(v, "drivers", manifest->drivers, drivers);
}

void verify_chain(verification *v)
{
    iso_status status = conform_content_load(v->folder, take_complaint, v, &v->content);
    if (status != ISO_OK) {
        verify_problem(v, CONFORM_RESULTS, "%s", iso_status_last()->text);
        return;
    }
    if (!v->content.has_header)
        verify_problem(v, CONFORM_RESULTS, "it has no header: this is no bundle");
    else if (!v->content.finished)
        verify_problem(v, CONFORM_RESULTS,
                       "it has no summary: the run was interrupted, or lines were removed; %zu "
                       "results are readable",
                       v->content.count);
    v->report->record_count = (uint32_t)v->content.count;
    if (v->has_manifest && v->content.has_header)
        compare_manifest(v);
}

// ---- pages ----

static void check_page(verification *v, const char *name,
                       iso_status (*make)(const conform_content *, iso_text *))
{
    char path[CONFORM_PATH_BYTES], *text = NULL;
    size_t bytes, at = 0;
    iso_text wanted = {0};
    if (v->status == ISO_OK)
        v->status = make(&v->content, &wanted);
    if (v->status == ISO_OK)
        v->status = conform_path(path, v->folder, name);
    if (v->status == ISO_OK && conform_file_read(path, CONFORM_GENERATED_FILE, &text, &bytes) != ISO_OK) {
        verify_problem(v, name, "%s", iso_status_last()->text);
    } else if (v->status == ISO_OK) {
        while (at < bytes && at < wanted.length && text[at] == wanted.data[at])
            at++;
        if (at < bytes || at < wanted.length)
            verify_problem(v, name,
                           "it is not what results.jsonl gives: byte %zu differs (\"%.24s\" instead of "
                           "\"%.24s\")",
                           at, text + at, wanted.data + at);
    }
    free(text);
    iso_text_deinit(&wanted);
}

void verify_pages(verification *v)
{
    if (!v->content.finished)
        return;
    check_page(v, CONFORM_JUNIT, conform_junit_make);
    check_page(v, CONFORM_HTML, conform_html_make);
}

// ---- all of it ----

iso_status conform_verify(const char *folder, const conform_verify_options *options,
                          conform_verify_report *out_report)
{
    static void (*const parts[])(verification *) = {verify_files,   verify_chain,   verify_pages,
                                                    verify_records, verify_rebuild, verify_rerun};
    verification v = {.folder = folder, .options = options, .report = out_report};
    struct stat info;
    *out_report = (conform_verify_report){.seed = options->seed};
    if (stat(folder, &info) != 0)
        return iso_fail(ISO_NOT_FOUND, "there is no folder %s", folder);
    if (!S_ISDIR(info.st_mode))
        return iso_fail(ISO_INVALID_ARGUMENT, "%s is no folder; wanted: the folder of a bundle", folder);
    v.status = conform_suite_version(v.suite);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && v.status == ISO_OK; i++)
        parts[i](&v);
    conform_content_deinit(&v.content);
    conform_manifest_deinit(&v.manifest);
    if (v.status != ISO_OK)
        conform_verify_report_deinit(out_report);
    return v.status;
}

void conform_verify_report_deinit(conform_verify_report *report)
{
    iso_free(NULL, report->findings);
    *report = (conform_verify_report){0};
}
