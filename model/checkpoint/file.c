// SPDX-License-Identifier: MIT
//
// Files behind model/checkpoint/file.h: mapping, paths and strict JSON. It must not know what a file is for.
#include "model/checkpoint/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/strings.h"

static iso_status map_open_file(int descriptor, const char *path, iso_mapped_file *out_file)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return iso_fail(ISO_IO, "%s: not a regular file; give a file or a model folder", path);
    if (info.st_size == 0)
        return ISO_OK;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return iso_fail(ISO_IO, "%s: cannot be mapped: %s", path, strerror(errno));
    out_file->data = data;
    out_file->bytes = (size_t)info.st_size;
    return ISO_OK;
}

iso_status iso_mapped_file_open(const char *path, iso_mapped_file *out_file)
{
    *out_file = (iso_mapped_file){0};
    // Not to wait for a writer if it is a FIFO.
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return iso_fail(errno == ENOENT || errno == ENOTDIR ? ISO_NOT_FOUND : ISO_IO, "%s: %s", path,
                        strerror(errno));
    iso_status status = map_open_file(descriptor, path, out_file);
    close(descriptor);
    return status;
}

void iso_mapped_file_close(iso_mapped_file *file)
{
    if (file->data)
        munmap((void *)file->data, file->bytes);
    *file = (iso_mapped_file){0};
}

bool iso_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool iso_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

iso_status iso_path_join(const char *folder, const char *name, const iso_allocator *allocator,
                         char **out_path)
{
    *out_path = NULL;
    size_t length = strlen(folder);
    const char *separator = length > 0 && folder[length - 1] == '/' ? "" : "/";
    iso_text path = {.allocator = allocator};
    iso_status status = iso_text_append(&path, "%s%s%s", folder, separator, name);
    if (status != ISO_OK) {
        iso_text_deinit(&path);
        return status;
    }
    *out_path = path.data;
    return ISO_OK;
}

iso_status iso_json_parse(const void *text, size_t bytes, size_t flags, const char *file, json_t **out_value)
{
    json_error_t error = {0};
    *out_value = bytes == 0 ? NULL : json_loadb(text, bytes, JSON_REJECT_DUPLICATES | flags, &error);
    if (*out_value)
        return ISO_OK;
    if (bytes == 0)
        return iso_fail(ISO_CORRUPT, "%s: line 1: empty, JSON expected; " ISO_REMEDY_DOWNLOAD, file);
    if (json_error_code(&error) == json_error_out_of_memory)
        return iso_fail(ISO_OUT_OF_MEMORY, "%s: out of host memory while reading JSON", file);
    return iso_fail(ISO_CORRUPT, "%s: line %d, column %d: not valid JSON: %s; " ISO_REMEDY_DOWNLOAD, file,
                    error.line, error.column, error.text);
}
