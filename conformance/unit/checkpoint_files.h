// SPDX-License-Identifier: MIT
//
// Temporary folders and files for the tests of model/checkpoint, and an allocator that fails at a chosen
// call. The folder is removed with all that is in it, one level deep.
#ifndef ISOMER_CONFORMANCE_UNIT_CHECKPOINT_FILES_H
#define ISOMER_CONFORMANCE_UNIT_CHECKPOINT_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isomer/allocator.h"

typedef struct test_folder {
    char path[PATH_MAX / 2];
} test_folder;

static inline void test_folder_create(test_folder *folder)
{
    const char *root = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%s/isomer-test-XXXXXX", root ? root : "/tmp");
    assert_non_null(mkdtemp(folder->path));
}

// Lent until the next call.
static inline const char *test_folder_file(const test_folder *folder, const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return path;
}

// How many files the folder holds; with `remove`, deletes them.
static inline int test_folder_each(const test_folder *folder, bool remove)
{
    DIR *directory = opendir(folder->path);
    assert_non_null(directory);
    int count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (remove)
            unlink(test_folder_file(folder, entry->d_name));
    }
    closedir(directory);
    return count;
}

static inline void test_folder_destroy(const test_folder *folder)
{
    test_folder_each(folder, true);
    rmdir(folder->path);
}

static inline void test_folder_write(const test_folder *folder, const char *name, const void *data,
                                     size_t bytes)
{
    FILE *file = fopen(test_folder_file(folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

// Writes a safetensors file: `header` behind its length, then `data_bytes` bytes 0, 1, 2, …
static inline void test_folder_write_safetensors(const test_folder *folder, const char *name,
                                                 const char *header, size_t data_bytes)
{
    size_t header_bytes = strlen(header);
    uint8_t *content = malloc(8 + header_bytes + data_bytes);
    assert_non_null(content);
    for (size_t i = 0; i < 8; i++)
        content[i] = (uint8_t)((uint64_t)header_bytes >> (8 * i));
    memcpy(content + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        content[8 + header_bytes + i] = (uint8_t)i;
    test_folder_write(folder, name, content, 8 + header_bytes + data_bytes);
    free(content);
}

// Counts what lives; the call after `calls_left` more fails, and all later ones. Negative: never.
typedef struct test_heap {
    int living;
    int calls_left;
} test_heap;

static inline void *test_heap_resize(void *context, void *memory, size_t bytes)
{
    test_heap *heap = context;
    if (heap->calls_left == 0)
        return NULL;
    if (heap->calls_left > 0)
        heap->calls_left--;
    void *resized = realloc(memory, bytes);
    if (!memory && resized)
        heap->living++;
    return resized;
}

static inline void test_heap_release(void *context, void *memory)
{
    if (memory)
        ((test_heap *)context)->living--;
    free(memory);
}

static inline iso_allocator test_heap_allocator(test_heap *heap)
{
    return (iso_allocator){.context = heap, .resize = test_heap_resize, .release = test_heap_release};
}

#endif
