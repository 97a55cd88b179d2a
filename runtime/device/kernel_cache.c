// SPDX-License-Identifier: MIT
//
// Compiled kernels on disk, one file an entry, in $XDG_CACHE_HOME/isomer/kernels or ~/.cache/isomer/kernels.
// An entry is written aside and published by rename, and carries its key, its length and a checksum (XXH3),
// so that a reader in another process sees the whole entry, or none. What is damaged is as good as absent.
//
// Global state: why the cache is off, written once.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "isomer/backend.h"

#define ENTRY_MAGIC     "ISOKERN1"
#define PATH_BYTES      4096
#define MAX_ENTRY_BYTES (UINT64_C(1) << 30)

// The head of a file; the payload follows. In the byte order of the machine: caches are not moved.
typedef struct entry_header {
    char magic[8];
    iso_cache_key key;
    uint64_t bytes;
    uint64_t checksum;
} entry_header;

static pthread_mutex_t problem_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_off;
static char problem_text[512];

static void turn_off(const char *what, const char *path, const char *why)
{
    pthread_mutex_lock(&problem_mutex);
    if (!atomic_load(&is_off)) {
        snprintf(
            problem_text, sizeof problem_text,
            "the kernel cache is off: %s %.256s: %.100s; set XDG_CACHE_HOME to a folder that can be written",
            what, path, why);
        atomic_store(&is_off, true);
    }
    pthread_mutex_unlock(&problem_mutex);
}

const char *iso_kernel_cache_problem(void)
{
    return atomic_load(&is_off) ? problem_text : NULL;
}

// ---- key and path ----

void iso_cache_key_add(iso_cache_key *key, const void *data, size_t bytes)
{
    // Each piece is hashed by itself: {"ab", "c"} and {"a", "bc"} are different keys.
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    uint64_t chain[4] = {key->words[0], key->words[1], hash.low64, hash.high64};
    XXH128_hash_t folded = XXH3_128bits(chain, sizeof chain);
    key->words[0] = folded.low64;
    key->words[1] = folded.high64;
}

static bool folder_path(char path[PATH_BYTES])
{
    // The XDG base directory specification says to ignore a path that is not absolute.
    const char *cache_home = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (cache_home && cache_home[0] == '/')
        length = snprintf(path, PATH_BYTES, "%s/isomer/kernels", cache_home);
    else if (home && home[0] == '/')
        length = snprintf(path, PATH_BYTES, "%s/.cache/isomer/kernels", home);
    else
        return false;
    return length > 0 && length < PATH_BYTES;
}

static bool entry_path(const char *folder, const iso_cache_key *key, char path[PATH_BYTES])
{
    int length =
        snprintf(path, PATH_BYTES, "%s/%016" PRIx64 "%016" PRIx64, folder, key->words[0], key->words[1]);
    return length > 0 && length < PATH_BYTES;
}

// ---- files ----

static bool read_all(int file, void *target, size_t bytes)
{
    char *at = target;
    while (bytes > 0) {
        ssize_t got = read(file, at, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool write_all(int file, const void *source, size_t bytes)
{
    const char *at = source;
    while (bytes > 0) {
        ssize_t put = write(file, at, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        bytes -= (size_t)put;
    }
    return true;
}

// The folder and those above it, for the user alone.
static bool make_folders(const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

// ---- load ----

static bool header_is_right(const entry_header *header, const iso_cache_key *key, const struct stat *facts)
{
    return memcmp(header->magic, ENTRY_MAGIC, sizeof header->magic) == 0 &&
           header->key.words[0] == key->words[0] && header->key.words[1] == key->words[1] &&
           header->bytes <= MAX_ENTRY_BYTES && (uint64_t)facts->st_size == header->bytes + sizeof *header;
}

// Leaves *out_data NULL where there is no good entry; fails only for want of memory.
static iso_status read_entry(const iso_allocator *allocator, int file, const iso_cache_key *key,
                             void **out_data, size_t *out_bytes)
{
    struct stat facts;
    entry_header header;
    void *data;
    if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode) || !read_all(file, &header, sizeof header) ||
        !header_is_right(&header, key, &facts))
        return ISO_OK;
    ISO_TRY(iso_alloc(allocator, header.bytes + 1, &data)); // never empty, and a text ends in NUL
    if (!read_all(file, data, header.bytes) || XXH3_64bits(data, header.bytes) != header.checksum) {
        iso_free(allocator, data);
        return ISO_OK;
    }
    *out_data = data;
    *out_bytes = header.bytes;
    return ISO_OK;
}

iso_status iso_kernel_cache_load(const iso_allocator *allocator, const iso_cache_key *key, void **out_data,
                                 size_t *out_bytes)
{
    *out_data = NULL;
    *out_bytes = 0;
    char folder[PATH_BYTES], path[PATH_BYTES];
    if (!atomic_load(&is_off) && folder_path(folder) && entry_path(folder, key, path)) {
        int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (file >= 0) {
            iso_status status = read_entry(allocator, file, key, out_data, out_bytes);
            close(file);
            ISO_TRY(status);
        }
    }
    if (!*out_data)
        return iso_fail(ISO_NOT_FOUND, "no entry %016" PRIx64 "%016" PRIx64 " in the kernel cache",
                        key->words[0], key->words[1]);
    return ISO_OK;
}

// ---- store ----

void iso_kernel_cache_store(const iso_cache_key *key, const void *data, size_t bytes)
{
    char folder[PATH_BYTES], path[PATH_BYTES], aside[PATH_BYTES];
    if (atomic_load(&is_off) || bytes > MAX_ENTRY_BYTES)
        return;
    if (!folder_path(folder)) {
        turn_off("no folder for it", "", "neither XDG_CACHE_HOME nor HOME is an absolute path");
        return;
    }
    int length = snprintf(aside, sizeof aside, "%s/.new-XXXXXX", folder);
    if (!entry_path(folder, key, path) || length < 0 || (size_t)length >= sizeof aside) {
        turn_off("cannot use", "the folder", "its path is too long");
        return;
    }
    if (!make_folders(folder)) {
        turn_off("cannot make", folder, strerror(errno));
        return;
    }
    int file = mkstemp(aside);
    if (file < 0) {
        turn_off("cannot write in", folder, strerror(errno));
        return;
    }
    entry_header header = {.key = *key, .bytes = bytes, .checksum = XXH3_64bits(data, bytes)};
    memcpy(header.magic, ENTRY_MAGIC, sizeof header.magic);
    bool written = write_all(file, &header, sizeof header) && write_all(file, data, bytes);
    int error = errno;
    if (close(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && rename(aside, path) != 0) {
        written = false;
        error = errno;
    }
    if (!written) {
        unlink(aside);
        turn_off("cannot write in", folder, strerror(error));
    }
}
