// SPDX-License-Identifier: MIT
//
// Making and reading manifest.json (manifest.h).
#include "conformance/report/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/report/fields.h"
#include "conformance/report/key.h"
#include "runtime/base/strings.h"

iso_status conform_drivers_hash(const conform_summary *summary, char out[CONFORM_SHA256_TEXT])
{
    iso_text text = {0};
    const iso_device_info *info = &summary->info;
    iso_status status =
        iso_text_append(&text, "%s\n%s\n%s\n%s\n", info->backend, info->name, info->driver, info->arch);
    if (status == ISO_OK)
        status = conform_sha256(text.data, text.length, out);
    iso_text_deinit(&text);
    return status;
}

// ---- making ----

static json_t *file_json(const char *folder, const conform_file *file)
{
    char path[CONFORM_PATH_BYTES], hash[CONFORM_SHA256_TEXT];
    uint64_t bytes;
    json_t *object = NULL;
    if (conform_path(path, folder, file->name) != ISO_OK || conform_sha256_file(path, hash, &bytes) != ISO_OK)
        return NULL;
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "name", file->name);
    conform_put_count(&writer, "bytes", bytes);
    conform_put_text(&writer, "sha256", hash);
    return conform_writer_end(&writer, &object) == ISO_OK ? object : NULL;
}

static iso_status files_json(const char *folder, json_t *array)
{
    conform_file_list list;
    iso_status status = conform_folder_list(folder, &list);
    for (size_t i = 0; i < list.count && status == ISO_OK; i++) {
        const conform_file *file = &list.files[i];
        if (strcmp(file->name, CONFORM_MANIFEST) == 0 || strcmp(file->name, CONFORM_SIGNATURE) == 0 ||
            strcmp(file->name, CONFORM_MANIFEST_ASIDE) == 0 ||
            strcmp(file->name, CONFORM_SIGNATURE_ASIDE) == 0)
            continue;
        json_t *one = NULL;
        if (!file->regular)
            status =
                iso_fail(ISO_CORRUPT, "%s/%s is no regular file; a bundle has no others", folder, file->name);
        else if (!(one = file_json(folder, file)))
            status = iso_status_last()->code;
        if (status == ISO_OK && json_array_append_new(array, one) != 0)
            status = iso_fail(ISO_OUT_OF_MEMORY, "no memory for the manifest");
    }
    conform_file_list_deinit(&list);
    return status;
}

iso_status conform_manifest_make(const char *folder, const conform_content *content, char **out_text)
{
    char drivers[CONFORM_SHA256_TEXT];
    json_t *object = NULL, *files = json_array();
    *out_text = NULL;
    iso_status status = conform_drivers_hash(&content->summary, drivers);
    if (status == ISO_OK)
        status = files_json(folder, files);
    if (status != ISO_OK) {
        json_decref(files);
        return status;
    }
    conform_writer writer = conform_writer_make();
    conform_put_count(&writer, "version", CONFORM_BUNDLE_VERSION);
    conform_put_text(&writer, "suite", content->header.suite);
    conform_put_text(&writer, "kernels", content->header.kernels);
    conform_put_text(&writer, "binary", content->header.binary);
    conform_put_text(&writer, "drivers", drivers);
    conform_put_wide(&writer, "seed", content->header.seed);
    conform_put_count(&writer, "lines", content->line_count);
    conform_put_text(&writer, "chain", content->head);
    conform_put(&writer, "files", files);
    ISO_TRY(conform_writer_end(&writer, &object));
    char *text = json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    if (!text || asprintf(out_text, "%s\n", text) < 0)
        status = iso_fail(ISO_OUT_OF_MEMORY, "no memory for the manifest");
    free(text);
    return status;
}

// ---- reading ----

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static iso_status take_hash(conform_reader *reader, const char *key, char out[CONFORM_SHA256_TEXT],
                            bool may_be_empty)
{
    ISO_TRY(conform_take_text(reader, key, out, CONFORM_SHA256_TEXT));
    if (!is_hash(out) && !(may_be_empty && out[0] == '\0'))
        return iso_fail(ISO_CORRUPT, "%s: \"%s\" is \"%s\"; wanted: 64 hexadecimal digits", reader->what, key,
                        out);
    return ISO_OK;
}

static iso_status take_file(conform_manifest *out, json_t *json)
{
    conform_reader reader;
    conform_manifest_file file;
    ISO_TRY(conform_reader_open(&reader, json, "a file of the manifest"));
    ISO_TRY(conform_take_text(&reader, "name", file.name, sizeof file.name));
    ISO_TRY(conform_take_count(&reader, "bytes", INT64_MAX, &file.bytes));
    ISO_TRY(take_hash(&reader, "sha256", file.sha256, false));
    ISO_TRY(conform_reader_end(&reader));
    if (file.name[0] == '/' || file.name[0] == '\0' || strstr(file.name, ".."))
        return iso_fail(ISO_CORRUPT, "the manifest names the file \"%.80s\"; allowed: names below the folder",
                        file.name);
    ISO_TRY(iso_grow(NULL, sizeof file, out->count + 1, (void **)&out->files, &out->capacity));
    out->files[out->count++] = file;
    return ISO_OK;
}

static iso_status read_manifest(json_t *json, conform_manifest *out)
{
    conform_reader reader;
    uint64_t version;
    ISO_TRY(conform_reader_open(&reader, json, "the manifest"));
    ISO_TRY(conform_take_count(&reader, "version", INT32_MAX, &version));
    if (version != CONFORM_BUNDLE_VERSION)
        return iso_fail(ISO_CORRUPT, "the manifest has version %llu; this program reads %d",
                        (unsigned long long)version, CONFORM_BUNDLE_VERSION);
    ISO_TRY(take_hash(&reader, "suite", out->suite, false));
    ISO_TRY(take_hash(&reader, "kernels", out->kernels, false));
    ISO_TRY(take_hash(&reader, "binary", out->binary, true));
    ISO_TRY(take_hash(&reader, "drivers", out->drivers, false));
    ISO_TRY(conform_take_wide(&reader, "seed", &out->seed));
    ISO_TRY(conform_take_count(&reader, "lines", INT64_MAX, &out->lines));
    ISO_TRY(take_hash(&reader, "chain", out->chain, false));
    json_t *files = conform_take(&reader, "files");
    if (!json_is_array(files) || json_array_size(files) > CONFORM_MOST_FILES)
        return iso_fail(ISO_CORRUPT, "the manifest: \"files\" is wrong; wanted: an array of at most %u",
                        CONFORM_MOST_FILES);
    for (size_t i = 0; i < json_array_size(files); i++)
        ISO_TRY(take_file(out, json_array_get(files, i)));
    return conform_reader_end(&reader);
}

iso_status conform_manifest_parse(const char *text, size_t bytes, conform_manifest *out)
{
    json_error_t error;
    *out = (conform_manifest){0};
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return iso_fail(ISO_CORRUPT, "the manifest is no JSON: line %d: %.160s", error.line, error.text);
    iso_status status = read_manifest(json, out);
    json_decref(json);
    if (status != ISO_OK)
        conform_manifest_deinit(out);
    return status;
}

void conform_manifest_deinit(conform_manifest *manifest)
{
    iso_free(NULL, manifest->files);
    *manifest = (conform_manifest){0};
}
